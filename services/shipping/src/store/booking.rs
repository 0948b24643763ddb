//! What carriers were asked to do. The row is written before the carrier is asked, so that an answer that never came
//! can be looked for by its key.

use super::shipment;
use jangteo_core::{Code, Error, Result, Time, micros};
use kit::db::{
    DbResult, Tx,
    crypt::{PersonKey, Sealer},
};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*, sea_query::OnConflict,
};

/// Where a booking stands. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The carrier was, or is about to be, asked.
    Asked = 1,
    /// The carrier has it: it is followed until the end.
    Booked = 2,
    /// The shipment is cancelled, the carrier does not know yet.
    Cancelling = 3,
    /// The carrier took it back, or never had it.
    Cancelled = 4,
    /// The carrier had picked it up when it was told of the cancellation: it is on its way to the buyer.
    Escaped = 5,
    /// Delivered or returned.
    Done = 6,
}

impl State {
    const ALL: [State; 6] =
        [State::Asked, State::Booked, State::Cancelling, State::Cancelled, State::Escaped, State::Done];
}

/// Not due at any time.
pub const NEVER: i64 = i64::MAX;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "booking")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub shipment_id: String,
    /// What makes the carrier book once, however often it is asked.
    pub booking_key: String,
    pub carrier: String,
    pub store_id: String,
    /// The seller booked it with the carrier; we only follow it.
    pub own: bool,
    pub state: i64,
    /// Empty as long as it is not known.
    pub tracking_number: String,
    /// Sealed with the buyer's key, whose address is on it; empty: none.
    pub sealed_label: Vec<u8>,
    /// Attempts that failed, or looks that found nothing new.
    pub tries: i64,
    /// When the jobs look at it again.
    pub due_time: i64,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn state(&self) -> Result<State> {
        let state = State::ALL.into_iter().find(|s| *s as i64 == self.state);
        state.ok_or_else(|| Error::internal(format!("booking of {} in state {}", self.shipment_id, self.state)))
    }

    pub fn is(&self, state: State) -> bool {
        self.state == state as i64
    }

    /// The label as the carrier made it; `None`: there is none, or the buyer was erased.
    pub async fn label<C: ConnectionTrait>(
        &self,
        conn: &C,
        sealer: &Sealer,
        buyer_id: &str,
    ) -> Result<Option<Vec<u8>>> {
        match sealer.find(conn, buyer_id).await? {
            Some(key) if !self.sealed_label.is_empty() => {
                Ok(Some(key.open("booking", "sealed_label", &self.sealed_label)?))
            }
            _ => Ok(None),
        }
    }
}

pub fn seal_label(key: &PersonKey, label: &[u8]) -> Result<Vec<u8>> {
    key.seal("booking", "sealed_label", label)
}

pub async fn find<C: ConnectionTrait>(conn: &C, shipment_id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(shipment_id).one(conn).await.db()
}

pub async fn find_many<C: ConnectionTrait>(conn: &C, shipment_ids: &[String]) -> Result<Vec<Model>> {
    Entity::find().filter(Column::ShipmentId.is_in(shipment_ids)).all(conn).await.db()
}

pub async fn by_number<C: ConnectionTrait>(conn: &C, carrier: &str, number: &str) -> Result<Option<Model>> {
    let select = Entity::find().filter(Column::Carrier.eq(carrier)).filter(Column::TrackingNumber.eq(number));
    select.one(conn).await.db()
}

pub async fn due<C: ConnectionTrait>(conn: &C, state: State, now: Time, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::State.eq(state as i64)).filter(Column::DueTime.lte(micros(now)));
    select.order_by_asc(Column::DueTime).limit(limit).all(conn).await.db()
}

/// Of a shipment that has none: who comes at the same time has to decide again.
pub async fn insert(tx: &Tx, row: Model) -> Result<()> {
    let conflict = OnConflict::new().do_nothing().to_owned();
    let insert = Entity::insert(ActiveModel::from(row).reset_all()).on_conflict(conflict);
    match insert.exec_without_returning(tx).await.db()? {
        0 => Err(Error::new(Code::Aborted, "CONTENTION", "the shipment is being booked; try again")),
        _ => Ok(()),
    }
}

pub async fn update(tx: &Tx, row: &Model) -> Result<()> {
    let update = ActiveModel {
        state: Set(row.state),
        tracking_number: Set(row.tracking_number.clone()),
        sealed_label: Set(row.sealed_label.clone()),
        tries: Set(row.tries),
        due_time: Set(row.due_time),
        ..Default::default()
    };
    Entity::update_many().set(update).filter(Column::ShipmentId.eq(&row.shipment_id)).exec(tx).await.db()?;
    Ok(())
}

/// The carrier refused: as if it never had been asked.
pub async fn delete(tx: &Tx, shipment_id: &str) -> Result<()> {
    Entity::delete_by_id(shipment_id).exec(tx).await.db()?;
    Ok(())
}

/// The booking of a shipment that is cancelled: the carrier has to learn of it, unless it was never ours.
pub async fn cancel(tx: &Tx, row: &shipment::Model) -> Result<()> {
    let Some(mut booking) = find(tx, &row.shipment_id).await? else { return Ok(()) };
    let (state, due) = if booking.own { (State::Cancelled, NEVER) } else { (State::Cancelling, micros(tx.now())) };
    (booking.state, booking.due_time, booking.tries) = (state as i64, due, 0);
    update(tx, &booking).await
}
