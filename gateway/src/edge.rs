//! One request from its head to the last byte of its answer: which protocol it speaks, who sent it,
//! what is said of it afterwards.

use crate::{
    admit::Quota,
    client::{self, Forward, PeerAddr},
    config::EdgeConfig,
    connect,
    cors::{self, Cors},
    grpc,
    negotiate::{self, Speech},
    observe::{Observed, Record},
    pages,
    problem::Problem,
    rest,
    site::{Endpoint, Site},
    websocket,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use cache::Cache;
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use jangteo_core::{Clock, Code, Error, Principal, Result, Trace};
use metrics::SharedString;
use proto::metadata as names;
use rpc::Verifier;
use std::{
    fmt,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tonic::body::Body;
use tracing::{Instrument, field::Empty};

/// What the process tells about itself; the edge only serves it.
#[derive(Clone)]
pub struct Probes {
    /// Why the process is not ready, if it isn't.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Prometheus text for `/metrics`; `None`: no such page.
    pub metrics: Option<Arc<dyn Fn() -> String + Send + Sync>>,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("metrics", &self.metrics.is_some()).finish_non_exhaustive()
    }
}

impl Default for Probes {
    fn default() -> Self {
        Probes { ready: Arc::new(|| Ok(())), metrics: None }
    }
}

/// What the edge leans on.
#[derive(Clone)]
pub struct Backing {
    /// Verifies access tokens; `None`: they pass on unread, and the services alone decide.
    pub verifier: Option<Arc<Verifier>>,
    /// Counts requests for the limits.
    pub cache: Cache,
    pub clock: Arc<dyn Clock>,
    pub probes: Probes,
}

/// The edge; a cheap handle.
#[derive(Clone)]
pub struct Edge {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub config: EdgeConfig,
    pub site: ArcSwap<Site>,
    pub verifier: Option<Arc<Verifier>>,
    pub cache: Cache,
    pub clock: Arc<dyn Clock>,
    pub probes: Probes,
    pub cors: Cors,
    pub forward: Forward,
    pub draining: AtomicBool,
}

/// What is known of the request under way.
pub(crate) struct Visit {
    pub record: Record,
    pub trace: Trace,
    pub client: Option<IpAddr>,
    pub principal: Principal,
    pub quota: Option<Quota>,
    /// A WebSocket handshake that was accepted.
    pub socket: Option<websocket::Accepted>,
}

impl Visit {
    pub fn sign_in(&mut self, principal: Principal) {
        if let Principal::User(user) = &principal {
            self.record.principal = Some(user.user_id.clone());
            self.record.span.record("enduser.id", &*user.user_id);
        }
        self.principal = principal;
    }

    pub fn route(&mut self, route: SharedString) {
        self.record.span.record("http.route", &*route);
        self.record.route = route;
    }
}

impl Edge {
    pub fn new(config: EdgeConfig, site: Site, parts: Backing) -> Edge {
        let inner = Inner {
            cors: Cors::new(&config.cors),
            forward: Forward::new(&config.forward_headers),
            config,
            site: ArcSwap::from_pointee(site),
            verifier: parts.verifier,
            cache: parts.cache.scope("edge"),
            clock: parts.clock,
            probes: parts.probes,
            draining: AtomicBool::new(false),
        };
        Edge { inner: Arc::new(inner) }
    }

    /// Serves other descriptors from the next request on; requests under way end on the old ones.
    pub fn swap(&self, site: Site) {
        self.inner.site.store(Arc::new(site));
    }

    pub(crate) fn set_draining(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Answers one request. The peer's address is taken from a [`PeerAddr`] extension.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let edge = &self.inner;
        let (parts, body) = request.into_parts();
        let body = Body::new(body);
        let mut visit = edge.open(&parts);
        let span = visit.record.span.clone();
        let origin = edge.cors.allowed(&parts.headers);
        let answered = AssertUnwindSafe(edge.answer(&mut visit, &parts, body).instrument(span)).catch_unwind().await;
        let mut response = answered.unwrap_or_else(|_| {
            visit.record.outcome.set(Code::Internal as i32);
            Problem::from(Error::internal("the edge panicked")).into_response(edge.site.load().types())
        });
        edge.mark(&visit, response.headers_mut());
        edge.cors.mark(origin, response.headers_mut());
        let mut record = visit.record;
        record.status = response.status().as_u16();
        if let Some(accepted) = visit.socket {
            accepted.hand_over(edge.clone(), record);
            return response;
        }
        response.map(|body| Observed::wrap(body, record))
    }
}

impl Inner {
    fn open(&self, parts: &Parts) -> Visit {
        let headers = &parts.headers;
        let request_id = client::request_id(headers);
        let span = tracing::info_span!(
            "http",
            "otel.kind" = "server",
            "http.request.method" = %parts.method,
            "http.route" = Empty,
            "http.response.status_code" = Empty,
            "rpc.grpc.status_code" = Empty,
            "enduser.id" = Empty,
            request_id,
        );
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let traceparent = text(names::TRACEPARENT).filter(|t| rpc::trace::is_traceparent(t));
        let tracestate = traceparent.as_ref().and_then(|_| text(names::TRACESTATE));
        let trace = rpc::trace::enter(&span, Trace { traceparent, tracestate });
        let peer = parts.extensions.get::<PeerAddr>().map(|p| p.0);
        let mut record = Record::open(&parts.method, request_id, span);
        record.trace_id = rpc::trace::trace_id(&trace).to_owned();
        Visit {
            record,
            trace,
            client: client::address(headers, peer, self.config.trusted_hops),
            principal: Principal::Anonymous,
            quota: None,
            socket: None,
        }
    }

    async fn answer(&self, visit: &mut Visit, parts: &Parts, body: Body) -> Response<Body> {
        let site = self.site.load_full();
        if let Some(page) = pages::answer(self, &site, visit, parts) {
            return page;
        }
        // Boxed, so that a request of JSON doesn't drag the room for all protocols along whenever it moves.
        match negotiate::speech(&parts.headers) {
            Speech::Grpc => return Box::pin(grpc::answer(self, &site, visit, parts, body, None)).await,
            Speech::Web { text } => return Box::pin(grpc::answer(self, &site, visit, parts, body, Some(text))).await,
            Speech::Rest => {}
        }
        if websocket::is_handshake(parts) {
            let answer = Box::pin(websocket::answer(self, &site, visit, parts)).await;
            return answer.unwrap_or_else(|problem| {
                visit.record.outcome.set(problem.code() as i32);
                problem.into_response(site.types())
            });
        }
        if let Some(method) = connect::method(&site, parts) {
            return Box::pin(connect::answer(self, &site, visit, parts, body, method)).await;
        }
        let answer = match parts.uri.path_and_query() {
            Some(p) if p.as_str().len() > self.config.max_uri_bytes => Err(self.long_uri()),
            _ if cors::is_preflight(&parts.headers) && parts.method == http::Method::OPTIONS => {
                Ok(self.preflight(&site, visit, parts))
            }
            _ => rest::answer(self, &site, visit, parts, body).await,
        };
        answer.unwrap_or_else(|problem| {
            visit.record.outcome.set(problem.code() as i32);
            problem.into_response(site.types())
        })
    }

    pub fn long_uri(&self) -> Problem {
        let text = format!("the address is longer than {} bytes", self.config.max_uri_bytes);
        Problem::http(StatusCode::URI_TOO_LONG, Code::InvalidArgument, "URI_TOO_LONG", text)
    }

    fn preflight(&self, site: &Site, visit: &mut Visit, parts: &Parts) -> Response<Body> {
        visit.route("preflight".into());
        let path = parts.uri.path();
        let mut verbs = site.verbs(path);
        if let Some(endpoint) = site.endpoint(path).filter(|e| !e.is_internal()) {
            // gRPC-Web and Connect call the method's own path.
            verbs.extend(endpoint.safe.then(|| "GET".to_owned()));
            verbs.push("POST".to_owned());
        }
        self.cors.preflight(&verbs.join(", "))
    }

    /// Headers that every answer has.
    fn mark(&self, visit: &Visit, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&visit.record.request_id) {
            headers.insert("x-request-id", id);
        }
        if let Some(quota) = &visit.quota {
            quota.mark(headers);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        let or_insert = |headers: &mut HeaderMap, name: HeaderName, value: &'static str| {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        };
        or_insert(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
        or_insert(headers, header::CACHE_CONTROL, "no-store");
        if self.config.hsts_seconds > 0
            && let Ok(value) = format!("max-age={}; includeSubDomains", self.config.hsts_seconds).parse()
        {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
        }
    }

    /// How long a call may take: what the client asks, and never longer than the policy.
    pub fn timeout(&self, endpoint: &Endpoint, headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
        let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or(""));
        let asked = if let Some(t) = text(names::TIMEOUT) {
            Some(names::parse_timeout(t).ok_or_else(|| bad_timeout(names::TIMEOUT))?)
        } else if let Some(t) = text("x-request-timeout") {
            Some(parse_timeout(t).ok_or_else(|| bad_timeout("x-request-timeout"))?)
        } else if let Some(t) = text("connect-timeout-ms") {
            Some(parse_timeout(&format!("{t}ms")).ok_or_else(|| bad_timeout("connect-timeout-ms"))?)
        } else {
            None
        };
        let unsaid = !endpoint.policy.streaming && endpoint.policy.timeout.is_none();
        let own = unsaid.then(|| crate::config::millis(self.config.default_timeout_ms));
        Ok([asked, endpoint.policy.timeout, own].into_iter().flatten().min())
    }

    /// What goes along to the service, beside the message.
    pub fn metadata(
        &self,
        visit: &Visit,
        endpoint: &Endpoint,
        from: &HeaderMap,
        deadline: Option<Instant>,
    ) -> HeaderMap {
        let mut to = HeaderMap::with_capacity(16);
        to.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        to.insert(header::TE, HeaderValue::from_static("trailers"));
        let mut put = |name: &'static str, value: Option<HeaderValue>| {
            if let Some(value) = value {
                to.insert(name, value);
            }
        };
        put(names::AUTHORIZATION, from.get(header::AUTHORIZATION).cloned());
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        put(names::TIMEOUT, left.and_then(|d| names::format_timeout(d).parse().ok()));
        put(names::LOCALE, negotiate::locale(from).and_then(|l| l.parse().ok()));
        put(names::CANARY, from.get(names::CANARY).filter(|v| v.len() <= 64).cloned());
        put(names::TRACEPARENT, visit.trace.traceparent.as_deref().and_then(|t| t.parse().ok()));
        put(names::TRACESTATE, visit.trace.tracestate.as_deref().and_then(|t| t.parse().ok()));
        put("x-request-id", visit.record.request_id.parse().ok());
        let agent = from.get(header::USER_AGENT).and_then(|v| client::printable(v.as_bytes(), 256));
        put(names::USER_AGENT, agent);
        let address = visit.client.and_then(|ip| HeaderValue::try_from(ip.to_string()).ok());
        put("x-forwarded-for", address.clone());
        put(names::CLIENT_ADDR, address);
        for (header, name) in &endpoint.headers {
            to.extend(from.get(header).map(|value| (name.clone(), value.clone())));
        }
        self.forward.copy(from, &mut to);
        to
    }
}

fn bad_timeout(header: &'static str) -> Problem {
    Error::invalid(header, "INVALID_TIMEOUT", "must be like 1500m (grpc-timeout) or 1.5s (x-request-timeout)").into()
}

/// `1500ms`, `1.5s` or `1.5`.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let plain = digits.len() <= 12 && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds: f64 = if plain { digits.parse().ok()? } else { return None };
    Duration::try_from_secs_f64(seconds * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        for (text, ms) in [("1500ms", 1500), ("1.5s", 1500), ("2", 2000), ("0.25", 250)] {
            assert_eq!(parse_timeout(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "-1s", "1e9", "inf", "NaN", "1h", "99999999999999999"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
