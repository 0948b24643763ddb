//! Orders and parts that were cancelled, so that a prepare that comes late is refused.

use jangteo_core::{Result, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryFilter, entity::prelude::*, sea_query::OnConflict};

/// Stands for every part of the order.
pub const ALL: i64 = 0;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tombstone")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i64,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub async fn insert(tx: &Tx, order_id: &str, part: i64) -> Result<()> {
    let row = ActiveModel { order_id: Set(order_id.to_owned()), part: Set(part), create_time: Set(micros(tx.now())) };
    let conflict = OnConflict::columns([Column::OrderId, Column::Part]).do_nothing().to_owned();
    Entity::insert(row).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// The parts of the order that are cancelled; [`ALL`] among them means every one.
pub async fn parts<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Vec<i64>> {
    let rows = Entity::find().filter(Column::OrderId.eq(order_id)).all(conn).await.db()?;
    Ok(rows.into_iter().map(|row| row.part).collect())
}
