//! Addresses. `sealed` is an `Address` message of which the personal fields alone are filled.

use super::Sealed;
use crate::domain::address::HOME;
use jangteo_core::{Error, Result, from_micros, micros};
use kit::db::{DbResult, Tx, crypt::PersonKey};
use proto::jangteo::user::v1::Address;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryFilter, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "address")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub address_id: String,
    pub user_id: String,
    pub sealed: Vec<u8>,
    pub is_default: bool,
    /// The version of the last event.
    pub version: i64,
    pub create_time: i64,
    pub update_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

const SEALED: Sealed = Sealed("address", "sealed");

fn seal(key: &PersonKey, a: &Address) -> Result<Vec<u8>> {
    let personal = Address {
        label: a.label.clone(),
        recipient: a.recipient.clone(),
        phone_number: a.phone_number.clone(),
        postal_code: a.postal_code.clone(),
        line1: a.line1.clone(),
        line2: a.line2.clone(),
        country_code: a.country_code.clone(),
        ..Address::default()
    };
    SEALED.seal(key, &personal)
}

fn open(key: &PersonKey, row: Model) -> Result<Address> {
    let mut personal: Address = SEALED.open(key, &row.sealed)?;
    if personal.country_code.is_empty() {
        personal.country_code = HOME.to_owned();
    }
    Ok(Address {
        address_id: row.address_id,
        is_default: row.is_default,
        create_time: Some(proto::timestamp(from_micros(row.create_time))),
        update_time: Some(proto::timestamp(from_micros(row.update_time))),
        etag: row.version.to_string(),
        ..personal
    })
}

/// All of a person's.
pub async fn all<C: ConnectionTrait>(conn: &C, key: &PersonKey, user_id: &str) -> Result<Vec<Address>> {
    let rows = Entity::find().filter(Column::UserId.eq(user_id)).all(conn).await.db()?;
    rows.into_iter().map(|row| open(key, row)).collect()
}

/// A person's own; somebody else's does not exist for them.
pub async fn find<C: ConnectionTrait>(conn: &C, key: &PersonKey, user_id: &str, address_id: &str) -> Result<Address> {
    let row = Entity::find_by_id(address_id).filter(Column::UserId.eq(user_id)).one(conn).await.db()?;
    open(key, row.ok_or_else(|| Error::not_found("address", address_id))?)
}

pub async fn insert(tx: &Tx, key: &PersonKey, user_id: &str, a: Address) -> Result<Address> {
    let now = tx.now();
    let row = ActiveModel {
        address_id: Set(a.address_id.clone()),
        user_id: Set(user_id.to_owned()),
        sealed: Set(seal(key, &a)?),
        is_default: Set(a.is_default),
        version: Set(1),
        create_time: Set(micros(now)),
        update_time: Set(micros(now)),
    };
    Entity::insert(row).exec_without_returning(tx).await.db()?;
    let time = Some(proto::timestamp(now));
    Ok(Address { create_time: time, update_time: time, etag: "1".to_owned(), ..a })
}

/// Writes a changed address as `version`.
pub async fn update(tx: &Tx, key: &PersonKey, a: Address, version: i64) -> Result<Address> {
    let now = tx.now();
    let row = ActiveModel {
        address_id: Set(a.address_id.clone()),
        sealed: Set(seal(key, &a)?),
        is_default: Set(a.is_default),
        version: Set(version),
        update_time: Set(micros(now)),
        ..Default::default()
    };
    Entity::update_many().set(row).filter(Column::AddressId.eq(&a.address_id)).exec(tx).await.db()?;
    Ok(Address { update_time: Some(proto::timestamp(now)), etag: version.to_string(), ..a })
}

pub async fn delete(tx: &Tx, address_id: &str) -> Result<()> {
    Entity::delete_by_id(address_id).exec(tx).await.db()?;
    Ok(())
}

/// All of a person's.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(tx).await.db()?;
    Ok(())
}
