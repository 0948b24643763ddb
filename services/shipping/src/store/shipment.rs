//! Shipments. `sealed` is a `Shipment` message of which the personal fields alone are filled, with the buyer's key.

use crate::domain::{Event, Shipment, won};
use jangteo_core::{Error, Page, Result, from_micros, micros};
use kit::db::{
    self, Aggregate, Db, DbResult, Envelope, Key, Paged, Tx,
    crypt::{PersonKey, Sealer},
};
use prost::Message;
use proto::jangteo::shipping::v1::{self as wire, ShipmentStatus, ShippingOption};
use sea_orm::{
    ActiveValue::Set, Condition, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*,
    sea_query::OnConflict,
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "shipment")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub shipment_id: String,
    pub order_id: String,
    pub part: i64,
    pub buyer_id: String,
    pub seller_id: String,
    pub option: i64,
    pub status: i64,
    pub fee: i64,
    pub weight_grams: i64,
    pub sum_cm: i64,
    pub from_region_id: String,
    pub carrier: String,
    pub tracking_number: String,
    pub store_id: String,
    pub seen_time: i64,
    pub sealed: Vec<u8>,
    /// How many lines of tracking there are.
    pub lines: i64,
    /// The version of the last event.
    pub version: i64,
    pub create_time: i64,
    pub update_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What the proto has in 32 bits.
pub fn small(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

impl Model {
    pub fn status(&self) -> ShipmentStatus {
        ShipmentStatus::try_from(small(self.status)).unwrap_or_default()
    }

    pub fn option(&self) -> ShippingOption {
        ShippingOption::try_from(small(self.option)).unwrap_or_default()
    }

    pub fn state(&self) -> Shipment {
        Shipment {
            shipment_id: self.shipment_id.clone(),
            order_id: self.order_id.clone(),
            part: small(self.part),
            buyer_id: self.buyer_id.clone(),
            seller_id: self.seller_id.clone(),
            option: self.option(),
            status: self.status(),
            fee: self.fee,
            weight_grams: small(self.weight_grams),
            sum_cm: small(self.sum_cm),
            from_region_id: self.from_region_id.clone(),
            carrier: self.carrier.clone(),
            tracking_number: self.tracking_number.clone(),
            store_id: self.store_id.clone(),
            seen_time: self.seen_time,
        }
    }

    /// Without what is personal, which [`personal`] opens, and without what the booking knows.
    pub fn into_wire(self) -> wire::Shipment {
        wire::Shipment {
            status: self.status().into(),
            option: self.option().into(),
            part: small(self.part),
            fee: Some(won(self.fee)),
            create_time: Some(proto::timestamp(from_micros(self.create_time))),
            update_time: Some(proto::timestamp(from_micros(self.update_time))),
            shipment_id: self.shipment_id,
            order_id: self.order_id,
            buyer_id: self.buyer_id,
            seller_id: self.seller_id,
            carrier: self.carrier,
            tracking_number: self.tracking_number,
            store_id: self.store_id,
            destination: None,
            meet_up: None,
            booking_pending: false,
        }
    }
}

/// What is personal about a shipment.
#[derive(Clone, Default, PartialEq)]
pub struct Personal {
    pub destination: Option<wire::Destination>,
    pub meet_up: Option<wire::MeetUp>,
}

fn seal(key: &PersonKey, p: &Personal) -> Result<Vec<u8>> {
    let Personal { destination, meet_up } = p.clone();
    let message = wire::Shipment { destination, meet_up, ..wire::Shipment::default() };
    key.seal("shipment", "sealed", &message.encode_to_vec())
}

/// Nothing when the buyer was erased.
pub async fn personal<C: ConnectionTrait>(conn: &C, sealer: &Sealer, row: &Model) -> Result<Personal> {
    match sealer.find(conn, &row.buyer_id).await? {
        Some(key) => open(&key, row),
        None => Ok(Personal::default()),
    }
}

fn open(key: &PersonKey, row: &Model) -> Result<Personal> {
    let plain = key.open("shipment", "sealed", &row.sealed)?;
    let wire::Shipment { destination, meet_up, .. } = Message::decode(plain.as_slice()).map_err(Error::internal)?;
    Ok(Personal { destination, meet_up })
}

/// Each row with what is personal about it.
pub async fn open_all<C: ConnectionTrait>(
    conn: &C,
    sealer: &Sealer,
    rows: Vec<Model>,
) -> Result<Vec<(Model, Personal)>> {
    let mut people: Vec<String> = rows.iter().map(|row| row.buyer_id.clone()).collect();
    people.sort_unstable();
    people.dedup();
    let keys = sealer.find_many(conn, &people).await?;
    let opened = |row: Model| {
        let personal = keys.get(&row.buyer_id).map_or_else(|| Ok(Personal::default()), |key| open(key, &row))?;
        Ok((row, personal))
    };
    rows.into_iter().map(opened).collect()
}

pub async fn find<C: ConnectionTrait>(conn: &C, shipment_id: &str) -> Result<Model> {
    let row = Entity::find_by_id(shipment_id).one(conn).await.db()?;
    row.ok_or_else(|| Error::not_found("shipment", shipment_id))
}

/// By part.
pub async fn of_order<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Vec<Model>> {
    Entity::find().filter(Column::OrderId.eq(order_id)).order_by_asc(Column::Part).all(conn).await.db()
}

/// Writes a new shipment with its first event and the first line of its tracking.
pub async fn insert(tx: &Tx, sealer: &Sealer, state: &Shipment, personal: &Personal) -> Result<Model> {
    let key = sealer.person(tx, &state.buyer_id).await?;
    let event = state.prepare(tx.now());
    let mut s = Shipment::default();
    s.apply(&event);
    let now = micros(tx.now());
    let row = Model {
        option: i32::from(s.option).into(),
        status: i32::from(s.status).into(),
        part: s.part.into(),
        fee: s.fee,
        weight_grams: s.weight_grams.into(),
        sum_cm: s.sum_cm.into(),
        shipment_id: s.shipment_id,
        order_id: s.order_id,
        buyer_id: s.buyer_id,
        seller_id: s.seller_id,
        from_region_id: s.from_region_id,
        carrier: s.carrier,
        tracking_number: s.tracking_number,
        store_id: s.store_id,
        seen_time: 0,
        sealed: seal(&key, personal)?,
        lines: 0,
        version: 1,
        create_time: now,
        update_time: now,
    };
    // A part that somebody else is preparing right now: the write runs again and finds it.
    let conflict = OnConflict::columns([Column::OrderId, Column::Part]).do_nothing().to_owned();
    let insert = Entity::insert(ActiveModel::from(row.clone()).reset_all()).on_conflict(conflict);
    if insert.exec_without_returning(tx).await.db()? == 0 {
        return Err(Error::new(jangteo_core::Code::Aborted, "CONTENTION", "the part is being prepared; try again"));
    }
    append(tx, &row.shipment_id, 0, &event).await?;
    Ok(row)
}

/// Adds `events` to the shipment's history and writes what they make of the row, or finds that somebody else was faster.
pub async fn record(tx: &Tx, row: Model, events: &[Event]) -> Result<Model> {
    let mut s = row.state();
    let mut version = row.version;
    for event in events {
        s.apply(event);
        version = append(tx, &row.shipment_id, version, event).await?;
    }
    let row = Model {
        status: i32::from(s.status).into(),
        carrier: s.carrier,
        tracking_number: s.tracking_number,
        store_id: s.store_id,
        seen_time: s.seen_time,
        version,
        update_time: if events.is_empty() { row.update_time } else { micros(tx.now()) },
        ..row
    };
    let update = ActiveModel {
        status: Set(row.status),
        carrier: Set(row.carrier.clone()),
        tracking_number: Set(row.tracking_number.clone()),
        store_id: Set(row.store_id.clone()),
        seen_time: Set(row.seen_time),
        lines: Set(row.lines),
        version: Set(row.version),
        update_time: Set(row.update_time),
        ..Default::default()
    };
    Entity::update_many().set(update).filter(Column::ShipmentId.eq(&row.shipment_id)).exec(tx).await.db()?;
    Ok(row)
}

/// Where and when they meet, in place of what was agreed before.
pub async fn arrange(tx: &Tx, sealer: &Sealer, row: &Model, meet_up: &wire::MeetUp) -> Result<()> {
    let key = sealer.person(tx, &row.buyer_id).await?;
    let personal = Personal { meet_up: Some(meet_up.clone()), ..personal(tx, sealer, row).await? };
    let update = ActiveModel { sealed: Set(seal(&key, &personal)?), ..Default::default() };
    Entity::update_many().set(update).filter(Column::ShipmentId.eq(&row.shipment_id)).exec(tx).await.db()?;
    Ok(())
}

async fn append(tx: &Tx, id: &str, version: i64, event: &Event) -> Result<i64> {
    match event {
        Event::Prepared(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::Ready(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::Booked(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::PickedUp(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::Moved(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::Delivered(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::Cancelled(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::Returned(e) => tx.append(id, version, std::slice::from_ref(e)).await,
    }
}

/// What a list shows, the newest first.
#[derive(Debug, Clone)]
pub struct Query {
    pub buyer_id: Option<String>,
    pub seller_id: Option<String>,
    pub order_id: String,
    pub statuses: Vec<i64>,
}

impl Query {
    pub async fn page(&self, db: &Db, page: &Page) -> Result<Paged<Model>> {
        let mut whose = Condition::any();
        if let Some(buyer_id) = &self.buyer_id {
            whose = whose.add(Column::BuyerId.eq(buyer_id));
        }
        if let Some(seller_id) = &self.seller_id {
            whose = whose.add(Column::SellerId.eq(seller_id));
        }
        let mut select = Entity::find().filter(whose);
        if !self.order_id.is_empty() {
            select = select.filter(Column::OrderId.eq(&self.order_id));
        }
        if !self.statuses.is_empty() {
            select = select.filter(Column::Status.is_in(self.statuses.iter().copied()));
        }
        let keys = [Key::desc(Column::ShipmentId)];
        db::page(db.primary(), select, page, &keys, |row| vec![row.shipment_id.clone()]).await
    }
}

/// All of them behind `after`, by id; for checks.
pub async fn batch<C: ConnectionTrait>(conn: &C, after: &str, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::ShipmentId.gt(after)).order_by_asc(Column::ShipmentId);
    select.limit(limit).all(conn).await.db()
}

/// A shipment can be made again from its events.
impl Aggregate for Shipment {
    const AGGREGATE: &'static str = "shipment";
    type Event = Event;

    fn apply(&mut self, event: Event, _meta: &Envelope) {
        Shipment::apply(self, &event);
    }
}
