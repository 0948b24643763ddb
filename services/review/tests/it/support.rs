//! A review service of its own for each test, with orders that are as the test says.

use jangteo_core::{Error, Result, Time};
use kit::Received;
use proto::{
    Client, Event,
    jangteo::{
        order::v1::{GetTradeRequest, OrderPartConfirmed, OrderStatus, Trade, order_service},
        review::v1::{self as wire, review_service::Api},
    },
};
use review::{Config, MIGRATIONS, Reviews};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use testbed::{Fake, Stores};
pub use testbed::{Kind, anonymous, at, by, keyed, system, with_roles};

pub const DAY: u64 = 24 * 60 * 60;
/// About when the test bed's calls arrive.
const NOW_MS: u64 = 1_760_000_000_000;

/// A person who registered so many days ago: a UUIDv7 by hand.
pub fn person(n: u64, days: u64) -> String {
    format!("usr_{:012x}70008{n:015x}", NOW_MS - days * DAY * 1000)
}

pub fn buyer() -> String {
    person(1, 400)
}

pub fn seller() -> String {
    person(2, 400)
}

pub fn prd(n: u64) -> String {
    format!("prd_{NOW_MS:012x}70008{n:015x}")
}

pub fn ord(n: u64) -> String {
    format!("ord_{n:032x}")
}

pub struct World {
    pub reviews: Arc<Reviews>,
    pub stores: Stores,
    /// What order says of trades whose event has not arrived.
    pub orders: Arc<Mutex<HashMap<String, Trade>>>,
    versions: Mutex<HashMap<String, i64>>,
}

pub async fn world(kind: Kind) -> World {
    world_with(kind, Config::default()).await
}

pub async fn world_with(kind: Kind, config: Config) -> World {
    let stores = Stores::open(kind, "review", MIGRATIONS).await;
    let orders: Arc<Mutex<HashMap<String, Trade>>> = Arc::default();
    let known = orders.clone();
    let order = Fake::new().on(move |req: GetTradeRequest| {
        let found = known.lock().unwrap().get(&req.order_id).filter(|t| t.part == req.part).cloned();
        async move { found.ok_or_else(|| Error::not_found("order", &req.order_id)) }
    });
    let order = order_service::Client::new(order.channel());
    let reviews = Arc::new(Reviews::new(stores.db(), stores.keyring(), stores.pages(), order, config));
    World { reviews, stores, orders, versions: Mutex::default() }
}

pub fn trade(n: u64, status: OrderStatus) -> Trade {
    Trade {
        order_id: ord(n),
        part: 1,
        buyer_id: buyer(),
        seller_id: seller(),
        product_ids: vec![prd(1), prd(2)],
        status: status.into(),
    }
}

pub fn say(n: u64, rating: i32, text: &str) -> wire::WriteReviewRequest {
    wire::WriteReviewRequest { order_id: ord(n), part: 1, rating, text: text.into(), ..Default::default() }
}

/// The time of a call so many days from now.
pub fn in_days(days: u64) -> Time {
    anonymous().now + Duration::from_secs(days * DAY)
}

impl World {
    /// Delivers an event, as the next of its order, twice.
    pub async fn hear<E: Event, F, Fut>(&self, event: &E, now: Time, handler: F)
    where
        F: Fn(Arc<Reviews>, Received<E>) -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        let version = {
            let mut versions = self.versions.lock().unwrap();
            let version = versions.entry(event.aggregate_id().to_owned()).or_insert(0);
            *version += 1;
            *version
        };
        for _ in 0..2 {
            let ev = Received::deliver("review", "review.order", event.clone(), version, now);
            handler(self.reviews.clone(), ev).await.unwrap();
        }
    }

    pub async fn confirm(&self, n: u64) {
        self.confirm_of(n, &buyer(), &seller(), system("order").now).await;
    }

    pub async fn confirm_of(&self, n: u64, buyer: &str, seller: &str, when: Time) {
        let event = &OrderPartConfirmed {
            order_id: ord(n),
            buyer_id: buyer.into(),
            part: 1,
            seller_id: seller.into(),
            product_ids: vec![prd(1), prd(2)],
            ..Default::default()
        };
        self.hear(event, when, Reviews::part_confirmed).await;
    }

    pub async fn write(&self, user: &str, req: wire::WriteReviewRequest) -> Result<wire::Review> {
        self.reviews.write_review(by(user), req).await
    }

    /// A trade of its own, where the buyer rates the seller and the seller says nothing but 3.
    pub async fn rate(&self, n: u64, buyer: &str, seller: &str, rating: i32) -> wire::Review {
        self.confirm_of(n, buyer, seller, system("order").now).await;
        self.write(seller, say(n, 3, "")).await.unwrap();
        self.write(buyer, say(n, rating, "")).await.unwrap()
    }

    pub async fn received(&self, user: &str) -> Vec<wire::Review> {
        let req = wire::ListUserReviewsRequest { user_id: user.into(), page_size: 100, ..Default::default() };
        self.reviews.list_user_reviews(anonymous(), req).await.unwrap().reviews
    }

    pub async fn temperature(&self, user: &str) -> (f64, Vec<wire::TemperatureChange>) {
        let req = wire::ListTemperatureChangesRequest { user_id: user.into(), page_size: 100, ..Default::default() };
        let found = self.reviews.list_temperature_changes(anonymous(), req).await.unwrap();
        (found.degrees, found.changes)
    }

    pub async fn trust(&self, user: &str) -> wire::Trust {
        let req = wire::GetTrustRequest { user_id: user.into() };
        self.reviews.get_trust(anonymous(), req).await.unwrap()
    }

    pub async fn get(&self, cx: jangteo_core::Call, review_id: &str) -> Result<wire::Review> {
        self.reviews.get_review(cx, wire::GetReviewRequest { review_id: review_id.into() }).await
    }

    pub async fn check(&self) -> Vec<String> {
        let mut wrong = self.reviews.clone().check_reviews(system("review")).await.unwrap();
        wrong.extend(self.reviews.clone().check_temperatures(system("review")).await.unwrap());
        wrong
    }
}

pub fn moderator() -> jangteo_core::Call {
    with_roles("usr_moderator", &["user", "moderator"])
}
