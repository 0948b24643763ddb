//! Writes that share a commit, where a database has one writer (SQLite).
//!
//! A commit waits for the disk, and costs more than the statements before it. So whoever has written while others wait for
//! their turn leaves the commit to them: they go on in the same transaction, each behind a savepoint, and the last one, or the
//! [`MOST`]th, commits for all. Nobody is answered before that commit, nor is an error that a closure decided on what others
//! of its group wrote. Whoever goes away in the middle undoes the whole group, the others of which run again. PostgreSQL
//! groups the commits of its many writers itself.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, TransactionOptions,
    TransactionTrait,
};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot, watch};

use crate::tx::Hook;

/// Writes of one commit.
const MOST: usize = 32;

/// How a commit ended for one of its writes.
#[derive(Debug, Clone)]
pub(crate) enum Lost {
    /// The COMMIT failed.
    Commit(DbErr),
    /// A statement of another write failed, or its caller went away: what the store has undone is not known, so all was.
    Undone,
}

/// What a write wants done once it is committed.
pub(crate) struct Kept {
    pub hooks: Vec<Hook>,
    pub emitted: bool,
}

/// The queue of a database's writers.
#[derive(Clone)]
pub(crate) struct Group(Arc<Inner>);

struct Inner {
    service: &'static str,
    changed: watch::Sender<u64>,
    patience: Duration,
    seat: Arc<Mutex<Option<Open>>>,
    waiting: AtomicUsize,
}

/// A transaction that somebody who waits will commit.
struct Open {
    session: DatabaseTransaction,
    members: Vec<Member>,
}

struct Member {
    kept: Kept,
    /// Dropped: all was undone.
    done: oneshot::Sender<Result<(), Lost>>,
}

/// The right to write, until it is dropped.
pub(crate) struct Turn {
    group: Group,
    seat: OwnedMutexGuard<Option<Open>>,
    /// Those who have written in this transaction.
    members: Vec<Member>,
    /// Commits by itself, whoever waits.
    alone: bool,
}

/// Set before the first change of whoever goes on in a transaction. It is never released, so the innermost of this name is
/// the last one's.
pub(crate) const SAVEPOINT: &str = "SAVEPOINT member";
const ROLLBACK: &str = "ROLLBACK TO member";

impl Group {
    /// `patience`: how long a turn is waited for.
    pub fn new(service: &'static str, changed: watch::Sender<u64>, patience: Duration) -> Group {
        let (seat, waiting) = (Arc::default(), AtomicUsize::new(0));
        Group(Arc::new(Inner { service, changed, patience, seat, waiting }))
    }

    /// Waits for a turn and begins a transaction, or goes on in the one that was left open. The session has to be dropped
    /// before the turn.
    #[expect(clippy::disallowed_methods, reason = "the task is awaited here and lives no longer than one BEGIN")]
    pub async fn turn(
        &self,
        writer: &DatabaseConnection,
        options: TransactionOptions,
        alone: bool,
    ) -> Result<(DatabaseTransaction, Turn), DbErr> {
        let waiting = Waiting::new(self.clone());
        let seat = tokio::time::timeout(self.0.patience, self.0.seat.clone().lock_owned()).await;
        let mut seat = seat.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?;
        waiting.served();
        let left = match seat.take() {
            Some(Open { session, members }) if !alone => {
                return Ok((session, Turn { group: self.clone(), seat, members, alone }));
            }
            left => left,
        };
        let (turn, writer) = (Turn { group: self.clone(), seat, members: Vec::new(), alone }, writer.clone());
        // A caller that goes away must not leave a BEGIN that is not counted: see `Db::begin`.
        let begun = tokio::spawn(async move {
            if let Some(open) = left {
                turn.group.commit(open).await;
            }
            let session = writer.begin_with_options(options).await?;
            Ok((session, turn))
        });
        begun.await.unwrap_or_else(|e| Err(DbErr::Custom(e.to_string())))
    }

    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::SeqCst)
    }

    async fn commit(&self, Open { session, members }: Open) {
        metrics::counter!("db_commits_total", "service" => self.0.service).increment(1);
        match session.commit().await {
            Ok(()) => self.tell(members),
            Err(e) => {
                for Member { done, .. } in members {
                    let _ = done.send(Err(Lost::Commit(e.clone())));
                }
            }
        }
    }

    /// Runs what the writes of a commit want done, and answers them.
    fn tell(&self, members: Vec<Member>) {
        if members.iter().any(|m| m.kept.emitted) {
            self.0.changed.send_modify(|n| *n += 1);
        }
        for Member { kept, done } in members {
            kept.run(self.0.service);
            // Who has gone away is not told.
            let _ = done.send(Ok(()));
        }
    }
}

impl Kept {
    pub fn run(self, service: &'static str) {
        for hook in self.hooks {
            if std::panic::catch_unwind(AssertUnwindSafe(hook)).is_err() {
                tracing::error!(service, "a hook after the commit panicked");
            }
        }
    }
}

impl Turn {
    /// Whether others have written in this transaction, so that a [`SAVEPOINT`] has to stand between them and what follows.
    pub fn is_shared(&self) -> bool {
        !self.members.is_empty()
    }

    /// The closure has written. Its transaction is committed now, or with those that wait; this returns when it is.
    pub async fn finish(mut self, session: DatabaseTransaction, kept: Kept) -> Result<(), Lost> {
        let (done, committed) = oneshot::channel();
        self.members.push(Member { kept, done });
        self.pass_on(session);
        committed.await.unwrap_or(Err(Lost::Undone))
    }

    /// The closure has refused; `changed`: behind its savepoint. `sound`: no statement failed, so only this one's are undone,
    /// and its answer holds once that on which it was decided is committed.
    #[expect(clippy::disallowed_methods, reason = "the task ends with the turn")]
    pub async fn refuse(mut self, session: DatabaseTransaction, changed: bool, sound: bool) -> Result<(), Lost> {
        let (done, committed) = oneshot::channel();
        let service = self.group.0.service;
        tokio::spawn(async move {
            let undone = match sound && self.is_shared() {
                true if changed => session.execute_unprepared(ROLLBACK).await.is_ok(),
                shared => shared,
            };
            if undone {
                self.members.push(Member { kept: Kept { hooks: Vec::new(), emitted: false }, done });
                return self.pass_on(session);
            }
            if let Err(error) = session.rollback().await {
                tracing::debug!(service, error = %error, "rollback failed; the connection is dropped");
            }
            drop(self);
            let _ = done.send(Ok(()));
        });
        committed.await.unwrap_or(Err(Lost::Undone))
    }

    /// Commits unless somebody who waits will.
    #[expect(clippy::disallowed_methods, reason = "a caller that goes away must not cut off the commit of others")]
    fn pass_on(self, session: DatabaseTransaction) {
        let Turn { group, mut seat, members, alone } = self;
        let full = members.len() >= MOST;
        let open = Open { session, members };
        if alone || full || group.waiting() == 0 {
            tokio::spawn(async move {
                group.commit(open).await;
                drop(seat);
            });
        } else {
            *seat = Some(open);
        }
    }
}

/// Somebody who stands in the queue, and so will commit what is open.
struct Waiting(Option<Group>);

impl Waiting {
    fn new(group: Group) -> Waiting {
        group.0.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(Some(group))
    }

    /// Its turn has come.
    fn served(mut self) {
        if let Some(group) = self.0.take() {
            group.0.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Whoever leaves the queue must not leave others waiting for a commit that nobody makes.
impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(group) = self.0.take() else { return };
        let last = group.0.waiting.fetch_sub(1, Ordering::SeqCst) == 1;
        if let (true, Ok(runtime)) = (last, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let mut seat = group.0.seat.clone().lock_owned().await;
                if group.waiting() == 0
                    && let Some(open) = seat.take()
                {
                    group.commit(open).await;
                }
            });
        }
    }
}
