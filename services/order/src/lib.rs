//! Orders: from the basket to the seller's money, and back where that is right.
//!
//! Owns: orders, each the fold of its events, with one part for each seller; what each has still to do (`saga`); what
//! buyers complain of, sealed. A saga's steps are idempotent by the order's id, so whoever resumes one runs them again from
//! what was last recorded: the request that began it, or a job. Before it ships, an order can be given up: its payment is
//! voided first, and that decides; afterwards it only goes forward.
//! Calls: catalog (offers, stock), shipping (quotes, shipments), payment (authorise, capture, void, refund, settle).
//! Emits: the events of `events.proto`. Listens to: payment's `PaymentAuthorised`, `PaymentActionRequired`,
//! `PaymentDeclined`, `PaymentVoided`; shipping's `ShipmentPickedUp`, `ShipmentDelivered`, `ShipmentReturned`.

mod api;
mod check;
pub mod domain;
mod events;
mod migrations;
mod saga;
pub mod store;

pub use migrations::MIGRATIONS;

use jangteo_core::{Call, Clock, PageTokens, Result, micros};
use kit::{
    Boot, Mount, Service,
    db::{
        Db, Migrations,
        crypt::{Keyring, Sealer},
    },
};
use proto::jangteo::{
    catalog::v1::catalog_service, order::v1::order_service, payment::v1::payment_service,
    shipping::v1::shipping_service,
};
use serde::Deserialize;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often the job looks for sagas whose time has come.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long an order may wait for its payment.
    pub unpaid_ttl_secs: u64,
    /// The hold outlasts the deadline by so long, so that whoever pays in the last second still gets the goods.
    pub hold_margin_secs: u64,
    /// How long after delivery a part counts as confirmed.
    pub confirm_after_secs: u64,
    /// So many sagas are resumed at once.
    pub saga_batch: usize,
    /// For how long one driver has a saga to itself; another one takes over afterwards.
    pub saga_lease_ms: u64,
    /// The first pause after a step that failed; it doubles up to `saga_backoff_max_ms`.
    pub saga_backoff_min_ms: u64,
    pub saga_backoff_max_ms: u64,
    /// How long one call to another service may take.
    pub rpc_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            unpaid_ttl_secs: 900,
            hold_margin_secs: 60,
            confirm_after_secs: 7 * 24 * 3600,
            saga_batch: 32,
            saga_lease_ms: 10_000,
            saga_backoff_min_ms: 100,
            saga_backoff_max_ms: 10_000,
            rpc_timeout_ms: 3_000,
        }
    }
}

/// The services that orders need.
#[derive(Clone)]
pub struct Peers {
    pub catalog: catalog_service::Client,
    pub payment: payment_service::Client,
    pub shipping: shipping_service::Client,
}

pub struct Orders {
    db: Db,
    sealer: Sealer,
    pages: PageTokens,
    clock: Arc<dyn Clock>,
    peers: Peers,
    config: Config,
}

impl Orders {
    pub fn new(
        db: Db,
        keyring: Keyring,
        pages: PageTokens,
        clock: Arc<dyn Clock>,
        peers: Peers,
        config: Config,
    ) -> Self {
        Orders { db, sealer: Sealer::new(keyring), pages, clock, peers, config }
    }

    /// Now, in microseconds since 1970.
    fn now(&self) -> i64 {
        micros(self.clock.now())
    }

    /// Until when a saga that is claimed now belongs to whoever claims it.
    fn lease(&self) -> i64 {
        self.now() + self.config.saga_lease_ms as i64 * 1000
    }

    /// A call of the service's own in the trace of `cx`, and until its deadline: a saga is nobody's request.
    fn own(&self, cx: &Call) -> Call {
        let mut own = Call::system(Self::NAME, "saga", self.clock.now());
        own.trace = cx.trace.clone();
        own.deadline = cx.deadline;
        own
    }

    /// The same for one call to another service.
    fn peer(&self, cx: &Call) -> Call {
        let limit = Instant::now() + Duration::from_millis(self.config.rpc_timeout_ms);
        let mut own = self.own(cx);
        own.deadline = Some(own.deadline.map_or(limit, |d| d.min(limit)));
        own
    }
}

impl Service for Orders {
    const NAME: &'static str = "order";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        let peers = Peers { catalog: cx.peer()?, payment: cx.peer()?, shipping: cx.peer()? };
        Ok(Orders::new(cx.db(), cx.keyring(), cx.page_tokens(), cx.clock(), peers, cx.config().clone()))
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc(order_service::routes)
            .on(Self::payment_authorised)
            .on(Self::payment_action_required)
            .on(Self::payment_declined)
            .on(Self::payment_voided)
            .on(Self::shipment_picked_up)
            .on(Self::shipment_delivered)
            .on(Self::shipment_returned)
            .every("sagas", POLL, Self::resume_sagas)
            .check("orders", Self::check_orders)
            .check("sagas", Self::check_sagas)
            .check("escrows", Self::check_escrows);
    }
}
