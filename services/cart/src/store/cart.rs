//! Carts. Whoever changes the lines of one writes its row first: that is the lock that keeps the limits.

use crate::domain::{self, Fault, MAX_LINES, MAX_SHARES};
use jangteo_core::{Id, Result, Time, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cart")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub cart_id: String,
    pub user_id: Option<String>,
    pub guest_hash: Option<String>,
    pub share_hash: Option<String>,
    pub shared_by: Option<String>,
    pub merged_by: Option<String>,
    pub create_time: i64,
    pub update_time: i64,
    /// `None`: never.
    pub expire_time: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Whose cart is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    Person(String),
    /// By the hash of the token.
    Guest(String),
    /// A guest whose cart is to be made, with a token of this hash.
    Newcomer(String),
}

fn fresh(now: Time) -> ActiveModel {
    ActiveModel {
        cart_id: Set(Id::<domain::Cart>::new().to_string()),
        user_id: Set(None),
        guest_hash: Set(None),
        share_hash: Set(None),
        shared_by: Set(None),
        merged_by: Set(None),
        create_time: Set(micros(now)),
        update_time: Set(micros(now)),
        expire_time: Set(None),
    }
}

/// A guest's cart that can still be used.
fn live_guest(hash: &str, now: Time) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(Column::GuestHash.eq(hash))
        .add(Column::MergedBy.is_null())
        .add(Column::ExpireTime.gt(micros(now)))
}

/// The cart, if there is one; a guest who has a token must have one.
pub async fn find<C: ConnectionTrait>(conn: &C, whose: &Whose, now: Time) -> Result<Option<Model>> {
    match whose {
        Whose::Person(user_id) => Entity::find().filter(Column::UserId.eq(user_id)).one(conn).await.db(),
        Whose::Guest(hash) => {
            let row = Entity::find().filter(live_guest(hash, now)).one(conn).await.db()?;
            row.map(Some).ok_or_else(|| Fault::CartNotFound.into())
        }
        Whose::Newcomer(_) => Ok(None),
    }
}

/// The cart's id, made if need be and locked until the end of the write. A guest's cart lives until `expire` from now on.
pub async fn open(tx: &Tx, whose: &Whose, expire: Time) -> Result<String> {
    let now = micros(tx.now());
    match whose {
        Whose::Person(user_id) => {
            let row = ActiveModel { user_id: Set(Some(user_id.clone())), ..fresh(tx.now()) };
            let conflict = OnConflict::column(Column::UserId).update_column(Column::UpdateTime).to_owned();
            Ok(Entity::insert(row).on_conflict(conflict).exec_with_returning(tx).await.db()?.cart_id)
        }
        Whose::Guest(hash) => {
            let done = Entity::update_many()
                .col_expr(Column::UpdateTime, Expr::value(now))
                .col_expr(Column::ExpireTime, Expr::value(micros(expire)))
                .filter(live_guest(hash, tx.now()))
                .exec_with_returning(tx)
                .await
                .db()?;
            done.into_iter().next().map(|row| row.cart_id).ok_or_else(|| Fault::CartNotFound.into())
        }
        Whose::Newcomer(hash) => {
            let guest = ActiveModel {
                guest_hash: Set(Some(hash.clone())),
                expire_time: Set(Some(micros(expire))),
                ..fresh(tx.now())
            };
            Ok(Entity::insert(guest).exec_with_returning(tx).await.db()?.cart_id)
        }
    }
}

/// Locks a person's cart. `None`: the person has none.
pub async fn lock(tx: &Tx, user_id: &str) -> Result<Option<String>> {
    let done = Entity::update_many()
        .col_expr(Column::UpdateTime, Expr::value(micros(tx.now())))
        .filter(Column::UserId.eq(user_id))
        .exec_with_returning(tx)
        .await
        .db()?;
    Ok(done.into_iter().next().map(|row| row.cart_id))
}

/// Makes a guest's cart `user_id`'s to empty, and gives its id. `None`: it was already.
pub async fn take_guest(tx: &Tx, hash: &str, user_id: &str) -> Result<Option<String>> {
    let done = Entity::update_many()
        .col_expr(Column::MergedBy, Expr::value(user_id))
        .filter(live_guest(hash, tx.now()))
        .exec_with_returning(tx)
        .await
        .db()?;
    if let Some(row) = done.into_iter().next() {
        return Ok(Some(row.cart_id));
    }
    let row = Entity::find().filter(Column::GuestHash.eq(hash)).one(tx).await.db()?;
    match row.and_then(|row| row.merged_by) {
        Some(by) if by == user_id => Ok(None),
        _ => Err(Fault::CartNotFound.into()),
    }
}

/// A new shared copy; of too many the oldest go.
pub async fn share(tx: &Tx, user_id: &str, hash: &str, expire: Time) -> Result<String> {
    let row = ActiveModel {
        share_hash: Set(Some(hash.to_owned())),
        shared_by: Set(Some(user_id.to_owned())),
        expire_time: Set(Some(micros(expire))),
        ..fresh(tx.now())
    };
    let cart_id = Entity::insert(row).exec_with_returning(tx).await.db()?.cart_id;
    // SQLite knows no OFFSET without a LIMIT.
    let surplus: Vec<String> = Entity::find()
        .select_only()
        .column(Column::CartId)
        .filter(Column::SharedBy.eq(user_id))
        .order_by_desc(Column::CreateTime)
        .order_by_desc(Column::CartId)
        .offset(MAX_SHARES)
        .limit(MAX_SHARES)
        .into_tuple()
        .all(tx)
        .await
        .db()?;
    delete(tx, surplus).await?;
    Ok(cart_id)
}

pub async fn shared<C: ConnectionTrait>(conn: &C, hash: &str, now: Time) -> Result<Model> {
    let select = Entity::find().filter(Column::ShareHash.eq(hash)).filter(Column::ExpireTime.gt(micros(now)));
    select.one(conn).await.db()?.ok_or_else(|| Fault::ShareNotFound.into())
}

/// Carts and, by the foreign key, their lines.
pub async fn delete(tx: &Tx, cart_ids: Vec<String>) -> Result<()> {
    if !cart_ids.is_empty() {
        Entity::delete_many().filter(Column::CartId.is_in(cart_ids)).exec(tx).await.db()?;
    }
    Ok(())
}

/// A person's cart, the copies that they shared, and what they took over from guests.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    let theirs = [Column::UserId, Column::SharedBy, Column::MergedBy].map(|c| c.eq(user_id));
    let any = theirs.into_iter().fold(sea_orm::Condition::any(), sea_orm::Condition::add);
    Entity::delete_many().filter(any).exec(tx).await.db()?;
    Ok(())
}

/// Up to `limit` carts whose time is over. An expired cart never comes back to life.
pub async fn expired(tx: &Tx, limit: u64) -> Result<Vec<String>> {
    let select = Entity::find().select_only().column(Column::CartId).filter(Column::ExpireTime.lte(micros(tx.now())));
    select.limit(limit).into_tuple().all(tx).await.db()
}

/// What must not be: carts beyond their limit, and lines in carts that were taken over.
pub async fn check<C: ConnectionTrait>(conn: &C) -> Result<Vec<String>> {
    use super::line;
    let count = || line::Column::ProductId.count();
    let full: Vec<(String, i64)> = line::Entity::find()
        .select_only()
        .column(line::Column::CartId)
        .column_as(count(), "lines")
        .group_by(line::Column::CartId)
        .having(count().gt(MAX_LINES as i64))
        .limit(100)
        .into_tuple()
        .all(conn)
        .await
        .db()?;
    let merged = sea_orm::sea_query::Query::select()
        .column(Column::CartId)
        .from(Entity)
        .and_where(Column::MergedBy.is_not_null())
        .to_owned();
    let left: Vec<(String, String)> = line::Entity::find()
        .select_only()
        .column(line::Column::CartId)
        .column(line::Column::ProductId)
        .filter(line::Column::CartId.in_subquery(merged))
        .limit(100)
        .into_tuple()
        .all(conn)
        .await
        .db()?;
    let full = full.into_iter().map(|(cart_id, lines)| format!("{cart_id} has {lines} lines"));
    let left = left.into_iter().map(|(cart_id, product_id)| format!("{cart_id} was merged and holds {product_id}"));
    Ok(full.chain(left).collect())
}
