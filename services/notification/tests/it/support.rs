//! A notification service of its own for each test.

use async_trait::async_trait;
use chrono::TimeDelta;
use jangteo_core::{Call, Clock, Error, ManualClock, Result, Time};
use kit::{Received, db::Db};
use notification::{
    Config, MIGRATIONS, Notifications, Outcome, Parts,
    ports::{Parcel, Receipt, Sender, Senders},
};
use proto::{
    Client, Event,
    jangteo::{
        auth::v1::UserRegistered,
        notification::v1::{self as wire, notification_service::Api},
        order::v1::{OrderPaid, OrderPlaced, PlacedLine, PlacedPart},
        user::v1::{Contact, GetContactRequest, user_service},
    },
};
use sea_orm::{ConnectionTrait, Statement};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};
use testbed::{Fake, Kind, Stores};

pub struct World {
    pub service: Arc<Notifications>,
    pub stores: Stores,
    pub clock: ManualClock,
    pub mail: Arc<Recorder>,
    pub sms: [Arc<Recorder>; 2],
    pub fcm: Arc<Recorder>,
    pub contacts: Arc<Mutex<HashMap<String, Contact>>>,
    /// The user service does not answer.
    pub away: Arc<AtomicBool>,
    versions: AtomicI64,
}

/// What left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub to: String,
    pub key: String,
    pub kind: String,
    pub title: String,
    pub body: String,
}

/// Keeps what it is given, and answers as it was told to.
pub struct Recorder {
    name: &'static str,
    pub left: Mutex<Vec<Left>>,
    pub outcomes: Mutex<VecDeque<Outcome>>,
    pub receipt: Mutex<Receipt>,
    /// It takes what it is given, and never answers.
    pub hangs: AtomicBool,
}

impl Recorder {
    pub fn new(name: &'static str) -> Arc<Self> {
        let receipt = Mutex::new(Receipt::Pending);
        let (left, outcomes, hangs) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Arc::new(Recorder { name, left, outcomes, receipt, hangs })
    }

    /// Everything that left, and nothing of it any more.
    pub fn take(&self) -> Vec<Left> {
        std::mem::take(&mut *self.left.lock().unwrap())
    }

    pub fn answer(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.outcomes.lock().unwrap().extend(outcomes);
    }
}

#[async_trait]
impl Sender for Recorder {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn send(&self, to: &str, parcel: &Parcel<'_>) -> Outcome {
        // Others may come in between.
        tokio::task::yield_now().await;
        self.left.lock().unwrap().push(Left {
            to: to.to_owned(),
            key: parcel.key.to_owned(),
            kind: parcel.kind.to_owned(),
            title: parcel.title.to_owned(),
            body: parcel.body.to_owned(),
        });
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.outcomes.lock().unwrap().pop_front().unwrap_or(Outcome::Sent("msg_1".to_owned()))
    }

    fn gives_receipts(&self) -> bool {
        self.name.starts_with("sms")
    }

    async fn receipt(&self, _: &str) -> Result<Receipt> {
        Ok(*self.receipt.lock().unwrap())
    }
}

pub fn user(n: usize) -> String {
    format!("usr_{n:032x}")
}

pub fn phone(n: usize) -> String {
    format!("+8210{n:08}")
}

/// Noon in Seoul, on a Saturday.
pub fn noon() -> Time {
    "2026-11-21T03:00:00Z".parse().unwrap()
}

pub async fn world(kind: Kind) -> World {
    world_with(kind, |_| {}).await
}

pub async fn world_with(kind: Kind, configure: impl FnOnce(&mut Config)) -> World {
    let stores = Stores::open(kind, "notification", MIGRATIONS).await;
    let (mail, fcm) = (Recorder::new("mail"), Recorder::new("fcm"));
    let sms = [Recorder::new("sms-a"), Recorder::new("sms-b")];
    let contacts: Arc<Mutex<HashMap<String, Contact>>> = Arc::default();
    let away = Arc::new(AtomicBool::new(false));
    let (known, gone) = (contacts.clone(), away.clone());
    let users = Fake::new().on(move |req: GetContactRequest| {
        let contact = known.lock().unwrap().get(&req.user_id).cloned();
        let away = gone.load(Ordering::Relaxed);
        async move {
            if away {
                return Err(Error::unavailable("user"));
            }
            contact.ok_or_else(|| Error::not_found("user", &req.user_id))
        }
    });
    let mut cfg = Config { site: "https://jangteo.example".into(), ..Config::default() };
    configure(&mut cfg);
    let clock = ManualClock::at(noon());
    let parts = Parts {
        db: stores.db(),
        keyring: stores.keyring(),
        pages: stores.pages(),
        clock: Arc::new(clock.clone()),
        user: user_service::Client::new(users.channel()),
        senders: Senders {
            email: vec![mail.clone()],
            sms: vec![sms[0].clone(), sms[1].clone()],
            fcm: Some(fcm.clone()),
            apns: None,
        },
    };
    let service = Arc::new(Notifications::new(parts, cfg).unwrap());
    World { service, stores, clock, mail, sms, fcm, contacts, away, versions: AtomicI64::new(0) }
}

impl World {
    pub fn db(&self) -> Db {
        self.stores.db()
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    pub fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    /// A job's call.
    pub fn job(&self) -> Call {
        Call::system("notification", "job", self.now())
    }

    /// A person's call.
    pub fn by(&self, user_id: &str) -> Call {
        testbed::at(testbed::by(user_id), self.now())
    }

    pub fn admin(&self) -> Call {
        testbed::at(testbed::with_roles(&user(999_999), &["user", "admin"]), self.now())
    }

    pub async fn deliver(&self) {
        self.service.clone().deliver(self.job()).await.unwrap();
    }

    /// An event of an aggregate of which nothing came before.
    pub fn event<E: Event>(&self, event: E) -> Received<E> {
        let consumer = format!("test-{}", self.versions.fetch_add(1, Ordering::Relaxed));
        Received::deliver("notification", &consumer, event, 1, self.now())
    }

    /// Somebody registers, with a number and an address; nobody has told them anything yet.
    pub async fn person(&self, n: usize) -> String {
        let id = user(n);
        let contact = Contact {
            user_id: id.clone(),
            display_name: format!("사람{n}"),
            phone_number: phone(n),
            locale: "ko".into(),
            email: format!("p{n}@example.kr"),
        };
        self.contacts.lock().unwrap().insert(id.clone(), contact);
        let registered = UserRegistered { user_id: id.clone(), locale: "ko".into(), ..Default::default() };
        self.service.clone().user_registered(self.event(registered)).await.unwrap();
        self.sql(&format!("DELETE FROM delivery WHERE user_id = '{id}'")).await;
        self.sql(&format!("DELETE FROM notification WHERE user_id = '{id}'")).await;
        id
    }

    pub async fn device(&self, user_id: &str, token: &str) -> wire::Device {
        let req = wire::RegisterDeviceRequest {
            push_service: wire::PushService::Fcm.into(),
            token: token.into(),
            ..Default::default()
        };
        self.service.register_device(self.by(user_id), req).await.unwrap()
    }

    pub async fn prefer(&self, user_id: &str, req: wire::UpdatePreferencesRequest) -> Result<wire::Preferences> {
        self.service.update_preferences(self.by(user_id), req).await
    }

    /// The order is paid: the buyer is told by push and e-mail.
    pub async fn paid(&self, buyer_id: &str, order: &str) {
        let paid = OrderPaid { order_id: order.into(), buyer_id: buyer_id.into(), ..Default::default() };
        self.service.clone().told(self.event(paid)).await.unwrap();
    }

    pub async fn placed(&self, buyer_id: &str, order: &str, titles: &[&str]) {
        let line = |t: &&str| PlacedLine { title: (*t).to_owned(), quantity: 1, ..Default::default() };
        let part = PlacedPart { part: 1, lines: titles.iter().map(line).collect(), ..Default::default() };
        let placed =
            OrderPlaced { order_id: order.into(), buyer_id: buyer_id.into(), parts: vec![part], ..Default::default() };
        self.service.clone().order_placed(self.event(placed)).await.unwrap();
    }

    pub async fn list(&self, user_id: &str) -> Vec<wire::Notification> {
        let req = wire::ListNotificationsRequest { page_size: 100, ..Default::default() };
        self.service.list_notifications(self.by(user_id), req).await.unwrap().notifications
    }

    pub async fn sql(&self, sql: &str) {
        let cx = self.job();
        self.db()
            .write(&cx, async |tx| {
                tx.execute_unprepared(sql).await.map_err(Error::internal)?;
                Ok(())
            })
            .await
            .unwrap();
    }

    /// The first column of every row, as text.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        let db = self.db();
        let stmt = Statement::from_string(db.primary().get_database_backend(), sql.to_owned());
        let rows = db.primary().query_all_raw(stmt).await.unwrap();
        rows.iter().map(|r| r.try_get_by_index::<String>(0).unwrap()).collect()
    }

    pub async fn states(&self) -> Vec<String> {
        self.rows("SELECT state || ' ' || reason FROM delivery ORDER BY channels").await
    }

    pub async fn check(&self) -> Vec<String> {
        self.service.clone().check_deliveries(self.job()).await.unwrap()
    }
}
