//! Shipments: what sending costs, who carries it, where it is.
//!
//! Owns: shipments (one for each part of an order) with a sealed copy of the address they go to, the bookings with
//! carriers, every line of tracking, the handover codes of meetings. A shipment's row is the fold of its events.
//! Calls: user (`GetAddressOf`), and carriers behind the port [`carrier::Carrier`]. Emits: `ShipmentPrepared`,
//! `ShipmentReady`, `ShipmentBooked`, `ShipmentPickedUp`, `ShipmentMoved`, `ShipmentDelivered`, `ShipmentCancelled`,
//! `ShipmentReturned`. Listens to: nothing; order asks for what it needs.
//!
//! **A carrier that does not answer has not refused.** A booking is written before the carrier is asked, with the key
//! that makes the carrier book once; a job looks up what became of those that nobody concluded.

mod api;
pub mod carrier;
mod check;
pub mod domain;
mod events;
mod migrations;
pub mod store;

pub use migrations::MIGRATIONS;

use carrier::{
    Carrier, Carriers, PROFILES,
    dhl::{self, Dhl},
    fedex::{self, Fedex},
    sandbox::{Reports, Sandbox},
};
use domain::code::Codes;
use jangteo_core::{PageTokens, Result};
use kit::{
    Boot, Mount, Service,
    db::{
        Db, Migrations,
        crypt::{Keyring, Sealer},
    },
};
use proto::jangteo::{shipping::v1::shipping_service, user::v1::user_service};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the carriers are played. Default: when embedded.
    pub sandbox: Option<bool>,
    /// From one scan of a played parcel to the next.
    pub sandbox_step_ms: u64,
    /// How the played carriers report: `never`, `in_order` or `rough`.
    pub sandbox_reports: Reports,
    /// Follows parcels with DHL: `{ api_key = "…" }`.
    pub dhl: Option<dhl::Config>,
    /// Follows parcels with FedEx: `{ client_id = "…", client_secret = "…" }`.
    pub fedex: Option<fedex::Config>,
    /// How long a handover code counts.
    pub code_ttl_secs: u64,
    /// Wrong codes that one code survives.
    pub code_attempts: u32,
    /// How long after a carrier was asked the job looks what became of it; doubles from one look to the next.
    pub booking_retry_secs: u64,
    /// How often a parcel is asked for whose carrier doesn't report; doubles while there is nothing new.
    pub poll_secs: u64,
    /// The same for carriers that do report, in case a report got lost.
    pub reported_poll_secs: u64,
    /// At the most so long between two looks.
    pub poll_max_secs: u64,
    /// How often a live stream looks for lines that another replica wrote.
    pub track_poll_ms: u64,
    /// What route planning takes for the average speed in town.
    pub route_speed_kmh: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            sandbox: None,
            sandbox_step_ms: 5_000,
            sandbox_reports: Reports::InOrder,
            dhl: None,
            fedex: None,
            code_ttl_secs: 600,
            code_attempts: 5,
            booking_retry_secs: 15,
            poll_secs: 300,
            reported_poll_secs: 3_600,
            poll_max_secs: 6 * 3_600,
            track_poll_ms: 1_000,
            route_speed_kmh: 25,
        }
    }
}

/// What the service is built from.
pub struct Parts {
    pub db: Db,
    pub keyring: Keyring,
    pub pages: PageTokens,
    /// Keys the handover codes.
    pub codes: [u8; 32],
    pub users: user_service::Client,
    pub carriers: Carriers,
    /// Whose webhooks the job delivers; `None`: real carriers alone.
    pub sandbox: Option<Arc<Sandbox>>,
}

pub struct Shipping {
    db: Db,
    sealer: Sealer,
    pages: PageTokens,
    codes: Codes,
    users: user_service::Client,
    carriers: Carriers,
    sandbox: Option<Arc<Sandbox>>,
    cfg: Config,
}

impl Shipping {
    pub fn new(parts: Parts, cfg: Config) -> Self {
        Shipping {
            db: parts.db,
            sealer: Sealer::new(parts.keyring),
            pages: parts.pages,
            codes: Codes::new(&parts.codes),
            users: parts.users,
            carriers: parts.carriers,
            sandbox: parts.sandbox,
            cfg,
        }
    }
}

/// The played carriers where the sandbox is on, and in their place the real ones that are configured.
pub fn carriers(cfg: &Config, sandbox: Option<&Arc<Sandbox>>) -> Result<Carriers> {
    let mut all: Vec<Arc<dyn Carrier>> = Vec::new();
    for profile in &PROFILES {
        match (profile.name, &cfg.dhl, &cfg.fedex, sandbox) {
            ("dhl", Some(dhl), ..) => all.push(Arc::new(Dhl::new(dhl.clone(), profile)?)),
            ("fedex", _, Some(fedex), _) => all.push(Arc::new(Fedex::new(fedex.clone(), profile)?)),
            (.., Some(sandbox)) => all.push(sandbox.play(profile)),
            _ => {}
        }
    }
    Ok(Carriers::new(all))
}

impl Service for Shipping {
    const NAME: &'static str = "shipping";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        let cfg = cx.config().clone();
        let played = cfg.sandbox.unwrap_or(cx.embedded());
        let secret = cx.secret("sandbox-webhooks");
        let sandbox = played.then(|| Sandbox::new(cx.db(), &secret, cfg.sandbox_step_ms, cfg.sandbox_reports));
        let parts = Parts {
            db: cx.db(),
            keyring: cx.keyring(),
            pages: cx.page_tokens(),
            codes: cx.secret("handover-codes"),
            users: cx.peer()?,
            carriers: carriers(&cfg, sandbox.as_ref())?,
            sandbox,
        };
        Ok(Shipping::new(parts, cfg))
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc(shipping_service::routes)
            .every("settle-bookings", Duration::from_secs(2), Self::settle_bookings)
            .every("poll-carriers", Duration::from_secs(5), Self::poll_carriers)
            .every("play-sandbox", Duration::from_secs(1), Self::play_sandbox)
            .check("shipments", Self::check_shipments);
    }
}
