//! The demo market: people, their listings and likes, written by hand in `seed/*.json` and loaded through the same
//! calls that clients make. The regions and the category tree are not here: they are the catalogue's own.
//!
//! Running it again changes nothing: accounts that exist are signed in to, listings that exist are left alone, and
//! each call carries a key of its own. The first person's profile is filled in last, as the sign that all is there.

use futures::{StreamExt, TryStreamExt, stream};
use jangteo_core::{Call, Code, Error, Result, upper_snake};
use kit::{Config, Market};
use proto::{
    Client,
    jangteo::{
        auth::v1::{LoginRequest, RegisterRequest, TokenSet, auth_service},
        catalog::v1::{self as catalog, Condition, ParcelSize, ProductStatus, catalog_service},
        user::v1::{GetUserRequest, UpdateMeRequest, user_service},
    },
};
use serde::Deserialize;
use std::{collections::HashMap, time::Duration};

/// The first person of `seed/people.json`; all of them have the same password.
pub const EMAIL: &str = "minsu@jangteo.example";
pub const PASSWORD: &str = "jangteo-demo-2026";

/// Password hashes are slow by design; so many are made at a time.
const SIGN_INS: usize = 4;
/// A person likes about one listing in so many.
const LIKES: usize = 30;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    key: String,
    name: String,
    region: String,
    locale: String,
    bio: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Never changed and never used again: it is the key of the calls.
    key: String,
    seller: String,
    category: String,
    /// Won.
    price: i64,
    condition: String,
    stock: i32,
    tags: Vec<String>,
    title: String,
    description: String,
}

fn people() -> Vec<Person> {
    serde_json::from_str(include_str!("seed/people.json")).expect("a test reads it")
}

fn listings() -> Vec<Listing> {
    serde_json::from_str(include_str!("seed/listings.json")).expect("a test reads it")
}

fn email(key: &str) -> String {
    format!("{key}@jangteo.example")
}

impl Listing {
    fn condition(&self) -> Condition {
        Condition::from_str_name(&format!("CONDITION_{}", upper_snake(&self.condition))).unwrap_or_default()
    }

    /// As its category is usually packed; nothing is said of what no parcel carrier takes.
    fn parcel(&self) -> Option<ParcelSize> {
        let (weight_grams, sum_cm) = match self.category.as_str() {
            "phones" | "wearables" | "watches-jewelry" | "skincare" | "perfume" | "tickets" => (500, 40),
            "novels" | "comics" | "textbooks" | "kids-books" | "records" => (1_000, 60),
            "women-clothes" | "men-clothes" | "kids-clothes" | "shoes" | "bags" | "hiking" => (1_500, 80),
            "tablets" | "cameras" | "audio" | "games" | "toys" | "figures" | "board-games" => (2_000, 80),
            "computers" | "kitchen-appliances" | "lighting" | "plants" | "food" | "dog" | "cat" => (5_000, 120),
            "cleaning-appliances" | "seasonal-appliances" | "camping" => (12_000, 160),
            _ => return None,
        };
        Some(ParcelSize { weight_grams, sum_cm })
    }

    /// Most are on sale; some are promised or gone, as in any market.
    fn status(&self) -> ProductStatus {
        match self.key.parse().unwrap_or(1) {
            n if n % 17 == 0 => ProductStatus::Sold,
            n if n % 11 == 0 => ProductStatus::Reserved,
            _ => ProductStatus::OnSale,
        }
    }
}

/// Whether a person likes a listing: the same on every run.
fn likes(person: usize, listing: usize) -> bool {
    // Fibonacci hashing: neighbours have little in common.
    let mixed = (person * 1000 + listing + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32).is_multiple_of(LIKES)
}

struct Seed<'a> {
    market: &'a Market,
    auth: auth_service::Client,
    users: user_service::Client,
    catalog: catalog_service::Client,
}

/// Refuses stores that may be somebody's real ones.
pub fn check(config: &Config) -> Result<()> {
    if config.is_embedded() || config.demo_accounts {
        return Ok(());
    }
    let text = "the demo accounts have a published password; JANGTEO_DEMO_ACCOUNTS=true lets them in all the same";
    Err(Error::new(Code::FailedPrecondition, "DEMO_REFUSED", text))
}

/// Loads what is missing of the demo data.
pub async fn run(market: &Market) -> Result<()> {
    let seed = Seed {
        market,
        auth: Client::new(market.channel("gateway", "auth")?),
        users: Client::new(market.channel("gateway", "user")?),
        catalog: Client::new(market.channel("gateway", "catalog")?),
    };
    seed.keys().await;
    let people = people();
    let first = seed.login(EMAIL).await?;
    if let Some(first) = &first
        && seed.is_done(first).await?
    {
        tracing::info!("the demo data is there already");
        return Ok(());
    }
    let sessions = seed.sign_in(&people, first.is_none()).await?;
    let products = seed.list(&people, &sessions).await?;
    seed.like(&people, &sessions, &products).await?;
    for person in people.iter().rev() {
        seed.introduce(person, &sessions[&person.key]).await?;
    }
    tracing::info!(people = people.len(), listings = products.len(), "demo data loaded");
    Ok(())
}

impl Seed<'_> {
    /// Waits for the keys that tokens are verified with; without them every signed call would be refused.
    async fn keys(&self) {
        for _ in 0..100 {
            if self.market.verifier().has_keys() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn call(&self, session: Option<&TokenSet>) -> Call {
        let mut cx = Call::system("gateway", "seed", self.market.clock().now());
        cx.token = session.map(|s| s.access_token.as_str().into());
        cx
    }

    async fn login(&self, email: &str) -> Result<Option<TokenSet>> {
        let req = LoginRequest { email: email.to_owned(), password: PASSWORD.to_owned(), ..Default::default() };
        match self.auth.login(&self.call(None), req).await {
            Ok(session) => Ok(Some(session)),
            Err(e) if e.code() == Code::Unauthenticated => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn is_done(&self, first: &TokenSet) -> Result<bool> {
        let req = GetUserRequest { user_id: first.user_id.clone() };
        Ok(!self.users.get_user(&self.call(None), req).await?.bio.is_empty())
    }

    /// Everybody's session, by their key. Registering an address that has an account does nothing but send its
    /// owner a mail, so it is tried only where signing in failed, or where nobody is there yet.
    async fn sign_in(&self, people: &[Person], fresh: bool) -> Result<HashMap<String, TokenSet>> {
        let sessions = stream::iter(people.iter().cloned()).map(|person| async move {
            let email = email(&person.key);
            if !fresh && let Some(session) = self.login(&email).await? {
                return Ok((person.key, session));
            }
            let req = RegisterRequest {
                email: email.clone(),
                password: PASSWORD.to_owned(),
                display_name: person.name,
                locale: person.locale,
                request_id: format!("seed-{}", person.key),
            };
            self.auth.register(&self.call(None), req).await?;
            let req = LoginRequest { email, password: PASSWORD.to_owned(), ..Default::default() };
            Ok((person.key, self.auth.login(&self.call(None), req).await?))
        });
        sessions.buffer_unordered(SIGN_INS).try_collect().await
    }

    /// The ids of all listings, in the order of the file, which is the order in which they are made.
    async fn list(&self, people: &[Person], sessions: &HashMap<String, TokenSet>) -> Result<Vec<String>> {
        let regions: HashMap<&str, &str> = people.iter().map(|p| (p.key.as_str(), p.region.as_str())).collect();
        let mut there = HashMap::new();
        for (key, session) in sessions {
            there.extend(self.products_of(session).await?.into_iter().map(|(title, id)| ((key.clone(), title), id)));
        }
        let mut ids = Vec::new();
        for listing in listings() {
            if let Some(id) = there.remove(&(listing.seller.clone(), listing.title.clone())) {
                ids.push(id);
                continue;
            }
            let cx = self.call(Some(&sessions[&listing.seller]));
            let (condition, status, parcel) = (listing.condition().into(), listing.status(), listing.parcel());
            let req = catalog::CreateProductRequest {
                title: listing.title,
                description: listing.description,
                price: Some(jangteo_core::Money::new(listing.price, jangteo_core::Currency::KRW).into()),
                category_id: listing.category,
                region_id: regions[listing.seller.as_str()].to_owned(),
                condition,
                stock: Some(listing.stock),
                tags: listing.tags,
                parcel,
                request_id: format!("seed-{}", listing.key),
                ..Default::default()
            };
            let product_id = self.catalog.create_product(&cx, req).await?.product_id;
            self.turn(&cx, &product_id, &listing.key, status).await?;
            ids.push(product_id);
        }
        Ok(ids)
    }

    async fn turn(&self, cx: &Call, product_id: &str, key: &str, status: ProductStatus) -> Result<()> {
        let (product_id, request_id) = (product_id.to_owned(), format!("seed-{key}-status"));
        match status {
            ProductStatus::Reserved => {
                let req = catalog::ReserveProductRequest { product_id, request_id, ..Default::default() };
                self.catalog.reserve_product(cx, req).await?;
            }
            ProductStatus::Sold => {
                let req = catalog::SellProductRequest { product_id, request_id, ..Default::default() };
                self.catalog.sell_product(cx, req).await?;
            }
            ProductStatus::OnSale | ProductStatus::Unspecified => {}
        }
        Ok(())
    }

    /// Title and id of what a person offers already.
    async fn products_of(&self, session: &TokenSet) -> Result<Vec<(String, String)>> {
        let mut req =
            catalog::ListProductsRequest { page_size: 100, seller_id: session.user_id.clone(), ..Default::default() };
        let mut all = Vec::new();
        loop {
            let page = self.catalog.list_products(&self.call(None), req.clone()).await?;
            all.extend(page.products.into_iter().map(|p| (p.title, p.product_id)));
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            req.page_token = page.next_page_token;
        }
    }

    async fn like(&self, people: &[Person], sessions: &HashMap<String, TokenSet>, products: &[String]) -> Result<()> {
        for (n, person) in people.iter().enumerate() {
            let cx = self.call(Some(&sessions[&person.key]));
            for (_, product_id) in products.iter().enumerate().filter(|(m, _)| likes(n, *m)) {
                let req = catalog::LikeProductRequest { product_id: product_id.clone() };
                self.catalog.like_product(&cx, req).await?;
            }
        }
        Ok(())
    }

    /// Fills in the profile, unless its owner has.
    async fn introduce(&self, person: &Person, session: &TokenSet) -> Result<()> {
        if self.is_done(session).await? {
            return Ok(());
        }
        let req = UpdateMeRequest {
            bio: Some(person.bio.clone()),
            region_id: Some(person.region.clone()),
            locale: Some(person.locale.clone()),
            request_id: format!("seed-{}", person.key),
            ..Default::default()
        };
        self.users.update_me(&self.call(Some(session)), req).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_demo_market_is_whole() {
        let (people, listings) = (people(), listings());
        assert!(people.len() >= 20 && listings.len() >= 120);
        assert_eq!(email(&people[0].key), EMAIL);
        let keys: HashSet<_> = listings.iter().map(|l| &l.key).collect();
        assert_eq!(keys.len(), listings.len());
        let titles: HashSet<_> = listings.iter().map(|l| (&l.seller, &l.title)).collect();
        assert_eq!(titles.len(), listings.len(), "a listing is known by its seller and title");
        let sellers: HashSet<_> = listings.iter().map(|l| &l.seller).collect();
        assert_eq!(sellers, people.iter().map(|p| &p.key).collect());
        assert_eq!(people.iter().map(|p| &p.region).collect::<HashSet<_>>().len(), 6);
        for l in &listings {
            assert_ne!(l.condition(), Condition::Unspecified, "{}", l.key);
            assert!(l.price >= 0 && l.stock > 0 && !l.description.is_empty(), "{}", l.key);
            assert!(l.tags.len() <= 10 && l.title.chars().count() <= 100, "{}", l.key);
        }
        assert!(people.iter().all(|p| !p.bio.is_empty()), "a biography is the sign that a person is done");
    }

    #[test]
    fn some_listings_are_liked_and_none_by_all() {
        let count = |m| (0..people().len()).filter(|n| likes(*n, m)).count();
        let counts: Vec<_> = (0..listings().len()).map(count).collect();
        assert!(counts.iter().sum::<usize>() > 100 && counts.iter().all(|c| *c < 15), "{counts:?}");
    }
}
