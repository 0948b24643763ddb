//! Parts of orders, as sellers list and count them.

use crate::{
    domain::{Order, Part},
    store::order::{self, Count, month, sum},
};
use jangteo_core::{Error, Page, Result};
use kit::db::{self, Db, DbResult, Key, Paged, Tx};
use proto::jangteo::order::v1::OrderStatus;
use sea_orm::{
    ActiveValue::Set, Condition, ConnectionTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, entity::prelude::*, sea_query::Expr,
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_part")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i64,
    pub seller_id: String,
    /// Number of the proto's enum.
    pub status: i64,
    /// Goods and shipping, whole won.
    pub total: i64,
    pub refunded: i64,
    /// Of the order, 202601.
    pub month: i64,
    /// Of the order.
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

fn row(order: &Order, p: &Part) -> Model {
    Model {
        order_id: order.order_id.clone(),
        part: p.part.into(),
        seller_id: p.seller_id.clone(),
        status: i32::from(p.status).into(),
        total: p.gross(),
        refunded: p.refunded,
        month: month(order.create_time),
        create_time: order.create_time,
    }
}

pub(super) async fn insert(tx: &Tx, order: &Order) -> Result<()> {
    let rows = order.parts.iter().map(|p| ActiveModel::from(row(order, p)).reset_all());
    Entity::insert_many(rows).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Writes the parts that differ from `before`.
pub(super) async fn update(tx: &Tx, order: &Order, before: &[Part]) -> Result<()> {
    for (p, old) in order.parts.iter().zip(before) {
        if (p.status, p.refunded) == (old.status, old.refunded) {
            continue;
        }
        let set =
            ActiveModel { status: Set(i32::from(p.status).into()), refunded: Set(p.refunded), ..Default::default() };
        let (id, part) = (Column::OrderId.eq(&order.order_id), Column::Part.eq(i64::from(p.part)));
        Entity::update_many().set(set).filter(id).filter(part).exec(tx).await.db()?;
    }
    Ok(())
}

/// A page of what somebody sold, the newest first. A seller has one part of an order.
pub async fn page(db: &Db, seller_id: &str, statuses: &[i32], page: &Page) -> Result<Paged<Model>> {
    let mut select = Entity::find().filter(Column::SellerId.eq(seller_id));
    if !statuses.is_empty() {
        select = select.filter(Column::Status.is_in(statuses.iter().map(|s| i64::from(*s))));
    }
    let keys = [Key::desc(Column::CreateTime), Key::desc(Column::OrderId)];
    let of = |row: &Model| vec![row.create_time.to_string(), row.order_id.clone()];
    db::page(db.read(), select, page, &keys, of).await
}

/// Parts to which something can still happen: the goods are not at their end, or a saga has still to move the money.
fn open() -> Select<Entity> {
    use OrderStatus::{Cancelled, Confirmed, Refunded};
    let ended = [Confirmed, Cancelled, Refunded].map(|s| i64::from(i32::from(s)));
    let saga =
        "EXISTS (SELECT 1 FROM saga s WHERE s.order_id = order_part.order_id AND s.part IN (0, order_part.part))";
    Entity::find().filter(Condition::any().add(Column::Status.is_not_in(ended)).add(Expr::cust(saga)))
}

/// How many open parts somebody sells.
pub async fn open_of_seller<C: ConnectionTrait>(conn: &C, seller_id: &str) -> Result<i64> {
    let found = open().filter(Column::SellerId.eq(seller_id)).count(conn).await.db()?;
    i64::try_from(found).map_err(Error::internal)
}

/// How many open parts somebody buys.
pub async fn open_of_buyer<C: ConnectionTrait>(conn: &C, buyer_id: &str) -> Result<i64> {
    let theirs = order::Entity::find().select_only().column(order::Column::OrderId);
    let theirs = theirs.filter(order::Column::BuyerId.eq(buyer_id)).into_query();
    let found = open().filter(Column::OrderId.in_subquery(theirs)).count(conn).await.db()?;
    i64::try_from(found).map_err(Error::internal)
}

/// The rows of one order, by part.
pub async fn of<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::OrderId.eq(order_id)).order_by_asc(Column::Part);
    select.all(conn).await.db()
}

/// Whether the row says what the order does.
pub fn agrees(order: &Order, rows: &[Model]) -> bool {
    rows.iter().eq(order.parts.iter().map(|p| row(order, p)).collect::<Vec<_>>().iter())
}

/// What somebody sold, by month and status.
pub async fn counts<C: ConnectionTrait>(conn: &C, seller_id: &str, months: (i64, i64)) -> Result<Vec<Count>> {
    Entity::find()
        .select_only()
        .column(Column::Month)
        .column(Column::Status)
        .column_as(Expr::col(Column::OrderId).count(), "count")
        .column_as(sum(Column::Total), "total")
        .column_as(sum(Column::Refunded), "refunded")
        .filter(Column::SellerId.eq(seller_id))
        .filter(Column::Month.between(months.0, months.1))
        .group_by(Column::Month)
        .group_by(Column::Status)
        .order_by_asc(Column::Month)
        .order_by_asc(Column::Status)
        .into_model()
        .all(conn)
        .await
        .db()
}
