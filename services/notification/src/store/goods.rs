//! What orders are about, for the texts.

use crate::domain::facts::{Facts, Goods};
use jangteo_core::{Result, Time, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryFilter, entity::prelude::*, sea_query::OnConflict};
use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "goods")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: String,
    /// 0: the whole order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i64,
    pub title: String,
    pub more: i64,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub async fn add(tx: &Tx, goods: &[Goods]) -> Result<()> {
    let rows = goods.iter().map(|g| ActiveModel {
        order_id: Set(g.order_id.clone()),
        part: Set(g.part.into()),
        title: Set(g.title.clone()),
        more: Set(g.more.into()),
        create_time: Set(micros(tx.now())),
    });
    let known = OnConflict::columns([Column::OrderId, Column::Part]).do_nothing().to_owned();
    Entity::insert_many(rows).on_conflict(known).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Forgets what was ordered before `before`.
pub async fn sweep(tx: &Tx, before: Time) -> Result<()> {
    Entity::delete_many().filter(Column::CreateTime.lt(micros(before))).exec(tx).await.db()?;
    Ok(())
}

/// Goods by order and part.
pub struct Shelf(HashMap<(String, i32), Goods>);

impl Shelf {
    /// What a notice with these facts is about.
    pub fn find(&self, facts: &Facts) -> Option<&Goods> {
        let order_id = facts.get("order_id").to_owned();
        self.0.get(&(order_id, facts.get("part").parse().unwrap_or(0)))
    }
}

pub async fn of<'a, C: ConnectionTrait>(conn: &C, facts: impl Iterator<Item = &'a Facts>) -> Result<Shelf> {
    let mut orders: Vec<&str> = facts.map(|f| f.get("order_id")).filter(|id| !id.is_empty()).collect();
    orders.sort_unstable();
    orders.dedup();
    if orders.is_empty() {
        return Ok(Shelf(HashMap::new()));
    }
    let rows = Entity::find().filter(Column::OrderId.is_in(orders)).all(conn).await.db()?;
    let goods = rows.into_iter().map(|row| {
        let part = i32::try_from(row.part).unwrap_or(0);
        let goods = Goods {
            order_id: row.order_id.clone(),
            part,
            title: row.title,
            more: i32::try_from(row.more).unwrap_or(0),
        };
        ((row.order_id, part), goods)
    });
    Ok(Shelf(goods.collect()))
}
