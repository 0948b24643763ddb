//! How far a job has come, by its name.

use super::rows;
use jangteo_core::Result;
use kit::db::{DbResult, Tx};
use sea_orm::{ConnectionTrait, entity::prelude::*, sea_query::OnConflict};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "progress")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub value: i64,
}

rows!();

pub async fn get<C: ConnectionTrait>(conn: &C, name: &str) -> Result<Option<i64>> {
    Ok(Entity::find_by_id(name).one(conn).await.db()?.map(|row| row.value))
}

pub async fn set(tx: &Tx, name: &str, value: i64) -> Result<()> {
    let fresh = ActiveModel::from(Model { name: name.to_owned(), value }).reset_all();
    let conflict = OnConflict::column(Column::Name).update_column(Column::Value).to_owned();
    Entity::insert(fresh).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    Ok(())
}
