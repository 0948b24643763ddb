//! Rows and how they become values; the only place that knows the ORM.

pub mod facts;
pub mod rating;
pub mod review;
pub mod temperature;
pub mod trade;
