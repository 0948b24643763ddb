//! What the checks read: whole tables, by plain SQL, so that they don't share the code that they check.

use jangteo_core::Result;
use kit::db::DbResult;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement};

/// The rows of a query, written once for both stores.
pub async fn rows<C: ConnectionTrait>(conn: &C, sql: &str) -> Result<Vec<QueryResult>> {
    conn.query_all_raw(Statement::from_string(conn.get_database_backend(), sql)).await.db()
}

/// Each row as a text.
pub async fn lines<C: ConnectionTrait>(conn: &C, sql: &str) -> Result<Vec<String>> {
    rows(conn, sql).await?.iter().map(|row| row.try_get_by_index(0).db()).collect()
}

/// (table, column, whether it holds bytes) of every column that can hold a text.
pub async fn text_columns<C: ConnectionTrait>(conn: &C) -> Result<Vec<(String, String, bool)>> {
    let sql = match conn.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT table_name::text, column_name::text, data_type = 'bytea' FROM information_schema.columns \
             WHERE table_schema = current_schema() AND data_type IN ('text', 'bytea') ORDER BY 1, 2"
        }
        _ => {
            "SELECT m.name, c.name, c.type = 'BLOB' FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND c.type IN ('TEXT', 'BLOB') ORDER BY 1, 2"
        }
    };
    let read = |row: QueryResult| {
        Ok((row.try_get_by_index(0).db()?, row.try_get_by_index(1).db()?, row.try_get_by_index(2).db()?))
    };
    rows(conn, sql).await?.into_iter().map(read).collect()
}

pub async fn texts<C: ConnectionTrait>(conn: &C, table: &str, column: &str) -> Result<Vec<String>> {
    lines(conn, &format!("SELECT \"{column}\" FROM \"{table}\" WHERE \"{column}\" IS NOT NULL")).await
}

pub async fn bytes<C: ConnectionTrait>(conn: &C, table: &str, column: &str) -> Result<Vec<Vec<u8>>> {
    let sql = format!("SELECT \"{column}\" FROM \"{table}\" WHERE \"{column}\" IS NOT NULL");
    rows(conn, &sql).await?.iter().map(|row| row.try_get_by_index(0).db()).collect()
}
