//! Reviews, manner temperature, trust: what people think of those they traded with, and what it makes of their standing.
//!
//! Owns: completed trades as far as they may be reviewed, reviews, temperatures with a line for each change.
//! A review is one side's word, said once; it is hidden, its rating and its effect too, until both sides have spoken or
//! a week is over. Texts are sealed by a key of their author's. The check of texts is rules, not a trained model:
//! no registry package has honest labelled reviews, and a rule can say why it fired.
//! Calls: order (`GetTrade`). Emits: `ReviewWritten`, `ReviewRevealed`, `ReviewApproved`, `ReviewRejected`,
//! `TemperatureChanged`. Listens to: order's `OrderPaid`, `OrderPartShipped`, `OrderPartConfirmed`,
//! `OrderPartCancelled`, `OrderDisputeResolved`, `OrderClosed`; auth's `AccountErased`.

mod api;
pub mod domain;
mod events;
mod migrations;
mod store;

pub use migrations::MIGRATIONS;

use jangteo_core::{PageTokens, Result};
use kit::{
    Boot, Mount, Service,
    db::{
        Db, Migrations,
        crypt::{Keyring, Sealer},
    },
};
use proto::jangteo::{order::v1::order_service, review::v1::review_service};
use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long after a trade's completion its sides may write.
    pub write_secs: u64,
    /// When after a trade's completion what was written is revealed, though one side said nothing.
    pub reveal_secs: u64,
    /// How long one person's word about another moves no temperature after it did.
    pub recount_secs: u64,
    /// How soon after the payment a seller ships on time.
    pub on_time_secs: u64,
    /// From which score, of 100, a text waits for a moderator.
    pub hold_score: i32,
}

impl Default for Config {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Config {
            write_secs: 14 * DAY,
            reveal_secs: 7 * DAY,
            recount_secs: 30 * DAY,
            on_time_secs: 3 * DAY,
            hold_score: 50,
        }
    }
}

pub struct Reviews {
    db: Db,
    sealer: Sealer,
    pages: PageTokens,
    orders: order_service::Client,
    config: Config,
}

impl Reviews {
    pub fn new(db: Db, keyring: Keyring, pages: PageTokens, orders: order_service::Client, config: Config) -> Self {
        Reviews { db, sealer: Sealer::new(keyring), pages, orders, config }
    }
}

impl Service for Reviews {
    const NAME: &'static str = "review";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        Ok(Reviews::new(cx.db(), cx.keyring(), cx.page_tokens(), cx.peer()?, cx.config().clone()))
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc(review_service::routes)
            .on(Self::order_paid)
            .on(Self::part_shipped)
            .on(Self::part_confirmed)
            .on(Self::part_cancelled)
            .on(Self::dispute_resolved)
            .on(Self::order_closed)
            .forget(Self::forget)
            .every("reveal", Duration::from_secs(5), Self::reveal_due)
            .check("reviews", Self::check_reviews)
            .check("temperatures", Self::check_temperatures);
    }
}
