//! Rows and how they become messages; the only file that knows the ORM. What is personal is sealed here and opened here.

pub mod address;
pub mod consent;
pub mod points;
pub mod profile;
