//! What buyers complain of, in their words: sealed, and unreadable once the buyer is erased.

use jangteo_core::{Result, micros};
use kit::db::{DbResult, Tx, crypt::Sealer};
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryFilter, entity::prelude::*, sea_query::OnConflict};
use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dispute")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i64,
    pub buyer_id: String,
    pub sealed: Vec<u8>,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub async fn insert(tx: &Tx, sealer: &Sealer, order_id: &str, part: i32, buyer_id: &str, text: &str) -> Result<()> {
    let key = sealer.person(tx, buyer_id).await?;
    let row = ActiveModel {
        order_id: Set(order_id.to_owned()),
        part: Set(part.into()),
        buyer_id: Set(buyer_id.to_owned()),
        sealed: Set(key.seal("dispute", "sealed", text.as_bytes())?),
        create_time: Set(micros(tx.now())),
    };
    let once = OnConflict::columns([Column::OrderId, Column::Part]).do_nothing().to_owned();
    Entity::insert(row).on_conflict(once).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// The texts of an order's complaints by part; none when the buyer is erased.
pub async fn texts<C: ConnectionTrait>(conn: &C, sealer: &Sealer, order_id: &str) -> Result<HashMap<i32, String>> {
    let rows = Entity::find().filter(Column::OrderId.eq(order_id)).all(conn).await.db()?;
    let Some(first) = rows.first() else { return Ok(HashMap::new()) };
    let Some(key) = sealer.find(conn, &first.buyer_id).await? else { return Ok(HashMap::new()) };
    let open = |row: &Model| Ok((row.part as i32, key.open_text("dispute", "sealed", &row.sealed)?));
    rows.iter().map(open).collect()
}
