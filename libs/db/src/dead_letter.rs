//! Events that a consumer gave up on are kept here, so that the others go on; each can be replayed once.

use jangteo_core::{Call, Error, Page, Result, Time, from_micros, micros};
use prost::Message;
use proto::jangteo::event::v1::Envelope;
use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};

use crate::{Db, DbResult, Paged, Tx, inbox, sql};

#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    pub consumer: String,
    /// The number in the service's event table, or in the stream.
    pub position: i64,
    pub envelope: Envelope,
    pub error: String,
    pub attempts: u32,
    pub time: Time,
    pub replayed_at: Option<Time>,
}

const COLUMNS: &str = "consumer, event_id, position, envelope, error, attempts, time, replayed_at";

impl Db {
    /// Stores an event as a dead letter. If it is the next of its aggregate the inbox steps past it, so that the ones behind it
    /// are applied; one that waits for a missing version leaves the inbox as it is.
    pub async fn dead_letter_put(&self, letter: &DeadLetter) -> Result<()> {
        let envelope = letter.envelope.encode_to_vec();
        let cx = Call::system(self.service(), "dead-letter", letter.time);
        self.transact(&cx, false, async |tx| {
            let insert = "INSERT INTO dead_letter (consumer, event_id, position, envelope, error, attempts, time) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (consumer, event_id) DO NOTHING";
            let values = [
                letter.consumer.as_str().into(),
                letter.envelope.event_id.as_str().into(),
                letter.position.into(),
                envelope.clone().into(),
                letter.error.as_str().into(),
                i64::from(letter.attempts).into(),
                micros(letter.time).into(),
            ];
            tx.execute_raw(sql::statement(tx.get_database_backend(), insert, values)).await.db()?;
            inbox::step(&tx, &letter.consumer, &letter.envelope).await?;
            Ok(())
        })
        .await
    }

    /// Those not replayed yet, oldest first.
    pub async fn dead_letters(&self, consumer: Option<&str>, page: &Page) -> Result<Paged<DeadLetter>> {
        let mut values: Vec<Value> = Vec::new();
        let mut bind = |v: Value| {
            values.push(v);
            format!("${}", values.len())
        };
        let mut sql = format!("SELECT {COLUMNS} FROM dead_letter WHERE replayed_at IS NULL");
        if let Some(consumer) = consumer {
            sql += &format!(" AND consumer = {}", bind(consumer.into()));
        }
        if let [time, consumer, event_id] = page.after.as_slice() {
            let time: i64 = time.parse().map_err(|_| crate::page::bad_token())?;
            sql += &format!(
                " AND (time, consumer, event_id) > ({}, {}, {})",
                bind(time.into()),
                bind(consumer.as_str().into()),
                bind(event_id.as_str().into())
            );
        }
        sql += &format!(" ORDER BY time, consumer, event_id LIMIT {}", bind((page.size as i64 + 1).into()));
        let rows =
            self.primary().query_all_raw(Statement::from_sql_and_values(self.backend(), sql, values)).await.db()?;
        let rows = rows.iter().map(letter).collect::<Result<Vec<_>>>()?;
        Ok(Paged::cut(rows, page.size, |l| {
            vec![micros(l.time).to_string(), l.consumer.clone(), l.envelope.event_id.clone()]
        }))
    }

    pub async fn dead_letter(&self, consumer: &str, event_id: &str) -> Result<DeadLetter> {
        let select = format!("SELECT {COLUMNS} FROM dead_letter WHERE consumer = $1 AND event_id = $2");
        let stmt = sql::statement(self.backend(), select, [consumer.into(), event_id.into()]);
        match self.primary().query_one_raw(stmt).await.db()? {
            Some(row) => letter(&row),
            None => Err(Error::not_found("dead_letter", event_id)),
        }
    }

    /// Runs the effect of a dead letter, once. `false`: it was replayed before.
    pub async fn dead_letter_replay<F, Fut>(&self, cx: &Call, consumer: &str, event_id: &str, f: F) -> Result<bool>
    where
        F: Fn(Tx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<()>> + Send,
    {
        self.dead_letter(consumer, event_id).await?;
        self.transact(cx, false, |tx| {
            let f = &f;
            async move {
                let mark = "UPDATE dead_letter SET replayed_at = $1 WHERE consumer = $2 AND event_id = $3 AND replayed_at IS NULL";
                let values = [micros(tx.now()).into(), consumer.into(), event_id.into()];
                let first = tx.execute_raw(sql::statement(tx.get_database_backend(), mark, values)).await.db()?.rows_affected() == 1;
                if first {
                    f(tx).await?;
                }
                Ok(first)
            }
        })
        .await
    }
}

fn letter(row: &QueryResult) -> Result<DeadLetter> {
    let envelope: Vec<u8> = sql::column(row, "envelope")?;
    Ok(DeadLetter {
        consumer: sql::column(row, "consumer")?,
        position: sql::column(row, "position")?,
        envelope: Envelope::decode(envelope.as_slice()).map_err(Error::internal)?,
        error: sql::column(row, "error")?,
        attempts: sql::column::<i64>(row, "attempts")? as u32,
        time: from_micros(sql::column(row, "time")?),
        replayed_at: sql::column::<Option<i64>>(row, "replayed_at")?.map(from_micros),
    })
}
