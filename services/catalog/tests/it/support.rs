//! A catalogue of its own for each test, with a media service that knows one picture.

use catalog::{Catalog, Config, MIGRATIONS, domain::Product};
use jangteo_core::{Error, Result};
use kit::db::{Db, Shards};
use proto::{
    Client,
    google::r#type::Money,
    jangteo::{
        catalog::v1::{self as wire, Condition, catalog_service::Api},
        media::v1::{CheckMediaRequest, CheckMediaResponse, media_service},
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use testbed::{Fake, Stores};
pub use testbed::{Kind, anonymous, at, by, keyed, system, with_roles};

pub struct World {
    pub catalog: Arc<Catalog>,
    /// How often media was asked.
    pub asked: Arc<AtomicUsize>,
    shards: Shards,
    _stores: Stores,
}

pub async fn world(kind: Kind) -> World {
    over(kind, 1).await
}

/// Six shards over so many databases.
pub async fn over(kind: Kind, databases: usize) -> World {
    let stores = Stores::shards(kind, "catalog", MIGRATIONS, databases).await;
    let shards = Shards::new(6, stores.dbs()).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let media = Fake::new().on(move |req: CheckMediaRequest| {
        counted.fetch_add(1, Ordering::Relaxed);
        let missing = req.media_ids.into_iter().filter(|id| (req.owner_id.as_str(), id.as_str()) != (SELLER, PICTURE));
        let missing = missing.collect();
        async move { Ok(CheckMediaResponse { missing }) }
    });
    let media = media_service::Client::new(media.channel());
    let config = Config { counts_secs: 1, ..Config::default() };
    let catalog = Catalog::new(shards.clone(), stores.cache(), stores.pages(), media, &config);
    World { catalog: Arc::new(catalog), asked, shards, _stores: stores }
}

/// A picture of the seller's.
pub const PICTURE: &str = "med_00000000000000000000000000000001";
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
        assert_eq!((&row.image_ids, row.parcel), (&state.image_ids, state.parcel));
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
        ..Default::default()
    }
}

pub fn won(units: i64) -> Option<Money> {
    Some(Money { currency_code: "KRW".into(), units, nanos: 0 })
}

pub fn update(p: &wire::Product) -> wire::UpdateProductRequest {
    wire::UpdateProductRequest { product_id: p.product_id.clone(), ..Default::default() }
}

pub fn fields(e: &Error) -> Vec<&str> {
    e.field_violations().iter().map(|v| v.field.as_str()).collect()
}

/// The id of an order.
pub fn order(n: usize) -> String {
    format!("ord_{n:032x}")
}

pub fn lines(of: &[(&wire::Product, i32)]) -> Vec<wire::StockLine> {
    of.iter().map(|(p, quantity)| wire::StockLine { product_id: p.product_id.clone(), quantity: *quantity }).collect()
}

/// Fifteen minutes, as orders have.
const TTL: i64 = 900;

/// What the order service asks.
impl World {
    pub async fn hold(&self, n: usize, of: &[(&wire::Product, i32)]) -> Result<wire::StockHold> {
        hold(&self.catalog, n, lines(of)).await
    }

    pub async fn confirm(&self, n: usize, of: &[(&wire::Product, i32)]) -> Result<wire::StockHold> {
        confirm(&self.catalog, n, lines(of)).await
    }

    pub async fn release(&self, n: usize, of: &[(&wire::Product, i32)]) -> Result<wire::StockHold> {
        release(&self.catalog, n, lines(of)).await
    }

    pub async fn take_back(&self, n: usize, of: &[(&wire::Product, i32)]) -> Result<()> {
        let req = wire::ReturnStockRequest { hold_id: order(n), lines: lines(of) };
        self.catalog.return_stock(system("order"), req).await
    }

    /// The time of every hold is over.
    pub async fn expire(&self) {
        expire(&self.catalog).await;
    }

    /// What is in stock, and what can be had of it.
    pub async fn units(&self, p: &wire::Product) -> (i32, i32) {
        let p = self.get(&p.product_id).await.unwrap();
        (p.stock(), p.available())
    }

    pub async fn assert_all_is_well(&self) {
        let wrong = self.catalog.clone().check_stock(system("catalog")).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

pub async fn hold(catalog: &Catalog, n: usize, lines: Vec<wire::StockLine>) -> Result<wire::StockHold> {
    let ttl = Some(prost_types::Duration { seconds: TTL, nanos: 0 });
    catalog.hold_stock(system("order"), wire::HoldStockRequest { hold_id: order(n), lines, ttl }).await
}

pub async fn confirm(catalog: &Catalog, n: usize, lines: Vec<wire::StockLine>) -> Result<wire::StockHold> {
    catalog.confirm_stock(system("order"), wire::ConfirmStockRequest { hold_id: order(n), lines }).await
}

pub async fn release(catalog: &Catalog, n: usize, lines: Vec<wire::StockLine>) -> Result<wire::StockHold> {
    catalog.release_stock(system("order"), wire::ReleaseStockRequest { hold_id: order(n), lines }).await
}

pub async fn expire(catalog: &Arc<Catalog>) {
    let cx = system("catalog");
    let later = cx.now + std::time::Duration::from_secs(TTL as u64 + 60);
    catalog.clone().expire_holds(at(cx, later)).await.unwrap();
}
