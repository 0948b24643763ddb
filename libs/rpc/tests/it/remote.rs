//! What only a peer on another machine meets: no connection, a broken one, too many calls, an end.

use crate::{
    probe::{Client, Probe, echo, reaches, routes},
    refused::{ECHO, raw, read},
    world::{Authority, Server, Shape, World},
};
use futures::{FutureExt, StreamExt};
use http::HeaderValue;
use jangteo_core::{Clock, Code, ManualClock, from_micros};
use proto::{
    Client as _,
    jangteo::probe::v1::{CountRequest, EchoRequest},
};
use rpc::{BreakerConfig, CallerTrust, Guard, Guarded, LocalService, Peer, PeerConfig, TlsConfig, Verifier};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use tonic::transport::Endpoint;
use tower::ServiceExt;

/// A probe on a plain port that believes whom `trust` says, and a client that says nothing of itself.
async fn server(trust: CallerTrust) -> (Arc<Probe>, Server, tonic::transport::Channel) {
    let probe = Arc::new(Probe::default());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(from_micros(0)));
    let guard = Guard::new(Arc::new(Verifier::default()), clock, trust).unwrap();
    let server = Server::start(None, Guarded::new(guard, routes(&probe))).await;
    let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect_lazy();
    (probe, server, channel)
}

#[tokio::test]
async fn a_header_names_the_caller_only_where_it_is_trusted() {
    let mesh = || CallerTrust::Mesh { prefix: "spiffe://a/ns/m/sa/".into() };
    let caller = ("x-jangteo-caller", "order");
    let xfcc = ("x-forwarded-client-cert", "By=x;URI=spiffe://a/sa/admin,By=y;URI=spiffe://a/ns/m/sa/user");
    for (trust, header, seen) in [
        (CallerTrust::Transport, caller, None),
        (CallerTrust::Transport, xfcc, None),
        (mesh(), caller, None),
        (mesh(), xfcc, Some("user")),
        (CallerTrust::Header, caller, Some("order")),
        (CallerTrust::Header, xfcc, None),
    ] {
        let (probe, _server, channel) = server(trust.clone()).await;
        let (code, ..) = read(channel.clone().oneshot(raw(ECHO)).await.unwrap()).await;
        assert_eq!(code, Code::Unauthenticated, "nobody: {trust:?}");
        let mut request = raw(ECHO);
        request.headers_mut().insert(header.0, HeaderValue::from_static(header.1));
        let (code, message, _) = read(channel.oneshot(request).await.unwrap()).await;
        match seen {
            Some(seen) => assert_eq!(message.unwrap().caller, seen, "{trust:?}"),
            None => assert_eq!((code, probe.runs()), (Code::Unauthenticated, 0), "{trust:?} {header:?}"),
        }
    }
}

fn breaking() -> PeerConfig {
    let breaker = BreakerConfig { failures: 3, open_ms: 300 };
    PeerConfig { retries: 0, breaker, ..Default::default() }
}

#[tokio::test]
async fn the_circuit_opens_and_closes_again() {
    let w = World::new(Shape::Remote).await;
    let client = Client::new(w.channel("gateway", breaking()));
    // Errors of other kinds are answers of a service that is there.
    for _ in 0..10 {
        let request = EchoRequest { fail_code: Code::Internal as i32, ..echo("") };
        assert_eq!(client.echo(&w.cx(), request).await.unwrap_err().code(), Code::Internal);
    }
    w.probe.failures.store(i32::MAX, Ordering::Relaxed);
    for _ in 0..3 {
        let e = client.echo(&w.cx(), echo("")).await.unwrap_err();
        assert_eq!(e.metadata()["dependency"], "the store");
    }
    let (opened, runs) = (Instant::now(), w.probe.runs());
    let e = client.echo(&w.cx(), echo("")).await.unwrap_err();
    if opened.elapsed() < Duration::from_millis(250) {
        assert_eq!(e.code(), Code::Unavailable);
        assert_eq!(e.metadata()["why"], "the circuit is open");
        assert_eq!(w.probe.runs(), runs, "refused here");
    }
    w.probe.failures.store(0, Ordering::Relaxed);
    let healed = async {
        while client.echo(&w.cx(), echo("")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), healed).await.expect("one is let through to try");
    for _ in 0..5 {
        assert!(client.echo(&w.cx(), echo("")).await.is_ok(), "closed");
    }
}

#[tokio::test]
async fn an_open_circuit_refuses_at_once_and_is_not_tried_again() {
    let w = World::new(Shape::Remote).await;
    let breaker = BreakerConfig { failures: 1, open_ms: 600_000 };
    let client = Client::new(w.channel("gateway", PeerConfig { retries: 5, breaker, ..Default::default() }));
    w.probe.failures.store(1, Ordering::Relaxed);
    assert_eq!(client.echo(&w.cx(), echo("")).await.unwrap_err().metadata()["why"], "the circuit is open");
    assert_eq!(w.probe.runs(), 1);
}

#[tokio::test]
async fn impatient_callers_do_not_open_the_circuit() {
    let w = World::new(Shape::Remote).await;
    let client = Client::new(w.channel("gateway", breaking()));
    client.echo(&w.cx(), echo("")).await.unwrap();
    for _ in 0..10 {
        let mut cx = w.cx();
        cx.deadline = Some(Instant::now() + Duration::from_millis(3));
        let e = client.echo(&cx, EchoRequest { delay_ms: 60_000, ..echo("") }).await.unwrap_err();
        assert_eq!(e.code(), Code::DeadlineExceeded);
    }
    assert!(client.echo(&w.cx(), echo("")).await.is_ok());
}

#[tokio::test]
async fn more_calls_than_the_limit_are_refused() {
    let w = World::new(Shape::Remote).await;
    let client = Client::new(w.channel("gateway", PeerConfig { max_in_flight: 2, ..Default::default() }));
    let cx = w.cx();
    let waiting = futures::future::join(client.echo(&cx, echo("gate")), client.echo(&cx, echo("gate")));
    let refused = async {
        reaches(&w.probe.started, 2).await;
        let e = client.echo(&cx, echo("third")).await.unwrap_err();
        assert_eq!((e.code(), e.metadata()["why"].as_str()), (Code::Unavailable, "too many calls in flight"));
        w.probe.gate.add_permits(2);
    };
    let ((a, b), ()) = tokio::join!(waiting, refused);
    assert!(a.is_ok() && b.is_ok());
    // Those that went away are not counted any more either.
    for n in 1..=3 {
        tokio::select! {
            r = client.echo(&cx, echo("gate")) => panic!("{r:?}"),
            () = reaches(&w.probe.started, 2 + n) => {}
        }
    }
    assert!(client.echo(&cx, echo("")).await.is_ok());
}

#[tokio::test]
async fn a_service_that_is_down_is_unavailable_until_it_is_back() {
    let w = World::new(Shape::Remote).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let policies = Arc::new(w.guard.policies.clone());
    let peer = Peer { caller: "gateway".into(), policies, config: PeerConfig::default() };
    let client = Client::new(peer.remote("probe", &format!("http://{address}"), None).unwrap());
    let e = client.echo(&w.cx(), echo("")).await.unwrap_err();
    assert_eq!((e.code(), e.metadata()["dependency"].as_str()), (Code::Unavailable, "probe"));
    let guarded = Guarded::new(w.guard.clone(), routes(&w.probe));
    let _server = Server::on(TcpListener::bind(address).await.unwrap(), None, guarded);
    let back = async { while client.echo(&w.cx(), echo("")).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), back).await.expect("it is found again");
}

#[tokio::test]
async fn a_service_that_hangs_holds_nobody_past_the_deadline() {
    let w = World::new(Shape::Remote).await;
    // Takes connections, and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let policies = Arc::new(w.guard.policies.clone());
    let peer = Peer { caller: "gateway".into(), policies, config: PeerConfig::default() };
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::new(peer.remote("probe", &url, None).unwrap());
    let mut cx = w.cx();
    cx.deadline = Some(Instant::now() + Duration::from_millis(100));
    assert_eq!(client.echo(&cx, echo("")).await.unwrap_err().code(), Code::DeadlineExceeded);
    // The method's own two seconds, where the caller has no deadline.
    let e = tokio::time::timeout(Duration::from_secs(20), client.echo(&w.cx(), echo(""))).await.expect("in time");
    assert_eq!(e.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_server_that_stops_finishes_what_it_began() {
    let mut w = World::new(Shape::Remote).await;
    let server = w.server.take().unwrap();
    let url = format!("http://{}", server.address);
    let policies = Arc::new(w.guard.policies.clone());
    let peer = Peer { caller: "gateway".into(), policies, config: PeerConfig { retries: 0, ..Default::default() } };
    let client = Client::new(peer.remote("probe", &url, None).unwrap());
    let late = Client::new(peer.remote("probe", &url, None).unwrap());
    let cx = w.cx();
    let mut stream = client.count(&cx, CountRequest { upto: 30, delay_ms: 10, fail_after: 0 }).await.unwrap();
    let unary = client.echo(&cx, echo("gate"));
    let stop = async {
        reaches(&w.probe.started, 2).await;
        server.stop.send(()).unwrap();
        // Nobody new is let in; how long until the port closes is the scheduler's.
        let closed = async { while late.echo(&cx, echo("")).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(20), closed).await.expect("the port closes");
        assert!(!server.done.is_finished(), "two calls are still running");
        w.probe.gate.add_permits(1);
    };
    let (answer, numbers, ()) = tokio::join!(unary, stream.by_ref().collect::<Vec<_>>(), stop);
    assert_eq!(answer.unwrap().text, "gate");
    assert!(numbers.iter().all(Result::is_ok) && numbers.len() == 30, "{numbers:?}");
    drop((client, late, stream));
    tokio::time::timeout(Duration::from_secs(20), server.done).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn an_idle_client_does_not_hold_up_the_end() {
    let mut w = World::new(Shape::Remote).await;
    let client = w.client();
    client.echo(&w.cx(), echo("")).await.unwrap();
    let server = w.server.take().unwrap();
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), server.done).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn a_service_that_is_not_built_yet_is_unavailable() {
    let w = World::new(Shape::Local).await;
    let policies = Arc::new(w.guard.policies.clone());
    let peer = Peer { caller: "gateway".into(), policies, config: PeerConfig::default() };
    let slot = LocalService::default();
    let client = Client::new(peer.local(slot.clone()));
    assert_eq!(client.echo(&w.cx(), echo("")).now_or_never().unwrap().unwrap_err().code(), Code::Unavailable);
    assert!(slot.set(Guarded::new(w.guard.clone(), routes(&w.probe))).is_ok());
    assert!(client.echo(&w.cx(), echo("")).await.is_ok());
}

#[tokio::test]
async fn a_url_says_what_the_certificates_say() {
    let w = World::new(Shape::Remote).await;
    let policies = Arc::new(w.guard.policies.clone());
    let peer = Peer { caller: "gateway".into(), policies, config: PeerConfig::default() };
    let tls = Authority::new().service("gateway");
    for (url, tls) in [
        ("http://probe:1", Some(&tls)),
        ("https://probe:1", None),
        ("probe:1", Some(&tls)),
        ("probe:1", None),
        ("not a url", None),
    ] {
        let e = peer.remote("probe", url, tls).err().unwrap_or_else(|| panic!("{url} was taken"));
        assert_eq!(e.field_violations()[0].field, "peers.probe", "{url}");
    }
    let half = TlsConfig { cert: Some("a.pem".into()), ..Default::default() };
    assert!(half.load().is_err(), "all three or none");
    assert!(TlsConfig::default().load().unwrap().is_none());
}
