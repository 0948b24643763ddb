//! The contract: what a consumer asks for, what the bus hands over, and what `kit` implements.

use crate::{Envelope, Stop};
use async_trait::async_trait;
use jangteo_core::{Result, Time};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

#[async_trait]
pub trait EventBus: Send + Sync + 'static {
    /// Delivers to `inbox` until `stop`, then drains: fetches no more and finishes what is in hand.
    /// Fails only where waiting can't help; a server that is down is waited for.
    async fn consume(&self, spec: ConsumerSpec, inbox: Arc<dyn Inbox>, stop: Stop) -> Result<()>;

    /// Publishes every partition of `outbox` until `stop`, then what is left while the server answers.
    /// Where consumers read the log itself there is nothing to carry, and this only waits for `stop`.
    async fn relay(&self, outbox: Arc<dyn Outbox>, stop: Stop) -> Result<()>;

    /// Delivers again what is stored, from a point up to the end as it is now, with the same order, retries and
    /// dead letters as [`consume`](Self::consume). An inbox that has seen an event calls it a duplicate, so that
    /// replaying twice changes nothing; a rebuild empties the inbox first.
    async fn replay(&self, spec: ConsumerSpec, replay: Replay, inbox: Arc<dyn Inbox>, stop: Stop) -> Result<Replayed>;

    /// How far a consumer is behind.
    async fn lag(&self, spec: &ConsumerSpec, inbox: &dyn Inbox) -> Result<Lag>;

    /// Whether events flow at the moment, for readiness.
    fn healthy(&self) -> bool;
}

/// One durable consumer of one service's events.
#[derive(Debug, Clone)]
pub struct ConsumerSpec {
    /// `user.auth-events`: unique in the platform, and never changed: the server keeps the consumer's place under it.
    pub name: String,
    /// The service whose events these are: `auth`.
    pub source: String,
    /// The noun, or `*` for all of the source.
    pub aggregate: String,
    /// The event becomes a dead letter after this many failures of its own. Counted per run of the process.
    pub max_attempts: u32,
    pub backoff: Backoff,
    /// JetStream delivers again what is silent for so long; slow handlers are reported as being in progress.
    pub ack_wait: Duration,
    /// Events in hand at once, of all aggregates; on JetStream of all replicas together. When one aggregate has
    /// so many waiting behind a poison event, the others wait too, until it is a dead letter.
    pub max_in_flight: usize,
    /// Handlers running at once.
    pub concurrency: usize,
    /// How long a peer may keep failing before the event becomes a dead letter all the same. Only time in which the
    /// inbox's own store is up counts: an outage of the store, however long, makes no dead letters. A missing version
    /// is waited for twice as long, so that the event before it is decided first.
    pub patience: Duration,
}

impl ConsumerSpec {
    pub fn new(name: impl Into<String>, source: impl Into<String>, aggregate: impl Into<String>) -> Self {
        ConsumerSpec {
            name: name.into(),
            source: source.into(),
            aggregate: aggregate.into(),
            max_attempts: 8,
            backoff: Backoff::default(),
            ack_wait: Duration::from_secs(30),
            max_in_flight: 256,
            concurrency: 16,
            patience: Duration::from_secs(15 * 60),
        }
    }

    pub(crate) fn wants(&self, e: &Envelope) -> bool {
        self.aggregate == "*" || self.aggregate == e.aggregate
    }
}

/// Pauses between tries: doubling, with a fifth of jitter either way.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { min: Duration::from_millis(100), max: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The pause after failure number `n`, from 1. `salt` spreads those that fail together.
    pub(crate) fn pause(&self, n: u32, salt: &str) -> Duration {
        let full = self.min.saturating_mul(1u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX)).min(self.max);
        let mut h = DefaultHasher::new();
        (salt, n).hash(&mut h);
        full.mul_f64(0.8 + (h.finish() % 1000) as f64 / 2500.0)
    }
}

/// One try at handing over one event.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub envelope: Envelope,
    /// Embedded: `seq` in the source's log. JetStream: the sequence in the stream.
    pub position: i64,
    /// From 1.
    pub attempt: u32,
    /// An aggregate of which the inbox knows nothing may begin at this version, because the ones before are not to
    /// be had. Where the inbox knows the aggregate a gap is a gap all the same.
    pub accept_gap: bool,
    /// Written after this consumer began, and never handed over before: its inbox can't know it.
    pub fresh: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Done,
    /// Its version was applied before.
    Duplicate,
    /// A version before it is missing: come again.
    Gap {
        expected: i64,
    },
}

/// A consumer's side, bound to one consumer.
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// Checks the version, runs the handler and notes the version, in one transaction. A type that nobody handles is `Done`.
    ///
    /// UNAVAILABLE, DEADLINE_EXCEEDED, ABORTED, RESOURCE_EXHAUSTED and CANCELLED are not the event's fault: they are
    /// tolerated for [`ConsumerSpec::patience`] when they are a peer's, and without limit when the store behind this
    /// inbox is down (see [`advance`](Self::advance)). Every other error, and a panic, counts towards `max_attempts`.
    async fn deliver(&self, d: &Delivery) -> Result<Applied>;

    /// Stores the event as a dead letter and notes its version, in one transaction, once per event id. When this fails
    /// the event is delivered again. Version 0 marks a message that was no envelope: its bytes are the payload, and
    /// there is no version to note.
    async fn dead_letter(&self, d: &Delivery, error: &str) -> Result<()>;

    /// Embedded: the cursor, 0 at first.
    async fn position(&self) -> Result<i64>;

    /// Embedded: everything up to here is done or not this consumer's. Never moves back, so 0 changes nothing: either
    /// bus calls it with 0 to learn whether the store takes writes.
    async fn advance(&self, cursor: i64) -> Result<()>;
}

/// A service's own event table. Rows must appear in the order of `seq`, as they do where there is one writer.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    fn source(&self) -> &str;
    async fn after(&self, seq: i64, limit: usize) -> Result<Vec<(i64, Envelope)>>;
    /// The last `seq`, 0 when empty.
    async fn head(&self) -> Result<i64>;
    /// Woken after a commit in this process; others are found by polling.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// The rows of a service that are not published yet.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    fn source(&self) -> &str;
    fn partitions(&self) -> u32;
    /// The oldest rows, for each aggregate by version and without holes. An aggregate stays in one partition.
    async fn batch(&self, partition: u32, limit: usize) -> Result<Vec<Envelope>>;
    /// The server has these.
    async fn done(&self, event_ids: &[String]) -> Result<()>;
    fn changed(&self) -> watch::Receiver<u64>;
    /// Takes or renews the right to publish a partition; true means it is ours for `ttl`.
    async fn lease(&self, partition: u32, ttl: Duration) -> Result<bool>;
    async fn release(&self, partition: u32) -> Result<()>;
    async fn lag(&self) -> Result<OutboxLag>;
}

#[derive(Debug, Clone, Copy, Default)]
pub struct OutboxLag {
    pub pending: u64,
    /// Age of the oldest row.
    pub oldest: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// Stored and not finished; embedded counts other aggregates' rows too until it has passed over them.
    pub pending: u64,
    /// Of these, in a consumer's hands.
    pub in_flight: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct Replay {
    pub from: Position,
    /// The inbox was emptied before and `from` is not the start: an aggregate may begin at the first version that
    /// comes. Without it, versions before are waited for.
    pub baseline: bool,
}

impl Replay {
    pub fn from_start() -> Self {
        Replay { from: Position::Start, baseline: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    Start,
    /// Events written at or after.
    Time(Time),
    /// The first position to deliver.
    At(i64),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Events applied.
    pub delivered: u64,
    pub duplicates: u64,
    pub dead_letters: u64,
    /// The last position that was looked at.
    pub last: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let b = Backoff { min: Duration::from_millis(100), max: Duration::from_secs(1) };
        for (n, want) in [(1, 100.0), (2, 200.0), (4, 800.0), (5, 1000.0), (40, 1000.0)] {
            let got = b.pause(n, "evt").as_secs_f64() * 1000.0;
            assert!((want * 0.79..want * 1.21).contains(&got), "{n}: {got}");
        }
    }
}
