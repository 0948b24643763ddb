//! Search: products in Korean and English, suggestions while typing, and what people search for.
//!
//! Owns: a row a document, made of others' events (`store/document.rs`); indexes of these rows, one a kind and replica
//! (`engine.rs`), which can be deleted and are built again beside the one that serves; synonyms; counts of queries. What a kind
//! of documents is stands in one file (`kinds/product.rs`).
//! Calls: catalog (`ListCategories`, for filters by category). Emits: nothing. Listens to: catalog's product events,
//! order's `OrderPlaced`, `OrderPaid`, `OrderCancelled` (how much a product is wanted).
//!
//! # Metrics
//!
//! | name | labels | counts |
//! | --- | --- | --- |
//! | `search_index_lag_seconds` | `kind` | from the fact to when it can be found |
//! | `search_index_commit_seconds` | `kind` | reading, writing and committing of one batch of changes |
//! | `search_documents` | `kind` | documents in the index that serves |
//! | `search_rebuilds_total` | `kind` | indexes built from all rows |
//! | `search_seconds` | `kind`, `matching` | searches |
//! | `search_suggest_seconds` | `kind` | completions |

mod api;
mod check;
pub mod domain;
pub mod engine;
pub mod events;
pub mod kinds;
mod migrations;
pub mod store;

pub use migrations::MIGRATIONS;

use arc_swap::ArcSwap;
use domain::{ranking::Ranking, synonym::Synonyms};
use engine::Shelf;
use jangteo_core::{Clock, Error, PageTokens, Result};
use kit::{
    Boot, Mount, Service,
    cache::{Cache, Counter},
    db::{Db, Migrations},
};
use proto::jangteo::{catalog::v1::catalog_service, search::v1::search_service};
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::Notify;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the indexes lie, one process a folder. Unset: beside the embedded market's data, or else in a temporary folder
    /// that goes with the process. They can be deleted at any time.
    pub dir: Option<PathBuf>,
    /// The least pause between two commits of an index.
    pub commit_ms: u64,
    /// How often changes by other processes are looked for.
    pub poll_ms: u64,
    /// How often an index is compared with its rows as a whole, and built anew when it differs.
    pub audit_secs: u64,
    /// How many days query counts are kept.
    pub analytics_days: i64,
    /// A query is suggested to others when it was asked so often.
    pub suggest_min_searches: i64,
    pub ranking: Ranking,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dir: None,
            commit_ms: 100,
            poll_ms: 200,
            audit_secs: 3600,
            analytics_days: 90,
            suggest_min_searches: 3,
            ranking: Ranking::default(),
        }
    }
}

pub struct Search {
    db: Db,
    cache: Cache,
    pages: PageTokens,
    clock: Arc<dyn Clock>,
    catalog: catalog_service::Client,
    config: Config,
    ranking: Arc<Ranking>,
    shelves: Vec<Arc<Shelf>>,
    synonyms: ArcSwap<Synonyms>,
    /// Queries to suggest, the most frequent first.
    popular: ArcSwap<Vec<String>>,
    /// Query counts not yet written.
    queries: Counter,
    /// Rows changed in this process.
    changed: Arc<Notify>,
    /// Synonyms changed in this process.
    reworded: Arc<Notify>,
    /// Holds the indexes where nothing else does.
    _temporary: Option<TempDir>,
}

/// What [`Search`] is made of.
pub struct Parts {
    pub db: Db,
    pub cache: Cache,
    pub pages: PageTokens,
    pub clock: Arc<dyn Clock>,
    pub catalog: catalog_service::Client,
    pub config: Config,
    /// Where an embedded market keeps its files.
    pub data: Option<PathBuf>,
}

impl Search {
    /// Opens what indexes there are. They are fed by [`Search::index`].
    pub fn new(parts: Parts) -> Result<Self> {
        let Parts { db, cache, pages, clock, catalog, config, data } = parts;
        let (dir, temporary) = folder(&config, data.as_deref())?;
        let shelves = kinds::KINDS.iter().map(|kind| Ok(Arc::new(Shelf::open(kind, &dir)?))).collect::<Result<_>>()?;
        Ok(Search {
            queries: cache.counter("queries"),
            ranking: Arc::new(config.ranking.clone()),
            synonyms: ArcSwap::from_pointee(Synonyms::with(&[])),
            popular: ArcSwap::default(),
            changed: Arc::default(),
            reworded: Arc::default(),
            _temporary: temporary,
            db,
            cache,
            pages,
            clock,
            catalog,
            config,
            shelves,
        })
    }

    pub fn shelf(&self, kind: &str) -> &Arc<Shelf> {
        self.shelves.iter().find(|s| s.kind.name == kind).expect("a kind of the list")
    }

    fn wake_after(&self, tx: &kit::db::Tx) {
        let changed = self.changed.clone();
        tx.after_commit(move || changed.notify_one());
    }
}

fn folder(config: &Config, data: Option<&Path>) -> Result<(PathBuf, Option<TempDir>)> {
    if let Some(dir) = config.dir.clone().or_else(|| data.map(|d| d.join("search"))) {
        return Ok((dir, None));
    }
    let temporary = tempfile::Builder::new().prefix("jangteo-search-").tempdir().map_err(Error::internal)?;
    Ok((temporary.path().to_owned(), Some(temporary)))
}

impl Service for Search {
    const NAME: &'static str = "search";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        Search::new(Parts {
            db: cx.db(),
            cache: cx.cache(),
            pages: cx.page_tokens(),
            clock: cx.clock(),
            catalog: cx.peer()?,
            config: cx.config().clone(),
            data: cx.data_dir().map(Path::to_owned),
        })
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc(search_service::routes)
            .on(Self::product_created)
            .on(Self::product_updated)
            .on(Self::product_status_changed)
            .on(Self::product_stock_changed)
            .on(Self::product_deleted)
            .on(Self::order_placed)
            .on(Self::order_paid)
            .on(Self::order_cancelled)
            .always("index", Self::index)
            .always("words", Self::words)
            .every("flush-queries", Duration::from_secs(3), Self::flush_queries)
            .every("forget-queries", Duration::from_secs(3600), Self::forget_queries)
            .check("index", Self::check_indexes)
            .check("rows", Self::check_rows);
    }
}
