//! Carries an outbox into its stream: one relay for each partition (a lease sees to that), one message in flight for
//! each aggregate, many aggregates at once. A row is done when the server has acknowledged it; after a time-out the
//! outcome is unknown, so the same event goes out again under the same id.
//!
//! A commit in this process wakes the partitions at once. Rows of other processes are found by one watch for the
//! whole outbox, which asks once a second, so that idle partitions ask for nothing but their leases.

use super::{JetStream, subject};
use crate::{Envelope, Outbox, OutboxLag, Stop};
use async_nats::{
    HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::context::{PublishError, PublishErrorKind},
};
use futures::{StreamExt, future::join_all, stream};
use jangteo_core::Result;
use prost::Message as _;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often the outbox as a whole is asked for rows, which finds those of other processes.
const WATCH: Duration = Duration::from_secs(1);
/// A count that takes long, as over a large backlog, is not taken more often than this.
const WATCH_MAX: Duration = Duration::from_secs(5);
/// How long the last round waits for a server that isn't connected.
const LAST: Duration = Duration::from_secs(1);
/// Aggregates of one partition with a message in flight.
const AT_ONCE: usize = 64;

pub(super) async fn run(js: &JetStream, outbox: Arc<dyn Outbox>, stop: Stop) {
    let found = watch::Sender::new(0);
    let parts = (0..outbox.partitions()).map(|p| partition(js, &*outbox, p, found.subscribe(), &stop));
    tokio::join!(join_all(parts), watch(js, &*outbox, &found, &stop));
}

async fn partition(js: &JetStream, outbox: &dyn Outbox, p: u32, mut found: watch::Receiver<u64>, stop: &Stop) {
    let ttl = Duration::from_secs(js.cfg.lease_secs.max(1));
    let (mut lease, mut have_stream, mut trouble) = (None::<Instant>, false, 0u32);
    let mut changed = outbox.changed();
    loop {
        // The last round, after the stop, takes what the stopping process wrote at the end.
        let last = stop.is_cancelled();
        if last {
            let _ = tokio::time::timeout(LAST, js.until_connected(true)).await;
        }
        changed.borrow_and_update();
        found.borrow_and_update();
        match round(js, outbox, p, ttl, &mut lease, &mut have_stream).await {
            Ok(Round { read: 0, .. }) if last => break,
            Ok(Round { published: 0, .. }) if last => break,
            Err(Trouble::NotOurs) if last => break,
            Err(Trouble::Failed(e)) if last => {
                tracing::warn!(source = outbox.source(), partition = p, error = ?e, "outbox was left unpublished");
                break;
            }
            Ok(Round { read: 0, .. }) => {
                trouble = 0;
                tokio::select! {
                    () = stop.cancelled() => {}
                    Ok(()) = changed.changed() => {}
                    Ok(()) = found.changed() => {}
                    // In time to keep the lease, and a look at the partition in case the watch has failed.
                    () = tokio::time::sleep(ttl / 2) => {}
                }
            }
            Ok(Round { read, published }) if published < read => {
                trouble += 1;
                pause(stop, Duration::from_millis(50u64 << trouble.min(6))).await;
            }
            Ok(_) => trouble = 0,
            Err(Trouble::NotOurs) => pause(stop, ttl / 3).await,
            Err(Trouble::Failed(e)) => {
                trouble += 1;
                if trouble.is_power_of_two() {
                    tracing::warn!(source = outbox.source(), partition = p, error = ?e, "relay is held up");
                }
                pause(stop, Duration::from_millis(50u64 << trouble.min(6))).await;
            }
        }
    }
    if lease.is_some()
        && let Err(e) = outbox.release(p).await
    {
        tracing::warn!(source = outbox.source(), partition = p, error = ?e, "lease runs out by itself");
    }
}

struct Round {
    read: usize,
    published: usize,
}

enum Trouble {
    /// Another relay has the partition.
    NotOurs,
    Failed(jangteo_core::Error),
}

impl From<jangteo_core::Error> for Trouble {
    fn from(e: jangteo_core::Error) -> Self {
        Trouble::Failed(e)
    }
}

/// Publishes one batch under the lease.
async fn round(
    js: &JetStream,
    outbox: &dyn Outbox,
    p: u32,
    ttl: Duration,
    lease: &mut Option<Instant>,
    have_stream: &mut bool,
) -> Result<Round, Trouble> {
    if lease.is_none_or(|since| since.elapsed() > ttl / 3) {
        let asked = Instant::now();
        *lease = outbox.lease(p, ttl).await?.then_some(asked);
    }
    let Some(since) = *lease else { return Err(Trouble::NotOurs) };
    if !js.connected() {
        return Err(Trouble::Failed(jangteo_core::Error::unavailable("nats")));
    }
    if !*have_stream {
        js.stream(outbox.source(), true).await?;
        *have_stream = true;
    }
    let batch = outbox.batch(p, js.cfg.relay_batch.max(1)).await?;
    let read = batch.len();
    let mut lanes: Vec<Vec<Envelope>> = Vec::new();
    let mut index: HashMap<(String, String), usize> = HashMap::new();
    for e in batch {
        let lane = *index.entry((e.aggregate.clone(), e.aggregate_id.clone())).or_insert_with(|| {
            lanes.push(Vec::new());
            lanes.len() - 1
        });
        lanes[lane].push(e);
    }
    // Well before the lease runs out; who takes it over publishes the rest.
    let until = since + ttl * 2 / 3;
    let mut outs = stream::iter(lanes).map(|lane| publish(js, lane, until)).buffer_unordered(AT_ONCE);
    let (mut ids, mut lost_stream) = (Vec::with_capacity(read), false);
    while let Some((done, no_stream)) = outs.next().await {
        ids.extend(done);
        lost_stream |= no_stream;
    }
    *have_stream = !lost_stream;
    if !ids.is_empty() {
        outbox.done(&ids).await?;
        metrics::counter!("bus_published_total", "source" => outbox.source().to_owned()).increment(ids.len() as u64);
    }
    Ok(Round { read, published: ids.len() })
}

/// One aggregate's events one after the other; the ids that the server has, and whether the stream is gone.
async fn publish(js: &JetStream, lane: Vec<Envelope>, until: Instant) -> (Vec<String>, bool) {
    let mut done = Vec::with_capacity(lane.len());
    for e in lane {
        if Instant::now() >= until {
            break;
        }
        match send(js, &e).await {
            Ok(()) => done.push(e.event_id),
            Err(error) => {
                let (event_id, aggregate_id) = (&e.event_id, &e.aggregate_id);
                if error.kind() == PublishErrorKind::MaxPayloadExceeded {
                    tracing::error!(event_id, aggregate_id, %error, "event is larger than the server accepts");
                } else {
                    tracing::warn!(event_id, aggregate_id, %error, "event not acknowledged, it is sent again");
                }
                return (done, error.kind() == PublishErrorKind::StreamNotFound);
            }
        }
    }
    (done, false)
}

async fn send(js: &JetStream, e: &Envelope) -> Result<(), PublishError> {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, e.event_id.as_str());
    if !e.traceparent.is_empty() {
        headers.insert("traceparent", e.traceparent.as_str());
    }
    let ack = js.context.publish_with_headers(subject(e), headers, e.encode_to_vec().into()).await?;
    tokio::select! {
        acked = ack.into_future() => acked.map(drop),
        // What was asked over a broken connection is never answered.
        () = js.until_connected(false) => Err(PublishError::new(PublishErrorKind::BrokenPipe)),
    }
}

/// Wakes the partitions when there are rows, and reports how many.
async fn watch(js: &JetStream, outbox: &dyn Outbox, found: &watch::Sender<u64>, stop: &Stop) {
    let outbox_id = js.backlog.enter();
    while !stop.is_cancelled() {
        let asked = Instant::now();
        match outbox.lag().await {
            Ok(lag) => {
                if lag.pending > 0 {
                    found.send_modify(|n| *n += 1);
                }
                js.backlog.report(outbox.source(), outbox_id, Some(lag));
            }
            Err(e) => tracing::debug!(source = outbox.source(), error = ?e, "outbox can't be counted"),
        }
        pause(stop, (asked.elapsed() * 20).clamp(WATCH, WATCH_MAX)).await;
    }
    js.backlog.report(outbox.source(), outbox_id, None);
}

/// What the outboxes of this process hold. A service has several when its data is spread over several databases, and
/// they share one gauge: its value is their sum.
#[derive(Default)]
pub(super) struct Backlog {
    ids: AtomicUsize,
    lags: Mutex<HashMap<String, HashMap<usize, OutboxLag>>>,
}

impl Backlog {
    fn enter(&self) -> usize {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    fn report(&self, source: &str, id: usize, lag: Option<OutboxLag>) {
        let total = self.total(source, id, lag);
        metrics::gauge!("bus_outbox_pending", "source" => source.to_owned()).set(total.pending as f64);
        metrics::gauge!("bus_outbox_oldest_seconds", "source" => source.to_owned())
            .set(total.oldest.unwrap_or_default().as_secs_f64());
    }

    /// Puts one outbox's lag in, or takes it out, and adds up those of its source.
    fn total(&self, source: &str, id: usize, lag: Option<OutboxLag>) -> OutboxLag {
        let mut lags = self.lags.lock().expect("no holder panics");
        let of = lags.entry(source.to_owned()).or_default();
        match lag {
            Some(lag) => drop(of.insert(id, lag)),
            None => drop(of.remove(&id)),
        }
        let pending = of.values().map(|l| l.pending).sum();
        OutboxLag { pending, oldest: of.values().filter_map(|l| l.oldest).max() }
    }
}

async fn pause(stop: &Stop, pause: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_databases_of_one_service_add_up() {
        let backlog = Backlog::default();
        let (a, b, other) = (backlog.enter(), backlog.enter(), backlog.enter());
        let lag = |pending, secs| Some(OutboxLag { pending, oldest: Some(Duration::from_secs(secs)) });
        backlog.total("catalog", a, lag(3, 9));
        backlog.total("order", other, lag(100, 100));
        let both = backlog.total("catalog", b, lag(4, 2));
        assert_eq!((both.pending, both.oldest), (7, Some(Duration::from_secs(9))));
        let emptied = backlog.total("catalog", a, Some(OutboxLag::default()));
        assert_eq!((emptied.pending, emptied.oldest), (4, Some(Duration::from_secs(2))));
        assert_eq!(backlog.total("catalog", b, None).pending, 0);
    }
}
