//! Opens the stores, and [`Db`], the handle on them.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jangteo_core::{Code, Error, Result};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    IsolationLevel, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::watch;

use crate::{DbConfig, DbResult, Isolation, Migration, Migrations, error::Kind, group::Group, sql};

/// 3.51.2 and older can corrupt a database when its WAL is reset.
const SQLITE_UNSAFE: [u32; 3] = [3, 51, 2];

/// A service's database. Cheap to clone.
#[derive(Clone)]
pub struct Db(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub service: &'static str,
    pub writer: DatabaseConnection,
    pub reader: DatabaseConnection,
    pub replicas: Vec<DatabaseConnection>,
    pub turn: AtomicUsize,
    pub relay: bool,
    pub changed: watch::Sender<u64>,
    /// Where there is one writer: the queue for it.
    pub group: Option<Group>,
    pub migrations: Vec<&'static Migration>,
}

impl Db {
    /// Connects. The tables are made by [`Db::migrate`].
    pub async fn open(service: &'static str, cfg: &DbConfig, migrations: &[Migrations]) -> Result<Db> {
        let (writer, reader, replicas) = match cfg.url.split(':').next() {
            Some("sqlite") => open_sqlite(cfg).await?,
            Some("postgres" | "postgresql") => open_postgres(service, cfg).await?,
            _ => {
                return Err(misconfigured(format!("{service}: the database url must begin with sqlite: or postgres:")));
            }
        };
        let migrations = std::iter::once(&crate::system::MIGRATIONS).chain(migrations).flat_map(|m| m.0).collect();
        let changed = watch::Sender::new(0);
        let group = (writer.get_database_backend() == DbBackend::Sqlite)
            .then(|| Group::new(service, changed.clone(), Duration::from_millis(cfg.acquire_timeout_ms)));
        Ok(Db(Arc::new(Inner {
            service,
            writer,
            reader,
            replicas,
            turn: AtomicUsize::new(0),
            relay: cfg.relay,
            changed,
            group,
            migrations,
        })))
    }

    /// For reads that may be a moment behind: a replica in turn, or the reader pool. Refuses writes.
    pub fn read(&self) -> &DatabaseConnection {
        match self.0.replicas.as_slice() {
            [] => &self.0.reader,
            many => &many[self.0.turn.fetch_add(1, Ordering::Relaxed) % many.len()],
        }
    }

    /// For reads that must see every commit so far. Refuses writes.
    pub fn primary(&self) -> &DatabaseConnection {
        &self.0.reader
    }

    pub fn service(&self) -> &'static str {
        self.0.service
    }

    pub fn backend(&self) -> DbBackend {
        self.0.writer.get_database_backend()
    }

    /// Ready: the primary answers.
    pub async fn ping(&self) -> Result<()> {
        self.primary().ping().await.db()
    }

    /// How many wait for the only writer of SQLite.
    pub fn writers_waiting(&self) -> usize {
        self.0.group.as_ref().map_or(0, Group::waiting)
    }

    /// Waits for running statements and closes every connection.
    pub async fn close(&self) {
        for conn in [&self.0.reader, &self.0.writer].into_iter().chain(&self.0.replicas) {
            if let Err(e) = conn.close_by_ref().await {
                tracing::warn!(service = self.0.service, error = %e, "a connection did not close cleanly");
            }
        }
    }

    /// One of the library's own statements on the writer, run again when it loses a race.
    pub(crate) async fn system(&self, stmt: Statement) -> Result<u64> {
        self.again(async || Ok(self.0.writer.execute_raw(stmt.clone()).await?.rows_affected())).await
    }

    /// Begins in a task of its own: sqlx counts a BEGIN once it is answered, so a caller that goes away before would give
    /// the connection back inside a transaction that nobody ends, and the next one would write into it.
    #[expect(clippy::disallowed_methods, reason = "the task is awaited here and lives no longer than one BEGIN")]
    pub(crate) async fn begin(&self, options: TransactionOptions) -> Result<DatabaseTransaction, DbErr> {
        let writer = self.0.writer.clone();
        let begun = tokio::spawn(async move { writer.begin_with_options(options).await });
        begun.await.unwrap_or_else(|e| Err(DbErr::Custom(e.to_string())))
    }

    /// Statements over whole tables, all or none, beside the writes that go on meanwhile. They may take longer than the
    /// limit for statements. READ COMMITTED waits for the rows that others are writing; under a stricter isolation one
    /// of the many rows would have been written meanwhile on every attempt.
    pub(crate) async fn bulk(&self, stmts: &[Statement]) -> Result<u64> {
        let postgres = self.backend() == DbBackend::Postgres;
        self.again(async || {
            let tx = self
                .begin(TransactionOptions {
                    isolation_level: postgres.then_some(IsolationLevel::ReadCommitted),
                    access_mode: None,
                    sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                })
                .await?;
            if postgres {
                tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
            }
            let mut rows = 0;
            for stmt in stmts {
                rows += tx.execute_raw(stmt.clone()).await?.rows_affected();
            }
            tx.commit().await?;
            Ok(rows)
        })
        .await
    }

    pub(crate) async fn again<T, F, Fut>(&self, f: F) -> Result<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, DbErr>>,
    {
        let mut attempt = 0;
        loop {
            match f().await {
                Err(e) if Kind::of(&e) == Kind::Serialisation && attempt < 12 => {
                    attempt += 1;
                    tokio::time::sleep(crate::write::backoff(attempt)).await;
                }
                done => return done.db(),
            }
        }
    }
}

type Pools = (DatabaseConnection, DatabaseConnection, Vec<DatabaseConnection>);

fn options(url: &str, cfg: &DbConfig, max: u32) -> ConnectOptions {
    let mut o = ConnectOptions::new(url);
    o.max_connections(max.max(1))
        .min_connections(0)
        .acquire_timeout(Duration::from_millis(cfg.acquire_timeout_ms))
        .idle_timeout(Duration::from_secs(60))
        // A ping before every use would double the round trips; a stale connection costs one retry instead.
        .test_before_acquire_if_idle_for(Duration::from_secs(2))
        .sqlx_logging(false);
    o
}

async fn open_sqlite(cfg: &DbConfig) -> Result<Pools> {
    let path = cfg.url.trim_start_matches("sqlite:").trim_start_matches("//").split('?').next().unwrap_or_default();
    if path.is_empty() || path.contains(":memory:") {
        return Err(misconfigured("an in-memory sqlite can't be shared between a writer and its readers".to_owned()));
    }
    if let Some(dir) = Path::new(path).parent() {
        std::fs::create_dir_all(dir).map_err(|e| misconfigured(format!("{}: {e}", dir.display())))?;
    }
    let connect = async |max, query_only: &'static str| {
        let mut o = options(&cfg.url, cfg, max);
        if max == 1 {
            // Always one connection: the last one to close takes the WAL down, in the way of whoever opens then.
            o.min_connections(1).idle_timeout(None::<Duration>).max_lifetime(None::<Duration>);
        }
        o.map_sqlx_sqlite_opts(move |o| {
            o.create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(10))
                // What an erased person leaves behind is overwritten.
                .pragma("secure_delete", "ON")
                .pragma("query_only", query_only)
        });
        // No busy timeout covers the step into WAL mode, which several starters may take at once.
        let mut attempt = 0;
        loop {
            match Database::connect(o.clone()).await {
                Err(e) if Kind::of(&e) == Kind::Serialisation && attempt < 60 => {
                    attempt += 1;
                    tokio::time::sleep(crate::write::backoff(attempt)).await;
                }
                done => return done.map_err(unreachable),
            }
        }
    };
    let writer = connect(1, "OFF").await?;
    let version: String = sql::scalar(&writer, sql::statement(DbBackend::Sqlite, "SELECT sqlite_version()", []))
        .await?
        .unwrap_or_default();
    if !sqlite_is_safe(&version) {
        return Err(misconfigured(format!("sqlite {version} can corrupt its WAL; 3.51.3 or newer is needed")));
    }
    let reader = connect(cfg.max_connections.max(2), "ON").await?;
    Ok((writer, reader, Vec::new()))
}

async fn open_postgres(service: &str, cfg: &DbConfig) -> Result<Pools> {
    if let Some(schema) = &cfg.schema {
        if schema.is_empty() || !schema.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            return Err(misconfigured(format!(
                "{service}: the schema {schema:?} must be lower-case letters, digits and _"
            )));
        }
        let mut one = ConnectOptions::new(&cfg.url);
        one.max_connections(1).sqlx_logging(false);
        let admin = Database::connect(one).await.map_err(unreachable)?;
        // IF NOT EXISTS alone races with another starter; the lock lives as long as the statement's own transaction.
        let made = admin
            .execute_unprepared(&format!(
                "SELECT pg_advisory_xact_lock(7406); CREATE SCHEMA IF NOT EXISTS \"{schema}\""
            ))
            .await;
        admin.close().await.db()?;
        made.db()?;
    }
    let connect = async |url: &str, writes: bool, lazy: bool| {
        let mut o = options(url, cfg, cfg.max_connections);
        o.connect_lazy(lazy);
        let mut settings = vec![
            ("application_name", service.to_owned()),
            ("statement_timeout", cfg.statement_timeout_ms.to_string()),
            ("idle_in_transaction_session_timeout", cfg.idle_transaction_timeout_ms.to_string()),
            ("lock_timeout", "10s".to_owned()),
        ];
        if let Some(schema) = &cfg.schema {
            settings.push(("search_path", format!("\"{schema}\"")));
        }
        if writes {
            // Favours index scans: a scan of a whole small table makes every other writer a rival under SERIALIZABLE.
            settings.push(("random_page_cost", "1.1".to_owned()));
            settings.push(("default_transaction_isolation", cfg.isolation.as_sql().to_owned()));
        } else {
            settings.push(("default_transaction_read_only", "on".to_owned()));
        }
        o.map_sqlx_postgres_opts(move |o| o.options(settings.clone()));
        Database::connect(o).await.map_err(unreachable)
    };
    let writer = connect(&cfg.url, true, false).await?;
    let reader = connect(&cfg.url, false, true).await?;
    let mut replicas = Vec::new();
    for url in &cfg.replicas {
        // A replica that is down must not stop the start.
        replicas.push(connect(url, false, true).await?);
    }
    if cfg.isolation != Isolation::Serializable {
        tracing::info!(service, isolation = cfg.isolation.as_sql(), "writes are not serializable");
    }
    Ok((writer, reader, replicas))
}

fn sqlite_is_safe(version: &str) -> bool {
    let mut parts = version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
    [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default) > SQLITE_UNSAFE
}

fn unreachable(e: DbErr) -> Error {
    Error::unavailable("database").with_source(e)
}

pub(crate) fn misconfigured(message: String) -> Error {
    Error::new(Code::FailedPrecondition, "STORE_MISCONFIGURED", message)
}

#[cfg(test)]
mod tests {
    #[test]
    fn old_sqlite_is_refused() {
        for (version, safe) in
            [("3.51.2", false), ("3.40.1", false), ("3.51.3", true), ("3.52.0", true), ("4.0", true), ("", false)]
        {
            assert_eq!(super::sqlite_is_safe(version), safe, "{version}");
        }
    }
}
