//! The channel to another service: `Local` inside this process, `Remote` over HTTP/2. Both honour
//! the deadline, answer with the same errors, and carry context in metadata alone.

use crate::{
    Breaker, BreakerConfig, Caller, Guarded, TlsFiles,
    guard::late,
    watch::{WatchedBody, code_of},
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use jangteo_core::{Code, Error, Result};
use proto::{
    Channel, metadata as names,
    policy::{Policies, Policy},
    status::to_status,
};
use serde::{Deserialize, Serialize};
use std::{
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tonic::{body::Body, transport::Endpoint};
use tower::ServiceExt;

/// A service of this process; empty until it is built, since services may call each other.
pub type LocalService = Arc<OnceLock<Guarded>>;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeerConfig {
    /// HTTP/2 connections per remote service; one has one lock and one TCP window.
    pub connections: usize,
    /// Calls to one remote service that wait for its answer; more are refused. 0: no limit. A stream counts
    /// until it begins to answer, since then it may stay open for hours.
    pub max_in_flight: usize,
    /// How often a repeatable method is tried again when the service is unavailable.
    pub retries: u32,
    pub breaker: BreakerConfig,
}

impl Default for PeerConfig {
    fn default() -> Self {
        PeerConfig { connections: 2, max_in_flight: 1024, retries: 2, breaker: BreakerConfig::default() }
    }
}

impl PeerConfig {
    /// Behind a mesh the sidecar retries, breaks and limits; doing it twice multiplies the load.
    pub fn meshed() -> Self {
        let breaker = BreakerConfig { failures: 0, ..Default::default() };
        PeerConfig { max_in_flight: 0, retries: 0, breaker, ..Default::default() }
    }
}

/// Makes channels for one calling service.
#[derive(Clone)]
pub struct Peer {
    pub caller: Arc<str>,
    pub policies: Arc<Policies>,
    pub config: PeerConfig,
}

impl Peer {
    pub fn local(&self, service: LocalService) -> Channel {
        self.channel(Target::Local { service, caller: Caller(self.caller.clone()) })
    }

    /// `url` is `http://host:port`, or `https://` with `tls`. Connects when first called.
    pub fn remote(&self, service: &str, url: &str, tls: Option<&TlsFiles>) -> Result<Channel> {
        let bad = |e: tonic::transport::Error| {
            Error::invalid(format!("peers.{service}"), "INVALID_URL", format!("{url}: {e}"))
        };
        let mut endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(bad)?
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(crate::MAX_HEADERS)
            .http2_adaptive_window(true)
            .tcp_nodelay(true);
        // Certificates and a plain address would go together without a word, and nothing be encrypted.
        let scheme = if tls.is_some() { "https" } else { "http" };
        if endpoint.uri().scheme_str() != Some(scheme) {
            let text = format!("{url}: must begin with {scheme}://, which is what the certificates say");
            return Err(Error::invalid(format!("peers.{service}"), "INVALID_URL", text));
        }
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls.client(service)).map_err(bad)?;
        }
        let connections = (0..self.config.connections.max(1)).map(|_| endpoint.connect_lazy()).collect();
        let name = HeaderValue::from_str(&self.caller).map_err(Error::internal)?;
        Ok(self.channel(Target::Remote(Arc::new(Remote {
            service: service.to_owned(),
            caller: name,
            connections,
            next: AtomicUsize::new(0),
            breaker: Breaker::new(self.config.breaker),
            in_flight: (self.config.max_in_flight > 0).then(|| Semaphore::new(self.config.max_in_flight)),
        }))))
    }

    fn channel(&self, target: Target) -> Channel {
        let outbound = Arc::new(Outbound {
            target,
            policies: self.policies.clone(),
            retries: self.config.retries,
            budget: Budget::default(),
        });
        Channel::new(tower::service_fn(move |request| {
            let outbound = outbound.clone();
            async move { Ok::<_, Infallible>(outbound.call(request).await) }
        }))
    }
}

/// Retries may add a fifth to the load, and three in a quiet time, never more: a service that is
/// down isn't helped by being called three times as often.
struct Budget(AtomicI64);

impl Default for Budget {
    fn default() -> Self {
        Budget(AtomicI64::new(3 * Self::RETRY))
    }
}

impl Budget {
    const RETRY: i64 = 5;
    const MOST: i64 = 100 * Self::RETRY;

    fn deposit(&self) {
        if self.0.load(Ordering::Relaxed) < Self::MOST {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn withdraw(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n >= Self::RETRY).then_some(n - Self::RETRY))
            .is_ok()
    }
}

struct Outbound {
    target: Target,
    policies: Arc<Policies>,
    retries: u32,
    budget: Budget,
}

enum Target {
    Local { service: LocalService, caller: Caller },
    Remote(Arc<Remote>),
}

struct Remote {
    service: String,
    caller: HeaderValue,
    connections: Vec<tonic::transport::Channel>,
    next: AtomicUsize,
    breaker: Breaker,
    in_flight: Option<Semaphore>,
}

/// What became of one attempt.
enum Sent {
    Answered(Response<Body>),
    /// It never left this process, and would not the next time either.
    Refused(Response<Body>),
}

impl Outbound {
    async fn call(&self, request: Request<Body>) -> Response<Body> {
        let policy = self.policies.get(request.uri().path());
        let asked = request.headers().get(names::TIMEOUT).and_then(|v| names::parse_timeout(v.to_str().ok()?));
        let timeout = asked.into_iter().chain(policy.and_then(|p| p.timeout)).min();
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        let attempts = self.attempts(request, policy, deadline);
        let (Target::Remote(_), Some(deadline)) = (&self.target, deadline) else {
            // In this process the service's own guard keeps the deadline.
            return attempts.await;
        };
        let answer = tokio::time::timeout_at(deadline.into(), attempts).await.unwrap_or_else(|_| late().into_http());
        if code_of(answer.headers()).is_some() {
            return answer;
        }
        // A remote that hangs in the middle of its answer must not hold the caller past its deadline.
        answer.map(|body| Body::new(WatchedBody::new(body, Some(deadline), None)))
    }

    async fn attempts(
        &self,
        request: Request<Body>,
        policy: Option<&Policy>,
        deadline: Option<Instant>,
    ) -> Response<Body> {
        let repeatable = policy.is_some_and(|p| p.repeatable && !p.streaming) && self.retries > 0;
        if !repeatable {
            let (Sent::Answered(answer) | Sent::Refused(answer)) = self.target.send(request).await;
            return answer;
        }
        self.budget.deposit();
        let (mut parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(status) => return status.into_http(),
        };
        let mut attempt = 0;
        loop {
            let answer = match self.target.send(rebuild(&parts, body.clone())).await {
                Sent::Refused(answer) => return answer,
                Sent::Answered(answer) => answer,
            };
            let unavailable = code_of(answer.headers()) == Some(Code::Unavailable as i32);
            if !unavailable || attempt == self.retries {
                return answer;
            }
            attempt += 1;
            let pause = backoff(attempt);
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left <= pause) || !self.budget.withdraw() {
                return answer;
            }
            metrics::counter!("grpc_client_retries", "path" => parts.uri.path().to_owned()).increment(1);
            tokio::time::sleep(pause).await;
            // What the first attempt used up is gone.
            if let Some(d) = deadline {
                let left = names::format_timeout(d.saturating_duration_since(Instant::now()));
                parts.headers.insert(names::TIMEOUT, HeaderValue::try_from(left).expect("digits and a letter"));
            }
        }
    }
}

fn rebuild(parts: &Parts, body: Bytes) -> Request<Body> {
    let mut request = Request::new(Body::new(Full::new(body).map_err(|never| match never {})));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    *request.version_mut() = parts.version;
    *request.headers_mut() = parts.headers.clone();
    request
}

/// 20, 40, 80 ms … and up to as much again by chance, so that callers don't come back together.
fn backoff(attempt: u32) -> Duration {
    let base = 10u64 << attempt.min(6);
    let mut byte = [0u8];
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut byte);
    Duration::from_millis(base + base * u64::from(byte[0]) / 255)
}

impl Target {
    async fn send(&self, mut request: Request<Body>) -> Sent {
        // Extensions would survive inside the process and be lost on the wire: they go either way.
        request.extensions_mut().clear();
        match self {
            Target::Local { service, caller } => {
                let Some(guarded) = service.get().cloned() else {
                    let e = Error::unavailable("a service of this process that is not built yet");
                    return Sent::Refused(to_status(e, "rpc.jangteo").into_http());
                };
                request.extensions_mut().insert(caller.clone());
                let mut answer = guarded.answer(request).await;
                answer.extensions_mut().clear();
                Sent::Answered(answer)
            }
            Target::Remote(remote) => remote.send(request).await,
        }
    }
}

impl Remote {
    async fn send(&self, mut request: Request<Body>) -> Sent {
        let refuse = |why: &'static str| {
            let e = Error::unavailable(&self.service).with("why", why);
            Sent::Refused(to_status(e, "rpc.jangteo").into_http())
        };
        let _permit = match self.in_flight.as_ref().map(Semaphore::try_acquire) {
            Some(Err(_)) => return refuse("too many calls in flight"),
            permit => permit,
        };
        if !self.breaker.admits(Instant::now()) {
            return refuse("the circuit is open");
        }
        request.headers_mut().insert(names::CALLER, self.caller.clone());
        let n = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        // What the caller drops, and what its deadline ends, says nothing about the service: a caller
        // with little patience must not open the circuit for all. Dead links are found by the pings.
        let answer = match self.connections[n].clone().oneshot(request).await {
            Ok(mut answer) => {
                let unavailable = code_of(answer.headers()) == Some(Code::Unavailable as i32);
                self.breaker.record(!unavailable, Instant::now());
                answer.extensions_mut().clear();
                answer
            }
            Err(e) if is_timeout(&e) => late().into_http(),
            Err(e) => {
                self.breaker.record(false, Instant::now());
                tracing::debug!(service = self.service, error = &e as &dyn std::error::Error, "calling a peer failed");
                to_status(Error::unavailable(&self.service).with_source(e), "rpc.jangteo").into_http()
            }
        };
        Sent::Answered(answer)
    }
}

fn is_timeout(e: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(e), |e| e.source()).any(|e| e.is::<tonic::TimeoutExpired>())
}
