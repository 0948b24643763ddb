//! The schema; forward only.

use kit::db::{Migration, Migrations};

pub const MIGRATIONS: Migrations =
    Migrations(&[Migration { name: "0001_reviews", sql: include_str!("migrations/0001_reviews.sql") }]);
