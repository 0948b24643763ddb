//! The job that asks providers what became of what they took.

use crate::{
    Notifications,
    domain::course::{Course, State},
    ports::{Receipt, Sender},
    store::{
        self,
        delivery::{Model, NEVER},
    },
};
use chrono::TimeDelta;
use jangteo_core::{Call, Result, from_micros, micros};
use std::sync::Arc;

/// How long after sending a provider is asked first.
pub const FIRST: TimeDelta = TimeDelta::seconds(20);
/// Carriers try for a day.
const LAST: TimeDelta = TimeDelta::hours(36);
const BATCH: u64 = 100;

impl Notifications {
    pub async fn ask_for_receipts(self: Arc<Self>, cx: Call) -> Result<()> {
        for seen in store::delivery::unconfirmed(self.db.primary(), cx.now, BATCH).await? {
            let sender = self.senders.all().find(|s| s.name() == seen.provider).cloned();
            self.ask_for_receipt(&cx, &seen, sender).await?;
        }
        Ok(())
    }

    async fn ask_for_receipt(&self, cx: &Call, seen: &Model, sender: Option<Arc<dyn Sender>>) -> Result<()> {
        let receipt = match sender {
            Some(sender) => sender.receipt(&seen.message_id).await,
            None => Ok(Receipt::Pending),
        };
        let now = cx.now;
        let course = match receipt {
            Ok(Receipt::Arrived) => Course { state: State::Delivered, due: now, ..seen.course() },
            Ok(Receipt::Lost(why)) => seen.course().fail(why, now),
            unknown => {
                if let Err(error) = unknown {
                    tracing::warn!(delivery_id = seen.delivery_id, error = ?error, "a receipt can't be had");
                }
                // Twice as long each time.
                let age = now - from_micros(seen.update_time);
                let ask = if age > LAST { NEVER } else { micros(now + age.max(FIRST)) };
                return self.db.write(cx, async |tx| store::delivery::ask_again(&tx, seen, ask).await).await;
            }
        };
        self.db.write(cx, async |tx| store::delivery::advance(&tx, seen, seen.attempts, &course).await).await?;
        Ok(())
    }
}
