//! A service's event table, its outbox and a consumer's inbox, in memory and with faults to order.

use async_trait::async_trait;
use bus::{
    Applied, ConsumerSpec, Delivery, Embedded, Envelope, EventBus, Inbox, JetStream, JetStreamConfig, Log, Outbox,
    OutboxLag, Stop,
};
use jangteo_core::{Code, Error, Result, Time, from_micros};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use testkit::servers::NatsServer;
use tokio::{sync::watch, task::JoinSet};

/// The time of the event with this `seq`.
pub fn time_of(seq: i64) -> Time {
    from_micros(1_700_000_000_000_000 + seq * 1_000_000)
}

/// Deterministic disorder.
pub fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |sides| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x % sides
    }
}

#[derive(Default)]
struct Rows {
    events: Vec<Envelope>,
    versions: HashMap<String, i64>,
    unpublished: BTreeSet<usize>,
    /// Questions that a relay asked, leases included.
    asked: usize,
    lease: Option<(usize, Instant)>,
}

pub struct Store {
    source: String,
    rows: Mutex<Rows>,
    changed: watch::Sender<u64>,
}

impl Store {
    pub fn new(source: &str) -> Arc<Self> {
        Arc::new(Store { source: source.into(), rows: Mutex::default(), changed: watch::channel(0).0 })
    }

    pub fn emit(&self, aggregate: &str, id: &str) -> Envelope {
        let e = self.emit_elsewhere(aggregate, id);
        self.changed.send_modify(|n| *n += 1);
        e
    }

    /// As another process does: nobody here is woken.
    pub fn emit_elsewhere(&self, aggregate: &str, id: &str) -> Envelope {
        let mut rows = self.rows.lock().unwrap();
        let version = rows.versions.entry(id.into()).or_default();
        *version += 1;
        let version = *version;
        let seq = rows.events.len() as i64 + 1;
        let e = Envelope {
            event_id: format!("{}-{seq:05}", self.source),
            time: Some(proto::timestamp(time_of(seq))),
            r#type: "test.v1.Happened".into(),
            source: self.source.clone(),
            aggregate: aggregate.into(),
            aggregate_id: id.into(),
            version,
            payload: format!("{id}/{version}").into_bytes(),
            ..Default::default()
        };
        let at = rows.events.len();
        rows.unpublished.insert(at);
        rows.events.push(e.clone());
        e
    }

    pub fn all(&self) -> Vec<Envelope> {
        self.rows.lock().unwrap().events.clone()
    }

    pub fn asked(&self) -> usize {
        self.rows.lock().unwrap().asked
    }

    pub fn unpublished(&self) -> usize {
        self.rows.lock().unwrap().unpublished.len()
    }
}

#[async_trait]
impl Log for Store {
    fn source(&self) -> &str {
        &self.source
    }
    async fn after(&self, seq: i64, limit: usize) -> Result<Vec<(i64, Envelope)>> {
        let rows = self.rows.lock().unwrap();
        Ok(rows
            .events
            .iter()
            .enumerate()
            .skip(seq as usize)
            .take(limit)
            .map(|(i, e)| (i as i64 + 1, e.clone()))
            .collect())
    }
    async fn head(&self) -> Result<i64> {
        Ok(self.rows.lock().unwrap().events.len() as i64)
    }
    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// One of several relays' view of the outbox: one partition, and a lease.
pub struct Relay {
    pub store: Arc<Store>,
    pub owner: usize,
}

#[async_trait]
impl Outbox for Relay {
    fn source(&self) -> &str {
        &self.store.source
    }
    fn partitions(&self) -> u32 {
        2
    }
    async fn batch(&self, partition: u32, limit: usize) -> Result<Vec<Envelope>> {
        let mut rows = self.store.rows.lock().unwrap();
        rows.asked += 1;
        let mine = |e: &&Envelope| e.aggregate_id.bytes().map(u32::from).sum::<u32>() % 2 == partition;
        Ok(rows.unpublished.iter().map(|i| &rows.events[*i]).filter(mine).take(limit).cloned().collect())
    }
    async fn done(&self, event_ids: &[String]) -> Result<()> {
        let mut rows = self.store.rows.lock().unwrap();
        let Rows { events, unpublished, .. } = &mut *rows;
        unpublished.retain(|i| !event_ids.contains(&events[*i].event_id));
        Ok(())
    }
    fn changed(&self) -> watch::Receiver<u64> {
        self.store.changed.subscribe()
    }
    async fn lease(&self, _: u32, ttl: Duration) -> Result<bool> {
        let mut rows = self.store.rows.lock().unwrap();
        rows.asked += 1;
        let free = rows.lease.is_none_or(|(owner, until)| owner == self.owner || until < Instant::now());
        if free {
            rows.lease = Some((self.owner, Instant::now() + ttl));
        }
        Ok(free)
    }
    async fn release(&self, _: u32) -> Result<()> {
        let mut rows = self.store.rows.lock().unwrap();
        if rows.lease.is_some_and(|(owner, _)| owner == self.owner) {
            rows.lease = None;
        }
        Ok(())
    }
    async fn lag(&self) -> Result<OutboxLag> {
        self.store.rows.lock().unwrap().asked += 1;
        Ok(OutboxLag { pending: self.store.unpublished() as u64, oldest: None })
    }
}

/// What a handler does with one try.
#[derive(Clone, Copy)]
pub enum Plan {
    Apply,
    Slow(Duration),
    Refuse,
    /// Something that the handler needs is down.
    Away,
    Panic,
    /// The transaction commits, but the answer gets lost.
    LoseAnswer,
}

#[derive(Default)]
pub struct Seen {
    pub last: HashMap<String, i64>,
    pub effects: Vec<(String, i64)>,
    pub dead: BTreeMap<String, (Delivery, String)>,
    pub cursor: i64,
    /// How often it moved.
    pub stored: usize,
    pub tries: usize,
    /// Everything that ever came, for disorder.
    pub came: Vec<Delivery>,
}

type Planner = Box<dyn Fn(&Delivery) -> Plan + Send + Sync>;

pub struct MemoryInbox {
    pub seen: Mutex<Seen>,
    plan: Planner,
    running: AtomicUsize,
    pub most_at_once: AtomicUsize,
    /// The store behind the inbox is down.
    pub down: AtomicBool,
    /// Dead letters can't be stored.
    pub no_letters: AtomicBool,
}

impl MemoryInbox {
    pub fn new(plan: impl Fn(&Delivery) -> Plan + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(MemoryInbox {
            seen: Mutex::default(),
            plan: Box::new(plan),
            running: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            no_letters: AtomicBool::new(false),
        })
    }

    fn store(&self) -> Result<()> {
        if self.down.load(Ordering::SeqCst) { Err(Error::unavailable("database")) } else { Ok(()) }
    }

    pub fn plain() -> Arc<Self> {
        Self::new(|_| Plan::Apply)
    }

    pub fn effects(&self) -> usize {
        self.seen.lock().unwrap().effects.len()
    }

    pub fn tries(&self) -> usize {
        self.seen.lock().unwrap().tries
    }

    pub fn dead(&self) -> usize {
        self.seen.lock().unwrap().dead.len()
    }

    /// The transaction: check the version, have the effect, note the version.
    pub fn apply(&self, d: &Delivery) -> Applied {
        let mut s = self.seen.lock().unwrap();
        let (id, version) = (d.envelope.aggregate_id.clone(), d.envelope.version);
        let last = s.last.get(&id).copied();
        if version <= last.unwrap_or(0) {
            return Applied::Duplicate;
        }
        let begins = last.is_none() && d.accept_gap;
        if version > last.unwrap_or(0) + 1 && !begins {
            return Applied::Gap { expected: last.unwrap_or(0) + 1 };
        }
        s.effects.push((id.clone(), version));
        s.last.insert(id, version);
        Applied::Done
    }

    /// Every event of `want` had its effect once, in order for each aggregate, but for the dead letters.
    pub fn assert_complete(&self, want: &[Envelope]) {
        let s = self.seen.lock().unwrap();
        let mut expected: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for e in want.iter().filter(|e| !s.dead.contains_key(&e.event_id)) {
            expected.entry(&e.aggregate_id).or_default().push(e.version);
        }
        let mut got: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (id, version) in &s.effects {
            got.entry(id).or_default().push(*version);
        }
        assert_eq!(got, expected);
    }
}

#[async_trait]
impl Inbox for MemoryInbox {
    async fn deliver(&self, d: &Delivery) -> Result<Applied> {
        let at_once = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        {
            let mut s = self.seen.lock().unwrap();
            s.tries += 1;
            s.came.push(d.clone());
        }
        let plan = (self.plan)(d);
        let store = self.store();
        if let Plan::Slow(pause) = plan {
            tokio::time::sleep(pause).await;
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        store?;
        match plan {
            Plan::Refuse => Err(Error::new(Code::Internal, "BAD_EVENT", "this can't be handled")),
            Plan::Away => Err(Error::unavailable("the peer")),
            Plan::Panic => panic!("a handler panics"),
            Plan::LoseAnswer => {
                self.apply(d);
                Err(Error::unavailable("the connection"))
            }
            Plan::Apply | Plan::Slow(_) => Ok(self.apply(d)),
        }
    }

    async fn dead_letter(&self, d: &Delivery, error: &str) -> Result<()> {
        self.store()?;
        if self.no_letters.load(Ordering::SeqCst) {
            return Err(Error::new(Code::ResourceExhausted, "STORE_FULL", "the database has no room left"));
        }
        let mut s = self.seen.lock().unwrap();
        s.dead.insert(d.envelope.event_id.clone(), (d.clone(), error.to_owned()));
        if d.envelope.version > 0 {
            let last = s.last.entry(d.envelope.aggregate_id.clone()).or_default();
            *last = d.envelope.version.max(*last);
        }
        Ok(())
    }

    async fn position(&self) -> Result<i64> {
        Ok(self.seen.lock().unwrap().cursor)
    }

    async fn advance(&self, cursor: i64) -> Result<()> {
        self.store()?;
        let mut s = self.seen.lock().unwrap();
        s.stored += usize::from(cursor > s.cursor);
        s.cursor = s.cursor.max(cursor);
        Ok(())
    }
}

/// A source and a bus of one kind; what it starts ends with it.
pub struct Fixture {
    pub store: Arc<Store>,
    pub bus: Arc<dyn EventBus>,
    pub nats: Option<NatsServer>,
    tasks: JoinSet<()>,
}

impl Fixture {
    pub async fn embedded() -> Self {
        let store = Store::new("shop");
        let logs: [Arc<dyn Log>; 1] = [store.clone()];
        Fixture { bus: Arc::new(Embedded::new(logs)), store, nats: None, tasks: JoinSet::new() }
    }

    pub async fn jetstream() -> Self {
        let nats = NatsServer::start().await;
        let js = connect(&nats.url()).await;
        let store = Store::new("shop");
        let mut f = Fixture { bus: Arc::new(js), store, nats: Some(nats), tasks: JoinSet::new() };
        f.relay(1, Stop::new());
        f
    }

    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    pub fn relay(&mut self, owner: usize, stop: Stop) {
        let (bus, outbox) = (self.bus.clone(), Arc::new(Relay { store: self.store.clone(), owner }));
        self.spawn(async move { bus.relay(outbox, stop).await.unwrap() });
    }

    /// Starts a consumer; cancel the token, then wait for the receiver to know that it has drained.
    pub fn consume(&mut self, spec: ConsumerSpec, inbox: &Arc<MemoryInbox>) -> (Stop, Ended) {
        let (stop, bus, inbox) = (Stop::new(), self.bus.clone(), inbox.clone());
        let (tx, rx) = tokio::sync::oneshot::channel();
        let token = stop.clone();
        self.spawn(async move {
            bus.consume(spec, inbox, token).await.unwrap();
            let _ = tx.send(());
        });
        (stop, rx)
    }
}

pub type Ended = tokio::sync::oneshot::Receiver<()>;

pub async fn connect(url: &str) -> JetStream {
    JetStream::connect(&JetStreamConfig { urls: vec![url.into()], lease_secs: 2, ..Default::default() }).await.unwrap()
}

pub fn spec() -> ConsumerSpec {
    let mut spec = ConsumerSpec::new("watcher.shop-events", "shop", "item");
    spec.backoff.min = Duration::from_millis(5);
    spec.backoff.max = Duration::from_millis(50);
    spec.max_attempts = 4;
    spec
}

pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} didn't happen within 30 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
