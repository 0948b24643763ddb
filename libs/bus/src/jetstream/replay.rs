//! Reads a stream again from a point, beside the durable consumer and without touching its place.

use super::{JetStream, Stored, away, delivery, filter};
use crate::{
    ConsumerSpec, Inbox, Position, Replay, Replayed, Stop,
    lanes::Lanes,
    worker::{End, Worker},
};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use futures::StreamExt;
use jangteo_core::{Code, Error, Result};
use std::{collections::HashSet, sync::Arc, time::Duration};

pub(super) async fn run(
    js: JetStream,
    spec: ConsumerSpec,
    replay: Replay,
    inbox: Arc<dyn Inbox>,
    stop: Stop,
) -> Result<Replayed> {
    let stream = js.stream(&spec.source, false).await?;
    let until = stream.get_info().await.map_err(away)?.state.last_sequence as i64;
    let source = Stored { js: js.clone(), source: spec.source.clone() };
    let worker = Worker::new(spec, inbox, Arc::new(source), stop.clone());
    let spec = worker.spec.clone();
    let mut seen = replay.baseline.then(HashSet::new);
    let mut next = if let Position::At(p) = replay.from { p.max(1) } else { 1 };
    let mut total = Replayed { last: next - 1, ..Replayed::default() };
    let mut lanes = Lanes::new();
    let mut messages: Option<pull::Ordered> = None;
    let mut in_hand = 0usize;
    let (mut failed, mut released, mut at_end) = (0u32, false, next > until);
    loop {
        if (at_end || stop.is_cancelled()) && lanes.is_idle() {
            break;
        }
        if messages.is_none() && !at_end && !stop.is_cancelled() {
            match open(&js, &spec, next).await {
                // Nothing of this consumer's is stored from here on.
                Ok((_, 0)) => at_end = true,
                Ok((m, _)) => messages = Some(m),
                Err(e) if failed < 8 => {
                    failed += 1;
                    tracing::warn!(consumer = spec.name, error = ?e, "replay can't read the stream, trying again");
                    tokio::time::sleep(Duration::from_millis(50u64 << failed)).await;
                }
                Err(e) => return Err(e),
            }
            continue;
        }
        let room = in_hand < spec.max_in_flight && !at_end;
        tokio::select! {
            () = stop.cancelled(), if messages.is_some() => {
                messages = None;
                released |= !lanes.give_up().is_empty();
            }
            Some((end, turn)) = lanes.finished(), if !lanes.is_idle() => {
                in_hand -= 1;
                match end {
                    End::Done => total.delivered += 1,
                    End::Duplicate => total.duplicates += 1,
                    End::Dead => total.dead_letters += 1,
                    End::Released => released = true,
                }
                if let Some((key, version, d)) = turn {
                    let worker = worker.clone();
                    lanes.start(key, version, async move { worker.run(d).await });
                }
            }
            m = async { messages.as_mut().expect("guarded").next().await }, if room && messages.is_some() => {
                let (position, pending, m) = match m {
                    Some(Ok(m)) => match m.info().map(|i| (i.stream_sequence as i64, i.pending)) {
                        Ok((position, pending)) => (position, pending, m),
                        Err(_) => continue,
                    },
                    // Whatever broke, the place is known.
                    Some(Err(_)) | None => { messages = None; continue }
                };
                if position >= next && position <= until {
                    failed = 0;
                    next = position + 1;
                    total.last = position;
                    let mut d = delivery(&spec.source, position, &m.subject, &m.payload);
                    let early = matches!(replay.from, Position::Time(t)
                        if d.envelope.time.as_ref().is_some_and(|e| proto::time(e) < t));
                    if !early {
                        let key = (d.envelope.aggregate.clone(), d.envelope.aggregate_id.clone());
                        d.accept_gap = seen.as_mut().is_some_and(|s| s.insert(key.clone()));
                        in_hand += 1;
                        let version = d.envelope.version;
                        if let Some(d) = lanes.push(&key, version, d) {
                            let worker = worker.clone();
                            lanes.start(key, version, async move { worker.run(d).await });
                        }
                    }
                }
                at_end = position >= until || pending == 0;
            }
        }
    }
    if !at_end || released {
        return Err(Error::new(Code::Cancelled, "REPLAY_STOPPED", "replay was stopped before its end"));
    }
    total.last = total.last.max(until);
    Ok(total)
}

async fn open(js: &JetStream, spec: &ConsumerSpec, from: i64) -> Result<(pull::Ordered, u64)> {
    let stream = js.stream(&spec.source, false).await?;
    let config = pull::OrderedConfig {
        filter_subject: filter(spec),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.unsigned_abs().max(1) },
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(away)?;
    let pending = consumer.cached_info().num_pending;
    Ok((consumer.messages().await.map_err(away)?, pending))
}
