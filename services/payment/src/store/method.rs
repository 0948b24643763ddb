//! Registered cards: what may be kept of them, and each provider's token.

use super::rows;
use jangteo_core::{Error, Result, from_micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::payment::v1 as wire;
use sea_orm::{ConnectionTrait, PaginatorTrait, QueryFilter, QueryOrder, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "method")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub payment_method_id: String,
    pub user_id: String,
    pub brand: String,
    pub last4: String,
    pub expiry_month: i64,
    pub expiry_year: i64,
    pub deleted: bool,
    pub create_time: i64,
}

rows!(insert, save);

pub mod token {
    use super::super::rows;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "method_token")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub payment_method_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub provider: String,
        pub token: String,
        pub fingerprint: String,
    }

    rows!(insert);
}

impl Model {
    /// `VISA ····4242`
    pub fn label(&self) -> String {
        format!("{} ····{}", self.brand, self.last4)
    }
}

impl From<Model> for wire::PaymentMethod {
    fn from(row: Model) -> Self {
        wire::PaymentMethod {
            payment_method_id: row.payment_method_id,
            brand: row.brand,
            last4: row.last4,
            expiry_month: i32::try_from(row.expiry_month).unwrap_or(0),
            expiry_year: i32::try_from(row.expiry_year).unwrap_or(0),
            create_time: Some(proto::timestamp(from_micros(row.create_time))),
        }
    }
}

/// A person's own; somebody else's does not exist for them.
pub async fn find<C: ConnectionTrait>(conn: &C, user_id: &str, payment_method_id: &str) -> Result<Model> {
    let own =
        Entity::find_by_id(payment_method_id).filter(Column::UserId.eq(user_id)).filter(Column::Deleted.eq(false));
    own.one(conn).await.db()?.ok_or_else(|| Error::not_found("payment_method", payment_method_id))
}

pub async fn all<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<Vec<Model>> {
    let own = Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::Deleted.eq(false));
    own.order_by_desc(Column::CreateTime).order_by_desc(Column::PaymentMethodId).all(conn).await.db()
}

pub async fn count<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<u64> {
    Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::Deleted.eq(false)).count(conn).await.db()
}

pub async fn tokens<C: ConnectionTrait>(conn: &C, payment_method_id: &str) -> Result<Vec<token::Model>> {
    token::Entity::find().filter(token::Column::PaymentMethodId.eq(payment_method_id)).all(conn).await.db()
}

/// All of a person's cards, and their providers' tokens. What was paid keeps its label.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    let own = Entity::find().filter(Column::UserId.eq(user_id)).all(tx).await.db()?;
    let ids: Vec<_> = own.into_iter().map(|row| row.payment_method_id).collect();
    token::Entity::delete_many().filter(token::Column::PaymentMethodId.is_in(ids)).exec(tx).await.db()?;
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(tx).await.db()?;
    Ok(())
}

/// The same card of the same person, when it is registered already.
pub async fn twin<C: ConnectionTrait>(
    conn: &C,
    user_id: &str,
    provider: &str,
    fingerprint: &str,
) -> Result<Option<Model>> {
    let same = token::Entity::find().filter(token::Column::Provider.eq(provider));
    let same = same.filter(token::Column::Fingerprint.eq(fingerprint)).all(conn).await.db()?;
    let ids: Vec<_> = same.into_iter().map(|t| t.payment_method_id).collect();
    let own = Entity::find().filter(Column::PaymentMethodId.is_in(ids)).filter(Column::UserId.eq(user_id));
    own.filter(Column::Deleted.eq(false)).one(conn).await.db()
}
