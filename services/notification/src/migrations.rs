//! The schema. What may say something about a person is in the `sealed` columns.

use kit::db::{Migration, Migrations};

pub const MIGRATIONS: Migrations =
    Migrations(&[Migration { name: "0001_notices", sql: include_str!("migrations/0001_notices.sql") }]);
