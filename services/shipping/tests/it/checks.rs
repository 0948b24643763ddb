//! Each check fails when what it checks is broken.

use crate::support::{SELLER, World, order_id, spec};
use kit::db::{DbResult, Tx, sea_orm::ConnectionTrait};
use proto::jangteo::shipping::v1::{ShipmentBooked, ShipmentDelivered, ShippingOption};
use testbed::Kind;

/// What the check says once the store was tampered with.
async fn after(w: &World, sql: &str) -> String {
    w.stores.db().write(&w.job(), async |tx: Tx| tx.execute_unprepared(sql).await.db().map(|_| ())).await.unwrap();
    verdict(w).await
}

async fn verdict(w: &World) -> String {
    w.shipping.clone().check_shipments(w.job()).await.unwrap().join("\n")
}

pub async fn every_check_can_fail(kind: Kind) {
    let w = World::new(kind).await;
    let (a, b) = (w.booked().await, w.booked().await);
    let (a, b) = (&a.shipment_id, &b.shipment_id);
    w.sound().await;
    let said = after(&w, &format!("UPDATE shipment SET status = 5 WHERE shipment_id = '{a}'")).await;
    assert!(said.contains(&format!("{a} is not the fold")) && !said.contains(b), "{said}");
    after(&w, &format!("UPDATE shipment SET status = 3 WHERE shipment_id = '{a}'")).await;
    let said = after(&w, &format!("UPDATE shipment SET lines = 9 WHERE shipment_id = '{a}'")).await;
    assert!(said.contains("3 lines of tracking, not 9"), "{said}");
    after(&w, &format!("UPDATE shipment SET lines = 3 WHERE shipment_id = '{a}'")).await;
    let said = after(&w, &format!("UPDATE booking SET state = 1 WHERE shipment_id = '{a}'")).await;
    assert!(said.contains(&format!("{a} is booked and its booking Some(Asked)")), "{said}");
    after(&w, &format!("UPDATE booking SET state = 2 WHERE shipment_id = '{a}'")).await;
    let said = after(&w, &format!("UPDATE booking SET tracking_number = 'x' WHERE shipment_id = '{a}'")).await;
    assert!(said.contains("another number"), "{said}");
    let said =
        after(&w, &format!("INSERT INTO tombstone SELECT order_id, 1, 0 FROM shipment WHERE shipment_id = '{b}'"))
            .await;
    assert!(said.contains(&format!("{b} lives on")), "{said}");
}

pub async fn events_that_must_not_be_are_found(kind: Kind) {
    let w = World::new(kind).await;
    let s = w.paid(ShippingOption::MeetUp).await;
    let event = ShipmentDelivered { shipment_id: s.shipment_id.clone(), ..ShipmentDelivered::default() };
    let twice = async |tx: Tx| {
        tx.emit(&event).await?;
        tx.emit(&event).await?;
        Ok(())
    };
    w.stores.db().write(&w.job(), twice).await.unwrap();
    let said = verdict(&w).await;
    assert!(said.contains("delivered 2 times"), "{said}");
    let order = order_id();
    let unpaid = w.prepare(&order, vec![spec(1, SELLER, ShippingOption::Parcel)]);
    let unpaid = unpaid.await.unwrap().remove(0).shipment_id;
    let event = ShipmentBooked { shipment_id: unpaid.clone(), ..ShipmentBooked::default() };
    w.stores.db().write(&w.job(), async |tx: Tx| tx.emit(&event).await.map(|_| ())).await.unwrap();
    let said = verdict(&w).await;
    assert!(said.contains(&format!("{unpaid} went on before its order was paid")), "{said}");
}
