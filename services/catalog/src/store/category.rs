//! The category tree's rows.

use jangteo_core::{Result, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::catalog::v1::{Category, CategoryCreated, Names};
use sea_orm::{ActiveValue::Set, ConnectionTrait, entity::prelude::*, sea_query::OnConflict};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "category")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub category_id: String,
    /// Empty at the root.
    pub parent_id: String,
    pub name_ko: String,
    pub name_en: String,
    pub position: i64,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// All of them, flat.
pub async fn all<C: ConnectionTrait>(conn: &C) -> Result<Vec<Category>> {
    let category = |row: Model| Category {
        category_id: row.category_id,
        parent_id: row.parent_id,
        names: Some(Names { ko: row.name_ko, en: row.name_en }),
        children: Vec::new(),
        position: super::product::small(row.position),
    };
    Ok(Entity::find().all(conn).await.db()?.into_iter().map(category).collect())
}

/// Whether there was none of that id.
pub async fn insert(tx: &Tx, event: &CategoryCreated) -> Result<bool> {
    let names = event.names.clone().unwrap_or_default();
    let row = ActiveModel {
        category_id: Set(event.category_id.clone()),
        parent_id: Set(event.parent_id.clone()),
        name_ko: Set(names.ko),
        name_en: Set(names.en),
        position: Set(event.position.into()),
        create_time: Set(micros(tx.now())),
    };
    let conflict = OnConflict::column(Column::CategoryId).do_nothing().to_owned();
    Ok(Entity::insert(row).on_conflict(conflict).exec_without_returning(tx).await.db()? == 1)
}
