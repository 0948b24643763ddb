//! A cart service of its own for each test, with a catalogue that offers what the test says.

use cart::{Carts, Config, MIGRATIONS};
use jangteo_core::{Error, Result};
use proto::{
    Client,
    google::r#type::Money,
    jangteo::{
        cart::v1::{self as wire, cart_service::Api},
        catalog::v1::{GetOffersRequest, GetOffersResponse, Offer, ProductStatus, catalog_service},
    },
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use testbed::{Fake, Stores};
pub use testbed::{Kind, anonymous, at, by, keyed, system};

pub const MINSU: &str = "usr_00000000000000000000000000000001";
pub const EMMA: &str = "usr_00000000000000000000000000000002";
pub const SELLER: &str = "usr_00000000000000000000000000000051";
pub const DAY: u64 = 24 * 60 * 60;

pub struct World {
    pub carts: Arc<Carts>,
    pub stores: Stores,
    pub shop: Arc<Shop>,
}

/// What the catalogue offers.
#[derive(Default)]
pub struct Shop {
    offers: Mutex<HashMap<String, Offer>>,
    pub away: AtomicBool,
}

pub fn prd(n: u32) -> String {
    format!("prd_{n:032x}")
}

pub fn krw(units: i64) -> Money {
    Money { currency_code: "KRW".into(), units, nanos: 0 }
}

impl Shop {
    /// On sale by [`SELLER`], ten of them.
    pub fn offer(&self, n: u32, price: i64) -> String {
        self.put(n, |o| o.price = Some(krw(price)))
    }

    pub fn put(&self, n: u32, change: impl FnOnce(&mut Offer)) -> String {
        let mut offers = self.offers.lock().unwrap();
        let offer = offers.entry(prd(n)).or_insert_with(|| Offer {
            product_id: prd(n),
            seller_id: SELLER.into(),
            title: format!("thing {n}"),
            price: Some(krw(100)),
            status: ProductStatus::OnSale.into(),
            available: Some(1000),
            ..Offer::default()
        });
        change(offer);
        prd(n)
    }

    pub fn withdraw(&self, n: u32) {
        self.offers.lock().unwrap().remove(&prd(n));
    }

    fn answer(&self, req: GetOffersRequest) -> Result<GetOffersResponse> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::unavailable("catalog"));
        }
        assert!(!req.product_ids.is_empty() && req.product_ids.len() <= 100);
        let offers = self.offers.lock().unwrap();
        Ok(GetOffersResponse { offers: req.product_ids.iter().filter_map(|id| offers.get(id).cloned()).collect() })
    }
}

pub async fn world(kind: Kind) -> World {
    let stores = Stores::open(kind, "cart", MIGRATIONS).await;
    let shop = Arc::new(Shop::default());
    let asked = shop.clone();
    let catalog = Fake::new().on(move |req: GetOffersRequest| {
        let answer = asked.answer(req);
        async move { answer }
    });
    let catalog = catalog_service::Client::new(catalog.channel());
    let carts = Arc::new(Carts::new(stores.db(), stores.pages(), catalog, &Config::default()));
    World { carts, stores, shop }
}

impl World {
    pub async fn add(&self, user: &str, n: u32, quantity: i32) -> Result<wire::Cart> {
        self.carts.add_cart_item(by(user), add(n, quantity)).await
    }

    pub async fn cart(&self, user: &str) -> wire::Cart {
        self.carts.get_cart(by(user), wire::GetCartRequest::default()).await.unwrap()
    }

    pub async fn guest_cart(&self, token: &str) -> Result<wire::Cart> {
        self.carts.get_cart(anonymous(), wire::GetCartRequest { guest_token: token.into() }).await
    }

    /// A new guest's token, with one product in the cart.
    pub async fn guest(&self, n: u32, quantity: i32) -> String {
        self.carts.add_cart_item(anonymous(), add(n, quantity)).await.unwrap().guest_token
    }

    pub async fn merge(&self, user: &str, token: &str) -> Result<wire::MergeCartResponse> {
        self.carts.merge_cart(by(user), wire::MergeCartRequest { guest_token: token.into() }).await
    }

    pub async fn check(&self) -> Vec<String> {
        self.carts.clone().check_carts(system("cart")).await.unwrap()
    }
}

pub fn add(n: u32, quantity: i32) -> wire::AddCartItemRequest {
    wire::AddCartItemRequest { product_id: prd(n), quantity, ..Default::default() }
}

pub fn guest_add(token: &str, n: u32, quantity: i32) -> wire::AddCartItemRequest {
    wire::AddCartItemRequest { guest_token: token.into(), ..add(n, quantity) }
}

/// Product numbers and quantities, in order.
pub fn lines(cart: &wire::Cart) -> Vec<(u32, i32)> {
    let number = |id: &str| u32::from_str_radix(id.trim_start_matches("prd_"), 16).unwrap();
    cart.sellers.iter().flat_map(|s| &s.lines).map(|l| (number(&l.product_id), l.quantity)).collect()
}

pub fn total(cart: &wire::Cart) -> i64 {
    cart.total.as_ref().unwrap().units
}
