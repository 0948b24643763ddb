//! Timed jobs: bookings and cancellations that a carrier never answered, parcels that nobody reports on, and the
//! webhooks of the sandbox.

use crate::{
    Shipping,
    carrier::{self, Parcel},
    domain::Fault,
    store::{
        booking::{self, State},
        shipment,
    },
};
use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt, stream};
use jangteo_core::{Call, Result, from_micros};
use kit::db::Tx;
use proto::jangteo::shipping::v1::Destination;
use std::sync::Arc;

/// At most so many in one run of a job.
const BATCH: u64 = 100;
/// Questions to carriers at a time.
const AT_ONCE: usize = 8;
/// So many looks without a trace, and a booking that was cancelled before its number was known never happened.
const LOOKS: i64 = 5;
/// A played parcel that nobody knows after so long is not reported on any more.
const FORGET: TimeDelta = TimeDelta::hours(1);

impl Shipping {
    /// Bookings without an answer, and cancellations that the carrier has to learn of.
    pub async fn settle_bookings(self: Arc<Self>, cx: Call) -> Result<()> {
        self.deal_with(&cx, State::Asked).await?;
        self.deal_with(&cx, State::Cancelling).await
    }

    /// Parcels that are due for a look: all of a carrier's that doesn't report, and now and then the others'.
    pub async fn poll_carriers(self: Arc<Self>, cx: Call) -> Result<()> {
        self.deal_with(&cx, State::Booked).await
    }

    /// The bookings in this state that are due, some at a time.
    async fn deal_with(&self, cx: &Call, state: State) -> Result<()> {
        let due = booking::due(self.db.primary(), state, cx.now, BATCH).await?;
        let each = due.into_iter().map(|b| self.deal(cx, b, state));
        stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// One that fails is put off and doesn't stop the others.
    async fn deal(&self, cx: &Call, b: booking::Model, state: State) -> Result<()> {
        let done = match state {
            State::Asked => self.settle(cx, &b, true).await,
            State::Cancelling => self.cancel_booking(cx, &b).await,
            _ => self.poll(cx, &b).await,
        };
        let Err(error) = done else { return Ok(()) };
        let (shipment_id, carrier) = (&b.shipment_id, &b.carrier);
        tracing::warn!(shipment_id, carrier, ?state, error = ?error, "a carrier could not be dealt with");
        self.postpone(cx, &b.shipment_id, state).await
    }

    async fn cancel_booking(&self, cx: &Call, b: &booking::Model) -> Result<()> {
        let Some(port) = self.carriers.get(&b.carrier) else {
            return self.postpone(cx, &b.shipment_id, State::Cancelling).await;
        };
        if b.tracking_number.is_empty() {
            return self.find_cancelled(cx, port, b).await;
        }
        match port.cancel(cx, &b.tracking_number).await {
            Ok(()) => self.close(cx, &b.shipment_id, State::Cancelled).await,
            Err(e) if carrier::is_final(&e) => {
                metrics::counter!("shipping_escaped_total", "carrier" => port.name()).increment(1);
                let (shipment_id, carrier) = (&b.shipment_id, &b.carrier);
                tracing::warn!(shipment_id, carrier, error = ?e, "a cancelled shipment is under way");
                self.close(cx, &b.shipment_id, State::Escaped).await
            }
            Err(e) => Err(e),
        }
    }

    /// Cancelled before the carrier had answered: it may have booked all the same.
    async fn find_cancelled(&self, cx: &Call, port: &dyn carrier::Carrier, b: &booking::Model) -> Result<()> {
        let row = shipment::find(self.db.primary(), &b.shipment_id).await?;
        let parcel = Parcel {
            shipment_id: &b.shipment_id,
            key: &b.booking_key,
            weight_grams: shipment::small(row.weight_grams),
            sum_cm: shipment::small(row.sum_cm),
            from_region_id: &row.from_region_id,
            store_id: &b.store_id,
            to: &Destination::default(),
        };
        match port.find(cx, &parcel).await? {
            Some(booked) => {
                self.booked(cx, b, &booked).await?;
                port.cancel(cx, &booked.tracking_number).await?;
                self.close(cx, &b.shipment_id, State::Cancelled).await
            }
            // The question may have overtaken the booking.
            None if b.tries < LOOKS => self.postpone(cx, &b.shipment_id, State::Cancelling).await,
            None => self.close(cx, &b.shipment_id, State::Cancelled).await,
        }
    }

    async fn close(&self, cx: &Call, shipment_id: &str, state: State) -> Result<()> {
        let write = async |tx: Tx| match booking::find(&tx, shipment_id).await? {
            Some(b) if b.is(State::Cancelling) => {
                let closed = booking::Model { state: state as i64, due_time: booking::NEVER, ..b };
                booking::update(&tx, &closed).await
            }
            _ => Ok(()),
        };
        self.db.write(cx, write).await
    }

    async fn poll(&self, cx: &Call, b: &booking::Model) -> Result<()> {
        let port = self.carriers.get(&b.carrier);
        let port = port.ok_or_else(|| Fault::CarrierUnavailable { carrier: b.carrier.clone() })?;
        let scans = port.track(cx, &b.tracking_number).await?;
        self.saw(cx, &b.shipment_id, scans.into_iter().map(|s| s.sight).collect()).await?;
        Ok(())
    }

    /// Sends the webhooks of the played carriers, through the same door as real ones.
    pub async fn play_sandbox(self: Arc<Self>, cx: Call) -> Result<()> {
        let Some(sandbox) = &self.sandbox else { return Ok(()) };
        for (parcel, scans, deliveries) in sandbox.due(cx.now, BATCH).await? {
            let mut arrived = true;
            for d in deliveries {
                if let Err(error) = self.receive(&cx, &d.carrier, Some(&d.signature), &d.body).await {
                    tracing::debug!(tracking_number = parcel.tracking_number, error = ?error, "a report was refused");
                    arrived = false;
                }
            }
            if arrived || cx.now - from_micros(parcel.create_time) > FORGET {
                sandbox.arrived(&cx, &parcel, scans).await?;
            }
        }
        Ok(())
    }
}
