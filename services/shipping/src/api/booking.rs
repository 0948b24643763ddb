//! Booking: the intent first, then the carrier, then what the carrier said. A crash or a silence between two of them
//! leaves the intent, and the job in `events` goes on from there.

use super::party::{self, Party};
use crate::{
    Shipping,
    carrier::{self, Booked, Carrier, Parcel},
    domain::{Fault, option_name},
    store::{
        booking::{self, State},
        shipment::{self, Model},
        tracking,
    },
};
use chrono::TimeDelta;
use jangteo_core::{Call, Error, Result, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::shipping::v1::{self as wire, ShipmentStatus, ShippingOption, book_shipment_request};
use uuid::Uuid;

/// A booking without an answer is looked at as often, at the least.
const RETRY_MAX_SECS: u64 = 300;

/// What the seller asks for.
enum Way {
    Carrier { carrier: String, store_id: String },
    Own { carrier: String, tracking_number: String },
    Meet(wire::MeetUp),
}

/// What was asked for, if it is what was ordered.
fn way(row: &Model, booking: book_shipment_request::Booking) -> Result<Way> {
    use book_shipment_request::Booking;
    let (way, fits) = match booking {
        Booking::MeetUp(meet_up) => (Way::Meet(meet_up), row.option() == ShippingOption::MeetUp),
        Booking::Parcel(p) => {
            let fits = takes("parcel.carrier", &p.carrier, row.option())?;
            match p.tracking_number.is_empty() {
                true => (Way::Carrier { carrier: p.carrier, store_id: String::new() }, fits),
                false => (Way::Own { carrier: p.carrier, tracking_number: p.tracking_number }, fits),
            }
        }
        Booking::Store(s) => {
            let fits = takes("store.brand", &s.brand, row.option())?;
            let fits = fits && row.option() == ShippingOption::ConvenienceStore;
            (Way::Carrier { carrier: s.brand, store_id: s.store_id }, fits)
        }
    };
    // A store parcel needs a store, so it is not booked as one that is called for.
    let fits = fits
        && (row.option() != ShippingOption::ConvenienceStore
            || matches!(&way, Way::Carrier { store_id, .. } if !store_id.is_empty()));
    if !fits {
        let (shipment_id, option) = (row.shipment_id.clone(), option_name(row.option()));
        return Err(Fault::WrongBooking { shipment_id, option }.into());
    }
    Ok(way)
}

fn takes(field: &str, carrier: &str, option: ShippingOption) -> Result<bool> {
    let profile = carrier::profile(carrier);
    let profile = profile.ok_or_else(|| Error::invalid(field, "UNKNOWN_CARRIER", "is none that we know"))?;
    Ok(profile.options.contains(&option))
}

impl Shipping {
    pub(super) async fn book(&self, cx: Call, req: wire::BookShipmentRequest) -> Result<wire::Shipment> {
        let row = shipment::find(self.db.primary(), &req.shipment_id).await?;
        party::only(&cx, &row, Party::Seller)?;
        let booking = req.booking.ok_or_else(|| Error::invalid("booking", "REQUIRED", "is required"))?;
        match way(&row, booking)? {
            Way::Meet(meet_up) => self.arrange(&cx, &req.shipment_id, &meet_up).await?,
            Way::Own { carrier, tracking_number } => {
                if !self.carrier(&carrier)?.follows() {
                    return Err(Fault::OwnNumberRefused { carrier }.into());
                }
                self.follow(&cx, &req.shipment_id, &carrier, &tracking_number).await?;
            }
            Way::Carrier { carrier, store_id } => {
                let port = self.carrier(&carrier)?;
                admits(port, &row)?;
                self.intend(&cx, &req.shipment_id, &carrier, &store_id).await?;
                crash_point!("shipping.book.after_intent");
                self.ask_to_book(&cx, &req.shipment_id).await?;
            }
        }
        crash_point!("shipping.book.after_commit");
        self.show(&cx, &req.shipment_id).await
    }

    fn carrier(&self, name: &str) -> Result<&dyn Carrier> {
        self.carriers.get(name).ok_or_else(|| Fault::CarrierUnavailable { carrier: name.to_owned() }.into())
    }

    async fn arrange(&self, cx: &Call, shipment_id: &str, meet_up: &wire::MeetUp) -> Result<()> {
        let write = async |tx: Tx| {
            let row = shipment::find(&tx, shipment_id).await?;
            // What is arranged can be arranged anew, until they have met.
            let events = match row.status() {
                ShipmentStatus::Booked => Vec::new(),
                _ => row.state().book("", "", "", tx.now())?,
            };
            shipment::arrange(&tx, &self.sealer, &row, meet_up).await?;
            tracking::own(&tx, row, &events).await?;
            Ok(())
        };
        self.db.write(cx, write).await
    }

    /// The seller booked it with the carrier: all that is left is to follow it.
    async fn follow(&self, cx: &Call, shipment_id: &str, carrier: &str, tracking_number: &str) -> Result<()> {
        let due = cx.now + self.first_look(carrier);
        let write = async |tx: Tx| {
            let row = shipment::find(&tx, shipment_id).await?;
            match booking::by_number(&tx, carrier, tracking_number).await? {
                Some(known) if known.shipment_id == shipment_id => return Ok(()),
                Some(_) => {
                    let (carrier, tracking_number) = (carrier.to_owned(), tracking_number.to_owned());
                    return Err(Fault::TrackingNumberTaken { carrier, tracking_number }.into());
                }
                None => {}
            }
            if booking::find(&tx, shipment_id).await?.is_some() {
                return Err(Fault::AlreadyBooked { shipment_id: shipment_id.to_owned() }.into());
            }
            let events = row.state().book(carrier, tracking_number, "", tx.now())?;
            let booking = booking::Model {
                own: true,
                state: State::Booked as i64,
                tracking_number: tracking_number.to_owned(),
                due_time: micros(due),
                ..intent(shipment_id, carrier, "", micros(tx.now()))
            };
            booking::insert(&tx, booking).await?;
            tracking::own(&tx, row, &events).await?;
            Ok(())
        };
        self.db.write(cx, write).await
    }

    /// Notes that the carrier is about to be asked. Asking for the same again goes on with what was noted.
    async fn intend(&self, cx: &Call, shipment_id: &str, carrier: &str, store_id: &str) -> Result<()> {
        let due = micros(cx.now + self.retry_after(0));
        let write = async |tx: Tx| {
            let row = shipment::find(&tx, shipment_id).await?;
            let known = booking::find(&tx, shipment_id).await?;
            match (row.status(), known) {
                (ShipmentStatus::Ready | ShipmentStatus::Booked, Some(b)) if !b.own => {
                    let same = b.carrier == carrier && b.store_id == store_id;
                    let otherwise = || Fault::AlreadyBooked { shipment_id: shipment_id.to_owned() };
                    if same { Ok(()) } else { Err(otherwise().into()) }
                }
                (ShipmentStatus::Ready, None) => {
                    let intent = intent(shipment_id, carrier, store_id, micros(tx.now()));
                    booking::insert(&tx, booking::Model { due_time: due, ..intent }).await
                }
                _ => Err(row.state().wrong("booked")),
            }
        };
        self.db.write(cx, write).await
    }

    /// Asks the carrier for what was noted, if it still is to be asked.
    async fn ask_to_book(&self, cx: &Call, shipment_id: &str) -> Result<()> {
        let booking = booking::find(self.db.primary(), shipment_id).await?;
        match booking.filter(|b| b.is(State::Asked)) {
            Some(booking) => self.settle(cx, &booking, false).await,
            None => Ok(()),
        }
    }

    /// Brings a booking to its end: asks the carrier, having looked whether it knows already, and records the answer.
    /// No answer: the booking stays as it is, until the job comes by.
    pub(crate) async fn settle(&self, cx: &Call, booking: &booking::Model, look_first: bool) -> Result<()> {
        let cx = &Call { request_id: None, ..cx.clone() };
        let row = shipment::find(self.db.primary(), &booking.shipment_id).await?;
        let personal = shipment::personal(self.db.primary(), &self.sealer, &row).await?;
        let Some(to) = personal.destination else {
            // The buyer was erased: nobody knows any more where it should go.
            self.refused(cx, booking).await?;
            return Err(Error::not_found("address", &booking.shipment_id));
        };
        let port = self.carrier(&booking.carrier)?;
        let parcel = &Parcel {
            shipment_id: &row.shipment_id,
            key: &booking.booking_key,
            weight_grams: shipment::small(row.weight_grams),
            sum_cm: shipment::small(row.sum_cm),
            from_region_id: &row.from_region_id,
            store_id: &booking.store_id,
            to: &to,
        };
        let found = if look_first { port.find(cx, parcel).await } else { Ok(None) };
        let outcome = match found {
            Ok(Some(booked)) => Ok(booked),
            Ok(None) => port.book(cx, parcel).await,
            Err(e) => Err(e),
        };
        crash_point!("shipping.book.after_carrier");
        match outcome {
            Ok(booked) => self.booked(cx, booking, &booked).await,
            Err(e) if carrier::is_final(&e) => {
                self.refused(cx, booking).await?;
                Err(e)
            }
            Err(e) => {
                let (shipment_id, carrier) = (&booking.shipment_id, &booking.carrier);
                tracing::warn!(shipment_id, carrier, error = ?e, "a carrier did not answer a booking");
                self.postpone(cx, &booking.shipment_id, State::Asked).await
            }
        }
    }

    /// The carrier has it. A shipment that was cancelled meanwhile is cancelled with the carrier next.
    pub(crate) async fn booked(&self, cx: &Call, asked: &booking::Model, booked: &Booked) -> Result<()> {
        let write = async |tx: Tx| {
            let row = shipment::find(&tx, &asked.shipment_id).await?;
            let Some(mut b) = still(&tx, asked).await? else { return Ok(()) };
            if !b.is(State::Asked) && !b.is(State::Cancelling) {
                return Ok(());
            }
            b.tracking_number.clone_from(&booked.tracking_number);
            if let Some(key) = self.sealer.find(&tx, &row.buyer_id).await? {
                b.sealed_label = booking::seal_label(&key, &booked.label)?;
            }
            b.tries = 0;
            b.due_time = micros(tx.now());
            if b.is(State::Asked) {
                b.state = State::Booked as i64;
                b.due_time = micros(tx.now() + self.first_look(&b.carrier));
                let events = row.state().book(&b.carrier, &b.tracking_number, &b.store_id, tx.now())?;
                tracking::own(&tx, row, &events).await?;
            }
            booking::update(&tx, &b).await
        };
        self.db.write(cx, write).await
    }

    /// The carrier said no: the seller may book another, unless the shipment is cancelled.
    async fn refused(&self, cx: &Call, asked: &booking::Model) -> Result<()> {
        let write = async |tx: Tx| match still(&tx, asked).await? {
            Some(b) if b.is(State::Asked) => booking::delete(&tx, &b.shipment_id).await,
            Some(b) if b.is(State::Cancelling) && b.tracking_number.is_empty() => {
                booking::update(&tx, &booking::Model { state: State::Cancelled as i64, due_time: booking::NEVER, ..b })
                    .await
            }
            _ => Ok(()),
        };
        self.db.write(cx, write).await
    }

    /// The job looks again later, and ever later.
    pub(crate) async fn postpone(&self, cx: &Call, shipment_id: &str, state: State) -> Result<()> {
        let write = async |tx: Tx| match booking::find(&tx, shipment_id).await? {
            Some(b) if b.is(state) => {
                let (tries, due_time) = (b.tries + 1, micros(tx.now() + self.retry_after(b.tries)));
                booking::update(&tx, &booking::Model { tries, due_time, ..b }).await
            }
            _ => Ok(()),
        };
        self.db.write(cx, write).await
    }

    fn retry_after(&self, tries: i64) -> TimeDelta {
        doubled(self.cfg.booking_retry_secs, tries, RETRY_MAX_SECS)
    }

    fn first_look(&self, carrier: &str) -> TimeDelta {
        self.look_after(carrier, 0)
    }

    /// When to look for news of a parcel, after so many looks without any.
    pub(crate) fn look_after(&self, carrier: &str, tries: i64) -> TimeDelta {
        let reports = self.carriers.get(carrier).is_some_and(|c| c.reports());
        let first = if reports { self.cfg.reported_poll_secs } else { self.cfg.poll_secs };
        doubled(first, tries, self.cfg.poll_max_secs)
    }
}

/// The booking that was asked for, unless another one took its place: an answer that comes late is of its own question.
async fn still(tx: &Tx, asked: &booking::Model) -> Result<Option<booking::Model>> {
    Ok(booking::find(tx, &asked.shipment_id).await?.filter(|b| b.booking_key == asked.booking_key))
}

fn doubled(first: u64, times: i64, most: u64) -> TimeDelta {
    let factor = 1u64 << times.clamp(0, 20);
    TimeDelta::seconds(i64::try_from(first.saturating_mul(factor).min(most.max(first))).unwrap_or(i64::MAX / 1_000))
}

fn intent(shipment_id: &str, carrier: &str, store_id: &str, now: i64) -> booking::Model {
    booking::Model {
        shipment_id: shipment_id.to_owned(),
        booking_key: format!("{shipment_id}:{}", Uuid::now_v7().simple()),
        carrier: carrier.to_owned(),
        store_id: store_id.to_owned(),
        own: false,
        state: State::Asked as i64,
        tracking_number: String::new(),
        sealed_label: Vec::new(),
        tries: 0,
        due_time: now,
        create_time: now,
    }
}

/// Whether the carrier is booked here, and takes a parcel of this size.
fn admits(port: &dyn Carrier, row: &Model) -> Result<()> {
    if !port.books() {
        return Err(port.unavailable());
    }
    let limits = port.profile().limits;
    let reason = match () {
        () if row.weight_grams > limits.weight_grams.into() => "TOO_HEAVY",
        () if row.sum_cm > limits.sum_cm.into() => "TOO_LARGE",
        () => return Ok(()),
    };
    Err(Fault::CarrierRefused { carrier: port.name().to_owned(), reason: reason.to_owned() }.into())
}
