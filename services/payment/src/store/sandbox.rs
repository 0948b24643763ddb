//! The sandbox's own books. Only the sandbox writes them; the checks read them to compare.

use super::rows;
use jangteo_core::Result;
use kit::db::{DbResult, Tx};
use sea_orm::{ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*};

pub mod card {
    use super::super::rows;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sandbox_card")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub token: String,
        pub scenario: String,
    }

    rows!(insert);
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sandbox_charge")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    pub provider_ref: String,
    pub order_id: String,
    pub amount: i64,
    pub scenario: String,
    /// PENDING, ACTION_REQUIRED, AUTHORISED, CAPTURED, VOIDED or DECLINED.
    pub state: String,
    pub decline_reason: String,
    pub checkout_token: String,
    pub return_url: String,
    pub capture_time: i64,
    pub create_time: i64,
}

rows!(insert, save);

pub mod refund {
    use super::super::rows;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sandbox_refund")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub provider: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub charge_key: String,
        pub amount: i64,
        pub create_time: i64,
    }

    rows!(insert);
}

pub mod payout {
    use super::super::rows;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sandbox_payout")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub provider: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        pub amount: i64,
        pub create_time: i64,
    }

    rows!(insert);
}

pub mod webhook {
    use super::super::rows;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "sandbox_webhook")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub event_id: String,
        pub provider: String,
        pub charge_key: String,
        pub provider_ref: String,
        /// As `state` of the charge.
        pub standing: String,
        pub decline_reason: String,
        pub copies: i64,
        pub due: i64,
    }

    rows!(insert, save);
}

pub async fn scenario<C: ConnectionTrait>(conn: &C, token: &str) -> Result<Option<String>> {
    Ok(card::Entity::find_by_id(token).one(conn).await.db()?.map(|c| c.scenario))
}

pub async fn forget(tx: &Tx, token: &str) -> Result<()> {
    card::Entity::delete_by_id(token).exec(tx).await.db().map(drop)
}

pub async fn find<C: ConnectionTrait>(conn: &C, provider: &str, key: &str) -> Result<Option<Model>> {
    Entity::find_by_id((provider.to_owned(), key.to_owned())).one(conn).await.db()
}

pub async fn locked(tx: &Tx, provider: &str, key: &str) -> Result<Option<Model>> {
    Entity::find_by_id((provider.to_owned(), key.to_owned())).lock_exclusive().one(tx).await.db()
}

pub async fn at_checkout<C: ConnectionTrait>(conn: &C, provider: &str, token: &str) -> Result<Option<Model>> {
    let select = Entity::find().filter(Column::CheckoutToken.eq(token)).filter(Column::Provider.eq(provider));
    select.one(conn).await.db()
}

pub async fn captured<C: ConnectionTrait>(conn: &C, provider: &str, from: i64, to: i64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Provider.eq(provider)).filter(Column::CaptureTime.gte(from.max(1)));
    select.filter(Column::CaptureTime.lt(to)).all(conn).await.db()
}

pub async fn refunds<C: ConnectionTrait>(conn: &C, provider: &str, from: i64, to: i64) -> Result<Vec<refund::Model>> {
    use refund::Column as C;
    let select = refund::Entity::find().filter(C::Provider.eq(provider)).filter(C::CreateTime.gte(from));
    select.filter(C::CreateTime.lt(to)).all(conn).await.db()
}

/// All that was given back of a charge.
pub async fn refunds_of<C: ConnectionTrait>(conn: &C, provider: &str, charge_key: &str) -> Result<Vec<refund::Model>> {
    use refund::Column as C;
    let select = refund::Entity::find().filter(C::Provider.eq(provider)).filter(C::ChargeKey.eq(charge_key));
    select.all(conn).await.db()
}

pub async fn paid<C: ConnectionTrait>(conn: &C, provider: &str, key: &str) -> Result<bool> {
    let id = (provider.to_owned(), key.to_owned());
    Ok(payout::Entity::find_by_id(id).one(conn).await.db()?.is_some())
}

pub async fn payouts<C: ConnectionTrait>(conn: &C, provider: &str, from: i64, to: i64) -> Result<Vec<payout::Model>> {
    use payout::Column as C;
    let select = payout::Entity::find().filter(C::Provider.eq(provider)).filter(C::CreateTime.gte(from));
    select.filter(C::CreateTime.lt(to)).all(conn).await.db()
}

/// Webhooks that are to be sent by now, the oldest first.
pub async fn webhooks<C: ConnectionTrait>(
    conn: &C,
    provider: &str,
    now: i64,
    limit: u64,
) -> Result<Vec<webhook::Model>> {
    use webhook::Column as C;
    let select = webhook::Entity::find().filter(C::Provider.eq(provider)).filter(C::Due.lte(now));
    select.order_by_asc(C::Due).order_by_asc(C::EventId).limit(limit).all(conn).await.db()
}

/// A copy of a webhook has arrived.
pub async fn sent(tx: &Tx, row: webhook::Model, again: i64) -> Result<()> {
    if row.copies > 1 {
        let copies = row.copies - 1;
        return webhook::save(tx, webhook::Model { copies, due: again, ..row }).await;
    }
    webhook::Entity::delete_by_id(row.event_id).exec(tx).await.db()?;
    Ok(())
}
