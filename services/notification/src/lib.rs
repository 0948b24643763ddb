//! Notices to people: in the app, by push, SMS and e-mail, as each person wants them.
//!
//! Owns: notices and their way out of the app, preferences, devices, campaigns, and of others' data what it needs for that:
//! who registered, who consented to advertising, what an order is about. Notices hold facts, sealed with a key of the
//! person's own, and become words when they are read or sent; addresses and numbers are asked for when something is sent
//! and kept nowhere. Calls: user (`GetContact`). Emits nothing. Listens to auth, user, order, payment, shipping and review:
//! `events/table.rs` says who is told what, `domain/kind.rs` by which ways.
//!
//! Without providers the embedded market sends into folders under its data: `mail` for e-mail, `outbox/sms`, `outbox/push`.

mod api;
mod domain;
mod events;
mod migrations;
mod news;
pub mod ports;
mod reader;
mod store;

pub use domain::{Fault, course::Outcome};
pub use migrations::MIGRATIONS;

use domain::text::Texts;
use jangteo_core::{Clock, PageTokens, Result};
use kit::{
    Boot, Mount, Service,
    db::{
        Db, Migrations,
        crypt::{Keyring, Sealer},
    },
};
use mail::MailConfig;
use news::News;
use ports::{Senders, apns::ApnsConfig, fcm::FcmConfig, solapi::SolapiConfig, twilio::TwilioConfig};
use proto::jangteo::{notification::v1::notification_service, user::v1::user_service};
use reader::Reader;
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// Who sends. A channel without a provider goes to the sandbox when the market is embedded, and isn't used otherwise; of
/// the SMS providers Solapi comes first, since it is the cheaper one for Korean numbers.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the links in e-mails and texts lead.
    pub site: String,
    pub mail: MailConfig,
    pub solapi: Option<SolapiConfig>,
    pub twilio: Option<TwilioConfig>,
    pub fcm: Option<FcmConfig>,
    pub apns: Option<ApnsConfig>,
    /// A folder for what has no provider: `mail`, `sms` and `push` in it. Default: the embedded market's data, where mails
    /// are in `mail` and the others in `outbox`.
    pub sandbox: Option<PathBuf>,
    /// Seconds after which an attempt without an end is one whose maker died.
    pub lease_secs: u64,
    /// Days that notices are kept.
    pub keep_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            site: "http://127.0.0.1:8080".to_owned(),
            mail: MailConfig::default(),
            solapi: None,
            twilio: None,
            fcm: None,
            apns: None,
            sandbox: None,
            lease_secs: 60,
            keep_days: 180,
        }
    }
}

/// What the service is built from.
pub struct Parts {
    pub db: Db,
    pub keyring: Keyring,
    pub pages: PageTokens,
    pub clock: Arc<dyn Clock>,
    pub user: user_service::Client,
    pub senders: Senders,
}

pub struct Notifications {
    db: Db,
    pages: PageTokens,
    clock: Arc<dyn Clock>,
    user: user_service::Client,
    senders: Senders,
    reader: Reader,
    news: News,
    cfg: Config,
}

impl Notifications {
    pub fn new(parts: Parts, cfg: Config) -> Result<Self> {
        let reader =
            Reader { db: parts.db.clone(), sealer: Sealer::new(parts.keyring), texts: Arc::new(Texts::new()?) };
        Ok(Notifications {
            db: parts.db,
            pages: parts.pages,
            clock: parts.clock,
            user: parts.user,
            senders: parts.senders,
            reader,
            news: News::new(),
            cfg,
        })
    }
}

impl Service for Notifications {
    const NAME: &'static str = "notification";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        let parts = Parts {
            db: cx.db(),
            keyring: cx.keyring(),
            pages: cx.page_tokens(),
            clock: cx.clock(),
            user: cx.peer()?,
            senders: Senders::choose(cx.config(), cx.data_dir(), cx.clock())?,
        };
        Self::new(parts, cx.config().clone())
    }

    fn mount(m: &mut Mount<Self>) {
        events::table::mount(m);
        m.grpc(notification_service::routes)
            .on(Self::consent_decided)
            .forget(Self::forget)
            .every("broadcast", Duration::from_secs(1), Self::broadcast_due)
            .every("deliver", Duration::from_millis(500), Self::deliver)
            .every("digest", Duration::from_secs(30), Self::digest)
            .every("receipts", Duration::from_secs(10), Self::ask_for_receipts)
            .every("sweep", Duration::from_secs(3600), Self::sweep)
            .check("deliveries", Self::check_deliveries);
    }
}
