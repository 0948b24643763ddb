//! Many at once.

use crate::support::{BUYER, SELLER, World, meeting, order_id, parcel, report, spec};
use futures::future::join_all;
use proto::jangteo::shipping::v1::{self as wire, ShipmentStatus, ShippingOption, shipping_service::Api};
use shipping::{carrier::ScanEvent, domain::Sight};
use std::sync::atomic::Ordering;
use testbed::Kind;

pub async fn many_prepares_make_one_shipment(kind: Kind) {
    let w = World::new(kind).await;
    let order = &order_id();
    let all = join_all((0..12).map(|_| w.prepare(order, vec![spec(1, SELLER, ShippingOption::Parcel)]))).await;
    let ids: Vec<_> = all.into_iter().map(|made| made.unwrap().remove(0).shipment_id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(w.events(&ids[0]).await, ["Prepared"]);
    w.sound().await;
}

pub async fn prepare_and_cancel_have_one_winner(kind: Kind) {
    let w = World::new(kind).await;
    for _ in 0..8 {
        let order = &order_id();
        let prepare = w.prepare(order, vec![spec(1, SELLER, ShippingOption::Parcel)]);
        let (made, cancelled) = futures::join!(prepare, w.cancel(order, &[]));
        cancelled.unwrap();
        match made {
            Ok(made) => assert_eq!(w.status(&made[0].shipment_id).await, ShipmentStatus::Cancelled),
            Err(e) => assert_eq!(e.reason(), "SHIPMENT_CANCELLED"),
        }
    }
    w.sound().await;
}

pub async fn two_bookings_at_once_are_one(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(ShippingOption::Parcel).await;
    let id = &s.shipment_id;
    let all = join_all((0..10).map(|n| w.book(id, parcel(if n % 2 == 0 { "cj" } else { "hanjin" })))).await;
    let (done, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    let done: Vec<_> = done.into_iter().map(Result::unwrap).collect();
    assert_eq!((done.len(), refused.len()), (5, 5));
    let booked = w.get(id).await;
    assert!(done.iter().all(|s| s.status() == ShipmentStatus::Ready || s.tracking_number == booked.tracking_number));
    assert!(refused.into_iter().all(|e| e.unwrap_err().reason() == "ALREADY_BOOKED"));
    assert_eq!(w.events(id).await, ["Prepared", "Ready", "Booked"]);
    w.sound().await;
}

pub async fn cancel_and_booking_agree(kind: Kind) {
    let w = World::new(kind).await;
    for _ in 0..8 {
        let order = &order_id();
        w.prepare(order, vec![spec(1, SELLER, ShippingOption::Parcel)]).await.unwrap();
        let id = &w.ready(order).await.unwrap()[0].shipment_id;
        let (booked, cancelled) = futures::join!(w.book(id, parcel("cj")), w.cancel(order, &[1]));
        cancelled.unwrap();
        if let Err(e) = booked {
            assert_eq!(e.reason(), "WRONG_STATUS");
        }
        assert_eq!(w.status(id).await, ShipmentStatus::Cancelled);
        w.settle().await;
        w.sound().await;
    }
    w.pass(3_600_000);
    w.play().await;
    w.sound().await;
}

pub async fn guesses_at_once_are_counted_one_by_one(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(ShippingOption::MeetUp).await;
    let id = &w.book(&s.shipment_id, meeting()).await.unwrap().shipment_id;
    let req = wire::IssueHandoverCodeRequest { shipment_id: id.clone() };
    let code = w.shipping.issue_handover_code(w.by(BUYER), req).await.unwrap().code;
    let guess = |n: u32| wire::HandOverShipmentRequest {
        shipment_id: id.clone(),
        code: format!("{:06}", (code.parse::<u32>().unwrap() + 1 + n) % 1_000_000),
    };
    let all = join_all((0..30).map(|n| w.shipping.hand_over_shipment(w.by(SELLER), guess(n)))).await;
    let mut reasons: Vec<_> = all.into_iter().map(|e| e.unwrap_err().reason().to_owned()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons.iter().filter(|r| *r == "WRONG_CODE").count(), 5, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|r| *r == "NO_CODE").count(), 25, "{reasons:?}");
    let right = wire::HandOverShipmentRequest { shipment_id: id.clone(), code };
    let e = w.shipping.hand_over_shipment(w.by(SELLER), right).await.unwrap_err();
    assert_eq!(e.reason(), "NO_CODE", "the right one comes too late");
    assert_eq!(w.status(id).await, ShipmentStatus::Booked);
}

pub async fn the_same_report_at_once_counts_once(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    let scan = |n: i64, status: ShipmentStatus| ScanEvent {
        tracking_number: s.tracking_number.clone(),
        sight: Sight { event_id: format!("e{n}"), status, place: "서울".into(), time: w.now() },
    };
    let scans =
        &[scan(1, ShipmentStatus::PickedUp), scan(2, ShipmentStatus::InTransit), scan(3, ShipmentStatus::Delivered)];
    let now = w.now();
    let send = |n: usize| report(&w.shipping, &w.sandbox, "cj", std::slice::from_ref(&scans[n % 3]), now);
    for sent in join_all((0..15).map(send)).await {
        sent.unwrap();
    }
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Delivered);
    let events = w.events(&s.shipment_id).await;
    assert_eq!(events.iter().filter(|e| *e == "Delivered").count(), 1, "{events:?}");
    assert_eq!(events.iter().filter(|e| *e == "PickedUp").count(), 1, "{events:?}");
    assert_eq!(w.lines(&s.shipment_id, 0).await.len(), 6);
    assert_eq!(w.trouble.asked.load(Ordering::SeqCst), 1);
    w.sound().await;
}
