//! Events as handlers see them.

use db::{Applied, Db, Tx};
use futures::future::BoxFuture;
use jangteo_core::{Call, Result, Time};
use proto::{Event, jangteo::event::v1::Envelope};
use std::{
    ops::Deref,
    sync::{Arc, Mutex},
};

pub(crate) type Handler = Arc<dyn Fn(Delivered) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// One delivery on its way through a handler.
#[derive(Clone)]
pub(crate) struct Delivered {
    pub cx: Call,
    pub consumer: Arc<str>,
    pub envelope: Envelope,
    /// A dead letter that is tried again: its place in the order is long past, its own row makes it once.
    pub dead_letter: bool,
    pub outcome: Arc<Mutex<Option<Applied>>>,
}

impl Delivered {
    pub async fn apply<F, Fut>(&self, db: &Db, f: F) -> Result<()>
    where
        F: Fn(Tx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<()>> + Send,
    {
        let outcome = if self.dead_letter {
            match db.dead_letter_replay(&self.cx, &self.consumer, &self.envelope.event_id, f).await? {
                true => Applied::Done,
                false => Applied::Duplicate,
            }
        } else {
            db.apply(&self.cx, &self.consumer, &self.envelope, f).await?
        };
        *self.outcome.lock().expect("no holder panics") = Some(outcome);
        Ok(())
    }
}

/// An event and what it came with. Derefs to the event.
pub struct Received<E> {
    pub event: E,
    pub(crate) delivered: Delivered,
}

impl<E: Event> Received<E> {
    /// As the bus delivers it to `consumer` of `service`: for tests of handlers. `version` counts from 1 in each aggregate.
    pub fn deliver(service: &str, consumer: &str, event: E, version: i64, now: Time) -> Received<E> {
        let envelope = Envelope {
            event_id: format!("{}-{}-{version}", E::NAME, event.aggregate_id()),
            time: Some(proto::timestamp(now)),
            r#type: E::full_name(),
            source: E::SOURCE.to_owned(),
            aggregate: E::AGGREGATE.to_owned(),
            aggregate_id: event.aggregate_id().to_owned(),
            version,
            payload: event.encode_to_vec(),
            ..Envelope::default()
        };
        let delivered = Delivered {
            cx: Call::system(service, consumer, now),
            consumer: consumer.into(),
            envelope,
            dead_letter: false,
            outcome: Arc::default(),
        };
        Received { event, delivered }
    }
}

impl<E> Received<E> {
    /// A call of this service's own, in the trace of the fact, for RPCs that the handler makes.
    pub fn call(&self) -> &Call {
        &self.delivered.cx
    }

    pub fn envelope(&self) -> &Envelope {
        &self.delivered.envelope
    }

    /// Writes the event's effect: inbox and effect in one transaction, so that it happens once however
    /// often the event is delivered. `f` may run again and makes no RPC; make those before.
    pub async fn apply<F, Fut>(&self, db: &Db, f: F) -> Result<()>
    where
        F: Fn(Tx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<()>> + Send,
    {
        self.delivered.apply(db, f).await
    }
}

impl<E> Deref for Received<E> {
    type Target = E;
    fn deref(&self) -> &E {
        &self.event
    }
}
