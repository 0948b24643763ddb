//! People and things to play with.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use testkit::{Client, Market, Reply, Request, Setup, Topology, eventually};

/// How long an event or a peer's return may take, on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

pub const PASSWORD: &str = "seven-quiet-magpies";
pub const ADMIN: &str = "admin@market.example";

/// A market without the limits by address, since every test calls from one; see `input` for the limits themselves.
pub fn setup(topology: Topology) -> Setup {
    let services = crate::services::SERVICES.iter().map(|entry| entry.name.to_owned());
    Market::of(env!("CARGO_BIN_EXE_jangteo"), topology, services)
        .env("JANGTEO_EDGE__LIMITS__ANONYMOUS_PER_MINUTE", "0")
        .env("JANGTEO_EDGE__LIMITS__SIGNED_IN_PER_MINUTE", "0")
        .env("JANGTEO_EDGE__LIMITS__LOGIN_PER_MINUTE", "0")
        .env("JANGTEO_EDGE__LIMITS__COSTLY_PER_HOUR", "0")
        .env("JANGTEO_AUTH__LIMITS__NETWORK", "100000")
        .env("JANGTEO_AUTH__ADMIN_EMAIL", ADMIN)
        .env("JANGTEO_AUTH__ADMIN_MUST_VERIFY", "false")
        .env("JANGTEO_AUTH__MAIL__FOLDER", "{folder}/mail")
        .env("JANGTEO_MEDIA__FOLDER", "{folder}/media")
        .env("JANGTEO_PAYMENT__PROVIDERS__SANDBOX__ENABLED", "true")
        .env("JANGTEO_SHIPPING__SANDBOX", "true")
        .env("JANGTEO_SHIPPING__SANDBOX_STEP_MS", "50")
        .env("JANGTEO_NOTIFICATION__SANDBOX", "{folder}/notices")
}

pub async fn market(topology: Topology) -> Market {
    setup(topology).start().await
}

/// Somebody with an account, signed in.
#[derive(Debug, Clone)]
pub struct Person {
    pub email: String,
    pub user_id: String,
    pub session_id: String,
    pub access: String,
    pub refresh: String,
}

pub fn email() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("person{}@market.example", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Registers somebody new and signs them in.
pub async fn join(client: &Client) -> Person {
    join_as(client, &email()).await
}

pub async fn join_as(client: &Client, email: &str) -> Person {
    let body = json!({"email": email, "password": PASSWORD, "displayName": "Nari"});
    accepted(|| client.post("/v1/auth/register", body.clone())).await;
    login(client, email).await
}

/// Opens another session.
pub async fn login(client: &Client, email: &str) -> Person {
    let proofs = json!({"email": email, "password": PASSWORD});
    let reply = accepted(|| client.post("/v1/auth/login", proofs.clone())).await;
    Person {
        email: email.to_owned(),
        user_id: reply.str("userId").to_owned(),
        session_id: reply.str("sessionId").to_owned(),
        access: reply.str("accessToken").to_owned(),
        refresh: reply.str("refreshToken").to_owned(),
    }
}

/// A product as a seller would describe it.
pub fn lamp() -> Value {
    json!({
        "title": "Desk lamp, warm light",
        "description": "Two years old, the switch is a little stiff.",
        "price": {"currencyCode": "KRW", "units": "15000"},
        "categoryId": "audio",
        "regionId": "seoul",
        "condition": "CONDITION_GOOD",
        "stock": 3,
        "tags": ["lamp", "desk"]
    })
}

/// Lists a lamp; gives its id.
pub async fn sell(client: &Client, seller: &Person) -> String {
    client.post("/v1/products", lamp()).bearer(&seller.access).send().await.expect(200).str("productId").to_owned()
}

/// What a seller offers, as anybody sees it.
pub async fn offers(client: &Client, seller: &Person) -> Vec<Value> {
    let query = [("sellerId", seller.user_id.as_str()), ("pageSize", "100")];
    client.get("/v1/products").query(&query).send().await.expect(200).list("products").to_vec()
}

/// The first 200 of a request that may be repeated: it may run out of time, or its service may be starting.
pub async fn accepted(request: impl Fn() -> Request) -> Reply {
    eventually(SOON, async || {
        let reply = request().send().await;
        match reply.status {
            200 => Ok(reply),
            503 | 504 => Err(reply),
            409 if reply.reason() == Some("CONTENTION") => Err(reply),
            _ => panic!("{reply:?}"),
        }
    })
    .await
}
