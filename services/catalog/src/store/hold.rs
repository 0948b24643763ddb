//! Holds: a row for each product of an order, beside the product.

use crate::domain::hold::Status;
use jangteo_core::{Code, Error, Result, Time, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::catalog::v1::StockLine;
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, QueryFilter, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stock_hold")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub hold_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub product_id: String,
    pub quantity: i64,
    /// Number of the domain's enum.
    pub status: i64,
    /// 0: it was released before it came.
    pub expire_time: i64,
    pub create_time: i64,
    pub update_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn status(&self) -> Result<Status> {
        Status::from_row(self.status)
    }
}

pub async fn find<C: ConnectionTrait>(conn: &C, hold_id: &str, product_id: &str) -> Result<Option<Model>> {
    Entity::find_by_id((hold_id.to_owned(), product_id.to_owned())).one(conn).await.db()
}

/// A product's part of a hold that nobody has heard of yet.
pub async fn insert(tx: &Tx, hold_id: &str, line: &StockLine, status: Status, expire_time: i64) -> Result<Model> {
    let now = micros(tx.now());
    let row = Model {
        hold_id: hold_id.to_owned(),
        product_id: line.product_id.clone(),
        quantity: line.quantity.into(),
        status: status as i64,
        expire_time,
        create_time: now,
        update_time: now,
    };
    let conflict = OnConflict::columns([Column::HoldId, Column::ProductId]).do_nothing().to_owned();
    let fresh = ActiveModel::from(row.clone()).reset_all();
    match Entity::insert(fresh).on_conflict(conflict).exec_without_returning(tx).await.db()? {
        1 => Ok(row),
        _ => Err(overtaken(hold_id)),
    }
}

/// By compare-and-set: of two that turn the same row one wins.
pub async fn turn(tx: &Tx, from: Model, to: Status, expire_time: i64) -> Result<Model> {
    let row = Model { status: to as i64, expire_time, update_time: micros(tx.now()), ..from.clone() };
    let update = ActiveModel {
        status: Set(row.status),
        expire_time: Set(row.expire_time),
        update_time: Set(row.update_time),
        ..Default::default()
    };
    let done = Entity::update_many()
        .set(update)
        .filter(Column::HoldId.eq(&row.hold_id))
        .filter(Column::ProductId.eq(&row.product_id))
        .filter(Column::Status.eq(from.status))
        .exec(tx)
        .await
        .db()?;
    if done.rows_affected == 1 { Ok(row) } else { Err(overtaken(&row.hold_id)) }
}

/// The stores keep writes apart, so that this is seen only where they are set to do so less strictly.
fn overtaken(hold_id: &str) -> Error {
    Error::new(Code::Aborted, "CONTENTION", "somebody else turned this hold meanwhile; try again")
        .with("hold_id", hold_id)
}

/// Holds whose time is over, the oldest first.
pub async fn due<C: ConnectionTrait>(conn: &C, now: Time, limit: u64) -> Result<Vec<String>> {
    Entity::find()
        .select_only()
        .column(Column::HoldId)
        .filter(Column::Status.eq(Status::Held as i64))
        .filter(Column::ExpireTime.lte(micros(now)))
        .group_by(Column::HoldId)
        .order_by_asc(Expr::cust("MIN(expire_time)"))
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await
        .db()
}

/// What a hold holds here, in the order in which rows are locked.
pub async fn lines<C: ConnectionTrait>(conn: &C, hold_id: &str) -> Result<Vec<StockLine>> {
    let rows = Entity::find()
        .filter(Column::HoldId.eq(hold_id))
        .filter(Column::Status.eq(Status::Held as i64))
        .order_by_asc(Column::ProductId)
        .all(conn)
        .await
        .db()?;
    let line = |row: Model| StockLine { quantity: super::product::small(row.quantity), product_id: row.product_id };
    Ok(rows.into_iter().map(line).collect())
}

/// How many units of a product are held, by the holds.
pub async fn held<C: ConnectionTrait>(conn: &C, product_id: &str) -> Result<i64> {
    let sum: Option<i64> = Entity::find()
        .select_only()
        .expr(Expr::cust("CAST(COALESCE(SUM(quantity), 0) AS BIGINT)"))
        .filter(Column::ProductId.eq(product_id))
        .filter(Column::Status.eq(Status::Held as i64))
        .into_tuple()
        .one(conn)
        .await
        .db()?;
    Ok(sum.unwrap_or(0))
}
