//! JSON over HTTP for scenarios: short to write, and a failed expectation shows the whole exchange.
//!
//! ```ignore
//! let product = client.post("/v1/products", json!({"title": "lamp"})).bearer(&token).send().await.expect(200);
//! let id = product.str("productId");
//! client.get(format!("/v1/products/{id}")).send().await.expect(200);
//! ```

use std::{fmt, ops::Index, time::Duration};

use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;

/// A client of one base URL; cloning shares the connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub fn new(base: impl Into<String>) -> Client {
        // reqwest panics without a provider; somebody else's earlier choice is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("build an http client");
        Client { http, base: base.into() }
    }

    pub fn get(&self, path: impl AsRef<str>) -> Request {
        self.request(Method::GET, path)
    }

    pub fn delete(&self, path: impl AsRef<str>) -> Request {
        self.request(Method::DELETE, path)
    }

    pub fn post(&self, path: impl AsRef<str>, body: Value) -> Request {
        self.request(Method::POST, path).json(body)
    }

    pub fn patch(&self, path: impl AsRef<str>, body: Value) -> Request {
        self.request(Method::PATCH, path).json(body)
    }

    pub fn request(&self, method: Method, path: impl AsRef<str>) -> Request {
        let line = format!("{method} {}", path.as_ref());
        Request { builder: self.http.request(method, format!("{}{}", self.base, path.as_ref())), line, body: None }
    }
}

/// A request in the making.
pub struct Request {
    builder: reqwest::RequestBuilder,
    line: String,
    body: Option<Vec<u8>>,
}

impl Request {
    /// The access token to send.
    pub fn bearer(self, token: impl AsRef<str>) -> Request {
        self.header("authorization", format!("Bearer {}", token.as_ref()))
    }

    /// The `Idempotency-Key`.
    pub fn key(self, key: impl AsRef<str>) -> Request {
        self.header("idempotency-key", key)
    }

    /// Replaces an earlier value of the header.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Request {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        let value = HeaderValue::from_str(value.as_ref()).expect("a header's value");
        self.builder = self.builder.headers(HeaderMap::from_iter([(name, value)]));
        self
    }

    pub fn query(mut self, pairs: &[(&str, &str)]) -> Request {
        self.builder = self.builder.query(pairs);
        self.line = format!("{} {pairs:?}", self.line);
        self
    }

    pub fn json(self, body: Value) -> Request {
        self.header("content-type", "application/json").raw(body.to_string())
    }

    /// A body as it is, which need not be JSON.
    pub fn raw(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// Sends it; panics when no answer comes.
    pub async fn send(self) -> Reply {
        let line = self.line.clone();
        self.try_send().await.unwrap_or_else(|error| panic!("{line}: {error:?}"))
    }

    /// Sends it; an error means that no answer came, as from a process that is being killed.
    pub async fn try_send(self) -> Result<Reply, reqwest::Error> {
        let (request, answer) = self.head().await?;
        Reply::read(request, answer).await
    }

    /// Opens a stream whose messages come one a line; panics when no answer comes.
    pub async fn open(self) -> Lines {
        let line = self.line.clone();
        let opened = async {
            let (request, answer) = self.header("accept", "application/x-ndjson").head().await?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            if status != 200 {
                return Ok(Lines { head: Reply::read(request, answer).await?, answer: None, rest: Vec::new() });
            }
            let head = Reply { request, status, headers, text: String::new(), json: Value::Null };
            Ok(Lines { head, answer: Some(answer), rest: Vec::new() })
        };
        opened.await.unwrap_or_else(|error: reqwest::Error| panic!("{line}: {error:?}"))
    }

    /// What was asked, and the answer as far as its headers.
    async fn head(self) -> Result<(String, reqwest::Response), reqwest::Error> {
        let body = self.body.unwrap_or_default();
        // Enough of a body to tell which it was.
        let request = format!("{} {}", self.line, String::from_utf8_lossy(&body[..body.len().min(4096)]));
        let builder = if body.is_empty() { self.builder } else { self.builder.body(body) };
        Ok((request, builder.send().await?))
    }
}

/// A stream of JSON messages; those of a refused request are none.
pub struct Lines {
    /// Its status and headers; of a refusal, the whole.
    pub head: Reply,
    answer: Option<reqwest::Response>,
    rest: Vec<u8>,
}

impl Lines {
    /// The next message; none at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if let Ok(message) = serde_json::from_slice(&line) {
                    return Some(message);
                }
                continue; // blank, to keep the connection alive
            }
            let more = self.answer.as_mut()?.chunk().await;
            match more.unwrap_or_else(|error| panic!("{:?}: {error:?}", self.head)) {
                Some(bytes) => self.rest.extend(bytes),
                None => return None,
            }
        }
    }
}

/// An answer. `reply["field"]` reads its JSON, which is `null` when the body is something else.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub json: Value,
    pub text: String,
    request: String,
}

impl Reply {
    async fn read(request: String, answer: reqwest::Response) -> Result<Reply, reqwest::Error> {
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { request, status, headers, text, json })
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert!(self.status == status, "expected {status}\n{self:?}");
        self
    }

    /// An error in the one shape that every error has, with this status and reason.
    #[track_caller]
    pub fn expect_error(self, status: u16, reason: &str) -> Reply {
        assert!(self.status == status, "expected {status} {reason}\n{self:?}");
        assert!(self.reason() == Some(reason), "expected the reason {reason}\n{self:?}");
        assert!(self.json["code"].is_i64() && self.json["message"].is_string(), "not a google.rpc.Status\n{self:?}");
        self
    }

    /// The reason of the one `ErrorInfo`.
    pub fn reason(&self) -> Option<&str> {
        self.detail("google.rpc.ErrorInfo")?["reason"].as_str()
    }

    /// The first error detail of a type.
    pub fn detail(&self, type_name: &str) -> Option<&Value> {
        self.json["details"]
            .as_array()?
            .iter()
            .find(|detail| detail["@type"].as_str().is_some_and(|t| t.rsplit('/').next() == Some(type_name)))
    }

    /// The JSON paths that a `BadRequest` names.
    pub fn violations(&self) -> Vec<String> {
        let violations = self.detail("google.rpc.BadRequest").and_then(|detail| detail["fieldViolations"].as_array());
        violations.into_iter().flatten().filter_map(|v| v["field"].as_str().map(str::to_owned)).collect()
    }

    /// A string of the answer, by its JSON pointer (`/items/0/title`) or top-level name.
    #[track_caller]
    pub fn str(&self, name: &str) -> &str {
        let value = if name.starts_with('/') { self.json.pointer(name) } else { self.json.get(name) };
        value.and_then(Value::as_str).unwrap_or_else(|| panic!("no string {name}\n{self:?}"))
    }

    #[track_caller]
    pub fn list(&self, name: &str) -> &[Value] {
        match &self.json[name] {
            Value::Array(items) => items,
            Value::Null => &[], // proto3 JSON leaves empty lists out
            _ => panic!("{name} is no list\n{self:?}"),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Index<&str> for Reply {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        &self.json[name]
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "> {}", self.request)?;
        writeln!(f, "< {} {:?}", self.status, self.headers)?;
        write!(f, "< {}", self.text)
    }
}
