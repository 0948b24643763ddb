//! The live stream.

use crate::support::{BUYER, SELLER, STEP_MS, STRANGER, World};
use futures::StreamExt;
use jangteo_core::from_micros;
use kit::db::{Db, DbConfig};
use proto::{
    Streaming,
    jangteo::shipping::v1::{self as wire, ShipmentStatus, shipping_service::Api},
};
use shipping::{MIGRATIONS, Shipping, carrier::ScanEvent, domain::Sight};
use std::time::Duration;
use testbed::Kind;

const SOON: Duration = Duration::from_secs(10);

async fn follow(w: &World, shipping: &Shipping, id: &str, after: i32) -> Streaming<wire::TrackShipmentResponse> {
    let req = wire::TrackShipmentRequest { shipment_id: id.into(), after_sequence: after };
    shipping.track_shipment(w.by(BUYER), req).await.unwrap()
}

async fn next(stream: &mut Streaming<wire::TrackShipmentResponse>) -> Option<ShipmentStatus> {
    let line = tokio::time::timeout(SOON, stream.next()).await.expect("a line in time");
    line.map(|line| line.unwrap().event.unwrap().status())
}

fn scan(s: &wire::Shipment, id: &str, status: ShipmentStatus) -> ScanEvent {
    let sight = Sight { event_id: id.into(), status, place: "서울".into(), time: from_micros(1) };
    ScanEvent { tracking_number: s.tracking_number.clone(), sight }
}

pub async fn a_stream_tells_all_and_ends(kind: Kind) {
    use ShipmentStatus::{Booked, Delivered, InTransit, OutForDelivery, PickedUp, Prepared, Ready};
    let w = World::new(kind).await;
    let s = w.booked().await;
    let mut live = follow(&w, &w.shipping, &s.shipment_id, 0).await;
    for status in [Prepared, Ready, Booked] {
        assert_eq!(next(&mut live).await, Some(status));
    }
    let quiet = tokio::time::timeout(Duration::from_millis(150), live.next()).await;
    assert!(quiet.is_err(), "nothing happened, and it is not over");
    for status in [PickedUp, InTransit, InTransit, OutForDelivery, Delivered] {
        w.pass(STEP_MS);
        w.play().await;
        assert_eq!(next(&mut live).await, Some(status));
    }
    assert_eq!(next(&mut live).await, None);
    let cancelled = w.booked().await;
    let mut live = follow(&w, &w.shipping, &cancelled.shipment_id, 3).await;
    let (last, ()) = futures::join!(next(&mut live), async { w.cancel(&cancelled.order_id, &[]).await.unwrap() });
    assert_eq!(last, Some(ShipmentStatus::Cancelled));
    assert_eq!(next(&mut live).await, None);
}

pub async fn a_stream_sees_what_another_replica_wrote(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    // A late scan is no event, so nobody is woken by it.
    let t = w.booked().await;
    w.report("cj", &[scan(&t, "b", ShipmentStatus::InTransit)]).await.unwrap();
    let mut live = follow(&w, &w.shipping, &t.shipment_id, 4).await;
    let (late, ()) = futures::join!(live.next(), async {
        w.report("cj", &[scan(&t, "a", ShipmentStatus::PickedUp)]).await.unwrap();
    });
    let late = late.unwrap().unwrap().event.unwrap();
    assert_eq!((late.status(), late.late), (ShipmentStatus::PickedUp, true));
    // Another handle on the same store knows nothing of this one's commits.
    let other = match kind {
        Kind::Sqlite => {
            let url = format!("sqlite://{}/shipping_0.db?mode=rwc", w.stores.folder().display());
            Db::open("shipping", &DbConfig { url, ..DbConfig::default() }, &[MIGRATIONS]).await.unwrap()
        }
        Kind::Postgres => return,
    };
    let mut live = follow(&w, &w.replica(other), &s.shipment_id, 3).await;
    let write = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        w.pass(STEP_MS);
        w.play().await;
    };
    let (status, ()) = futures::join!(next(&mut live), write);
    assert_eq!(status, Some(ShipmentStatus::PickedUp));
}

pub async fn a_stream_goes_on_where_it_was_left(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    w.deliver().await;
    let all = w.lines(&s.shipment_id, 0).await;
    let sequences: Vec<_> = all.iter().map(|l| l.event.as_ref().unwrap().sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(w.lines(&s.shipment_id, 5).await, &all[5..]);
    assert!(w.lines(&s.shipment_id, 8).await.is_empty());
    assert!(all.iter().all(|l| l.status() == ShipmentStatus::Delivered));
}

pub async fn a_stream_is_for_the_parties(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.booked().await;
    let req = || wire::TrackShipmentRequest { shipment_id: s.shipment_id.clone(), after_sequence: 0 };
    assert!(w.shipping.track_shipment(w.by(SELLER), req()).await.is_ok());
    let e = w.shipping.track_shipment(w.by(STRANGER), req()).await.err().unwrap();
    assert_eq!(e.reason(), "SHIPMENT_NOT_FOUND");
}
