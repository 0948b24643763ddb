//! Messages of providers that came, each once.

use super::rows;
use jangteo_core::{Result, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{
    QueryFilter,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: String,
    pub about: String,
    /// APPLIED, STALE or UNKNOWN.
    pub outcome: String,
    pub time: i64,
}

rows!();

/// Notes a message; `false` when it was noted before, and known what it is about.
pub async fn note(tx: &Tx, provider: &str, event_id: &str, about: &str) -> Result<bool> {
    let row = Model {
        provider: provider.to_owned(),
        event_id: event_id.to_owned(),
        about: about.to_owned(),
        outcome: "STALE".to_owned(),
        time: micros(tx.now()),
    };
    let conflict = OnConflict::columns([Column::Provider, Column::EventId]).do_nothing().to_owned();
    let fresh = ActiveModel::from(row).reset_all();
    let rows = Entity::insert(fresh).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    if rows == 1 {
        return Ok(true);
    }
    let before = Entity::find_by_id((provider.to_owned(), event_id.to_owned())).one(tx).await.db()?;
    Ok(before.is_some_and(|row| row.outcome == "UNKNOWN"))
}

pub async fn set_outcome(tx: &Tx, provider: &str, event_id: &str, outcome: &str) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::Outcome, Expr::value(outcome))
        .filter(Column::Provider.eq(provider))
        .filter(Column::EventId.eq(event_id))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}
