//! The administrators' synonyms: one row, replaced as a whole.

use jangteo_core::{Error, Result};
use kit::db::{DbResult, Tx};
use sea_orm::{ConnectionTrait, entity::prelude::*, sea_query::OnConflict};

/// There is one list.
const LIST: &str = "all";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "synonym_set")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub synonym_set_id: String,
    /// A JSON list of lists.
    pub words: String,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The groups and their version; none and 0 before the first update.
pub async fn load<C: ConnectionTrait>(conn: &C) -> Result<(Vec<Vec<String>>, i64)> {
    match Entity::find_by_id(LIST).one(conn).await.db()? {
        Some(row) => Ok((serde_json::from_str(&row.words).map_err(Error::internal)?, row.version)),
        None => Ok((Vec::new(), 0)),
    }
}

pub async fn put(tx: &Tx, groups: &[Vec<String>], version: i64) -> Result<()> {
    let words = serde_json::to_string(groups).map_err(Error::internal)?;
    let row = ActiveModel::from(Model { synonym_set_id: LIST.to_owned(), words, version }).reset_all();
    let replace = OnConflict::column(Column::SynonymSetId).update_columns([Column::Words, Column::Version]).to_owned();
    Entity::insert(row).on_conflict(replace).exec_without_returning(tx).await.db()?;
    Ok(())
}
