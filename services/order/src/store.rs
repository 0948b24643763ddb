//! Rows and how they become messages; the only file that knows the ORM.

pub mod dispute;
pub mod order;
pub mod part;
pub mod saga;
