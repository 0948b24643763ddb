//! Profiles. `sealed` is a `Profile` message of which the personal fields alone are filled.

use super::Sealed;
use crate::domain;
use jangteo_core::{Result, from_micros, micros};
use kit::db::{
    DbResult, Tx,
    crypt::{PersonKey, Sealer},
};
use proto::jangteo::{
    auth::v1::Account,
    user::v1::{Profile, ProfileCreated},
};
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryFilter, entity::prelude::*, sea_query::OnConflict};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "profile")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    pub sealed: Vec<u8>,
    pub region_id: String,
    pub locale: String,
    /// The version of the last event.
    pub version: i64,
    /// When the person registered.
    pub create_time: i64,
    pub update_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

const SEALED: Sealed = Sealed("profile", "sealed");

fn seal(key: &PersonKey, p: &Profile) -> Result<Vec<u8>> {
    let personal = Profile {
        display_name: p.display_name.clone(),
        bio: p.bio.clone(),
        real_name: p.real_name.clone(),
        phone_number: p.phone_number.clone(),
        ..Profile::default()
    };
    SEALED.seal(key, &personal)
}

fn open(key: &PersonKey, row: Model) -> Result<Profile> {
    let personal: Profile = SEALED.open(key, &row.sealed)?;
    Ok(Profile {
        user_id: row.user_id,
        region_id: row.region_id,
        locale: row.locale,
        create_time: Some(proto::timestamp(from_micros(row.create_time))),
        update_time: Some(proto::timestamp(from_micros(row.update_time))),
        etag: row.version.to_string(),
        ..personal
    })
}

/// What is known of a person here.
pub enum Found {
    Profile(Box<Profile>),
    /// Their event has not arrived yet, or they never registered.
    Nothing,
    /// Their key is destroyed.
    Erased,
}

pub async fn find<C: ConnectionTrait>(conn: &C, sealer: &Sealer, user_id: &str) -> Result<Found> {
    let Some(row) = Entity::find_by_id(user_id).one(conn).await.db()? else { return Ok(Found::Nothing) };
    match sealer.find(conn, user_id).await? {
        Some(key) => Ok(Found::Profile(Box::new(open(&key, row)?))),
        None => Ok(Found::Erased),
    }
}

/// Writes the profile that an account begins with, unless there is one.
pub async fn create(tx: &Tx, sealer: &Sealer, account: &Account) -> Result<()> {
    let p = domain::profile::first(account);
    let registered = p.create_time.as_ref().map_or(tx.now(), proto::time);
    let key = sealer.person(tx, &p.user_id).await?;
    let row = ActiveModel {
        user_id: Set(p.user_id.clone()),
        sealed: Set(seal(&key, &p)?),
        region_id: Set(p.region_id.clone()),
        locale: Set(p.locale.clone()),
        version: Set(1),
        create_time: Set(micros(registered)),
        update_time: Set(micros(registered)),
    };
    let conflict = OnConflict::column(Column::UserId).do_nothing().to_owned();
    if Entity::insert(row).on_conflict(conflict).exec_without_returning(tx).await.db()? == 0 {
        return Ok(());
    }
    let event = ProfileCreated { user_id: p.user_id, create_time: Some(proto::timestamp(registered)) };
    tx.append(&event.user_id, 0, std::slice::from_ref(&event)).await?;
    Ok(())
}

/// Writes a changed profile as `version`.
pub async fn update(tx: &Tx, key: &PersonKey, p: Profile, version: i64) -> Result<Profile> {
    let now = tx.now();
    let row = ActiveModel {
        user_id: Set(p.user_id.clone()),
        sealed: Set(seal(key, &p)?),
        region_id: Set(p.region_id.clone()),
        locale: Set(p.locale.clone()),
        version: Set(version),
        update_time: Set(micros(now)),
        ..Default::default()
    };
    Entity::update_many().set(row).filter(Column::UserId.eq(&p.user_id)).exec(tx).await.db()?;
    Ok(Profile { update_time: Some(proto::timestamp(now)), etag: version.to_string(), ..p })
}

pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    Entity::delete_by_id(user_id).exec(tx).await.db()?;
    Ok(())
}
