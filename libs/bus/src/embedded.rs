//! The bus of a market in one process: consumers read the other services' event tables.
//!
//! A reader runs ahead through the log in the order of `seq` and hands the events to lanes, one for each aggregate.
//! Its cursor is the low-water mark: everything at or below it is done. It is stored now and then, not with each event, so
//! a crash repeats some events, which the inbox knows by their versions, and skips none. An aggregate that piles up
//! behind a failing event keeps only positions in memory and reads its events again when their turn comes, so that it
//! never stops the others.

use crate::{
    ConsumerSpec, Delivery, Envelope, EventBus, Inbox, Lag, Log, Outbox, Position, Replay, Replayed, Stop,
    lanes::{Key, Lanes},
    tail::Tail,
    worker::{End, Source, Worker},
};
use async_trait::async_trait;
use futures::future::BoxFuture;
use jangteo_core::{Code, Error, Result, Time};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

const PAGE: usize = 128;
/// Waiting events of one aggregate that are kept whole; of those behind them only the position is.
const WHOLE: usize = 16;
/// Positions in hand, 16 bytes each or so, before the reader pauses.
const MOST: usize = 500_000;
/// Commits of other processes are found this often.
const POLL: Duration = Duration::from_secs(1);
/// How often a reader stores its cursor, should it have moved.
const BEAT: Duration = Duration::from_secs(5);
/// Or before, when so much would be read again after a crash.
const MUCH: i64 = 1024;

pub struct Embedded {
    logs: HashMap<String, Arc<dyn Log>>,
    places: Mutex<HashMap<String, Arc<Place>>>,
}

/// Where a reader of this process stands.
#[derive(Default)]
struct Place {
    in_flight: AtomicU64,
    low_water: AtomicI64,
}

impl Embedded {
    /// `logs`: one for each service in this process.
    pub fn new(logs: impl IntoIterator<Item = Arc<dyn Log>>) -> Self {
        let shared = |log: Arc<dyn Log>| (log.source().to_owned(), Arc::new(Tail::new(log)) as Arc<dyn Log>);
        let logs = logs.into_iter().map(shared).collect();
        Embedded { logs, places: Mutex::default() }
    }

    fn log(&self, spec: &ConsumerSpec) -> Result<Arc<dyn Log>> {
        self.logs.get(&spec.source).cloned().ok_or_else(|| {
            let why = "without a message server a consumer runs beside the service that it listens to";
            Error::new(Code::FailedPrecondition, "SOURCE_NOT_IN_PROCESS", why)
                .with("consumer", &spec.name)
                .with("source", &spec.source)
        })
    }

    fn place(&self, consumer: &str) -> Arc<Place> {
        self.places.lock().expect("no holder panics").entry(consumer.to_owned()).or_default().clone()
    }
}

#[async_trait]
impl EventBus for Embedded {
    async fn consume(&self, spec: ConsumerSpec, inbox: Arc<dyn Inbox>, stop: Stop) -> Result<()> {
        let log = self.log(&spec)?;
        let mut tries = 0;
        let (cursor, head) = loop {
            match futures::try_join!(inbox.position(), log.head()) {
                Ok(begin) => break begin,
                Err(e) => tracing::warn!(consumer = spec.name, error = ?e, "cursor can't be read"),
            }
            tries += 1;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(spec.backoff.pause(tries, &spec.name)) => {}
            }
        };
        let place = self.place(&spec.name);
        let worker = Worker::new(spec, inbox, Arc::new(Whole), stop.clone());
        let mut reader = Reader::new(log, worker, cursor, place);
        reader.fresh_from = cursor.max(head) + 1;
        reader.run(&stop).await;
        Ok(())
    }

    async fn relay(&self, _outbox: Arc<dyn Outbox>, stop: Stop) -> Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    async fn replay(&self, spec: ConsumerSpec, replay: Replay, inbox: Arc<dyn Inbox>, stop: Stop) -> Result<Replayed> {
        let log = self.log(&spec)?;
        let until = log.head().await?;
        let start = if let Position::At(p) = replay.from { p - 1 } else { 0 };
        let worker = Worker::new(spec, inbox, Arc::new(Whole), stop.clone());
        let mut reader = Reader::new(log, worker, start, Arc::default());
        reader.until = Some(until);
        reader.baseline = replay.baseline.then(HashSet::new);
        if let Position::Time(t) = replay.from {
            reader.since = Some(t);
        }
        reader.run(&stop).await;
        if reader.next < until || reader.released {
            return Err(Error::new(Code::Cancelled, "REPLAY_STOPPED", "replay was stopped before its end")
                .with("position", reader.low_water()));
        }
        Ok(reader.replayed)
    }

    async fn lag(&self, spec: &ConsumerSpec, inbox: &dyn Inbox) -> Result<Lag> {
        let head = self.log(spec)?.head().await?;
        let place = self.place(&spec.name);
        let done = inbox.position().await?.max(place.low_water.load(Ordering::Relaxed));
        let pending = head.saturating_sub(done).max(0).unsigned_abs();
        Ok(Lag { pending, in_flight: place.in_flight.load(Ordering::Relaxed) })
    }

    fn healthy(&self) -> bool {
        true
    }
}

/// An event table keeps every version.
struct Whole;

#[async_trait]
impl Source for Whole {
    async fn begins_with(&self, _: &Delivery) -> bool {
        false
    }
}

/// An event in a lane; without its envelope when it waits far behind.
struct Item {
    seq: i64,
    envelope: Option<Envelope>,
}

/// What a lane's task gives back.
struct Out {
    seq: i64,
    end: End,
}

type Page = Vec<(i64, Envelope)>;

struct Reader {
    log: Arc<dyn Log>,
    worker: Worker,
    lanes: Lanes<Item, Out>,
    /// Read up to here.
    next: i64,
    /// Read and not done.
    open: BTreeSet<i64>,
    /// How many of them are kept whole.
    whole: usize,
    /// The cursor as the inbox has it.
    stored: i64,
    /// From here on it is stored without waiting for the beat.
    due: i64,
    /// From here on no event was there when the consumer began.
    fresh_from: i64,
    /// A replay ends here, and leaves the cursor alone.
    until: Option<i64>,
    since: Option<Time>,
    /// Aggregates that a baseline replay has met.
    baseline: Option<HashSet<Key>>,
    replayed: Replayed,
    released: bool,
    place: Arc<Place>,
}

impl Reader {
    fn new(log: Arc<dyn Log>, worker: Worker, start: i64, place: Arc<Place>) -> Self {
        Reader {
            log,
            worker,
            lanes: Lanes::new(),
            next: start,
            open: BTreeSet::new(),
            whole: 0,
            stored: start,
            due: start + MUCH,
            fresh_from: i64::MAX,
            until: None,
            since: None,
            baseline: None,
            replayed: Replayed { last: start, ..Replayed::default() },
            released: false,
            place,
        }
    }

    async fn run(&mut self, stop: &Stop) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reading: Option<BoxFuture<'static, Page>> = None;
        let mut stopping = false;
        loop {
            let at_end = self.until.is_some_and(|u| self.next >= u);
            if (stopping || at_end) && self.lanes.is_idle() {
                break;
            }
            let room = self.whole < self.worker.spec.max_in_flight && self.open.len() < MOST;
            if reading.is_none() && room && !stopping && !at_end {
                reading = Some(Box::pin(page(self.log.clone(), self.next)));
            }
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    reading = None;
                    self.released |= !self.lanes.give_up().is_empty();
                }
                Some((out, next)) = self.lanes.finished(), if !self.lanes.is_idle() => {
                    self.finish(out);
                    if let Some((key, version, item)) = next {
                        self.start(key, version, item);
                    }
                }
                rows = async { reading.as_mut().expect("guarded").await }, if reading.is_some() => {
                    reading = None;
                    self.take(rows);
                }
                _ = beat.tick(), if self.until.is_none() => self.report().await,
            }
            self.tell();
            if self.low_water() >= self.due {
                self.advance().await;
            }
        }
        self.tell();
        self.advance().await;
    }

    /// Sorts a page into the lanes.
    fn take(&mut self, rows: Page) {
        let mut begin = Vec::new();
        for (seq, envelope) in rows {
            if self.until.is_some_and(|u| seq > u) {
                self.next = self.until.unwrap_or(seq);
                break;
            }
            self.next = seq;
            let early = self.since.is_some_and(|t| envelope.time.as_ref().is_some_and(|e| proto::time(e) < t));
            if early || !self.worker.spec.wants(&envelope) {
                continue;
            }
            self.open.insert(seq);
            let key = (envelope.aggregate.clone(), envelope.aggregate_id.clone());
            let version = envelope.version;
            let whole = self.lanes.waiting(&key) < WHOLE;
            self.whole += usize::from(whole);
            let item = Item { seq, envelope: whole.then_some(envelope) };
            if let Some(item) = self.lanes.push(&key, version, item) {
                begin.push((key, version, item));
            }
        }
        self.replayed.last = self.next;
        for (key, version, item) in begin {
            self.start(key, version, item);
        }
    }

    fn start(&mut self, key: Key, version: i64, item: Item) {
        let (worker, log, seq) = (self.worker.clone(), self.log.clone(), item.seq);
        let stop = worker.stop.clone();
        self.whole += usize::from(item.envelope.is_none());
        let fresh = seq >= self.fresh_from;
        let accept_gap = self.baseline.as_mut().is_some_and(|seen| seen.insert(key.clone()));
        self.lanes.start(key, version, async move {
            let envelope = match item.envelope {
                Some(envelope) => envelope,
                None => tokio::select! {
                    envelope = row(log, seq) => envelope,
                    () = stop.cancelled() => return Out { seq, end: End::Released },
                },
            };
            let delivery = Delivery { envelope, position: seq, attempt: 1, accept_gap, fresh };
            let end = worker.run(delivery).await;
            Out { seq, end }
        });
    }

    fn finish(&mut self, out: Out) {
        self.whole -= 1;
        match out.end {
            End::Released => {
                self.released = true;
                return;
            }
            End::Done => self.replayed.delivered += 1,
            End::Duplicate => self.replayed.duplicates += 1,
            End::Dead => self.replayed.dead_letters += 1,
        }
        self.open.remove(&out.seq);
    }

    /// Everything at or below is done.
    fn low_water(&self) -> i64 {
        self.open.first().map_or(self.next, |seq| seq - 1)
    }

    fn tell(&self) {
        self.place.in_flight.store(self.open.len() as u64, Ordering::Relaxed);
        self.place.low_water.store(self.low_water(), Ordering::Relaxed);
    }

    /// Stores the cursor.
    async fn advance(&mut self) {
        let done = self.low_water();
        self.due = done + MUCH;
        if self.until.is_none() && self.stored < done {
            match self.worker.inbox().advance(done).await {
                Ok(()) => self.stored = done,
                Err(e) => tracing::warn!(consumer = self.worker.spec.name, error = ?e, "cursor can't be stored"),
            }
        }
    }

    async fn report(&mut self) {
        self.advance().await;
        let consumer = &self.worker.spec.name;
        metrics::gauge!("bus_consumer_in_flight", "consumer" => consumer.clone()).set(self.open.len() as f64);
        if let Ok(head) = self.log.head().await {
            let pending = head.saturating_sub(self.low_water()).max(0);
            metrics::gauge!("bus_consumer_pending", "consumer" => consumer.clone()).set(pending as f64);
        }
    }
}

/// The rows behind `next`, as soon as there are any.
async fn page(log: Arc<dyn Log>, next: i64) -> Page {
    let mut changed = log.changed();
    loop {
        changed.borrow_and_update();
        match log.after(next, PAGE).await {
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => return rows,
            Err(e) => {
                tracing::warn!(source = log.source(), error = ?e, "event log can't be read");
                tokio::time::sleep(POLL).await;
                continue;
            }
        }
        let woken = tokio::time::timeout(POLL, changed.changed()).await;
        if matches!(woken, Ok(Err(_))) {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// One row that was read before: the table is insert only, so it is there.
async fn row(log: Arc<dyn Log>, seq: i64) -> Envelope {
    loop {
        match log.after(seq - 1, 1).await {
            Ok(rows) => {
                if let Some((_, envelope)) = rows.into_iter().find(|(s, _)| *s == seq) {
                    return envelope;
                }
                tracing::error!(source = log.source(), seq, "row has left the event log");
            }
            Err(e) => tracing::warn!(source = log.source(), error = ?e, "event log can't be read"),
        }
        tokio::time::sleep(POLL).await;
    }
}
