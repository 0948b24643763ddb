//! [`Db::write`]: begin, run, commit; and again when the transaction lost a race.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use jangteo_core::{Call, Code, Error, Result};
use sea_orm::{SqliteTransactionMode, TransactionOptions};
use uuid::Uuid;

use crate::{
    Db, Tx, audit,
    error::{Kind, contention},
    fail,
    group::{Kept, Lost},
    idempotency,
    tx::{self, Savepoint},
};

/// Why a write may run again; of two reasons the later one in this list counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Retry {
    #[default]
    Never,
    /// The closure decided on a version that it had read before the transaction began.
    Stale,
    /// The connection broke before the COMMIT: nothing happened.
    Reconnect,
    /// Another write of the same commit failed.
    Undone,
    /// The store let another transaction win.
    Contention,
    /// The connection broke during the COMMIT. Only the request's key can tell what happened.
    Unknown,
}

impl Retry {
    pub(crate) fn after(kind: Kind) -> Retry {
        match kind {
            Kind::Serialisation => Retry::Contention,
            Kind::Connection => Retry::Reconnect,
            Kind::Locked | Kind::Full | Kind::TooLong | Kind::Other => Retry::Never,
        }
    }

    fn attempts(self, keyed: bool) -> u32 {
        match self {
            Retry::Never => 1,
            Retry::Stale => 3,
            Retry::Reconnect => 3,
            Retry::Undone => 30,
            Retry::Contention => 30,
            Retry::Unknown if keyed => 5,
            Retry::Unknown => 1,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Retry::Never => "never",
            Retry::Stale => "stale",
            Retry::Reconnect => "reconnect",
            Retry::Undone => "undone",
            Retry::Contention => "contention",
            Retry::Unknown => "unknown",
        }
    }
}

struct Failure {
    error: Error,
    retry: Retry,
}

impl Db {
    /// The only way to write. Runs `f` in a transaction and commits it.
    ///
    /// - A call with a `request_id` leaves its answer in the same transaction; the same key with the same request
    ///   gets that answer and `f` does not run, with another request it is refused: `REQUEST_ID_REUSED`.
    ///   For anonymous callers another body is another request, which runs: the first may be somebody else's.
    ///   An answer is stored unencrypted, so it must hold no secrets.
    /// - `f` may run again, so it makes no call to anybody else. Whatever it returned or left in `tx` on a lost run is gone.
    /// - An error from `f` leaves nothing behind.
    pub async fn write<T, F, Fut>(&self, cx: &Call, f: F) -> Result<T>
    where
        T: prost::Message + Default,
        F: Fn(Tx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T>> + Send,
    {
        let keyed = cx.request_id.as_deref().is_some_and(|key| !key.is_empty());
        self.transact(cx, keyed, |tx| {
            let f = &f;
            async move {
                if !keyed {
                    let reply = f(tx.share()).await?;
                    audit::append_own(&tx).await?;
                    return Ok(reply);
                }
                if let Some(reply) = idempotency::open(&tx).await? {
                    return T::decode(reply.as_slice()).map_err(Error::internal);
                }
                let reply = f(tx.share()).await?;
                idempotency::close(&tx, reply.encode_to_vec()).await?;
                audit::append_own(&tx).await?;
                Ok(reply)
            }
        })
        .await
    }

    pub(crate) async fn transact<T, F, Fut>(&self, cx: &Call, keyed: bool, f: F) -> Result<T>
    where
        T: Send,
        F: Fn(Tx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T>> + Send,
    {
        let (start, call, service) = (Instant::now(), Arc::new(cx.clone()), self.0.service);
        let (mut attempt, mut in_doubt) = (0, false);
        let result = loop {
            attempt += 1;
            let Failure { error, retry } = match self.attempt(&call, attempt > 1, &f).await {
                Ok(value) => break Ok(value),
                Err(failure) => failure,
            };
            let pause = backoff(attempt);
            let limit = retry.attempts(keyed).max(if in_doubt { Retry::Unknown.attempts(keyed) } else { 1 });
            if attempt >= limit || call.remaining().is_some_and(|left| left <= pause) {
                // A run that did not get through says nothing about an earlier one whose COMMIT was cut off.
                let got_through = retry == Retry::Never && error.code() != Code::Unavailable;
                break Err(if in_doubt && !got_through { unknown(error).error } else { error });
            }
            in_doubt |= retry == Retry::Unknown;
            metrics::counter!("db_write_retries_total", "service" => service, "cause" => retry.name()).increment(1);
            tracing::debug!(service, method = %call.method, attempt, cause = retry.name(), "write runs again");
            tokio::time::sleep(pause).await;
        };
        let outcome = if result.is_ok() { "ok" } else { "error" };
        metrics::histogram!("db_write_seconds", "service" => service, "outcome" => outcome).record(start.elapsed());
        result
    }

    /// `alone`: it shares no commit with others.
    async fn attempt<T, F, Fut>(&self, call: &Arc<Call>, alone: bool, f: &F) -> Result<T, Failure>
    where
        F: Fn(Tx) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        // The writers' connections are opened at the right isolation level, which saves a round trip here.
        let immediate = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode: immediate, ..Default::default() };
        let begun = match &self.0.group {
            Some(group) => {
                group.turn(&self.0.writer, options, alone).await.map(|(session, turn)| (session, Some(turn)))
            }
            None => self.begin(options).await.map(|session| (session, None)),
        };
        let tx = begun.map(|(session, turn)| Tx::new(self.clone(), session, turn, call.clone())).map_err(|e| {
            let retry = Retry::after(Kind::of(&e));
            // The wait for a connection is over; another one would only lengthen the queue.
            let retry = if matches!(e, sea_orm::DbErr::ConnectionAcquire(_)) { Retry::Never } else { retry };
            Failure { error: fail(e), retry }
        })?;
        let outcome = f(tx.share()).await;
        let tx = tx.into_inner().map_err(|error| Failure { error, retry: Retry::Never })?;
        let state = tx.state();
        let sound = state.failed.is_none();
        let error = match (outcome, state.failed) {
            (Ok(value), None) => return tx.commit().await.map(|()| value),
            (Ok(_), Some(e)) if state.retry == Retry::Never => {
                Error::internal("a statement failed and the write went on; use ON CONFLICT or a savepoint")
                    .with_source(e)
            }
            (Ok(_), Some(e)) => fail(e),
            (Err(error), _) => error,
        };
        // A savepoint's statements don't pass through `Tx`, so the closure's own error may know more.
        let cause = crate::error::cause(&error);
        let retry = state.retry.max(cause.map_or(Retry::Never, |e| Retry::after(Kind::of(e))));
        let changed = state.savepoint == Savepoint::Set;
        let failure = tx.refuse(changed, sound && cause.is_none()).await.err().filter(|_| retry == Retry::Never);
        Err(failure.unwrap_or(Failure { error, retry }))
    }
}

impl tx::Inner {
    /// Commits in a task of its own: a caller that goes away must not separate the commit from its hooks.
    #[expect(clippy::disallowed_methods, reason = "the task is awaited here and lives no longer than one COMMIT")]
    async fn commit(self) -> Result<(), Failure> {
        let hooks = self.hooks.into_inner().expect("no holder panics");
        let kept = Kept { hooks, emitted: self.emitted.load(Ordering::Relaxed) };
        if let Some(turn) = self.turn.into_inner().expect("no holder panics") {
            return turn.finish(self.session, kept).await.map_err(Failure::from);
        }
        let task = tokio::spawn(async move {
            metrics::counter!("db_commits_total", "service" => self.db.0.service).increment(1);
            self.session.commit().await?;
            if kept.emitted {
                self.db.0.changed.send_modify(|n| *n += 1);
            }
            kept.run(self.db.0.service);
            Ok::<(), sea_orm::DbErr>(())
        });
        match task.await {
            Ok(done) => done.map_err(|e| Lost::Commit(e).into()),
            Err(e) => Err(unknown(e)),
        }
    }

    /// Undoes the write. An error says that what its closure saw is gone too. `changed`: it set its savepoint. `sound`: none of
    /// its statements failed.
    async fn refuse(self, changed: bool, sound: bool) -> Result<(), Failure> {
        if let Some(turn) = self.turn.into_inner().expect("no holder panics") {
            return turn.refuse(self.session, changed, sound).await.map_err(Failure::from);
        }
        if let Err(e) = self.session.rollback().await {
            tracing::debug!(service = self.db.0.service, error = %e, "rollback failed; the connection is dropped");
        }
        Ok(())
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Failure {
        match lost {
            Lost::Undone => Failure { error: contention(), retry: Retry::Undone },
            Lost::Commit(e) => match Retry::after(Kind::of(&e)) {
                Retry::Reconnect => unknown(e),
                retry => Failure { error: fail(e), retry },
            },
        }
    }
}

fn unknown(source: impl std::error::Error + Send + Sync + 'static) -> Failure {
    let message = "the connection broke while the write was being committed; it may or may not have happened";
    Failure { error: Error::new(Code::Unknown, "OUTCOME_UNKNOWN", message).with_source(source), retry: Retry::Unknown }
}

/// Full jitter: anywhere up to 2, 4, 8 … 256 ms.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let ceiling = 2_000u64 << attempt.saturating_sub(1).min(7);
    Duration::from_micros(Uuid::new_v4().as_u64_pair().1 % ceiling)
}
