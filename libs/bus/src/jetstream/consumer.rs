//! A durable pull consumer. Messages in hand are reported as in progress until they are decided, so that the server
//! doesn't hand them to another replica; those of one aggregate wait for each other here.
//!
//! Replicas share a durable, so two versions of an aggregate may be in two processes: the inbox answers `Gap` to the
//! later one, which waits and asks again.

use super::{JetStream, Stored, delivery, durable_name, filter};
use crate::{
    ConsumerSpec, Delivery, Inbox, Stop,
    lanes::Lanes,
    worker::{End, Worker},
};
use async_nats::jetstream::{
    self, AckKind,
    consumer::{AckPolicy, DeliverPolicy, pull},
    message::Acker,
};
use futures::{Stream, StreamExt, stream};
use jangteo_core::Result;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// A dropped subscription is closed by a task of the client's own, which gets this long to run.
const CLOSE: Duration = Duration::from_millis(100);
/// When nothing came for so long, nothing is on its way. What comes after the end can't be given back: the server would
/// wait for it till its time-out.
const QUIET: Duration = Duration::from_millis(100);
/// Others may still be publishing; this is enough of it.
const ENOUGH: Duration = Duration::from_secs(1);

struct Out {
    position: i64,
    end: End,
}

struct Consumer {
    worker: Worker,
    lanes: Lanes<Delivery, Out>,
    /// What is in hand, by position.
    held: HashMap<i64, Acker>,
    /// What the server had behind the last message.
    behind: u64,
}

pub(super) async fn run(js: JetStream, spec: ConsumerSpec, inbox: Arc<dyn Inbox>, stop: Stop) {
    let source = Stored { js: js.clone(), source: spec.source.clone() };
    let worker = Worker::new(spec, inbox, Arc::new(source), stop.clone());
    let spec = worker.spec.clone();
    let mut c = Consumer { worker, lanes: Lanes::new(), held: HashMap::new(), behind: 0 };
    let mut incoming = Some(Box::pin(messages(js.clone(), spec.clone())));
    let mut beat = tokio::time::interval((spec.ack_wait / 3).max(Duration::from_millis(50)));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stopping = false;
    while !stopping || !c.lanes.is_idle() {
        tokio::select! {
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                // Others may have what is not begun. The pull is closed first: the server would hand what is given
                // back to it again.
                let mut unread = Vec::new();
                if let Some(mut incoming) = incoming.take() {
                    let enough = Instant::now() + ENOUGH;
                    while let Ok(Some(m)) = tokio::time::timeout(QUIET, incoming.next()).await {
                        unread.push(m);
                        if Instant::now() > enough {
                            break;
                        }
                    }
                }
                tokio::time::sleep(CLOSE).await;
                let _ = tokio::time::timeout(Duration::from_secs(1), js.client.flush()).await;
                for m in unread {
                    let _ = m.ack_with(AckKind::Nak(None)).await;
                }
                for d in c.lanes.give_up() {
                    c.settle(Out { position: d.position, end: End::Released }).await;
                }
            }
            Some((out, next)) = c.lanes.finished(), if !c.lanes.is_idle() => {
                c.settle(out).await;
                if let Some((key, version, d)) = next {
                    c.start(key, version, d);
                }
            }
            Some(m) = async { incoming.as_mut().expect("guarded").next().await }, if incoming.is_some() => c.take(m),
            _ = beat.tick() => {
                for acker in c.held.values() {
                    let _ = acker.ack_with(AckKind::Progress).await;
                }
            }
        }
        let held = c.held.len() as f64;
        metrics::gauge!("bus_consumer_in_flight", "consumer" => spec.name.clone()).set(held);
        metrics::gauge!("bus_consumer_pending", "consumer" => spec.name.clone()).set(c.behind as f64 + held);
    }
    // The last acknowledgements leave before the process does.
    let _ = tokio::time::timeout(Duration::from_secs(1), js.client.flush()).await;
}

impl Consumer {
    fn take(&mut self, m: jetstream::Message) {
        let (position, pending) = match m.info() {
            Ok(info) => (info.stream_sequence as i64, info.pending),
            Err(e) => return tracing::error!(error = %e, "message without a place in a stream"),
        };
        self.behind = pending;
        let (m, acker) = m.split();
        // Delivered again while still in hand, after a silence: only the address of the answer is new.
        if self.held.insert(position, acker).is_some() {
            return;
        }
        let d = delivery(&self.worker.spec.source, position, &m.subject, &m.payload);
        let key = (d.envelope.aggregate.clone(), d.envelope.aggregate_id.clone());
        let version = d.envelope.version;
        if let Some(d) = self.lanes.push(&key, version, d) {
            self.start(key, version, d);
        }
    }

    fn start(&mut self, key: crate::lanes::Key, version: i64, d: Delivery) {
        let worker = self.worker.clone();
        self.lanes.start(key, version, async move {
            let position = d.position;
            Out { position, end: worker.run(d).await }
        });
    }

    /// An answer that gets lost costs a redelivery, which the inbox recognises as a duplicate.
    async fn settle(&mut self, out: Out) {
        let Some(acker) = self.held.remove(&out.position) else { return };
        let kind = match out.end {
            End::Done | End::Duplicate => AckKind::Ack,
            End::Dead => AckKind::Term,
            End::Released => AckKind::Nak(None),
        };
        if let Err(e) = acker.ack_with(kind).await {
            tracing::debug!(error = %e, "acknowledgement not sent");
        }
    }
}

/// The consumer's messages, without end: what breaks is opened again.
fn messages(js: JetStream, spec: Arc<ConsumerSpec>) -> impl Stream<Item = jetstream::Message> {
    stream::unfold((None::<pull::Stream>, 0u32), move |(open, mut failed)| {
        let (js, spec) = (js.clone(), spec.clone());
        async move {
            let mut open = open;
            loop {
                let since = Instant::now();
                let broken = match &mut open {
                    None => match self::open(&js, &spec).await {
                        Ok(s) => {
                            open = Some(s);
                            continue;
                        }
                        Err(e) => format!("{e:?}"),
                    },
                    Some(s) => match s.next().await {
                        Some(Ok(m)) => return Some((m, (open, 0))),
                        Some(Err(e)) => e.to_string(),
                        None => "ended".into(),
                    },
                };
                open = None;
                failed += 1;
                if failed.is_power_of_two() {
                    tracing::warn!(consumer = spec.name, error = broken, "messages stopped, opening them again");
                }
                let pause = Duration::from_millis(50u64 << failed.min(6));
                tokio::time::sleep(pause.saturating_sub(since.elapsed())).await;
            }
        }
    })
}

async fn open(js: &JetStream, spec: &ConsumerSpec) -> Result<pull::Stream> {
    if !js.connected() {
        return Err(jangteo_core::Error::unavailable("nats"));
    }
    let stream = js.stream(&spec.source, false).await?;
    let name = durable_name(&spec.name);
    let config = pull::Config {
        durable_name: Some(name.clone()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: spec.ack_wait,
        // No limit on the server: the application counts the tries and keeps the dead letters.
        max_deliver: -1,
        deliver_policy: DeliverPolicy::All,
        filter_subject: filter(spec),
        max_ack_pending: spec.max_in_flight as i64,
        ..Default::default()
    };
    let consumer = match stream.create_consumer(config).await {
        Ok(c) => c,
        // A consumer whose settings can't be changed to these goes on with its old ones.
        Err(e) => match stream.get_consumer(&name).await {
            Ok(c) => {
                tracing::warn!(consumer = spec.name, error = %e, "consumer keeps its old settings");
                c
            }
            Err(_) => return Err(super::away(e)),
        },
    };
    consumer
        .stream()
        .max_messages_per_batch(spec.max_in_flight.clamp(1, 64))
        .heartbeat(Duration::from_secs(1))
        .expires(Duration::from_secs(10))
        .messages()
        .await
        .map_err(super::away)
}
