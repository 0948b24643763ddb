//! Carries one event to its end: applied, known already, or a dead letter; or released when the consumer stops.

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
    /// Stopped while waiting for another try: it is still to be done.
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
    /// Not the event's fault.
    Outside(Error),
    Failed(String),
}

impl Worker {
    pub fn new(spec: ConsumerSpec, inbox: Arc<dyn Inbox>, source: Arc<dyn Source>, stop: Stop) -> Self {
        let slots = Arc::new(Semaphore::new(spec.concurrency.max(1)));
        Worker { spec: Arc::new(spec), inbox, source, slots, stop }
    }

    pub fn inbox(&self) -> &dyn Inbox {
        &*self.inbox
    }

    pub async fn run(&self, mut d: Delivery) -> End {
        if d.envelope.version == 0 {
            return self.bury(&d, "the message is not an event envelope").await;
        }
        let (mut failures, mut gaps) = (0u32, 0u32);
        let (mut outside_since, mut gap_since) = (None::<Instant>, None::<Instant>);
        loop {
            d.attempt = failures + 1;
            let slot = tokio::select! {
                biased;
                () = self.stop.cancelled() => return End::Released,
                slot = self.slots.acquire() => slot.expect("never closed"),
            };
            let tried = self.attempt(&d).await;
            drop(slot);
            let miss = match tried {
                Ok(end) => return end,
                Err(miss) => miss,
            };
            let pause = match miss {
                Miss::Gap(expected) => {
                    if expected <= 1 && !d.accept_gap && self.source.begins_with(&d).await {
                        tracing::warn!(
                            consumer = self.spec.name,
                            aggregate_id = d.envelope.aggregate_id,
                            version = d.envelope.version,
                            "earlier versions have left the stream, the consumer begins here"
                        );
                        d.accept_gap = true;
                        continue;
                    }
                    gaps += 1;
                    if gap_since.get_or_insert_with(Instant::now).elapsed() > self.spec.patience * 2 {
                        return self.bury(&d, &format!("version {expected} never came")).await;
                    }
                    Duration::from_millis(10u64 << gaps.min(7))
                }
                Miss::Outside(e) => {
                    failures += 1;
                    if outside_since.get_or_insert_with(Instant::now).elapsed() > self.spec.patience {
                        return self.bury(&d, &format!("{e:?}")).await;
                    }
                    self.log(&d, &format!("{e:?}"));
                    e.retry_after().unwrap_or_default().max(self.spec.backoff.pause(failures, &d.envelope.event_id))
                }
                Miss::Failed(error) => {
                    failures += 1;
                    // Failures while something outside was away don't count for it.
                    outside_since = None;
                    if failures >= self.spec.max_attempts {
                        return self.bury(&d, &error).await;
                    }
                    self.log(&d, &error);
                    self.spec.backoff.pause(failures, &d.envelope.event_id)
                }
            };
            metrics::counter!("bus_retries_total", "consumer" => self.spec.name.clone()).increment(1);
            if !self.wait(pause).await {
                return End::Released;
            }
        }
    }

    async fn attempt(&self, d: &Delivery) -> Result<End, Miss> {
        let begun = Instant::now();
        let tried = AssertUnwindSafe(self.inbox.deliver(d)).catch_unwind().await;
        metrics::histogram!("bus_delivery_seconds", "consumer" => self.spec.name.clone()).record(begun.elapsed());
        match tried {
            Ok(Ok(Applied::Done)) => Ok(self.count(End::Done, "done")),
            Ok(Ok(Applied::Duplicate)) => Ok(self.count(End::Duplicate, "duplicate")),
            Ok(Ok(Applied::Gap { expected })) => Err(Miss::Gap(expected)),
            Ok(Err(e)) => Err(match e.code() {
                Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::ResourceExhausted
                | Code::Cancelled => Miss::Outside(e),
                _ => Miss::Failed(format!("{e:?}")),
            }),
            Err(panic) => {
                let what = panic.downcast_ref::<String>().map(String::as_str);
                let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                Err(Miss::Failed(format!("handler panicked: {what}")))
            }
        }
    }

    /// Puts the event aside, however long the inbox takes to accept it: an event is never dropped.
    async fn bury(&self, d: &Delivery, error: &str) -> End {
        for n in 1.. {
            match self.inbox.dead_letter(d, error).await {
                Ok(()) => break,
                Err(e) => tracing::error!(consumer = self.spec.name, error = ?e, "dead letter could not be kept"),
            }
            if !self.wait(self.spec.backoff.pause(n, &d.envelope.event_id)).await {
                return End::Released;
            }
        }
        tracing::error!(
            consumer = self.spec.name,
            event_id = d.envelope.event_id,
            r#type = d.envelope.r#type,
            aggregate_id = d.envelope.aggregate_id,
            version = d.envelope.version,
            attempts = d.attempt,
            error,
            "event put aside as a dead letter"
        );
        metrics::counter!("bus_dead_letters_total", "consumer" => self.spec.name.clone()).increment(1);
        self.count(End::Dead, "dead")
    }

    fn count(&self, end: End, outcome: &'static str) -> End {
        metrics::counter!("bus_delivered_total", "consumer" => self.spec.name.clone(), "outcome" => outcome)
            .increment(1);
        end
    }

    fn log(&self, d: &Delivery, error: &str) {
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
