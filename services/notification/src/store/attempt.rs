//! Every time that somebody was asked to send.

use super::{column, rows};
use crate::domain::course::Outcome;
use jangteo_core::{Result, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::notification::v1::Channel;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "attempt")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub delivery_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub attempt: i64,
    pub channel: i64,
    pub provider: String,
    /// The person's quiet hours at that time, `1320-480 Asia/Seoul`; empty: none that counted.
    pub quiet: String,
    pub start_time: i64,
    /// Empty: under way, or whoever made it died.
    pub outcome: String,
    pub reason: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub async fn begin(
    tx: &Tx,
    delivery_id: &str,
    attempt: i64,
    channel: Channel,
    provider: &str,
    quiet: &str,
) -> Result<()> {
    let row = Model {
        delivery_id: delivery_id.to_owned(),
        attempt,
        channel: i32::from(channel).into(),
        provider: provider.to_owned(),
        quiet: quiet.to_owned(),
        start_time: micros(tx.now()),
        outcome: String::new(),
        reason: String::new(),
    };
    Entity::insert(ActiveModel::from(row).reset_all()).exec_without_returning(tx).await.db()?;
    Ok(())
}

pub async fn end(tx: &Tx, delivery_id: &str, attempt: i64, outcome: &Outcome) -> Result<()> {
    let update = ActiveModel {
        outcome: Set(outcome.name().to_owned()),
        reason: Set(outcome.why().to_owned()),
        ..Default::default()
    };
    let own = Entity::update_many().set(update).filter(Column::DeliveryId.eq(delivery_id));
    own.filter(Column::Attempt.eq(attempt)).exec(tx).await.db()?;
    Ok(())
}

pub async fn forget(tx: &Tx, delivery_ids: &[String]) -> Result<()> {
    Entity::delete_many().filter(Column::DeliveryId.is_in(delivery_ids)).exec(tx).await.db()?;
    Ok(())
}

/// Deliveries that were sent more than once for certain, or on one channel perhaps more than twice.
pub async fn doubles<C: ConnectionTrait>(conn: &C) -> Result<Vec<String>> {
    let sql = "SELECT delivery_id FROM attempt WHERE outcome = 'sent' GROUP BY delivery_id HAVING COUNT(*) > 1 \
         UNION SELECT delivery_id FROM attempt WHERE outcome IN ('sent', 'unknown') \
         GROUP BY delivery_id, channel HAVING COUNT(*) > 2";
    rows(conn, sql, vec![]).await?.iter().map(|row| column(row, "delivery_id")).collect()
}

/// The last ones of which quiet hours were noted.
pub async fn with_quiet_hours<C: ConnectionTrait>(conn: &C, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Quiet.ne("")).order_by_desc(Column::StartTime);
    select.limit(limit).all(conn).await.db()
}
