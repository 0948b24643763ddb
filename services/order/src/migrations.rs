//! The schema.

use kit::db::{Migration, Migrations};

pub const MIGRATIONS: Migrations =
    Migrations(&[Migration { name: "0001_orders", sql: include_str!("migrations/0001_orders.sql") }]);
