//! Booking, with carriers that answer and carriers that don't.

use crate::support::{BUYER, SELLER, STEP_MS, STRANGER, World, meeting, order_id, own, parcel, spec, store};
use proto::jangteo::shipping::v1::{self as wire, ShipmentStatus, ShippingOption, shipping_service::Api};
use shipping::store::booking::{self, State};
use std::sync::atomic::Ordering;
use testbed::{Kind, keyed};

async fn state(w: &World, shipment_id: &str) -> Option<State> {
    booking::find(w.stores.db().primary(), shipment_id).await.unwrap().map(|b| b.state().unwrap())
}

pub async fn a_parcel_goes_from_booking_to_the_door(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    assert_eq!((s.status(), s.carrier.as_str(), s.tracking_number.len()), (ShipmentStatus::Booked, "cj", 12));
    for (n, status) in [
        ShipmentStatus::Booked,
        ShipmentStatus::PickedUp,
        ShipmentStatus::InTransit,
        ShipmentStatus::InTransit,
        ShipmentStatus::OutForDelivery,
        ShipmentStatus::Delivered,
    ]
    .into_iter()
    .enumerate()
    {
        w.play().await;
        assert_eq!(w.status(&s.shipment_id).await, status, "step {n}");
        w.pass(STEP_MS);
    }
    let events = ["Prepared", "Ready", "Booked", "PickedUp", "Moved", "Moved", "Moved", "Delivered"];
    assert_eq!(w.events(&s.shipment_id).await, events);
    assert_eq!(state(&w, &s.shipment_id).await, Some(State::Done));
    for brand in ["gs25", "cu"] {
        let s = w.paid(ShippingOption::ConvenienceStore).await;
        let s = w.book(&s.shipment_id, store(brand)).await.unwrap();
        assert_eq!((s.status(), s.carrier.as_str(), s.store_id.as_str()), (ShipmentStatus::Booked, brand, "V1234"));
    }
    w.sound().await;
}

pub async fn only_the_seller_books_and_only_as_ordered(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(ShippingOption::Parcel).await;
    let req = || wire::BookShipmentRequest {
        shipment_id: s.shipment_id.clone(),
        booking: Some(parcel("cj")),
        request_id: String::new(),
    };
    let e = w.shipping.book_shipment(w.by(BUYER), req()).await.unwrap_err();
    assert_eq!(e.reason(), "NOT_YOURS");
    let e = w.shipping.book_shipment(w.by(STRANGER), req()).await.unwrap_err();
    assert_eq!(e.reason(), "SHIPMENT_NOT_FOUND");
    for wrong in [store("gs25"), meeting(), parcel("dhl"), parcel("cu")] {
        let e = w.book(&s.shipment_id, wrong).await.unwrap_err();
        assert_eq!(e.reason(), "WRONG_BOOKING");
    }
    let e = w.book(&s.shipment_id, parcel("pigeon")).await.unwrap_err();
    assert_eq!(e.field_violations()[0].field, "parcel.carrier");
    let stored = w.paid(ShippingOption::ConvenienceStore).await;
    for wrong in [parcel("gs25"), own("cu", "12345678"), store("cj")] {
        assert_eq!(w.book(&stored.shipment_id, wrong).await.unwrap_err().reason(), "WRONG_BOOKING");
    }
    assert_eq!(w.trouble.asked.load(Ordering::SeqCst), 0);
    w.sound().await;
}

pub async fn a_repeated_booking_is_the_same(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(ShippingOption::Parcel).await;
    let req = || wire::BookShipmentRequest {
        shipment_id: s.shipment_id.clone(),
        booking: Some(parcel("cj")),
        request_id: "k".into(),
    };
    let first = w.shipping.book_shipment(keyed(w.by(SELLER), "k", 1), req()).await.unwrap();
    let again = w.shipping.book_shipment(keyed(w.by(SELLER), "k", 1), req()).await.unwrap();
    assert_eq!(first, again);
    let e = w.shipping.book_shipment(keyed(w.by(SELLER), "k", 2), req()).await.unwrap_err();
    assert_eq!(e.reason(), "REQUEST_ID_REUSED");
    assert_eq!(w.book(&s.shipment_id, parcel("cj")).await.unwrap(), first, "also without a key");
    assert_eq!(w.book(&s.shipment_id, parcel("hanjin")).await.unwrap_err().reason(), "ALREADY_BOOKED");
    assert_eq!(w.trouble.asked.load(Ordering::SeqCst), 1);
    w.sound().await;
}

pub async fn a_silent_carrier_is_asked_again_by_its_key(kind: Kind) {
    let w = World::new(kind).await;
    w.trouble.mute.store(1, Ordering::SeqCst);
    let s = w.booked().await;
    assert_eq!((s.status(), s.booking_pending), (ShipmentStatus::Ready, true));
    w.sound().await;
    w.settle().await;
    assert!(w.get(&s.shipment_id).await.booking_pending, "not before its time");
    w.pass(20_000);
    w.settle().await;
    let booked = w.get(&s.shipment_id).await;
    assert_eq!((booked.status(), booked.booking_pending), (ShipmentStatus::Booked, false));
    assert_eq!(w.trouble.asked.load(Ordering::SeqCst), 1, "it was looked up, not booked again");
    w.deliver().await;
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Delivered);
    w.sound().await;
}

pub async fn a_booking_that_never_reached_the_carrier_is_made_by_the_job(kind: Kind) {
    let w = World::new(kind).await;
    w.trouble.deaf.store(2, Ordering::SeqCst);
    let s = w.booked().await;
    assert!(s.booking_pending);
    w.pass(31_000);
    w.settle().await;
    assert!(w.get(&s.shipment_id).await.booking_pending, "deaf a second time");
    w.pass(600_000);
    w.settle().await;
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Booked);
    assert_eq!(w.trouble.asked.load(Ordering::SeqCst), 3);
    w.sound().await;
}

pub async fn a_refused_parcel_may_be_booked_elsewhere(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(ShippingOption::Parcel).await;
    w.trouble.refuse.store(1, Ordering::SeqCst);
    let e = w.book(&s.shipment_id, parcel("cj")).await.unwrap_err();
    assert_eq!(e.reason(), "CARRIER_REFUSED");
    assert_eq!(state(&w, &s.shipment_id).await, None);
    let s = w.book(&s.shipment_id, parcel("hanjin")).await.unwrap();
    assert_eq!((s.status(), s.carrier.as_str()), (ShipmentStatus::Booked, "hanjin"));
    w.sound().await;
}

pub async fn a_late_refusal_is_of_its_own_booking(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(ShippingOption::Parcel).await;
    let (open, gate) = tokio::sync::oneshot::channel();
    *w.trouble.gate.lock().unwrap() = Some(gate);
    w.trouble.refuse.store(2, Ordering::SeqCst);
    let slow = w.book(&s.shipment_id, parcel("cj"));
    let meanwhile = async {
        while w.trouble.gate.lock().unwrap().is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(w.book(&s.shipment_id, parcel("cj")).await.unwrap_err().reason(), "CARRIER_REFUSED");
        w.trouble.refuse.store(0, Ordering::SeqCst);
        w.trouble.deaf.store(1, Ordering::SeqCst);
        let other = w.book(&s.shipment_id, parcel("hanjin")).await.unwrap();
        assert!(other.booking_pending);
        w.trouble.refuse.store(1, Ordering::SeqCst);
        open.send(()).unwrap();
    };
    let (slow, ()) = futures::join!(slow, meanwhile);
    assert_eq!(slow.unwrap_err().reason(), "CARRIER_REFUSED");
    assert!(w.get(&s.shipment_id).await.booking_pending, "the other booking still is");
    w.pass(31_000);
    w.settle().await;
    assert_eq!(w.get(&s.shipment_id).await.carrier, "hanjin");
    w.sound().await;
}

pub async fn a_cancelled_booking_is_cancelled_with_the_carrier(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    w.cancel(&s.order_id, &[]).await.unwrap();
    assert_eq!(state(&w, &s.shipment_id).await, Some(State::Cancelling));
    w.settle().await;
    assert_eq!(state(&w, &s.shipment_id).await, Some(State::Cancelled));
    w.deliver().await;
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Cancelled);
    assert_eq!(w.events(&s.shipment_id).await, ["Prepared", "Ready", "Booked", "Cancelled"]);
    // One that leaves between the cancellation and the carrier's hearing of it is found out.
    let s = w.booked().await;
    w.cancel(&s.order_id, &[]).await.unwrap();
    w.pass(STEP_MS);
    w.settle().await;
    assert_eq!(state(&w, &s.shipment_id).await, Some(State::Escaped));
    w.sound().await;
}

pub async fn a_cancel_in_the_middle_of_a_booking_finds_it(kind: Kind) {
    let w = World::new(kind).await;
    w.trouble.mute.store(1, Ordering::SeqCst);
    let heard = w.booked().await;
    w.trouble.deaf.store(1, Ordering::SeqCst);
    let unheard = w.booked().await;
    for s in [&heard, &unheard] {
        assert!(s.booking_pending);
        w.cancel(&s.order_id, &[1]).await.unwrap();
        assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Cancelled);
    }
    w.settle().await;
    assert_eq!(state(&w, &heard.shipment_id).await, Some(State::Cancelled));
    assert_eq!(state(&w, &unheard.shipment_id).await, Some(State::Cancelling), "it may still arrive");
    for _ in 0..8 {
        w.pass(3_600_000);
        w.settle().await;
    }
    assert_eq!(state(&w, &unheard.shipment_id).await, Some(State::Cancelled));
    w.deliver().await;
    assert_eq!(w.status(&heard.shipment_id).await, ShipmentStatus::Cancelled);
    w.sound().await;
}

pub async fn a_cancel_learns_first_what_the_carrier_saw(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    w.pass(STEP_MS);
    // No webhook arrived yet.
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Booked);
    let e = w.cancel(&s.order_id, &[]).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["status"].as_str()), ("SHIPMENT_UNDERWAY", "picked up"));
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::PickedUp);
    w.sound().await;
}

pub async fn a_number_of_the_sellers_own_is_followed_once(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(ShippingOption::Parcel).await;
    let e = w.book(&s.shipment_id, own("cj", "123456789012")).await.unwrap_err();
    assert_eq!(e.reason(), "OWN_NUMBER_REFUSED");
    let s = w.book(&s.shipment_id, own("hanjin", "123456789012")).await.unwrap();
    assert_eq!((s.status(), s.tracking_number.as_str()), (ShipmentStatus::Booked, "123456789012"));
    assert_eq!(w.book(&s.shipment_id, own("hanjin", "123456789012")).await.unwrap(), s);
    let other = w.paid(ShippingOption::Parcel).await;
    let e = w.book(&other.shipment_id, own("hanjin", "123456789012")).await.unwrap_err();
    assert_eq!(e.reason(), "TRACKING_NUMBER_TAKEN");
    let e = w.book(&s.shipment_id, own("hanjin", "999999999999")).await.unwrap_err();
    assert_eq!(e.reason(), "ALREADY_BOOKED");
    assert_eq!(w.trouble.asked.load(Ordering::SeqCst), 0);
    w.cancel(&s.order_id, &[]).await.unwrap();
    assert_eq!(state(&w, &s.shipment_id).await, Some(State::Cancelled), "there is nobody to tell");
    let order = order_id();
    let heavy = wire::ShipmentSpec { weight_grams: 20_000, sum_cm: 160, ..spec(1, SELLER, ShippingOption::Parcel) };
    w.prepare(&order, vec![heavy]).await.unwrap();
    let heavy = w.ready(&order).await.unwrap().remove(0);
    assert_eq!(w.book(&heavy.shipment_id, parcel("cj")).await.unwrap().status(), ShipmentStatus::Booked);
    w.sound().await;
}
