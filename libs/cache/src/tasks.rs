//! The background tasks: keeping the channel up, sending evictions, moving counts.

use crate::{Shared, redis::Redis};
use futures::{StreamExt, stream};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::task::AbortHandle;

/// The pause before an eviction that Redis didn't take is sent again.
const AGAIN: Duration = Duration::from_millis(50);

pub(crate) fn start(shared: &Arc<Shared>) -> Vec<AbortHandle> {
    let mut tasks = vec![spawn(evictions(shared.clone()))];
    if shared.redis.is_some() {
        tasks.push(spawn(channel(shared.clone())));
        tasks.push(spawn(counts(shared.clone())));
    }
    tasks
}

#[expect(clippy::disallowed_methods, reason = "the handles belong to the cache and end with it")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(task).abort_handle()
}

async fn channel(s: Arc<Shared>) {
    let Some(redis) = &s.redis else { return };
    redis
        .listen(&s.memory, |key, min| {
            s.memory.entomb(key, min, None);
            s.flights.detach(key);
            s.evicted.notify_one();
        })
        .await;
}

async fn evictions(s: Arc<Shared>) {
    let mut purged = tokio::time::Instant::now();
    loop {
        let keys = s.memory.next(256);
        if keys.is_empty() {
            let _ = tokio::time::timeout(Duration::from_secs(5), s.evicted.notified()).await;
        } else {
            for key in &keys {
                s.memory.drop_entry(key).await;
            }
            if let Some(redis) = &s.redis {
                let failed = send(&s, redis, keys).await;
                metrics::gauge!("cache_evictions_pending").set(failed.len() as f64);
                if !failed.is_empty() {
                    s.memory.again(failed);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        if purged.elapsed() > Duration::from_secs(5) {
            s.memory.purge();
            purged = tokio::time::Instant::now();
        }
    }
}

/// The keys that Redis didn't take.
async fn send(s: &Shared, redis: &Redis, keys: Vec<String>) -> Vec<String> {
    stream::iter(keys)
        .map(|key| async move {
            let min = s.memory.to_send(&key)?;
            if !redis.evict(&key, min).await {
                return Some(key);
            }
            s.memory.sent(&key, min);
            None
        })
        .buffer_unordered(32)
        .filter_map(std::future::ready)
        .collect()
        .await
}

async fn counts(s: Arc<Shared>) {
    let Some(redis) = &s.redis else { return };
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        s.counts.send(redis).await;
    }
}
