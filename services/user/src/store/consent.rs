//! Consents: every answer is a row, none is ever changed.

use jangteo_core::{Result, from_micros, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::user::v1::Consent;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryFilter, QueryOrder, entity::prelude::*};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "consent")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// Number of the proto's enum.
    #[sea_orm(primary_key, auto_increment = false)]
    pub purpose: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i64,
    pub granted: bool,
    pub document_version: i64,
    pub decide_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The last answer to each purpose.
pub async fn current<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<Vec<Consent>> {
    let rows = Entity::find()
        .filter(Column::UserId.eq(user_id))
        .order_by_asc(Column::Purpose)
        .order_by_asc(Column::Version)
        .all(conn)
        .await
        .db()?;
    let narrow = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
    let consent = |row: Model| Consent {
        purpose: narrow(row.purpose),
        granted: row.granted,
        document_version: narrow(row.document_version),
        version: narrow(row.version),
        decide_time: Some(proto::timestamp(from_micros(row.decide_time))),
    };
    let last: BTreeMap<i64, Model> = rows.into_iter().map(|row| (row.purpose, row)).collect();
    Ok(last.into_values().map(consent).collect())
}

pub async fn insert(tx: &Tx, user_id: &str, c: &Consent) -> Result<()> {
    let row = ActiveModel {
        user_id: Set(user_id.to_owned()),
        purpose: Set(c.purpose.into()),
        version: Set(c.version.into()),
        granted: Set(c.granted),
        document_version: Set(c.document_version.into()),
        decide_time: Set(micros(tx.now())),
    };
    Entity::insert(row).exec_without_returning(tx).await.db()?;
    Ok(())
}
