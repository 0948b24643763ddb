//! The channel to another service: `Local` inside this process, `Remote` over HTTP/2. Both honour
//! the deadline, answer with the same errors, and carry context in metadata alone.

use crate::{
    BreakerConfig, Caller, Guarded, HealthConfig, TlsFiles, UpstreamTls,
    guard::late,
    link::Address,
    remote::{Remote, Sent},
    tls::ClientTls,
    watch::{WatchedBody, code_of},
};
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Uri,
    request::Parts,
    uri::{InvalidUri, Scheme},
};
use http_body_util::{BodyExt, Full};
use jangteo_core::{Error, Result};
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
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tonic::body::Body;

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
    /// A NO_SIDE_EFFECTS method that is not answered after so long is asked a second time, of another address where there
    /// is one, and the first answer counts. Takes from the same budget as the retries. 0: never.
    pub hedge_ms: u64,
    pub breaker: BreakerConfig,
    pub health: HealthConfig,
}

impl Default for PeerConfig {
    fn default() -> Self {
        PeerConfig {
            connections: 2,
            max_in_flight: 1024,
            retries: 2,
            hedge_ms: 0,
            breaker: BreakerConfig::default(),
            health: HealthConfig::default(),
        }
    }
}

impl PeerConfig {
    /// Behind a mesh the sidecar retries, breaks, limits and looks after health; doing it twice multiplies the load.
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

    /// `urls`: `http://host:port`, or `https://` with `tls`; of several addresses each separated by a comma. Connects when
    /// first called.
    pub fn remote(&self, service: &str, urls: &str, tls: Option<&TlsFiles>) -> Result<Channel> {
        let client = tls.map(|tls| tls.client(service)).transpose()?;
        self.reach(service, urls, |uri| {
            // Certificates and a plain address would go together without a word, and nothing be encrypted.
            let scheme = if tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
            if uri.scheme() != Some(&scheme) {
                return Err(format!("must begin with {scheme}://, which is what the certificates say"));
            }
            Ok(client.clone())
        })
    }

    /// A server that is none of the platform's: what its URL says decides whether there is TLS.
    pub fn foreign(&self, service: &str, urls: &str, tls: &UpstreamTls) -> Result<Channel> {
        let client = tls.client()?;
        self.reach(service, urls, |uri| match uri.scheme_str() {
            Some("http") => Ok(None),
            Some("https") => Ok(Some(client.clone())),
            _ => Err("must begin with http:// or https://".to_owned()),
        })
    }

    fn reach(
        &self,
        service: &str,
        urls: &str,
        tls: impl Fn(&Uri) -> Result<Option<ClientTls>, String>,
    ) -> Result<Channel> {
        let address = |url: &str| {
            let bad = |why: String| Error::invalid(format!("peers.{service}"), "INVALID_URL", format!("{url}: {why}"));
            let uri: Uri = url.parse().map_err(|e: InvalidUri| bad(e.to_string()))?;
            let tls = tls(&uri).map_err(bad)?;
            Ok(Address { uri, tls })
        };
        let addresses: Vec<Address> = urls.split(',').map(str::trim).map(address).collect::<Result<_>>()?;
        let name = HeaderValue::from_str(&self.caller).map_err(Error::internal)?;
        Ok(self.channel(Target::Remote(Arc::new(Remote::new(service, name, addresses, &self.config)))))
    }

    fn channel(&self, target: Target) -> Channel {
        let outbound = Arc::new(Outbound {
            target,
            policies: self.policies.clone(),
            retries: self.config.retries,
            hedge: (self.config.hedge_ms > 0).then(|| Duration::from_millis(self.config.hedge_ms)),
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
    hedge: Option<Duration>,
    budget: Budget,
}

enum Target {
    Local { service: LocalService, caller: Caller },
    Remote(Arc<Remote>),
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
        let single = policy.filter(|p| !p.streaming);
        let retries = single.filter(|p| p.repeatable).map_or(0, |_| self.retries);
        let hedge = single.filter(|p| p.safe).and(self.hedge);
        if retries == 0 && hedge.is_none() {
            return self.target.send(request).await.answer();
        }
        self.budget.deposit();
        let (mut parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(status) => return status.into_http(),
        };
        let mut attempt = 0;
        loop {
            let sent = match hedge {
                None => self.target.send(rebuild(&parts, body.clone())).await,
                // Boxed, so that other calls need no room for it.
                Some(after) => Box::pin(self.hedged(&parts, &body, deadline, after)).await,
            };
            let again = matches!(sent, Sent::Answered(_)) && sent.is_unavailable() && attempt < retries;
            let answer = sent.answer();
            if !again {
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
            shorten(&mut parts, deadline);
        }
    }

    /// One attempt, and a second beside it when the first takes long. Whichever has an answer first wins, and the other is
    /// cancelled; that nobody is there is no answer while the other may still have one.
    async fn hedged(&self, parts: &Parts, body: &Bytes, deadline: Option<Instant>, after: Duration) -> Sent {
        let mut first = std::pin::pin!(self.target.send(rebuild(parts, body.clone())));
        tokio::select! {
            biased;
            sent = &mut first => return sent,
            () = tokio::time::sleep(after) => {}
        }
        if !self.budget.withdraw() {
            return first.await;
        }
        let path = || parts.uri.path().to_owned();
        metrics::counter!("grpc_client_hedges", "path" => path()).increment(1);
        let mut later = parts.clone();
        shorten(&mut later, deadline);
        let mut second = std::pin::pin!(self.target.send(rebuild(&later, body.clone())));
        let (sent, won) = tokio::select! {
            biased;
            sent = &mut first => if sent.is_unavailable() { (second.await, true) } else { (sent, false) },
            sent = &mut second => if sent.is_unavailable() { (first.await, false) } else { (sent, true) },
        };
        if won {
            metrics::counter!("grpc_client_hedges_won", "path" => path()).increment(1);
        }
        sent
    }
}

/// What the first attempt used up is gone.
fn shorten(parts: &mut Parts, deadline: Option<Instant>) {
    if let Some(d) = deadline {
        let left = names::format_timeout(d.saturating_duration_since(Instant::now()));
        parts.headers.insert(names::TIMEOUT, HeaderValue::try_from(left).expect("digits and a letter"));
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
