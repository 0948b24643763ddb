//! Products: a row is the fold of its product's events.

use crate::domain::{Event, Product, won};
use jangteo_core::{Error, Result, from_micros, micros};
use kit::db::{self, Aggregate, Db, DbResult, Envelope, Key, Paged, Tx};
use proto::jangteo::catalog::v1::{self as wire, Condition, ProductCreated, ProductSort, ProductStatus};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, ExprTrait, QueryFilter, QuerySelect, Select, entity::prelude::*, sea_query::Expr,
};
use std::{cmp::Ordering, collections::BTreeMap};

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
            tags: serde_json::from_str(&self.tags).map_err(Error::internal)?,
            deleted: self.deleted,
        })
    }

    pub fn etag(&self) -> String {
        self.version.to_string()
    }

    pub fn into_wire(self) -> Result<wire::Product> {
        let tags = serde_json::from_str(&self.tags).map_err(Error::internal)?;
        Ok(wire::Product {
            etag: self.etag(),
            product_id: self.product_id,
            title: self.title,
            description: self.description,
            price: Some(won(self.price)),
            category_id: self.category_id,
            region_id: self.region_id,
            condition: small(self.condition),
            status: small(self.status),
            stock: Some(small(self.stock)),
            tags,
            seller_id: self.seller_id,
            like_count: Some(small(self.like_count)),
            view_count: Some(small(self.view_count)),
            liked: None,
            create_time: Some(proto::timestamp(from_micros(self.create_time))),
            update_time: Some(proto::timestamp(from_micros(self.update_time))),
        })
    }
}

/// What the proto shows as 32 bits; a count beyond stays at the top.
pub fn small(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn tags(tags: &[String]) -> Result<String> {
    serde_json::to_string(tags).map_err(Error::internal)
}

/// A product that is not deleted.
pub async fn find<C: ConnectionTrait>(conn: &C, product_id: &str) -> Result<Model> {
    let row = Entity::find_by_id(product_id).filter(Column::Deleted.eq(false)).one(conn).await.db()?;
    row.ok_or_else(|| Error::not_found("product", product_id))
}

pub async fn views<C: ConnectionTrait>(conn: &C, product_id: &str) -> Result<i64> {
    let select = Entity::find_by_id(product_id).select_only().column(Column::ViewCount);
    Ok(select.into_tuple().one(conn).await.db()?.unwrap_or(0))
}

pub async fn insert(tx: &Tx, event: &ProductCreated) -> Result<Model> {
    let mut p = Product::default();
    p.apply(&Event::Created(event.clone()));
    let now = micros(tx.now());
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
        tags: tags(&p.tags)?,
        like_count: 0,
        view_count: 0,
        version: 1,
        deleted: p.deleted,
        create_time: now,
        update_time: now,
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
    let row = Model {
        title: p.title,
        description: p.description,
        price: p.price,
        category_id: p.category_id,
        condition: i32::from(p.condition).into(),
        status: i32::from(p.status).into(),
        stock: p.stock.into(),
        tags: tags(&p.tags)?,
        deleted: p.deleted,
        version,
        update_time: micros(tx.now()),
        ..row
    };
    // Not the counts, which others write, nor what never changes.
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
        deleted: Set(row.deleted),
        version: Set(row.version),
        update_time: Set(row.update_time),
        ..Default::default()
    };
    Entity::update_many().set(update).filter(Column::ProductId.eq(&row.product_id)).exec(tx).await.db()?;
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

/// Adds to the stock in one statement, unless it would leave 0 to `max`: then `None`. The row is locked and decided on
/// at once, so any number of takers may come together. The event is the caller's to append, as the returned version.
pub async fn add_stock(tx: &Tx, product_id: &str, delta: i64, max: i64) -> Result<Option<Model>> {
    let sum = || Expr::col(Column::Stock).add(delta);
    let done = Entity::update_many()
        .col_expr(Column::Stock, sum())
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdateTime, Expr::value(micros(tx.now())))
        .filter(Column::ProductId.eq(product_id))
        .filter(Column::Deleted.eq(false))
        .filter(sum().between(0i64, max))
        .exec(tx)
        .await
        .db()?;
    let row = find(tx, product_id).await?;
    Ok((done.rows_affected == 1).then_some(row))
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

/// What a list shows, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Any of these; empty: any at all.
    pub categories: Vec<String>,
    pub region_id: String,
    pub min_price: Option<i64>,
    pub max_price: Option<i64>,
    pub conditions: Vec<i32>,
    pub statuses: Vec<i32>,
    pub seller_id: String,
    pub sort: ProductSort,
}

impl Query {
    fn select(&self) -> Select<Entity> {
        let numbers = |ns: &[i32]| ns.iter().map(|n| i64::from(*n)).collect::<Vec<_>>();
        let mut s = Entity::find().filter(Column::Deleted.eq(false));
        if !self.categories.is_empty() {
            s = s.filter(Column::CategoryId.is_in(&self.categories));
        }
        if !self.region_id.is_empty() {
            s = s.filter(Column::RegionId.eq(&self.region_id));
        }
        if let Some(min) = self.min_price {
            s = s.filter(Column::Price.gte(min));
        }
        if let Some(max) = self.max_price {
            s = s.filter(Column::Price.lte(max));
        }
        if !self.conditions.is_empty() {
            s = s.filter(Column::Condition.is_in(numbers(&self.conditions)));
        }
        if !self.statuses.is_empty() {
            s = s.filter(Column::Status.is_in(numbers(&self.statuses)));
        }
        if !self.seller_id.is_empty() {
            s = s.filter(Column::SellerId.eq(&self.seller_id));
        }
        s
    }

    /// The product id makes each order unique; it sorts by time as well.
    fn keys(&self) -> [Key<Column>; 2] {
        match self.sort {
            ProductSort::Unspecified | ProductSort::Newest => {
                [Key::desc(Column::CreateTime), Key::desc(Column::ProductId)]
            }
            ProductSort::PriceAscending => [Key::asc(Column::Price), Key::asc(Column::ProductId)],
            ProductSort::PriceDescending => [Key::desc(Column::Price), Key::desc(Column::ProductId)],
            ProductSort::MostLiked => [Key::desc(Column::LikeCount), Key::desc(Column::ProductId)],
        }
    }

    fn sort_key(&self, row: &Model) -> i64 {
        match self.sort {
            ProductSort::Unspecified | ProductSort::Newest => row.create_time,
            ProductSort::PriceAscending | ProductSort::PriceDescending => row.price,
            ProductSort::MostLiked => row.like_count,
        }
    }

    pub fn keys_of(&self, row: &Model) -> Vec<String> {
        vec![self.sort_key(row).to_string(), row.product_id.clone()]
    }

    pub fn cmp(&self, a: &Model, b: &Model) -> Ordering {
        let ascending = (self.sort_key(a), &a.product_id).cmp(&(self.sort_key(b), &b.product_id));
        if self.sort == ProductSort::PriceAscending { ascending } else { ascending.reverse() }
    }

    /// One database's page.
    pub async fn page(&self, db: &Db, page: &jangteo_core::Page) -> Result<Paged<Model>> {
        db::page(db.read(), self.select(), page, &self.keys(), |row| self.keys_of(row)).await
    }
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
    use db::EventSet;
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
