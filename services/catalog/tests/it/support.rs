//! A catalogue of its own for each test, and calls built by hand.

use catalog::{Catalog, Config, MIGRATIONS, domain::Product};
use jangteo_core::{Call, Error, PageTokens, Principal, Result, User, from_micros};
use kit::{
    cache::{Cache, CacheConfig},
    db::{Db, DbConfig, Shards},
};
use proto::{
    google::r#type::Money,
    jangteo::catalog::v1::{self as wire, Condition, catalog_service::Api},
};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use tempfile::TempDir;

/// Which kind of store a test runs on.
#[derive(Clone, Copy)]
pub enum Store {
    Sqlite,
    Postgres,
}

impl Store {
    pub async fn world(self) -> World {
        self.over(1).await
    }

    /// Six shards over so many databases.
    pub async fn over(self, databases: usize) -> World {
        let files = TempDir::new().unwrap();
        let server = match self {
            Store::Sqlite => None,
            Store::Postgres => Some(testkit::servers::fresh_database().await),
        };
        let mut dbs = Vec::new();
        for n in 0..databases {
            let config = match &server {
                Some(server) => {
                    DbConfig { url: server.url().into(), schema: Some(format!("catalog_{n}")), ..DbConfig::default() }
                }
                None => {
                    let url = format!("sqlite://{}/{n}.db?mode=rwc", files.path().display());
                    DbConfig { url, ..DbConfig::default() }
                }
            };
            let db = Db::open("catalog", &config, &[MIGRATIONS]).await.unwrap();
            db.migrate().await.unwrap();
            dbs.push(db);
        }
        let cache = Cache::new(&CacheConfig::default()).unwrap();
        let shards = Shards::new(6, dbs.clone()).unwrap();
        let pages = PageTokens::new(b"test");
        let catalog =
            Catalog::new(dbs[0].clone(), shards.clone(), cache, pages, &Config { counts_secs: 1, ..Config::default() });
        World { catalog: Arc::new(catalog), shards, _files: files, _server: server }
    }
}

pub struct World {
    pub catalog: Arc<Catalog>,
    shards: Shards,
    _files: TempDir,
    _server: Option<testkit::servers::Database>,
}

pub const SELLER: &str = "usr_00000000000000000000000000000001";
pub const OTHER: &str = "usr_00000000000000000000000000000002";

impl World {
    /// The database that holds a product.
    pub fn db(&self, id: &str) -> &Db {
        self.shards.db_of::<Product>(&id.parse().unwrap()).unwrap()
    }

    pub async fn list_one(&self, change: impl FnOnce(&mut wire::CreateProductRequest)) -> wire::Product {
        let mut req = bicycle();
        change(&mut req);
        self.catalog.create_product(by(SELLER), req).await.unwrap()
    }

    pub async fn get(&self, id: &str) -> Result<wire::Product> {
        self.catalog.get_product(anonymous(), wire::GetProductRequest { product_id: id.into() }).await
    }

    pub async fn history(&self, id: &str) -> Vec<wire::ProductEvent> {
        let req = wire::ListProductHistoryRequest { product_id: id.into(), page_size: 100, ..Default::default() };
        self.catalog.list_product_history(anonymous(), req).await.unwrap().events
    }

    /// What the row says is what the events make.
    pub async fn assert_row_is_its_history(&self, id: &str) {
        let (state, version) = self.db(id).load::<Product>(id).await.unwrap();
        let row = self.get(id).await.unwrap();
        assert_eq!(row.etag, version.to_string());
        assert_eq!(
            (&row.title, &row.description, &row.tags, row.stock(), row.status(), row.condition()),
            (&state.title, &state.description, &state.tags, state.stock, state.status, state.condition),
        );
        assert_eq!(row.price.unwrap().units, state.price);
        assert_eq!(
            (&row.category_id, &row.region_id, &row.seller_id),
            (&state.category_id, &state.region_id, &state.seller_id)
        );
    }
}

pub fn bicycle() -> wire::CreateProductRequest {
    wire::CreateProductRequest {
        title: "하이브리드 자전거".into(),
        description: "체인 갈았습니다".into(),
        price: won(120_000),
        category_id: "cycling".into(),
        region_id: "seoul".into(),
        condition: Condition::Good.into(),
        stock: None,
        tags: vec!["#자전거".into(), "Hybrid".into()],
        request_id: String::new(),
    }
}

pub fn won(units: i64) -> Option<Money> {
    Some(Money { currency_code: "KRW".into(), units, nanos: 0 })
}

pub fn update(p: &wire::Product) -> wire::UpdateProductRequest {
    wire::UpdateProductRequest { product_id: p.product_id.clone(), ..Default::default() }
}

/// Time goes on by a millisecond from call to call.
pub fn anonymous() -> Call {
    static NOW: AtomicI64 = AtomicI64::new(1_760_000_000_000_000);
    let mut cx = Call::system("test", "test", from_micros(NOW.fetch_add(1000, Ordering::Relaxed)));
    cx.principal = Principal::Anonymous;
    cx
}

pub fn by(user_id: &str) -> Call {
    with_roles(user_id, &["user"])
}

pub fn with_roles(user_id: &str, roles: &[&str]) -> Call {
    let mut cx = anonymous();
    cx.principal = Principal::User(User {
        user_id: user_id.into(),
        session_id: "ses_1".into(),
        roles: roles.iter().map(|r| (*r).to_owned()).collect(),
        expires: cx.now,
    });
    cx
}

/// As `rpc` makes it of a request with a key; the number stands for the request's bytes.
pub fn keyed(mut cx: Call, key: &str, body: u8) -> Call {
    cx.method = "/jangteo.catalog.v1.CatalogService/Test".into();
    cx.request_id = Some(key.to_owned());
    cx.fingerprint = [body; 32];
    cx
}

pub fn fields(e: &Error) -> Vec<&str> {
    e.field_violations().iter().map(|v| v.field.as_str()).collect()
}
