//! Who sees what.

use crate::support::{BUYER, SELLER, SELLER_2, STRANGER, World, order_id, parcel, spec};
use jangteo_core::Call;
use proto::jangteo::shipping::v1::{
    self as wire, ShipmentParty, ShipmentStatus, ShippingOption, shipping_service::Api,
};
use testbed::{Kind, anonymous, at, with_roles};

async fn list(w: &World, who: &str, req: wire::ListShipmentsRequest) -> Vec<String> {
    let found = w.shipping.list_shipments(w.by(who), req).await.unwrap();
    found.shipments.into_iter().map(|s| s.shipment_id).collect()
}

pub async fn everybody_sees_their_own(kind: Kind) {
    let w = World::new(kind).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let parts = vec![spec(1, SELLER, ShippingOption::Parcel), spec(2, SELLER_2, ShippingOption::Parcel)];
        made.push(w.prepare(&order_id(), parts).await.unwrap());
    }
    let id = |order: usize, part: usize| made[order][part].shipment_id.clone();
    let all = || wire::ListShipmentsRequest { page_size: 100, ..Default::default() };
    assert_eq!(list(&w, BUYER, all()).await, [id(2, 1), id(2, 0), id(1, 1), id(1, 0), id(0, 1), id(0, 0)]);
    assert_eq!(list(&w, SELLER, all()).await, [id(2, 0), id(1, 0), id(0, 0)]);
    assert_eq!(list(&w, STRANGER, all()).await, Vec::<String>::new());
    let as_seller = wire::ListShipmentsRequest { party: ShipmentParty::Seller.into(), ..all() };
    assert_eq!(list(&w, BUYER, as_seller.clone()).await, Vec::<String>::new());
    assert_eq!(list(&w, SELLER_2, as_seller).await.len(), 3);
    let of_order = wire::ListShipmentsRequest { order_id: made[1][0].order_id.clone(), ..all() };
    assert_eq!(list(&w, BUYER, of_order).await, [id(1, 1), id(1, 0)]);
    w.ready(&made[0][0].order_id).await.unwrap();
    let ready = wire::ListShipmentsRequest { statuses: vec![ShipmentStatus::Ready.into()], ..all() };
    assert_eq!(list(&w, BUYER, ready).await, [id(0, 1), id(0, 0)]);

    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let req = wire::ListShipmentsRequest { page_size: 4, page_token: token, ..Default::default() };
        let page = w.shipping.list_shipments(w.by(BUYER), req).await.unwrap();
        pages.extend(page.shipments.into_iter().map(|s| s.shipment_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        let stolen = wire::ListShipmentsRequest { page_token: token.clone(), ..Default::default() };
        assert!(w.shipping.list_shipments(w.by(SELLER), stolen).await.is_err(), "a token is of one list");
    }
    assert_eq!(pages, list(&w, BUYER, all()).await);
}

async fn sees_address(w: &World, cx: Call, shipment_id: &str) -> bool {
    let req = wire::GetShipmentRequest { shipment_id: shipment_id.into() };
    w.shipping.get_shipment(cx, req).await.unwrap().destination.is_some()
}

pub async fn an_address_is_the_buyers_until_it_is_paid(kind: Kind) {
    let w = World::new(kind).await;
    let order = order_id();
    let s = w.prepare(&order, vec![spec(1, SELLER, ShippingOption::Parcel)]).await.unwrap().remove(0);
    let id = &s.shipment_id;
    let admin = || at(with_roles(STRANGER, &["user", "admin"]), w.now());
    assert!(sees_address(&w, w.by(BUYER), id).await);
    assert!(!sees_address(&w, w.by(SELLER), id).await);
    w.ready(&order).await.unwrap();
    assert!(sees_address(&w, w.by(SELLER), id).await);
    assert!(!sees_address(&w, admin(), id).await);
    let listed = w.shipping.list_shipments(w.by(SELLER), wire::ListShipmentsRequest::default()).await.unwrap();
    assert!(listed.shipments[0].destination.is_some());
    w.cancel(&order, &[]).await.unwrap();
    assert!(!sees_address(&w, w.by(SELLER), id).await, "there is nothing to send any more");
    assert!(sees_address(&w, w.by(BUYER), id).await);
}

pub async fn strangers_find_nothing(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    let get = |shipment_id: &str| wire::GetShipmentRequest { shipment_id: shipment_id.into() };
    let e = w.shipping.get_shipment(w.by(STRANGER), get(&s.shipment_id)).await.unwrap_err();
    let absent = w.shipping.get_shipment(w.by(STRANGER), get("shp_0")).await.unwrap_err();
    assert_eq!((e.reason(), e.code()), (absent.reason(), absent.code()));
    let e = w.shipping.get_shipment(anonymous(), get(&s.shipment_id)).await.unwrap_err();
    assert_eq!(e.reason(), "SIGN_IN_REQUIRED");
}

pub async fn labels_are_the_sellers(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(ShippingOption::Parcel).await;
    let label = |cx: Call| {
        w.shipping.get_shipping_label(cx, wire::GetShippingLabelRequest { shipment_id: s.shipment_id.clone() })
    };
    assert_eq!(label(w.by(SELLER)).await.unwrap_err().reason(), "NO_LABEL");
    let s = w.book(&s.shipment_id, parcel("cj")).await.unwrap();
    let text = String::from_utf8(label(w.by(SELLER)).await.unwrap().data).unwrap();
    assert!(text.contains(&s.tracking_number) && text.contains("홍길동"), "{text}");
    assert_eq!(label(w.by(BUYER)).await.unwrap_err().reason(), "NOT_YOURS");
    assert_eq!(label(w.by(STRANGER)).await.unwrap_err().reason(), "SHIPMENT_NOT_FOUND");
}
