//! The schema. Everything personal is in the `sealed` columns.

use kit::db::{Migration, Migrations};

pub const MIGRATIONS: Migrations =
    Migrations(&[Migration { name: "0001_shipments", sql: include_str!("migrations/0001_shipments.sql") }]);
