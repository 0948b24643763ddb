//! People as they show themselves: profiles, addresses, consents, points.
//!
//! Owns: all four, with everything personal sealed by a key of the person's own. A profile begins with auth's
//! `UserRegistered`; until that event has arrived, reads are answered from the account itself.
//! Calls: auth (`GetAccount`). Emits: `ProfileCreated`, `ProfileUpdated`, `AddressCreated`, `AddressUpdated`,
//! `AddressDeleted`, `ConsentDecided`, `PointsAdjusted`. Listens to: auth's `UserRegistered`, `AccountErased`.

mod api;
pub mod domain;
mod events;
mod migrations;
mod store;

pub use migrations::MIGRATIONS;

use jangteo_core::{PageTokens, Result};
use kit::{
    Boot, Mount, Service,
    db::{
        Db, Migrations,
        crypt::{Keyring, Sealer},
    },
};
use proto::jangteo::{auth::v1::auth_service, user::v1::user_service};
use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

pub struct Users {
    db: Db,
    sealer: Sealer,
    pages: PageTokens,
    auth: auth_service::Client,
}

impl Users {
    pub fn new(db: Db, keyring: Keyring, pages: PageTokens, auth: auth_service::Client) -> Self {
        Users { db, sealer: Sealer::new(keyring), pages, auth }
    }
}

impl Service for Users {
    const NAME: &'static str = "user";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        Ok(Users::new(cx.db(), cx.keyring(), cx.page_tokens(), cx.peer()?))
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc(user_service::routes).on(Self::user_registered).forget(Self::forget);
    }
}
