//! Completed trades. Whoever writes, decides on or reveals a review of one locks its row first.

use crate::domain::{Fault, Trade};
use jangteo_core::{Error, Result, Time, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::review::v1::{ReviewStatus, TradeRole};
use sea_orm::{
    ConnectionTrait, ExprTrait, QueryFilter, QuerySelect,
    entity::prelude::*,
    sea_query::{Expr, OnConflict, Query},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "trade")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i64,
    pub buyer_id: String,
    pub seller_id: String,
    /// With a blank between them.
    pub product_ids: String,
    pub by_deadline: bool,
    pub buyer_wrote: bool,
    pub seller_wrote: bool,
    pub reveal_time: i64,
    pub write_until: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Trade {
    fn from(row: Model) -> Self {
        Trade {
            order_id: row.order_id,
            part: row.part,
            buyer_id: row.buyer_id,
            seller_id: row.seller_id,
            product_ids: row.product_ids.split_whitespace().map(str::to_owned).collect(),
            by_deadline: row.by_deadline,
            buyer_wrote: row.buyer_wrote,
            seller_wrote: row.seller_wrote,
            reveal_time: row.reveal_time,
            write_until: row.write_until,
        }
    }
}

pub async fn find<C: ConnectionTrait>(conn: &C, order_id: &str, part: i64) -> Result<Option<Trade>> {
    let row = Entity::find_by_id((order_id.to_owned(), part)).one(conn).await.db()?;
    Ok(row.map(Trade::from))
}

/// Writes the trade, unless it is there already.
pub async fn open(tx: &Tx, trade: &Trade) -> Result<()> {
    let row = Model {
        order_id: trade.order_id.clone(),
        part: trade.part,
        buyer_id: trade.buyer_id.clone(),
        seller_id: trade.seller_id.clone(),
        product_ids: trade.product_ids.join(" "),
        by_deadline: trade.by_deadline,
        buyer_wrote: trade.buyer_wrote,
        seller_wrote: trade.seller_wrote,
        reveal_time: trade.reveal_time,
        write_until: trade.write_until,
    };
    let conflict = OnConflict::columns([Column::OrderId, Column::Part]).do_nothing().to_owned();
    Entity::insert(ActiveModel::from(row).reset_all()).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Takes the one say that `role` has, and locks the trade.
pub async fn claim(tx: &Tx, order_id: &str, part: i64, role: TradeRole) -> Result<Trade> {
    let wrote = if role == TradeRole::Buyer { Column::BuyerWrote } else { Column::SellerWrote };
    let done = Entity::update_many()
        .col_expr(wrote, Expr::value(true))
        .filter(Column::OrderId.eq(order_id))
        .filter(Column::Part.eq(part))
        .filter(wrote.eq(false))
        .exec_with_returning(tx)
        .await
        .db()?;
    let row = done.into_iter().next();
    row.map(Trade::from).ok_or_else(|| Fault::AlreadyReviewed { order_id: order_id.to_owned(), part }.into())
}

pub async fn lock(tx: &Tx, order_id: &str, part: i64) -> Result<Trade> {
    let done = Entity::update_many()
        .col_expr(Column::BuyerWrote, Expr::col(Column::BuyerWrote))
        .filter(Column::OrderId.eq(order_id))
        .filter(Column::Part.eq(part))
        .exec_with_returning(tx)
        .await
        .db()?;
    let row = done.into_iter().next();
    row.map(Trade::from).ok_or_else(|| Error::internal(format!("{order_id} has reviews and no trade {part}")))
}

/// Trades whose week is over and that still hide something. The few reviews that wait are looked through, and not the
/// trades of all times.
pub async fn due<C: ConnectionTrait>(conn: &C, now: Time, limit: u64) -> Result<Vec<(String, i64)>> {
    use super::review;
    let over = Query::select()
        .expr(Expr::value(1))
        .from(Entity)
        .and_where(Expr::col((Entity, Column::OrderId)).equals((review::Entity, review::Column::OrderId)))
        .and_where(Expr::col((Entity, Column::Part)).equals((review::Entity, review::Column::Part)))
        .and_where(Expr::col((Entity, Column::RevealTime)).lte(micros(now)))
        .to_owned();
    review::Entity::find()
        .select_only()
        .columns([review::Column::OrderId, review::Column::Part])
        .distinct()
        .filter(review::is(ReviewStatus::Waiting))
        .filter(Expr::exists(over))
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await
        .db()
}
