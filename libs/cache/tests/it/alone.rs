//! What holds without Redis, and with it.

use crate::{Row, TTL, until};
use cache::Cache;
use jangteo_core::Code;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod without_redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() { super::$case(crate::open(None, "x")).await })*
        }
        mod with_redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let cache = crate::open(Some(&testkit::servers::redis()), &crate::fresh());
                crate::up(&cache).await;
                super::$case(cache).await
            })*
        }
    };
}

on_both!(
    one_load_for_a_hundred,
    a_slow_load_puts_nothing_old_back,
    errors_are_not_kept,
    a_purged_key_is_not_kept,
    limits_are_exact,
    counts_are_drained_once,
    values_live_as_long_as_told,
    sums_start_again,
);

async fn one_load_for_a_hundred(cache: Cache) {
    let row = Row::new(7);
    let mut all = JoinSet::new();
    for _ in 0..100 {
        let (row, cache) = (row.clone(), cache.clone());
        all.spawn(async move { row.slow(&cache, Duration::from_millis(100)).await.unwrap() });
    }
    assert!(all.join_all().await.iter().all(|v| *v == 7));
    assert_eq!(row.loads(), 1);
    assert_eq!(row.get(&cache).await.unwrap(), 7);
    assert_eq!(row.loads(), 1);
    assert_eq!(row.get(&cache.scope("other")).await.unwrap(), 7);
    assert_eq!(row.loads(), 2, "scopes don't share keys");
}

async fn a_slow_load_puts_nothing_old_back(cache: Cache) {
    let row = Row::new(1);
    let slow = {
        let (row, cache) = (row.clone(), cache.clone());
        async move { row.slow(&cache, Duration::from_millis(200)).await.unwrap() }
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(slow);
    until("the load has begun", async || row.loads() == 1).await;
    row.write(&cache, 2);
    // A reader that comes after the commit doesn't board the old flight.
    assert_eq!(row.get(&cache).await.unwrap(), 2);
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), 1, "it asked before the commit");
    assert_eq!(row.get(&cache).await.unwrap(), 2);
    assert_eq!(row.loads(), 2, "and the new value was kept");
    // The same when nobody has loaded the new value yet.
    tasks.spawn({
        let (row, cache) = (row.clone(), cache.clone());
        async move {
            cache.evict("row", 2);
            row.slow(&cache, Duration::from_millis(100)).await.unwrap()
        }
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    row.write(&cache, 3);
    tasks.join_next().await;
    assert_eq!(row.get(&cache).await.unwrap(), 3);
    assert!(cache.flushed(Duration::from_secs(2)).await);
}

async fn errors_are_not_kept(cache: Cache) {
    let row = Row::new(0);
    assert_eq!(row.get(&cache).await.unwrap_err().reason(), "ROW_NOT_FOUND");
    row.value.store(5, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(row.get(&cache).await.unwrap(), 5);
    assert_eq!(row.loads(), 2);
}

async fn a_purged_key_is_not_kept(cache: Cache) {
    let row = Row::new(5);
    row.get(&cache).await.unwrap();
    cache.evict("row", i64::MAX);
    for n in 2..5 {
        assert_eq!(row.get(&cache).await.unwrap(), 5);
        assert_eq!(row.loads(), n);
    }
}

async fn limits_are_exact(cache: Cache) {
    let mut all = JoinSet::new();
    for _ in 0..300 {
        let cache = cache.clone();
        all.spawn(async move { cache.take("ip", 100, Duration::from_secs(3600)).await });
    }
    let all = all.join_all().await;
    assert_eq!(all.iter().filter(|t| t.allowed).count(), 100);
    assert_eq!(all.iter().map(|t| t.remaining).max(), Some(99));
    let refused = all.iter().find(|t| !t.allowed).unwrap();
    assert!(refused.reset > Duration::ZERO && refused.reset <= Duration::from_secs(7200), "{refused:?}");
    assert!(cache.take("other", 100, Duration::from_secs(3600)).await.allowed);

    for _ in 0..5 {
        cache.take("short", 5, Duration::from_millis(200)).await;
    }
    let begun = Instant::now();
    loop {
        let t = cache.take("short", 5, Duration::from_millis(200)).await;
        if t.allowed {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(2));
        tokio::time::sleep(t.reset).await;
    }
}

async fn counts_are_drained_once(cache: Cache) {
    let views = cache.counter("views");
    assert_eq!(views.drain().await.unwrap(), None);
    for n in 0..1000 {
        views.add(&format!("prd_{}", n % 700), 1);
    }
    let first = views.drain().await.unwrap().unwrap();
    views.add("prd_0", 5);
    let again = views.drain().await.unwrap().unwrap();
    let sum = |d: &cache::Drained| d.counts.iter().cloned().collect::<BTreeMap<_, _>>();
    assert_eq!((&again.id, sum(&again)), (&first.id, sum(&first)), "the same until it is settled");
    assert_eq!((sum(&first).len(), sum(&first)["prd_0"], sum(&first)["prd_699"]), (700, 2, 1));
    views.settle(&first).await.unwrap();
    let second = views.drain().await.unwrap().unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(second.counts, [("prd_0".to_owned(), 5)]);
    views.settle(&first).await.unwrap();
    assert_eq!(views.drain().await.unwrap().as_ref(), Some(&second), "an old settlement settles nothing else");
    views.settle(&second).await.unwrap();
    assert_eq!(views.drain().await.unwrap(), None);
}

async fn values_live_as_long_as_told(cache: Cache) {
    cache.put("session", "s1", TTL).await.unwrap();
    cache.put("short", vec![1u8], Duration::from_millis(80)).await.unwrap();
    assert_eq!(cache.get("session").await.unwrap().unwrap(), "s1");
    assert!(cache.get("short").await.unwrap().is_some());
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(cache.get("short").await.unwrap(), None);
    cache.remove("session").await.unwrap();
    assert_eq!(cache.get("session").await.unwrap(), None);
}

async fn sums_start_again(cache: Cache) {
    let ttl = Duration::from_millis(200);
    assert_eq!(cache.incr("tries", 1, ttl).await, 1);
    assert_eq!(cache.incr("tries", 2, ttl).await, 3);
    tokio::time::sleep(ttl * 2).await;
    assert_eq!(cache.incr("tries", 1, ttl).await, 1);
}

#[tokio::test]
async fn an_unreadable_url_is_refused() {
    let cfg = cache::CacheConfig { redis: Some("nonsense://user:hunter2@x".into()), ..Default::default() };
    let e = Cache::new(&cfg).err().unwrap();
    assert_eq!(e.code(), Code::InvalidArgument);
    assert!(!format!("{e:?}").contains("hunter2"));
}
