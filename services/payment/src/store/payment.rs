//! Payments, one an order.

use super::rows;
use crate::domain::{payment::status, won};
use jangteo_core::{Error, Page, Result, from_micros, micros};
use kit::db::{self, Db, DbResult, Key, Paged, Tx};
use proto::jangteo::payment::v1 as wire;
use sea_orm::{ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub payment_id: String,
    pub order_id: String,
    pub buyer_id: String,
    /// Number of the proto's enum.
    pub status: i64,
    pub attempt: i64,
    /// Whole won, as all amounts.
    pub amount: i64,
    pub points: i64,
    pub captured: i64,
    pub refunded: i64,
    pub refunded_points: i64,
    /// PROVIDER, WALLET or NONE.
    pub funding: String,
    pub provider: String,
    pub method_label: String,
    pub redirect_url: String,
    pub decline_reason: String,
    pub taking_points: bool,
    pub capturing: bool,
    pub due: i64,
    pub tries: i64,
    pub create_time: i64,
    pub update_time: i64,
}

rows!(insert, save);

impl Model {
    pub fn status(&self) -> wire::PaymentStatus {
        status(self.status)
    }

    pub fn set_status(&mut self, status: wire::PaymentStatus) {
        self.status = i32::from(status).into();
    }

    /// What is paid with money.
    pub fn money(&self) -> i64 {
        self.amount - self.points
    }

    /// What the attempt is known by: to the provider, to user's points account.
    pub fn key(&self) -> String {
        format!("{}:{}", self.order_id, self.attempt)
    }
}

impl From<Model> for wire::Payment {
    fn from(row: Model) -> Self {
        wire::Payment {
            payment_id: row.payment_id,
            order_id: row.order_id,
            buyer_id: row.buyer_id,
            status: i32::try_from(row.status).unwrap_or(0),
            amount: Some(won(row.amount)),
            captured: Some(won(row.captured)),
            refunded: Some(won(row.refunded)),
            points: row.points,
            provider: row.provider,
            method_label: row.method_label,
            redirect_url: row.redirect_url,
            decline_reason: row.decline_reason,
            attempt: i32::try_from(row.attempt).unwrap_or(i32::MAX),
            create_time: Some(proto::timestamp(from_micros(row.create_time))),
            update_time: Some(proto::timestamp(from_micros(row.update_time))),
        }
    }
}

pub async fn of_order<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Option<Model>> {
    Entity::find().filter(Column::OrderId.eq(order_id)).one(conn).await.db()
}

/// The order's payment, which nobody else changes until the commit.
pub async fn locked(tx: &Tx, order_id: &str) -> Result<Option<Model>> {
    Entity::find().filter(Column::OrderId.eq(order_id)).lock_exclusive().one(tx).await.db()
}

pub async fn must_lock(tx: &Tx, order_id: &str) -> Result<Model> {
    locked(tx, order_id).await?.ok_or_else(|| Error::not_found("payment", order_id))
}

pub async fn must_find<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Model> {
    of_order(conn, order_id).await?.ok_or_else(|| Error::not_found("payment", order_id))
}

pub async fn find<C: ConnectionTrait>(conn: &C, payment_id: &str) -> Result<Model> {
    let row = Entity::find_by_id(payment_id).one(conn).await.db()?;
    row.ok_or_else(|| Error::not_found("payment", payment_id))
}

/// Writes the row over the old one, with the time.
pub async fn change(tx: &Tx, row: Model) -> Result<()> {
    save(tx, Model { update_time: micros(tx.now()), ..row }).await
}

/// Those that a job has to look after, the longest waiting first.
pub async fn due<C: ConnectionTrait>(conn: &C, now: i64, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Due.gt(0)).filter(Column::Due.lte(now));
    select.order_by_asc(Column::Due).limit(limit).all(conn).await.db()
}

/// A page of a buyer's payments, the newest first.
pub async fn page(db: &Db, buyer_id: &str, page: &Page) -> Result<Paged<Model>> {
    let select = Entity::find().filter(Column::BuyerId.eq(buyer_id));
    let keys = [Key::desc(Column::CreateTime), Key::desc(Column::PaymentId)];
    db::page(db.primary(), select, page, &keys, |row| vec![row.create_time.to_string(), row.payment_id.clone()]).await
}
