//! A shipping service of its own for each test, with carriers that a test can silence.

use async_trait::async_trait;
use futures::StreamExt;
use jangteo_core::{Call, Code, Error, Id, Result, Time, from_micros};
use kit::db::{Db, Envelope};
use proto::Client as _;
use proto::{
    google::r#type::Money,
    jangteo::{
        shipping::v1::{
            self as wire, ShipmentStatus, ShippingOption, book_shipment_request::Booking, shipping_service::Api,
        },
        user::v1::{Address, GetAddressOfRequest, user_service},
    },
};
use shipping::{
    Config, MIGRATIONS, Parts, Shipping,
    carrier::{
        Booked, Carrier, Carriers, PROFILES, Parcel, Profile, ScanEvent,
        sandbox::{Reports, Sandbox},
    },
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, AtomicU32, Ordering},
};
use testbed::{Fake, Kind, Stores, at, by, system};
use tokio::sync::oneshot;

pub const BUYER: &str = "usr_00000000000000000000000000000001";
pub const SELLER: &str = "usr_00000000000000000000000000000002";
pub const SELLER_2: &str = "usr_00000000000000000000000000000003";
pub const STRANGER: &str = "usr_00000000000000000000000000000004";
pub const ADDRESS: &str = "adr_00000000000000000000000000000001";
pub const STREET: &str = "수표로 천이백삼십사";
pub const STEP_MS: u64 = 60_000;

/// What goes wrong with a carrier.
#[derive(Default)]
pub struct Trouble {
    /// Bookings that arrive and whose answers get lost.
    pub mute: AtomicU32,
    /// Bookings that never arrive.
    pub deaf: AtomicU32,
    /// What the next booking waits for before it is answered.
    pub gate: Mutex<Option<oneshot::Receiver<()>>>,
    /// Bookings that are refused.
    pub refuse: AtomicU32,
    /// How often a parcel was really booked.
    pub asked: AtomicU32,
}

fn take(n: &AtomicU32) -> bool {
    n.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

struct Troubled {
    inner: Arc<dyn Carrier>,
    trouble: Arc<Trouble>,
}

#[async_trait]
impl Carrier for Troubled {
    fn profile(&self) -> &'static Profile {
        self.inner.profile()
    }
    fn books(&self) -> bool {
        self.inner.books()
    }
    /// One that is followed as well, so that tests can.
    fn follows(&self) -> bool {
        self.profile().name == "hanjin"
    }
    fn reports(&self) -> bool {
        self.inner.reports()
    }
    async fn book(&self, cx: &Call, parcel: &Parcel<'_>) -> Result<Booked> {
        self.trouble.asked.fetch_add(1, Ordering::SeqCst);
        let gate = self.trouble.gate.lock().unwrap().take();
        if let Some(gate) = gate {
            gate.await.unwrap();
        }
        if take(&self.trouble.refuse) {
            return Err(Error::new(Code::FailedPrecondition, "CARRIER_REFUSED", "no"));
        }
        if take(&self.trouble.deaf) {
            return Err(Error::unavailable("carrier"));
        }
        let booked = self.inner.book(cx, parcel).await?;
        if take(&self.trouble.mute) { Err(Error::unavailable("carrier")) } else { Ok(booked) }
    }
    async fn find(&self, cx: &Call, parcel: &Parcel<'_>) -> Result<Option<Booked>> {
        self.inner.find(cx, parcel).await
    }
    async fn cancel(&self, cx: &Call, number: &str) -> Result<()> {
        self.inner.cancel(cx, number).await
    }
    async fn track(&self, cx: &Call, number: &str) -> Result<Vec<ScanEvent>> {
        self.inner.track(cx, number).await
    }
    fn verify_webhook(&self, cx: &Call, signature: Option<&str>, body: &[u8]) -> Result<Vec<ScanEvent>> {
        self.inner.verify_webhook(cx, signature, body)
    }
}

pub struct World {
    pub shipping: Arc<Shipping>,
    pub sandbox: Arc<Sandbox>,
    pub trouble: Arc<Trouble>,
    pub stores: Stores,
    pub cfg: Config,
    /// Postal code and country.
    place: Arc<Mutex<(String, String)>>,
    users: Fake,
    clock: AtomicI64,
}

impl World {
    pub async fn new(kind: Kind) -> World {
        World::with(kind, Reports::InOrder).await
    }

    pub async fn with(kind: Kind, reports: Reports) -> World {
        let stores = Stores::open(kind, "shipping", MIGRATIONS).await;
        let place = Arc::new(Mutex::new(("04524".to_owned(), String::new())));
        let lives = place.clone();
        let users = Fake::new().on(move |req: GetAddressOfRequest| {
            let (postal_code, country_code) = lives.lock().unwrap().clone();
            async move {
                match req.user_id == BUYER && req.address_id == ADDRESS {
                    true => Ok(Address {
                        address_id: req.address_id,
                        recipient: "홍길동".into(),
                        phone_number: "+821012345678".into(),
                        postal_code,
                        country_code,
                        line1: STREET.into(),
                        line2: "삼층".into(),
                        ..Address::default()
                    }),
                    false => Err(Error::not_found("address", req.address_id)),
                }
            }
        });
        let cfg = Config { sandbox_step_ms: STEP_MS, sandbox_reports: reports, track_poll_ms: 50, ..Config::default() };
        let sandbox = Sandbox::new(stores.db(), b"webhooks", STEP_MS, reports);
        let trouble = Arc::new(Trouble::default());
        let shipping = replica(&stores, &users, &sandbox, &trouble, &cfg, stores.db());
        // Behind every call that `testbed` makes.
        let clock = AtomicI64::new(1_770_000_000_000_000);
        World { shipping, sandbox, trouble, stores, cfg, place, users, clock }
    }

    /// Another process of the same service: nothing of this one's memory.
    pub fn replica(&self, db: Db) -> Arc<Shipping> {
        replica(&self.stores, &self.users, &self.sandbox, &self.trouble, &self.cfg, db)
    }

    pub fn live_at(&self, postal_code: &str) {
        self.live_abroad(postal_code, "KR");
    }

    pub fn live_abroad(&self, postal_code: &str, country_code: &str) {
        *self.place.lock().unwrap() = (postal_code.to_owned(), country_code.to_owned());
    }

    pub fn now(&self) -> Time {
        from_micros(self.clock.fetch_add(1_000, Ordering::SeqCst))
    }

    /// Time goes by.
    pub fn pass(&self, ms: u64) {
        self.clock.fetch_add(i64::try_from(ms).unwrap() * 1_000, Ordering::SeqCst);
    }

    pub fn by(&self, user: &str) -> Call {
        at(by(user), self.now())
    }

    pub fn order(&self) -> Call {
        at(system("order"), self.now())
    }

    pub fn job(&self) -> Call {
        at(system("shipping"), self.now())
    }

    pub async fn prepare(&self, order_id: &str, parts: Vec<wire::ShipmentSpec>) -> Result<Vec<wire::Shipment>> {
        let req = wire::PrepareShipmentsRequest {
            order_id: order_id.into(),
            buyer_id: BUYER.into(),
            address_id: ADDRESS.into(),
            parts,
        };
        Ok(self.shipping.prepare_shipments(self.order(), req).await?.shipments)
    }

    pub async fn ready(&self, order_id: &str) -> Result<Vec<wire::Shipment>> {
        let req = wire::ReadyShipmentsRequest { order_id: order_id.into() };
        Ok(self.shipping.ready_shipments(self.order(), req).await?.shipments)
    }

    pub async fn cancel(&self, order_id: &str, parts: &[i32]) -> Result<()> {
        let req = wire::CancelShipmentsRequest { order_id: order_id.into(), parts: parts.to_vec() };
        self.shipping.cancel_shipments(self.order(), req).await
    }

    /// A paid shipment.
    pub async fn paid(&self, option: ShippingOption) -> wire::Shipment {
        let order_id = order_id();
        self.prepare(&order_id, vec![spec(1, SELLER, option)]).await.unwrap();
        self.ready(&order_id).await.unwrap().remove(0)
    }

    pub async fn book(&self, shipment_id: &str, booking: Booking) -> Result<wire::Shipment> {
        let req = wire::BookShipmentRequest {
            shipment_id: shipment_id.into(),
            booking: Some(booking),
            request_id: String::new(),
        };
        self.shipping.book_shipment(self.by(SELLER), req).await
    }

    pub async fn booked(&self) -> wire::Shipment {
        let s = self.paid(ShippingOption::Parcel).await;
        self.book(&s.shipment_id, parcel("cj")).await.unwrap()
    }

    pub async fn get(&self, shipment_id: &str) -> wire::Shipment {
        let req = wire::GetShipmentRequest { shipment_id: shipment_id.into() };
        self.shipping.get_shipment(self.by(BUYER), req).await.unwrap()
    }

    pub async fn status(&self, shipment_id: &str) -> ShipmentStatus {
        self.get(shipment_id).await.status()
    }

    pub async fn play(&self) {
        self.shipping.clone().play_sandbox(self.job()).await.unwrap();
    }

    pub async fn settle(&self) {
        self.shipping.clone().settle_bookings(self.job()).await.unwrap();
    }

    pub async fn poll(&self) {
        self.shipping.clone().poll_carriers(self.job()).await.unwrap();
    }

    /// Until it is delivered.
    pub async fn deliver(&self) {
        for _ in 0..6 {
            self.pass(STEP_MS);
            self.play().await;
        }
    }

    /// A report of a carrier's, signed.
    pub async fn report(&self, carrier: &str, scans: &[ScanEvent]) -> Result<()> {
        report(&self.shipping, &self.sandbox, carrier, scans, self.now()).await
    }

    /// Names of the events of a shipment.
    pub async fn events(&self, shipment_id: &str) -> Vec<String> {
        let all: Vec<Envelope> = self.stores.db().history("shipment", shipment_id, 0, 100).await.unwrap();
        all.into_iter()
            .map(|e| e.r#type.rsplit('.').next().unwrap().trim_start_matches("Shipment").to_owned())
            .collect()
    }

    /// What is stored is as it must be.
    pub async fn sound(&self) {
        let wrong = self.shipping.clone().check_shipments(self.job()).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    pub async fn lines(&self, shipment_id: &str, after: i32) -> Vec<wire::TrackShipmentResponse> {
        let req = wire::TrackShipmentRequest { shipment_id: shipment_id.into(), after_sequence: after };
        let stream = self.shipping.track_shipment(self.by(BUYER), req).await.unwrap();
        stream.map(|line| line.unwrap()).collect().await
    }
}

fn replica(
    stores: &Stores,
    users: &Fake,
    sandbox: &Arc<Sandbox>,
    trouble: &Arc<Trouble>,
    cfg: &Config,
    db: Db,
) -> Arc<Shipping> {
    let carriers = PROFILES
        .iter()
        .map(|p| Arc::new(Troubled { inner: sandbox.play(p), trouble: trouble.clone() }) as Arc<dyn Carrier>);
    let parts = Parts {
        db,
        keyring: stores.keyring(),
        pages: stores.pages(),
        codes: [9; 32],
        users: user_service::Client::new(users.channel()),
        carriers: Carriers::new(carriers),
        sandbox: Some(sandbox.clone()),
    };
    Arc::new(Shipping::new(parts, cfg.clone()))
}

pub async fn report(
    shipping: &Shipping,
    sandbox: &Sandbox,
    carrier: &str,
    scans: &[ScanEvent],
    now: Time,
) -> Result<()> {
    let delivery = sandbox.delivery(carrier, now, scans);
    let mut cx = at(testbed::anonymous(), now);
    cx.headers.insert("x-carrier-signature".into(), delivery.signature);
    shipping.receive_carrier_webhook(cx, webhook(carrier, delivery.body)).await
}

pub fn webhook(carrier: &str, body: Vec<u8>) -> wire::ReceiveCarrierWebhookRequest {
    let payload =
        proto::google::api::HttpBody { content_type: "application/json".into(), data: body, extensions: vec![] };
    wire::ReceiveCarrierWebhookRequest { carrier: carrier.into(), payload: Some(payload) }
}

pub enum Order {}

impl jangteo_core::Entity for Order {
    const NAME: &'static str = "order";
    const PREFIX: &'static str = "ord";
}

pub fn order_id() -> String {
    Id::<Order>::new().to_string()
}

pub fn won(units: i64) -> Option<Money> {
    Some(Money { currency_code: "KRW".into(), units, nanos: 0 })
}

pub fn spec(part: i32, seller_id: &str, option: ShippingOption) -> wire::ShipmentSpec {
    wire::ShipmentSpec {
        part,
        seller_id: seller_id.into(),
        option: option.into(),
        weight_grams: 1_500,
        sum_cm: 60,
        from_region_id: "seoul".into(),
        goods_value: won(50_000),
    }
}

pub fn parcel(carrier: &str) -> Booking {
    Booking::Parcel(wire::ParcelBooking { carrier: carrier.into(), tracking_number: String::new() })
}

pub fn own(carrier: &str, number: &str) -> Booking {
    Booking::Parcel(wire::ParcelBooking { carrier: carrier.into(), tracking_number: number.into() })
}

pub fn store(brand: &str) -> Booking {
    Booking::Store(wire::StoreBooking { brand: brand.into(), store_id: "V1234".into() })
}

pub fn meeting() -> Booking {
    let meet_time = Some(proto::timestamp(from_micros(1_780_000_000_000_000)));
    Booking::MeetUp(wire::MeetUp { place: "을지로입구역 칠번 출구".into(), meet_time })
}
