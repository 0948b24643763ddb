//! From the store's errors to ours. `core` knows no ORM, so there is no `From`: store code writes
//! `row.insert(&tx).await.db()?` or `.map_err(db::fail)?`.

use jangteo_core::{Code, Error, Result};
use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

pub trait DbResult<T> {
    fn db(self) -> Result<T>;
}

impl<T> DbResult<T> for Result<T, DbErr> {
    fn db(self) -> Result<T> {
        self.map_err(fail)
    }
}

/// A lost connection is UNAVAILABLE, a full disk RESOURCE_EXHAUSTED, a lost race ABORTED, a statement over its time
/// limit DEADLINE_EXCEEDED; the rest is ours: INTERNAL.
/// The cause stays inside as the source.
pub fn fail(e: DbErr) -> Error {
    match Kind::of(&e) {
        Kind::Connection => Error::unavailable("database"),
        Kind::Full => Error::new(Code::ResourceExhausted, "STORE_FULL", "the database has no room left"),
        Kind::Serialisation | Kind::Locked => contention(),
        Kind::TooLong => {
            Error::new(Code::DeadlineExceeded, "STATEMENT_TIMEOUT", "the database took too long over a statement")
        }
        Kind::Other => return Error::internal(e),
    }
    .with_source(e)
}

pub(crate) fn contention() -> Error {
    Error::new(Code::Aborted, "CONTENTION", "too many writers want the same rows at once; try again")
}

/// Of a [`DbErr`] as well as of an [`Error`] that [`fail`] made from one.
pub fn is_unique_violation(e: &(dyn std::error::Error + 'static)) -> bool {
    matches!(cause(e).and_then(DbErr::sql_err), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// The store's error at the root of `e`.
pub(crate) fn cause<'a>(e: &'a (dyn std::error::Error + 'static)) -> Option<&'a DbErr> {
    std::iter::successors(Some(e), |e| e.source()).find_map(|e| e.downcast_ref::<DbErr>())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing listens, or the connection broke.
    Connection,
    /// The transaction lost a race; running it again is right.
    Serialisation,
    /// A lock was not granted in time.
    Locked,
    /// The disk is full.
    Full,
    /// The statement ran into its time limit.
    TooLong,
    Other,
}

impl Kind {
    pub(crate) fn of(e: &DbErr) -> Kind {
        let e = match e {
            DbErr::ConnectionAcquire(_) => return Kind::Connection,
            DbErr::Conn(RuntimeErr::SqlxError(e))
            | DbErr::Exec(RuntimeErr::SqlxError(e))
            | DbErr::Query(RuntimeErr::SqlxError(e)) => e,
            _ => return Kind::Other,
        };
        match &**e {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Kind::Connection,
            sqlx::Error::Database(e) => {
                let code = e.code().unwrap_or_default();
                match e.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
                    Some(_) => Self::of_postgres(&code),
                    None => Self::of_sqlite(code.parse().unwrap_or(0)),
                }
            }
            _ => Kind::Other,
        }
    }

    /// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    fn of_postgres(code: &str) -> Kind {
        match code {
            "40001" | "40P01" => Kind::Serialisation,
            "55P03" => Kind::Locked,
            "53100" => Kind::Full,
            "57014" => Kind::TooLong,
            "57P01" | "57P02" | "57P03" | "25P03" => Kind::Connection,
            _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("28") => Kind::Connection,
            _ => Kind::Other,
        }
    }

    /// The low byte of an extended code is the primary one, <https://www.sqlite.org/rescode.html>.
    fn of_sqlite(code: i32) -> Kind {
        match code & 0xff {
            5 | 6 => Kind::Serialisation,
            13 => Kind::Full,
            14 => Kind::Connection,
            _ => Kind::Other,
        }
    }
}
