//! Rows and how they become messages; the only file that knows the ORM. What is personal is sealed here and opened here.

pub mod booking;
pub mod handover;
pub mod sandbox;
pub mod shipment;
pub mod tombstone;
pub mod tracking;
