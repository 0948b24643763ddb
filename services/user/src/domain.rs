//! What people may say of themselves, agree to and own.

pub mod address;
pub mod consent;
pub mod profile;

use jangteo_core::{Entity, faults};

/// So many addresses are enough for anybody, and few enough to read at once.
pub const MAX_ADDRESSES: usize = 20;

faults! {
    /// Why the user service refuses.
    pub enum Fault in "user.jangteo" {
        TooManyAddresses { limit: usize } = FailedPrecondition "there are {limit} addresses already; remove one first",
        ConsentRequired { purpose: &'static str } = FailedPrecondition
            "{purpose} can't be withdrawn as long as there is an account",
        StaleDocument { purpose: &'static str, latest: i32 } = FailedPrecondition
            "{purpose} was answered for version {latest} already",
        NotEnoughPoints { balance: i64 } = FailedPrecondition "only {balance} points are left",
        PointsKeyReused { key: String } = AlreadyExists "{key} was booked already, with another amount or reason",
    }
}

pub enum Address {}

impl Entity for Address {
    const NAME: &'static str = "address";
    const PREFIX: &'static str = "adr";
}

pub enum PointsEntry {}

impl Entity for PointsEntry {
    const NAME: &'static str = "points_entry";
    const PREFIX: &'static str = "pte";
}
