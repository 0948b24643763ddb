//! Rows and how they become values; the only place that knows the ORM.

pub mod cart;
pub mod line;
pub mod wish;
