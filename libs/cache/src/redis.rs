//! The L2, and what else lives in Redis. Every call is bounded in time, and after a failure none is made for a while.
//!
//! Cached values belong to one run of the server: their keys carry its run id, and the scripts that touch them are
//! called by their hash alone. A server that restarted (perhaps from an old snapshot, without the latest tombstones)
//! doesn't know the scripts, so it can't answer from what it had; a new [`Link`] is made then.

mod channel;

use crate::{CacheConfig, Counter, Drained, Taken};
use bytes::Bytes;
use fred::{
    clients::WithOptions,
    prelude::*,
    types::{Expiration, config::Options, scripts::Script},
};
use jangteo_core::{Error, Result};
use std::{
    future::Future,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// A cluster is not among them: an old snapshot of one of its nodes would go unnoticed.
const SCHEMES: [&str; 4] = ["redis", "rediss", "redis-sentinel", "rediss-sentinel"];

/// How long nobody asks after a failure.
const CLOSED: Duration = Duration::from_millis(250);

const FETCH: &str = "local f = redis.call('HMGET', KEYS[1], 'v', 'd') f[3] = redis.call('PTTL', KEYS[1]) return f";

const STORE: &str = "
local v = redis.call('HGET', KEYS[1], 'v')
if v and tonumber(v) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'd', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";

/// Leaves a tombstone, unless what is there is new enough, and tells everybody.
const EVICT: &str = "
local v = redis.call('HGET', KEYS[1], 'v')
if not v or tonumber(v) < tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'v', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1";

const INCR: &str = "
local n = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return n";

/// Adds a batch of counts, once.
const COUNT: &str = "
if not redis.call('SET', KEYS[2], 1, 'NX', 'PX', 600000) then return 0 end
for i = 1, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1";

/// Hands the counts out under an id; the same ones again until they are settled.
const DRAIN: &str = "
if redis.call('EXISTS', KEYS[2]) == 0 then
  if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[2], '', ARGV[1])
end
return redis.call('HGETALL', KEYS[2])";

const SETTLE: &str = "
if redis.call('HGET', KEYS[1], '') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1";

/// What the server's present run answers to.
struct Link {
    run: String,
    fetch: String,
    store: String,
    evict: String,
}

struct Scripts {
    incr: Script,
    take: Script,
    count: Script,
    drain: Script,
    settle: Script,
}

pub(crate) struct Redis {
    pool: Pool,
    builder: Builder,
    prefix: String,
    /// Names this process among those on the channel.
    origin: String,
    sequence: AtomicU64,
    timeout: Duration,
    link: RwLock<Option<Arc<Link>>>,
    /// Someone found the link broken.
    relink: Notify,
    scripts: Scripts,
    begun: Instant,
    /// Milliseconds since `begun` until which nobody asks.
    closed_until: AtomicU64,
}

pub(crate) struct Found {
    pub version: i64,
    pub bytes: Bytes,
    pub ttl: Duration,
}

impl Redis {
    pub fn new(url: &str, cfg: &CacheConfig) -> Result<Self> {
        // The URL may hold a password: no message repeats it.
        let bad = |_: fred::error::Error| Error::invalid("cache.redis", "INVALID_URL", "is no URL of a Redis server");
        if !url.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme)) {
            return Err(bad(fred::error::Error::new(ErrorKind::Url, "")));
        }
        let mut config = Config::from_url(url).map_err(bad)?;
        config.fail_fast = false;
        let mut builder = Builder::from_config(config);
        builder
            .with_connection_config(|c| {
                c.connection_timeout = Duration::from_secs(2);
                c.internal_command_timeout = Duration::from_secs(2);
                c.max_command_attempts = 1;
                c.tcp.nodelay = Some(true);
            })
            .with_performance_config(|p| p.broadcast_channel_capacity = 16_384)
            .set_policy(ReconnectPolicy::new_exponential(0, 100, 1_000, 2));
        let pool = builder.build_pool(cfg.pool.max(1)).map_err(bad)?;
        Ok(Redis {
            pool,
            builder,
            prefix: cfg.prefix.clone(),
            origin: format!("{:016x}", RandomState::new().build_hasher().finish()),
            sequence: AtomicU64::new(0),
            timeout: Duration::from_millis(cfg.timeout_ms.max(1)),
            link: RwLock::new(None),
            relink: Notify::new(),
            scripts: Scripts {
                incr: Script::from_lua(INCR),
                take: Script::from_lua(include_str!("redis/take.lua")),
                count: Script::from_lua(COUNT),
                drain: Script::from_lua(DRAIN),
                settle: Script::from_lua(SETTLE),
            },
            begun: Instant::now(),
            closed_until: AtomicU64::new(0),
        })
    }

    /// Connections that give up at once when they are down.
    fn client(&self) -> WithOptions<Client> {
        let options =
            Options { max_attempts: Some(1), fail_fast: true, timeout: Some(self.timeout), ..Options::default() };
        self.pool.next().with_options(&options)
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn reopen(&self) {
        self.closed_until.store(0, Ordering::Relaxed);
    }

    /// One call, bounded in time. A failure spares the others the wait.
    async fn call<T>(&self, call: impl Future<Output = Result<T, fred::error::Error>>) -> Option<T> {
        if self.now() < self.closed_until.load(Ordering::Relaxed) {
            return None;
        }
        let error = match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(e)) if e.details().starts_with("NOSCRIPT") => {
                *self.link.write().expect("no holder panics") = None;
                self.relink.notify_one();
                return None;
            }
            Ok(Err(e)) => e.to_string(),
            Err(_) => "timed out".into(),
        };
        metrics::counter!("cache_redis_errors_total").increment(1);
        let until = self.now() + CLOSED.as_millis() as u64;
        if self.closed_until.swap(until, Ordering::Relaxed) + 1_000 < until {
            tracing::warn!(error, "redis doesn't answer, going on without");
        }
        None
    }

    /// A script that any run of the server may answer.
    async fn run<T: FromValue>(&self, script: &Script, keys: Vec<String>, args: Vec<Value>) -> Option<T> {
        let client = self.client();
        let call = async {
            match client.evalsha::<Value, _, _, _>(script.sha1().clone(), keys.clone(), args.clone()).await {
                Err(e) if e.details().starts_with("NOSCRIPT") => {
                    client.eval(script.lua().cloned().unwrap_or_default(), keys, args).await
                }
                other => other,
            }
        };
        self.call(async { call.await?.convert() }).await
    }

    fn link(&self) -> Option<Arc<Link>> {
        self.link.read().expect("no holder panics").clone()
    }

    fn entry_key(&self, link: &Link, key: &str) -> String {
        format!("{}:l2:{}:{key}", self.prefix, link.run)
    }

    pub async fn fetch(&self, key: &str) -> Option<Found> {
        let link = self.link()?;
        let client = self.client();
        let keys = vec![self.entry_key(&link, key)];
        let call = client.evalsha::<(Option<i64>, Option<Bytes>, i64), _, _, _>(
            link.fetch.clone(),
            keys,
            Vec::<String>::new(),
        );
        match self.call(call).await? {
            (Some(version), Some(bytes), ttl) if ttl > 0 => {
                Some(Found { version, bytes, ttl: Duration::from_millis(ttl.unsigned_abs()) })
            }
            _ => None,
        }
    }

    pub async fn store(&self, key: &str, version: i64, bytes: &Bytes, ttl: Duration) {
        let Some(link) = self.link() else { return };
        let client = self.client();
        let args: Vec<Value> = vec![version.into(), Value::Bytes(bytes.clone()), millis(ttl).into()];
        self.call(client.evalsha::<Value, _, _, _>(link.store.clone(), vec![self.entry_key(&link, key)], args)).await;
    }

    /// Leaves the tombstone and tells the others; says whether Redis has it.
    pub async fn evict(&self, key: &str, min: i64) -> bool {
        let Some(link) = self.link() else { return false };
        let client = self.client();
        let args: Vec<Value> = vec![
            min.into(),
            millis(crate::memory::TOMB).into(),
            self.channel().into(),
            format!("{} {min} {key}", self.origin).into(),
        ];
        let keys = vec![self.entry_key(&link, key)];
        self.call(client.evalsha::<Value, _, _, _>(link.evict.clone(), keys, args)).await.is_some()
    }

    pub async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()> {
        let (client, key) = (self.client(), self.value_key(key));
        let call = client.set::<Value, _, _>(key, value, Some(Expiration::PX(millis(ttl))), None, false);
        self.call(call).await.map(drop).ok_or_else(away)
    }

    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let (client, key) = (self.client(), self.value_key(key));
        self.call(client.get::<Option<Bytes>, _>(key)).await.ok_or_else(away)
    }

    pub async fn remove(&self, key: &str) -> Result<()> {
        let (client, key) = (self.client(), self.value_key(key));
        self.call(client.del::<Value, _>(key)).await.map(drop).ok_or_else(away)
    }

    pub async fn incr(&self, key: &str, by: i64, ttl: Duration) -> Option<i64> {
        let key = format!("{}:sum:{key}", self.prefix);
        self.run(&self.scripts.incr, vec![key], vec![by.into(), millis(ttl).into()]).await
    }

    pub async fn take(&self, key: &str, limit: u64, window: Duration) -> Option<Taken> {
        let window = millis(window);
        let key = format!("{}:lim:{window}:{key}", self.prefix);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (allowed, remaining, reset): (i64, i64, i64) =
            self.run(&self.scripts.take, vec![key], vec![limit.into(), window.into()]).await?;
        Some(Taken {
            allowed: allowed == 1,
            remaining: remaining.max(0).unsigned_abs(),
            reset: Duration::from_millis(reset.max(1).unsigned_abs()),
        })
    }

    /// A name that no other batch has.
    pub fn batch_id(&self) -> String {
        format!("{}-{}", self.origin, self.sequence.fetch_add(1, Ordering::Relaxed))
    }

    /// One hash slot for all keys of a counter, so that a script may touch them together.
    fn count_key(&self, name: &str, part: &str) -> String {
        format!("{}:cnt:{{{name}}}{part}", self.prefix)
    }

    /// Adds a batch; sending it twice counts once.
    pub async fn count(&self, name: &str, id: &str, counts: &[(String, i64)]) -> bool {
        let keys = vec![self.count_key(name, ""), self.count_key(name, &format!(":{id}"))];
        let args = counts.iter().flat_map(|(k, n)| [Value::from(k.as_str()), Value::from(*n)]).collect();
        self.run::<Value>(&self.scripts.count, keys, args).await.is_some()
    }

    /// `None`: Redis is down.
    pub async fn drain(&self, name: &str) -> Option<Option<Drained>> {
        let keys = vec![self.count_key(name, ""), self.count_key(name, ":out")];
        let fields: Vec<String> = self.run(&self.scripts.drain, keys, vec![self.batch_id().into()]).await?;
        let mut d = Drained { id: String::new(), counts: Vec::with_capacity(fields.len() / 2) };
        let mut fields = fields.into_iter();
        while let (Some(k), Some(v)) = (fields.next(), fields.next()) {
            match (k.is_empty(), v.parse()) {
                (true, _) => d.id = v,
                (false, Ok(n)) => d.counts.push((k, n)),
                (false, Err(_)) => {}
            }
        }
        Some((!d.id.is_empty()).then_some(d))
    }

    pub async fn settle(&self, counter: &Counter, id: &str) -> Result<()> {
        let keys = vec![self.count_key(counter.name(), ":out")];
        self.run::<Value>(&self.scripts.settle, keys, vec![id.into()]).await.map(drop).ok_or_else(away)
    }

    fn value_key(&self, key: &str) -> String {
        format!("{}:val:{key}", self.prefix)
    }

    fn channel(&self) -> String {
        format!("{}:evicted", self.prefix)
    }
}

fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn away() -> Error {
    Error::unavailable("redis")
}
