//! What belongs to reviews: manner tags and product ratings.

use crate::domain::{Draft, standing::small};
use jangteo_core::{Page, Result};
use kit::db::{self, Db, DbResult, Key, Paged, Tx};
use proto::jangteo::review::v1::{ProductRating, Review};
use sea_orm::{ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*, sea_query::Expr};
use std::collections::HashMap;

pub mod tag {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "review_tag")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub review_id: String,
        /// Number of the proto's enum.
        #[sea_orm(primary_key, auto_increment = false)]
        pub tag: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "product_rating")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub review_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub product_id: String,
    pub rating: i64,
    /// That of the review; 0 while it can't be seen.
    pub reveal_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub async fn insert(tx: &Tx, review_id: &str, draft: &Draft) -> Result<()> {
    if !draft.tags.is_empty() {
        let rows = draft.tags.iter().map(|t| tag::Model { review_id: review_id.into(), tag: i32::from(*t).into() });
        let rows = rows.map(|row| tag::ActiveModel::from(row).reset_all());
        tag::Entity::insert_many(rows).exec_without_returning(tx).await.db()?;
    }
    if !draft.product_ratings.is_empty() {
        let rows = draft.product_ratings.iter().map(|p| Model {
            review_id: review_id.into(),
            product_id: p.product_id.clone(),
            rating: p.rating.into(),
            reveal_time: 0,
        });
        Entity::insert_many(rows.map(|row| ActiveModel::from(row).reset_all()))
            .exec_without_returning(tx)
            .await
            .db()?;
    }
    Ok(())
}

/// 0 hides them.
pub async fn reveal(tx: &Tx, review_id: &str, reveal_time: i64) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::RevealTime, Expr::value(reveal_time))
        .filter(Column::ReviewId.eq(review_id))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}

/// Puts tags and product ratings into their reviews.
pub async fn fill<C: ConnectionTrait>(conn: &C, reviews: &mut [Review]) -> Result<()> {
    let ids: Vec<String> = reviews.iter().map(|r| r.review_id.clone()).collect();
    let tags = tag::Entity::find().filter(tag::Column::ReviewId.is_in(&ids)).order_by_asc(tag::Column::Tag);
    let mut tags_of: HashMap<String, Vec<i32>> = HashMap::new();
    for row in tags.all(conn).await.db()? {
        tags_of.entry(row.review_id).or_default().push(small(row.tag));
    }
    let ratings = Entity::find().filter(Column::ReviewId.is_in(&ids)).order_by_asc(Column::ProductId);
    let mut ratings_of: HashMap<String, Vec<ProductRating>> = HashMap::new();
    for row in ratings.all(conn).await.db()? {
        let rating = ProductRating { product_id: row.product_id, rating: small(row.rating) };
        ratings_of.entry(row.review_id).or_default().push(rating);
    }
    for review in reviews {
        review.tags = tags_of.remove(&review.review_id).unwrap_or_default();
        review.product_ratings = ratings_of.remove(&review.review_id).unwrap_or_default();
    }
    Ok(())
}

/// A page of what everybody can see of a product, the newest first.
pub async fn page(db: &Db, product_id: &str, page: &Page) -> Result<Paged<Model>> {
    let select = Entity::find().filter(Column::ProductId.eq(product_id)).filter(Column::RevealTime.gt(0));
    let keys = [Key::desc(Column::RevealTime), Key::desc(Column::ReviewId)];
    let of = |row: &Model| vec![row.reveal_time.to_string(), row.review_id.clone()];
    db::page(db.primary(), select, page, &keys, of).await
}

/// How many ratings of 1, 2, 3, 4 and 5 a product has.
pub async fn of_product<C: ConnectionTrait>(conn: &C, product_id: &str) -> Result<[i64; 5]> {
    let counts: Vec<(i64, i64)> = Entity::find()
        .select_only()
        .column(Column::Rating)
        .column_as(Column::ReviewId.count(), "n")
        .filter(Column::ProductId.eq(product_id))
        .filter(Column::RevealTime.gt(0))
        .group_by(Column::Rating)
        .into_tuple()
        .all(conn)
        .await
        .db()?;
    Ok(tally(&counts))
}

/// Counts by rating, in their places.
pub fn tally(counts: &[(i64, i64)]) -> [i64; 5] {
    let of = |rating| counts.iter().find(|(r, _)| *r == rating).map_or(0, |(_, n)| *n);
    [1, 2, 3, 4, 5].map(of)
}
