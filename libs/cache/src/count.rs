//! Counts without a write each: collected in memory, added up in Redis where there is one, drained by one job.

use crate::{Cache, redis::Redis};
use jangteo_core::Result;
use std::{collections::HashMap, sync::Mutex};

/// Pairs in one call to Redis.
const CHUNK: usize = 500;

/// A named set of counts. What isn't drained yet is lost with the process (or with Redis), so count here what may be
/// a little off: views, not money.
#[derive(Clone)]
pub struct Counter {
    cache: Cache,
    name: String,
}

/// Counts handed out to be stored. Whoever stores them may keep `id`, to recognise a batch that comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    pub id: String,
    pub counts: Vec<(String, i64)>,
}

#[derive(Default)]
pub(crate) struct Counts {
    open: Mutex<HashMap<String, HashMap<String, i64>>>,
    /// On the way to Redis. A batch keeps its id until Redis has it, so that a lost answer counts nothing twice.
    sending: tokio::sync::Mutex<HashMap<String, Vec<Drained>>>,
    /// Handed out here while Redis was down, or because there is none.
    out: Mutex<HashMap<String, Drained>>,
}

impl Counts {
    fn add(&self, name: &str, key: &str, n: i64) {
        let mut open = self.open.lock().expect("no holder panics");
        let counts = match open.get_mut(name) {
            Some(counts) => counts,
            None => open.entry(name.to_owned()).or_default(),
        };
        match counts.get_mut(key) {
            Some(sum) => *sum += n,
            None => drop(counts.insert(key.to_owned(), n)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.open.lock().expect("no holder panics").is_empty()
            && self.sending.try_lock().is_ok_and(|s| s.values().all(Vec::is_empty))
    }

    /// Moves what was counted to Redis, as far as it answers.
    pub async fn send(&self, redis: &Redis) {
        let mut sending = self.sending.lock().await;
        // New ones leave when the old ones have: while Redis is down they add up in one place.
        if !flush(redis, &mut sending).await {
            return;
        }
        for (name, counts) in std::mem::take(&mut *self.open.lock().expect("no holder panics")) {
            let counts: Vec<_> = counts.into_iter().collect();
            let batches = counts.chunks(CHUNK).map(|c| Drained { id: redis.batch_id(), counts: c.to_vec() });
            sending.entry(name).or_default().extend(batches);
        }
        flush(redis, &mut sending).await;
    }

    fn drain(&self, name: &str, id: impl FnOnce() -> String) -> Option<Drained> {
        let mut out = self.out.lock().expect("no holder panics");
        if let Some(unsettled) = out.get(name) {
            return Some(unsettled.clone());
        }
        let counts = self.open.lock().expect("no holder panics").remove(name)?;
        let drained = Drained { id: id(), counts: counts.into_iter().collect() };
        out.insert(name.to_owned(), drained.clone());
        Some(drained)
    }

    fn unsettled(&self, name: &str) -> Option<Drained> {
        self.out.lock().expect("no holder panics").get(name).cloned()
    }

    /// Whether it was handed out here.
    fn settle(&self, name: &str, id: &str) -> bool {
        let mut out = self.out.lock().expect("no holder panics");
        out.get(name).is_some_and(|d| d.id == id) && out.remove(name).is_some()
    }
}

impl Counter {
    pub(crate) fn new(cache: Cache, name: String) -> Self {
        Counter { cache, name }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub fn add(&self, key: &str, n: i64) {
        if !key.is_empty() {
            self.cache.shared().counts.add(&self.name, key, n);
        }
    }

    /// What all replicas counted; while Redis is down, or where there is none, what this process did. The same batch
    /// again until it is settled: store it, then settle. `None` when there is nothing.
    pub async fn drain(&self) -> Result<Option<Drained>> {
        let s = self.cache.shared();
        if let Some(unsettled) = s.counts.unsettled(&self.name) {
            return Ok(Some(unsettled));
        }
        if let Some(redis) = &s.redis {
            s.counts.send(redis).await;
            if let Some(drained) = redis.drain(&self.name).await {
                return Ok(drained);
            }
            return Ok(s.counts.drain(&self.name, || redis.batch_id()));
        }
        let id = || format!("{:016x}", rand_id());
        Ok(s.counts.drain(&self.name, id))
    }

    /// The batch is stored: it doesn't come again.
    pub async fn settle(&self, drained: &Drained) -> Result<()> {
        let s = self.cache.shared();
        if s.counts.settle(&self.name, &drained.id) {
            return Ok(());
        }
        match &s.redis {
            Some(redis) => redis.settle(self, &drained.id).await,
            None => Ok(()),
        }
    }
}

/// Whether all of it arrived.
async fn flush(redis: &Redis, sending: &mut HashMap<String, Vec<Drained>>) -> bool {
    for (name, batches) in sending.iter_mut() {
        while let Some(batch) = batches.last() {
            if !redis.count(name, &batch.id, &batch.counts).await {
                return false;
            }
            batches.pop();
        }
    }
    sending.clear();
    true
}

fn rand_id() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
