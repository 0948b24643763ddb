//! The cache without Redis, with one, and with one that dies; two [`cache::Cache`]s stand for two processes.

#[path = "it/alone.rs"]
mod alone;
#[path = "it/broken.rs"]
mod broken;
#[path = "it/shared.rs"]
mod shared;

use cache::{Cache, CacheConfig};
use jangteo_core::{Error, Result};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const TTL: Duration = Duration::from_secs(60);

/// A cache on `redis`, under keys of its own. Patient: a busy machine is no fault of Redis.
fn open(redis: Option<&str>, prefix: &str) -> Cache {
    open_with(redis, prefix, 2_000)
}

fn open_with(redis: Option<&str>, prefix: &str, timeout_ms: u64) -> Cache {
    let (redis, prefix) = (redis.map(str::to_owned), prefix.to_owned());
    Cache::new(&CacheConfig { redis, prefix, timeout_ms, ..CacheConfig::default() }).unwrap()
}

/// A prefix that no other test and no other run has.
fn fresh() -> String {
    use std::hash::BuildHasher;
    format!("t{:x}", std::hash::RandomState::new().hash_one(0))
}

async fn up(cache: &Cache) {
    until("redis is up", async || cache.healthy()).await;
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < Duration::from_secs(15), "{what}: not within 15 s");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The truth: one row that is its own version, and how often it was read. An `i64` is a message by itself.
#[derive(Clone, Default)]
struct Row {
    value: Arc<AtomicI64>,
    loads: Arc<AtomicUsize>,
}

impl Row {
    fn new(value: i64) -> Self {
        let row = Row::default();
        row.value.store(value, Ordering::SeqCst);
        row
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    async fn load(&self, pause: Duration) -> Result<i64> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let value = self.value.load(Ordering::SeqCst);
        tokio::time::sleep(pause).await;
        if value == 0 { Err(Error::not_found("row", "r")) } else { Ok(value) }
    }

    async fn get(&self, cache: &Cache) -> Result<i64> {
        self.slow(cache, Duration::ZERO).await
    }

    async fn slow(&self, cache: &Cache, pause: Duration) -> Result<i64> {
        cache.get_or_load("row", TTL, |v: &i64| *v, self.load(pause)).await
    }

    /// Commit, then evict.
    fn write(&self, cache: &Cache, value: i64) {
        self.value.store(value, Ordering::SeqCst);
        cache.evict("row", value);
    }
}
