//! A search service of its own for each test, its index fed as in a process of services.

use jangteo_core::{Result, SystemClock, from_micros, micros};
use kit::{Stop, db::Db};
use proto::{
    google::r#type::Money,
    jangteo::{
        catalog::v1::{
            Category, Condition, ListCategoriesRequest, ListCategoriesResponse, ProductCreated, ProductDeleted,
            ProductStatus, ProductStatusChanged, ProductUpdated, catalog_service,
        },
        search::v1::{SearchProductsRequest, SearchProductsResponse, search_service::Api},
    },
};
use search::{
    Config, MIGRATIONS, Parts, Search,
    events::project,
    kinds::product::{Event, KIND},
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use testbed::{Fake, Kind, Stores, anonymous, system};
use tokio::task::JoinSet;

pub struct World {
    pub search: Arc<Search>,
    pub stores: Stores,
    stop: Stop,
    tasks: JoinSet<()>,
}

fn tree() -> ListCategoriesResponse {
    let leaf = |id: &str| Category { category_id: id.into(), ..Category::default() };
    let digital = Category { children: vec![leaf("phones"), leaf("cameras"), leaf("audio")], ..leaf("digital") };
    let sports = Category { children: vec![leaf("cycling")], ..leaf("sports") };
    ListCategoriesResponse { categories: vec![digital, sports, leaf("furniture")] }
}

pub fn build(stores: &Stores, dir: &Path) -> Arc<Search> {
    let catalog = Fake::new().on(|_: ListCategoriesRequest| async { Ok(tree()) });
    let search = Search::new(Parts {
        db: stores.db(),
        cache: stores.cache(),
        pages: stores.pages(),
        clock: Arc::new(SystemClock),
        catalog: <catalog_service::Client as proto::Client>::new(catalog.channel()),
        config: Config { commit_ms: 10, poll_ms: 50, ..Config::default() },
        data: Some(dir.to_owned()),
    });
    Arc::new(search.unwrap())
}

impl World {
    pub async fn new(kind: Kind) -> World {
        let stores = Stores::open(kind, "search", MIGRATIONS).await;
        World::over(stores).await
    }

    pub async fn over(stores: Stores) -> World {
        let search = build(&stores, stores.folder());
        let mut world = World { search, stores, stop: Stop::new(), tasks: JoinSet::new() };
        world.start().await;
        world
    }

    /// Starts what every replica runs.
    pub async fn start(&mut self) {
        self.stop = Stop::new();
        self.tasks.spawn(self.search.clone().index(self.stop.clone()));
        self.tasks.spawn(self.search.clone().words(self.stop.clone()));
        self.until("an index serves", async || self.search.shelf("product").serving().is_some()).await;
    }

    pub async fn halt(&mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// The process ends and another one begins.
    pub async fn restart(&mut self) {
        self.halt().await;
        self.search = build(&self.stores, self.stores.folder());
        self.start().await;
    }

    pub fn db(&self) -> Db {
        self.stores.db()
    }

    pub async fn until(&self, what: &str, f: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !f().await {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What the consumer does with an event.
    pub async fn tell(&self, event: &Event, version: i64) {
        let now = now();
        let write = async |tx: kit::db::Tx| project(&tx, event, version, from_micros(now)).await;
        self.db().write(&system("search"), write).await.unwrap();
    }

    pub async fn list(&self, listing: Listing) -> String {
        let id = listing.id.clone();
        self.tell(&Event::Created(listing.created()), 1).await;
        id
    }

    /// Everything that is committed can be found.
    pub async fn settled(&self) {
        let rows = search::store::document::scan(&self.db(), "product", "", 1 << 20).await.unwrap();
        let made = |body: &Option<Vec<u8>>| body.as_ref().is_some_and(|b| (KIND.read)(b).unwrap().is_some());
        let rows: BTreeMap<_, _> =
            rows.into_iter().filter(|r| made(&r.body)).map(|r| (r.id, (r.version, r.wanted))).collect();
        self.until("the index is up to date", async || self.contents() == rows).await;
    }

    pub async fn find(&self, req: SearchProductsRequest) -> Result<SearchProductsResponse> {
        self.search.search_products(anonymous(), req).await
    }

    pub async fn found(&self, q: &str) -> Vec<String> {
        titles(&self.find(ask(q)).await.unwrap())
    }

    /// What the index says that it holds.
    pub fn contents(&self) -> BTreeMap<String, (i64, u64)> {
        let contents = self.search.shelf("product").live().unwrap().contents().unwrap();
        assert_eq!(contents.twice, Vec::<String>::new());
        contents.documents.into_iter().collect()
    }
}

pub fn ask(q: &str) -> SearchProductsRequest {
    SearchProductsRequest { q: q.into(), page_size: 50, ..Default::default() }
}

pub fn titles(r: &SearchProductsResponse) -> Vec<String> {
    r.hits.iter().map(|h| h.title.iter().map(|s| s.text.as_str()).collect()).collect()
}

pub fn now() -> i64 {
    use jangteo_core::Clock;
    micros(SystemClock.now())
}

pub fn id(n: u64) -> String {
    format!("prd_{n:032x}")
}

/// A product as its seller describes it; newer than the one before.
#[derive(Clone)]
pub struct Listing {
    pub id: String,
    pub title: String,
    pub description: String,
    pub tags: Vec<String>,
    pub price: i64,
    pub category: String,
    pub region: String,
    pub condition: Condition,
    pub created: i64,
}

pub fn listing(n: u64, title: &str) -> Listing {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    Listing {
        id: id(n),
        title: title.into(),
        description: String::new(),
        tags: Vec::new(),
        price: 10_000,
        category: "phones".into(),
        region: "seoul".into(),
        condition: Condition::Good,
        created: now() - 3_600_000_000 + NEXT.fetch_add(1, Ordering::Relaxed),
    }
}

pub fn won(units: i64) -> Option<Money> {
    Some(Money { currency_code: "KRW".into(), units, nanos: 0 })
}

impl Listing {
    pub fn created(&self) -> ProductCreated {
        ProductCreated {
            product_id: self.id.clone(),
            seller_id: "usr_00000000000000000000000000000001".into(),
            title: self.title.clone(),
            description: self.description.clone(),
            price: won(self.price),
            category_id: self.category.clone(),
            region_id: self.region.clone(),
            condition: self.condition.into(),
            stock: 1,
            tags: self.tags.clone(),
            create_time: Some(proto::timestamp(from_micros(self.created))),
            ..Default::default()
        }
    }

    pub fn updated(&self) -> Event {
        Event::Updated(ProductUpdated {
            product_id: self.id.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            price: won(self.price),
            category_id: self.category.clone(),
            condition: self.condition.into(),
            tags: self.tags.clone(),
            ..Default::default()
        })
    }
}

pub fn turned(id: &str, to: ProductStatus) -> Event {
    Event::StatusChanged(ProductStatusChanged { product_id: id.into(), to: to.into(), ..Default::default() })
}

pub fn deleted(id: &str) -> Event {
    Event::Deleted(ProductDeleted { product_id: id.into() })
}
