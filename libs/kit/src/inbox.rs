//! The bus's view of a service's database: its event table as a log or an outbox, and the inbox of
//! each of its consumers.

use crate::events::{Delivered, Handler};
use async_trait::async_trait;
use bus::{Applied, Delivery, Envelope, OutboxLag};
use db::{Db, DeadLetter, Lease, PARTITIONS, crypt::ERASED};
use jangteo_core::{Call, Clock, Result, Trace};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::watch;

pub(crate) struct Inbox {
    pub service: &'static str,
    pub source: &'static str,
    pub consumer: Arc<str>,
    pub db: Db,
    pub clock: Arc<dyn Clock>,
    pub handlers: BTreeMap<String, Handler>,
}

impl Inbox {
    fn call(&self, envelope: &Envelope) -> Call {
        let mut cx = Call::system(self.service, &self.consumer, self.clock.now());
        let traceparent = Some(envelope.traceparent.clone()).filter(|t| !t.is_empty());
        cx.trace = Trace { traceparent, tracestate: None };
        cx
    }

    /// Runs the handler of the event's type, and steps past it where there is none.
    async fn dispatch(&self, envelope: &Envelope, dead_letter: bool) -> Result<Applied> {
        let mut cx = self.call(envelope);
        let span = tracing::info_span!("event", consumer = %self.consumer, r#type = envelope.r#type, event_id = envelope.event_id);
        cx.trace = rpc::trace::enter(&span, cx.trace);
        let delivered = Delivered {
            cx,
            consumer: self.consumer.clone(),
            envelope: envelope.clone(),
            dead_letter,
            outcome: Arc::default(),
        };
        let outcome = delivered.outcome.clone();
        if let Some(handler) = self.handlers.get(&envelope.r#type) {
            use tracing::Instrument;
            match handler(delivered.clone()).instrument(span).await {
                // Of somebody who is erased nothing is kept any more, so there is nothing to do.
                Err(e) if e.reason() == ERASED => {
                    tracing::debug!(consumer = %self.consumer, event_id = envelope.event_id, "an event came too late");
                }
                done => done?,
            }
        }
        let applied = outcome.lock().expect("no holder panics").take();
        let applied = match applied {
            Some(applied) => applied,
            None => {
                delivered.apply(&self.db, |_| std::future::ready(Ok(()))).await?;
                outcome.lock().expect("no holder panics").take().expect("apply sets it")
            }
        };
        Ok(translate(applied))
    }

    /// Tries a dead letter again; false when it was replayed before.
    pub async fn replay_dead_letter(&self, event_id: &str) -> Result<bool> {
        let letter = self.db.dead_letter(&self.consumer, event_id).await?;
        Ok(matches!(self.dispatch(&letter.envelope, true).await?, Applied::Done))
    }
}

fn translate(a: db::Applied) -> Applied {
    match a {
        db::Applied::Done => Applied::Done,
        db::Applied::Duplicate => Applied::Duplicate,
        db::Applied::Gap { expected } => Applied::Gap { expected },
    }
}

#[async_trait]
impl bus::Inbox for Inbox {
    async fn deliver(&self, d: &Delivery) -> Result<Applied> {
        // Before the handler makes its calls; the transaction checks again.
        let known = if d.fresh { None } else { self.db.peek(&self.consumer, &d.envelope).await? };
        match known {
            Some(db::Applied::Gap { expected: 1 }) if d.accept_gap => {
                self.db.begin_at(&self.consumer, &d.envelope).await?;
            }
            Some(known) => return Ok(translate(known)),
            None => {}
        }
        self.dispatch(&d.envelope, false).await
    }

    async fn dead_letter(&self, d: &Delivery, error: &str) -> Result<()> {
        let letter = DeadLetter {
            consumer: self.consumer.to_string(),
            position: d.position,
            envelope: d.envelope.clone(),
            error: error.to_owned(),
            attempts: d.attempt,
            time: self.clock.now(),
            replayed_at: None,
        };
        self.db.dead_letter_put(&letter).await
    }

    async fn position(&self) -> Result<i64> {
        self.db.cursor(&self.consumer, self.source).await
    }

    async fn advance(&self, cursor: i64) -> Result<()> {
        self.db.advance_cursor(&self.consumer, self.source, cursor).await
    }
}

/// The event table of a service, read in commit order.
pub(crate) struct Log(pub Db);

#[async_trait]
impl bus::Log for Log {
    fn source(&self) -> &str {
        self.0.service()
    }
    async fn after(&self, seq: i64, limit: usize) -> Result<Vec<(i64, Envelope)>> {
        self.0.log_after(seq, limit as u64).await
    }
    async fn head(&self) -> Result<i64> {
        self.0.head().await
    }
    fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed()
    }
}

/// What of the event table is not published yet.
pub(crate) struct Outbox {
    pub db: Db,
    pub owner: String,
    pub clock: Arc<dyn Clock>,
    pub leases: Mutex<HashMap<u32, Lease>>,
}

impl Outbox {
    fn held(&self, partition: u32) -> Option<Lease> {
        self.leases.lock().expect("no holder panics").get(&partition).cloned()
    }
}

#[async_trait]
impl bus::Outbox for Outbox {
    fn source(&self) -> &str {
        self.db.service()
    }
    fn partitions(&self) -> u32 {
        PARTITIONS as u32
    }
    async fn batch(&self, partition: u32, limit: usize) -> Result<Vec<Envelope>> {
        self.db.outbox_batch(partition as i32, limit as u64).await
    }
    async fn done(&self, event_ids: &[String]) -> Result<()> {
        self.db.outbox_done(event_ids).await
    }
    fn changed(&self) -> watch::Receiver<u64> {
        self.db.changed()
    }
    async fn lease(&self, partition: u32, ttl: Duration) -> Result<bool> {
        if let Some(lease) = self.held(partition)
            && self.db.renew(&lease, ttl).await?
        {
            return Ok(true);
        }
        let lease = self.db.lease(&format!("relay:{partition}"), &self.owner, ttl).await?;
        let mut leases = self.leases.lock().expect("no holder panics");
        match lease {
            Some(lease) => leases.insert(partition, lease),
            None => leases.remove(&partition),
        };
        Ok(leases.contains_key(&partition))
    }
    async fn release(&self, partition: u32) -> Result<()> {
        let lease = self.leases.lock().expect("no holder panics").remove(&partition);
        match lease {
            Some(lease) => self.db.release(&lease).await,
            None => Ok(()),
        }
    }
    async fn lag(&self) -> Result<OutboxLag> {
        let lag = self.db.outbox_lag().await?;
        let now = self.clock.now();
        let oldest = lag.oldest.map(|t| (now - t).to_std().unwrap_or_default());
        Ok(OutboxLag { pending: u64::try_from(lag.pending).unwrap_or(0), oldest })
    }
}
