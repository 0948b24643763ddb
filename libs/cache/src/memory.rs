//! The L1, and the tombstones that guard both tiers.

use bytes::Bytes;
use moka::{Expiry, future::Cache as Moka};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a tombstone stands. What was loaded for longer than half of it is not kept.
pub(crate) const TOMB: Duration = Duration::from_secs(60);

/// Anything small with a time to live.
pub(crate) struct Local<V>(Moka<String, (Duration, V)>);

struct ByTtl;

impl<V> Expiry<String, (Duration, V)> for ByTtl {
    fn expire_after_create(&self, _: &String, (ttl, _): &(Duration, V), _: Instant) -> Option<Duration> {
        Some(*ttl)
    }
    fn expire_after_update(
        &self,
        _: &String,
        (ttl, _): &(Duration, V),
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(*ttl)
    }
}

impl<V: Clone + Send + Sync + 'static> Local<V> {
    pub fn new(bytes: u64, size: fn(&V) -> usize) -> Self {
        let weigh = move |k: &String, v: &(Duration, V)| u32::try_from(k.len() + size(&v.1) + 96).unwrap_or(u32::MAX);
        Local(Moka::builder().max_capacity(bytes).weigher(weigh).expire_after(ByTtl).build())
    }

    pub async fn get(&self, key: &str) -> Option<V> {
        self.0.get(key).await.map(|(_, v)| v)
    }

    pub async fn put(&self, key: String, value: V, ttl: Duration) {
        self.0.insert(key, (ttl, value)).await;
    }

    pub async fn get_or(&self, key: &str, ttl: Duration, make: impl FnOnce() -> V) -> V {
        self.0.get_with_by_ref(key, async { (ttl, make()) }).await.1
    }

    pub async fn remove(&self, key: &str) {
        self.0.invalidate(key).await;
    }
}

#[derive(Clone)]
struct Entry {
    version: i64,
    epoch: u64,
    bytes: Bytes,
}

struct Tomb {
    min: i64,
    until: Instant,
    /// Redis hasn't got it.
    unsent: bool,
}

pub(crate) struct Memory {
    entries: Local<Entry>,
    tombs: RwLock<HashMap<String, Tomb>>,
    /// Keys whose entries are to be dropped and whose tombstones are to be sent.
    queue: Mutex<VecDeque<String>>,
    /// Counts the times that the channel came up; 0 while it is down.
    epoch: AtomicU64,
    ups: AtomicU64,
}

impl Memory {
    pub fn new(bytes: u64, alone: bool) -> Self {
        Memory {
            entries: Local::new(bytes, |e| e.bytes.len()),
            tombs: RwLock::default(),
            queue: Mutex::default(),
            epoch: AtomicU64::new(u64::from(alone)),
            ups: AtomicU64::new(u64::from(alone)),
        }
    }

    /// `None` while evictions of others may be missed.
    pub fn epoch(&self) -> Option<u64> {
        Some(self.epoch.load(Ordering::Acquire)).filter(|e| *e > 0)
    }

    /// The channel is up: what comes from now on may be kept, what came before may not.
    pub fn trust(&self) {
        let n = self.ups.fetch_add(1, Ordering::AcqRel) + 1;
        self.epoch.store(n, Ordering::Release);
    }

    pub fn distrust(&self) {
        self.epoch.store(0, Ordering::Release);
    }

    pub async fn get(&self, key: &str) -> Option<Bytes> {
        let epoch = self.epoch()?;
        let e = self.entries.get(key).await?;
        (e.epoch == epoch && self.admits(key, e.version)).then_some(e.bytes)
    }

    /// Whether no tombstone forbids this version.
    pub fn admits(&self, key: &str, version: i64) -> bool {
        self.tombs.read().expect("no holder panics").get(key).is_none_or(|t| t.min <= version)
    }

    /// Keeps what was loaded since `begun`, while the channel was up all along; says whether it did.
    pub async fn put(
        &self,
        key: &str,
        version: i64,
        bytes: Bytes,
        ttl: Duration,
        begun: Instant,
        epoch: Option<u64>,
    ) -> bool {
        let Some(epoch) = epoch.filter(|e| self.epoch() == Some(*e)) else { return false };
        if begun.elapsed() > TOMB / 2 || !self.admits(key, version) {
            return false;
        }
        self.entries.put(key.to_owned(), Entry { version, epoch, bytes }, ttl).await;
        // An eviction that came in between may have dropped what was there before.
        let kept = self.admits(key, version);
        if !kept {
            self.entries.remove(key).await;
        }
        kept
    }

    /// Sets a tombstone. `send`: Redis must learn of it, unless that takes longer than its values live.
    pub fn entomb(&self, key: &str, min: i64, send: Option<Duration>) {
        let until = Instant::now() + TOMB + send.unwrap_or_default();
        {
            let mut tombs = self.tombs.write().expect("no holder panics");
            let t = tombs.entry(key.to_owned()).or_insert(Tomb { min, until, unsent: false });
            t.min = t.min.max(min);
            t.until = t.until.max(until);
            t.unsent |= send.is_some();
        }
        self.queue.lock().expect("no holder panics").push_back(key.to_owned());
    }

    /// Keys to drop here and to send.
    pub fn next(&self, most: usize) -> Vec<String> {
        let mut queue = self.queue.lock().expect("no holder panics");
        let n = queue.len().min(most);
        queue.drain(..n).collect()
    }

    pub async fn drop_entry(&self, key: &str) {
        self.entries.remove(key).await;
    }

    /// What Redis must learn about a key.
    pub fn to_send(&self, key: &str) -> Option<i64> {
        self.tombs.read().expect("no holder panics").get(key).filter(|t| t.unsent).map(|t| t.min)
    }

    /// Redis has the tombstone up to `min`.
    pub fn sent(&self, key: &str, min: i64) {
        if let Some(t) = self.tombs.write().expect("no holder panics").get_mut(key)
            && t.min == min
        {
            t.unsent = false;
            t.until = Instant::now() + TOMB;
        }
    }

    pub fn again(&self, keys: Vec<String>) {
        self.queue.lock().expect("no holder panics").extend(keys);
    }

    pub fn unsent(&self) -> usize {
        self.queue.lock().expect("no holder panics").len()
            + self.tombs.read().expect("no holder panics").values().filter(|t| t.unsent).count()
    }

    pub fn purge(&self) {
        let now = Instant::now();
        self.tombs.write().expect("no holder panics").retain(|_, t| t.until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_tombstone_refuses_what_is_older() {
        let m = Memory::new(1 << 20, true);
        let put = |v: i64| m.put("k", v, Bytes::from(v.to_string()), TTL, Instant::now(), m.epoch());
        assert!(put(4).await);
        m.entomb("k", 5, None);
        assert_eq!(m.get("k").await, None, "dead at once");
        assert!(!put(4).await, "a slow load can't put it back");
        assert!(put(5).await);
        assert_eq!(m.get("k").await.unwrap(), "5");
    }

    #[tokio::test]
    async fn entries_from_before_a_reconnect_are_not_trusted() {
        let m = Memory::new(1 << 20, true);
        let before = m.epoch();
        assert!(m.put("k", 1, "1".into(), TTL, Instant::now(), before).await);
        m.distrust();
        assert_eq!(m.get("k").await, None);
        m.trust();
        assert_eq!(m.get("k").await, None);
        assert!(!m.put("k", 1, "1".into(), TTL, Instant::now(), before).await, "loaded across the break");
    }

    #[test]
    fn a_later_eviction_is_sent_too() {
        let m = Memory::new(1 << 20, false);
        m.entomb("k", 5, Some(TTL));
        assert_eq!(m.next(10), ["k"]);
        let min = m.to_send("k").unwrap();
        m.entomb("k", 6, Some(TTL));
        m.sent("k", min);
        assert_eq!(m.to_send("k"), Some(6));
    }
}
