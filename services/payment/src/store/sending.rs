//! Refunds on their way to providers that know no keys.

use super::rows;
use jangteo_core::{Result, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{
    ConnectionTrait, QueryFilter, QueryOrder,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sending")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    pub charge_key: String,
    /// Whole won, as all amounts.
    pub left_before: i64,
    pub left_after: i64,
    /// Microseconds since 1970; 0: it was not sent.
    pub sent_time: i64,
    /// How often the provider said no.
    pub refusals: i64,
    /// OPEN, DONE or REFUSED.
    pub state: String,
}

rows!();

pub async fn find<C: ConnectionTrait>(conn: &C, provider: &str, key: &str) -> Result<Option<Model>> {
    Entity::find_by_id((provider.to_owned(), key.to_owned())).one(conn).await.db()
}

/// Opens a refund's row; `false` where another refund of the charge is open.
pub async fn open(tx: &Tx, provider: &str, key: &str, charge_key: &str) -> Result<bool> {
    let row = Model {
        provider: provider.to_owned(),
        key: key.to_owned(),
        charge_key: charge_key.to_owned(),
        left_before: 0,
        left_after: 0,
        sent_time: 0,
        refusals: 0,
        state: "OPEN".to_owned(),
    };
    let fresh = ActiveModel::from(row).reset_all();
    let conflict = OnConflict::new().do_nothing().to_owned();
    Entity::insert(fresh).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    Ok(find(tx, provider, key).await?.is_some())
}

/// What the last refund that was done has left of a charge.
pub async fn left<C: ConnectionTrait>(conn: &C, provider: &str, charge_key: &str) -> Result<Option<i64>> {
    let of = Entity::find().filter(Column::Provider.eq(provider)).filter(Column::ChargeKey.eq(charge_key));
    let last = of.filter(Column::State.eq("DONE")).order_by_asc(Column::LeftAfter).one(conn).await.db()?;
    Ok(last.map(|row| row.left_after))
}

/// Notes that `row` is sent now; `false` when somebody else did so since it was read, or closed it.
pub async fn send(tx: &Tx, row: &Model) -> Result<bool> {
    let sent = Entity::update_many()
        .col_expr(Column::LeftBefore, Expr::value(row.left_before))
        .col_expr(Column::LeftAfter, Expr::value(row.left_after))
        .col_expr(Column::SentTime, Expr::value(micros(tx.now())))
        .filter(Column::Provider.eq(&row.provider))
        .filter(Column::Key.eq(&row.key))
        .filter(Column::SentTime.eq(row.sent_time))
        .filter(Column::State.eq("OPEN"));
    Ok(sent.exec(tx).await.db()?.rows_affected == 1)
}

/// Counts a no of the provider's.
pub async fn refused(tx: &Tx, provider: &str, key: &str) -> Result<()> {
    let more = sea_orm::ExprTrait::add(Expr::col(Column::Refusals), 1);
    let counted = Entity::update_many().col_expr(Column::Refusals, more);
    let counted = counted.filter(Column::Provider.eq(provider)).filter(Column::Key.eq(key));
    counted.exec(tx).await.db().map(drop)
}

pub async fn close(tx: &Tx, provider: &str, key: &str, state: &str) -> Result<()> {
    let closed = Entity::update_many().col_expr(Column::State, Expr::value(state));
    let closed = closed.filter(Column::Provider.eq(provider)).filter(Column::Key.eq(key));
    closed.filter(Column::State.eq("OPEN")).exec(tx).await.db().map(drop)
}
