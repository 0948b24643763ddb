//! Rows and how they become messages; the only file that knows the ORM.

pub mod attempt;
pub mod campaign;
pub mod delivery;
pub mod device;
pub mod goods;
pub mod notification;
pub mod preference;
pub mod recipient;

use jangteo_core::Result;
use kit::db::DbResult;
use sea_orm::{ConnectionTrait, QueryResult, Statement, TryGetable, Value};

/// Rows of a statement that the ORM has no words for; `$1` parameters on both stores.
async fn rows<C: ConnectionTrait>(conn: &C, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>> {
    conn.query_all_raw(Statement::from_sql_and_values(conn.get_database_backend(), sql, values)).await.db()
}

fn column<T: TryGetable>(row: &QueryResult, name: &str) -> Result<T> {
    row.try_get("", name).db()
}
