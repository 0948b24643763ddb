//! A server that stands in for a provider: it checks who asks, answers a repeated key as it did the first time, and can be
//! made to fail or to fall silent after it has done what was asked.

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::Notify;

/// What goes wrong with the next POST.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    /// It is done, and the reply gets lost.
    Drop,
    /// Nothing is done.
    Say(u16),
}

pub trait Api: Send + Sync + 'static {
    fn admits(&self, headers: &HeaderMap) -> bool;
    /// An error in the provider's shape.
    fn error(&self, code: &str) -> Value;
    /// What a key is told that stands for another request.
    fn other_request(&self) -> (u16, Value);
    fn answer(&self, books: &mut Books, ask: &Ask) -> (u16, Value);
    /// Whether trouble leaves a POST alone.
    fn spares(&self, _ask: &Ask) -> bool {
        false
    }
}

pub struct Ask {
    pub method: String,
    /// Without `/v1/`.
    pub path: String,
    pub raw: String,
    pub query: BTreeMap<String, String>,
    pub form: BTreeMap<String, String>,
    pub json: Value,
    pub key: Option<String>,
}

impl Ask {
    pub fn pieces(&self) -> Vec<&str> {
        self.path.split('/').collect()
    }

    pub fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }

    pub fn number(&self, name: &str) -> i64 {
        self.field(name).parse().unwrap_or(0)
    }
}

#[derive(Default)]
pub struct Books {
    /// By the provider's ids.
    pub objects: BTreeMap<String, Value>,
    pub asked: Vec<String>,
    /// Whether what was made can't be searched for yet.
    pub lags: bool,
    /// Who confirms next.
    pub payer: String,
    replies: BTreeMap<String, (String, u16, Value)>,
    trouble: VecDeque<Trouble>,
}

impl Books {
    pub fn fresh(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.objects.len() + 1)
    }

    pub fn forget_keys(&mut self) {
        self.replies.clear();
    }

    pub fn of<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |(id, _)| id.starts_with(prefix)).map(|(_, object)| object)
    }
}

pub struct Fake {
    api: Box<dyn Api>,
    books: Mutex<Books>,
    pub dropped: Notify,
    pub url: String,
}

impl Fake {
    pub async fn start(api: impl Api) -> (Arc<Fake>, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (api, books, dropped) = (Box::new(api), Mutex::default(), Notify::new());
        let fake = Arc::new(Fake { api, books, dropped, url: url.clone() });
        let app = Router::new().fallback(answer).with_state(fake.clone());
        #[expect(clippy::disallowed_methods, reason = "a test's own server, gone with its runtime")]
        tokio::spawn(async move { axum::serve(listener, app).await });
        (fake, url)
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    pub fn next(&self, trouble: Trouble) {
        self.books().trouble.push_back(trouble);
    }

    /// How often a path that ends so was posted to.
    pub fn posts(&self, end: &str) -> usize {
        self.books().asked.iter().filter(|a| a.starts_with("POST ") && a.ends_with(end)).count()
    }
}

pub fn pairs(text: &str) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://x/?{text}")).unwrap();
    url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}

/// A text is answered as it is.
fn say(status: u16, body: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    match body {
        Value::String(text) => (status, text).into_response(),
        body => (status, Json(body)).into_response(),
    }
}

async fn answer(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let kind = head.headers.get("content-type").map_or("", |v| v.to_str().unwrap());
    let key = ["idempotency-key", "paypal-request-id"].iter().find_map(|name| head.headers.get(*name));
    let ask = Ask {
        method: head.method.to_string(),
        path: head.uri.path().trim_start_matches("/v1/").to_owned(),
        query: pairs(head.uri.query().unwrap_or_default()),
        form: if kind.contains("form") { pairs(&body) } else { BTreeMap::new() },
        json: serde_json::from_str(&body).unwrap_or_default(),
        key: key.map(|v| v.to_str().unwrap().to_owned()),
        raw: body,
    };
    let (status, value, drop) = {
        let mut books = fake.books();
        books.asked.push(format!("{} {}", ask.method, ask.path));
        if !fake.api.admits(&head.headers) {
            return say(401, fake.api.error("UNAUTHORIZED_KEY"));
        }
        let troubled = ask.method == "POST" && !fake.api.spares(&ask);
        let trouble = if troubled { books.trouble.pop_front() } else { None };
        if let Some(Trouble::Say(status)) = trouble {
            return say(status, fake.api.error("IN_TROUBLE"));
        }
        let (status, value) = once(&fake, &mut books, &ask);
        (status, value, trouble.is_some())
    };
    if drop {
        fake.dropped.notify_one();
        std::future::pending::<()>().await;
    }
    say(status, value)
}

/// The same key again gets the same reply, and has no second effect.
fn once(fake: &Fake, books: &mut Books, ask: &Ask) -> (u16, Value) {
    let Some(key) = &ask.key else { return fake.api.answer(books, ask) };
    let asked = format!("{} {}", ask.path, ask.raw);
    match books.replies.get(key) {
        Some((first, status, reply)) if *first == asked => (*status, reply.clone()),
        Some(_) => fake.api.other_request(),
        None => {
            let (status, reply) = fake.api.answer(books, ask);
            books.replies.insert(key.clone(), (asked, status, reply.clone()));
            (status, reply)
        }
    }
}
