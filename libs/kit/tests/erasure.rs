//! A service that seals personal data forgets an erased person without a line of its own, and what it keeps unsealed with
//! one; what comes late is skipped.

use base64::{Engine, prelude::BASE64_STANDARD};
use jangteo_core::{Call, Clock, Result, SystemClock};
use kit::{
    Boot, Config, Market, Mount, Received, Service,
    db::{
        Db, DbResult, Migration, Migrations, Tx,
        crypt::{KeyringConfig, Sealer},
        sea_orm::{ConnectionTrait, Statement},
    },
    telemetry,
};
use proto::{
    Event,
    jangteo::auth::v1::{AccountErased, EmailVerified, UserRegistered},
};
use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};
use testkit::eventually;

const WITHIN: Duration = Duration::from_secs(20);

static DBS: LazyLock<Mutex<Vec<Db>>> = LazyLock::new(Mutex::default);

#[derive(Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Nothing {}

/// Stands where the auth service stands.
struct Source;

impl Service for Source {
    const NAME: &'static str = "auth";
    const MIGRATIONS: Migrations = Migrations(&[]);
    type Config = Nothing;

    async fn build(cx: &Boot<Nothing>) -> Result<Self> {
        let _ = cx.keyring();
        DBS.lock().unwrap().push(cx.db());
        Ok(Source)
    }
    fn mount(_: &mut Mount<Self>) {}
}

/// Seals, and keeps a name in the clear.
struct Keeper {
    db: Db,
    sealer: Sealer,
}

impl Service for Keeper {
    const NAME: &'static str = "keeper";
    const MIGRATIONS: Migrations = Migrations(&[Migration {
        name: "0001_kept",
        sql: "CREATE TABLE kept (user_id TEXT PRIMARY KEY, sealed BYTES)",
    }]);
    type Config = Nothing;

    async fn build(cx: &Boot<Nothing>) -> Result<Self> {
        DBS.lock().unwrap().push(cx.db());
        Ok(Keeper { db: cx.db(), sealer: Sealer::new(cx.keyring()) })
    }
    fn mount(m: &mut Mount<Self>) {
        m.on(Self::registered).on(Self::verified).forget(Self::forget);
    }
}

impl Keeper {
    async fn keep(&self, tx: &Tx, user_id: &str) -> Result<()> {
        self.sealer.person(tx, user_id).await?.seal("kept", "sealed", b"a name")?;
        let insert = format!("INSERT INTO kept (user_id) VALUES ('{user_id}') ON CONFLICT (user_id) DO NOTHING");
        tx.execute_unprepared(&insert).await.db().map(drop)
    }

    async fn registered(self: Arc<Self>, ev: Received<UserRegistered>) -> Result<()> {
        ev.apply(&self.db, async |tx| self.keep(&tx, &ev.user_id).await).await
    }

    async fn verified(self: Arc<Self>, ev: Received<EmailVerified>) -> Result<()> {
        ev.apply(&self.db, async |tx| self.keep(&tx, &ev.user_id).await).await
    }

    async fn forget(self: Arc<Self>, tx: Tx, user_id: String) -> Result<()> {
        tx.execute_unprepared(&format!("DELETE FROM kept WHERE user_id = '{user_id}'")).await.db().map(drop)
    }
}

/// Seals alone, and writes nothing about it.
struct Quiet;

impl Service for Quiet {
    const NAME: &'static str = "quiet";
    const MIGRATIONS: Migrations = Migrations(&[]);
    type Config = Nothing;

    async fn build(cx: &Boot<Nothing>) -> Result<Self> {
        let _ = cx.keyring();
        DBS.lock().unwrap().push(cx.db());
        Ok(Quiet)
    }
    fn mount(_: &mut Mount<Self>) {}
}

/// Of the market that was built last.
fn db(name: &str) -> Db {
    DBS.lock().unwrap().iter().rev().find(|db| db.service() == name).unwrap().clone()
}

async fn emit<E: Event>(event: E) {
    let cx = Call::system("auth", "test", SystemClock.now());
    db("auth").write(&cx, async |tx| tx.emit(&event).await.map(drop)).await.unwrap();
}

async fn count(name: &str, what: &str) -> i64 {
    let db = db(name);
    let stmt = Statement::from_string(db.backend(), format!("SELECT COUNT(*) AS n FROM {what}"));
    db.primary().query_one_raw(stmt).await.db().unwrap().unwrap().try_get("", "n").unwrap()
}

#[tokio::test]
async fn every_service_that_seals_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::embedded(folder.path());
    config.events.max_attempts = 2;
    let telemetry = telemetry::init(&config, "test").unwrap();
    let services = [kit::entry::<Source>(), kit::entry::<Keeper>(), kit::entry::<Quiet>()];
    let market = Market::build(config.clone(), Arc::new(SystemClock), &services, &services).await.unwrap();
    let running = market.start("auth", &telemetry).await.unwrap();
    assert_eq!(running.market.consumers(), ["keeper.auth-user", "quiet.auth-user"]);

    for id in ["usr_a", "usr_b"] {
        emit(UserRegistered { user_id: id.into(), ..Default::default() }).await;
    }
    eventually(WITHIN, async || count("keeper", "kept").await == 2).await;
    // Twice, as nobody should say it, and then something that comes late.
    for _ in 0..2 {
        emit(AccountErased { user_id: "usr_a".into(), ..Default::default() }).await;
    }
    emit(EmailVerified { user_id: "usr_a".into(), ..Default::default() }).await;
    emit(UserRegistered { user_id: "usr_c".into(), ..Default::default() }).await;
    eventually(WITHIN, async || count("keeper", "kept WHERE user_id = 'usr_c'").await == 1).await;
    for consumer in running.market.consumers() {
        eventually(WITHIN, async || running.market.lag(&consumer).await.unwrap().pending == 0).await;
        let page = jangteo_core::Page { size: 10, after: Vec::new() };
        assert!(running.market.dead_letters(&consumer, &page).await.unwrap().rows.is_empty(), "{consumer}");
    }
    for name in ["keeper", "quiet"] {
        let erased = "person_key WHERE person = 'usr_a' AND wrapped IS NULL AND erased_at IS NOT NULL";
        assert_eq!(count(name, erased).await, 1, "{name}");
        assert_eq!(count(name, "person_key WHERE erased_at IS NOT NULL").await, 1, "{name}");
    }
    assert_eq!(count("keeper", "kept WHERE user_id = 'usr_a'").await, 0);
    assert_eq!(count("keeper", "kept").await, 2);
    running.stop(std::future::ready(())).await;

    // A new master key: those who are left are wrapped with it, and those who are forgotten stay so.
    let keys = [("k2".to_owned(), BASE64_STANDARD.encode([7; 32]))].into();
    config.keys = Some(KeyringConfig { current: "k2".into(), keys, lookup: String::new() });
    let market = Market::build(config, Arc::new(SystemClock), &services, &services).await.unwrap();
    let running = market.start("auth", &telemetry).await.unwrap();
    eventually(WITHIN, async || count("keeper", "person_key WHERE key_id = 'k2' AND wrapped IS NOT NULL").await == 2)
        .await;
    assert_eq!(count("keeper", "person_key WHERE wrapped IS NULL").await, 1);
    running.stop(std::future::ready(())).await;
}
