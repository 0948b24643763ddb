//! Likes: one row a person and product, and the count beside it in the same transaction. The count is spread over
//! slots, so that people who like the same product at once seldom want the same row; the product's own row, which
//! lists are sorted by, is brought up to date by a job.

use super::product;
use jangteo_core::{Result, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, ExprTrait, QueryFilter, QuerySelect,
    entity::prelude::*,
    sea_query::{Expr, OnConflict, Query},
};

const SLOTS: u64 = 16;

pub mod row {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "product_like")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub product_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
        pub create_time: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod slot {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "like_slot")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub product_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub slot: i64,
        pub likes: i64,
        /// Goes up with each like and each withdrawal: the version of the count.
        pub changes: i64,
        /// `changes` when the product's row was last brought up to date.
        pub folded: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The counts of a product that change without its seller, as they are cached.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Counts {
    #[prost(int64, tag = "1")]
    pub likes: i64,
    /// Of likes; never goes back.
    #[prost(int64, tag = "2")]
    pub changes: i64,
    #[prost(int64, tag = "3")]
    pub views: i64,
}

/// Likes and their changes; views are the product's row's.
pub async fn count<C: ConnectionTrait>(conn: &C, product_id: &str) -> Result<Counts> {
    let slots = slot::Entity::find().filter(slot::Column::ProductId.eq(product_id)).all(conn).await.db()?;
    let (likes, changes) = (slots.iter().map(|s| s.likes).sum(), slots.iter().map(|s| s.changes).sum());
    Ok(Counts { likes, changes, views: 0 })
}

pub async fn exists<C: ConnectionTrait>(conn: &C, product_id: &str, user_id: &str) -> Result<bool> {
    let found = row::Entity::find_by_id((product_id.to_owned(), user_id.to_owned())).one(conn).await.db()?;
    Ok(found.is_some())
}

/// Whether this changed anything.
pub async fn insert(tx: &Tx, product_id: &str, user_id: &str) -> Result<bool> {
    let like = row::ActiveModel {
        product_id: Set(product_id.to_owned()),
        user_id: Set(user_id.to_owned()),
        create_time: Set(micros(tx.now())),
    };
    let conflict = OnConflict::columns([row::Column::ProductId, row::Column::UserId]).do_nothing().to_owned();
    let fresh = row::Entity::insert(like).on_conflict(conflict).exec_without_returning(tx).await.db()? == 1;
    if fresh {
        add(tx, product_id, user_id, 1).await?;
    }
    Ok(fresh)
}

/// Whether this changed anything.
pub async fn delete(tx: &Tx, product_id: &str, user_id: &str) -> Result<bool> {
    let id = (product_id.to_owned(), user_id.to_owned());
    let gone = row::Entity::delete_by_id(id).exec(tx).await.db()?.rows_affected == 1;
    if gone {
        add(tx, product_id, user_id, -1).await?;
    }
    Ok(gone)
}

/// All of a person's.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    let likes = row::Entity::find().filter(row::Column::UserId.eq(user_id)).all(tx).await.db()?;
    for like in likes {
        delete(tx, &like.product_id, user_id).await?;
    }
    Ok(())
}

/// A person's likes of a product always count in the same slot, so no slot goes below zero.
async fn add(tx: &Tx, product_id: &str, user_id: &str, n: i64) -> Result<()> {
    let slot = slot::ActiveModel {
        product_id: Set(product_id.to_owned()),
        slot: Set(slot_of(user_id)),
        // Checked even where the row is there already, as it is for every withdrawal.
        likes: Set(Ord::max(n, 0)),
        changes: Set(1),
        folded: Set(0),
    };
    let column = |c: slot::Column| Expr::col((slot::Entity, c));
    let conflict = OnConflict::columns([slot::Column::ProductId, slot::Column::Slot])
        .value(slot::Column::Likes, column(slot::Column::Likes).add(n))
        .value(slot::Column::Changes, column(slot::Column::Changes).add(1))
        .to_owned();
    slot::Entity::insert(slot).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// FNV-1a: the same for ever, unlike the standard library's.
fn slot_of(user_id: &str) -> i64 {
    let hash = user_id.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    i64::try_from((hash ^ (hash >> 32)) % SLOTS).expect("below sixteen")
}

/// Products whose row is behind its slots.
pub async fn dirty<C: ConnectionTrait>(conn: &C, limit: u64) -> Result<Vec<String>> {
    let behind = Expr::col(slot::Column::Changes).ne(Expr::col(slot::Column::Folded));
    slot::Entity::find()
        .select_only()
        .column(slot::Column::ProductId)
        .distinct()
        .filter(behind)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await
        .db()
}

pub async fn fold(tx: &Tx, product_ids: &[String]) -> Result<()> {
    let sum = Query::select()
        .expr(Expr::cust("CAST(COALESCE(SUM(likes), 0) AS BIGINT)"))
        .from(slot::Entity)
        .and_where(
            Expr::col((slot::Entity, slot::Column::ProductId)).equals((product::Entity, product::Column::ProductId)),
        )
        .to_owned();
    product::Entity::update_many()
        .col_expr(product::Column::LikeCount, sum.into())
        .filter(product::Column::ProductId.is_in(product_ids))
        .exec(tx)
        .await
        .db()?;
    slot::Entity::update_many()
        .col_expr(slot::Column::Folded, Expr::col(slot::Column::Changes))
        .filter(slot::Column::ProductId.is_in(product_ids))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_spread_over_all_slots() {
        let used: std::collections::BTreeSet<_> = (0..500).map(|n| slot_of(&format!("usr_{n}"))).collect();
        assert_eq!(used, (0..16).collect());
    }
}
