//! The consumer's side: an event and its effect in one transaction, each event once and each aggregate in order.

use jangteo_core::{Call, Result};
use proto::jangteo::event::v1::Envelope;
use sea_orm::ConnectionTrait;

use crate::{Db, DbResult, Tx, sql};

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Done,
    /// Seen before; nothing was done.
    Duplicate,
    /// An earlier version is missing; nothing was done.
    Gap {
        expected: i64,
    },
}

const STEP: &str = "INSERT INTO inbox (consumer, source, aggregate, aggregate_id, version) SELECT $1, $2, $3, $4, $5 \
     WHERE $5 = 1 OR EXISTS (SELECT 1 FROM inbox WHERE consumer = $1 AND source = $2 AND aggregate = $3 AND aggregate_id = $4) \
     ON CONFLICT (consumer, source, aggregate, aggregate_id) DO UPDATE SET version = excluded.version \
     WHERE inbox.version = excluded.version - 1 RETURNING version";

impl Db {
    /// Runs `f` in one transaction with the note that `consumer` has seen `env`, if it is the next of its aggregate.
    /// As in [`Db::write`], `f` may run again. `cx` says when, and in which trace; its request id counts for nothing here.
    pub async fn apply<F, Fut>(&self, cx: &Call, consumer: &str, env: &Envelope, f: F) -> Result<Applied>
    where
        F: Fn(Tx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<()>> + Send,
    {
        self.transact(cx, false, |tx| {
            let f = &f;
            async move {
                if !step(&tx, consumer, env).await? {
                    return Ok(place(&tx, consumer, env).await?.unwrap_or(Applied::Duplicate));
                }
                f(tx).await?;
                Ok(Applied::Done)
            }
        })
        .await
    }

    /// What [`Db::apply`] would answer instead of running; `None` when it would run. Saves the calls that
    /// prepare an effect which is there already.
    pub async fn peek(&self, consumer: &str, env: &Envelope) -> Result<Option<Applied>> {
        place(self.primary(), consumer, env).await
    }

    /// The number of the last event of `source` that the consumer has read; 0 at first.
    pub async fn cursor(&self, consumer: &str, source: &str) -> Result<i64> {
        let select = "SELECT seq FROM consumer_cursor WHERE consumer = $1 AND source = $2";
        let stmt = sql::statement(self.backend(), select, [consumer.into(), source.into()]);
        Ok(sql::scalar(self.primary(), stmt).await?.unwrap_or(0))
    }

    /// Sets it, also backwards: what the inbox has seen is skipped on the way.
    pub async fn set_cursor(&self, consumer: &str, source: &str, seq: i64) -> Result<()> {
        let upsert = "INSERT INTO consumer_cursor (consumer, source, seq) VALUES ($1, $2, $3) \
             ON CONFLICT (consumer, source) DO UPDATE SET seq = excluded.seq";
        self.system(sql::statement(self.backend(), upsert, [consumer.into(), source.into(), seq.into()])).await?;
        Ok(())
    }

    /// The same, and never backwards.
    pub async fn advance_cursor(&self, consumer: &str, source: &str, seq: i64) -> Result<()> {
        let upsert = "INSERT INTO consumer_cursor (consumer, source, seq) VALUES ($1, $2, $3) \
             ON CONFLICT (consumer, source) DO UPDATE SET seq = excluded.seq WHERE consumer_cursor.seq < excluded.seq";
        self.system(sql::statement(self.backend(), upsert, [consumer.into(), source.into(), seq.into()])).await?;
        Ok(())
    }

    /// Lets an aggregate of which the consumer has seen nothing begin with `env`: its earlier events are gone
    /// from where the consumer reads, or it begins with a snapshot of them.
    pub async fn begin_at(&self, consumer: &str, env: &Envelope) -> Result<()> {
        let insert = "INSERT INTO inbox (consumer, source, aggregate, aggregate_id, version) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (consumer, source, aggregate, aggregate_id) DO NOTHING";
        let values = [
            consumer.into(),
            env.source.as_str().into(),
            env.aggregate.as_str().into(),
            env.aggregate_id.as_str().into(),
            (env.version - 1).into(),
        ];
        self.system(sql::statement(self.backend(), insert, values)).await?;
        Ok(())
    }

    /// Forgets what the consumer has seen, so that a replay from the start builds its projection again. Works while
    /// the consumer runs: a delivery under way counts as before the reset or as after it. A reader on the embedded bus
    /// keeps its place until it is started again, and stores it when it has moved; a replay doesn't depend on that.
    pub async fn reset_consumer(&self, consumer: &str) -> Result<()> {
        let delete = ["DELETE FROM inbox WHERE consumer = $1", "DELETE FROM consumer_cursor WHERE consumer = $1"];
        self.bulk(&delete.map(|sql| sql::statement(self.backend(), sql, [consumer.into()]))).await?;
        Ok(())
    }
}

/// Notes `env` as seen if it is the next of its aggregate.
pub(crate) async fn step(tx: &Tx, consumer: &str, env: &Envelope) -> Result<bool> {
    let values = [
        consumer.into(),
        env.source.as_str().into(),
        env.aggregate.as_str().into(),
        env.aggregate_id.as_str().into(),
        env.version.into(),
    ];
    let stmt = sql::statement(tx.get_database_backend(), STEP, values);
    Ok(tx.query_one_raw(stmt).await.db()?.is_some())
}

/// `None`: it is the next one.
async fn place<C: ConnectionTrait>(conn: &C, consumer: &str, env: &Envelope) -> Result<Option<Applied>> {
    let select =
        "SELECT version FROM inbox WHERE consumer = $1 AND source = $2 AND aggregate = $3 AND aggregate_id = $4";
    let values =
        [consumer.into(), env.source.as_str().into(), env.aggregate.as_str().into(), env.aggregate_id.as_str().into()];
    let last: i64 = sql::scalar(conn, sql::statement(conn.get_database_backend(), select, values)).await?.unwrap_or(0);
    Ok(match env.version - last {
        ..=0 => Some(Applied::Duplicate),
        1 => None,
        _ => Some(Applied::Gap { expected: last + 1 }),
    })
}
