//! Orders: a row is the fold of its order's events, written with them.

use crate::{
    domain::{Event, Order, units},
    store::part,
};
use chrono::{Datelike, FixedOffset};
use jangteo_core::{Error, Page, Result, from_micros, micros};
use kit::db::{self, Aggregate, Db, DbResult, Envelope, EventSet, Key, Paged, Tx};
use prost::Message;
use proto::{
    Event as _,
    jangteo::{order::v1 as wire, shipping::v1::PrepareShipmentsRequest},
};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, ExprTrait, FromQueryResult, QueryFilter, QuerySelect, entity::prelude::*,
    sea_query::Expr,
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orders")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: String,
    pub buyer_id: String,
    pub request_id: String,
    /// SHA-256 of the request that placed it.
    pub fingerprint: Vec<u8>,
    /// A `PrepareShipmentsRequest`.
    pub shipments: Vec<u8>,
    /// Number of the proto's enum.
    pub status: i64,
    /// Whole won, as the next one.
    pub total: i64,
    pub refunded: i64,
    pub closed: bool,
    /// 202601
    pub month: i64,
    /// The version of the last event.
    pub version: i64,
    pub create_time: i64,
    /// An `Order`, as the buyer sees it.
    pub body: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn wire(&self) -> Result<wire::Order> {
        wire::Order::decode(self.body.as_slice()).map_err(Error::internal)
    }

    pub fn shipments(&self) -> Result<PrepareShipmentsRequest> {
        PrepareShipmentsRequest::decode(self.shipments.as_slice()).map_err(Error::internal)
    }
}

impl Aggregate for Order {
    const AGGREGATE: &'static str = "order";
    type Event = Event;

    fn apply(&mut self, event: Event, meta: &Envelope) {
        Order::apply(self, event, meta.time.as_ref().map_or(0, |t| micros(proto::time(t))));
    }
}

/// The month by Korean time, which statistics go by: 202601.
pub fn month(create_time: i64) -> i64 {
    let korea = FixedOffset::east_opt(9 * 3600).expect("within a day");
    let t = from_micros(create_time).with_timezone(&korea);
    i64::from(t.year()) * 100 + i64::from(t.month())
}

/// An order inside a write, where its events can be appended.
pub async fn load(tx: &Tx, order_id: &str) -> Result<Order> {
    match tx.load::<Order>(order_id).await? {
        (_, 0) => Err(Error::not_found("order", order_id)),
        (order, _) => Ok(order),
    }
}

/// The order as soon as `enough` is true of it, by the events; `None` when it is not yet.
pub async fn when(db: &Db, order_id: &str, enough: impl Fn(&Order) -> bool) -> Result<Option<Order>> {
    let mut order = Order::default();
    loop {
        let events = db.history(Order::AGGREGATE, order_id, order.version, BATCH).await?;
        let full = events.len() as u64 == BATCH;
        for e in events {
            if let Some(event) = Event::decode(&e)? {
                Aggregate::apply(&mut order, event, &e);
            }
            order.version = e.version;
            if enough(&order) {
                return Ok(Some(order));
            }
        }
        if !full {
            return Ok(None);
        }
    }
}

const BATCH: u64 = 200;

/// The order as its events made it up to a time; `None` before it was placed.
pub async fn as_of(db: &Db, order_id: &str, time: i64) -> Result<Option<Order>> {
    let mut order = Order::default();
    loop {
        let events = db.history(Order::AGGREGATE, order_id, order.version, BATCH).await?;
        let full = events.len() as u64 == BATCH;
        for e in events {
            if e.time.as_ref().is_some_and(|t| micros(proto::time(t)) > time) {
                return Ok(Some(order).filter(|o| o.version > 0));
            }
            if let Some(event) = Event::decode(&e)? {
                Aggregate::apply(&mut order, event, &e);
            }
            order.version = e.version;
        }
        if !full {
            return Ok(Some(order).filter(|o| o.version > 0));
        }
    }
}

/// What placing an order writes beside its event.
pub struct Fresh {
    pub placed: wire::OrderPlaced,
    pub request_id: String,
    pub fingerprint: [u8; 32],
    pub shipments: PrepareShipmentsRequest,
}

pub async fn insert(tx: &Tx, fresh: &Fresh) -> Result<Order> {
    let mut order = Order::default();
    order.apply(Event::Placed(fresh.placed.clone()), micros(tx.now()));
    tx.append(&order.order_id, 0, std::slice::from_ref(&fresh.placed)).await?;
    let row = ActiveModel {
        order_id: Set(order.order_id.clone()),
        buyer_id: Set(order.buyer_id.clone()),
        request_id: Set(fresh.request_id.clone()),
        fingerprint: Set(fresh.fingerprint.to_vec()),
        shipments: Set(fresh.shipments.encode_to_vec()),
        create_time: Set(order.create_time),
        month: Set(month(order.create_time)),
        ..state(&order)
    };
    Entity::insert(row).exec_without_returning(tx).await.db()?;
    part::insert(tx, &order).await?;
    Ok(order)
}

/// What changes of a row.
fn state(order: &Order) -> ActiveModel {
    let body = order.wire();
    ActiveModel {
        status: Set(body.status.into()),
        total: Set(order.total),
        refunded: Set(units(&body.refunded)),
        closed: Set(order.closed),
        version: Set(order.version),
        body: Set(body.encode_to_vec()),
        ..Default::default()
    }
}

/// Adds `events` to the order's history and writes what they make of it, or finds that somebody else was faster.
pub async fn record(tx: &Tx, mut order: Order, events: Vec<Event>) -> Result<Order> {
    if events.is_empty() {
        return Ok(order);
    }
    let before = order.parts.clone();
    for event in events {
        append(tx, order.version, &event).await?;
        order.apply(event, micros(tx.now()));
    }
    let id = Column::OrderId.eq(&order.order_id);
    Entity::update_many().set(state(&order)).filter(id).exec(tx).await.db()?;
    part::update(tx, &order, &before).await?;
    Ok(order)
}

async fn append(tx: &Tx, version: i64, event: &Event) -> Result<()> {
    macro_rules! each {
        ($($variant:ident),*) => { match event { $(Event::$variant(e) => {
            tx.append(e.aggregate_id(), version, std::slice::from_ref(e)).await
        })* } };
    }
    each!(
        Placed,
        PaymentPending,
        PaymentDeclined,
        Paid,
        Cancelled,
        PartShipped,
        PartDelivered,
        PartConfirmed,
        PartCancelled,
        PartDisputed,
        DisputeResolved,
        PartSettled,
        Closed
    )
    .map(drop)
}

pub async fn find<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Model> {
    let row = Entity::find_by_id(order_id).one(conn).await.db()?;
    row.ok_or_else(|| Error::not_found("order", order_id))
}

/// What the buyer's request with this key became.
pub async fn requested<C: ConnectionTrait>(conn: &C, buyer_id: &str, request_id: &str) -> Result<Option<Model>> {
    let select = Entity::find().filter(Column::BuyerId.eq(buyer_id)).filter(Column::RequestId.eq(request_id));
    select.one(conn).await.db()
}

/// A page of orders, the newest first; of one buyer, or everybody's.
pub async fn page(db: &Db, buyer_id: Option<&str>, statuses: &[i32], page: &Page) -> Result<Paged<Model>> {
    let mut select = Entity::find();
    if let Some(buyer) = buyer_id {
        select = select.filter(Column::BuyerId.eq(buyer));
    }
    if !statuses.is_empty() {
        select = select.filter(Column::Status.is_in(statuses.iter().map(|s| i64::from(*s))));
    }
    let keys = [Key::desc(Column::CreateTime), Key::desc(Column::OrderId)];
    let of = |row: &Model| vec![row.create_time.to_string(), row.order_id.clone()];
    db::page(db.read(), select, page, &keys, of).await
}

/// These orders, in no order.
pub async fn all_of<C: ConnectionTrait>(conn: &C, order_ids: &[String]) -> Result<Vec<Model>> {
    Entity::find().filter(Column::OrderId.is_in(order_ids)).all(conn).await.db()
}

/// A page through all orders by id, for checks.
pub async fn walk<C: ConnectionTrait>(conn: &C, after: &str, limit: u64) -> Result<Vec<Model>> {
    use sea_orm::QueryOrder;
    let select = Entity::find().filter(Column::OrderId.gt(after)).order_by_asc(Column::OrderId).limit(limit);
    select.all(conn).await.db()
}

/// Orders of one month in one state.
#[derive(Debug, FromQueryResult)]
pub struct Count {
    pub month: i64,
    pub status: i64,
    pub count: i64,
    pub total: i64,
    pub refunded: i64,
}

/// A sum as 64 bits: PostgreSQL's is wider.
pub(super) fn sum<C: ColumnTrait>(column: C) -> sea_orm::sea_query::SimpleExpr {
    Expr::expr(column.into_expr().sum()).cast_as("BIGINT")
}

/// What a buyer ordered, by month and status.
pub async fn counts<C: ConnectionTrait>(conn: &C, buyer_id: &str, months: (i64, i64)) -> Result<Vec<Count>> {
    use sea_orm::QueryOrder;
    Entity::find()
        .select_only()
        .column(Column::Month)
        .column(Column::Status)
        .column_as(Expr::col(Column::OrderId).count(), "count")
        .column_as(sum(Column::Total), "total")
        .column_as(sum(Column::Refunded), "refunded")
        .filter(Column::BuyerId.eq(buyer_id))
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

/// Orders that are not paid and of which nothing says how they go on.
pub async fn stranded<C: ConnectionTrait>(conn: &C, limit: u64) -> Result<Vec<String>> {
    use proto::jangteo::order::v1::OrderStatus;
    let select = "SELECT o.order_id FROM orders o WHERE o.status = $1 \
         AND NOT EXISTS (SELECT 1 FROM saga s WHERE s.order_id = o.order_id AND s.part = 0) ORDER BY o.order_id LIMIT $2";
    let values = [i64::from(i32::from(OrderStatus::Received)).into(), (limit as i64).into()];
    let stmt = sea_orm::Statement::from_sql_and_values(conn.get_database_backend(), select, values);
    conn.query_all_raw(stmt).await.db()?.iter().map(|row| row.try_get_by_index(0).db()).collect()
}
