//! Bytes that media are of. Whoever works on one has a lease: its attempt's number, which every write compares.

use super::{media, object};
use jangteo_core::{Result, Time, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{
    ConnectionTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "content")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub content_hash: String,
    pub generation: String,
    pub ready: bool,
    pub upload_key: String,
    pub width: i64,
    pub height: i64,
    pub perceptual_hash: String,
    pub refs: i64,
    pub attempts: i64,
    pub lease_until: i64,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A picture that somebody works on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Claim {
    #[prost(string, tag = "1")]
    pub content_hash: String,
    #[prost(string, tag = "2")]
    pub generation: String,
    #[prost(string, tag = "3")]
    pub upload_key: String,
    /// 1, 2, 3 …
    #[prost(int64, tag = "4")]
    pub attempt: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Claims {
    #[prost(message, repeated, tag = "1")]
    pub claims: Vec<Claim>,
}

/// One more medium is of this content: of the one that is there, or else of this new one.
pub async fn refer(tx: &Tx, new: Model) -> Result<Model> {
    let more = Expr::col((Entity, Column::Refs)).add(1);
    let conflict = OnConflict::column(Column::ContentHash).value(Column::Refs, more).to_owned();
    let new = ActiveModel::from(new).reset_all();
    Entity::insert(new).on_conflict(conflict).exec_with_returning(tx).await.db()
}

/// One medium less. With the last one the content goes, and its objects become garbage.
pub async fn release(tx: &Tx, content_hash: &str) -> Result<()> {
    let fewer = Entity::update_many()
        .col_expr(Column::Refs, Expr::col(Column::Refs).sub(1))
        .filter(Column::ContentHash.eq(content_hash))
        .filter(Column::Refs.gt(1))
        .exec(tx)
        .await
        .db()?;
    if fewer.rows_affected == 0 {
        remove(tx, content_hash).await?;
    }
    Ok(())
}

/// Takes a content away, whoever is of it.
pub async fn remove(tx: &Tx, content_hash: &str) -> Result<()> {
    let Some(content) = find(tx, content_hash).await? else { return Ok(()) };
    let mut keys: Vec<String> =
        object::all(tx, &[content_hash.to_owned()]).await?.into_iter().map(|o| o.object_key).collect();
    keys.extend(Some(content.upload_key).filter(|key| !key.is_empty()));
    object::discard(tx, &keys).await?;
    object::delete_of(tx, content_hash).await?;
    Entity::delete_by_id(content_hash).exec(tx).await.db()?;
    Ok(())
}

pub async fn find<C: ConnectionTrait>(conn: &C, content_hash: &str) -> Result<Option<Model>> {
    Entity::find_by_id(content_hash).one(conn).await.db()
}

pub async fn all<C: ConnectionTrait>(conn: &C, hashes: &[String]) -> Result<Vec<Model>> {
    Entity::find().filter(Column::ContentHash.is_in(hashes)).all(conn).await.db()
}

/// All of them, behind this one.
pub async fn after<C: ConnectionTrait>(conn: &C, content_hash: &str, limit: u64) -> Result<Vec<Model>> {
    let behind = Entity::find().filter(Column::ContentHash.gt(content_hash)).order_by_asc(Column::ContentHash);
    behind.limit(limit).all(conn).await.db()
}

fn idle(now: Time) -> sea_orm::Select<Entity> {
    Entity::find().filter(Column::Ready.eq(false)).filter(Column::LeaseUntil.lte(micros(now)))
}

/// Whether there is a picture that nobody works on; asked before anything is written.
pub async fn is_idle<C: ConnectionTrait>(conn: &C, now: Time) -> Result<bool> {
    Ok(idle(now).one(conn).await.db()?.is_some())
}

/// Takes on pictures that nobody works on, the oldest first, until then.
pub async fn claim(tx: &Tx, until: Time, limit: u64) -> Result<Claims> {
    let found = idle(tx.now()).order_by_asc(Column::CreateTime).limit(limit).all(tx).await.db()?;
    let mut claims = Vec::new();
    for row in found {
        let (hash, attempt) = (row.content_hash, row.attempts + 1);
        let taken = Entity::update_many()
            .col_expr(Column::Attempts, attempt.into())
            .col_expr(Column::LeaseUntil, micros(until).into())
            .filter(Column::ContentHash.eq(&hash))
            .filter(Column::Attempts.eq(row.attempts))
            .exec(tx)
            .await
            .db()?;
        if taken.rows_affected == 1 {
            let (generation, upload_key) = (row.generation, row.upload_key);
            claims.push(Claim { content_hash: hash, generation, upload_key, attempt });
        }
    }
    Ok(Claims { claims })
}

/// Gives one back until then; one that was not to blame gets its attempt back.
pub async fn put_back(tx: &Tx, claim: &Claim, until: Time, to_blame: bool) -> Result<()> {
    let attempts = claim.attempt - i64::from(!to_blame);
    Entity::update_many()
        .col_expr(Column::Attempts, attempts.into())
        .col_expr(Column::LeaseUntil, micros(until).into())
        .filter(held(claim))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}

/// Its variants are made. `false`: somebody else has it, or it is gone.
pub async fn complete(tx: &Tx, claim: &Claim, width: u32, height: u32, perceptual_hash: &str) -> Result<bool> {
    let done = Entity::update_many()
        .col_expr(Column::Ready, true.into())
        .col_expr(Column::UploadKey, "".into())
        .col_expr(Column::Width, i64::from(width).into())
        .col_expr(Column::Height, i64::from(height).into())
        .col_expr(Column::PerceptualHash, perceptual_hash.into())
        .filter(held(claim))
        .exec(tx)
        .await
        .db()?;
    Ok(done.rows_affected == 1)
}

/// Whether the claim still counts, inside the write that relies on it.
pub async fn is_held(tx: &Tx, claim: &Claim) -> Result<bool> {
    Ok(Entity::find().filter(held(claim)).one(tx).await.db()?.is_some())
}

fn held(claim: &Claim) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(Column::ContentHash.eq(&claim.content_hash))
        .add(Column::Generation.eq(&claim.generation))
        .add(Column::Attempts.eq(claim.attempt))
        .add(Column::Ready.eq(false))
}

/// Which of these objects are uploads that variants are to be made of.
pub async fn naming<C: ConnectionTrait>(conn: &C, keys: &[String]) -> Result<Vec<String>> {
    let named = Entity::find().select_only().column(Column::UploadKey).filter(Column::UploadKey.is_in(keys));
    let mut named: Vec<String> = named.into_tuple().all(conn).await.db()?;
    named.extend(media::naming(conn, keys).await?);
    Ok(named)
}
