//! How people want to be told of what.

use crate::domain::{
    hours::{SEOUL, Window},
    preferences::Preferences,
};
use jangteo_core::{Error, Result, from_micros, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::notification::v1::Digest;
use sea_orm::{ConnectionTrait, QueryFilter, entity::prelude::*, sea_query::OnConflict};
use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "preference")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// A JSON list of pairs of numbers: category, channel.
    pub refused: String,
    pub quiet_start: Option<i64>,
    pub quiet_end: Option<i64>,
    pub digest: i64,
    pub locale: String,
    pub time_zone: String,
    pub version: i64,
    pub update_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

fn read(row: Model) -> Result<Preferences> {
    let minute = |m: i64| u32::try_from(m).unwrap_or(0);
    let quiet = row.quiet_start.zip(row.quiet_end);
    Ok(Preferences {
        refused: serde_json::from_str(&row.refused).map_err(Error::internal)?,
        quiet: quiet.map(|(start, end)| Window { start: minute(start), end: minute(end) }),
        digest: i32::try_from(row.digest).ok().and_then(|d| d.try_into().ok()).unwrap_or(Digest::Off),
        locale: row.locale,
        // A zone that a newer database of zones knew.
        zone: row.time_zone.parse().unwrap_or(SEOUL),
        version: row.version,
        update_time: Some(from_micros(row.update_time)),
    })
}

/// A person's own, or the defaults.
pub async fn find<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<Preferences> {
    let row = Entity::find_by_id(user_id).one(conn).await.db()?;
    row.map_or_else(|| Ok(Preferences::default()), read)
}

/// Those of many people; who is missing has the defaults.
pub async fn find_many<C: ConnectionTrait>(conn: &C, user_ids: &[String]) -> Result<HashMap<String, Preferences>> {
    let rows = Entity::find().filter(Column::UserId.is_in(user_ids)).all(conn).await.db()?;
    rows.into_iter().map(|row| Ok((row.user_id.clone(), read(row)?))).collect()
}

/// Writes changed preferences over those of version `p.version`; `None`: somebody else was faster.
pub async fn write(tx: &Tx, user_id: &str, p: Preferences) -> Result<Option<Preferences>> {
    let row = Model {
        user_id: user_id.to_owned(),
        refused: serde_json::to_string(&p.refused).map_err(Error::internal)?,
        quiet_start: p.quiet.map(|w| w.start.into()),
        quiet_end: p.quiet.map(|w| w.end.into()),
        digest: i32::from(p.digest).into(),
        locale: p.locale.clone(),
        time_zone: p.zone.name().to_owned(),
        version: p.version + 1,
        update_time: micros(tx.now()),
    };
    let fresh = ActiveModel::from(row).reset_all();
    let done = if p.version == 0 {
        let known = OnConflict::column(Column::UserId).do_nothing().to_owned();
        Entity::insert(fresh).on_conflict(known).exec_without_returning(tx).await.db()?
    } else {
        let update = Entity::update_many().set(fresh).filter(Column::UserId.eq(user_id));
        update.filter(Column::Version.eq(p.version)).exec(tx).await.db()?.rows_affected
    };
    let written = Preferences { version: p.version + 1, update_time: Some(tx.now()), ..p };
    Ok((done == 1).then_some(written))
}

/// All of a person's.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(tx).await.db()?;
    Ok(())
}
