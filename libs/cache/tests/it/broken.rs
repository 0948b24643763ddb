//! Redis killed, frozen, emptied, put back from an old snapshot: slower, never wrong.

use crate::{Row, TTL, fresh, open_with, until, up};
use cache::Cache;
use fred::prelude::*;
use jangteo_core::Code;
use std::time::{Duration, Instant};
use testkit::servers::RedisServer;

/// No request may wait longer because of Redis.
const BOUND: Duration = Duration::from_millis(150);

async fn pair(redis: &RedisServer) -> (Cache, Cache) {
    let prefix = fresh();
    let (a, b) = (open_with(Some(&redis.url()), &prefix, 40), open_with(Some(&redis.url()), &prefix, 40));
    up(&a).await;
    up(&b).await;
    (a, b)
}

async fn admin(redis: &RedisServer) -> Client {
    let client = Builder::from_config(Config::from_url(&redis.url()).unwrap()).build().unwrap();
    client.init().await.unwrap();
    client
}

async fn timely<T>(what: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let out = what.await;
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle() {
    let mut redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let row = Row::new(1);
    row.get(&a).await.unwrap();
    row.get(&b).await.unwrap();
    redis.kill9();
    until("noticed", async || !a.healthy() && !b.healthy()).await;
    for v in 2..40 {
        row.write(&a, v);
        assert_eq!(timely(row.get(&a)).await.unwrap(), v);
        assert_eq!(timely(row.get(&b)).await.unwrap(), v, "evictions can't be heard, so nothing old is served");
    }
    assert!(!a.flushed(Duration::from_millis(50)).await);
    assert_eq!(timely(b.get("session")).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(timely(b.put("session", "s", TTL)).await.unwrap_err().code(), Code::Unavailable);
    // Limits hold within the process, counts are kept.
    let mut passed = 0;
    for _ in 0..20 {
        passed += u64::from(timely(a.take("ip", 10, Duration::from_secs(3600))).await.allowed);
    }
    assert_eq!(passed, 10);
    a.counter("views").add("prd_1", 2);
    assert_eq!(timely(a.incr("n", 2, TTL)).await, 2);

    redis.restart().await;
    up(&a).await;
    up(&b).await;
    assert!(a.flushed(Duration::from_secs(5)).await, "what Redis missed is sent");
    assert_eq!(row.get(&b).await.unwrap(), 39);
    let loads = row.loads();
    row.get(&a).await.unwrap();
    row.get(&b).await.unwrap();
    row.get(&b).await.unwrap();
    assert!(row.loads() <= loads + 1, "and it caches again");
    row.write(&b, 40);
    until("evictions are heard again", async || row.get(&a).await.unwrap() == 40).await;
    assert_eq!(b.counter("views").drain().await.unwrap().unwrap().counts, [("prd_1".to_owned(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn away_from_the_start() {
    let mut redis = RedisServer::start().await;
    redis.kill9();
    let cache = timely(async { open_with(Some(&redis.url()), "x", 40) }).await;
    let row = Row::new(1);
    for v in 2..20 {
        assert_eq!(timely(row.get(&cache)).await.unwrap(), v - 1);
        row.write(&cache, v);
    }
    redis.restart().await;
    up(&cache).await;
    assert_eq!(row.get(&cache).await.unwrap(), 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let row = Row::new(1);
    row.get(&a).await.unwrap();
    row.get(&b).await.unwrap();
    redis.freeze();
    let frozen = Instant::now();
    row.write(&a, 2);
    assert_eq!(timely(row.get(&a)).await.unwrap(), 2);
    let mut slow = 0;
    until("the other notices the silence", async || {
        let begun = Instant::now();
        let v = row.get(&b).await.unwrap();
        slow += usize::from(begun.elapsed() > BOUND);
        v == 2
    })
    .await;
    assert!(frozen.elapsed() < Duration::from_millis(1500), "{:?}", frozen.elapsed());
    for _ in 0..30 {
        assert_eq!(timely(row.get(&b)).await.unwrap(), 2);
        timely(b.take("ip", 5, TTL)).await;
        let _ = timely(b.get("session")).await;
    }
    assert_eq!(slow, 0);
    redis.thaw();
    up(&b).await;
    assert_eq!(row.get(&b).await.unwrap(), 2, "what was in Redis when it froze is not served");
    assert_eq!(row.get(&a).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn emptied_under_load() {
    let redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let admin = admin(&redis).await;
    let row = Row::new(1);
    let mut tasks = tokio::task::JoinSet::new();
    for v in 2..20 {
        // A load is under way, the row changes, and the tombstone is flushed before the load ends.
        let (r, c) = (row.clone(), b.clone());
        tasks.spawn(async move { r.slow(&c, Duration::from_millis(30)).await });
        tokio::time::sleep(Duration::from_millis(5)).await;
        row.write(&a, v);
        assert!(a.flushed(Duration::from_secs(1)).await);
        admin.flushall::<Value>(false).await.unwrap();
        tasks.join_next().await.unwrap().unwrap().unwrap();
        until("the truth", async || row.get(&b).await.unwrap() == v).await;
        assert_eq!(row.get(&a).await.unwrap(), v);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_snapshot_brings_nothing_back() {
    let mut redis = RedisServer::start().await;
    let (a, b) = pair(&redis).await;
    let row = Row::new(1);
    row.get(&a).await.unwrap();
    let client = admin(&redis).await;
    let keys: Vec<String> = client.custom(fred::cmd!("KEYS"), vec!["*:l2:*"]).await.unwrap();
    assert_eq!(keys.len(), 1, "the value is in Redis");
    let _: Value = client.custom(fred::cmd!("SAVE"), Vec::<String>::new()).await.unwrap();
    row.write(&a, 2);
    assert!(a.flushed(Duration::from_secs(1)).await);
    redis.kill9();
    redis.restart().await;
    assert_eq!(timely(row.get(&b)).await.unwrap(), 2);
    up(&a).await;
    up(&b).await;
    assert_eq!(row.get(&b).await.unwrap(), 2);
    assert_eq!(row.get(&a).await.unwrap(), 2);
}
