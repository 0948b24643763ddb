//! The few places where the SQL of the stores differs. Statements are written once, with `$1` parameters,
//! which both drivers read.

use jangteo_core::Result;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, TryGetable, Value};

use crate::DbResult;

pub(crate) fn statement<const N: usize>(backend: DbBackend, sql: impl Into<String>, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(backend, sql, values)
}

/// Microseconds since 1970 by the database's clock, the only one that all replicas of a service share.
pub(crate) fn now_micros(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint",
        _ => "(CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000)",
    }
}

pub(crate) fn column<T: TryGetable>(row: &QueryResult, name: &str) -> Result<T> {
    row.try_get("", name).db()
}

/// The first column of the first row.
pub(crate) async fn scalar<T: TryGetable, C: ConnectionTrait>(conn: &C, stmt: Statement) -> Result<Option<T>> {
    conn.query_one_raw(stmt).await.db()?.map(|row| row.try_get_by_index(0).db()).transpose()
}
