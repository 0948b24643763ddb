//! Accounts and their recovery codes.

use crate::domain::{person, totp::State};
use jangteo_core::{Error, Result, from_micros, micros};
use kit::db::{
    DbResult, Tx,
    crypt::{PersonKey, Sealer},
};
use proto::jangteo::{auth::v1 as pb, options::v1::Role};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter,
    sea_query::{Expr, OnConflict, SimpleExpr},
};

const TABLE: &str = "account";

mod row {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "account")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
        pub email_hash: String,
        pub email: Vec<u8>,
        pub display_name: Vec<u8>,
        pub locale: String,
        pub password_hash: String,
        pub password_time: i64,
        pub roles: String,
        pub verify_time: Option<i64>,
        pub totp_state: i64,
        pub totp_secret: Option<Vec<u8>>,
        pub totp_step: i64,
        pub create_time: i64,
    }
    impl ActiveModelBehavior for ActiveModel {}
}

mod recovery_code {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "recovery_code")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub code_hash: String,
        pub user_id: String,
    }
    impl ActiveModelBehavior for ActiveModel {}
}

/// An account as stored: personal data and secrets still sealed.
pub struct Account(row::Model);

/// What a new account starts with.
pub struct NewAccount<'a> {
    pub user_id: &'a str,
    pub email_hash: &'a str,
    pub email: &'a str,
    pub display_name: &'a str,
    pub locale: &'a str,
    pub password_hash: &'a str,
    pub roles: &'a [Role],
}

impl Account {
    pub fn user_id(&self) -> &str {
        &self.0.user_id
    }
    pub fn email_hash(&self) -> &str {
        &self.0.email_hash
    }
    pub fn locale(&self) -> &str {
        &self.0.locale
    }
    pub fn password_hash(&self) -> &str {
        &self.0.password_hash
    }
    pub fn roles(&self) -> Vec<Role> {
        person::roles(&self.0.roles)
    }
    pub fn is_verified(&self) -> bool {
        self.0.verify_time.is_some()
    }
    pub fn totp(&self) -> State {
        State::from_row(self.0.totp_state)
    }
    pub fn email(&self, key: &PersonKey) -> Result<String> {
        key.open_text(TABLE, "email", &self.0.email)
    }
    pub fn display_name(&self, key: &PersonKey) -> Result<String> {
        key.open_text(TABLE, "display_name", &self.0.display_name)
    }
    /// `None`: none was prepared.
    pub fn totp_secret(&self, key: &PersonKey) -> Result<Option<Vec<u8>>> {
        self.0.totp_secret.as_deref().map(|s| key.open(TABLE, "totp_secret", s)).transpose()
    }

    pub fn to_proto(&self, key: &PersonKey) -> Result<pb::Account> {
        Ok(pb::Account {
            user_id: self.0.user_id.clone(),
            email: self.email(key)?,
            display_name: self.display_name(key)?,
            locale: self.0.locale.clone(),
            email_verified: self.is_verified(),
            totp_enabled: self.totp() == State::On,
            roles: person::role_numbers(&self.roles()),
            create_time: Some(proto::timestamp(from_micros(self.0.create_time))),
        })
    }
}

pub async fn find<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<Option<Account>> {
    Ok(row::Entity::find_by_id(user_id).one(conn).await.db()?.map(Account))
}

/// The account, or NOT_FOUND.
pub async fn get<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<Account> {
    find(conn, user_id).await?.ok_or_else(|| Error::not_found("user", user_id))
}

pub async fn by_email<C: ConnectionTrait>(conn: &C, email_hash: &str) -> Result<Option<Account>> {
    let select = row::Entity::find().filter(row::Column::EmailHash.eq(email_hash));
    Ok(select.one(conn).await.db()?.map(Account))
}

/// The key to an account's sealed values. A person who was erased can't sign in or be asked about.
pub async fn person_key<C: ConnectionTrait>(conn: &C, sealer: &Sealer, user_id: &str) -> Result<PersonKey> {
    sealer.find(conn, user_id).await?.ok_or_else(|| Error::not_found("user", user_id))
}

/// `false`: the address got an account meanwhile.
pub async fn insert(tx: &Tx, key: &PersonKey, new: &NewAccount<'_>) -> Result<bool> {
    let now = micros(tx.now());
    let account = row::ActiveModel {
        user_id: Set(new.user_id.to_owned()),
        email_hash: Set(new.email_hash.to_owned()),
        email: Set(key.seal(TABLE, "email", new.email.as_bytes())?),
        display_name: Set(key.seal(TABLE, "display_name", new.display_name.as_bytes())?),
        locale: Set(new.locale.to_owned()),
        password_hash: Set(new.password_hash.to_owned()),
        password_time: Set(now),
        roles: Set(person::roles_row(new.roles)),
        verify_time: Set(None),
        totp_state: Set(State::Off as i64),
        totp_secret: Set(None),
        totp_step: Set(0),
        create_time: Set(now),
    };
    let unless_taken = OnConflict::column(row::Column::EmailHash).do_nothing().to_owned();
    let inserted = row::Entity::insert(account).on_conflict(unless_taken).exec_without_returning(tx).await.db()?;
    Ok(inserted == 1)
}

/// The same password under newer parameters. Does nothing when the password changed meanwhile.
pub async fn rehash(tx: &Tx, user_id: &str, from: &str, to: &str) -> Result<()> {
    let only = row::Column::PasswordHash.eq(from);
    update(tx, user_id, only, [(row::Column::PasswordHash, Expr::value(to))]).await?;
    Ok(())
}

/// `false`: the password is no longer the one under `from`.
pub async fn set_password(tx: &Tx, user_id: &str, from: &str, to: &str) -> Result<bool> {
    let set =
        [(row::Column::PasswordHash, Expr::value(to)), (row::Column::PasswordTime, Expr::value(micros(tx.now())))];
    update(tx, user_id, row::Column::PasswordHash.eq(from), set).await
}

/// `false`: the address was proven before.
pub async fn set_verified(tx: &Tx, user_id: &str) -> Result<bool> {
    let set = [(row::Column::VerifyTime, Expr::value(micros(tx.now())))];
    update(tx, user_id, row::Column::VerifyTime.is_null(), set).await
}

pub async fn set_roles(tx: &Tx, user_id: &str, roles: &[Role]) -> Result<()> {
    update(tx, user_id, always(), [(row::Column::Roles, Expr::value(person::roles_row(roles)))]).await?;
    Ok(())
}

/// How many people have a role.
pub async fn count_role<C: ConnectionTrait>(conn: &C, role: Role) -> Result<u64> {
    // No role's name is part of another's.
    row::Entity::find().filter(row::Column::Roles.contains(person::role_name(role))).count(conn).await.db()
}

/// Keeps a secret that is not confirmed yet. `false`: the second factor is on already.
pub async fn prepare_totp(tx: &Tx, key: &PersonKey, user_id: &str, secret: &[u8]) -> Result<bool> {
    let set = [
        (row::Column::TotpState, Expr::value(State::Prepared as i64)),
        (row::Column::TotpSecret, Expr::value(key.seal(TABLE, "totp_secret", secret)?)),
        (row::Column::TotpStep, Expr::value(0i64)),
    ];
    update(tx, user_id, row::Column::TotpState.ne(State::On as i64), set).await
}

/// Starts the protection by the secret that `seen` was read with, with the first accepted code. `false`: somebody else
/// did, or that secret is no longer the one that is prepared.
pub async fn enable_totp(tx: &Tx, seen: &Account, step: i64) -> Result<bool> {
    let set = [(row::Column::TotpState, Expr::value(State::On as i64)), (row::Column::TotpStep, Expr::value(step))];
    let prepared = row::Column::TotpState.eq(State::Prepared as i64);
    let same = row::Column::TotpSecret.eq(seen.0.totp_secret.clone());
    update(tx, seen.user_id(), prepared.and(same), set).await
}

/// Accepts the code of `step`, once. `false`: it, or a later one, was accepted before.
pub async fn spend_totp(tx: &Tx, user_id: &str, step: i64) -> Result<bool> {
    let unused = row::Column::TotpState.eq(State::On as i64).and(row::Column::TotpStep.lt(step));
    update(tx, user_id, unused, [(row::Column::TotpStep, Expr::value(step))]).await
}

/// `false`: there was no second factor.
pub async fn disable_totp(tx: &Tx, user_id: &str) -> Result<bool> {
    let set = [
        (row::Column::TotpState, Expr::value(State::Off as i64)),
        (row::Column::TotpSecret, Expr::value(Option::<Vec<u8>>::None)),
    ];
    let off = update(tx, user_id, row::Column::TotpState.ne(State::Off as i64), set).await?;
    set_recovery_codes(tx, user_id, &[]).await?;
    Ok(off)
}

/// Replaces all recovery codes.
pub async fn set_recovery_codes(tx: &Tx, user_id: &str, code_hashes: &[String]) -> Result<()> {
    let mine = recovery_code::Column::UserId.eq(user_id);
    recovery_code::Entity::delete_many().filter(mine).exec(tx).await.db()?;
    let rows = code_hashes
        .iter()
        .map(|h| recovery_code::ActiveModel { code_hash: Set(h.clone()), user_id: Set(user_id.to_owned()) });
    if !code_hashes.is_empty() {
        recovery_code::Entity::insert_many(rows).exec_without_returning(tx).await.db()?;
    }
    Ok(())
}

/// Spends a recovery code: how many are left, or `None` when it is wrong or was spent before.
pub async fn spend_recovery_code(tx: &Tx, user_id: &str, code_hash: &str) -> Result<Option<u64>> {
    let mine = recovery_code::Column::UserId.eq(user_id);
    let this = recovery_code::Column::CodeHash.eq(code_hash);
    let spent = recovery_code::Entity::delete_many().filter(mine.clone()).filter(this).exec(tx).await.db()?;
    match spent.rows_affected {
        0 => Ok(None),
        _ => Ok(Some(recovery_code::Entity::find().filter(mine).count(tx).await.db()?)),
    }
}

fn always() -> SimpleExpr {
    Expr::value(1i64).eq(1i64)
}

/// An account with all that opens it. The address is free again.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    let mine = recovery_code::Column::UserId.eq(user_id);
    recovery_code::Entity::delete_many().filter(mine).exec(tx).await.db()?;
    row::Entity::delete_by_id(user_id).exec(tx).await.db()?;
    Ok(())
}

async fn update<const N: usize>(
    tx: &Tx,
    user_id: &str,
    only: SimpleExpr,
    set: [(row::Column, SimpleExpr); N],
) -> Result<bool> {
    let mut update = row::Entity::update_many().filter(row::Column::UserId.eq(user_id)).filter(only);
    for (column, value) in set {
        update = update.col_expr(column, value);
    }
    Ok(update.exec(tx).await.db()?.rows_affected == 1)
}
