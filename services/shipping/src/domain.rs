//! What a shipment is and what may happen to it. Decisions give events, events make the next state, and the row in
//! the store is that state: so the history and the row can't disagree.

pub mod code;
pub mod postal;
pub mod route;
pub mod shipment;
pub mod tariff;

pub use shipment::{Event, Shipment, Sight};

use jangteo_core::{Currency, Entity, Id, Money, faults};
use proto::{
    google::r#type::Money as WireMoney,
    jangteo::shipping::v1::{ShipmentStatus, ShippingOption},
};

faults! {
    /// Why the shipping service refuses.
    pub enum Fault in "shipping.jangteo" {
        OptionUnavailable { part: i32, option: &'static str, reason: &'static str } = FailedPrecondition
            "part {part} can't go by {option}: {reason}",
        ShipmentCancelled { order_id: String } = FailedPrecondition "the shipments of {order_id} were cancelled",
        ShipmentDiffers { order_id: String, part: i32 } = AlreadyExists
            "part {part} of {order_id} was prepared already, for another seller, buyer or option",
        NotPrepared { order_id: String } = FailedPrecondition "{order_id} has no shipments",
        ShipmentUnderway { shipment_id: String, part: i32, status: &'static str } = FailedPrecondition
            "{shipment_id} is {status} already",
        WrongStatus { shipment_id: String, status: &'static str, verb: &'static str } = FailedPrecondition
            "a shipment that is {status} can't be {verb}",
        WrongBooking { shipment_id: String, option: &'static str } = FailedPrecondition
            "{shipment_id} was ordered as {option}; book it so",
        AlreadyBooked { shipment_id: String } = FailedPrecondition "{shipment_id} is booked otherwise already",
        CarrierUnavailable { carrier: String } = FailedPrecondition "{carrier} can't be booked here",
        OwnNumberRefused { carrier: String } = FailedPrecondition "{carrier} tells only of parcels that are booked here",
        CarrierRefused { carrier: String, reason: String } = FailedPrecondition "{carrier} refuses the parcel: {reason}",
        TrackingNumberTaken { carrier: String, tracking_number: String } = AlreadyExists
            "{tracking_number} of {carrier} belongs to another shipment",
        TrackingNumberUnknown { carrier: String, tracking_number: String } = NotFound
            "no shipment has the number {tracking_number} of {carrier}",
        SignatureInvalid { carrier: String } = InvalidArgument "the report is not signed by {carrier}",
        ReportUnreadable { carrier: String } = InvalidArgument "the report is not in the form that {carrier} sends",
        NoLabel { shipment_id: String } = FailedPrecondition "{shipment_id} was not booked here, so it has no label",
        NoMeeting { shipment_id: String } = FailedPrecondition "no meeting is arranged for {shipment_id}",
        OwnCode { shipment_id: String } = FailedPrecondition "the code is for the other one to enter",
        NoCode { shipment_id: String } = FailedPrecondition "no code counts for {shipment_id}; ask for a new one",
        WrongCode { shipment_id: String, attempts_left: i64 } = FailedPrecondition
            "the code is wrong; {attempts_left} attempts are left",
    }
}

impl Entity for Shipment {
    const NAME: &'static str = "shipment";
    const PREFIX: &'static str = "shp";
}

pub type ShipmentId = Id<Shipment>;

pub fn won(amount: i64) -> WireMoney {
    Money::new(amount, Currency::KRW).into()
}

pub fn status_name(status: ShipmentStatus) -> &'static str {
    match status {
        ShipmentStatus::Unspecified => "unknown",
        ShipmentStatus::Prepared => "prepared",
        ShipmentStatus::Ready => "ready",
        ShipmentStatus::Booked => "booked",
        ShipmentStatus::PickedUp => "picked up",
        ShipmentStatus::InTransit => "in transit",
        ShipmentStatus::OutForDelivery => "out for delivery",
        ShipmentStatus::Delivered => "delivered",
        ShipmentStatus::Cancelled => "cancelled",
        ShipmentStatus::Returned => "returned",
    }
}

pub fn option_name(option: ShippingOption) -> &'static str {
    match option {
        ShippingOption::Unspecified => "unknown",
        ShippingOption::Parcel => "parcel",
        ShippingOption::ConvenienceStore => "convenience store",
        ShippingOption::MeetUp => "meet-up",
        ShippingOption::International => "international parcel",
    }
}

/// Nothing follows on it.
pub fn is_end(status: ShipmentStatus) -> bool {
    matches!(status, ShipmentStatus::Delivered | ShipmentStatus::Cancelled | ShipmentStatus::Returned)
}

/// Where a shipment is of no concern to the seller yet.
pub fn is_paid(status: ShipmentStatus) -> bool {
    !matches!(status, ShipmentStatus::Unspecified | ShipmentStatus::Prepared | ShipmentStatus::Cancelled)
}
