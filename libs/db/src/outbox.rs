//! What the relay has still to publish. Rows are inserted with their events and deleted when the broker has
//! acknowledged them; the events stay.

use jangteo_core::{Result, Time, from_micros};
use proto::jangteo::event::v1::Envelope;
use sea_orm::Statement;

use crate::{Db, event, sql};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLag {
    pub pending: i64,
    /// When the oldest of them was written.
    pub oldest: Option<Time>,
}

impl Db {
    /// The oldest unpublished events of a partition, in order for each aggregate.
    pub async fn outbox_batch(&self, partition: i32, limit: u64) -> Result<Vec<Envelope>> {
        let sql = format!(
            "SELECT {} FROM outbox o JOIN event e ON e.event_id = o.event_id WHERE o.part = $1 ORDER BY o.seq LIMIT $2",
            event::columns()
        );
        let values = [i64::from(partition).into(), (limit as i64).into()];
        event::envelopes(self.primary(), sql::statement(self.backend(), sql, values)).await
    }

    /// These are published: the broker said so.
    pub async fn outbox_done(&self, event_ids: &[String]) -> Result<()> {
        for ids in event_ids.chunks(500) {
            let marks = (1..=ids.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
            let sql = format!("DELETE FROM outbox WHERE event_id IN ({marks})");
            let values = ids.iter().map(|id| sea_orm::Value::from(id.as_str()));
            self.system(Statement::from_sql_and_values(self.backend(), sql, values)).await?;
        }
        Ok(())
    }

    pub async fn outbox_lag(&self) -> Result<OutboxLag> {
        let count = sql::statement(self.backend(), "SELECT COUNT(*) FROM outbox", []);
        let pending = sql::scalar(self.primary(), count).await?.unwrap_or(0);
        let oldest = "SELECT e.time FROM outbox o JOIN event e ON e.event_id = o.event_id ORDER BY o.seq LIMIT 1";
        let oldest: Option<i64> = sql::scalar(self.primary(), sql::statement(self.backend(), oldest, [])).await?;
        Ok(OutboxLag { pending, oldest: oldest.map(from_micros) })
    }

    /// Puts every event behind `after_seq` up for publishing again, for a stream that has to be refilled from the
    /// tables; returns how many were not waiting already. Writes and relays may go on meanwhile: all the rows appear
    /// at once. An event that a relay is publishing at that moment may come before its forerunners do again: consumers
    /// wait for those, and skip what they have seen.
    pub async fn outbox_refill(&self, after_seq: i64) -> Result<u64> {
        let sql = "INSERT INTO outbox (event_id, part, seq) SELECT event_id, part, seq FROM event WHERE seq > $1 \
             ON CONFLICT (event_id) DO NOTHING";
        let rows = self.bulk(&[sql::statement(self.backend(), sql, [after_seq.into()])]).await?;
        self.0.changed.send_modify(|n| *n += 1);
        Ok(rows)
    }
}
