//! A product's units: on hand, held for orders, available. Each change is one statement that locks the row and
//! decides at once, so any number may come together.

use super::{Column, Entity, Model, find};
use jangteo_core::{Error, Result, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::catalog::v1::ProductStatus;
use sea_orm::{
    ConnectionTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, UpdateMany,
    entity::prelude::*,
    sea_query::{Expr, SimpleExpr},
};

/// What can be had, as it is cached.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Available {
    #[prost(int64, tag = "1")]
    pub units: i64,
    /// Never goes back.
    #[prost(int64, tag = "2")]
    pub changes: i64,
}

/// What can be had of a product; nothing of one that never was.
pub async fn available<C: ConnectionTrait>(conn: &C, product_id: &str) -> Result<Available> {
    let row: Option<(i64, i64, i64)> = Entity::find_by_id(product_id)
        .select_only()
        .columns([Column::Stock, Column::Reserved, Column::StockChanges])
        .into_tuple()
        .one(conn)
        .await
        .db()?;
    Ok(row.map_or_else(Available::default, |(stock, reserved, changes)| Available { units: stock - reserved, changes }))
}

pub async fn reserved<C: ConnectionTrait>(conn: &C, product_id: &str) -> Result<i64> {
    let select = Entity::find_by_id(product_id).select_only().column(Column::Reserved);
    Ok(select.into_tuple().one(conn).await.db()?.unwrap_or(0))
}

fn plus(column: Column, n: i64) -> SimpleExpr {
    Expr::col(column).add(n)
}

/// What can be had: the expression of it.
fn free() -> SimpleExpr {
    Expr::col(Column::Stock).sub(Expr::col(Column::Reserved))
}

fn update(product_id: &str) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::StockChanges, plus(Column::StockChanges, 1))
        .filter(Column::ProductId.eq(product_id))
}

/// A change that has an event, which is the caller's to append as the row's version.
fn with_event(tx: &Tx, update: UpdateMany<Entity>) -> UpdateMany<Entity> {
    update
        .col_expr(Column::Version, plus(Column::Version, 1))
        .col_expr(Column::UpdateTime, Expr::value(micros(tx.now())))
}

/// The row, when the update found it to be as it must be.
async fn run(tx: &Tx, product_id: &str, update: UpdateMany<Entity>) -> Result<Option<Model>> {
    match update.exec(tx).await.db()?.rows_affected {
        0 => Ok(None),
        _ => Ok(Some(find(tx, product_id).await?)),
    }
}

/// Adds to the stock, unless that would leave less than what is held, or more than `max`: then `None`.
pub async fn add(tx: &Tx, product_id: &str, delta: i64, max: i64) -> Result<Option<Model>> {
    let sum = || plus(Column::Stock, delta);
    let update = with_event(tx, update(product_id))
        .col_expr(Column::Stock, sum())
        .filter(Column::Deleted.eq(false))
        .filter(sum().gte(Expr::col(Column::Reserved)))
        .filter(sum().lte(max));
    run(tx, product_id, update).await
}

/// From available to held; `None`: not on sale, or not so many available.
pub async fn hold(tx: &Tx, product_id: &str, quantity: i64) -> Result<Option<Model>> {
    let update = update(product_id)
        .col_expr(Column::Reserved, plus(Column::Reserved, quantity))
        .filter(Column::Deleted.eq(false))
        .filter(Column::Status.eq(i64::from(i32::from(ProductStatus::OnSale))))
        .filter(free().gte(quantity));
    run(tx, product_id, update).await
}

/// From held to available.
pub async fn release(tx: &Tx, product_id: &str, quantity: i64) -> Result<Model> {
    let update = update(product_id)
        .col_expr(Column::Reserved, plus(Column::Reserved, -quantity))
        .filter(Expr::col(Column::Reserved).gte(quantity));
    run(tx, product_id, update).await?.ok_or_else(|| adrift(product_id))
}

/// From held to sold.
pub async fn sell(tx: &Tx, product_id: &str, quantity: i64) -> Result<Model> {
    let update = with_event(tx, update(product_id))
        .col_expr(Column::Stock, plus(Column::Stock, -quantity))
        .col_expr(Column::Reserved, plus(Column::Reserved, -quantity))
        .filter(Expr::col(Column::Reserved).gte(quantity));
    run(tx, product_id, update).await?.ok_or_else(|| adrift(product_id))
}

/// From sold to available; `None`: the product was withdrawn meanwhile, and nothing follows that.
pub async fn take_back(tx: &Tx, product_id: &str, quantity: i64) -> Result<Option<Model>> {
    let update = with_event(tx, update(product_id))
        .col_expr(Column::Stock, plus(Column::Stock, quantity))
        .filter(Column::Deleted.eq(false));
    run(tx, product_id, update).await
}

fn adrift(product_id: &str) -> Error {
    Error::internal(format!("fewer units of {product_id} are reserved than its holds hold"))
}

/// Products behind `after` by their ids, deleted ones too.
pub async fn batch<C: ConnectionTrait>(conn: &C, after: &str, limit: u64) -> Result<Vec<Model>> {
    Entity::find().filter(Column::ProductId.gt(after)).order_by_asc(Column::ProductId).limit(limit).all(conn).await.db()
}

/// A product, deleted or not.
pub async fn row<C: ConnectionTrait>(conn: &C, product_id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(product_id).one(conn).await.db()
}
