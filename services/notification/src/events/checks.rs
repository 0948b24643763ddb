//! What must be true of the stored data, whatever happened before.

use crate::{Notifications, domain::preferences::Preferences, store};
use jangteo_core::{Call, Result, from_micros};
use std::sync::Arc;

/// So many of the last attempts are looked at.
const ATTEMPTS: u64 = 10_000;

impl Notifications {
    pub async fn check_deliveries(self: Arc<Self>, _: Call) -> Result<Vec<String>> {
        let conn = self.db.primary();
        let orphans = store::delivery::orphans(conn).await?.into_iter().map(|id| format!("{id} has no notification"));
        let doubles = store::attempt::doubles(conn).await?.into_iter().map(|id| format!("{id} was sent twice"));
        let attempts = store::attempt::with_quiet_hours(conn, ATTEMPTS).await?.into_iter();
        let loud = attempts.filter(|a| Preferences::was_quiet(&a.quiet, from_micros(a.start_time)));
        let loud = loud.map(|a| format!("{} was sent in the quiet hours {}", a.delivery_id, a.quiet));
        Ok(orphans.chain(doubles).chain(loud).collect())
    }
}
