//! Sessions, their refresh tokens, and the networks that an account was used from.

use jangteo_core::{Page, Result, Time, from_micros, micros};
use kit::db::{DbResult, Key, Paged, Tx, crypt::PersonKey};
use proto::jangteo::auth::v1 as pb;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    sea_query::{Expr, OnConflict},
};

const TABLE: &str = "session";

mod row {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "session")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub session_id: String,
        pub user_id: String,
        pub user_agent: Vec<u8>,
        pub address: Vec<u8>,
        pub create_time: i64,
        pub last_used_time: i64,
        pub expire_time: i64,
        pub revoke_time: Option<i64>,
    }
    impl ActiveModelBehavior for ActiveModel {}
}

mod refresh_token {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "refresh_token")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub token_hash: String,
        pub session_id: String,
        pub use_time: Option<i64>,
    }
    impl ActiveModelBehavior for ActiveModel {}
}

mod known_network {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "known_network")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub network_hash: String,
        pub user_id: String,
        pub last_used_time: i64,
    }
    impl ActiveModelBehavior for ActiveModel {}
}

/// A session as stored.
pub struct Session(row::Model);

impl Session {
    pub fn session_id(&self) -> &str {
        &self.0.session_id
    }
    pub fn user_id(&self) -> &str {
        &self.0.user_id
    }
    pub fn expire_time(&self) -> Time {
        from_micros(self.0.expire_time)
    }
    pub fn is_open(&self, now: Time) -> bool {
        self.0.revoke_time.is_none() && self.0.expire_time > micros(now)
    }

    pub fn to_proto(&self, key: &PersonKey, current: &str) -> Result<pb::Session> {
        let time = |t| Some(proto::timestamp(from_micros(t)));
        Ok(pb::Session {
            session_id: self.0.session_id.clone(),
            user_agent: key.open_text(TABLE, "user_agent", &self.0.user_agent)?,
            address: key.open_text(TABLE, "address", &self.0.address)?,
            create_time: time(self.0.create_time),
            last_used_time: time(self.0.last_used_time),
            expire_time: time(self.0.expire_time),
            current: self.0.session_id == current,
        })
    }
}

/// What the caller's device looks like.
pub struct Device<'a> {
    pub user_agent: &'a str,
    pub address: &'a str,
}

pub async fn find<C: ConnectionTrait>(conn: &C, session_id: &str) -> Result<Option<Session>> {
    Ok(row::Entity::find_by_id(session_id).one(conn).await.db()?.map(Session))
}

pub async fn open(
    tx: &Tx,
    key: &PersonKey,
    session_id: &str,
    user_id: &str,
    device: &Device<'_>,
    expire_time: Time,
) -> Result<()> {
    let now = micros(tx.now());
    let session = row::ActiveModel {
        session_id: Set(session_id.to_owned()),
        user_id: Set(user_id.to_owned()),
        user_agent: Set(key.seal(TABLE, "user_agent", device.user_agent.as_bytes())?),
        address: Set(key.seal(TABLE, "address", device.address.as_bytes())?),
        create_time: Set(now),
        last_used_time: Set(now),
        expire_time: Set(micros(expire_time)),
        revoke_time: Set(None),
    };
    row::Entity::insert(session).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Notes that a session was refreshed, and from where.
pub async fn touch(tx: &Tx, key: &PersonKey, session_id: &str, device: &Device<'_>) -> Result<()> {
    row::Entity::update_many()
        .filter(row::Column::SessionId.eq(session_id))
        .col_expr(row::Column::LastUsedTime, Expr::value(micros(tx.now())))
        .col_expr(row::Column::UserAgent, Expr::value(key.seal(TABLE, "user_agent", device.user_agent.as_bytes())?))
        .col_expr(row::Column::Address, Expr::value(key.seal(TABLE, "address", device.address.as_bytes())?))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}

/// `false`: it had ended before.
pub async fn revoke(tx: &Tx, session_id: &str) -> Result<bool> {
    let update = row::Entity::update_many()
        .filter(row::Column::SessionId.eq(session_id))
        .filter(row::Column::RevokeTime.is_null())
        .col_expr(row::Column::RevokeTime, Expr::value(micros(tx.now())));
    Ok(update.exec(tx).await.db()?.rows_affected == 1)
}

/// A person's open sessions, the newest first.
pub async fn page<C: ConnectionTrait>(conn: &C, user_id: &str, now: Time, page: &Page) -> Result<Paged<Session>> {
    let select = row::Entity::find().filter(is_open(user_id, now));
    // A session's id starts with the time of its creation.
    let keys = [Key::desc(row::Column::SessionId)];
    Ok(kit::db::page(conn, select, page, &keys, |s| vec![s.session_id.clone()]).await?.map(Session))
}

/// Ids of a person's open sessions, the oldest first.
pub async fn ids<C: ConnectionTrait>(conn: &C, user_id: &str, now: Time) -> Result<Vec<String>> {
    let select = row::Entity::find().filter(is_open(user_id, now)).order_by_asc(row::Column::SessionId);
    select.select_only().column(row::Column::SessionId).into_tuple().all(conn).await.db()
}

fn is_open(user_id: &str, now: Time) -> Condition {
    Condition::all()
        .add(row::Column::UserId.eq(user_id))
        .add(row::Column::RevokeTime.is_null())
        .add(row::Column::ExpireTime.gt(micros(now)))
}

/// Sessions that ended before their time at `since` or later, in order: id and time.
pub async fn revoked<C: ConnectionTrait>(conn: &C, since: Time, limit: u64) -> Result<Vec<(String, Time)>> {
    let rows: Vec<(String, Option<i64>)> = row::Entity::find()
        .filter(row::Column::RevokeTime.gte(micros(since)))
        .order_by_asc(row::Column::RevokeTime)
        .order_by_asc(row::Column::SessionId)
        .select_only()
        .columns([row::Column::SessionId, row::Column::RevokeTime])
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await
        .db()?;
    Ok(rows.into_iter().filter_map(|(id, t)| Some((id, from_micros(t?)))).collect())
}

/// Forgets sessions that ended before `before`, with their tokens. `false`: there were none.
pub async fn sweep(tx: &Tx, before: Time, limit: u64) -> Result<bool> {
    let old: Vec<String> = row::Entity::find()
        .filter(row::Column::ExpireTime.lt(micros(before)))
        .select_only()
        .column(row::Column::SessionId)
        .limit(limit)
        .into_tuple()
        .all(tx)
        .await
        .db()?;
    let theirs = refresh_token::Column::SessionId.is_in(old.clone());
    refresh_token::Entity::delete_many().filter(theirs).exec(tx).await.db()?;
    row::Entity::delete_many().filter(row::Column::SessionId.is_in(old.clone())).exec(tx).await.db()?;
    Ok(!old.is_empty())
}

pub async fn add_refresh_token(tx: &Tx, token_hash: &str, session_id: &str) -> Result<()> {
    let token = refresh_token::ActiveModel {
        token_hash: Set(token_hash.to_owned()),
        session_id: Set(session_id.to_owned()),
        use_time: Set(None),
    };
    refresh_token::Entity::insert(token).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// The session of a refresh token, used or not.
pub async fn of_refresh_token<C: ConnectionTrait>(conn: &C, token_hash: &str) -> Result<Option<Session>> {
    let Some(token) = refresh_token::Entity::find_by_id(token_hash).one(conn).await.db()? else { return Ok(None) };
    find(conn, &token.session_id).await
}

/// Uses a refresh token. `false`: it was used before.
pub async fn use_refresh_token(tx: &Tx, token_hash: &str) -> Result<bool> {
    let update = refresh_token::Entity::update_many()
        .filter(refresh_token::Column::TokenHash.eq(token_hash))
        .filter(refresh_token::Column::UseTime.is_null())
        .col_expr(refresh_token::Column::UseTime, Expr::value(micros(tx.now())));
    Ok(update.exec(tx).await.db()?.rows_affected == 1)
}

pub async fn is_known_network<C: ConnectionTrait>(conn: &C, network_hash: &str) -> Result<bool> {
    Ok(known_network::Entity::find_by_id(network_hash).count(conn).await.db()? > 0)
}

pub async fn know_network(tx: &Tx, network_hash: &str, user_id: &str) -> Result<()> {
    let network = known_network::ActiveModel {
        network_hash: Set(network_hash.to_owned()),
        user_id: Set(user_id.to_owned()),
        last_used_time: Set(micros(tx.now())),
    };
    let again = OnConflict::column(known_network::Column::NetworkHash)
        .update_column(known_network::Column::LastUsedTime)
        .to_owned();
    known_network::Entity::insert(network).on_conflict(again).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// What opens a person's sessions, and where they were used. The rows stay until they expire: they say that the
/// sessions have ended.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    let theirs =
        row::Entity::find().select_only().column(row::Column::SessionId).filter(row::Column::UserId.eq(user_id));
    let theirs = refresh_token::Column::SessionId.in_subquery(theirs.into_query());
    refresh_token::Entity::delete_many().filter(theirs).exec(tx).await.db()?;
    known_network::Entity::delete_many().filter(known_network::Column::UserId.eq(user_id)).exec(tx).await.db()?;
    row::Entity::update_many()
        .col_expr(row::Column::UserAgent, Expr::value(Vec::<u8>::new()))
        .col_expr(row::Column::Address, Expr::value(Vec::<u8>::new()))
        .filter(row::Column::UserId.eq(user_id))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}

/// Forgets networks not seen since `before`.
pub async fn sweep_networks(tx: &Tx, before: Time) -> Result<()> {
    let old = known_network::Column::LastUsedTime.lt(micros(before));
    known_network::Entity::delete_many().filter(old).exec(tx).await.db()?;
    Ok(())
}
