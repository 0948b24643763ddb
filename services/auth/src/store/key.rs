//! Signing keys. The private half is sealed with a data key of its own, under the platform's master key.

use crate::domain::{keys::KeyTime, token::Signer};
use jangteo_core::{Error, Result, Time, from_micros, micros};
use kit::db::{DbResult, Tx, crypt::Sealer};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use zeroize::Zeroizing;

const TABLE: &str = "signing_key";
/// The "person" whose data key seals signing keys.
const OWNER: &str = "signing-keys";

mod row {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "signing_key")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub kid: String,
        pub public_key: Vec<u8>,
        pub private_key: Vec<u8>,
        pub publish_time: i64,
        pub sign_time: i64,
    }
    impl ActiveModelBehavior for ActiveModel {}
}

/// A published key, its private half still sealed.
#[derive(Clone)]
pub struct StoredKey(row::Model);

impl StoredKey {
    pub fn time(&self) -> KeyTime {
        KeyTime { sign_time: from_micros(self.0.sign_time), kid: self.0.kid.clone() }
    }
    pub fn kid(&self) -> &str {
        &self.0.kid
    }
    pub fn public_key(&self) -> &[u8] {
        &self.0.public_key
    }
}

pub async fn all<C: ConnectionTrait>(conn: &C) -> Result<Vec<StoredKey>> {
    let mut keys: Vec<_> = row::Entity::find().all(conn).await.db()?.into_iter().map(StoredKey).collect();
    keys.sort_by_key(StoredKey::time);
    Ok(keys)
}

pub async fn signer<C: ConnectionTrait>(conn: &C, sealer: &Sealer, key: &StoredKey) -> Result<Signer> {
    let owner =
        sealer.find(conn, OWNER).await?.ok_or_else(|| Error::internal("the data key of the signing keys is gone"))?;
    let seed = Zeroizing::new(owner.open(TABLE, &key.0.kid, &key.0.private_key)?);
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed.as_slice()).map_err(Error::internal)?);
    Signer::new(&key.0.kid, &seed)
}

pub async fn add(tx: &Tx, sealer: &Sealer, kid: &str, seed: &[u8; 32], sign_time: Time) -> Result<()> {
    let owner = sealer.person(tx, OWNER).await?;
    let key = row::ActiveModel {
        kid: Set(kid.to_owned()),
        public_key: Set(Signer::new(kid, seed)?.public_key().to_vec()),
        // The column's name binds a sealed key to its own row.
        private_key: Set(owner.seal(TABLE, kid, seed)?),
        publish_time: Set(micros(tx.now())),
        sign_time: Set(micros(sign_time)),
    };
    row::Entity::insert(key).exec_without_returning(tx).await.db()?;
    Ok(())
}

pub async fn remove(tx: &Tx, kids: &[String]) -> Result<()> {
    row::Entity::delete_many().filter(row::Column::Kid.is_in(kids.iter().map(String::as_str))).exec(tx).await.db()?;
    Ok(())
}
