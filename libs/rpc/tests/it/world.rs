//! A probe service with its guard, its callers and its keys, in one of three shapes.

use crate::probe::{Client, Probe, routes};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use jangteo_core::{Call, Clock, ManualClock, Principal, from_micros};
use proto::{Channel, Client as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rpc::{CallerTrust, Guard, Guarded, LocalService, Peer, PeerConfig, TlsFiles, Verifier};
use serde_json::json;
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub const NOW: i64 = 1_800_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Local,
    Remote,
    Mutual,
}

pub struct World {
    pub shape: Shape,
    pub probe: Arc<Probe>,
    pub guard: Arc<Guard>,
    pub authority: Authority,
    pub clock: ManualClock,
    local: LocalService,
    pub server: Option<Server>,
}

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut p = CertificateParams::new(vec![]).unwrap();
        p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        p.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Authority(CertifiedIssuer::self_signed(p, KeyPair::generate().unwrap()).unwrap())
    }

    /// What a service named `dns` with these ids would be given.
    pub fn issue(&self, dns: &str, uris: &[&str]) -> TlsFiles {
        let mut p = CertificateParams::new(vec![dns.to_owned()]).unwrap();
        for uri in uris {
            p.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap()));
        }
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = p.signed_by(&key, &self.0).unwrap();
        TlsFiles {
            cert: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
            ca: self.0.pem().into_bytes(),
        }
    }

    pub fn service(&self, name: &str) -> TlsFiles {
        self.issue(name, &[&format!("spiffe://jangteo/ns/market/sa/{name}")])
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub done: JoinHandle<()>,
}

impl Server {
    pub async fn start(tls: Option<TlsFiles>, service: Guarded) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, tls, service)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's server")]
    pub fn on(listener: TcpListener, tls: Option<TlsFiles>, service: Guarded) -> Server {
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            rpc::serve(listener, tls.as_ref(), service, shutdown).await.unwrap();
        });
        Server { address, stop, done }
    }
}

impl World {
    pub async fn new(shape: Shape) -> World {
        let probe = Arc::new(Probe::default());
        let authority = Authority::new();
        let clock = ManualClock::at(from_micros(NOW * 1_000_000));
        let trust = if shape == Shape::Remote { CallerTrust::Header } else { CallerTrust::Transport };
        let verifier = Arc::new(Verifier::default());
        verifier.set_keys([("k1", B64.encode(key().public_key()).as_str())]);
        let guard = Guard::new(verifier, Arc::new(clock.clone()), trust).unwrap();
        let guarded = Guarded::new(guard.clone(), routes(&probe));
        let server = match shape {
            Shape::Local => None,
            Shape::Remote => Some(Server::start(None, guarded.clone()).await),
            Shape::Mutual => Some(Server::start(Some(authority.service("probe")), guarded.clone()).await),
        };
        let local = LocalService::default();
        assert!(local.set(guarded).is_ok());
        World { shape, probe, guard, authority, clock, local, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.as_ref().expect("a remote shape").address
    }

    /// The channel through which `caller` reaches the probe.
    pub fn channel(&self, caller: &str, config: PeerConfig) -> Channel {
        let peer = Peer { caller: caller.into(), policies: Arc::new(self.guard.policies.clone()), config };
        match self.shape {
            Shape::Local => peer.local(self.local.clone()),
            Shape::Remote => peer.remote("probe", &format!("http://{}", self.address()), None).unwrap(),
            Shape::Mutual => {
                let tls = self.authority.service(caller);
                peer.remote("probe", &format!("https://{}", self.address()), Some(&tls)).unwrap()
            }
        }
    }

    pub fn client_of(&self, caller: &str) -> Client {
        Client::new(self.channel(caller, PeerConfig::default()))
    }

    pub fn client(&self) -> Client {
        self.client_of("gateway")
    }

    pub fn cx(&self) -> Call {
        let mut cx = Call::system("gateway", "test", self.clock.now());
        cx.principal = Principal::Anonymous;
        cx
    }

    /// On behalf of somebody with these roles.
    pub fn signed_in(&self, roles: &[&str]) -> Call {
        let mut cx = self.cx();
        cx.token = Some(token(roles, NOW + 3600).into());
        cx
    }
}

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

pub fn token(roles: &[&str], expires: i64) -> String {
    let header = json!({"alg": "EdDSA", "typ": rpc::TOKEN_TYPE, "kid": "k1"});
    let claims = rpc::Claims {
        iss: rpc::ISSUER.into(),
        aud: rpc::AUDIENCE.into(),
        sub: "usr_1".into(),
        sid: "ses_1".into(),
        roles: roles.iter().map(|r| (*r).to_owned()).collect(),
        iat: NOW,
        nbf: NOW,
        exp: expires,
        jti: "tok_1".into(),
    };
    let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(serde_json::to_vec(&claims).unwrap()));
    format!("{message}.{}", B64.encode(key().sign(message.as_bytes())))
}
