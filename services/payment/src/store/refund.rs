//! Refunds.

use super::rows;
use crate::domain::{share::Direct, won};
use jangteo_core::{Error, Result, from_micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::payment::v1 as wire;
use sea_orm::{ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*, sea_query::Expr};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refund")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub refund_id: String,
    pub order_id: String,
    pub payment_id: String,
    pub part: i64,
    pub asked: i64,
    pub amount: i64,
    pub points: i64,
    pub reason: String,
    /// Number of the proto's enum.
    pub status: i64,
    pub provider: String,
    pub direct: bool,
    pub absorbed: i64,
    pub from_seller: bool,
    pub due: i64,
    pub tries: i64,
    pub done_time: i64,
    pub create_time: i64,
    /// What the refunds before it gave back as money.
    pub money_before: i64,
}

rows!(insert, save);

impl Model {
    pub fn status(&self) -> wire::RefundStatus {
        i32::try_from(self.status).ok().and_then(|n| n.try_into().ok()).unwrap_or_default()
    }

    pub fn set_status(&mut self, status: wire::RefundStatus) {
        self.status = i32::from(status).into();
    }

    /// What goes back as money.
    pub fn money(&self) -> i64 {
        self.amount - self.points
    }
}

impl From<Model> for wire::Refund {
    fn from(row: Model) -> Self {
        wire::Refund {
            refund_id: row.refund_id,
            payment_id: row.payment_id,
            order_id: row.order_id,
            part: i32::try_from(row.part).unwrap_or(0),
            amount: Some(won(row.amount)),
            points: row.points,
            status: i32::try_from(row.status).unwrap_or(0),
            reason: row.reason,
            create_time: Some(proto::timestamp(from_micros(row.create_time))),
        }
    }
}

pub async fn find<C: ConnectionTrait>(conn: &C, refund_id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(refund_id).one(conn).await.db()
}

pub async fn must_find<C: ConnectionTrait>(conn: &C, refund_id: &str) -> Result<Model> {
    find(conn, refund_id).await?.ok_or_else(|| Error::not_found("refund", refund_id))
}

pub async fn of_order<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Vec<Model>> {
    Entity::find().filter(Column::OrderId.eq(order_id)).order_by_asc(Column::RefundId).all(conn).await.db()
}

/// The direct refunds of an order that its own steps have not been cut by yet.
pub async fn directs<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Vec<Direct>> {
    let all = of_order(conn, order_id).await?;
    let open = all.into_iter().filter(|r| r.direct && r.absorbed < r.amount);
    Ok(open.map(|r| Direct { refund_id: r.refund_id, part: r.part, left: r.amount - r.absorbed }).collect())
}

pub async fn absorb(tx: &Tx, absorbed: &[(String, i64)]) -> Result<()> {
    for (refund_id, by) in absorbed {
        Entity::update_many()
            .col_expr(Column::Absorbed, sea_orm::ExprTrait::add(Expr::col(Column::Absorbed), *by))
            .filter(Column::RefundId.eq(refund_id))
            .exec(tx)
            .await
            .db()?;
    }
    Ok(())
}

pub async fn due<C: ConnectionTrait>(conn: &C, now: i64, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Due.gt(0)).filter(Column::Due.lte(now));
    select.order_by_asc(Column::Due).limit(limit).all(conn).await.db()
}

/// Those that a provider gave back in a time.
pub async fn done<C: ConnectionTrait>(conn: &C, provider: &str, from: i64, to: i64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Provider.eq(provider)).filter(Column::DoneTime.gte(from.max(1)));
    select.filter(Column::DoneTime.lt(to)).all(conn).await.db()
}
