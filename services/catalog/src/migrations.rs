//! The schema, and the category tree that a market starts with: reference data, so that a market without demo data
//! has it too. Administrators add to it by `POST /v1/categories`.

use kit::db::{Migration, Migrations};

pub const MIGRATIONS: Migrations = Migrations(&[
    Migration { name: "0001_products", sql: include_str!("migrations/0001_products.sql") },
    Migration { name: "0002_category_tree", sql: include_str!("migrations/0002_category_tree.sql") },
    Migration { name: "0003_stock", sql: include_str!("migrations/0003_stock.sql") },
]);
