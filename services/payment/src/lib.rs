//! The money: what buyers pay with, the one payment of each order, escrow, wallets, payouts, and the ledger behind them.
//!
//! Owns: payments and their charges at providers, refunds, settlements, registered cards (tokens alone), wallets and payouts,
//! the double-entry ledger, what providers' webhooks and statements say. Providers stand behind one port, [`provider`].
//! Calls: user (`AdjustPoints`), the configured providers. Emits: `PaymentAuthorised`, `PaymentActionRequired`,
//! `PaymentDeclined`, `PaymentCaptured`, `PaymentVoided`, `PaymentRefunded`, `SettlementMade`, `PayoutPaid`.
//! Listens to: auth's `AccountErased`.
//!
//! Whatever leaves this process is written down first, under the key that the provider knows it by; its outcome after. What is
//! unknown stays so until the provider says: nothing is compensated on a guess.

mod api;
mod check;
mod checkout;
pub mod domain;
mod events;
mod migrations;
pub mod provider;
mod store;

pub use migrations::MIGRATIONS;

use jangteo_core::{Call, Clock, PageTokens, Result};
use kit::{
    Boot, Mount, Service,
    db::{
        Db, Migrations,
        crypt::{Keyring, Sealer},
    },
};
use proto::jangteo::{payment::v1::payment_service, user::v1::user_service};
use provider::{Provider, configured::Providers, router::Router, sandbox::Sandbox};
use ring::hmac;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The platform's share of a sale, in hundredths of a percent.
    pub commission_bp: u32,
    /// What a buyer earns in points with a settled part, in hundredths of a percent of what it cost.
    pub points_bp: u32,
    /// Other shares, by seller: 0 for those who sell second-hand.
    pub commission_overrides: BTreeMap<String, u32>,
    /// How long a seller's money is held after a settlement.
    pub settlement_hold_secs: u64,
    /// How often wallets are paid out.
    pub payout_every_secs: u64,
    /// What must be in a wallet to be paid out then, and the least that may be withdrawn, in won.
    pub payout_minimum: i64,
    /// How long a provider is waited for.
    pub provider_timeout_ms: u64,
    /// How long after an unknown outcome the provider is asked; doubled each time, up to a minute.
    pub ask_after_ms: u64,
    /// After so long a charge that its provider never heard of is given up.
    pub give_up_secs: u64,
    /// How often statements are compared with the books; each day is once it is over.
    pub reconcile_every_secs: u64,
    /// Where a buyer's browser goes after a confirmation.
    pub return_url: String,
    /// Before the paths of our own pages, which providers need whose window takes a form: `https://market.example`.
    pub public_url: String,
    pub providers: Providers,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            commission_bp: 350,
            points_bp: 100,
            commission_overrides: BTreeMap::new(),
            settlement_hold_secs: 0,
            payout_every_secs: 86_400,
            payout_minimum: 1_000,
            provider_timeout_ms: 2_500,
            ask_after_ms: 1_000,
            give_up_secs: 600,
            reconcile_every_secs: 3_600,
            return_url: String::new(),
            public_url: String::new(),
            providers: Providers::default(),
        }
    }
}

/// What the service stands on, beside its configuration.
pub struct Parts {
    pub db: Db,
    pub keyring: Keyring,
    pub pages: PageTokens,
    pub users: user_service::Client,
    pub clock: Arc<dyn Clock>,
    /// In the order in which equals are preferred.
    pub providers: Vec<Arc<dyn Provider>>,
    pub sandbox: Option<Arc<Sandbox>>,
    /// Hides what was asked in requests that carry card numbers.
    pub secret: [u8; 32],
}

pub struct Payments {
    db: Db,
    sealer: Sealer,
    pages: PageTokens,
    users: user_service::Client,
    clock: Arc<dyn Clock>,
    router: Router,
    sandbox: Option<Arc<Sandbox>>,
    fingerprints: hmac::Key,
    cfg: Config,
}

impl Payments {
    pub fn new(parts: Parts, cfg: Config) -> Self {
        Payments {
            db: parts.db,
            sealer: Sealer::new(parts.keyring),
            pages: parts.pages,
            users: parts.users,
            clock: parts.clock,
            router: Router::new(parts.providers),
            sandbox: parts.sandbox,
            fingerprints: hmac::Key::new(hmac::HMAC_SHA256, &parts.secret),
            cfg,
        }
    }

    /// How long a provider may take within a call, so that the answer still gets through.
    fn limit(&self, cx: &Call) -> Duration {
        const MARGIN: Duration = Duration::from_millis(400);
        let most = Duration::from_millis(self.cfg.provider_timeout_ms);
        cx.remaining().map_or(most, |left| left.saturating_sub(MARGIN).min(most))
    }
}

/// The call without its idempotency key, for the writes behind the first.
fn unkeyed(cx: &Call) -> Call {
    Call { request_id: None, ..cx.clone() }
}

impl Service for Payments {
    const NAME: &'static str = "payment";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        let cfg = cx.config().clone();
        let mut providers = cfg.providers.outside(&cx.db(), &cx.clock())?;
        let alone = cx.embedded() && providers.is_empty();
        let sandbox = cfg.providers.sandbox.clone().or_else(|| alone.then(Default::default)).filter(|s| s.enabled);
        let sandbox = sandbox.map(|s| {
            let secret = cx.secret("sandbox-webhooks");
            Arc::new(Sandbox::new("sandbox", cx.db(), cx.clock(), &secret, s))
        });
        providers.extend(sandbox.clone().map(|s| s as Arc<dyn Provider>));
        let parts = Parts {
            db: cx.db(),
            keyring: cx.keyring(),
            pages: cx.page_tokens(),
            users: cx.peer()?,
            clock: cx.clock(),
            providers,
            sandbox,
            secret: cx.secret("card-requests"),
        };
        Ok(Payments::new(parts, cfg))
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc(payment_service::routes)
            .forget(Self::forget_person)
            .every("resolve", Duration::from_millis(500), Self::resolve)
            .every("settle", Duration::from_secs(1), Self::release_and_pay_out)
            .every("roll-up", Duration::from_secs(1), Self::roll_up)
            .every("reconcile", Duration::from_secs(60), Self::reconcile)
            .every("sandbox", Duration::from_millis(200), Self::send_sandbox_webhooks)
            .check("ledger", Self::check_ledger)
            .check("escrow", Self::check_escrow)
            .check("charges", Self::check_charges)
            .check("cards", Self::check_cards);
    }
}
