//! The catalogue: products with their stock and what is held of it, likes, views and history, the category tree, the regions.
//!
//! Owns: products (in six regional shards; a product's id names its shard), likes, and categories (in the
//! first database). A product's row is the fold of its events: both are written in one transaction, and the row's
//! version is the version of its last event. Units that are held for orders lie beside it, in the same database.
//! Calls: media (`CheckMedia`). Emits: `ProductCreated`, `ProductUpdated`, `ProductStatusChanged`, `ProductStockChanged`,
//! `ProductDeleted`, `CategoryCreated`. Listens to: auth's `AccountErased`.

mod api;
mod checks;
pub mod domain;
mod events;
mod migrations;
pub mod store;

pub use migrations::MIGRATIONS;

use jangteo_core::{PageTokens, Result};
use kit::{
    Boot, Mount, Service,
    cache::{Cache, Counter},
    db::{Db, Migrations, Shards},
};
use proto::jangteo::{catalog::v1::catalog_service, media::v1::media_service};
use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a read may be answered from the cache. Changes evict at once; this bounds what a lost message costs.
    pub cache_secs: u64,
    /// How long a view count may be answered from the cache, and what a lost message costs of what is available.
    pub counts_secs: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { cache_secs: 300, counts_secs: 5 }
    }
}

pub struct Catalog {
    /// Where categories and the claims of request ids are.
    home: Db,
    shards: Shards,
    cache: Cache,
    /// Views not yet written, by product.
    views: Counter,
    pages: PageTokens,
    media: media_service::Client,
    ttl: Duration,
    counts_ttl: Duration,
}

impl Catalog {
    /// The first of the shards' databases is the home of what has no shard.
    pub fn new(shards: Shards, cache: Cache, pages: PageTokens, media: media_service::Client, config: &Config) -> Self {
        let home = shards.dbs()[0].clone();
        let views = cache.counter("views");
        let (ttl, counts_ttl) = (Duration::from_secs(config.cache_secs), Duration::from_secs(config.counts_secs));
        Catalog { home, shards, cache, views, pages, media, ttl, counts_ttl }
    }
}

impl Service for Catalog {
    const NAME: &'static str = "catalog";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        let shards = cx.shards(domain::region::COUNT)?;
        Ok(Catalog::new(shards, cx.cache(), cx.page_tokens(), cx.peer()?, cx.config()))
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc(catalog_service::routes)
            .forget(Self::forget)
            .every("flush-views", Duration::from_secs(3), Self::flush_views)
            .every("fold-likes", Duration::from_secs(1), Self::fold_likes)
            .every("expire-holds", Duration::from_secs(1), Self::expire_holds)
            .check("stock", Self::check_stock);
    }
}
