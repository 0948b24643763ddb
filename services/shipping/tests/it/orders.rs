//! What the order service asks for.

use crate::support::{BUYER, SELLER, SELLER_2, STREET, World, meeting, order_id, parcel, spec};
use kit::db::{Tx, crypt::Sealer};
use proto::jangteo::shipping::v1::{ShipmentStatus, ShippingOption};
use testbed::Kind;

pub async fn a_prepared_shipment_waits_for_the_payment(kind: Kind) {
    let w = World::new(kind).await;
    let order = order_id();
    let made = w.prepare(&order, vec![spec(1, SELLER, ShippingOption::Parcel)]).await.unwrap().remove(0);
    assert_eq!((made.status(), made.part, made.fee.as_ref().unwrap().units), (ShipmentStatus::Prepared, 1, 3_500));
    assert!(made.destination.is_none(), "order needs no address");
    let e = w.book(&made.shipment_id, parcel("cj")).await.unwrap_err();
    assert_eq!(e.reason(), "WRONG_STATUS");
    assert_eq!(w.ready(&order).await.unwrap()[0].status(), ShipmentStatus::Ready);
    assert_eq!(w.get(&made.shipment_id).await.destination.unwrap().line1, STREET);
    assert_eq!(w.events(&made.shipment_id).await, ["Prepared", "Ready"]);
    w.sound().await;
}

pub async fn asking_again_changes_nothing(kind: Kind) {
    let w = World::new(kind).await;
    let order = order_id();
    let parts = vec![spec(1, SELLER, ShippingOption::Parcel), spec(2, SELLER_2, ShippingOption::MeetUp)];
    let first = w.prepare(&order, parts.clone()).await.unwrap();
    assert_eq!(w.prepare(&order, parts.clone()).await.unwrap(), first);
    let e = w.prepare(&order, vec![spec(1, SELLER_2, ShippingOption::Parcel)]).await.unwrap_err();
    assert_eq!(e.reason(), "SHIPMENT_DIFFERS");
    let ready = w.ready(&order).await.unwrap();
    assert_eq!(w.ready(&order).await.unwrap(), ready);
    assert_eq!(w.prepare(&order, parts).await.unwrap(), ready, "a step that is repeated late finds what became of it");
    w.cancel(&order, &[]).await.unwrap();
    w.cancel(&order, &[]).await.unwrap();
    w.cancel(&order, &[1]).await.unwrap();
    assert_eq!(w.events(&first[0].shipment_id).await, ["Prepared", "Ready", "Cancelled"]);
    w.sound().await;
}

pub async fn a_cancel_that_comes_first_stays(kind: Kind) {
    let w = World::new(kind).await;
    let order = order_id();
    assert_eq!(w.ready(&order).await.unwrap_err().reason(), "NOT_PREPARED");
    w.cancel(&order, &[]).await.unwrap();
    let e = w.prepare(&order, vec![spec(1, SELLER, ShippingOption::Parcel)]).await.unwrap_err();
    assert_eq!(e.reason(), "SHIPMENT_CANCELLED");
    assert_eq!(w.ready(&order).await.unwrap_err().reason(), "SHIPMENT_CANCELLED");
    let order = order_id();
    w.cancel(&order, &[2]).await.unwrap();
    w.prepare(&order, vec![spec(1, SELLER, ShippingOption::Parcel)]).await.unwrap();
    let both = vec![spec(1, SELLER, ShippingOption::Parcel), spec(2, SELLER_2, ShippingOption::Parcel)];
    assert_eq!(w.prepare(&order, both).await.unwrap_err().reason(), "SHIPMENT_CANCELLED");
    w.sound().await;
}

pub async fn a_part_is_cancelled_alone(kind: Kind) {
    let w = World::new(kind).await;
    let order = order_id();
    let parts = vec![spec(1, SELLER, ShippingOption::Parcel), spec(2, SELLER_2, ShippingOption::Parcel)];
    w.prepare(&order, parts).await.unwrap();
    w.cancel(&order, &[1]).await.unwrap();
    let statuses: Vec<_> = w.ready(&order).await.unwrap().iter().map(|s| s.status()).collect();
    assert_eq!(statuses, [ShipmentStatus::Cancelled, ShipmentStatus::Ready]);
    w.cancel(&order, &[2]).await.unwrap();
    assert_eq!(w.ready(&order).await.unwrap_err().reason(), "SHIPMENT_CANCELLED");
    w.sound().await;
}

pub async fn what_is_under_way_is_not_cancelled(kind: Kind) {
    let w = World::new(kind).await;
    let order = order_id();
    let parts = vec![spec(1, SELLER, ShippingOption::Parcel), spec(2, SELLER_2, ShippingOption::MeetUp)];
    w.prepare(&order, parts).await.unwrap();
    let ids: Vec<_> = w.ready(&order).await.unwrap().into_iter().map(|s| s.shipment_id).collect();
    w.book(&ids[0], parcel("cj")).await.unwrap();
    w.deliver().await;
    let e = w.cancel(&order, &[]).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["part"].as_str()), ("SHIPMENT_UNDERWAY", "1"));
    assert_eq!(w.status(&ids[1]).await, ShipmentStatus::Ready, "all or none");
    w.cancel(&order, &[2]).await.unwrap();
    assert_eq!(w.status(&ids[1]).await, ShipmentStatus::Cancelled);
    w.sound().await;
}

pub async fn nothing_personal_is_readable_in_the_store(kind: Kind) {
    let w = World::new(kind).await;
    let parcel = w.booked().await;
    let met = w.paid(ShippingOption::MeetUp).await;
    let met = w.book(&met.shipment_id, meeting()).await.unwrap();
    w.deliver().await;
    assert_eq!(parcel.destination.unwrap().recipient, "홍길동");
    assert!(met.meet_up.unwrap().place.starts_with("을지로"));
    for text in [STREET, "홍길동", "1012345678", "을지로입구역", "04524"] {
        assert!(!w.stores.stored(text), "{text}");
    }
    if kind == Kind::Sqlite {
        assert!(w.stores.stored(&parcel.shipment_id), "the search does look into the files");
    }
}

pub async fn an_erased_buyer_leaves_no_address(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    let sealer = Sealer::new(w.stores.keyring());
    w.stores.db().write(&w.job(), async |tx: Tx| sealer.erase(&tx, BUYER).await).await.unwrap();
    let seen = w.get(&s.shipment_id).await;
    assert!(seen.destination.is_none());
    assert_eq!(seen.tracking_number, s.tracking_number, "the parcel goes on");
    w.deliver().await;
    assert_eq!(w.status(&s.shipment_id).await, ShipmentStatus::Delivered);
}
