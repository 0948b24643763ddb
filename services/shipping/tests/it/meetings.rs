//! Handing over in person.

use crate::support::{BUYER, SELLER, STRANGER, World, meeting};
use jangteo_core::Result;
use proto::jangteo::shipping::v1::{self as wire, ShipmentStatus, ShippingOption, shipping_service::Api};
use testbed::Kind;

async fn arranged(w: &World) -> String {
    let s = w.paid(ShippingOption::MeetUp).await;
    w.book(&s.shipment_id, meeting()).await.unwrap().shipment_id
}

async fn issue(w: &World, id: &str, who: &str) -> Result<String> {
    let req = wire::IssueHandoverCodeRequest { shipment_id: id.into() };
    Ok(w.shipping.issue_handover_code(w.by(who), req).await?.code)
}

async fn enter(w: &World, id: &str, who: &str, code: &str) -> Result<wire::Shipment> {
    let req = wire::HandOverShipmentRequest { shipment_id: id.into(), code: code.into() };
    w.shipping.hand_over_shipment(w.by(who), req).await
}

fn wrong(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

pub async fn a_code_proves_the_meeting(kind: Kind) {
    let w = World::new(kind).await;
    for (shows, enters) in [(BUYER, SELLER), (SELLER, BUYER)] {
        let id = arranged(&w).await;
        let code = issue(&w, &id, shows).await.unwrap();
        assert!(!w.stores.stored(&format!("\u{1}{code}")) && code.len() == 6);
        let done = enter(&w, &id, enters, &code).await.unwrap();
        assert_eq!(done.status(), ShipmentStatus::Delivered);
        assert_eq!(w.events(&id).await, ["Prepared", "Ready", "Booked", "PickedUp", "Delivered"]);
    }
    w.sound().await;
}

pub async fn codes_run_out(kind: Kind) {
    let w = World::new(kind).await;
    let id = arranged(&w).await;
    let code = issue(&w, &id, BUYER).await.unwrap();
    for left in (0..5).rev() {
        let e = enter(&w, &id, SELLER, &wrong(&code)).await.unwrap_err();
        assert_eq!((e.reason(), e.metadata()["attempts_left"].clone()), ("WRONG_CODE", left.to_string()));
    }
    assert_eq!(enter(&w, &id, SELLER, &code).await.unwrap_err().reason(), "NO_CODE", "too many attempts");
    let code = issue(&w, &id, BUYER).await.unwrap();
    w.pass(600_001);
    assert_eq!(enter(&w, &id, SELLER, &code).await.unwrap_err().reason(), "NO_CODE", "too late");
    let code = issue(&w, &id, BUYER).await.unwrap();
    assert_eq!(enter(&w, &id, SELLER, &wrong(&code)).await.unwrap_err().reason(), "WRONG_CODE");
    assert_eq!(enter(&w, &id, SELLER, &code).await.unwrap().status(), ShipmentStatus::Delivered);
    w.sound().await;
}

pub async fn a_code_is_for_the_other_one(kind: Kind) {
    let w = World::new(kind).await;
    let id = arranged(&w).await;
    let code = issue(&w, &id, SELLER).await.unwrap();
    assert_eq!(enter(&w, &id, SELLER, &code).await.unwrap_err().reason(), "OWN_CODE", "a seller can't prove it alone");
    assert_eq!(enter(&w, &id, STRANGER, &code).await.unwrap_err().reason(), "SHIPMENT_NOT_FOUND");
    assert_eq!(issue(&w, &id, STRANGER).await.unwrap_err().reason(), "SHIPMENT_NOT_FOUND");
    let other = arranged(&w).await;
    issue(&w, &other, SELLER).await.unwrap();
    assert_eq!(enter(&w, &other, BUYER, &code).await.unwrap_err().reason(), "WRONG_CODE", "a code is of one shipment");
    assert_eq!(enter(&w, &id, BUYER, &code).await.unwrap().status(), ShipmentStatus::Delivered);
}

pub async fn a_new_code_replaces_the_old(kind: Kind) {
    let w = World::new(kind).await;
    let id = arranged(&w).await;
    let old = issue(&w, &id, BUYER).await.unwrap();
    let new = issue(&w, &id, BUYER).await.unwrap();
    if old != new {
        assert_eq!(enter(&w, &id, SELLER, &old).await.unwrap_err().reason(), "WRONG_CODE");
    }
    assert!(enter(&w, &id, SELLER, &new).await.is_ok());
}

pub async fn handing_over_again_answers_the_same(kind: Kind) {
    let w = World::new(kind).await;
    let id = arranged(&w).await;
    let code = issue(&w, &id, BUYER).await.unwrap();
    let first = enter(&w, &id, SELLER, &code).await.unwrap();
    assert_eq!(enter(&w, &id, SELLER, &code).await.unwrap(), first);
    assert_eq!(enter(&w, &id, SELLER, &wrong(&code)).await.unwrap_err().reason(), "WRONG_STATUS");
    assert_eq!(issue(&w, &id, BUYER).await.unwrap_err().reason(), "WRONG_STATUS");
    assert_eq!(w.events(&id).await.len(), 5);
    w.sound().await;
}

pub async fn there_is_no_meeting_before_it_is_arranged(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(ShippingOption::MeetUp).await;
    assert_eq!(issue(&w, &s.shipment_id, BUYER).await.unwrap_err().reason(), "NO_MEETING");
    let parcel = w.booked().await;
    assert_eq!(issue(&w, &parcel.shipment_id, BUYER).await.unwrap_err().reason(), "WRONG_STATUS");
    let first = w.book(&s.shipment_id, meeting()).await.unwrap();
    let place = wire::MeetUp { place: "시청역".into(), ..first.meet_up.clone().unwrap() };
    let moved = w.book(&s.shipment_id, wire::book_shipment_request::Booking::MeetUp(place.clone())).await.unwrap();
    assert_eq!(moved.meet_up, Some(place));
    assert_eq!(w.events(&s.shipment_id).await, ["Prepared", "Ready", "Booked"]);
    w.cancel(&s.order_id, &[]).await.unwrap();
    assert_eq!(issue(&w, &s.shipment_id, BUYER).await.unwrap_err().reason(), "WRONG_STATUS");
    assert_eq!(w.book(&s.shipment_id, meeting()).await.unwrap_err().reason(), "WRONG_STATUS");
    w.sound().await;
}
