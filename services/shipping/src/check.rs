//! What must be true of the stored data, whatever happened before.

use crate::{
    Shipping,
    domain::{Event, Shipment, status_name},
    store::{
        booking::{self, State},
        shipment::{self, Model},
        tombstone, tracking,
    },
};
use jangteo_core::{Call, Result};
use kit::db::{Aggregate, Envelope};
use proto::jangteo::shipping::v1::ShipmentStatus;
use std::sync::Arc;

const BATCH: u64 = 500;

/// A shipment as its events made it, and what may be in them only so often, and only in this order.
#[derive(Default)]
struct Audit {
    shipment: Shipment,
    /// Events that only a paid shipment has, before it was ready.
    unpaid: usize,
    delivered: usize,
    ready: bool,
}

impl Aggregate for Audit {
    const AGGREGATE: &'static str = "shipment";
    type Event = Event;

    fn apply(&mut self, event: Event, _meta: &Envelope) {
        match &event {
            Event::Prepared(_) | Event::Cancelled(_) => {}
            Event::Ready(_) => self.ready = true,
            Event::Delivered(_) => self.delivered += 1,
            Event::Booked(_) | Event::PickedUp(_) | Event::Moved(_) | Event::Returned(_) => {}
        }
        let paid = !matches!(event, Event::Prepared(_) | Event::Cancelled(_));
        self.unpaid += usize::from(paid && !self.ready);
        self.shipment.apply(&event);
    }
}

fn judge(row: &Model, audit: &Audit, version: i64) -> Vec<String> {
    let id = &row.shipment_id;
    let mut wrong = Vec::new();
    if row.state() != audit.shipment || row.version != version {
        wrong.push(format!("shipment {id} is not the fold of its events"));
    }
    if audit.unpaid > 0 {
        wrong.push(format!("shipment {id} went on before its order was paid"));
    }
    if audit.delivered > 1 {
        wrong.push(format!("shipment {id} was delivered {} times", audit.delivered));
    }
    wrong
}

/// A booking is open exactly as long as its shipment is.
fn agree(row: &Model, state: Option<State>) -> bool {
    match (row.status(), state) {
        (ShipmentStatus::Prepared, state) => state.is_none(),
        (ShipmentStatus::Ready, state) => matches!(state, None | Some(State::Asked)),
        (ShipmentStatus::Cancelled, state) => {
            matches!(state, None | Some(State::Cancelling | State::Cancelled | State::Escaped))
        }
        (ShipmentStatus::Delivered | ShipmentStatus::Returned, state) => matches!(state, None | Some(State::Done)),
        (_, state) => matches!(state, None | Some(State::Booked)) && (state.is_some() != row.carrier.is_empty()),
    }
}

impl Shipping {
    /// Rows are the fold of their events; nothing went on unpaid, or arrived twice; bookings and tracking agree with
    /// their shipments; nothing lives on that was cancelled as a whole.
    pub async fn check_shipments(self: Arc<Self>, _cx: Call) -> Result<Vec<String>> {
        let (mut wrong, mut after) = (Vec::new(), String::new());
        loop {
            let rows = shipment::batch(self.db.primary(), &after, BATCH).await?;
            let Some(last) = rows.last() else { return Ok(wrong) };
            after.clone_from(&last.shipment_id);
            for row in &rows {
                let (audit, version) = self.db.load::<Audit>(&row.shipment_id).await?;
                wrong.extend(judge(row, &audit, version));
                wrong.extend(self.around(row).await?);
            }
        }
    }

    async fn around(&self, row: &Model) -> Result<Vec<String>> {
        let (conn, id, mut wrong) = (self.db.primary(), &row.shipment_id, Vec::new());
        let lines = tracking::count(conn, id).await?;
        if lines != row.lines {
            wrong.push(format!("shipment {id} has {lines} lines of tracking, not {}", row.lines));
        }
        let booking = booking::find(conn, id).await?;
        let state = booking.as_ref().map(booking::Model::state).transpose()?;
        if !agree(row, state) {
            wrong.push(format!("shipment {id} is {} and its booking {state:?}", status_name(row.status())));
        }
        if booking.is_some_and(|b| b.is(State::Booked) && b.tracking_number != row.tracking_number) {
            wrong.push(format!("shipment {id} has another number than its booking"));
        }
        let dead = tombstone::parts(conn, &row.order_id).await?;
        if row.status() != ShipmentStatus::Cancelled && (dead.contains(&tombstone::ALL) || dead.contains(&row.part)) {
            wrong.push(format!("shipment {id} lives on, and {} was cancelled", row.order_id));
        }
        Ok(wrong)
    }
}
