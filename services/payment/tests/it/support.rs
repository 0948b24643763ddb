//! A payment service, its sandbox, and what tests ask of them.

use jangteo_core::{Call, Clock, Entity, Id, Result, SystemClock};
use kit::db::Db;
use payment::{
    Config, MIGRATIONS, Parts, Payments,
    provider::{
        Provider,
        sandbox::{self, Sandbox},
    },
};
use proto::{
    google::{api::HttpBody, r#type::Money},
    jangteo::{
        payment::v1::{self as wire, payment_service::Api, payment_source::Kind as Source},
        user::v1::{AdjustPointsRequest, PointsEntry},
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use testbed::{Fake, Kind, Stores};

pub const GOOD: &str = "4242424242424242";
pub const POOR: &str = "4000000000009995";
pub const CONFIRM: &str = "4000000000003220";
pub const HANG_THEN_DONE: &str = "4000000000000440";
pub const HANG_THEN_DECLINE: &str = "4000000000000457";
pub const LATE: &str = "4000000000000465";
pub const DOWN: &str = "4000000000000499";
pub const CAPTURE_REFUSED: &str = "4000000000000507";
pub const REFUND_REFUSED: &str = "4000000000000515";

/// The points of all people, each occasion booked once, as the user service does it.
#[derive(Default)]
pub struct Points(Mutex<(BTreeMap<String, i64>, BTreeMap<String, i64>)>);

impl Points {
    pub fn give(&self, user: &str, points: i64) {
        *self.0.lock().unwrap().0.entry(user.to_owned()).or_default() += points;
    }

    pub fn of(&self, user: &str) -> i64 {
        self.0.lock().unwrap().0.get(user).copied().unwrap_or(0)
    }

    fn book(&self, req: &AdjustPointsRequest) -> Result<PointsEntry> {
        let mut points = self.0.lock().unwrap();
        if let Some(delta) = points.1.get(&req.key) {
            assert_eq!(*delta, req.delta, "{} is booked with one amount", req.key);
            return Ok(PointsEntry::default());
        }
        let balance = points.0.entry(req.user_id.clone()).or_default();
        if *balance + req.delta < 0 {
            let code = jangteo_core::Code::FailedPrecondition;
            return Err(jangteo_core::Error::new(code, "NOT_ENOUGH_POINTS", "too few"));
        }
        *balance += req.delta;
        points.1.insert(req.key.clone(), req.delta);
        Ok(PointsEntry::default())
    }
}

pub struct World {
    pub stores: Stores,
    pub payments: Arc<Payments>,
    pub sandbox: Arc<Sandbox>,
    pub points: Arc<Points>,
}

/// On a busy machine calls to a provider run out of time, and are put off ever longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn config() -> Config {
    Config { provider_timeout_ms: 300, ask_after_ms: 10, payout_minimum: 100, ..Config::default() }
}

impl World {
    pub async fn new(kind: Kind) -> World {
        World::with(kind, config(), |sandbox, _| vec![sandbox]).await
    }

    /// With providers made of the sandbox.
    pub async fn with(
        kind: Kind,
        cfg: Config,
        providers: impl FnOnce(Arc<Sandbox>, Db) -> Vec<Arc<dyn Provider>>,
    ) -> World {
        let stores = Stores::open(kind, "payment", MIGRATIONS).await;
        let sandbox = Arc::new(another("sandbox", stores.db(), 0));
        let points = Arc::new(Points::default());
        let booked = points.clone();
        let users = Fake::new().on(move |req: AdjustPointsRequest| {
            let booked = booked.clone();
            async move { booked.book(&req) }
        });
        let parts = Parts {
            db: stores.db(),
            keyring: stores.keyring(),
            pages: stores.pages(),
            users: proto::Client::new(users.channel()),
            clock: Arc::new(SystemClock),
            providers: providers(sandbox.clone(), stores.db()),
            sandbox: Some(sandbox.clone()),
            secret: [9; 32],
        };
        World { payments: Arc::new(Payments::new(parts, cfg)), stores, sandbox, points }
    }

    pub async fn card(&self, user: &str, number: &str) -> Source {
        let card = wire::CardInput { number: number.into(), expiry_month: 12, expiry_year: 2031 };
        let req = wire::CreatePaymentMethodRequest { card: Some(card), request_id: String::new() };
        Source::PaymentMethodId(self.payments.create_payment_method(by(user), req).await.unwrap().payment_method_id)
    }

    pub async fn authorise(&self, order: &str, attempt: i32, buyer: &str, won: i64, source: Source) -> wire::Payment {
        self.payments.authorise(order_calls(), asked(order, attempt, buyer, won, 0, source)).await.unwrap()
    }

    pub async fn capture(&self, order: &str) -> Result<wire::Payment> {
        self.payments.capture(order_calls(), wire::CaptureRequest { order_id: order.into() }).await
    }

    pub async fn void(&self, order: &str) -> Result<wire::Payment> {
        let req = wire::VoidRequest { order_id: order.into(), reason: "UNPAID".into() };
        self.payments.void(order_calls(), req).await
    }

    /// An order whose payment by card is in escrow.
    pub async fn paid(&self, buyer: &str, won: i64) -> String {
        let (order, card) = (order_id(), self.card(buyer, GOOD).await);
        self.authorise(&order, 1, buyer, won, card).await;
        assert_eq!(self.capture(&order).await.unwrap().status(), wire::PaymentStatus::Captured);
        order
    }

    pub async fn settle(&self, order: &str, part: i32, seller: &str, won: i64) -> Result<wire::Settlement> {
        let (order_id, seller_id) = (order.to_owned(), seller.to_owned());
        let req = wire::SettleRequest { order_id, part, seller_id, amount: Some(krw(won)) };
        self.payments.settle(order_calls(), req).await
    }

    /// Money in a wallet, by way of a sale without a commission… of as much as leaves `won` after it.
    pub async fn earn(&self, seller: &str, won: i64) {
        let order = self.paid(&user_id(), won).await;
        self.settle(&order, 1, seller, won).await.unwrap();
    }

    pub async fn refund(&self, order: &str, refund: &str, part: i32, won: i64) -> Result<wire::Refund> {
        let (order_id, refund_id) = (order.to_owned(), refund.to_owned());
        let reason = "CANCELLED".to_owned();
        let req = wire::RefundOrderRequest { order_id, refund_id, part, amount: Some(krw(won)), reason };
        self.payments.refund_order(order_calls(), req).await
    }

    pub async fn wallet(&self, user: &str) -> i64 {
        let wallet = self.payments.get_wallet(by(user), wire::GetWalletRequest {}).await.unwrap();
        wallet.balance.unwrap().units
    }

    pub async fn escrow(&self, order: &str) -> i64 {
        let req = wire::GetEscrowsRequest { order_ids: vec![order.to_owned()] };
        let found = self.payments.get_escrows(order_calls(), req).await.unwrap().escrows;
        found.first().map_or(0, |e| e.balance.as_ref().unwrap().units)
    }

    pub async fn status(&self, order: &str) -> wire::PaymentStatus {
        let row = self.line(&format!("SELECT payment_id FROM payment WHERE order_id = '{order}'")).await.unwrap();
        let staff = testbed::with_roles("usr_staff", &["moderator"]);
        self.payments.get_payment(staff, wire::GetPaymentRequest { payment_id: row }).await.unwrap().status()
    }

    /// The jobs, once.
    pub async fn jobs(&self) {
        self.payments.clone().send_sandbox_webhooks(order_calls()).await.unwrap();
        self.payments.clone().resolve(order_calls()).await.unwrap();
    }

    /// The jobs, until the order is `wanted`.
    pub async fn becomes(&self, order: &str, wanted: wire::PaymentStatus) {
        let begun = std::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.status(order).await == wanted {
                return;
            }
            self.jobs().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.status(order).await, wanted);
    }

    pub async fn decide(&self, payment: &wire::Payment, decision: &str) {
        let token = payment.redirect_url.rsplit('/').next().unwrap().to_owned();
        let page = wire::GetSandboxCheckoutRequest { token: token.clone() };
        let page = self.payments.get_sandbox_checkout(testbed::anonymous(), page).await.unwrap();
        assert!(String::from_utf8(page.data).unwrap().contains("Approve"));
        let body = HttpBody { data: format!("decision={decision}").into_bytes(), ..HttpBody::default() };
        let req = wire::DecideSandboxCheckoutRequest { token, body: Some(body) };
        self.payments.decide_sandbox_checkout(testbed::anonymous(), req).await.unwrap();
    }

    /// Everything that the checks find.
    pub async fn findings(&self) -> Vec<String> {
        let p = &self.payments;
        let mut all = p.clone().check_ledger(order_calls()).await.unwrap();
        all.extend(p.clone().check_escrow(order_calls()).await.unwrap());
        all.extend(p.clone().check_charges(order_calls()).await.unwrap());
        all.extend(p.clone().check_cards(order_calls()).await.unwrap());
        all
    }

    /// Holds before and after the roll-up.
    pub async fn sound(&self) {
        assert_eq!(self.findings().await, Vec::<String>::new());
        self.payments.clone().roll_up(order_calls()).await.unwrap();
        assert_eq!(self.findings().await, Vec::<String>::new(), "rolled up");
    }

    /// The first column of the first row.
    pub async fn line(&self, sql: &str) -> Option<String> {
        use sea_orm::{ConnectionTrait, Statement};
        let (db, sql) = (self.stores.db(), sql.to_owned());
        let row = db.primary().query_one_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
        row.map(|row| row.try_get_by_index::<String>(0).unwrap())
    }

    pub async fn count(&self, table: &str, filter: &str) -> i64 {
        use sea_orm::{ConnectionTrait, Statement};
        let (db, sql) = (self.stores.db(), format!("SELECT COUNT(*) FROM {table} WHERE {filter}"));
        let row = db.primary().query_one_raw(Statement::from_string(db.backend(), sql)).await.unwrap().unwrap();
        row.try_get_by_index(0).unwrap()
    }

    /// A statement past the service.
    pub async fn plant(&self, sql: &str) -> Result<()> {
        use kit::db::DbResult;
        use sea_orm::ConnectionTrait;
        self.stores.db().write(&order_calls(), async |tx| tx.execute_unprepared(sql).await.db().map(drop)).await
    }

    pub async fn events(&self, name: &str) -> i64 {
        self.count("event", &format!("type = 'jangteo.payment.v1.{name}'")).await
    }
}

/// A sandbox of another name, on the same database; `hang_ms` is how long it is silent where a card says so.
pub fn another(name: &str, db: Db, basis_points: u32) -> Sandbox {
    let cost = payment::provider::Cost { basis_points, fixed: 0 };
    let cfg = sandbox::Config { hang_ms: 2_000, late_ms: 50, cost, ..sandbox::Config::default() };
    Sandbox::new(name, db, Arc::new(SystemClock), b"secret", cfg)
}

pub fn asked(order: &str, attempt: i32, buyer: &str, won: i64, points: i64, source: Source) -> wire::AuthoriseRequest {
    wire::AuthoriseRequest {
        order_id: order.to_owned(),
        attempt,
        buyer_id: buyer.to_owned(),
        amount: Some(krw(won)),
        points,
        source: Some(wire::PaymentSource { kind: Some(source) }),
    }
}

pub fn krw(won: i64) -> Money {
    Money { currency_code: "KRW".into(), units: won, nanos: 0 }
}

/// Calls happen now, since the sandbox has a clock of its own.
pub fn order_calls() -> Call {
    testbed::at(testbed::system("order"), SystemClock.now())
}

pub fn by(user: &str) -> Call {
    testbed::at(testbed::by(user), SystemClock.now())
}

pub enum Order {}
impl Entity for Order {
    const NAME: &'static str = "order";
    const PREFIX: &'static str = "ord";
}

pub enum User {}
impl Entity for User {
    const NAME: &'static str = "user";
    const PREFIX: &'static str = "usr";
}

pub fn order_id() -> String {
    Id::<Order>::new().to_string()
}

pub fn user_id() -> String {
    Id::<User>::new().to_string()
}

pub fn refund_id() -> String {
    Id::<payment::domain::Refund>::new().to_string()
}
