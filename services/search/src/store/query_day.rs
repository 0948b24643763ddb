//! What was searched for: a row a query and day, and nothing of who asked.

use jangteo_core::Result;
use kit::db::{Db, DbResult, Tx};
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use std::collections::BTreeMap;

/// Counts of one query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub searches: i64,
    pub zero_hits: i64,
    pub clicks: i64,
    /// The sum of the places of clicked hits.
    pub positions: i64,
}

/// A query and what became of it in some days.
#[derive(Debug, Clone, Default, PartialEq, Eq, FromQueryResult)]
pub struct Summed {
    pub query: String,
    pub searches: i64,
    pub zero_hits: i64,
    pub clicks: i64,
    pub positions: i64,
}

const SUMS: &str = "CAST(COALESCE(SUM(searches), 0) AS BIGINT) AS searches, \
     CAST(COALESCE(SUM(zero_hits), 0) AS BIGINT) AS zero_hits, CAST(COALESCE(SUM(clicks), 0) AS BIGINT) AS clicks, \
     CAST(COALESCE(SUM(positions), 0) AS BIGINT) AS positions";

/// Adds counts by (kind, query), in that order, so that two writers don't wait for each other.
pub async fn add(tx: &Tx, day: i64, counts: &BTreeMap<(String, String), Counts>) -> Result<()> {
    let sql = "INSERT INTO query_day (kind, day, query, searches, zero_hits, clicks, positions) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (kind, day, query) DO UPDATE SET \
         searches = query_day.searches + excluded.searches, zero_hits = query_day.zero_hits + excluded.zero_hits, \
         clicks = query_day.clicks + excluded.clicks, positions = query_day.positions + excluded.positions";
    for ((kind, query), c) in counts {
        let values = [
            kind.as_str().into(),
            day.into(),
            query.as_str().into(),
            c.searches.into(),
            c.zero_hits.into(),
            c.clicks.into(),
            c.positions.into(),
        ];
        tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await.db()?;
    }
    Ok(())
}

/// All queries since a day together.
pub async fn total(db: &Db, kind: &str, since: i64) -> Result<Summed> {
    let sql = format!("SELECT '' AS query, {SUMS} FROM query_day WHERE kind = $1 AND day >= $2");
    let statement = Statement::from_sql_and_values(db.backend(), sql, [kind.into(), since.into()]);
    Ok(Summed::find_by_statement(statement).one(db.read()).await.db()?.unwrap_or_default())
}

#[derive(Debug, Clone, Copy)]
pub enum Top {
    /// Asked most often.
    Searched,
    /// Found nothing most often.
    Missed,
    /// Asked most often of those that find something, by so many at least.
    Found { at_least: i64 },
}

pub async fn top(db: &Db, kind: &str, since: i64, top: Top, limit: u64) -> Result<Vec<Summed>> {
    let (having, order, least) = match top {
        Top::Searched => ("SUM(searches) >= $3", "SUM(searches)", 1),
        Top::Missed => ("SUM(zero_hits) >= $3", "SUM(zero_hits)", 1),
        Top::Found { at_least } => ("SUM(searches) >= $3 AND SUM(zero_hits) = 0", "SUM(searches)", at_least),
    };
    let sql = format!(
        "SELECT query, {SUMS} FROM query_day WHERE kind = $1 AND day >= $2 GROUP BY query HAVING {having} \
         ORDER BY {order} DESC, query LIMIT $4"
    );
    let values = [kind.into(), since.into(), least.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    Summed::find_by_statement(statement).all(db.read()).await.db()
}

/// Forgets what is older than a day.
pub async fn forget(tx: &Tx, before: i64) -> Result<()> {
    let sql = "DELETE FROM query_day WHERE day < $1";
    tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, [before.into()])).await.db()?;
    Ok(())
}
