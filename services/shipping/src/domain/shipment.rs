//! A shipment's life: prepared, ready, booked, and then whatever its carrier sees of it.

use super::{Fault, status_name};
use jangteo_core::{Result, Time, micros};
use proto::jangteo::shipping::v1::{
    ShipmentBooked, ShipmentCancelled, ShipmentDelivered, ShipmentMoved, ShipmentPickedUp, ShipmentPrepared,
    ShipmentReady, ShipmentReturned, ShipmentStatus, ShippingOption,
};

kit::db::events! {
    /// What happens to a shipment.
    pub enum Event {
        Prepared(ShipmentPrepared),
        Ready(ShipmentReady),
        Booked(ShipmentBooked),
        PickedUp(ShipmentPickedUp),
        Moved(ShipmentMoved),
        Delivered(ShipmentDelivered),
        Cancelled(ShipmentCancelled),
        Returned(ShipmentReturned),
    }
}

/// A shipment as its events made it. The fee is in whole won.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shipment {
    pub shipment_id: String,
    pub order_id: String,
    pub part: i32,
    pub buyer_id: String,
    pub seller_id: String,
    pub option: ShippingOption,
    pub status: ShipmentStatus,
    pub fee: i64,
    pub weight_grams: i32,
    pub sum_cm: i32,
    pub from_region_id: String,
    pub carrier: String,
    pub tracking_number: String,
    pub store_id: String,
    /// Of the last sighting that counted, in microseconds; 0 before any.
    pub seen_time: i64,
}

/// What somebody saw of a parcel: a carrier's scan, brought into our words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The carrier's own id of the scan, or what makes it unique for the parcel.
    pub event_id: String,
    pub status: ShipmentStatus,
    /// City or hub.
    pub place: String,
    pub time: Time,
}

impl Sight {
    /// With a place that says no more than the city. Some carriers put a street before it, as in `Oderweg 2, AMSTERDAM`,
    /// and that may be the buyer's.
    pub fn coarse(self) -> Sight {
        let city = self.place.rsplit(',').next().unwrap_or_default().trim();
        let city: String =
            if city.contains(|c: char| c.is_numeric()) { String::new() } else { city.chars().take(60).collect() };
        Sight { place: city, ..self }
    }
}

/// What a sighting means.
#[derive(Debug, Default, PartialEq)]
pub struct Seen {
    pub events: Vec<Event>,
    /// The shipment had come further already.
    pub late: bool,
}

/// An event with what all of a shipment's events carry.
macro_rules! fact {
    ($of:expr, $variant:ident($event:ident { $($field:ident $(: $value:expr)?),* $(,)? })) => {
        Event::$variant($event {
            shipment_id: $of.shipment_id.clone(),
            order_id: $of.order_id.clone(),
            part: $of.part,
            buyer_id: $of.buyer_id.clone(),
            seller_id: $of.seller_id.clone(),
            $($field $(: $value)?),*
        })
    };
}

fn stamp(time: &Option<prost_types::Timestamp>) -> i64 {
    time.as_ref().map_or(0, |t| micros(proto::time(t)))
}

impl Shipment {
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Prepared(e) => {
                *self = Shipment {
                    shipment_id: e.shipment_id.clone(),
                    order_id: e.order_id.clone(),
                    part: e.part,
                    buyer_id: e.buyer_id.clone(),
                    seller_id: e.seller_id.clone(),
                    option: e.option(),
                    status: ShipmentStatus::Prepared,
                    fee: e.fee.as_ref().map_or(0, |m| m.units),
                    weight_grams: e.weight_grams,
                    sum_cm: e.sum_cm,
                    from_region_id: e.from_region_id.clone(),
                    ..Shipment::default()
                }
            }
            Event::Ready(_) => self.status = ShipmentStatus::Ready,
            Event::Booked(e) => {
                self.status = ShipmentStatus::Booked;
                self.carrier.clone_from(&e.carrier);
                self.tracking_number.clone_from(&e.tracking_number);
                self.store_id.clone_from(&e.store_id);
            }
            Event::PickedUp(e) => self.saw(ShipmentStatus::PickedUp, stamp(&e.time)),
            Event::Moved(e) => self.saw(e.status(), stamp(&e.time)),
            Event::Delivered(e) => self.saw(ShipmentStatus::Delivered, stamp(&e.time)),
            Event::Returned(e) => self.saw(ShipmentStatus::Returned, stamp(&e.time)),
            Event::Cancelled(_) => self.status = ShipmentStatus::Cancelled,
        }
    }

    fn saw(&mut self, status: ShipmentStatus, time: i64) {
        self.status = status;
        self.seen_time = self.seen_time.max(time);
    }

    /// The first event of a shipment; `self` is what it describes.
    pub fn prepare(&self, now: Time) -> Event {
        fact!(
            self,
            Prepared(ShipmentPrepared {
                option: self.option.into(),
                fee: Some(super::won(self.fee)),
                weight_grams: self.weight_grams,
                sum_cm: self.sum_cm,
                from_region_id: self.from_region_id.clone(),
                time: Some(proto::timestamp(now)),
            })
        )
    }

    /// The order is paid. Nothing for what is ready already, or further.
    pub fn ready(&self, now: Time) -> Vec<Event> {
        match self.status {
            ShipmentStatus::Prepared => {
                vec![fact!(self, Ready(ShipmentReady { time: Some(proto::timestamp(now)) }))]
            }
            _ => Vec::new(),
        }
    }

    /// Whether it may be booked now.
    pub fn bookable(&self) -> Result<()> {
        match self.status {
            ShipmentStatus::Ready => Ok(()),
            _ => Err(self.wrong("booked")),
        }
    }

    pub fn book(&self, carrier: &str, tracking_number: &str, store_id: &str, now: Time) -> Result<Vec<Event>> {
        self.bookable()?;
        Ok(vec![fact!(
            self,
            Booked(ShipmentBooked {
                carrier: carrier.to_owned(),
                tracking_number: tracking_number.to_owned(),
                store_id: store_id.to_owned(),
                time: Some(proto::timestamp(now)),
            })
        )])
    }

    /// Before it is picked up, and once.
    pub fn cancel(&self, now: Time) -> Result<Vec<Event>> {
        match self.status {
            ShipmentStatus::Cancelled => Ok(Vec::new()),
            ShipmentStatus::Prepared | ShipmentStatus::Ready | ShipmentStatus::Booked => {
                Ok(vec![fact!(self, Cancelled(ShipmentCancelled { time: Some(proto::timestamp(now)) }))])
            }
            status => Err(Fault::ShipmentUnderway {
                shipment_id: self.shipment_id.clone(),
                part: self.part,
                status: status_name(status),
            }
            .into()),
        }
    }

    /// Seller and buyer met: it left the one's hands and is in the other's.
    pub fn hand_over(&self, now: Time) -> Vec<Event> {
        let time = Some(proto::timestamp(now));
        vec![
            fact!(self, PickedUp(ShipmentPickedUp { place: String::new(), time })),
            fact!(self, Delivered(ShipmentDelivered { place: String::new(), time })),
        ]
    }

    /// What a sighting makes of it. A shipment never goes back: whoever saw it where it no longer can be is late. The
    /// first sighting on its way says that it was picked up, even where the scan that says so is late or missing.
    pub fn see(&self, sight: &Sight) -> Seen {
        use ShipmentStatus::{Booked, Delivered, InTransit, OutForDelivery, PickedUp, Returned};
        let late = Seen { late: true, ..Seen::default() };
        let (Some(now), Some(then)) = (rank(self.status), rank(sight.status)) else { return late };
        let older = micros(sight.time) < self.seen_time;
        let again = now == then && matches!(sight.status, InTransit | OutForDelivery) && !older;
        if now == then && sight.status == Booked {
            return Seen::default();
        }
        if super::is_end(self.status) || then < now || (then == now && !again) {
            return late;
        }
        let (place, time) = (sight.place.clone(), Some(proto::timestamp(sight.time)));
        let mut events = Vec::new();
        if self.status == Booked {
            events.push(fact!(self, PickedUp(ShipmentPickedUp { place: place.clone(), time })));
        }
        match sight.status {
            PickedUp => {}
            Delivered => events.push(fact!(self, Delivered(ShipmentDelivered { place, time }))),
            Returned => events.push(fact!(self, Returned(ShipmentReturned { place, time }))),
            status => events.push(fact!(self, Moved(ShipmentMoved { status: status.into(), place, time }))),
        }
        Seen { events, late: false }
    }

    pub fn wrong(&self, verb: &'static str) -> jangteo_core::Error {
        Fault::WrongStatus { shipment_id: self.shipment_id.clone(), status: status_name(self.status), verb }.into()
    }
}

/// How far along the way; `None` for what no carrier can see.
fn rank(status: ShipmentStatus) -> Option<u8> {
    match status {
        ShipmentStatus::Booked => Some(0),
        ShipmentStatus::PickedUp => Some(1),
        ShipmentStatus::InTransit => Some(2),
        ShipmentStatus::OutForDelivery => Some(3),
        ShipmentStatus::Delivered | ShipmentStatus::Returned => Some(4),
        _ => None,
    }
}

#[cfg(test)]
#[path = "shipment/tests.rs"]
mod tests;
