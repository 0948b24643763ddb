//! Servers behind the edge that are several, ill, slow or behind TLS.

use crate::{
    library::{Library, SERVICE, Seen},
    world::{clients, descriptor_bytes, eventually, json_of},
};
use gateway::{StandaloneConfig, standalone_on};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use reqwest::{Client, RequestBuilder};
use rpc::{HealthConfig, PeerConfig, UpstreamTls};
use serde_json::json;
use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming};
use tonic_health::{ServingStatus, server::HealthReporter};

/// A library on a port of its own, which says how it is.
struct Place {
    address: String,
    seen: Arc<Seen>,
    health: HealthReporter,
    stop: Option<oneshot::Sender<()>>,
}

impl Place {
    async fn start(tasks: &mut JoinSet<()>, seen: Arc<Seen>, tls: Option<ServerTlsConfig>) -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (health, checks) = tonic_health::server::health_reporter();
        let library = Library { seen: seen.clone() };
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let server = server.add_service(library).add_service(checks);
        let (stop, stopped) = oneshot::channel::<()>();
        tasks.spawn(async move {
            // Told to stop, or forgotten, which is none.
            let stopped = async {
                if stopped.await.is_err() {
                    std::future::pending().await
                }
            };
            server.serve_with_incoming_shutdown(TcpIncoming::from(listener), stopped).await.unwrap();
        });
        Place { address: format!("{scheme}://localhost:{port}"), seen, health, stop: Some(stop) }
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    async fn say(&self, status: ServingStatus) {
        self.health.set_service_status("", status).await;
    }

    fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }
}

struct Front {
    http: Client,
    url: String,
    file: PathBuf,
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

impl Front {
    async fn start(tasks: &mut JoinSet<()>, urls: &str, peer: PeerConfig, tls: UpstreamTls) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let file = std::env::temp_dir().join(format!("edge-upstreams-{}.binpb", address.port()));
        std::fs::write(&file, descriptor_bytes()).unwrap();
        let upstreams = vec![(SERVICE.to_owned(), urls.to_owned())];
        let descriptors = Some(file.clone());
        let config = StandaloneConfig { descriptors, upstreams, peer, tls, ..StandaloneConfig::default() };
        tasks.spawn(async move { standalone_on(listener, config, std::future::pending()).await.unwrap() });
        Front { http: clients().0, url: format!("http://{address}"), file }
    }

    fn book(&self, id: &str) -> RequestBuilder {
        self.http.get(format!("{}/v1/books/{id}", self.url))
    }

    async fn reads(&self, count: usize) {
        for _ in 0..count {
            assert_eq!(json_of(self.book("b1")).await.0, 200);
        }
    }
}

async fn two(tasks: &mut JoinSet<()>, peer: PeerConfig) -> (Place, Place, Front) {
    let a = Place::start(tasks, Arc::default(), None).await;
    let b = Place::start(tasks, Arc::default(), None).await;
    let front = Front::start(tasks, &format!("{},{}", a.address, b.address), peer, UpstreamTls::default()).await;
    (a, b, front)
}

#[tokio::test]
async fn calls_go_where_the_fewest_are() {
    let mut tasks = JoinSet::new();
    let (a, b, front) = two(&mut tasks, PeerConfig::default()).await;
    front.reads(20).await;
    assert_eq!((a.calls(), b.calls()), (10, 10), "in turn while they are equal");
    let mut busy = JoinSet::new();
    let slow = front.book("slow");
    busy.spawn(async move { slow.send().await });
    eventually("the slow call has begun", || a.calls() + b.calls() == 21).await;
    let (busier, other) = if a.calls() > b.calls() { (&a, &b) } else { (&b, &a) };
    front.reads(10).await;
    assert_eq!((busier.calls(), other.calls()), (11, 20), "the other has none under way");
    busy.shutdown().await;
    eventually("it was cancelled", || busier.seen.cancelled.load(Ordering::SeqCst) == 1).await;
    front.reads(10).await;
    assert!(busier.calls() > 11, "it is free again");
}

#[tokio::test]
async fn the_ill_get_no_calls_until_they_are_well() {
    let mut tasks = JoinSet::new();
    let health = HealthConfig { interval_ms: 20, timeout_ms: 5000, unhealthy: 2, healthy: 2 };
    let (a, mut b, front) = two(&mut tasks, PeerConfig { health, ..PeerConfig::default() }).await;
    front.reads(4).await;
    assert_eq!((a.calls(), b.calls()), (2, 2));
    a.say(ServingStatus::NotServing).await;
    let alone = async |who: &Place| {
        for _ in 0..200 {
            let before = who.calls();
            front.reads(6).await;
            if who.calls() == before + 6 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never has all calls");
    };
    alone(&b).await;
    // Both say that they are ill: more is wrong than they, and calls go on.
    b.say(ServingStatus::NotServing).await;
    a.say(ServingStatus::Serving).await;
    alone(&a).await;
    a.say(ServingStatus::NotServing).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    front.reads(6).await;
    b.say(ServingStatus::Serving).await;
    alone(&b).await;
    a.say(ServingStatus::Serving).await;
    eventually("it is asked again", || a.calls() > 0).await;
    // One that goes takes no call with it: reading is repeatable.
    b.stop();
    alone(&a).await;
    let (here, there) = (a.calls(), b.calls());
    front.reads(10).await;
    assert_eq!((a.calls(), b.calls()), (here + 10, there));
}

fn hedging(ms: u64) -> PeerConfig {
    PeerConfig { hedge_ms: ms, retries: 0, ..PeerConfig::default() }
}

/// Two addresses of one library, so that it knows how often it was asked in all.
async fn twins(tasks: &mut JoinSet<()>, peer: PeerConfig) -> (Arc<Seen>, Front) {
    let seen = Arc::<Seen>::default();
    let a = Place::start(tasks, seen.clone(), None).await;
    let b = Place::start(tasks, seen.clone(), None).await;
    let front = Front::start(tasks, &format!("{},{}", a.address, b.address), peer, UpstreamTls::default()).await;
    (seen, front)
}

#[tokio::test]
async fn a_slow_answer_is_hedged_where_that_is_safe() {
    let mut tasks = JoinSet::new();
    let (seen, front) = twins(&mut tasks, hedging(100)).await;
    let started = Instant::now();
    // The first to be asked takes its time.
    let (status, book) = json_of(front.book("lazy")).await;
    assert_eq!((status, &book["title"]), (200, &json!("A title")));
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
    assert_eq!(seen.calls.load(Ordering::SeqCst), 2);
    eventually("the first is cancelled", || seen.cancelled.load(Ordering::SeqCst) == 1).await;
    // What has effects is asked once, however long it takes.
    let pay = front.http.post(format!("{}/v1/books/b1:pay", front.url)).header("idempotency-key", "k");
    let (status, book) = json_of(pay.json(&json!({"amount": 408}))).await;
    assert_eq!((status, &book["sold"], seen.calls.load(Ordering::SeqCst)), (200, &json!("408"), 3));
}

#[tokio::test]
async fn hedges_keep_to_their_budget_and_are_off_unless_asked_for() {
    let mut tasks = JoinSet::new();
    let (seen, front) = twins(&mut tasks, hedging(20)).await;
    let all = (0..10).map(|_| json_of(front.book("tardy")));
    assert!(futures::future::join_all(all).await.iter().all(|(status, _)| *status == 200));
    let calls = seen.calls.load(Ordering::SeqCst);
    assert!((12..=15).contains(&calls), "three, and a fifth of the calls: {calls}");
    let (seen, front) = twins(&mut tasks, PeerConfig::default()).await;
    let (status, _) = json_of(front.book("tardy")).await;
    assert_eq!((status, seen.calls.load(Ordering::SeqCst)), (200, 1));
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut p = CertificateParams::new(vec![]).unwrap();
        p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        p.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Authority(CertifiedIssuer::self_signed(p, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key of `dns`.
    fn issue(&self, dns: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![dns.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

#[tokio::test]
async fn upstreams_behind_tls() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let (ours, theirs) = (Authority::new(), Authority::new());
    let ca = file("ca.pem", &ours.0.pem());
    let other = file("other.pem", &theirs.0.pem());
    let identity = |(cert, key): (String, String)| Identity::from_pem(cert, key);
    let (cert, key) = ours.issue("edge.test");
    let (cert, key) = (file("cert.pem", &cert), file("key.pem", &key));
    let (stranger, strangers) = theirs.issue("edge.test");
    let (stranger, strangers) = (file("stranger.pem", &stranger), file("strangers.pem", &strangers));

    let mut tasks = JoinSet::new();
    let plain = || ServerTlsConfig::new().identity(identity(ours.issue("localhost")));
    let open = Place::start(&mut tasks, Arc::default(), Some(plain())).await;
    let named = ServerTlsConfig::new().identity(identity(ours.issue("library.test")));
    let named = Place::start(&mut tasks, Arc::default(), Some(named)).await;
    let asking = plain().client_ca_root(Certificate::from_pem(ours.0.pem()));
    let asking = Place::start(&mut tasks, Arc::default(), Some(asking)).await;

    let own = UpstreamTls { ca: ca.clone(), ..UpstreamTls::default() };
    let with_name = UpstreamTls { name: Some("library.test".into()), ..own.clone() };
    let shown = UpstreamTls { cert, key: key.clone(), ..own.clone() };
    let strange = UpstreamTls { cert: stranger, key: strangers, ..own.clone() };
    let wrong = UpstreamTls { ca: other, ..UpstreamTls::default() };
    for (what, place, tls, status) in [
        ("an authority of our own", &open, own.clone(), 200),
        ("the world's authorities", &open, UpstreamTls::default(), 503),
        ("another authority", &open, wrong, 503),
        ("the name of the URL", &named, own.clone(), 503),
        ("a name that is given", &named, with_name.clone(), 200),
        ("a name that is not there", &open, with_name, 503),
        ("no certificate of ours", &asking, own.clone(), 503),
        ("a certificate of ours", &asking, shown, 200),
        ("a stranger's certificate", &asking, strange, 503),
    ] {
        let front = Front::start(&mut tasks, &place.address, PeerConfig::default(), tls).await;
        let (got, body) = json_of(front.book("b1")).await;
        assert_eq!(got, status, "{what}: {body}");
    }
    assert_eq!((open.calls(), named.calls(), asking.calls()), (1, 1, 1), "what is refused is refused before a call");

    let start = async |urls: &str, tls: UpstreamTls| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstreams = vec![(SERVICE.to_owned(), urls.to_owned())];
        let config = StandaloneConfig { upstreams, tls, ..StandaloneConfig::default() };
        standalone_on(listener, config, std::future::pending()).await.unwrap_err().to_string()
    };
    let half = UpstreamTls { key, ..own.clone() };
    assert!(start(&open.address, half).await.contains("certificate"));
    let none = UpstreamTls { ca: file("empty.pem", ""), ..UpstreamTls::default() };
    assert!(start(&open.address, none).await.contains("no certificate"));
    assert!(start("ftp://localhost:1", own).await.contains("http://"));
}
