//! A market over HTTP, and people in it.

use jangteo_core::{Error, Result};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// So often a request is sent again, after a pause that grows.
const REPEATS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

type Call<'a> = dyn Fn() -> reqwest::RequestBuilder + Send + Sync + 'a;

#[derive(Clone)]
pub struct Shop {
    http: reqwest::Client,
    url: String,
}

/// What a request came to: 200 and the answer, or the error's status, reason and metadata.
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub took: Duration,
    /// How often the same request was sent again because the market asked for that.
    pub repeats: u32,
}

impl Answer {
    pub fn is_ok(&self) -> bool {
        self.status == 200
    }

    /// Otherwise the same request under the same key will tell.
    pub fn is_decided(&self) -> bool {
        !matches!(self.status, 429 | 503 | 504) && self.outcome() != "CONTENTION"
    }

    /// `ok`, or the reason of the refusal.
    pub fn outcome(&self) -> String {
        if self.is_ok() {
            return "ok".to_owned();
        }
        let details = self.body["details"].as_array().into_iter().flatten();
        let Some((reason, info)) = details.filter_map(|d| Some((d["reason"].as_str()?, d))).next() else {
            return format!("HTTP {}", self.status);
        };
        match info["metadata"]["decline_reason"].as_str() {
            Some(why) => format!("{reason}: {why}"),
            None => reason.to_owned(),
        }
    }

    pub fn text(&self, field: &str) -> Result<String> {
        let text = self.body[field].as_str().filter(|_| self.is_ok());
        text.map(str::to_owned).ok_or_else(|| Error::internal(format!("{field}: {} {}", self.status, self.body)))
    }
}

#[derive(Clone)]
pub struct Person {
    pub token: String,
}

impl Shop {
    pub fn at(url: String) -> Result<Shop> {
        // reqwest panics without a provider; somebody else's earlier choice is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().map_err(Error::internal)?;
        Ok(Shop { http, url })
    }

    pub async fn is_ready(&self) -> bool {
        self.http.get(format!("{}/readyz", self.url)).send().await.is_ok_and(|r| r.status().is_success())
    }

    pub async fn get(&self, path: &str, person: Option<&Person>) -> Result<Answer> {
        self.send(&|| self.http.get(format!("{}{path}", self.url)), person, None).await
    }

    pub async fn post(&self, path: &str, body: &Value, person: Option<&Person>, key: Option<&str>) -> Result<Answer> {
        self.send(&|| self.http.post(format!("{}{path}", self.url)).json(body), person, key).await
    }

    /// With a key, as a client should: again while the market asks for patience.
    async fn send(&self, call: &Call<'_>, who: Option<&Person>, key: Option<&str>) -> Result<Answer> {
        let (begun, mut repeats) = (Instant::now(), 0);
        loop {
            let mut request = call();
            if let Some(person) = who {
                request = request.bearer_auth(&person.token);
            }
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let reply = request.send().await.map_err(Error::internal)?;
            let status = reply.status().as_u16();
            let body = reply.json().await.unwrap_or(Value::Null);
            let answer = Answer { status, body, took: begun.elapsed(), repeats };
            if key.is_none() || repeats == REPEATS || answer.is_decided() {
                return Ok(answer);
            }
            repeats += 1;
            tokio::time::sleep(PAUSE * repeats).await;
        }
    }

    /// Registers somebody new and signs them in.
    pub async fn join(&self) -> Result<Person> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (n, run) = (NEXT.fetch_add(1, Ordering::Relaxed), std::process::id());
        let email = format!("racer{n}.{run}.{}@demo.example", unique());
        let proofs = json!({"email": email, "password": "seven-quiet-magpies"});
        let mut account = proofs.clone();
        account["displayName"] = json!(format!("Racer {n}"));
        let made = self.post("/v1/auth/register", &account, None, None).await?;
        if !made.is_ok() {
            return Err(Error::internal(format!("registering: {} {}", made.status, made.body)));
        }
        let session = self.post("/v1/auth/login", &proofs, None, None).await?;
        Ok(Person { token: session.text("accessToken")? })
    }

    /// Lists something and gives its id.
    pub async fn sell(&self, seller: &Person, title: &str, stock: u32) -> Result<String> {
        let product = json!({
            "title": title, "description": "for the race", "price": {"currencyCode": "KRW", "units": "12000"},
            "categoryId": "audio", "regionId": "seoul", "condition": "CONDITION_GOOD", "stock": stock,
        });
        self.post("/v1/products", &product, Some(seller), None).await?.text("productId")
    }

    /// A card that the sandbox approves.
    pub async fn card(&self, person: &Person) -> Result<String> {
        let card = json!({"card": {"number": "4242424242424242", "expiryMonth": 12, "expiryYear": 2035}});
        self.post("/v1/payments/methods", &card, Some(person), None).await?.text("paymentMethodId")
    }
}

/// Tells this run's people from those of earlier ones.
fn unique() -> String {
    jangteo_core::Clock::now(&jangteo_core::SystemClock).timestamp_micros().to_string()
}
