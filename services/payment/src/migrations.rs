//! The schema. Card numbers are nowhere in it; what is personal is in `sealed` columns.

use kit::db::{Migration, Migrations};

pub const MIGRATIONS: Migrations = Migrations(&[
    Migration { name: "0001_ledger", sql: include_str!("migrations/0001_ledger.sql") },
    Migration { name: "0002_payments", sql: include_str!("migrations/0002_payments.sql") },
    Migration { name: "0003_sandbox", sql: include_str!("migrations/0003_sandbox.sql") },
    Migration { name: "0004_refunds_before", sql: include_str!("migrations/0004_refunds_before.sql") },
    Migration { name: "0005_checkouts", sql: include_str!("migrations/0005_checkouts.sql") },
    Migration { name: "0006_sendings", sql: include_str!("migrations/0006_sendings.sql") },
]);
