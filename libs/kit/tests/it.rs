//! A market of two small services: events reach their consumer once, poison stands aside and can be
//! tried again, jobs run, and a stop drains.

use bus::{Position, Replay, Stop};
use jangteo_core::{Call, Clock, Error, Page, Result, SystemClock};
use kit::{Boot, Config, Market, Mount, Received, Service, db, telemetry};
use proto::jangteo::auth::v1::UserRegistered;
use std::{
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use testkit::eventually;

const WITHIN: Duration = Duration::from_secs(20);
const CONSUMER: &str = "greeter.auth-user";

static SOURCE: LazyLock<Mutex<Option<db::Db>>> = LazyLock::new(Mutex::default);
static GREETED: LazyLock<Mutex<Vec<String>>> = LazyLock::new(Mutex::default);
static REFUSES: AtomicBool = AtomicBool::new(true);
static RUNS: AtomicU32 = AtomicU32::new(0);

/// Stands where the auth service stands, and emits its event.
struct Source;

impl Service for Source {
    const NAME: &'static str = "auth";
    const MIGRATIONS: db::Migrations = db::Migrations(&[]);
    type Config = Nothing;

    async fn build(cx: &Boot<Nothing>) -> Result<Self> {
        *SOURCE.lock().unwrap() = Some(cx.db());
        Ok(Source)
    }
    fn mount(_: &mut Mount<Self>) {}
}

struct Greeter {
    db: db::Db,
}

impl Service for Greeter {
    const NAME: &'static str = "greeter";
    const MIGRATIONS: db::Migrations = db::Migrations(&[db::Migration {
        name: "0001_greeted",
        sql: "CREATE TABLE greeted (user_id TEXT NOT NULL PRIMARY KEY)",
    }]);
    type Config = Nothing;

    async fn build(cx: &Boot<Nothing>) -> Result<Self> {
        Ok(Greeter { db: cx.db() })
    }
    fn mount(m: &mut Mount<Self>) {
        m.on(Self::user_registered).every("count", Duration::from_millis(20), Self::count);
    }
}

impl Greeter {
    async fn user_registered(self: Arc<Self>, ev: Received<UserRegistered>) -> Result<()> {
        if ev.user_id == "usr_poison" && REFUSES.load(Ordering::Relaxed) {
            return Err(Error::internal("this one can't be greeted"));
        }
        let id = ev.user_id.clone();
        let insert = async |tx: db::Tx| {
            use db::{DbResult, sea_orm::ConnectionTrait};
            let sql = format!("INSERT INTO greeted (user_id) VALUES ('{id}')");
            tx.execute_unprepared(&sql).await.db()?;
            GREETED.lock().unwrap().push(id.clone());
            Ok(())
        };
        ev.apply(&self.db, insert).await
    }

    async fn count(self: Arc<Self>, cx: Call) -> Result<()> {
        assert_eq!(cx.principal.key(), "system:greeter");
        RUNS.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[derive(Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Nothing {}

async fn register(id: &str) {
    let db = SOURCE.lock().unwrap().clone().unwrap();
    let cx = Call::system("auth", "register", SystemClock.now());
    let event = UserRegistered { user_id: id.to_owned(), ..Default::default() };
    let emit = async |tx: db::Tx| tx.emit(&event).await.map(drop);
    db.write(&cx, emit).await.unwrap();
}

fn greeted(id: &str) -> usize {
    GREETED.lock().unwrap().iter().filter(|g| *g == id).count()
}

#[tokio::test]
async fn events_are_applied_once_and_poison_can_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::embedded(folder.path());
    config.events.max_attempts = 3;
    config.events.backoff_min_ms = 1;
    config.events.backoff_max_ms = 5;
    let telemetry = telemetry::init(&config, "test").unwrap();
    let services = [kit::entry::<Source>(), kit::entry::<Greeter>()];
    let market = Market::build(config.clone(), Arc::new(SystemClock), &services, &services).await.unwrap();
    let running = market.start("auth", &telemetry).await.unwrap();
    assert_eq!(running.market.consumers(), [CONSUMER]);

    for id in ["usr_a", "usr_poison", "usr_b"] {
        register(id).await;
    }
    eventually(WITHIN, async || greeted("usr_a") == 1 && greeted("usr_b") == 1).await;
    let page = Page { size: 10, after: Vec::new() };
    let letters = eventually(WITHIN, async || {
        let letters = running.market.dead_letters(CONSUMER, &page).await.unwrap().rows;
        (!letters.is_empty()).then_some(letters)
    })
    .await;
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.envelope.aggregate_id.as_str(), letter.attempts), ("usr_poison", 3));
    assert_eq!(greeted("usr_poison"), 0);
    eventually(WITHIN, async || running.market.lag(CONSUMER).await.unwrap().pending == 0).await;

    // Still refused, then mended: applied, and only once.
    let id = letter.envelope.event_id.clone();
    assert!(running.market.replay_dead_letter(CONSUMER, &id).await.is_err());
    REFUSES.store(false, Ordering::Relaxed);
    assert!(running.market.replay_dead_letter(CONSUMER, &id).await.unwrap());
    assert!(!running.market.replay_dead_letter(CONSUMER, &id).await.unwrap());
    assert_eq!(greeted("usr_poison"), 1);
    assert!(running.market.dead_letters(CONSUMER, &page).await.unwrap().rows.is_empty());

    // From the start again: everything is known.
    let replay = Replay { from: Position::Start, baseline: false };
    let done = running.market.replay(CONSUMER, replay, Stop::new()).await.unwrap();
    assert_eq!((done.delivered, done.duplicates), (0, 3));
    assert_eq!(GREETED.lock().unwrap().len(), 3);

    eventually(WITHIN, async || RUNS.load(Ordering::Relaxed) >= 2).await;
    running.stop(std::future::ready(())).await;

    // The same files again: nothing is delivered twice, what is new is.
    let market = Market::build(config, Arc::new(SystemClock), &services, &services).await.unwrap();
    let running = market.start("auth", &telemetry).await.unwrap();
    register("usr_c").await;
    eventually(WITHIN, async || greeted("usr_c") == 1).await;
    assert_eq!(GREETED.lock().unwrap().len(), 4);
    running.stop(std::future::ready(())).await;
}
