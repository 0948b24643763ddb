//! The transaction that a write closure gets.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use jangteo_core::{Call, Error, Result, Time};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult,
    Statement, TransactionError, TransactionOptions, TransactionTrait,
};

use crate::{
    Db,
    error::Kind,
    group::{SAVEPOINT, Turn},
    write::Retry,
};

/// An open write. Entity calls take `&tx`.
///
/// A statement that fails spoils the whole write, on both stores: PostgreSQL would otherwise answer the COMMIT
/// of a broken transaction with a silent rollback. Where a failure is expected, say `ON CONFLICT`, or try it in a
/// savepoint: `let attempt = tx.begin().await?`.
pub struct Tx(Arc<Inner>);

pub(crate) type Hook = Box<dyn FnOnce() + Send>;

pub(crate) struct Inner {
    pub db: Db,
    pub session: DatabaseTransaction,
    /// Where writers queue; behind the session, which is dropped first.
    pub turn: Mutex<Option<Turn>>,
    pub call: Arc<Call>,
    pub hooks: Mutex<Vec<Hook>>,
    pub emitted: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// The first statement that failed.
    pub failed: Option<DbErr>,
    pub retry: Retry,
    pub savepoint: Savepoint,
}

/// What stands between this write and those before it in the same transaction.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Savepoint {
    /// There are none.
    #[default]
    None,
    /// Nothing yet, as nothing was changed.
    Due,
    Set,
}

impl Tx {
    pub(crate) fn new(db: Db, session: DatabaseTransaction, turn: Option<Turn>, call: Arc<Call>) -> Tx {
        let shared = turn.as_ref().is_some_and(Turn::is_shared);
        let savepoint = if shared { Savepoint::Due } else { Savepoint::None };
        Tx(Arc::new(Inner {
            db,
            session,
            turn: Mutex::new(turn),
            call,
            hooks: Mutex::default(),
            emitted: AtomicBool::new(false),
            state: Mutex::new(State { savepoint, ..State::default() }),
        }))
    }

    /// When the call arrived. Closures that run again see the same time.
    pub fn now(&self) -> Time {
        self.0.call.now
    }

    pub fn call(&self) -> &Call {
        &self.0.call
    }

    pub(crate) fn db(&self) -> &Db {
        &self.0.db
    }

    /// Runs once, after the commit is known, and not at all otherwise: eviction from caches, wake-ups.
    /// It must be quick; what must not be lost belongs in an event.
    pub fn after_commit(&self, f: impl FnOnce() + Send + 'static) {
        self.0.hooks.lock().expect("no holder panics").push(Box::new(f));
    }

    pub(crate) fn share(&self) -> Tx {
        Tx(self.0.clone())
    }

    /// The session, once the closure is done with it.
    pub(crate) fn into_inner(self) -> Result<Inner> {
        Arc::try_unwrap(self.0).map_err(|_| Error::internal("a write closure let its transaction escape"))
    }

    pub(crate) fn emitted(&self) {
        self.0.emitted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self, retry: Retry) {
        let mut state = self.0.state.lock().expect("no holder panics");
        state.retry = state.retry.max(retry);
    }

    /// Whether the savepoint is to be set before a statement that may change something; from now on it counts as set.
    fn owes_savepoint(&self) -> bool {
        let savepoint = &mut self.0.state.lock().expect("no holder panics").savepoint;
        *savepoint == Savepoint::Due && {
            *savepoint = Savepoint::Set;
            true
        }
    }

    async fn savepoint(&self) -> Result<(), DbErr> {
        match self.owes_savepoint() {
            true => self.note(self.0.session.execute_unprepared(SAVEPOINT).await.map(|_| ())),
            false => Ok(()),
        }
    }

    fn note<T>(&self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        if let Err(e) = &result {
            let mut state = self.0.state.lock().expect("no holder panics");
            state.retry = state.retry.max(Retry::after(Kind::of(e)));
            state.failed.get_or_insert_with(|| e.clone());
        }
        result
    }
}

/// Whether a statement changes nothing for certain.
fn reads(sql: &str) -> bool {
    sql.starts_with("SELECT ")
}

impl Inner {
    pub(crate) fn state(&self) -> State {
        std::mem::take(&mut *self.state.lock().expect("no holder panics"))
    }
}

#[async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        self.0.session.get_database_backend()
    }
    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        self.savepoint().await?;
        self.note(self.0.session.execute_raw(stmt).await)
    }
    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.savepoint().await?;
        self.note(self.0.session.execute_unprepared(sql).await)
    }
    async fn query_one_raw(&self, mut stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        // In one trip, where no row count would add up those of both.
        if !reads(&stmt.sql) && self.owes_savepoint() {
            stmt.sql.insert_str(0, "; ");
            stmt.sql.insert_str(0, SAVEPOINT);
        }
        self.note(self.0.session.query_one_raw(stmt).await)
    }
    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        if !reads(&stmt.sql) {
            self.savepoint().await?;
        }
        self.note(self.0.session.query_all_raw(stmt).await)
    }
}

/// Savepoints.
#[async_trait]
impl TransactionTrait for Tx {
    type Transaction = DatabaseTransaction;

    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.savepoint().await?;
        self.0.session.begin().await
    }
    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<DatabaseTransaction, DbErr> {
        self.savepoint().await?;
        self.0.session.begin_with_config(isolation_level, access_mode).await
    }
    async fn begin_with_options(&self, options: TransactionOptions) -> Result<DatabaseTransaction, DbErr> {
        self.savepoint().await?;
        self.0.session.begin_with_options(options).await
    }
    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> futures::future::BoxFuture<'c, Result<T, E>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        self.savepoint().await.map_err(TransactionError::Connection)?;
        self.0.session.transaction(callback).await
    }
    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> futures::future::BoxFuture<'c, Result<T, E>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        self.savepoint().await.map_err(TransactionError::Connection)?;
        self.0.session.transaction_with_config(callback, isolation_level, access_mode).await
    }
}
