//! What carriers saw: by webhook, and when they are asked.

use crate::{
    Shipping,
    domain::{Fault, Sight, is_end},
    store::{
        booking::{self, State},
        shipment::Model,
        tracking,
    },
};
use chrono::TimeDelta;
use jangteo_core::{Call, Error, Result, from_micros, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::shipping::v1::ShipmentStatus;
use std::{collections::BTreeMap, time::Duration};

/// How long a carrier may take over a question that somebody waits for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A number that the seller gave may be of somebody else's parcel, and proves nothing then: what was seen long before
/// the number was given is not this one. A day is for carriers that tell local times.
fn believable(booking: Option<&booking::Model>, sights: &[Sight]) -> Vec<Sight> {
    let since = booking.filter(|b| b.own).map(|b| from_micros(b.create_time) - TimeDelta::days(1));
    sights.iter().filter(|s| since.is_none_or(|since| s.time >= since)).cloned().collect()
}

impl Shipping {
    /// A carrier's report. All of it is tried; a number that nobody knows (yet) is refused in the end, so that the
    /// carrier sends it again.
    pub(crate) async fn receive(&self, cx: &Call, carrier: &str, signature: Option<&str>, body: &[u8]) -> Result<()> {
        let port = self.carriers.get(carrier).ok_or_else(|| Error::not_found("carrier", carrier))?;
        let mut by_number: BTreeMap<String, Vec<Sight>> = BTreeMap::new();
        for scan in port.verify_webhook(cx, signature, body)? {
            by_number.entry(scan.tracking_number).or_default().push(scan.sight);
        }
        let mut unknown = None;
        for (tracking_number, sights) in by_number {
            match booking::by_number(self.db.primary(), carrier, &tracking_number).await? {
                Some(booking) => _ = self.saw(cx, &booking.shipment_id, sights).await?,
                None => unknown = Some(tracking_number),
            }
        }
        match unknown {
            Some(tracking_number) => {
                Err(Fault::TrackingNumberUnknown { carrier: carrier.to_owned(), tracking_number }.into())
            }
            None => Ok(()),
        }
    }

    /// Records sightings and what they make of the shipment, and when to look again. Answers how many were new.
    pub(crate) async fn saw(&self, cx: &Call, shipment_id: &str, mut sights: Vec<Sight>) -> Result<u64> {
        let cx = &Call { request_id: None, ..cx.clone() };
        sights.sort_by_key(|s| (s.time, i32::from(s.status)));
        let sights: &Vec<_> = &sights.into_iter().map(Sight::coarse).collect();
        let write = async |tx: Tx| {
            let booking = booking::find(&tx, shipment_id).await?;
            let sights = believable(booking.as_ref(), sights);
            let (row, new) = tracking::saw(&tx, shipment_id, &sights).await?;
            let Some(b) = booking else { return Ok(new) };
            if b.is(State::Booked) {
                let ended = is_end(row.status());
                let tries = if new > 0 { 0 } else { b.tries + 1 };
                let look = micros(tx.now() + self.look_after(&b.carrier, tries));
                let (state, due_time) = if ended { (State::Done, booking::NEVER) } else { (State::Booked, look) };
                booking::update(&tx, &booking::Model { state: state as i64, due_time, tries, ..b }).await?;
            }
            Ok(new)
        };
        let new: u64 = self.db.write(cx, write).await?;
        crash_point!("shipping.scan.after_commit");
        Ok(new)
    }

    /// Asks the carrier what it last saw of a booked shipment, so that a decision rests on it. What can't be learnt in
    /// time is left: the booking is cancelled with the carrier later, who may still refuse.
    pub(super) async fn look(&self, cx: &Call, row: &Model) {
        let known = row.status() == ShipmentStatus::Booked && !row.tracking_number.is_empty();
        let Some(port) = self.carriers.get(&row.carrier).filter(|_| known) else { return };
        let ask = async {
            let scans = port.track(cx, &row.tracking_number).await?;
            self.saw(cx, &row.shipment_id, scans.into_iter().map(|s| s.sight).collect()).await
        };
        match tokio::time::timeout(PATIENCE, ask).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(shipment_id = row.shipment_id, error = ?error, "asking a carrier failed"),
            Err(_) => tracing::warn!(shipment_id = row.shipment_id, "a carrier took too long to answer"),
        }
    }
}
