//! Devices that push notices come to. Tokens are sealed; one is found by its keyed hash.

use crate::domain;
use jangteo_core::{Id, Page, Result, from_micros, micros};
use kit::db::{
    self, Db, DbResult, Key, Paged, Tx,
    crypt::{PersonKey, Sealer},
};
use proto::jangteo::notification::v1::{Device, PushService};
use sea_orm::{ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "device")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub device_id: String,
    pub user_id: String,
    pub push_service: i64,
    pub token_hash: String,
    pub sealed: Vec<u8>,
    pub register_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// So many devices are enough for anybody.
pub const MAX: u64 = 20;

impl Model {
    pub fn push_service(&self) -> PushService {
        i32::try_from(self.push_service).ok().and_then(|n| n.try_into().ok()).unwrap_or_default()
    }

    pub fn token(&self, key: &PersonKey) -> Result<String> {
        key.open_text("device", "sealed", &self.sealed)
    }

    pub fn into_wire(self) -> Device {
        Device {
            push_service: self.push_service().into(),
            device_id: self.device_id,
            register_time: Some(proto::timestamp(from_micros(self.register_time))),
        }
    }
}

/// The device of a token, the person's from now on. The same device keeps its id.
pub async fn register(
    tx: &Tx,
    sealer: &Sealer,
    user_id: &str,
    push_service: PushService,
    token: &str,
) -> Result<Model> {
    let token_hash = sealer.keyring().lookup_hash("device", "token", token);
    let known = Entity::find().filter(Column::TokenHash.eq(&token_hash)).one(tx).await.db()?;
    let own = known.as_ref().filter(|d| d.user_id == user_id).map(|d| d.device_id.clone());
    if known.is_some() {
        Entity::delete_many().filter(Column::TokenHash.eq(&token_hash)).exec(tx).await.db()?;
    }
    let key = sealer.person(tx, user_id).await?;
    let row = Model {
        device_id: own.unwrap_or_else(|| Id::<domain::Device>::new().to_string()),
        user_id: user_id.to_owned(),
        push_service: i32::from(push_service).into(),
        token_hash,
        sealed: key.seal("device", "sealed", token.as_bytes())?,
        register_time: micros(tx.now()),
    };
    Entity::insert(ActiveModel::from(row.clone()).reset_all()).exec_without_returning(tx).await.db()?;
    let newest = of(tx, user_id).await?;
    let too_old: Vec<String> = newest.into_iter().skip(MAX as usize).map(|d| d.device_id).collect();
    if !too_old.is_empty() {
        Entity::delete_many().filter(Column::DeviceId.is_in(too_old)).exec(tx).await.db()?;
    }
    Ok(row)
}

/// A person's, the last registered first.
pub async fn of<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::UserId.eq(user_id));
    let newest = select.order_by_desc(Column::RegisterTime).order_by_desc(Column::DeviceId);
    newest.limit(MAX + 1).all(conn).await.db()
}

pub async fn page(db: &Db, user_id: &str, page: &Page) -> Result<Paged<Model>> {
    let select = Entity::find().filter(Column::UserId.eq(user_id));
    let keys = [Key::desc(Column::RegisterTime), Key::desc(Column::DeviceId)];
    let of = |row: &Model| vec![row.register_time.to_string(), row.device_id.clone()];
    db::page(db.primary(), select, page, &keys, of).await
}

/// Forgets a person's own device. `false`: they have none of that id.
pub async fn remove(tx: &Tx, user_id: &str, device_id: &str) -> Result<bool> {
    let own = Entity::delete_by_id(device_id).filter(Column::UserId.eq(user_id));
    Ok(own.exec(tx).await.db()?.rows_affected == 1)
}

/// All of a person's.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(tx).await.db()?;
    Ok(())
}
