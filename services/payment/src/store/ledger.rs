//! The ledger's accounts and transfers.

use super::rows;
use crate::domain::ledger::{Account, Balance, Book, CURRENCY, Overdrawn, Side, Transfer};
use jangteo_core::{Error, Page, Result, micros};
use kit::db::{self, Db, DbResult, Key, Paged, Tx};
use sea_orm::{
    ActiveValue::Set,
    Condition, ConnectionTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: String,
    pub kind: String,
    pub owner: String,
    pub currency: String,
    pub normal_side: String,
    pub no_overdraft: bool,
    pub rolled_up: bool,
    pub debits_posted: i64,
    pub credits_posted: i64,
    pub debits_pending: i64,
    pub credits_pending: i64,
    pub create_time: i64,
}

rows!();

impl Model {
    pub fn balance(&self) -> Balance {
        Balance {
            debits_posted: self.debits_posted.into(),
            credits_posted: self.credits_posted.into(),
            debits_pending: self.debits_pending.into(),
            credits_pending: self.credits_pending.into(),
        }
    }
}

pub mod transfer {
    use super::super::rows;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "transfer")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub transfer_id: String,
        pub phase: String,
        pub pending_id: Option<String>,
        pub debit_account: String,
        pub credit_account: String,
        pub amount: i64,
        pub currency: String,
        pub reason: String,
        pub reference: String,
        pub create_time: i64,
    }

    rows!(insert);
}

/// What an account that is rolled up has still to be debited and credited with.
pub mod delta {
    use super::super::rows;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "account_delta")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub transfer_id: String,
        pub debit: i64,
        pub credit: i64,
    }

    rows!(insert);
}

/// Makes the transfers, all or none. The accounts are made when they are missing, and locked in the order of their ids.
pub async fn post(tx: &Tx, transfers: &[Transfer]) -> Result<Result<(), Overdrawn>> {
    if transfers.is_empty() {
        return Ok(Ok(()));
    }
    let touched: BTreeSet<&Account> = transfers.iter().flat_map(|t| [&t.debit, &t.credit]).collect();
    let mut book = lock(tx, &touched).await?;
    let before = book.clone();
    if let Err(overdrawn) = book.apply(transfers)? {
        return Ok(Err(overdrawn));
    }
    for (account, balance) in &book.0 {
        if !account.kind.rolled_up() && before.0.get(account) != Some(balance) {
            write(tx, account, balance).await?;
        }
    }
    for t in transfers {
        let row = transfer::Model {
            transfer_id: t.transfer_id.clone(),
            phase: t.phase.name().to_owned(),
            pending_id: t.phase.ends().map(str::to_owned),
            debit_account: t.debit.id(),
            credit_account: t.credit.id(),
            amount: t.amount,
            currency: CURRENCY.to_owned(),
            reason: t.reason.to_owned(),
            reference: t.reference.clone(),
            create_time: micros(tx.now()),
        };
        transfer::insert(tx, row).await?;
        for (account, debit, credit) in [(&t.debit, t.amount, 0), (&t.credit, 0, t.amount)] {
            if account.kind.rolled_up() {
                let (account_id, transfer_id) = (account.id(), t.transfer_id.clone());
                delta::insert(tx, delta::Model { account_id, transfer_id, debit, credit }).await?;
            }
        }
    }
    Ok(Ok(()))
}

/// As [`post`], where an overdraft would be a mistake of ours.
pub async fn must_post(tx: &Tx, transfers: &[Transfer]) -> Result<()> {
    let overdrawn = |o: Overdrawn| {
        Error::internal(format!("{} {} has only {}", o.account.kind.name(), o.account.owner, o.available))
    };
    post(tx, transfers).await?.map_err(overdrawn)
}

async fn lock(tx: &Tx, accounts: &BTreeSet<&Account>) -> Result<Book> {
    let by_id: BTreeMap<String, &Account> = accounts.iter().map(|a| (a.id(), *a)).collect();
    let known = Entity::find().filter(Column::AccountId.is_in(by_id.keys())).select_only().column(Column::AccountId);
    let known: BTreeSet<String> = known.into_tuple().all(tx).await.db()?.into_iter().collect();
    for (id, account) in by_id.iter().filter(|(id, _)| !known.contains(*id)) {
        let fresh = ActiveModel {
            account_id: Set(id.clone()),
            kind: Set(account.kind.name().to_owned()),
            owner: Set(account.owner.clone()),
            currency: Set(CURRENCY.to_owned()),
            normal_side: Set(account.kind.normal().name().to_owned()),
            no_overdraft: Set(account.kind.no_overdraft()),
            rolled_up: Set(account.kind.rolled_up()),
            debits_posted: Set(0),
            credits_posted: Set(0),
            debits_pending: Set(0),
            credits_pending: Set(0),
            create_time: Set(micros(tx.now())),
        };
        let conflict = OnConflict::column(Column::AccountId).do_nothing().to_owned();
        Entity::insert(fresh).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    }
    let hot: Vec<_> = by_id.iter().filter(|(_, a)| !a.kind.rolled_up()).map(|(id, _)| id).collect();
    let rows = Entity::find().filter(Column::AccountId.is_in(hot)).order_by_asc(Column::AccountId).lock_exclusive();
    let rows = rows.all(tx).await.db()?;
    Ok(Book(rows.into_iter().map(|row| (by_id[&row.account_id].clone(), row.balance())).collect()))
}

async fn write(tx: &Tx, account: &Account, balance: &Balance) -> Result<()> {
    let narrow = |n: i128| i64::try_from(n).map_err(|_| Error::internal(format!("{} outgrew 64 bits", account.id())));
    let update = ActiveModel {
        debits_posted: Set(narrow(balance.debits_posted)?),
        credits_posted: Set(narrow(balance.credits_posted)?),
        debits_pending: Set(narrow(balance.debits_pending)?),
        credits_pending: Set(narrow(balance.credits_pending)?),
        ..Default::default()
    };
    Entity::update_many().set(update).filter(Column::AccountId.eq(account.id())).exec(tx).await.db()?;
    Ok(())
}

/// Adds up to `limit` of the waiting amounts to their accounts; returns how many.
pub async fn roll_up(tx: &Tx, limit: u64) -> Result<usize> {
    let order = delta::Entity::find().order_by_asc(delta::Column::AccountId).order_by_asc(delta::Column::TransferId);
    let rows = order.limit(limit).all(tx).await.db()?;
    let mut by_account = BTreeMap::<&str, (i64, i64, Vec<&str>)>::new();
    for row in &rows {
        let sum = by_account.entry(&row.account_id).or_default();
        sum.0 = sum.0.checked_add(row.debit).ok_or_else(|| Error::internal("a sum outgrew 64 bits"))?;
        sum.1 = sum.1.checked_add(row.credit).ok_or_else(|| Error::internal("a sum outgrew 64 bits"))?;
        sum.2.push(&row.transfer_id);
    }
    for (account_id, (debit, credit, transfers)) in by_account {
        Entity::update_many()
            .col_expr(Column::DebitsPosted, Expr::col(Column::DebitsPosted).add(debit))
            .col_expr(Column::CreditsPosted, Expr::col(Column::CreditsPosted).add(credit))
            .filter(Column::AccountId.eq(account_id))
            .exec(tx)
            .await
            .db()?;
        let done = delta::Entity::delete_many().filter(delta::Column::AccountId.eq(account_id));
        done.filter(delta::Column::TransferId.is_in(transfers)).exec(tx).await.db()?;
    }
    Ok(rows.len())
}

/// The balance of an account that is not rolled up; all 0 when there never was any.
pub async fn balance<C: ConnectionTrait>(conn: &C, account: &Account) -> Result<Balance> {
    Ok(Entity::find_by_id(account.id()).one(conn).await.db()?.map_or_else(Balance::default, |row| row.balance()))
}

/// What may be moved away from an account that is not rolled up, in won.
pub async fn available<C: ConnectionTrait>(conn: &C, account: &Account) -> Result<i64> {
    let available = balance(conn, account).await?.available(account.kind.normal());
    i64::try_from(available).map_err(Error::internal)
}

/// Owner and posted won of those of `accounts` that exist; none of them rolled up.
pub async fn posted<C: ConnectionTrait>(conn: &C, accounts: &[Account]) -> Result<Vec<(String, i64)>> {
    let ids: Vec<_> = accounts.iter().map(Account::id).collect();
    let rows = Entity::find().filter(Column::AccountId.is_in(ids)).all(conn).await.db()?;
    rows.into_iter()
        .map(|row| Ok((row.owner.clone(), i64::try_from(row.balance().posted(Side::Credit)).map_err(Error::internal)?)))
        .collect()
}

/// The owners of `kind`'s accounts with at least `least` won to move, behind `after`.
pub async fn owners_with<C: ConnectionTrait>(
    conn: &C,
    kind: &str,
    least: i64,
    after: &str,
    limit: u64,
) -> Result<Vec<String>> {
    let available =
        Expr::col(Column::CreditsPosted).sub(Expr::col(Column::DebitsPosted)).sub(Expr::col(Column::DebitsPending));
    let select =
        Entity::find().filter(Column::Kind.eq(kind)).filter(Column::Owner.gt(after)).filter(available.gte(least));
    select
        .select_only()
        .column(Column::Owner)
        .order_by_asc(Column::Owner)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await
        .db()
}

/// A page of what moved in and out of an account, the newest first.
pub async fn moves(db: &Db, account: &Account, page: &Page) -> Result<Paged<transfer::Model>> {
    use transfer::Column as C;
    let id = account.id();
    let select = transfer::Entity::find()
        .filter(Condition::any().add(C::DebitAccount.eq(&id)).add(C::CreditAccount.eq(&id)))
        .filter(C::Phase.is_in(["SINGLE", "POST"]));
    let keys = [Key::desc(C::CreateTime), Key::desc(C::TransferId)];
    db::page(db.primary(), select, page, &keys, |row| vec![row.create_time.to_string(), row.transfer_id.clone()]).await
}
