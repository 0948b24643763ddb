//! The platform's own tables, in every service's database.

use crate::{Migration, Migrations};

pub(crate) const MIGRATIONS: Migrations = Migrations(&[
    Migration { name: "system_0001", sql: include_str!("system_0001.sql") },
    Migration { name: "system_0002", sql: include_str!("system_0002.sql") },
    Migration { name: "system_0003", sql: include_str!("system_0003.sql") },
]);
