//! The live code of a meeting. A new one replaces the old.

use jangteo_core::{Result, Time, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{ActiveValue::Set, ConnectionTrait, ExprTrait, QueryFilter, entity::prelude::*, sea_query::OnConflict};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "handover")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub shipment_id: String,
    /// Who shows it; the other one enters it.
    pub issuer_id: String,
    pub tag: Vec<u8>,
    /// Wrong ones so far.
    pub attempts: i64,
    pub expire_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub async fn find<C: ConnectionTrait>(conn: &C, shipment_id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(shipment_id).one(conn).await.db()
}

pub async fn put(tx: &Tx, shipment_id: &str, issuer_id: &str, tag: Vec<u8>, expires: Time) -> Result<()> {
    let row = ActiveModel {
        shipment_id: Set(shipment_id.to_owned()),
        issuer_id: Set(issuer_id.to_owned()),
        tag: Set(tag),
        attempts: Set(0),
        expire_time: Set(micros(expires)),
    };
    let columns = [Column::IssuerId, Column::Tag, Column::Attempts, Column::ExpireTime];
    let conflict = OnConflict::column(Column::ShipmentId).update_columns(columns).to_owned();
    Entity::insert(row).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// One more wrong code.
pub async fn count_wrong(tx: &Tx, shipment_id: &str) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .filter(Column::ShipmentId.eq(shipment_id))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}
