//! The event table: written by a write's `emit` and `append`, read by consumers and by those who fold history.

use jangteo_core::{Code, Error, Result, from_micros, micros};
use proto::{Event, jangteo::event::v1::Envelope};
use sea_orm::{ConnectionTrait, DbBackend, IsolationLevel, QueryResult, TransactionOptions};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{Db, DbResult, Tx, error::Kind, fail, is_unique_violation, sql, write::Retry};

/// One relay at a time publishes each of these.
pub const PARTITIONS: i32 = 16;

/// The partition of an aggregate: all of its events have the same. FNV-1a, so that it never changes.
pub fn partition(aggregate_id: &str) -> i32 {
    (fnv1a(aggregate_id.as_bytes()) % PARTITIONS as u64) as i32
}

/// <http://www.isthe.com/chongo/tech/comp/fnv/>, folded so that the low bits depend on all of it.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 32)
}

const COLUMNS: &str = "e.seq, e.event_id, e.source, e.aggregate, e.aggregate_id, e.version, e.type, e.payload, e.actor, e.traceparent, e.time";

const INSERT: &str = "INSERT INTO event (event_id, source, aggregate, aggregate_id, version, type, payload, actor, traceparent, time, part) \
     SELECT $1, $2, $3, $4, 1 + COALESCE((SELECT MAX(version) FROM event WHERE aggregate = $3 AND aggregate_id = $4), 0), $5, $6, $7, $8, $9, $10 \
     WHERE $11 < 0 OR $11 = COALESCE((SELECT MAX(version) FROM event WHERE aggregate = $3 AND aggregate_id = $4), 0)";

impl Tx {
    /// Adds `event` as the next of its aggregate and returns its version.
    pub async fn emit<E: Event>(&self, event: &E) -> Result<i64> {
        self.record(event, event.aggregate_id(), None).await
    }

    /// Adds `events` to an aggregate whose last version the caller knows; 0 when it has none yet. Returns the new
    /// last version. When somebody else was faster the write runs again, so load the aggregate inside the closure;
    /// a version that stays wrong is refused: ABORTED `VERSION_CONFLICT`.
    pub async fn append<E: Event>(&self, aggregate_id: &str, expected_version: i64, events: &[E]) -> Result<i64> {
        let mut version = expected_version;
        for event in events {
            version = self.record(event, aggregate_id, Some(version)).await?;
        }
        Ok(version)
    }

    async fn record<E: Event>(&self, event: &E, aggregate_id: &str, expected: Option<i64>) -> Result<i64> {
        if aggregate_id.is_empty() || aggregate_id != event.aggregate_id() {
            return Err(Error::internal(format!(
                "{} of {aggregate_id:?} names {:?}",
                E::full_name(),
                event.aggregate_id()
            )));
        }
        let (backend, relay) = (self.get_database_backend(), self.db().0.relay);
        let event_id = Uuid::now_v7().simple().to_string();
        let part = partition(aggregate_id);
        let values = [
            event_id.clone().into(),
            E::SOURCE.into(),
            E::AGGREGATE.into(),
            aggregate_id.into(),
            E::full_name().into(),
            event.encode_to_vec().into(),
            self.call().principal.key().into(),
            self.call().trace.traceparent.clone().into(),
            micros(self.now()).into(),
            i64::from(part).into(),
            expected.unwrap_or(-1).into(),
        ];
        let insert = match (backend, relay) {
            (DbBackend::Postgres, true) => format!(
                "WITH e AS ({INSERT} RETURNING event_id, part, seq, version), \
                 o AS (INSERT INTO outbox (event_id, part, seq) SELECT event_id, part, seq FROM e) SELECT version FROM e"
            ),
            _ => format!("{INSERT} RETURNING version"),
        };
        let row = self.query_one_raw(sql::statement(backend, insert, values)).await;
        let row = row.map_err(|e| match is_unique_violation(&e) {
            // Another transaction took the version, which our snapshot doesn't show.
            true => {
                self.retry(Retry::Contention);
                conflict::<E>(aggregate_id).with_source(e)
            }
            false => fail(e),
        })?;
        let Some(row) = row else {
            self.retry(Retry::Stale);
            return Err(conflict::<E>(aggregate_id));
        };
        if relay && backend != DbBackend::Postgres {
            let outbox =
                "INSERT INTO outbox (event_id, part, seq) SELECT event_id, part, seq FROM event WHERE event_id = $1";
            self.execute_raw(sql::statement(backend, outbox, [event_id.into()])).await.db()?;
        }
        self.emitted();
        metrics::counter!("db_events_total", "service" => self.db().service(), "type" => E::NAME).increment(1);
        row.try_get_by_index(0).db()
    }

    /// The events of an aggregate behind `after_version`, this transaction's own included.
    pub async fn history(
        &self,
        aggregate: &str,
        aggregate_id: &str,
        after_version: i64,
        limit: u64,
    ) -> Result<Vec<Envelope>> {
        history(self, aggregate, aggregate_id, after_version, limit).await
    }
}

fn conflict<E: Event>(aggregate_id: &str) -> Error {
    let message = format!("{} {aggregate_id} changed meanwhile; read it again", E::AGGREGATE);
    Error::new(Code::Aborted, "VERSION_CONFLICT", message).with(format!("{}_id", E::AGGREGATE), aggregate_id)
}

impl Db {
    pub async fn history(
        &self,
        aggregate: &str,
        aggregate_id: &str,
        after_version: i64,
        limit: u64,
    ) -> Result<Vec<Envelope>> {
        history(self.primary(), aggregate, aggregate_id, after_version, limit).await
    }

    /// The events behind `seq`, in an order in which none can turn up later before the last one returned.
    pub async fn log_after(&self, seq: i64, limit: u64) -> Result<Vec<(i64, Envelope)>> {
        let found = log(self.primary(), seq, limit).await?;
        // SQLite's only writer commits in the order of the rows. PostgreSQL gives numbers out before the commit,
        // so behind a missing number there may be an event on its way.
        if self.backend() != DbBackend::Postgres {
            return Ok(found);
        }
        let whole = found.iter().zip(seq + 1..).take_while(|((found, _), expected)| found == expected).count();
        match whole {
            0 if !found.is_empty() => self.log_settled(seq, limit).await,
            n => Ok(found.into_iter().take(n).collect()),
        }
    }

    /// Waits until no write is under way and reads then: a number still missing was rolled back.
    async fn log_settled(&self, seq: i64, limit: u64) -> Result<Vec<(i64, Envelope)>> {
        let read_committed = Some(IsolationLevel::ReadCommitted);
        let tx = self.begin(TransactionOptions { isolation_level: read_committed, ..Default::default() }).await.db()?;
        match tx.execute_unprepared("SET LOCAL lock_timeout = '2s'; LOCK TABLE event IN SHARE MODE").await {
            Ok(_) => {}
            // A long write is under way; the next poll asks again.
            Err(e) if Kind::of(&e) == Kind::Locked => return Ok(Vec::new()),
            Err(e) => return Err(fail(e)),
        }
        let found = log(&tx, seq, limit).await?;
        tx.commit().await.db()?;
        Ok(found)
    }

    /// The number of the last event; 0 when there is none.
    pub async fn head(&self) -> Result<i64> {
        let stmt = sql::statement(self.backend(), "SELECT COALESCE(MAX(seq), 0) FROM event", []);
        Ok(sql::scalar(self.primary(), stmt).await?.unwrap_or(0))
    }

    /// Changes after each commit of this process that emitted something.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }
}

async fn log<C: ConnectionTrait>(conn: &C, seq: i64, limit: u64) -> Result<Vec<(i64, Envelope)>> {
    let sql = format!("SELECT {COLUMNS} FROM event e WHERE e.seq > $1 ORDER BY e.seq LIMIT $2");
    let stmt = sql::statement(conn.get_database_backend(), sql, [seq.into(), (limit as i64).into()]);
    let rows = conn.query_all_raw(stmt).await.db()?;
    rows.iter().map(|row| Ok((sql::column(row, "seq")?, envelope(row)?))).collect()
}

pub(crate) async fn history<C: ConnectionTrait>(
    conn: &C,
    aggregate: &str,
    aggregate_id: &str,
    after: i64,
    limit: u64,
) -> Result<Vec<Envelope>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM event e WHERE e.aggregate = $1 AND e.aggregate_id = $2 AND e.version > $3 ORDER BY e.version LIMIT $4"
    );
    let values = [aggregate.into(), aggregate_id.into(), after.into(), (limit as i64).into()];
    envelopes(conn, sql::statement(conn.get_database_backend(), sql, values)).await
}

pub(crate) async fn envelopes<C: ConnectionTrait>(conn: &C, stmt: sea_orm::Statement) -> Result<Vec<Envelope>> {
    conn.query_all_raw(stmt).await.db()?.iter().map(envelope).collect()
}

/// For joins that name the event table `e`.
pub(crate) fn columns() -> &'static str {
    COLUMNS
}

fn envelope(row: &QueryResult) -> Result<Envelope> {
    Ok(Envelope {
        event_id: sql::column(row, "event_id")?,
        time: Some(proto::timestamp(from_micros(sql::column(row, "time")?))),
        r#type: sql::column(row, "type")?,
        source: sql::column(row, "source")?,
        aggregate: sql::column(row, "aggregate")?,
        aggregate_id: sql::column(row, "aggregate_id")?,
        version: sql::column(row, "version")?,
        actor: sql::column(row, "actor")?,
        traceparent: sql::column::<Option<String>>(row, "traceparent")?.unwrap_or_default(),
        payload: sql::column(row, "payload")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_never_change_and_all_are_used() {
        assert_eq!((partition("prd_1"), partition("prd_2"), partition("")), (13, 4, 1));
        let used: std::collections::BTreeSet<_> = (0..200).map(|n| partition(&format!("prd_{n}"))).collect();
        assert_eq!(used, (0..PARTITIONS).collect());
    }
}
