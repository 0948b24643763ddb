//! What sending costs, and in which order to call.

use crate::support::{ADDRESS, BUYER, SELLER, SELLER_2, World, spec};
use jangteo_core::Result;
use proto::{
    google::r#type::LatLng,
    jangteo::shipping::v1::{self as wire, ShippingOption, quote_options_request::To, shipping_service::Api},
};
use testbed::{Kind, anonymous, by};

async fn quote(w: &World, parts: Vec<wire::ShipmentSpec>, address_id: &str) -> Result<Vec<i64>> {
    let req = wire::QuoteShippingRequest { buyer_id: BUYER.into(), address_id: address_id.into(), parts };
    let quoted = w.shipping.quote_shipping(w.order(), req).await?;
    Ok(quoted.parts.into_iter().map(|p| p.fee.unwrap().units).collect())
}

pub async fn an_order_is_quoted_part_by_part(kind: Kind) {
    let w = World::new(kind).await;
    w.live_at("63100");
    let parts = vec![
        spec(2, SELLER, ShippingOption::Parcel),
        spec(1, SELLER_2, ShippingOption::ConvenienceStore),
        spec(3, SELLER, ShippingOption::MeetUp),
    ];
    assert_eq!(quote(&w, parts, ADDRESS).await.unwrap(), [7_500, 4_200, 0]);
    assert_eq!(quote(&w, vec![spec(1, SELLER, ShippingOption::MeetUp)], "").await.unwrap(), [0]);
}

pub async fn what_can_not_go_says_which_part_and_why(kind: Kind) {
    let w = World::new(kind).await;
    let heavy = wire::ShipmentSpec { weight_grams: 6_000, ..spec(2, SELLER, ShippingOption::ConvenienceStore) };
    let e = quote(&w, vec![spec(1, SELLER, ShippingOption::Parcel), heavy], ADDRESS).await.unwrap_err();
    assert_eq!(e.reason(), "OPTION_UNAVAILABLE");
    assert_eq!((e.metadata()["part"].as_str(), e.metadata()["reason"].as_str()), ("2", "TOO_HEAVY"));
    let e = quote(&w, vec![spec(1, SELLER, ShippingOption::International)], ADDRESS).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["reason"].as_str()), ("OPTION_UNAVAILABLE", "DOMESTIC"));
    let e = quote(&w, vec![spec(1, SELLER, ShippingOption::Parcel)], "").await.unwrap_err();
    assert_eq!(e.field_violations()[0].field, "address_id");
    let foreign = "adr_00000000000000000000000000000009";
    let e = quote(&w, vec![spec(1, SELLER, ShippingOption::Parcel)], foreign).await.unwrap_err();
    assert_eq!(e.reason(), "ADDRESS_NOT_FOUND");
    let twice = vec![spec(1, SELLER, ShippingOption::Parcel), spec(1, SELLER_2, ShippingOption::Parcel)];
    let e = quote(&w, twice, ADDRESS).await.unwrap_err();
    assert_eq!(e.field_violations()[0].field, "parts[1].part");
}

pub async fn everybody_may_ask_what_options_cost(kind: Kind) {
    let w = World::new(kind).await;
    let ask = |to: To| wire::QuoteOptionsRequest {
        to: Some(to),
        from_region_id: "seoul".into(),
        weight_grams: 400,
        sum_cm: 30,
    };
    let fees = |r: wire::QuoteOptionsResponse| -> Vec<(Option<i64>, String)> {
        r.options.into_iter().map(|o| (o.fee.map(|m| m.units), o.unavailable_reason)).collect()
    };
    let fee = |n: i64| (Some(n), String::new());
    let no = |reason: &str| (None, reason.to_owned());
    let home = w.shipping.quote_options(anonymous(), ask(To::PostalCode("48058".into()))).await.unwrap();
    assert_eq!(fees(home), [fee(4_500), fee(1_900), fee(0), no("DOMESTIC")]);
    let island = w.shipping.quote_options(anonymous(), ask(To::PostalCode("40200".into()))).await.unwrap();
    assert_eq!(island.options[0].surcharge.as_ref().unwrap().units, 5_000);
    let abroad = w.shipping.quote_options(anonymous(), ask(To::CountryCode("JP".into()))).await.unwrap();
    assert_eq!(fees(abroad), [no("ABROAD"), no("ABROAD"), no("ABROAD"), fee(24_000)]);
    let mine = w.shipping.quote_options(by(BUYER), ask(To::AddressId(ADDRESS.into()))).await.unwrap();
    assert_eq!(mine.options[0].fee.as_ref().unwrap().units, 3_500);
    let e = w.shipping.quote_options(anonymous(), ask(To::AddressId(ADDRESS.into()))).await.unwrap_err();
    assert_eq!(e.reason(), "SIGN_IN_REQUIRED");
    let e = w.shipping.quote_options(anonymous(), ask(To::PostalCode("99999".into()))).await.unwrap_err();
    assert_eq!(e.field_violations()[0].reason, "UNKNOWN_POSTAL_CODE");
}

pub async fn an_address_abroad_takes_what_goes_abroad(kind: Kind) {
    let w = World::new(kind).await;
    // Five digits, as a Korean one.
    w.live_abroad("10115", "DE");
    let parts = |option| vec![spec(1, SELLER, option)];
    let fee = quote(&w, parts(ShippingOption::International), ADDRESS).await.unwrap();
    for option in [ShippingOption::Parcel, ShippingOption::ConvenienceStore] {
        let e = quote(&w, parts(option), ADDRESS).await.unwrap_err();
        assert_eq!((e.reason(), e.metadata()["reason"].as_str()), ("OPTION_UNAVAILABLE", "ABROAD"));
    }
    let sent = spec(1, SELLER, ShippingOption::International);
    let ask = wire::QuoteOptionsRequest {
        to: Some(To::AddressId(ADDRESS.into())),
        from_region_id: sent.from_region_id.clone(),
        weight_grams: sent.weight_grams,
        sum_cm: sent.sum_cm,
    };
    let options = w.shipping.quote_options(by(BUYER), ask).await.unwrap().options;
    assert_eq!(
        options.iter().map(|o| o.unavailable_reason.as_str()).collect::<Vec<_>>(),
        ["ABROAD", "ABROAD", "ABROAD", ""]
    );
    assert_eq!(fee, [options[3].fee.as_ref().unwrap().units], "an order costs what was quoted");
    let order_id = "ord_00000000000000000000000000000077".to_owned();
    let (buyer_id, address_id) = (BUYER.to_owned(), ADDRESS.to_owned());
    let prepare = wire::PrepareShipmentsRequest { order_id, buyer_id, address_id, parts: vec![sent] };
    let shipment = w.shipping.prepare_shipments(w.order(), prepare).await.unwrap().shipments.remove(0);
    assert_eq!(shipment.fee.unwrap().units, fee[0]);
    let get = wire::GetShipmentRequest { shipment_id: shipment.shipment_id };
    let to = w.shipping.get_shipment(by(BUYER), get).await.unwrap().destination.unwrap();
    assert!(to.line2.ends_with(", DE"), "the label names the country: {}", to.line2);
}

fn stop(stop_id: &str, latitude: f64) -> wire::RouteStop {
    let location = Some(LatLng { latitude, longitude: 127.0 });
    wire::RouteStop { stop_id: stop_id.into(), location, ..Default::default() }
}

fn route(stops: Vec<wire::RouteStop>) -> wire::PlanRouteRequest {
    wire::PlanRouteRequest { start: Some(LatLng { latitude: 37.5, longitude: 127.0 }), stops, ..Default::default() }
}

pub async fn a_route_calls_everywhere_once(kind: Kind) {
    let w = World::new(kind).await;
    let req = route(vec![stop("c", 37.53), stop("a", 37.51), stop("b", 37.52)]);
    let plan = w.shipping.plan_route(w.by(SELLER), req).await.unwrap();
    let order: Vec<_> = plan.stops.iter().map(|s| s.stop_id.as_str()).collect();
    assert_eq!(order, ["a", "b", "c"]);
    // 0.03 degrees of latitude, times 1.3, at 25 km/h.
    assert!((plan.distance_meters - 4_337).abs() <= 1, "{plan:?}");
    assert!((plan.duration.unwrap().seconds - 624).abs() <= 1);
    let back = wire::PlanRouteRequest { round_trip: true, ..route(vec![stop("a", 37.51)]) };
    assert!((w.shipping.plan_route(w.by(SELLER), back).await.unwrap().distance_meters - 2_891).abs() <= 1);
    let many = (0..100).map(|n| stop(&n.to_string(), 37.0 + f64::from(n * 37 % 100) / 100.0)).collect();
    assert_eq!(w.shipping.plan_route(w.by(SELLER), route(many)).await.unwrap().stops.len(), 100);
}

pub async fn a_route_that_makes_no_sense_says_where(kind: Kind) {
    let w = World::new(kind).await;
    let mut shut = stop("b", 37.0);
    shut.open_time = Some(proto::timestamp(w.now()));
    shut.close_time = Some(proto::timestamp(jangteo_core::from_micros(0)));
    let req = route(vec![stop("a", 91.0), shut, stop("a", f64::NAN)]);
    let e = w.shipping.plan_route(w.by(SELLER), req).await.unwrap_err();
    let fields: Vec<_> = e.field_violations().iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["stops[0].location", "stops[1].close_time", "stops[2].location", "stops[2].stop_id"]);
}
