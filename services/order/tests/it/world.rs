//! An order service of its own for each test, among peers that do as the test says, and a clock that it can put forward.

use crate::peers::{Market, won};
use jangteo_core::{Call, Clock, Error, Result, SystemClock, Time, from_micros, micros};
use kit::db::Db;
use order::{Config, MIGRATIONS, Orders};
use proto::jangteo::{
    order::v1::{self as wire, OrderStatus, order_service::Api},
    payment::v1::{PaymentSource, WalletSource, payment_source},
    shipping::v1::ShippingOption,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use testbed::{Kind, Stores};

pub const BUYER: &str = "usr_00000000000000000000000000000001";
pub const SELLER: &str = "usr_00000000000000000000000000000002";
pub const OTHER_SELLER: &str = "usr_00000000000000000000000000000003";
pub const STRANGER: &str = "usr_00000000000000000000000000000004";
pub const LAMP: &str = "prd_0000000000000000000000000000000a";
pub const CHAIR: &str = "prd_0000000000000000000000000000000b";

/// The machine's time, put forward.
#[derive(Clone, Default)]
pub struct Ahead(Arc<AtomicI64>);

impl Clock for Ahead {
    fn now(&self) -> Time {
        from_micros(micros(SystemClock.now()) + self.0.load(Ordering::Relaxed))
    }
}

pub struct World {
    pub orders: Arc<Orders>,
    pub market: Market,
    pub clock: Ahead,
    pub stores: Stores,
}

pub fn config() -> Config {
    Config {
        saga_backoff_min_ms: 2,
        saga_backoff_max_ms: 20,
        saga_lease_ms: 1_000,
        rpc_timeout_ms: 300,
        ..Config::default()
    }
}

impl World {
    /// Two sellers: a lamp of 10,000 won, ten of them, and a chair of 25,000 won, five of them.
    pub async fn new(kind: Kind) -> World {
        World::with(kind, config()).await
    }

    pub async fn with(kind: Kind, config: Config) -> World {
        let stores = Stores::open(kind, "order", MIGRATIONS).await;
        let (market, clock) = (Market::default(), Ahead::default());
        market.state().offer(LAMP, SELLER, 10_000, 10);
        market.state().offer(CHAIR, OTHER_SELLER, 25_000, 5);
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let orders = Orders::new(stores.db(), stores.keyring(), stores.pages(), time, market.peers(), config);
        World { orders: Arc::new(orders), market, clock, stores }
    }

    pub fn db(&self) -> Db {
        self.stores.db()
    }

    /// Puts the clock forward.
    pub fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(time.as_micros() as i64, Ordering::Relaxed);
    }

    pub fn clock_now(&self) -> Time {
        self.clock.now()
    }

    pub fn at_now(&self, cx: Call) -> Call {
        let mut cx = testbed::at(cx, self.clock.now());
        cx.deadline = Some(Instant::now() + Duration::from_secs(5));
        cx
    }

    pub fn by(&self, user_id: &str) -> Call {
        self.at_now(testbed::by(user_id))
    }

    pub fn system(&self) -> Call {
        testbed::at(testbed::system("order"), self.clock.now())
    }

    pub async fn place(&self, key: &str, items: &[(&str, i32)]) -> Result<wire::Order> {
        self.orders.place_order(testbed::keyed(self.by(BUYER), key, 1), basket(items)).await
    }

    /// One run of the timed job, when everything that failed is due again.
    pub async fn resume(&self) {
        tokio::time::sleep(Duration::from_millis(25)).await;
        self.orders.clone().resume_sagas(self.system()).await.unwrap();
    }

    /// Runs the job until nothing but waiting is left of the order.
    pub async fn settle_down(&self, order_id: &str) {
        for _ in 0..100 {
            let left = order::store::saga::of(self.db().primary(), order_id).await.unwrap();
            if left.iter().all(|s| s.step.starts_with("AWAIT")) {
                return;
            }
            self.resume().await;
        }
        let left = order::store::saga::of(self.db().primary(), order_id).await.unwrap();
        panic!("{order_id} does not settle down: {left:?}");
    }

    pub async fn get(&self, order_id: &str) -> wire::Order {
        let req = wire::GetOrderRequest { order_id: order_id.into(), as_of: None };
        self.orders.get_order(self.by(BUYER), req).await.unwrap()
    }

    /// The only order that there is.
    pub async fn only(&self) -> wire::Order {
        let found = self.orders.list_orders(self.by(BUYER), wire::ListOrdersRequest::default()).await.unwrap().orders;
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    }

    pub async fn kinds(&self, order_id: &str) -> Vec<String> {
        let events = self.db().history("order", order_id, 0, 100).await.unwrap();
        events.iter().map(|e| e.r#type.trim_start_matches("jangteo.order.v1.").to_owned()).collect()
    }

    /// A part goes out and arrives.
    pub async fn deliver(&self, order_id: &str, part: i32) {
        let this = &self.orders;
        self.market.state().shipments.insert((order_id.to_owned(), part), "underway");
        let shipped = async |tx| this.part_shipped(&tx, order_id, part, "shp_1").await;
        self.db().write(&self.system(), shipped).await.unwrap();
        let delivered = async |tx| this.part_delivered(&tx, order_id, part).await;
        self.db().write(&self.system(), delivered).await.unwrap();
    }

    pub async fn ship(&self, order_id: &str, part: i32) {
        let this = &self.orders;
        self.market.state().shipments.insert((order_id.to_owned(), part), "underway");
        let shipped = async |tx| this.part_shipped(&tx, order_id, part, "shp_1").await;
        self.db().write(&self.system(), shipped).await.unwrap();
    }

    /// All that must be true of the stores.
    pub async fn sound(&self) {
        let (o, cx) = (&self.orders, self.system());
        assert_eq!(o.clone().check_orders(cx.clone()).await.unwrap(), Vec::<String>::new());
        assert_eq!(o.clone().check_sagas(cx.clone()).await.unwrap(), Vec::<String>::new());
        assert_eq!(o.clone().check_escrows(cx).await.unwrap(), Vec::<String>::new());
    }
}

pub fn basket(items: &[(&str, i32)]) -> wire::PlaceOrderRequest {
    let item =
        |(id, n): &(&str, i32)| wire::OrderItem { product_id: (*id).to_owned(), quantity: *n, expected_price: None };
    wire::PlaceOrderRequest {
        items: items.iter().map(item).collect(),
        address_id: "adr_00000000000000000000000000000001".into(),
        shipping_option: ShippingOption::Parcel.into(),
        source: wallet(),
        points: 0,
        request_id: "1".into(),
    }
}

pub fn wallet() -> Option<PaymentSource> {
    Some(PaymentSource { kind: Some(payment_source::Kind::Wallet(WalletSource {})) })
}

pub fn reason(e: &Error) -> (&str, Option<&str>) {
    (e.reason(), e.metadata().get("order_id").map(String::as_str))
}

pub fn statuses(o: &wire::Order) -> Vec<OrderStatus> {
    o.parts.iter().map(|p| p.status()).collect()
}

pub fn total(o: &wire::Order) -> i64 {
    o.total.as_ref().map_or(0, |m| m.units)
}

/// The amount of a message.
pub fn is(m: &Option<proto::google::r#type::Money>, units: i64) -> bool {
    *m == Some(won(units))
}
