//! Carts and wishlists: what people mean to buy, and guests before they sign in.
//!
//! Owns: carts (a person's, a guest's by token, shared copies by token) and wishes. What they cost and whether they can
//! be had is the catalogue's to say, each time they are read.
//! Carts are rows with an expiry and not in Redis: Redis lost = slower, never wrong, and a lost cart is wrong.
//! Calls: catalog (`GetOffers`). Emits: nothing. Listens to: order's `OrderPlaced`, auth's `AccountErased`.

mod api;
pub mod domain;
mod events;
mod migrations;
mod store;

pub use migrations::MIGRATIONS;

use jangteo_core::{PageTokens, Result};
use kit::{
    Boot, Mount, Service,
    db::{Db, Migrations},
};
use proto::jangteo::{cart::v1::cart_service, catalog::v1::catalog_service};
use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a guest's cart is kept after its last use.
    pub guest_ttl_secs: u64,
    /// How long a shared copy can be looked at.
    pub share_ttl_secs: u64,
    /// How long a reader waits for the catalogue before the cart is answered without it.
    pub offers_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Config { guest_ttl_secs: 30 * DAY, share_ttl_secs: 30 * DAY, offers_timeout_ms: 1000 }
    }
}

pub struct Carts {
    db: Db,
    pages: PageTokens,
    catalog: catalog_service::Client,
    guest_ttl: Duration,
    share_ttl: Duration,
    offers_timeout: Duration,
}

impl Carts {
    pub fn new(db: Db, pages: PageTokens, catalog: catalog_service::Client, config: &Config) -> Self {
        Carts {
            db,
            pages,
            catalog,
            guest_ttl: Duration::from_secs(config.guest_ttl_secs),
            share_ttl: Duration::from_secs(config.share_ttl_secs),
            offers_timeout: Duration::from_millis(config.offers_timeout_ms),
        }
    }
}

impl Service for Carts {
    const NAME: &'static str = "cart";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        Ok(Carts::new(cx.db(), cx.page_tokens(), cx.peer()?, cx.config()))
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc(cart_service::routes)
            .on(Self::order_placed)
            .forget(Self::forget)
            .every("expire", Duration::from_secs(60), Self::expire)
            .check("carts", Self::check_carts);
    }
}
