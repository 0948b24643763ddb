//! Writes that share a commit, where a database has one writer (SQLite).
//!
//! A commit waits for the disk, and costs more than the statements before it. So whoever has written while others wait for
//! their turn leaves the commit to them: they go on in the same transaction, each behind a savepoint, and the last one, or the
//! [`MOST`]th, commits for all. Nobody is answered before that commit, nor is an error that a closure decided on what others
//! of its group wrote. PostgreSQL groups the commits of its many writers itself.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnAcquireErr, DatabaseConnection, DatabaseTransaction, DbErr, TransactionOptions, TransactionTrait};
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
    seat: Arc<Mutex<Seat>>,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Seat {
    open: Option<Open>,
}

/// A transaction that somebody who waits will commit.
struct Open {
    root: DatabaseTransaction,
    members: Vec<Member>,
}

struct Member {
    kept: Kept,
    done: oneshot::Sender<Result<(), Lost>>,
}

/// The right to write, until it is dropped.
pub(crate) struct Turn {
    group: Group,
    /// Taken when the turn is over.
    seat: Option<OwnedMutexGuard<Seat>>,
    /// Commits by itself, whoever waits.
    alone: bool,
    /// A closure has begun of which nobody knows how it ended.
    in_doubt: bool,
}

impl Group {
    /// `patience`: how long a turn is waited for.
    pub fn new(service: &'static str, changed: watch::Sender<u64>, patience: Duration) -> Group {
        let (seat, waiting) = (Arc::default(), AtomicUsize::new(0));
        Group(Arc::new(Inner { service, changed, patience, seat, waiting }))
    }

    /// Waits for a turn and begins: a transaction, or a savepoint in the one that was left open. The session has to be
    /// dropped before the turn.
    #[expect(clippy::disallowed_methods, reason = "the task is awaited here and lives no longer than one BEGIN")]
    pub async fn turn(
        &self,
        writer: &DatabaseConnection,
        options: TransactionOptions,
        alone: bool,
    ) -> Result<(DatabaseTransaction, Turn), DbErr> {
        let waiting = Waiting::new(self.clone());
        let seat = tokio::time::timeout(self.0.patience, self.0.seat.clone().lock_owned()).await;
        let seat = seat.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?;
        waiting.served();
        let mut turn = Turn { group: self.clone(), seat: Some(seat), alone, in_doubt: false };
        let writer = writer.clone();
        // A caller that goes away must not leave a BEGIN that is not counted: see `Db::begin`.
        let begun = tokio::spawn(async move {
            if alone {
                turn.commit().await;
            }
            let session = match &turn.seat().open {
                Some(open) => open.root.begin().await,
                None => writer.begin_with_options(options).await,
            };
            turn.in_doubt = session.is_ok();
            session.map(|session| (session, turn))
        });
        begun.await.unwrap_or_else(|e| Err(DbErr::Custom(e.to_string())))
    }

    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::SeqCst)
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
    fn seat(&mut self) -> &mut Seat {
        self.seat.as_mut().expect("held until the end")
    }

    /// The closure has written. Its transaction is committed now, or with those that wait; this returns when it is.
    #[expect(clippy::disallowed_methods, reason = "the task ends with the turn")]
    pub async fn finish(mut self, session: DatabaseTransaction, kept: Kept) -> Result<(), Lost> {
        let (done, committed) = oneshot::channel();
        tokio::spawn(async move {
            match self.seat().open.as_mut() {
                Some(open) => {
                    let released = session.commit().await;
                    open.members.push(Member { kept, done });
                    if let Err(e) = released {
                        return self.undo(Lost::Commit(e)).await;
                    }
                }
                None => self.seat().open = Some(Open { root: session, members: vec![Member { kept, done }] }),
            }
            self.pass_on().await;
        });
        committed.await.unwrap_or(Err(Lost::Undone))
    }

    /// The closure has refused. `sound`: no statement failed, so only this one's are undone; its answer holds once that
    /// on which it was decided is committed.
    #[expect(clippy::disallowed_methods, reason = "the task ends with the turn")]
    pub async fn refuse(mut self, session: DatabaseTransaction, sound: bool) -> Result<(), Lost> {
        let (done, committed) = oneshot::channel();
        let service = self.group.0.service;
        tokio::spawn(async move {
            let rolled_back = session.rollback().await;
            if let Err(error) = &rolled_back {
                tracing::debug!(service, error = %error, "rollback failed; the connection is dropped");
            }
            let Some(open) = self.seat().open.as_mut() else {
                let _ = done.send(Ok(()));
                return;
            };
            if !sound || rolled_back.is_err() {
                let _ = done.send(Ok(()));
                return self.undo(Lost::Undone).await;
            }
            open.members.push(Member { kept: Kept { hooks: Vec::new(), emitted: false }, done });
            self.pass_on().await;
        });
        committed.await.unwrap_or(Err(Lost::Undone))
    }

    /// Commits unless somebody who waits will.
    async fn pass_on(&mut self) {
        self.in_doubt = false;
        let full = self.seat().open.as_ref().is_some_and(|open| open.members.len() >= MOST);
        if self.alone || full || self.group.waiting() == 0 {
            self.commit().await;
        }
    }

    async fn commit(&mut self) {
        let Some(Open { root, members }) = self.seat().open.take() else { return };
        metrics::counter!("db_commits_total", "service" => self.group.0.service).increment(1);
        match root.commit().await {
            Ok(()) => self.group.tell(members),
            Err(e) => fail(members, &Lost::Commit(e)),
        }
    }

    async fn undo(&mut self, why: Lost) {
        self.in_doubt = false;
        let Some(Open { root, members }) = self.seat().open.take() else { return };
        if let Err(error) = root.rollback().await {
            tracing::debug!(service = self.group.0.service, error = %error, "rollback failed; the connection is dropped");
        }
        fail(members, &why);
    }
}

fn fail(members: Vec<Member>, why: &Lost) {
    for Member { done, .. } in members {
        let _ = done.send(Err(why.clone()));
    }
}

/// Whoever leaves without an end must not leave others waiting for a commit that nobody makes.
impl Drop for Turn {
    fn drop(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        let orphan = seat.open.is_some() && (self.in_doubt || self.group.waiting() == 0);
        if let (true, Ok(runtime)) = (orphan, tokio::runtime::Handle::try_current()) {
            let mut last = Turn { group: self.group.clone(), seat: Some(seat), alone: true, in_doubt: self.in_doubt };
            runtime.spawn(async move {
                match last.in_doubt {
                    true => last.undo(Lost::Undone).await,
                    false => last.commit().await,
                }
            });
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

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(group) = self.0.take() else { return };
        let last = group.0.waiting.fetch_sub(1, Ordering::SeqCst) == 1;
        if let (true, Ok(runtime)) = (last, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let seat = group.0.seat.clone().lock_owned().await;
                drop(Turn { group, seat: Some(seat), alone: false, in_doubt: false });
            });
        }
    }
}
