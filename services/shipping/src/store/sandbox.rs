//! The books of the sandbox carriers.

use jangteo_core::{Result, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*, sea_query::OnConflict,
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sandbox_parcel")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tracking_number: String,
    pub carrier: String,
    pub booking_key: String,
    pub from_place: String,
    pub to_place: String,
    pub cancelled: bool,
    /// Scans that a webhook told of.
    pub reported: i64,
    /// Cancelled, or reported to the end.
    pub done: bool,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub async fn by_key<C: ConnectionTrait>(conn: &C, booking_key: &str) -> Result<Option<Model>> {
    Entity::find().filter(Column::BookingKey.eq(booking_key)).one(conn).await.db()
}

pub async fn by_number<C: ConnectionTrait>(conn: &C, tracking_number: &str) -> Result<Option<Model>> {
    Entity::find_by_id(tracking_number).one(conn).await.db()
}

/// Once for each key.
pub async fn insert(tx: &Tx, row: Model) -> Result<()> {
    let row = Model { create_time: micros(tx.now()), ..row };
    // The number follows from the key, so both are taken at once.
    let conflict = OnConflict::new().do_nothing().to_owned();
    let insert = Entity::insert(ActiveModel::from(row).reset_all()).on_conflict(conflict);
    insert.exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Those that still move, the oldest first.
pub async fn open<C: ConnectionTrait>(conn: &C, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Done.eq(false)).order_by_asc(Column::CreateTime);
    select.limit(limit).all(conn).await.db()
}

pub async fn cancel(tx: &Tx, tracking_number: &str) -> Result<()> {
    let update = ActiveModel { cancelled: Set(true), done: Set(true), ..Default::default() };
    Entity::update_many().set(update).filter(Column::TrackingNumber.eq(tracking_number)).exec(tx).await.db()?;
    Ok(())
}

pub async fn reported(tx: &Tx, tracking_number: &str, scans: i64, done: bool) -> Result<()> {
    let update = ActiveModel { reported: Set(scans), done: Set(done), ..Default::default() };
    Entity::update_many().set(update).filter(Column::TrackingNumber.eq(tracking_number)).exec(tx).await.db()?;
    Ok(())
}
