//! Rows and how they become messages; the only file that knows the ORM.

pub mod category;
pub mod hold;
pub mod like;
pub mod product;
