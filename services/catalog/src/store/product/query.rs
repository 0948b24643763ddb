//! Lists of products.

use super::{Column, Entity, Model};
use jangteo_core::Result;
use kit::db::{self, Db, Key, Paged};
use proto::jangteo::catalog::v1::ProductSort;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select};
use std::cmp::Ordering;

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
