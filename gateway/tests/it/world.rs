//! An edge on a free port, its server, and what a test needs to talk to it.

use crate::library::{Library, SERVICE, Seen};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use cache::{Cache, CacheConfig};
use gateway::{Backing, Edge, EdgeConfig, Limits, Probes, Site, Upstreams};
use jangteo_core::{Clock, SystemClock};
use prost_reflect::DescriptorPool;
use reqwest::{Client, RequestBuilder, Response};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rpc::Verifier;
use serde_json::{Value, json};
use std::{
    future::Future,
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};

pub struct World {
    pub url: String,
    pub address: SocketAddr,
    pub http: Client,
    /// HTTP/2 without TLS.
    pub h2: Client,
    pub seen: Arc<Seen>,
    pub verifier: Arc<Verifier>,
    pub edge: Edge,
    key: Ed25519KeyPair,
    stop: Option<oneshot::Sender<()>>,
    tasks: JoinSet<()>,
}

pub fn descriptor_bytes() -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([here.join("tests/proto"), here.join("../proto")]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(["edge/test/v1/library.proto", "google/rpc/error_details.proto"]).unwrap();
    compiler.encode_file_descriptor_set()
}

pub fn pool() -> DescriptorPool {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(descriptor_bytes().as_slice()).unwrap());
    POOL.clone()
}

pub fn clients() -> (Client, Client) {
    // The edge may have chosen one already, where it has upstreams behind TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || Client::builder().timeout(Duration::from_secs(10)).no_proxy();
    (builder().build().unwrap(), builder().http2_prior_knowledge().build().unwrap())
}

pub fn unlimited() -> EdgeConfig {
    EdgeConfig { limits: Limits::OFF, ..EdgeConfig::default() }
}

impl World {
    pub async fn new() -> World {
        Self::with(unlimited()).await
    }

    pub async fn with(config: EdgeConfig) -> World {
        let library = Library::default();
        let seen = library.seen.clone();
        let upstreams = Upstreams::from([(SERVICE.to_owned(), proto::Channel::new(library))]);
        let site = Site::load(&pool(), &upstreams, config.json.options()).unwrap();
        let verifier = Arc::new(Verifier::default());
        let seed = [7; 32];
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let x = BASE64_URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        verifier.set_keys([("k1", x.as_str())]);
        let metrics: Arc<dyn Fn() -> String + Send + Sync> = Arc::new(|| "up 1\n".to_owned());
        let backing = Backing {
            verifier: Some(verifier.clone()),
            cache: Cache::new(&CacheConfig::default()).unwrap(),
            clock: Arc::new(SystemClock),
            probes: Probes { metrics: Some(metrics), ..Probes::default() },
        };
        let edge = Edge::new(config, site, backing);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        let server = edge.clone();
        tasks.spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            server.serve(listener, stopped).await.unwrap();
        });
        let (http, h2) = clients();
        let url = format!("http://{address}");
        World { url, address, http, h2, seen, verifier, edge, key, stop: Some(stop), tasks }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).json(body)
    }

    pub fn token(&self, user: &str, roles: &[&str]) -> String {
        let now = SystemClock.now().timestamp();
        self.sign(json!({
            "iss": "jangteo", "aud": "jangteo", "sub": user, "sid": format!("ses_{user}"), "roles": roles,
            "iat": now, "nbf": now, "exp": now + 3600, "jti": "j1",
        }))
    }

    pub fn sign(&self, claims: Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"});
        let part = |v: Value| BASE64_URL_SAFE_NO_PAD.encode(v.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    /// Asks the edge to stop; resolves when it has.
    pub fn stop(mut self) -> impl Future<Output = ()> {
        let _ = self.stop.take().unwrap().send(());
        async move { while self.tasks.join_next().await.is_some() {} }
    }
}

pub async fn sent(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

/// Status and JSON of an answer.
pub async fn json_of(request: RequestBuilder) -> (u16, Value) {
    let response = sent(request).await;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    let value = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{status}: {e}: {bytes:?}"));
    (status, value)
}

/// What every refusal must look like; returns its reason.
pub async fn refusal(request: RequestBuilder, status: u16, code: i64) -> String {
    let (got, body) = json_of(request).await;
    assert_eq!((got, body["code"].as_i64()), (status, Some(code)), "{body}");
    assert!(!body["message"].as_str().unwrap().is_empty(), "{body}");
    let info =
        body["details"].as_array().unwrap().iter().find(|d| d["@type"] == "type.googleapis.com/google.rpc.ErrorInfo");
    info.and_then(|i| i["reason"].as_str()).unwrap_or_default().to_owned()
}

pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..200 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}
