//! Rows and queries. The engine's files are no store: they can be deleted.

pub mod document;
pub mod query_day;
pub mod synonym;
