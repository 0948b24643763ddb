//! Payouts and where they go. Account numbers and holders are sealed.

use super::rows;
use crate::domain::won;
use jangteo_core::{Error, Page, Result, from_micros, micros};
use kit::db::{self, Db, DbResult, Key, Paged, Tx, crypt::PersonKey};
use proto::jangteo::payment::v1 as wire;
use sea_orm::{
    ConnectionTrait, QueryFilter, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};
use zeroize::Zeroizing;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payout")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub payout_id: String,
    pub user_id: String,
    pub amount: i64,
    /// Number of the proto's enum.
    pub status: i64,
    pub provider: String,
    pub bank: String,
    pub last4: String,
    pub sealed: Vec<u8>,
    pub due: i64,
    pub tries: i64,
    pub done_time: i64,
    pub create_time: i64,
    pub update_time: i64,
}

rows!(insert, save);

pub mod account {
    use super::super::rows;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "payout_account")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
        pub bank: String,
        pub last4: String,
        pub sealed: Vec<u8>,
        pub update_time: i64,
    }

    rows!();
}

impl Model {
    pub fn status(&self) -> wire::PayoutStatus {
        i32::try_from(self.status).ok().and_then(|n| n.try_into().ok()).unwrap_or_default()
    }

    pub fn set_status(&mut self, status: wire::PayoutStatus) {
        self.status = i32::from(status).into();
    }
}

impl From<Model> for wire::Payout {
    fn from(row: Model) -> Self {
        wire::Payout {
            payout_id: row.payout_id,
            amount: Some(won(row.amount)),
            status: i32::try_from(row.status).unwrap_or(0),
            last4: row.last4,
            create_time: Some(proto::timestamp(from_micros(row.create_time))),
            update_time: Some(proto::timestamp(from_micros(row.update_time))),
        }
    }
}

impl From<account::Model> for wire::PayoutAccount {
    fn from(row: account::Model) -> Self {
        let update_time = Some(proto::timestamp(from_micros(row.update_time)));
        wire::PayoutAccount { bank: row.bank, last4: row.last4, update_time }
    }
}

/// Number and holder, for the person's key alone.
pub fn seal(key: &PersonKey, number: &str, holder: &str) -> Result<Vec<u8>> {
    let plain = Zeroizing::new(format!("{number}\u{1f}{holder}"));
    key.seal("payout_account", "sealed", plain.as_bytes())
}

/// Number and holder again.
pub fn open(key: &PersonKey, sealed: &[u8]) -> Result<(Zeroizing<String>, String)> {
    let plain = Zeroizing::new(key.open_text("payout_account", "sealed", sealed)?);
    let (number, holder) = plain.split_once('\u{1f}').ok_or_else(|| Error::internal("a payout account is damaged"))?;
    Ok((Zeroizing::new(number.to_owned()), holder.to_owned()))
}

pub async fn account_of<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<Option<account::Model>> {
    account::Entity::find_by_id(user_id).one(conn).await.db()
}

pub async fn put_account(tx: &Tx, row: account::Model) -> Result<()> {
    use account::Column as C;
    let conflict =
        OnConflict::column(C::UserId).update_columns([C::Bank, C::Last4, C::Sealed, C::UpdateTime]).to_owned();
    let fresh = account::ActiveModel::from(row).reset_all();
    account::Entity::insert(fresh).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Where a person's money went: the account, and what of it is noted beside each payout.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    account::Entity::delete_by_id(user_id).exec(tx).await.db()?;
    Entity::update_many()
        .col_expr(Column::Last4, Expr::value(""))
        .col_expr(Column::Sealed, Expr::value(Vec::<u8>::new()))
        .filter(Column::UserId.eq(user_id))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}

pub async fn find<C: ConnectionTrait>(conn: &C, payout_id: &str) -> Result<Model> {
    let row = Entity::find_by_id(payout_id).one(conn).await.db()?;
    row.ok_or_else(|| Error::not_found("payout", payout_id))
}

pub async fn locked(tx: &Tx, payout_id: &str) -> Result<Model> {
    let row = Entity::find_by_id(payout_id).lock_exclusive().one(tx).await.db()?;
    row.ok_or_else(|| Error::not_found("payout", payout_id))
}

pub async fn change(tx: &Tx, row: Model) -> Result<()> {
    save(tx, Model { update_time: micros(tx.now()), ..row }).await
}

pub async fn due<C: ConnectionTrait>(conn: &C, now: i64, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Due.gt(0)).filter(Column::Due.lte(now));
    select.order_by_asc(Column::Due).limit(limit).all(conn).await.db()
}

/// What of a person's money no provider has paid out yet.
pub async fn pending<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<i64> {
    let open = Column::Status.eq(i64::from(i32::from(wire::PayoutStatus::Pending)));
    let rows = Entity::find().filter(Column::UserId.eq(user_id)).filter(open).all(conn).await.db()?;
    Ok(rows.iter().map(|row| row.amount).sum())
}

/// Those that a provider paid in a time.
pub async fn done<C: ConnectionTrait>(conn: &C, provider: &str, from: i64, to: i64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Provider.eq(provider)).filter(Column::DoneTime.gte(from.max(1)));
    select.filter(Column::DoneTime.lt(to)).all(conn).await.db()
}

/// A page of a person's payouts, the newest first.
pub async fn page(db: &Db, user_id: &str, page: &Page) -> Result<Paged<Model>> {
    let select = Entity::find().filter(Column::UserId.eq(user_id));
    let keys = [Key::desc(Column::CreateTime), Key::desc(Column::PayoutId)];
    db::page(db.primary(), select, page, &keys, |row| vec![row.create_time.to_string(), row.payout_id.clone()]).await
}
