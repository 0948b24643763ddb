//! Points that people are owed, given back or earned: what has still to be said to the user service.

use super::rows;
use jangteo_core::Result;
use kit::db::{DbResult, Tx};
use sea_orm::{ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "points_owed")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    pub user_id: String,
    pub points: i64,
    /// The occasion on which they were taken when that is not certain; else empty.
    pub taken_key: String,
    /// As the user service books it: `PAYMENT_RETURNED`, `PURCHASE`.
    pub reason: String,
    /// 0: they are there.
    pub due: i64,
    pub tries: i64,
}

rows!(insert, save);

pub async fn find<C: ConnectionTrait>(conn: &C, key: &str) -> Result<Option<Model>> {
    Entity::find_by_id(key).one(conn).await.db()
}

pub async fn due<C: ConnectionTrait>(conn: &C, now: i64, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Due.gt(0)).filter(Column::Due.lte(now));
    select.order_by_asc(Column::Due).limit(limit).all(conn).await.db()
}

pub async fn set_due(tx: &Tx, key: &str, due: i64) -> Result<()> {
    if let Some(row) = find(tx, key).await? {
        let tries = row.tries + 1;
        save(tx, Model { due, tries, ..row }).await?;
    }
    Ok(())
}
