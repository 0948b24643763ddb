//! Products: a row is the fold of its product's events, but for what others count and hold.

pub mod query;
pub mod stock;

use crate::domain::{Event, Fault, Product, won};
use jangteo_core::{Error, Result, from_micros, micros};
use kit::db::{Aggregate, DbResult, Envelope, EventSet, Tx};
use proto::jangteo::catalog::v1::{self as wire, Condition, ParcelSize, ProductCreated, ProductStatus};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, ExprTrait, QueryFilter, QuerySelect, entity::prelude::*, sea_query::Expr,
};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "product")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub product_id: String,
    pub seller_id: String,
    pub title: String,
    pub description: String,
    /// Whole won.
    pub price: i64,
    pub category_id: String,
    pub region_id: String,
    /// Number of the proto's enum.
    pub condition: i64,
    /// Number of the proto's enum.
    pub status: i64,
    pub stock: i64,
    /// A JSON list.
    pub tags: String,
    /// The sum of `like_slot`, a second behind.
    pub like_count: i64,
    pub view_count: i64,
    /// The version of the last event.
    pub version: i64,
    pub deleted: bool,
    pub create_time: i64,
    pub update_time: i64,
    /// A JSON list.
    pub image_ids: String,
    /// With `sum_cm` one unit's parcel; both 0: not said.
    pub weight_grams: i64,
    pub sum_cm: i64,
    /// An order took the last unit.
    pub sold_out: bool,
    /// Goes up with each change of `stock` and `reserved`: the version of what is available.
    pub stock_changes: i64,
    /// Units held for orders: the sum of the held rows of `stock_hold`.
    pub reserved: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row as its events know it.
    pub fn state(&self) -> Result<Product> {
        Ok(Product {
            product_id: self.product_id.clone(),
            seller_id: self.seller_id.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            price: self.price,
            category_id: self.category_id.clone(),
            region_id: self.region_id.clone(),
            condition: small(self.condition).try_into().unwrap_or(Condition::Unspecified),
            status: small(self.status).try_into().unwrap_or(ProductStatus::Unspecified),
            stock: small(self.stock),
            tags: read(&self.tags)?,
            image_ids: read(&self.image_ids)?,
            parcel: self.parcel(),
            sold_out: self.sold_out,
            deleted: self.deleted,
        })
    }

    /// What is not held for anybody.
    pub fn available(&self) -> i32 {
        small(self.stock - self.reserved)
    }

    fn parcel(&self) -> Option<ParcelSize> {
        let size = ParcelSize { weight_grams: small(self.weight_grams), sum_cm: small(self.sum_cm) };
        (size != ParcelSize::default()).then_some(size)
    }

    pub fn etag(&self) -> String {
        self.version.to_string()
    }

    pub fn into_wire(self) -> Result<wire::Product> {
        Ok(wire::Product {
            etag: self.etag(),
            available: Some(self.available()),
            parcel: self.parcel(),
            tags: read(&self.tags)?,
            image_ids: read(&self.image_ids)?,
            product_id: self.product_id,
            title: self.title,
            description: self.description,
            price: Some(won(self.price)),
            category_id: self.category_id,
            region_id: self.region_id,
            condition: small(self.condition),
            status: small(self.status),
            stock: Some(small(self.stock)),
            seller_id: self.seller_id,
            like_count: Some(small(self.like_count)),
            view_count: Some(small(self.view_count)),
            liked: None,
            create_time: Some(proto::timestamp(from_micros(self.create_time))),
            update_time: Some(proto::timestamp(from_micros(self.update_time))),
        })
    }

    pub fn into_offer(self) -> Result<wire::Offer> {
        let images: Vec<String> = read(&self.image_ids)?;
        Ok(wire::Offer {
            available: Some(self.available()),
            parcel: self.parcel(),
            product_id: self.product_id,
            seller_id: self.seller_id,
            title: self.title,
            price: Some(won(self.price)),
            status: small(self.status),
            region_id: self.region_id,
            image_id: images.into_iter().next().unwrap_or_default(),
            category_id: self.category_id,
        })
    }
}

/// What the proto shows as 32 bits; a count beyond stays at the top.
pub fn small(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn json(list: &[String]) -> Result<String> {
    serde_json::to_string(list).map_err(Error::internal)
}

fn read(json: &str) -> Result<Vec<String>> {
    serde_json::from_str(json).map_err(Error::internal)
}

/// A product that is not deleted.
pub async fn find<C: ConnectionTrait>(conn: &C, product_id: &str) -> Result<Model> {
    let row = Entity::find_by_id(product_id).filter(Column::Deleted.eq(false)).one(conn).await.db()?;
    row.ok_or_else(|| Error::not_found("product", product_id))
}

/// Those of them that are not deleted, in no order.
pub async fn find_all<C: ConnectionTrait>(conn: &C, product_ids: &[String]) -> Result<Vec<Model>> {
    Entity::find().filter(Column::ProductId.is_in(product_ids)).filter(Column::Deleted.eq(false)).all(conn).await.db()
}

/// All that somebody offers or has sold.
pub async fn of_seller<C: ConnectionTrait>(conn: &C, seller_id: &str) -> Result<Vec<Model>> {
    Entity::find().filter(Column::SellerId.eq(seller_id)).filter(Column::Deleted.eq(false)).all(conn).await.db()
}

pub async fn views<C: ConnectionTrait>(conn: &C, product_id: &str) -> Result<i64> {
    let select = Entity::find_by_id(product_id).select_only().column(Column::ViewCount);
    Ok(select.into_tuple().one(conn).await.db()?.unwrap_or(0))
}

pub async fn insert(tx: &Tx, event: &ProductCreated) -> Result<Model> {
    let mut p = Product::default();
    p.apply(&Event::Created(event.clone()));
    let now = micros(tx.now());
    let parcel = p.parcel.unwrap_or_default();
    let row = Model {
        product_id: p.product_id,
        seller_id: p.seller_id,
        title: p.title,
        description: p.description,
        price: p.price,
        category_id: p.category_id,
        region_id: p.region_id,
        condition: i32::from(p.condition).into(),
        status: i32::from(p.status).into(),
        stock: p.stock.into(),
        tags: json(&p.tags)?,
        like_count: 0,
        view_count: 0,
        version: 1,
        deleted: p.deleted,
        create_time: now,
        update_time: now,
        image_ids: json(&p.image_ids)?,
        weight_grams: parcel.weight_grams.into(),
        sum_cm: parcel.sum_cm.into(),
        sold_out: p.sold_out,
        stock_changes: 0,
        reserved: 0,
    };
    let fresh = ActiveModel::from(row.clone()).reset_all();
    Entity::insert(fresh).exec_without_returning(tx).await.db()?;
    Ok(row)
}

/// Adds `events` to the product's history and writes what they make of the row, or finds that somebody else was faster.
pub async fn record(tx: &Tx, row: Model, events: &[Event]) -> Result<Model> {
    if events.is_empty() {
        return Ok(row);
    }
    let mut p = row.state()?;
    let mut version = row.version;
    for event in events {
        p.apply(event);
        version = append(tx, &row.product_id, version, event).await?;
    }
    let parcel = p.parcel.unwrap_or_default();
    let row = Model {
        title: p.title,
        description: p.description,
        price: p.price,
        category_id: p.category_id,
        condition: i32::from(p.condition).into(),
        status: i32::from(p.status).into(),
        stock: p.stock.into(),
        tags: json(&p.tags)?,
        image_ids: json(&p.image_ids)?,
        weight_grams: parcel.weight_grams.into(),
        sum_cm: parcel.sum_cm.into(),
        sold_out: p.sold_out,
        deleted: p.deleted,
        version,
        stock_changes: row.stock_changes + 1,
        update_time: micros(tx.now()),
        ..row
    };
    // Neither the counts nor what is held, which others write, nor what never changes.
    let update = ActiveModel {
        product_id: Set(row.product_id.clone()),
        title: Set(row.title.clone()),
        description: Set(row.description.clone()),
        price: Set(row.price),
        category_id: Set(row.category_id.clone()),
        condition: Set(row.condition),
        status: Set(row.status),
        stock: Set(row.stock),
        tags: Set(row.tags.clone()),
        image_ids: Set(row.image_ids.clone()),
        weight_grams: Set(row.weight_grams),
        sum_cm: Set(row.sum_cm),
        sold_out: Set(row.sold_out),
        deleted: Set(row.deleted),
        version: Set(row.version),
        stock_changes: Set(row.stock_changes),
        update_time: Set(row.update_time),
        ..Default::default()
    };
    // What is held for orders can be neither taken from the stock nor withdrawn.
    let room = if row.deleted { 0 } else { row.stock };
    let done = Entity::update_many()
        .set(update)
        .filter(Column::ProductId.eq(&row.product_id))
        .filter(Column::Reserved.lte(room))
        .exec(tx)
        .await
        .db()?;
    if done.rows_affected == 0 {
        return Err(
            Fault::StockHeld { held: stock::reserved(tx, &row.product_id).await?, product_id: row.product_id }.into()
        );
    }
    Ok(row)
}

async fn append(tx: &Tx, id: &str, version: i64, event: &Event) -> Result<i64> {
    match event {
        Event::Created(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::Updated(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::StatusChanged(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::StockChanged(e) => tx.append(id, version, std::slice::from_ref(e)).await,
        Event::Deleted(e) => tx.append(id, version, std::slice::from_ref(e)).await,
    }
}

/// Product ids by the number of views to add to each.
pub async fn add_views(tx: &Tx, by_count: &BTreeMap<i64, Vec<&str>>) -> Result<()> {
    for (count, ids) in by_count {
        for ids in ids.chunks(500) {
            Entity::update_many()
                .col_expr(Column::ViewCount, Expr::col(Column::ViewCount).add(*count))
                .filter(Column::ProductId.is_in(ids.iter().copied()))
                .exec(tx)
                .await
                .db()?;
        }
    }
    Ok(())
}

/// A product can be made again from its events.
impl Aggregate for Product {
    const AGGREGATE: &'static str = "product";
    type Event = Event;

    fn apply(&mut self, event: Event, _meta: &Envelope) {
        Product::apply(self, &event);
    }
}

/// An event as the history shows it; `None` for a type that this release doesn't know.
pub fn event(envelope: &Envelope) -> Result<Option<wire::ProductEvent>> {
    use wire::product_event::Event as Shown;
    let Some(event) = Event::decode(envelope)? else { return Ok(None) };
    let event = match event {
        Event::Created(e) => Shown::Created(e),
        Event::Updated(e) => Shown::Updated(e),
        Event::StatusChanged(e) => Shown::StatusChanged(e),
        Event::StockChanged(e) => Shown::StockChanged(e),
        Event::Deleted(e) => Shown::Deleted(e),
    };
    Ok(Some(wire::ProductEvent { version: small(envelope.version), time: envelope.time, event: Some(event) }))
}
