//! Rows and how they become messages; the only files that know the ORM.

pub mod charge;
pub mod check;
pub mod discrepancy;
pub mod ledger;
pub mod method;
pub mod payment;
pub mod payout;
pub mod points;
pub mod progress;
pub mod refund;
pub mod sandbox;
pub mod sending;
pub mod settlement;
pub mod webhook;

/// What every table has: rows without relations; and what some have: `insert`, and `save`, which writes a row over the old one.
macro_rules! rows {
    () => {
        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    };
    (insert) => {
        rows!();

        pub async fn insert(tx: &kit::db::Tx, row: Model) -> jangteo_core::Result<()> {
            let fresh = ActiveModel::from(row).reset_all();
            kit::db::DbResult::db(Entity::insert(fresh).exec_without_returning(tx).await).map(drop)
        }
    };
    (insert, save) => {
        rows!(insert);

        pub async fn save(tx: &kit::db::Tx, row: Model) -> jangteo_core::Result<()> {
            let changed = ActiveModel::from(row).reset_all();
            kit::db::DbResult::db(Entity::update(changed).exec(tx).await).map(drop)
        }
    };
}
use rows;
