//! Lines of tracking: every sighting once, in the order in which we learnt of it. Never changed.

use super::shipment::{self, small};
use crate::domain::{Event, Sight};
use jangteo_core::{Result, from_micros, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::shipping::v1::{ShipmentStatus, TrackingEvent};
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tracking")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub shipment_id: String,
    /// 1, 2, 3 … for each shipment.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i64,
    /// The carrier's, or `own:…` for what we did ourselves.
    pub event_id: String,
    pub status: i64,
    pub place: String,
    pub time: i64,
    pub late: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for TrackingEvent {
    fn from(row: Model) -> Self {
        TrackingEvent {
            sequence: small(row.sequence),
            status: small(row.status),
            place: row.place,
            time: Some(proto::timestamp(from_micros(row.time))),
            late: row.late,
        }
    }
}

/// The lines behind `after`.
pub async fn behind<C: ConnectionTrait>(conn: &C, shipment_id: &str, after: i64, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::ShipmentId.eq(shipment_id)).filter(Column::Sequence.gt(after));
    select.order_by_asc(Column::Sequence).limit(limit).all(conn).await.db()
}

/// How many lines a shipment has.
pub async fn count<C: ConnectionTrait>(conn: &C, shipment_id: &str) -> Result<i64> {
    let lines = Entity::find().filter(Column::ShipmentId.eq(shipment_id)).count(conn).await.db()?;
    Ok(i64::try_from(lines).unwrap_or(i64::MAX))
}

/// Writes the row, and behind it the lines: whoever adds lines to the same shipment meanwhile has to wait at the row.
async fn add(tx: &Tx, row: shipment::Model, events: &[Event], lines: Vec<Model>) -> Result<shipment::Model> {
    let first = row.lines + 1;
    let added = i64::try_from(lines.len()).unwrap_or(i64::MAX);
    let row = shipment::record(tx, shipment::Model { lines: row.lines + added, ..row }, events).await?;
    for (line, sequence) in lines.into_iter().zip(first..) {
        let line = ActiveModel { sequence: Set(sequence), ..ActiveModel::from(line).reset_all() };
        Entity::insert(line).exec_without_returning(tx).await.db()?;
    }
    Ok(row)
}

fn own_line(shipment_id: &str, status: ShipmentStatus, time: i64) -> Model {
    Model {
        shipment_id: shipment_id.to_owned(),
        sequence: 0,
        event_id: format!("own:{}", status.as_str_name()),
        status: i32::from(status).into(),
        place: String::new(),
        time,
        late: false,
    }
}

/// Records what we did ourselves: the events, and a line for each status they lead to.
pub async fn own(tx: &Tx, row: shipment::Model, events: &[Event]) -> Result<shipment::Model> {
    let mut s = row.state();
    let lines = events.iter().map(|event| {
        s.apply(event);
        own_line(&s.shipment_id, s.status, micros(tx.now()))
    });
    let lines = lines.collect();
    add(tx, row, events, lines).await
}

/// The first line of a new shipment.
pub async fn begin(tx: &Tx, row: shipment::Model) -> Result<shipment::Model> {
    let line = own_line(&row.shipment_id, row.status(), micros(tx.now()));
    add(tx, row, &[], vec![line]).await
}

/// Records a carrier's sightings, each once, and what they make of the shipment. Answers how many were new.
pub async fn saw(tx: &Tx, shipment_id: &str, sights: &[Sight]) -> Result<(shipment::Model, u64)> {
    let row = shipment::find(tx, shipment_id).await?;
    let known = Entity::find().filter(Column::ShipmentId.eq(shipment_id)).all(tx).await.db()?;
    let mut known: BTreeSet<String> = known.into_iter().map(|line| line.event_id).collect();
    let (mut state, mut events, mut lines) = (row.state(), Vec::new(), Vec::new());
    for sight in sights.iter().filter(|s| known.insert(s.event_id.clone())) {
        let seen = state.see(sight);
        lines.push(Model {
            shipment_id: shipment_id.to_owned(),
            sequence: 0,
            event_id: sight.event_id.clone(),
            status: i32::from(sight.status).into(),
            place: sight.place.clone(),
            time: micros(sight.time),
            late: seen.late,
        });
        seen.events.iter().for_each(|e| state.apply(e));
        events.extend(seen.events);
    }
    match lines.len() as u64 {
        0 => Ok((row, 0)),
        new => Ok((add(tx, row, &events, lines).await?, new)),
    }
}
