//! Mails that wait to be sent, and the tokens in those that were.
//!
//! A waiting mail holds no token: one is made when the mail is sent, so none is ever stored readable. It holds no
//! address either but its look-up hash; whether anybody is behind it turns out when it is sent. So asking for a mail
//! does the same work for known and unknown addresses.

use crate::domain::{self, mail::Kind, secret::Purpose};
use jangteo_core::{Id, Result, Time, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};

mod row {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "mail")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub mail_id: String,
        pub email_hash: String,
        pub kind: String,
        pub due_time: i64,
        pub attempts: i64,
    }
    impl ActiveModelBehavior for ActiveModel {}
}

mod token {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "mail_token")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub token_hash: String,
        pub user_id: String,
        pub purpose: String,
        pub expire_time: i64,
    }
    impl ActiveModelBehavior for ActiveModel {}
}

/// A mail that waits.
pub struct Waiting {
    pub mail_id: String,
    pub email_hash: String,
    /// `None`: of a version that this one doesn't know.
    pub kind: Option<Kind>,
    pub attempts: u32,
}

/// Puts a mail in the queue; it leaves within a second or two of the commit.
pub async fn enqueue(tx: &Tx, email_hash: &str, kind: Kind) -> Result<()> {
    let mail = row::ActiveModel {
        mail_id: Set(Id::<domain::Mail>::new().to_string()),
        email_hash: Set(email_hash.to_owned()),
        kind: Set(kind.name().to_owned()),
        due_time: Set(micros(tx.now())),
        attempts: Set(0),
    };
    row::Entity::insert(mail).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Mails whose time has come, the oldest first.
pub async fn due<C: ConnectionTrait>(conn: &C, now: Time, limit: u64) -> Result<Vec<Waiting>> {
    let rows = row::Entity::find()
        .filter(row::Column::DueTime.lte(micros(now)))
        .order_by_asc(row::Column::DueTime)
        .order_by_asc(row::Column::MailId)
        .limit(limit)
        .all(conn)
        .await
        .db()?;
    Ok(rows
        .into_iter()
        .map(|m| Waiting {
            kind: Kind::from_name(&m.kind),
            mail_id: m.mail_id,
            email_hash: m.email_hash,
            attempts: u32::try_from(m.attempts).unwrap_or(0),
        })
        .collect())
}

/// Counts an attempt and says when the next one is due, should this one fail. `false`: another replica is at it.
pub async fn attempt(tx: &Tx, seen: &Waiting, next: Time) -> Result<bool> {
    let update = row::Entity::update_many()
        .filter(row::Column::MailId.eq(&seen.mail_id))
        .filter(row::Column::Attempts.eq(i64::from(seen.attempts)))
        .col_expr(row::Column::Attempts, Expr::value(i64::from(seen.attempts) + 1))
        .col_expr(row::Column::DueTime, Expr::value(micros(next)));
    Ok(update.exec(tx).await.db()?.rows_affected == 1)
}

/// The mail has left, or never will.
pub async fn done(tx: &Tx, mail_id: &str) -> Result<()> {
    row::Entity::delete_by_id(mail_id).exec(tx).await.db()?;
    Ok(())
}

pub async fn add_token(tx: &Tx, purpose: Purpose, token_hash: &str, user_id: &str, expire_time: Time) -> Result<()> {
    let token = token::ActiveModel {
        token_hash: Set(token_hash.to_owned()),
        user_id: Set(user_id.to_owned()),
        purpose: Set(purpose.name().to_owned()),
        expire_time: Set(micros(expire_time)),
    };
    token::Entity::insert(token).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Whose token it is, while it is good.
pub async fn token_owner<C: ConnectionTrait>(
    conn: &C,
    purpose: Purpose,
    token_hash: &str,
    now: Time,
) -> Result<Option<String>> {
    let token = token::Entity::find_by_id(token_hash)
        .filter(token::Column::Purpose.eq(purpose.name()))
        .filter(token::Column::ExpireTime.gt(micros(now)))
        .one(conn)
        .await
        .db()?;
    Ok(token.map(|t| t.user_id))
}

/// Spends a token. `false`: somebody else did.
pub async fn spend_token(tx: &Tx, token_hash: &str) -> Result<bool> {
    Ok(token::Entity::delete_by_id(token_hash).exec(tx).await.db()?.rows_affected == 1)
}

/// Makes a person's other tokens of a purpose worthless.
pub async fn drop_tokens(tx: &Tx, user_id: &str, purpose: Purpose) -> Result<()> {
    token::Entity::delete_many()
        .filter(token::Column::UserId.eq(user_id))
        .filter(token::Column::Purpose.eq(purpose.name()))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}

/// A person's tokens, and mails that wait for them.
pub async fn forget(tx: &Tx, user_id: &str, email_hash: &str) -> Result<()> {
    token::Entity::delete_many().filter(token::Column::UserId.eq(user_id)).exec(tx).await.db()?;
    row::Entity::delete_many().filter(row::Column::EmailHash.eq(email_hash)).exec(tx).await.db()?;
    Ok(())
}

/// Forgets tokens that expired.
pub async fn sweep_tokens(tx: &Tx) -> Result<()> {
    let expired = token::Column::ExpireTime.lte(micros(tx.now()));
    token::Entity::delete_many().filter(expired).exec(tx).await.db()?;
    Ok(())
}
