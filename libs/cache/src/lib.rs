//! Caching that may be slow but not wrong: an L1 in memory, an L2 in Redis, one load for all who ask at once.
//!
//! A writer calls [`Cache::evict`] after its commit with the version that it wrote. That leaves a *tombstone*: for a
//! while nothing below that version is kept or served, so a slow load can't put back what it read before the commit.
//! The tombstone stands in this process at once, in Redis and in the other processes (by a Redis channel) within
//! milliseconds.
//!
//! What holds when Redis fails:
//! - While the channel is down (noticed within a second) the L1 is not used, since evictions may be missed; entries
//!   from before a reconnect are never trusted again.
//! - Values in Redis belong to one run of the server: a restart from an old snapshot brings none of them back.
//! - An eviction that Redis didn't take is sent again until it does, before Redis is read again.
//! - No call waits for Redis longer than [`CacheConfig::timeout_ms`]; after a failure none asks for a while.
//!
//! Two things are bounded by the time to live alone, because no cache can prevent them: a process that dies between
//! its commit and the eviction, and one that is cut off from Redis while others are not.
//!
//! Besides cached reads: values with a time to live, counts, and rate limits, all local to this process where there
//! is no Redis.
//!
//! # Metrics
//!
//! | name | labels | counts |
//! | --- | --- | --- |
//! | `cache_requests_total` | `tier` | reads, by the tier that answered |
//! | `cache_redis_errors_total` | | calls to Redis that failed or timed out |
//! | `cache_redis_up` | | 1 while Redis and its channel are usable |
//! | `cache_evictions_pending` | | evictions that Redis has not taken yet |

mod count;
mod flight;
mod memory;
mod redis;
mod tasks;
mod window;

pub use count::{Counter, Drained};
pub use window::Taken;

use bytes::Bytes;
use count::Counts;
use flight::Flights;
use jangteo_core::{Error, Result};
use memory::{Local, Memory};
use prost::Message;
use redis::Redis;
use serde::Deserialize;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Notify, task::AbortHandle};
use window::Windows;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// `redis://`, `rediss://` or `redis-sentinel://`: one server, or one with standbys. Unset: this process alone.
    pub redis: Option<String>,
    /// The prefix of every key in Redis.
    pub prefix: String,
    /// The size of the L1.
    pub memory_bytes: u64,
    /// Connections to Redis.
    pub pool: usize,
    /// No call waits longer for Redis.
    pub timeout_ms: u64,
    /// Longer times to live of cached reads are cut to this.
    pub max_ttl_secs: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            redis: None,
            prefix: "jangteo".into(),
            memory_bytes: 64 << 20,
            pool: 2,
            timeout_ms: 40,
            max_ttl_secs: 3600,
        }
    }
}

/// A cheap handle; the last one ends the background tasks.
#[derive(Clone)]
pub struct Cache {
    owner: Arc<Owner>,
    scope: Arc<str>,
}

struct Owner {
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

struct Shared {
    memory: Memory,
    flights: Flights,
    redis: Option<Redis>,
    values: Local<Bytes>,
    windows: Windows,
    counts: Counts,
    max_ttl: Duration,
    /// Wakes the task that sends evictions.
    evicted: Notify,
}

impl Cache {
    /// Starts the background tasks, so it needs a tokio runtime. Doesn't wait for Redis; fails on an unreadable URL.
    pub fn new(cfg: &CacheConfig) -> Result<Cache> {
        let redis = cfg.redis.as_deref().map(|url| Redis::new(url, cfg)).transpose()?;
        let shared = Arc::new(Shared {
            memory: Memory::new(cfg.memory_bytes, redis.is_none()),
            flights: Flights::default(),
            values: Local::new(cfg.memory_bytes, |v: &Bytes| v.len()),
            windows: Windows::new(),
            counts: Counts::default(),
            max_ttl: Duration::from_secs(cfg.max_ttl_secs),
            evicted: Notify::new(),
            redis,
        });
        Ok(Cache { owner: Arc::new(Owner { tasks: tasks::start(&shared), shared }), scope: "".into() })
    }

    /// The same stores, under `name:`. Scopes of scopes nest.
    pub fn scope(&self, name: &str) -> Cache {
        Cache { owner: self.owner.clone(), scope: format!("{}{name}:", self.scope).into() }
    }

    fn shared(&self) -> &Shared {
        &self.owner.shared
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.scope)
    }

    /// The cached value of `key`, or what `load` gives. All who ask at once share one load and its outcome; errors
    /// are not cached. A call that begins after an [`evict`](Self::evict) here never gets a load begun before it.
    pub async fn get_or_load<T, F>(&self, key: &str, ttl: Duration, version_of: fn(&T) -> i64, load: F) -> Result<T>
    where
        T: Message + Default + Clone,
        F: Future<Output = Result<T>>,
    {
        let (s, key) = (self.shared(), self.key(key));
        if let Some(bytes) = s.memory.get(&key).await
            && let Ok(value) = T::decode(bytes)
        {
            hit("memory");
            return Ok(value);
        }
        let ticket = s.flights.join(&key);
        let ttl = ttl.min(s.max_ttl);
        let out = ticket.outcome(|| self.fill(&key, ttl, version_of, load)).await;
        T::decode(out?).map_err(Error::internal)
    }

    async fn fill<T, F>(&self, key: &str, ttl: Duration, version_of: fn(&T) -> i64, load: F) -> Result<Bytes>
    where
        T: Message + Default,
        F: Future<Output = Result<T>>,
    {
        let s = self.shared();
        // Another flight may have landed between the first look and this one's start.
        if let Some(bytes) = s.memory.get(key).await
            && T::decode(bytes.clone()).is_ok()
        {
            hit("memory");
            return Ok(bytes);
        }
        let (begun, epoch) = (Instant::now(), s.memory.epoch());
        if let (Some(redis), Some(_)) = (&s.redis, epoch)
            && let Some(found) = redis.fetch(key).await
            && s.memory.admits(key, found.version)
            && T::decode(found.bytes.clone()).is_ok()
        {
            s.memory.put(key, found.version, found.bytes.clone(), ttl.min(found.ttl), begun, epoch).await;
            hit("redis");
            return Ok(found.bytes);
        }
        let value = load.await?;
        hit("load");
        let (version, bytes) = (version_of(&value), Bytes::from(value.encode_to_vec()));
        let kept = s.memory.put(key, version, bytes.clone(), ttl, begun, epoch).await;
        if let (Some(redis), true) = (&s.redis, kept) {
            redis.store(key, version, &bytes, ttl).await;
        }
        Ok(bytes)
    }

    /// After a commit that wrote `min_version`: what is older is no longer served, here at once and elsewhere when
    /// the message arrives. `i64::MAX`: whatever the version; such a key isn't cached at all for a minute.
    pub fn evict(&self, key: &str, min_version: i64) {
        let (s, key) = (self.shared(), self.key(key));
        s.memory.entomb(&key, min_version, s.redis.is_some().then_some(s.max_ttl));
        s.flights.detach(&key);
        s.evicted.notify_one();
    }

    /// Waits until all evictions and counts have left this process.
    pub async fn flushed(&self, within: Duration) -> bool {
        let s = self.shared();
        let all = async {
            loop {
                if let Some(redis) = &s.redis {
                    s.counts.send(redis).await;
                }
                if s.memory.unsent() == 0 && (s.redis.is_none() || s.counts.is_empty()) {
                    return;
                }
                s.evicted.notify_one();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(within, all).await.is_ok()
    }

    /// Keeps a value for `ttl`. UNAVAILABLE while Redis is down. Redis may lose it: nothing may live here alone.
    pub async fn put(&self, key: &str, value: impl Into<Bytes>, ttl: Duration) -> Result<()> {
        let (s, key, value) = (self.shared(), self.key(key), value.into());
        match &s.redis {
            Some(redis) => redis.put(&key, value, ttl).await,
            None => {
                s.values.put(key, value, ttl).await;
                Ok(())
            }
        }
    }

    /// UNAVAILABLE while Redis is down: go to the store. `None` proves nothing either, Redis may have lost it.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let (s, key) = (self.shared(), self.key(key));
        match &s.redis {
            Some(redis) => redis.get(&key).await,
            None => Ok(s.values.get(&key).await),
        }
    }

    pub async fn remove(&self, key: &str) -> Result<()> {
        let (s, key) = (self.shared(), self.key(key));
        match &s.redis {
            Some(redis) => redis.remove(&key).await,
            None => {
                s.values.remove(&key).await;
                Ok(())
            }
        }
    }

    /// Adds `by` and returns the sum since the first call within `ttl`; of this process alone while Redis is down.
    pub async fn incr(&self, key: &str, by: i64, ttl: Duration) -> i64 {
        let (s, key) = (self.shared(), self.key(key));
        let here = s.windows.add(&key, by, ttl).await;
        match &s.redis {
            Some(redis) => redis.incr(&key, by, ttl).await.unwrap_or(here),
            None => here,
        }
    }

    /// One of `limit` in a sliding `window`. Never fails: while Redis is down this process limits alone, going on
    /// from what it let pass itself.
    pub async fn take(&self, key: &str, limit: u64, window: Duration) -> Taken {
        let (s, key) = (self.shared(), self.key(key));
        // This process's own count comes first, so that answers of Redis that get lost can't lift the limit.
        let here = s.windows.take(&key, limit, window).await;
        let (Some(redis), true) = (&s.redis, here.allowed) else { return here };
        match redis.take(&key, limit, window).await {
            Some(taken) if taken.allowed => taken,
            Some(refused) => {
                s.windows.give_back(&key, window).await;
                refused
            }
            None => here,
        }
    }

    /// Counts that are collected in memory and drained by one job, such as views.
    pub fn counter(&self, name: &str) -> Counter {
        Counter::new(self.clone(), self.key(name))
    }

    /// Whether Redis, where one is configured, can be reached.
    pub fn healthy(&self) -> bool {
        self.shared().redis.is_none() || self.shared().memory.epoch().is_some()
    }
}

fn hit(tier: &'static str) {
    metrics::counter!("cache_requests_total", "tier" => tier).increment(1);
}
