//! Two processes on one Redis.

use crate::{Row, fresh, open, until, up};
use cache::Cache;
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

async fn pair() -> (Cache, Cache) {
    let (url, prefix) = (testkit::servers::redis(), fresh());
    let (a, b) = (open(Some(&url), &prefix), open(Some(&url), &prefix));
    up(&a).await;
    up(&b).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_loads_the_other_finds() {
    let (a, b) = pair().await;
    let row = Row::new(3);
    assert_eq!(row.get(&a).await.unwrap(), 3);
    assert_eq!(row.get(&b).await.unwrap(), 3);
    assert_eq!(row.loads(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_reaches_the_other_soon() {
    let (a, b) = pair().await;
    let row = Row::new(1);
    for v in 2..30 {
        row.get(&a).await.unwrap();
        row.get(&b).await.unwrap();
        row.write(&a, v);
        assert_eq!(row.get(&a).await.unwrap(), v, "here at once");
        let begun = Instant::now();
        until("seen by the other", async || row.get(&b).await.unwrap() == v).await;
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_load_of_the_other_puts_nothing_old_back() {
    let (a, b) = pair().await;
    let row = Row::new(1);
    let mut tasks = JoinSet::new();
    {
        let (row, b) = (row.clone(), b.clone());
        tasks.spawn(async move { row.slow(&b, Duration::from_millis(300)).await.unwrap() });
    }
    until("the load has begun", async || row.loads() == 1).await;
    row.write(&a, 2);
    assert!(a.flushed(Duration::from_secs(1)).await);
    tasks.join_all().await;
    assert_eq!(row.get(&b).await.unwrap(), 2);
    assert_eq!(row.get(&a).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_and_writers_in_a_storm_end_with_the_truth() {
    let (a, b) = pair().await;
    let row = Row::new(1);
    let mut tasks = JoinSet::new();
    for n in 0..20u64 {
        let (row, cache) = (row.clone(), if n % 2 == 0 { a.clone() } else { b.clone() });
        tasks.spawn(async move {
            for i in 0..100 {
                // What is read is never newer than the truth, and a reader never goes back behind what it wrote.
                let floor = row.value.load(Ordering::SeqCst);
                if n < 2 {
                    let v = row.value.fetch_add(1, Ordering::SeqCst) + 1;
                    cache.evict("row", v);
                    assert!(row.get(&cache).await.unwrap() >= v.max(floor));
                } else {
                    row.slow(&cache, Duration::from_micros(i * n * 7 % 900)).await.unwrap();
                }
            }
        });
    }
    tasks.join_all().await;
    assert!(a.flushed(Duration::from_secs(2)).await && b.flushed(Duration::from_secs(2)).await);
    let truth = row.value.load(Ordering::SeqCst);
    let begun = Instant::now();
    for cache in [&a, &b] {
        until("the truth", async || row.get(cache).await.unwrap() == truth).await;
    }
    assert!(begun.elapsed() < Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_counts_are_common() {
    let (a, b) = pair().await;
    let mut all = JoinSet::new();
    for n in 0..200 {
        let cache = if n % 2 == 0 { a.clone() } else { b.clone() };
        all.spawn(async move { cache.take("user", 50, Duration::from_secs(3600)).await.allowed });
    }
    assert_eq!(all.join_all().await.into_iter().filter(|allowed| *allowed).count(), 50);

    a.counter("views").add("prd_1", 3);
    b.counter("views").add("prd_1", 4);
    assert!(a.flushed(Duration::from_secs(2)).await);
    let d = b.counter("views").drain().await.unwrap().unwrap();
    assert_eq!(d.counts, [("prd_1".to_owned(), 7)]);
    b.counter("views").settle(&d).await.unwrap();
    assert_eq!(a.counter("views").drain().await.unwrap(), None);
    assert_eq!(a.incr("n", 1, Duration::from_secs(60)).await, 1);
    assert_eq!(b.incr("n", 1, Duration::from_secs(60)).await, 2);
}
