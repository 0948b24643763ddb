//! Takes one event to its end: applied, a duplicate, or a dead letter; or released when the consumer stops.

use crate::{Applied, ConsumerSpec, Delivery, Inbox, Stop};
use async_trait::async_trait;
use futures::FutureExt;
use jangteo_core::{Code, Error};
use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Duplicate,
    Dead,
    /// Stopped while waiting for another try: still to be delivered.
    Released,
}

/// What only the store of the events can tell.
#[async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    /// Whether no earlier version of this aggregate is stored any more.
    async fn begins_with(&self, d: &Delivery) -> bool;
}

#[derive(Clone)]
pub(crate) struct Worker {
    pub spec: Arc<ConsumerSpec>,
    inbox: Arc<dyn Inbox>,
    source: Arc<dyn Source>,
    slots: Arc<Semaphore>,
    pub stop: Stop,
}

/// Why a try came to nothing.
enum Miss {
    Gap(i64),
    /// The inbox's own store is down: this says nothing about the event, nor about its peers.
    Store(String),
    /// Something that the handler needs is unavailable.
    Peer(Error),
    Failed(String),
}

/// What counts towards giving an event up.
#[derive(Default)]
struct Tally {
    /// Failures that were the event's own fault.
    failures: u32,
    /// Since when a peer has been failing, as seen while the store was up.
    peer_since: Option<Instant>,
    /// Which version is missing, and since when.
    gap: Option<(i64, Instant)>,
}

impl Worker {
    pub fn new(spec: ConsumerSpec, inbox: Arc<dyn Inbox>, source: Arc<dyn Source>, stop: Stop) -> Self {
        let slots = Arc::new(Semaphore::new(spec.concurrency.max(1)));
        Worker { spec: Arc::new(spec), inbox, source, slots, stop }
    }

    pub fn inbox(&self) -> &dyn Inbox {
        &*self.inbox
    }

    /// Delivers until there is an end. A dead letter is only ever written right after a failed delivery: when it
    /// can't be stored either, the store is at fault, so the count begins again and the event is delivered again.
    pub async fn run(&self, mut d: Delivery) -> End {
        let (mut tally, mut tries, mut gaps) = (Tally::default(), 0u32, 0u32);
        loop {
            d.attempt = tries + 1;
            let slot = tokio::select! {
                biased;
                () = self.stop.cancelled() => return End::Released,
                slot = self.slots.acquire() => slot.expect("never closed"),
            };
            let tried = self.attempt(&d).await;
            drop(slot);
            d.fresh = false;
            let miss = match tried {
                Ok(end) => return end,
                Err(miss) => miss,
            };
            if let Miss::Gap(expected) = miss
                && expected <= 1
                && !d.accept_gap
                && self.source.begins_with(&d).await
            {
                tracing::warn!(
                    consumer = self.spec.name,
                    aggregate_id = d.envelope.aggregate_id,
                    version = d.envelope.version,
                    "earlier versions have left the stream, the consumer begins here"
                );
                d.accept_gap = true;
                continue;
            }
            let pause = match &miss {
                Miss::Gap(_) => {
                    gaps += 1;
                    Duration::from_millis(10u64 << gaps.min(7))
                }
                Miss::Peer(e) => {
                    tries += 1;
                    let asked = e.retry_after().unwrap_or_default();
                    asked.max(self.spec.backoff.pause(tries, &d.envelope.event_id))
                }
                Miss::Store(_) | Miss::Failed(_) => {
                    tries += 1;
                    self.spec.backoff.pause(tries, &d.envelope.event_id)
                }
            };
            match tally.verdict(&self.spec, &d, &miss) {
                Some(error) if self.give_up(&d, &error).await => return self.count(End::Dead, "dead"),
                Some(_) => tally = Tally::default(),
                None => self.log(&d, &miss),
            }
            metrics::counter!("bus_retries_total", "consumer" => self.spec.name.clone()).increment(1);
            if !self.wait(pause).await {
                return End::Released;
            }
        }
    }

    async fn attempt(&self, d: &Delivery) -> Result<End, Miss> {
        if d.envelope.version == 0 {
            return Err(Miss::Failed("the message is not an event envelope".into()));
        }
        let begun = Instant::now();
        let tried = AssertUnwindSafe(self.inbox.deliver(d)).catch_unwind().await;
        metrics::histogram!("bus_delivery_seconds", "consumer" => self.spec.name.clone()).record(begun.elapsed());
        match tried {
            Ok(Ok(Applied::Done)) => Ok(self.count(End::Done, "done")),
            Ok(Ok(Applied::Duplicate)) => Ok(self.count(End::Duplicate, "duplicate")),
            Ok(Ok(Applied::Gap { expected })) => Err(Miss::Gap(expected)),
            Ok(Err(e)) => match e.code() {
                Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::ResourceExhausted
                | Code::Cancelled => Err(self.who(e).await),
                _ => Err(Miss::Failed(format!("{e:?}"))),
            },
            Err(panic) => {
                let what = panic.downcast_ref::<String>().map(String::as_str);
                let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                Err(Miss::Failed(format!("handler panicked: {what}")))
            }
        }
    }

    /// Tells the inbox's store from a peer. The error can't: a peer reports its own store in the same words. So the
    /// store is asked for a write that changes nothing.
    async fn who(&self, e: Error) -> Miss {
        tokio::select! {
            biased;
            answer = self.inbox.advance(0) => match answer {
                Ok(()) => Miss::Peer(e),
                Err(_) => Miss::Store(format!("{e:?}")),
            },
            () = self.stop.cancelled() => Miss::Store(format!("{e:?}")),
        }
    }

    /// Writes the dead letter; false when it couldn't be stored.
    async fn give_up(&self, d: &Delivery, error: &str) -> bool {
        if let Err(e) = self.inbox.dead_letter(d, error).await {
            tracing::error!(
                consumer = self.spec.name,
                event_id = d.envelope.event_id,
                error = ?e,
                "dead letter could not be stored, the event is delivered again"
            );
            return false;
        }
        tracing::error!(
            consumer = self.spec.name,
            event_id = d.envelope.event_id,
            r#type = d.envelope.r#type,
            aggregate_id = d.envelope.aggregate_id,
            version = d.envelope.version,
            attempts = d.attempt,
            error,
            "event became a dead letter"
        );
        metrics::counter!("bus_dead_letters_total", "consumer" => self.spec.name.clone()).increment(1);
        true
    }

    fn count(&self, end: End, outcome: &'static str) -> End {
        metrics::counter!("bus_delivered_total", "consumer" => self.spec.name.clone(), "outcome" => outcome)
            .increment(1);
        end
    }

    fn log(&self, d: &Delivery, miss: &Miss) {
        let error = match miss {
            // Usual with several replicas, and over in a moment.
            Miss::Gap(_) => return,
            Miss::Peer(e) => format!("{e:?}"),
            Miss::Store(error) | Miss::Failed(error) => error.clone(),
        };
        tracing::warn!(
            consumer = self.spec.name,
            event_id = d.envelope.event_id,
            r#type = d.envelope.r#type,
            attempt = d.attempt,
            error,
            "event will be delivered again"
        );
    }

    /// False when the consumer stops.
    async fn wait(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

impl Tally {
    /// Counts a miss; an error when the event is to be given up.
    fn verdict(&mut self, spec: &ConsumerSpec, d: &Delivery, miss: &Miss) -> Option<String> {
        match miss {
            Miss::Store(_) => {
                // Nobody's patience runs while the store is down, that of a gap included: the version before can't
                // be decided either.
                (self.peer_since, self.gap) = (None, None);
                None
            }
            Miss::Peer(e) => {
                let since = *self.peer_since.get_or_insert_with(Instant::now);
                (since.elapsed() > spec.patience).then(|| format!("{e:?}"))
            }
            Miss::Gap(expected) => {
                let since = match self.gap {
                    Some((version, since)) if version == *expected => since,
                    _ => Instant::now(),
                };
                self.gap = Some((*expected, since));
                (since.elapsed() > spec.patience * 2).then(|| format!("version {expected} never came"))
            }
            Miss::Failed(error) => {
                self.failures += 1;
                self.peer_since = None;
                // No other try makes an envelope of what is none.
                let enough = d.envelope.version == 0 || self.failures >= spec.max_attempts;
                enough.then(|| error.clone())
            }
        }
    }
}
