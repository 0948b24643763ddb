//! The service as a process runs it: registered, fed by the embedded bus, asked through its guard, checked by `verify`.

use crate::support::{Listing, ask, deleted, id, listing, titles};
use bus::{Replay, Stop};
use jangteo_core::{Result, SystemClock};
use kit::{Boot, Config, Market, Mount, Running, Service, db, telemetry};
use proto::{
    Client as _,
    jangteo::{
        order::v1::{OrderPaid, OrderPlaced, PlacedLine, PlacedPart},
        search::v1::search_service,
    },
};
use search::{Search, kinds::product::Event};
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
    time::{Duration, Instant},
};
use testbed::{anonymous, system};

const WITHIN: Duration = Duration::from_secs(20);
static SOURCES: LazyLock<Mutex<BTreeMap<&'static str, db::Db>>> = LazyLock::new(Mutex::default);

/// Stands where the catalogue stands, and emits its events.
struct Catalog;
/// Stands where orders stand.
struct Orders;

macro_rules! source {
    ($source:ident, $name:literal) => {
        impl Service for $source {
            const NAME: &'static str = $name;
            const MIGRATIONS: db::Migrations = db::Migrations(&[]);
            type Config = ();

            async fn build(cx: &Boot<()>) -> Result<Self> {
                SOURCES.lock().unwrap().insert($name, cx.db());
                Ok($source)
            }
            fn mount(_: &mut Mount<Self>) {}
        }
    };
}
source!(Catalog, "catalog");
source!(Orders, "order");

fn source(name: &str) -> db::Db {
    SOURCES.lock().unwrap()[name].clone()
}

async fn emit<E: proto::Event>(event: &E) {
    let mut cx = system(E::SOURCE);
    cx.now = jangteo_core::from_micros(crate::support::now());
    let write = async |tx: db::Tx| tx.emit(event).await.map(drop);
    source(E::SOURCE).write(&cx, write).await.unwrap();
}

async fn tell(event: Event) {
    match event {
        Event::Created(e) => emit(&e).await,
        Event::Updated(e) => emit(&e).await,
        Event::StatusChanged(e) => emit(&e).await,
        Event::StockChanged(e) => emit(&e).await,
        Event::Deleted(e) => emit(&e).await,
    }
}

async fn until(what: &str, f: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !f().await {
        assert!(begun.elapsed() < WITHIN, "{what}: not within {WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn wrong(running: &Running) -> Vec<String> {
    running.market.verify().await.unwrap().into_iter().flat_map(|f| f.wrong).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_market_finds_what_is_listed_and_is_rebuilt_by_replay() {
    let files = tempfile::tempdir().unwrap();
    let config = Config::embedded(files.path());
    let telemetry = telemetry::init(&config, "test").unwrap();
    let services = [kit::entry::<Catalog>(), kit::entry::<Orders>(), kit::entry::<Search>()];
    let market = Market::build(config.clone(), Arc::new(SystemClock), &services, &services).await.unwrap();
    let running = market.start("gateway", &telemetry).await.unwrap();
    let client = search_service::Client::new(running.market.channel("gateway", "search").unwrap());
    let found = async |q: &str| client.search_products(&anonymous(), ask(q)).await.map(|r| titles(&r));
    until("the first index is built", async || found("").await.is_ok()).await;

    // From the catalogue's commit to a search that finds it.
    for n in 0..20 {
        let title = format!("물건{n}");
        tell(Event::Created(listing(n, &title).created())).await;
        until("it is found", async || found(&title).await.unwrap() == [title.clone()]).await;
    }
    tell(Listing { title: "바뀐 물건".into(), ..listing(3, "") }.updated()).await;
    tell(deleted(&id(4))).await;
    let line = PlacedLine { product_id: id(5), quantity: 1, ..Default::default() };
    let part = PlacedPart { lines: vec![line], ..Default::default() };
    emit(&OrderPlaced { order_id: "ord_1".into(), parts: vec![part], ..Default::default() }).await;
    emit(&OrderPaid { order_id: "ord_1".into(), ..Default::default() }).await;
    until("all is found", async || {
        found("바뀐").await.unwrap().len() == 1 && found("물건").await.unwrap()[0] == "물건5"
    })
    .await;
    assert_eq!(found("물건").await.unwrap().len(), 19);
    assert_eq!(wrong(&running).await, Vec::<String>::new());

    // The rows are lost and made again from all events, while the index goes on serving.
    let rows = db::DbConfig { url: format!("sqlite://{}/search.db", files.path().display()), ..Default::default() };
    let rows = db::Db::open("search", &rows, &[search::MIGRATIONS]).await.unwrap();
    let all = async || search::store::document::scan(&rows, "product", "", 1000).await.unwrap();
    let said = |rows: Vec<search::engine::Row>| rows.into_iter().map(|r| (r.id, r.version, r.body)).collect::<Vec<_>>();
    let before = said(all().await);
    let lose = async |tx: db::Tx| {
        use db::{DbResult, sea_orm::ConnectionTrait};
        let sql = "DELETE FROM document; DELETE FROM inbox WHERE consumer = 'search.catalog-product'";
        tx.execute_unprepared(sql).await.db()?;
        Ok(())
    };
    rows.write(&system("search"), lose).await.unwrap();
    assert!(all().await.is_empty());
    let (stop, done) = (Stop::new(), Stop::new());
    let replay = async {
        let replayed = running.market.replay("search.catalog-product", Replay::from_start(), stop.clone()).await;
        done.cancel();
        replayed.unwrap()
    };
    let ask = async {
        while !done.is_cancelled() {
            assert_eq!(found("물건").await.unwrap().len(), 19, "a search misses something");
        }
    };
    let (replayed, ()) = tokio::join!(replay, ask);
    assert_eq!(replayed.delivered, 22);
    assert_eq!(said(all().await), before);
    until("the index has caught up", async || wrong(&running).await.is_empty()).await;
    assert_eq!(found("물건").await.unwrap().len(), 19);
    running.stop(std::future::ready(())).await;
}
