//! What carriers saw, in whatever order they tell.

use crate::support::{STEP_MS, World, webhook};
use jangteo_core::from_micros;
use proto::jangteo::shipping::v1::{self as wire, ShipmentStatus, shipping_service::Api};
use shipping::{
    carrier::{ScanEvent, sandbox::Reports},
    domain::Sight,
    store::booking,
};
use testbed::{Kind, anonymous, at};

fn way(s: &wire::Shipment) -> Vec<ScanEvent> {
    use ShipmentStatus::{Delivered, InTransit, OutForDelivery, PickedUp};
    let all = [PickedUp, InTransit, InTransit, OutForDelivery, Delivered];
    let scan = |(n, status): (usize, ShipmentStatus)| ScanEvent {
        tracking_number: s.tracking_number.clone(),
        sight: Sight {
            event_id: format!("e{n}"),
            status,
            place: "옥천".into(),
            time: from_micros(1_770_000_000_000_000 + i64::try_from(n).unwrap()),
        },
    };
    all.into_iter().enumerate().map(scan).collect()
}

pub async fn reports_in_any_order_and_twice_come_to_the_same(kind: Kind) {
    let w = World::new(kind).await;
    let orders: [&[usize]; 5] =
        [&[0, 1, 2, 3, 4], &[4, 3, 2, 1, 0], &[2, 2, 0, 4, 1, 3, 4], &[1, 0, 1, 4, 4, 3, 2], &[4, 0]];
    for order in orders {
        let s = w.booked().await;
        for n in order {
            w.report("cj", &way(&s)[*n..=*n]).await.unwrap();
        }
        assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Delivered, "{order:?}");
        let events = w.events(&s.shipment_id).await;
        assert_eq!(&events[..4], ["Prepared", "Ready", "Booked", "PickedUp"], "{order:?}");
        assert_eq!(events.iter().filter(|e| *e == "Delivered").count(), 1, "{order:?}");
        let mut seen: Vec<_> = order.to_vec();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(w.lines(&s.shipment_id, 0).await.len(), 3 + seen.len(), "each scan is one line: {order:?}");
    }
    // All of them in one report, the newest first: it is sorted, so nothing is late.
    let s = w.booked().await;
    let mut all = way(&s);
    all.reverse();
    w.report("cj", &all).await.unwrap();
    let lines = w.lines(&s.shipment_id, 0).await;
    assert!(lines.iter().all(|l| !l.event.as_ref().unwrap().late), "{lines:?}");
    w.sound().await;
}

pub async fn a_returned_parcel_ends_there(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    let mut scans = way(&s);
    scans[3].sight.status = ShipmentStatus::Returned;
    w.report("cj", &scans).await.unwrap();
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Returned);
    assert_eq!(w.events(&s.shipment_id).await.last().unwrap(), "Returned");
    assert!(
        w.lines(&s.shipment_id, 0).await.last().unwrap().event.as_ref().unwrap().late,
        "delivered it can't be any more"
    );
    assert_eq!(w.cancel(&s.order_id, &[]).await.unwrap_err().reason(), "SHIPMENT_UNDERWAY");
    w.sound().await;
}

pub async fn reports_are_signed(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    let delivery = w.sandbox.delivery("cj", w.now(), &way(&s));
    let send = async |signature: Option<&str>, body: &[u8], later: u64| {
        w.pass(later);
        let mut cx = at(anonymous(), w.now());
        cx.headers.extend(signature.map(|s| ("x-carrier-signature".to_owned(), s.to_owned())));
        w.shipping.receive_carrier_webhook(cx, webhook("cj", body.to_vec())).await
    };
    let sig = delivery.signature.as_str();
    assert_eq!(send(None, &delivery.body, 0).await.unwrap_err().reason(), "SIGNATURE_INVALID");
    assert_eq!(send(Some("t=1,v1=00"), &delivery.body, 0).await.unwrap_err().reason(), "SIGNATURE_INVALID");
    let mut forged = delivery.body.clone();
    *forged.last_mut().unwrap() = b' ';
    assert_eq!(send(Some(sig), &forged, 0).await.unwrap_err().reason(), "SIGNATURE_INVALID");
    assert_eq!(
        send(Some(sig), &delivery.body, 301_000).await.unwrap_err().reason(),
        "SIGNATURE_INVALID",
        "caught and sent later"
    );
    let e = w.shipping.receive_carrier_webhook(anonymous(), webhook("pigeon", vec![])).await.unwrap_err();
    assert_eq!(e.reason(), "CARRIER_NOT_FOUND");
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Booked);
}

pub async fn a_late_scan_is_history_and_no_step_back(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    w.report("cj", &way(&s)[3..4]).await.unwrap();
    w.report("cj", &way(&s)[1..2]).await.unwrap();
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::OutForDelivery);
    w.report("cj", &way(&s)[4..]).await.unwrap();
    let lines = w.lines(&s.shipment_id, 3).await;
    let seen: Vec<_> = lines.iter().map(|l| l.event.clone().unwrap()).map(|e| (e.status(), e.late)).collect();
    use ShipmentStatus::{Delivered, InTransit, OutForDelivery};
    assert_eq!(seen, [(OutForDelivery, false), (InTransit, true), (Delivered, false)]);
    w.sound().await;
}

pub async fn an_unknown_number_is_refused_and_the_rest_counts(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    let mut scans = way(&s);
    scans[0].tracking_number = "000000000000".into();
    let e = w.report("cj", &scans).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["tracking_number"].as_str()), ("TRACKING_NUMBER_UNKNOWN", "000000000000"));
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Delivered);
    // A number is of one carrier.
    let e = w.report("hanjin", &way(&s)).await.unwrap_err();
    assert_eq!(e.reason(), "TRACKING_NUMBER_UNKNOWN");
    w.sound().await;
}

pub async fn polling_finds_what_no_webhook_told(kind: Kind) {
    let w = World::with(kind, Reports::Never).await;
    let s = w.booked().await;
    w.pass(STEP_MS);
    w.poll().await;
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Booked, "not due yet");
    w.pass(300_000 - STEP_MS);
    w.play().await;
    w.poll().await;
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Delivered);
    let events = ["Prepared", "Ready", "Booked", "PickedUp", "Moved", "Moved", "Moved", "Delivered"];
    assert_eq!(w.events(&s.shipment_id).await, events);
    let due = booking::find(w.stores.db().primary(), &s.shipment_id).await.unwrap().unwrap().due_time;
    assert_eq!(due, booking::NEVER);
    w.sound().await;
}

pub async fn polling_slows_down_while_nothing_happens(kind: Kind) {
    let w = World::with(kind, Reports::Never).await;
    let s = w.paid(wire::ShippingOption::Parcel).await;
    w.book(&s.shipment_id, crate::support::own("hanjin", "123456789012")).await.unwrap();
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let due = booking::find(w.stores.db().primary(), &s.shipment_id).await.unwrap().unwrap().due_time;
        let now = w.now().timestamp_micros();
        pauses.push((due - now + 500_000) / 1_000_000);
        w.pass(u64::try_from((due - now) / 1_000).unwrap() + 1);
        w.poll().await;
    }
    assert_eq!(pauses, [300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 21_600, 21_600]);
}

pub async fn somebody_elses_old_parcel_proves_nothing(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(wire::ShippingOption::Parcel).await;
    let s = w.book(&s.shipment_id, crate::support::own("hanjin", "123456789012")).await.unwrap();
    let mut old = way(&s);
    old.iter_mut().for_each(|scan| scan.sight.time -= chrono::TimeDelta::days(2));
    w.report("hanjin", &old).await.unwrap();
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Booked);
    w.report("hanjin", &way(&s)).await.unwrap();
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Delivered);
    w.sound().await;
}

pub async fn a_rough_sandbox_delivers_once(kind: Kind) {
    let w = World::with(kind, Reports::Rough).await;
    let (a, b) = (w.booked().await, w.booked().await);
    w.pass(3 * STEP_MS);
    w.play().await;
    w.pass(4 * STEP_MS);
    w.play().await;
    w.play().await;
    for s in [a, b] {
        assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Delivered);
        let events = w.events(&s.shipment_id).await;
        assert_eq!(events.iter().filter(|e| *e == "Delivered").count(), 1);
        assert_eq!(w.lines(&s.shipment_id, 0).await.len(), 3 + 5);
    }
    w.sound().await;
}
