//! Settlements: what sellers got for the parts of orders.

use super::rows;
use crate::domain::won;
use jangteo_core::{Result, from_micros};
use kit::db::DbResult;
use proto::jangteo::payment::v1 as wire;
use sea_orm::{ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "settlement")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i64,
    pub seller_id: String,
    pub asked: i64,
    pub amount: i64,
    pub commission: i64,
    pub release_time: i64,
    pub released: bool,
    pub create_time: i64,
}

rows!(insert, save);

impl Model {
    pub fn net(&self) -> i64 {
        self.amount - self.commission
    }

    /// Names it in the ledger.
    pub fn key(&self) -> String {
        format!("{}:{}", self.order_id, self.part)
    }
}

impl From<Model> for wire::Settlement {
    fn from(row: Model) -> Self {
        wire::Settlement {
            amount: Some(won(row.amount)),
            commission: Some(won(row.commission)),
            net: Some(won(row.net())),
            part: i32::try_from(row.part).unwrap_or(0),
            release_time: Some(proto::timestamp(from_micros(row.release_time))),
            order_id: row.order_id,
            seller_id: row.seller_id,
        }
    }
}

pub async fn find<C: ConnectionTrait>(conn: &C, order_id: &str, part: i64) -> Result<Option<Model>> {
    Entity::find_by_id((order_id.to_owned(), part)).one(conn).await.db()
}

pub async fn any_of<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<bool> {
    Ok(Entity::find().filter(Column::OrderId.eq(order_id)).one(conn).await.db()?.is_some())
}

/// Those whose hold is over.
pub async fn to_release<C: ConnectionTrait>(conn: &C, now: i64, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Released.eq(false)).filter(Column::ReleaseTime.lte(now));
    select.order_by_asc(Column::ReleaseTime).limit(limit).all(conn).await.db()
}
