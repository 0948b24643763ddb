//! The driver of sagas: takes a claimed saga's steps until it is done, has to wait, or a step fails. A step calls
//! others first and records what came of it then, in one transaction that finds the saga still claimed. So two drivers
//! of one order do no harm: the calls are idempotent, and only the last one to claim it records.

mod checkout;
mod parts;

use crate::{
    Orders,
    domain::{Event, Order},
    store::{
        self,
        saga::{Model as Saga, Step, Which},
    },
};
use futures::{StreamExt, stream};
use jangteo_core::{Call, Code, Error, Result, micros};
use prost::Message;
use proto::jangteo::order::v1::OrderCancelled;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// What a step comes to.
pub(crate) struct Turn {
    pub events: Vec<Event>,
    pub next: Next,
    /// Why the order is given up, for [`Step::Void`].
    pub verdict: Option<OrderCancelled>,
    /// Another deadline for paying.
    pub deadline: Option<i64>,
}

pub(crate) enum Next {
    /// At once, by whoever is at it.
    Go(Step),
    /// Not before this time.
    Rest(Step, i64),
    Done,
}

impl Turn {
    pub fn go(events: Vec<Event>, step: Step) -> Turn {
        Turn { events, next: Next::Go(step), verdict: None, deadline: None }
    }
    pub fn rest(events: Vec<Event>, step: Step, due: i64) -> Turn {
        Turn { events, next: Next::Rest(step, due), verdict: None, deadline: None }
    }
    pub fn done(events: Vec<Event>) -> Turn {
        Turn { events, next: Next::Done, verdict: None, deadline: None }
    }
}

/// Whether an error is an answer. Anything else may mean that the call was carried out, or may be another time.
pub(crate) fn refused(e: &Error) -> bool {
    use Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, OutOfRange};
    matches!(e.code(), FailedPrecondition | NotFound | InvalidArgument | OutOfRange | AlreadyExists)
}

/// The answer of a peer, or DEADLINE_EXCEEDED when it takes longer than `cx` allows.
pub(crate) async fn within<T>(cx: &Call, answer: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(deadline) = cx.deadline else { return answer.await };
    let late = || Error::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "a peer took too long");
    tokio::time::timeout_at(deadline.into(), answer).await.unwrap_or_else(|_| Err(late()))
}

impl Orders {
    /// The timed job: resumes what nobody is at, several at once.
    pub async fn resume_sagas(self: Arc<Self>, cx: Call) -> Result<()> {
        loop {
            let claimed = self.claim(&cx, Which::Due(self.config.saga_batch as u64)).await?;
            let more = claimed.len() == self.config.saga_batch;
            let each = claimed.into_iter().map(|saga| {
                let (this, mut cx) = (self.clone(), cx.clone());
                // Short of the lease, so that nobody else begins before this one ends.
                cx.deadline = Some(Instant::now() + Duration::from_millis(self.config.saga_lease_ms * 4 / 5));
                async move {
                    let order_id = saga.order_id.clone();
                    if let Err(error) = this.drive(&cx, saga).await {
                        tracing::warn!(order_id, error = ?error, "a saga could not be driven");
                    }
                }
            });
            stream::iter(each).buffer_unordered(self.config.saga_batch.max(1)).collect::<()>().await;
            if !more {
                return Ok(());
            }
        }
    }

    pub(crate) async fn claim(&self, cx: &Call, which: Which<'_>) -> Result<Vec<Saga>> {
        // Most of the time there is nothing, which a read finds out for less.
        let (now, until) = (self.now(), self.lease());
        let idle = match which {
            Which::Due(_) => !store::saga::any_due(self.db.primary(), now).await?,
            Which::DueOf(id) => store::saga::of(self.db.primary(), id).await?.iter().all(|s| s.due > now),
            Which::AllOf(id) => store::saga::of(self.db.primary(), id).await?.is_empty(),
        };
        if idle {
            return Ok(Vec::new());
        }
        let claimed = Mutex::default();
        let write = async |tx| {
            let sagas = store::saga::claim(&tx, which, now, until).await?;
            *claimed.lock().expect("no holder panics") = sagas;
            Ok(())
        };
        self.db.write(&self.own(cx), write).await?;
        Ok(claimed.into_inner().expect("no holder panics"))
    }

    /// Takes steps until the saga is done or has to wait. A step that fails is put off; only a store that
    /// fails is an error.
    pub(crate) async fn drive(&self, cx: &Call, saga: Saga) -> Result<()> {
        let mut at = Some(saga);
        while let Some(saga) = at {
            let step = saga.step()?;
            let next = match step {
                Step::Pay => self.pay(cx, &saga).await,
                Step::Await => self.expire(cx, &saga).await,
                Step::Void => self.void(cx, &saga).await,
                Step::Undo => self.undo(cx, &saga).await,
                Step::Cancel => self.cancel_shipment(cx, &saga).await,
                Step::AwaitConfirm => self.confirm_in_silence(cx, &saga).await,
                Step::Settle => self.settle(cx, &saga).await,
            };
            at = match next {
                Ok(next) => next,
                Err(error) => {
                    metrics::counter!("order_saga_failures_total", "step" => step.name()).increment(1);
                    self.put_off(cx, &saga, &error).await?;
                    None
                }
            };
        }
        Ok(())
    }

    /// Writes what a step came to. `None`: it is done, or waits, or somebody else has claimed it.
    pub(crate) async fn record<F>(&self, cx: &Call, saga: &Saga, decide: F) -> Result<Option<Saga>>
    where
        F: Fn(&Order, &Saga) -> Result<Turn> + Send + Sync,
    {
        let (decide, lease) = (&decide, self.lease());
        let outcome = Mutex::default();
        let write = async |tx: kit::db::Tx| {
            *outcome.lock().expect("no holder panics") = None;
            let Some(row) = store::saga::mine(&tx, saga).await? else { return Ok(()) };
            let order = store::order::load(&tx, &saga.order_id).await?;
            let turn = decide(&order, &row)?;
            store::order::record(&tx, order, turn.events).await?;
            let mut next = Saga { attempts: 0, last_error: String::new(), ..row };
            next.deadline = turn.deadline.unwrap_or(next.deadline);
            next.verdict = turn.verdict.map_or(next.verdict, |v| v.encode_to_vec());
            let (step, due) = match turn.next {
                Next::Done => return store::saga::finish(&tx, &next).await.map(drop),
                Next::Go(step) => (step, lease),
                Next::Rest(step, due) => (step, due),
            };
            next.due = due;
            next.step = step.name().to_owned();
            store::saga::step(&tx, &next).await?;
            if matches!(turn.next, Next::Go(_)) {
                *outcome.lock().expect("no holder panics") = Some(next);
            }
            Ok(())
        };
        self.db.write(&self.own(cx), write).await?;
        Ok(outcome.into_inner().expect("no holder panics"))
    }

    /// Tries again later, each time a little later than before.
    async fn put_off(&self, cx: &Call, saga: &Saga, error: &Error) -> Result<()> {
        tracing::debug!(order_id = saga.order_id, part = saga.part, step = saga.step, error = ?error, "a saga's step is put off");
        let now = self.now();
        let later = Saga {
            due: now + self.backoff(saga.attempts),
            attempts: saga.attempts + 1,
            last_error: format!("{} {}: {error}", error.code().name(), error.reason()),
            ..saga.clone()
        };
        // The caller's time may be over; this note is short.
        let mut cx = self.own(cx);
        cx.deadline = None;
        let later = &later;
        self.db.write(&cx, async |tx| store::saga::step(&tx, later).await.map(drop)).await
    }

    fn backoff(&self, attempts: i64) -> i64 {
        let (min, max) = (self.config.saga_backoff_min_ms, self.config.saga_backoff_max_ms);
        let pause = min.saturating_mul(1 << attempts.clamp(0, 16)).min(max);
        i64::try_from(pause).unwrap_or(i64::MAX / 2000) * 1000
    }

    /// A saga that the caller is at from now on, once it is written.
    pub(crate) fn claimed(&self, order_id: &str, part: i32, step: Step) -> Saga {
        Saga::new(order_id, part, step, self.lease(), self.now())
    }

    /// Drives `claimed`, and whatever else of the order comes due, until `look` finds what it wants or `until`;
    /// `None`: the time is over.
    pub(crate) async fn pursue<T, F, Fut>(
        &self,
        cx: &Call,
        order_id: &str,
        mut claimed: Vec<Saga>,
        look: F,
    ) -> Result<Option<T>>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<Option<T>>>,
    {
        let mut cx = cx.clone();
        let until = cx.deadline.map_or_else(|| Instant::now() + ENOUGH, |d| d - SLACK.min(d - Instant::now()));
        cx.deadline = Some(until);
        loop {
            for saga in claimed.drain(..) {
                self.drive(&cx, saga).await?;
            }
            if let Some(found) = look().await? {
                return Ok(Some(found));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            claimed = self.claim(&cx, Which::DueOf(order_id)).await?;
            if claimed.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What is kept of a caller's time for saying that it is over.
const SLACK: Duration = Duration::from_millis(250);
/// How long a caller without a deadline waits.
const ENOUGH: Duration = Duration::from_secs(4);
/// Between two looks at an order that somebody else is driving.
const PAUSE: Duration = Duration::from_millis(20);

/// A time of an event or a saga, from one of a message.
pub(crate) fn instant(t: Option<&prost_types::Timestamp>) -> i64 {
    t.map_or(0, |t| micros(proto::time(t)))
}
