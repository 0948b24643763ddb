//! A service far away, at one address or at several: who of them gets the next call, and what its answers say of it.

use crate::{
    Breaker, PeerConfig,
    health::Health,
    link::{Address, Link},
    watch::code_of,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use jangteo_core::{Code, Error};
use proto::{Channel, metadata as names, status::to_status};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet};
use tonic::{Status, body::Body};

/// An address that has just failed is passed over for so long, if there is another: it has always the fewest calls.
const SHAKY: Duration = Duration::from_secs(1);

pub(crate) struct Remote {
    service: String,
    caller: HeaderValue,
    places: Vec<Arc<Place>>,
    turn: AtomicUsize,
    in_flight: Option<Semaphore>,
    /// They end with this.
    _checks: JoinSet<()>,
}

/// One address.
struct Place {
    links: Vec<Arc<Link>>,
    next: AtomicUsize,
    breaker: Breaker,
    health: Health,
    /// Calls whose answer is not at its end.
    open: AtomicUsize,
    shaky_until: Mutex<Option<Instant>>,
}

/// What became of one attempt.
pub(crate) enum Sent {
    Answered(Response<Body>),
    /// It never left this process, and would not the next time either.
    Refused(Response<Body>),
}

impl Sent {
    pub fn is_unavailable(&self) -> bool {
        let (Sent::Answered(answer) | Sent::Refused(answer)) = self;
        code_of(answer.headers()) == Some(Code::Unavailable as i32)
    }

    pub fn answer(self) -> Response<Body> {
        let (Sent::Answered(answer) | Sent::Refused(answer)) = self;
        answer
    }
}

impl Remote {
    /// Connects when first called, or asked for its health.
    pub fn new(service: &str, caller: HeaderValue, addresses: Vec<Address>, config: &PeerConfig) -> Remote {
        let mut checks = JoinSet::new();
        let places = addresses.into_iter().map(|address| {
            let link = || Arc::new(Link::new(address.clone()));
            let place = Arc::new(Place {
                links: (0..config.connections.max(1)).map(|_| link()).collect(),
                next: AtomicUsize::new(0),
                breaker: Breaker::new(config.breaker),
                health: Health::new(),
                open: AtomicUsize::new(0),
                shaky_until: Mutex::new(None),
            });
            if config.health.interval_ms > 0 {
                let (config, service, place) = (config.health, service.to_owned(), place.clone());
                let (address, channel) = (address.uri.to_string(), alone(place.links[0].clone()));
                checks.spawn(async move { place.health.watch(config, &service, &address, channel).await });
            }
            place
        });
        Remote {
            service: service.to_owned(),
            caller,
            places: places.collect(),
            turn: AtomicUsize::new(0),
            in_flight: (config.max_in_flight > 0).then(|| Semaphore::new(config.max_in_flight)),
            _checks: checks,
        }
    }

    pub async fn send(&self, mut request: Request<Body>) -> Sent {
        let refuse = |why: &'static str| {
            let e = Error::unavailable(&self.service).with("why", why);
            Sent::Refused(to_status(e, "rpc.jangteo").into_http())
        };
        let _permit = match self.in_flight.as_ref().map(Semaphore::try_acquire) {
            Some(Err(_)) => return refuse("too many calls in flight"),
            permit => permit,
        };
        let Some(place) = self.pick(Instant::now()) else { return refuse("the circuit is open") };
        request.headers_mut().insert(names::CALLER, self.caller.clone());
        // With one address there is nothing to compare.
        let open = (self.places.len() > 1).then(|| Open::new(place));
        let n = place.next.fetch_add(1, Ordering::Relaxed) % place.links.len();
        // What the caller drops, and what its deadline ends, says nothing about the service: a caller
        // with little patience must not open the circuit for all. Dead links are found by the pings.
        let answer = match place.links[n].send(request).await {
            Ok(mut answer) => {
                let unavailable = code_of(answer.headers()) == Some(Code::Unavailable as i32);
                place.record(!unavailable, Instant::now());
                answer.extensions_mut().clear();
                match open {
                    Some(open) => answer.map(|body| Body::new(Counted { body, _open: open })),
                    None => answer,
                }
            }
            Err(e) => {
                place.record(false, Instant::now());
                tracing::debug!(service = self.service, error = &*e as &dyn std::error::Error, "calling a peer failed");
                to_status(Error::unavailable(&self.service).with_source(e), "rpc.jangteo").into_http()
            }
        };
        Sent::Answered(answer)
    }

    /// Of the healthy ones the one with the fewest calls; of all, when none is, since then more is wrong than they. `None`
    /// when the circuit of each is open.
    fn pick(&self, now: Instant) -> Option<&Arc<Place>> {
        if let [only] = &self.places[..] {
            return only.breaker.admits(now).then_some(only);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.places.len();
        let mut order: Vec<_> = (0..count)
            .map(|i| &self.places[(turn + i) % count])
            .map(|p| ((!p.health.is_good(), p.is_shaky(now), p.open.load(Ordering::Relaxed)), p))
            .collect();
        // Stable: among equals whoever's turn it is.
        order.sort_by_key(|(rank, _)| *rank);
        order.into_iter().map(|(_, place)| place).find(|p| p.breaker.admits(now))
    }
}

impl Place {
    fn record(&self, ok: bool, now: Instant) {
        self.breaker.record(ok, now);
        *self.shaky_until.lock().expect("no holder panics") = (!ok).then(|| now + SHAKY);
    }

    fn is_shaky(&self, now: Instant) -> bool {
        self.shaky_until.lock().expect("no holder panics").is_some_and(|until| now < until)
    }
}

/// A call under way.
struct Open(Arc<Place>);

impl Open {
    fn new(place: &Arc<Place>) -> Open {
        place.open.fetch_add(1, Ordering::Relaxed);
        Open(place.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which is a call until it is at its end.
struct Counted {
    body: Body,
    _open: Open,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Calls over one connection, which count nowhere: those that ask for health.
fn alone(link: Arc<Link>) -> Channel {
    Channel::new(tower::service_fn(move |request| {
        let link = link.clone();
        async move {
            let answer = link.send(request).await;
            let failed = |e| to_status(Error::unavailable("a peer").with_source(e), "rpc.jangteo").into_http();
            Ok::<_, Infallible>(answer.unwrap_or_else(failed))
        }
    }))
}
