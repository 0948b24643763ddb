//! Carries an outbox into its stream: one relay a partition (a lease sees to it), one message in flight for each
//! aggregate, many aggregates at once. A row is done when the server has acknowledged it; a time-out means that
//! nobody knows, so the same event goes out again under the same id.

use super::{JetStream, subject};
use crate::{Envelope, Outbox, Stop};
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
    sync::Arc,
    time::{Duration, Instant},
};

const POLL_MIN: Duration = Duration::from_millis(50);
const POLL_MAX: Duration = Duration::from_millis(200);
/// How long the last round waits for a server that isn't connected.
const LAST: Duration = Duration::from_secs(1);
/// Aggregates of one partition with a message in flight.
const AT_ONCE: usize = 64;

pub(super) async fn run(js: &JetStream, outbox: Arc<dyn Outbox>, stop: Stop) {
    let parts = (0..outbox.partitions()).map(|p| partition(js, &*outbox, p, &stop));
    tokio::join!(join_all(parts), report(&*outbox, &stop));
}

async fn partition(js: &JetStream, outbox: &dyn Outbox, p: u32, stop: &Stop) {
    let ttl = Duration::from_secs(js.cfg.lease_secs.max(1));
    let (mut lease, mut have_stream, mut trouble) = (None::<Instant>, false, 0u32);
    let mut poll = POLL_MIN;
    let mut changed = outbox.changed();
    loop {
        // The last round, after the stop, takes what the stopping process wrote at the end.
        let last = stop.is_cancelled();
        if last {
            let _ = tokio::time::timeout(LAST, js.until_connected(true)).await;
        }
        changed.borrow_and_update();
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
                    _ = changed.changed() => poll = POLL_MIN,
                    () = tokio::time::sleep(poll) => poll = (poll * 2).min(POLL_MAX),
                }
                if changed.has_changed().is_err() {
                    pause(stop, POLL_MAX).await;
                }
            }
            Ok(Round { read, published }) if published < read => {
                trouble += 1;
                pause(stop, Duration::from_millis(50u64 << trouble.min(6))).await;
            }
            Ok(_) => (trouble, poll) = (0, POLL_MIN),
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

async fn report(outbox: &dyn Outbox, stop: &Stop) {
    while !stop.is_cancelled() {
        if let Ok(lag) = outbox.lag().await {
            let source = outbox.source().to_owned();
            metrics::gauge!("bus_outbox_pending", "source" => source.clone()).set(lag.pending as f64);
            let age = lag.oldest.unwrap_or_default().as_secs_f64();
            metrics::gauge!("bus_outbox_oldest_seconds", "source" => source).set(age);
        }
        pause(stop, Duration::from_secs(5)).await;
    }
}

async fn pause(stop: &Stop, pause: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
