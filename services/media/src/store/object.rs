//! Variants as they lie in the object store, and objects that have to go.

use jangteo_core::{Result, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryFilter, QuerySelect, entity::prelude::*, sea_query::OnConflict};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "object")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub object_key: String,
    pub content_hash: String,
    pub variant: String,
    pub content_type: String,
    pub width: i64,
    pub height: i64,
    pub byte_size: i64,
    pub etag: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub mod garbage {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "garbage")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub object_key: String,
        pub create_time: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub async fn insert(tx: &Tx, rows: Vec<Model>) -> Result<()> {
    let rows = rows.into_iter().map(|row| ActiveModel::from(row).reset_all());
    Entity::insert_many(rows).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Of these contents.
pub async fn all<C: ConnectionTrait>(conn: &C, hashes: &[String]) -> Result<Vec<Model>> {
    Entity::find().filter(Column::ContentHash.is_in(hashes)).all(conn).await.db()
}

pub async fn find<C: ConnectionTrait>(
    conn: &C,
    content_hash: &str,
    variant: &str,
    content_type: &str,
) -> Result<Option<Model>> {
    Entity::find()
        .filter(Column::ContentHash.eq(content_hash))
        .filter(Column::Variant.eq(variant))
        .filter(Column::ContentType.eq(content_type))
        .one(conn)
        .await
        .db()
}

pub async fn delete_of(tx: &Tx, content_hash: &str) -> Result<()> {
    Entity::delete_many().filter(Column::ContentHash.eq(content_hash)).exec(tx).await.db()?;
    Ok(())
}

/// Which of these a row names.
pub async fn naming<C: ConnectionTrait>(conn: &C, keys: &[String]) -> Result<Vec<String>> {
    let named = Entity::find().select_only().column(Column::ObjectKey).filter(Column::ObjectKey.is_in(keys));
    named.into_tuple().all(conn).await.db()
}

/// Has them deleted when this is committed.
pub async fn discard(tx: &Tx, keys: &[String]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let row = |key: &String| garbage::ActiveModel { object_key: Set(key.clone()), create_time: Set(micros(tx.now())) };
    let conflict = OnConflict::column(garbage::Column::ObjectKey).do_nothing().to_owned();
    let rows = garbage::Entity::insert_many(keys.iter().map(row)).on_conflict(conflict);
    rows.exec_without_returning(tx).await.db()?;
    Ok(())
}

pub async fn discarded<C: ConnectionTrait>(conn: &C, limit: u64) -> Result<Vec<String>> {
    let keys = garbage::Entity::find().select_only().column(garbage::Column::ObjectKey).limit(limit);
    keys.into_tuple().all(conn).await.db()
}

/// They are gone from the object store.
pub async fn forget(tx: &Tx, keys: &[String]) -> Result<()> {
    garbage::Entity::delete_many().filter(garbage::Column::ObjectKey.is_in(keys)).exec(tx).await.db()?;
    Ok(())
}

/// Which of these are to be deleted anyway.
pub async fn waiting<C: ConnectionTrait>(conn: &C, keys: &[String]) -> Result<Vec<String>> {
    let waiting = garbage::Entity::find().select_only().column(garbage::Column::ObjectKey);
    waiting.filter(garbage::Column::ObjectKey.is_in(keys)).into_tuple().all(conn).await.db()
}
