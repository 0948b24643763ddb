//! Points: an account of lines that are only added, and its balance beside it in the same transaction.

use jangteo_core::{Page, Result, from_micros, micros};
use kit::db::{self, Db, DbResult, Key, Paged, Tx};
use proto::jangteo::user::v1::PointsEntry;
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, ExprTrait, QueryFilter,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};

pub mod balance {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "points_balance")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
        pub balance: i64,
        /// How many lines the account has.
        pub entries: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "points_entry")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub entry_id: String,
    pub user_id: String,
    /// 1, 2, 3 … for each person.
    pub seq: i64,
    /// The request's `key`.
    pub occasion: String,
    pub delta: i64,
    pub balance: i64,
    pub reason: String,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for PointsEntry {
    fn from(row: Model) -> Self {
        PointsEntry {
            entry_id: row.entry_id,
            delta: row.delta,
            balance: Some(row.balance),
            reason: row.reason,
            create_time: Some(proto::timestamp(from_micros(row.create_time))),
        }
    }
}

/// The balance and the number of lines; both 0 when there never was any.
pub async fn balance<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<(i64, i64)> {
    let row = balance::Entity::find_by_id(user_id).one(conn).await.db()?;
    Ok(row.map_or((0, 0), |row| (row.balance, row.entries)))
}

pub async fn booked<C: ConnectionTrait>(conn: &C, user_id: &str, key: &str) -> Result<Option<Model>> {
    Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::Occasion.eq(key)).one(conn).await.db()
}

/// Adds to the balance in one statement, unless it would fall below zero: then `false`.
pub async fn add(tx: &Tx, user_id: &str, delta: i64) -> Result<bool> {
    let none = balance::ActiveModel { user_id: Set(user_id.to_owned()), balance: Set(0), entries: Set(0) };
    let conflict = OnConflict::column(balance::Column::UserId).do_nothing().to_owned();
    balance::Entity::insert(none).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    let sum = || Expr::col(balance::Column::Balance).add(delta);
    let done = balance::Entity::update_many()
        .col_expr(balance::Column::Balance, sum())
        .col_expr(balance::Column::Entries, Expr::col(balance::Column::Entries).add(1))
        .filter(balance::Column::UserId.eq(user_id))
        .filter(sum().gte(0))
        .exec(tx)
        .await
        .db()?;
    Ok(done.rows_affected == 1)
}

pub async fn insert(tx: &Tx, row: Model) -> Result<Model> {
    let row = Model { create_time: micros(tx.now()), ..row };
    let fresh = ActiveModel::from(row.clone()).reset_all();
    Entity::insert(fresh).exec_without_returning(tx).await.db()?;
    Ok(row)
}

/// A page of the account, the newest line first.
pub async fn page(db: &Db, user_id: &str, page: &Page) -> Result<Paged<Model>> {
    let select = Entity::find().filter(Column::UserId.eq(user_id));
    db::page(db.primary(), select, page, &[Key::desc(Column::Seq)], |row: &Model| vec![row.seq.to_string()]).await
}
