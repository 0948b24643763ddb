//! Mutual TLS: who is let in, and as whom.

use crate::{
    probe::{Client, echo},
    refused::{ECHO, raw, read},
    world::{Authority, Shape, World},
};
use http::HeaderValue;
use jangteo_core::{Code, Error};
use proto::{Client as _, jangteo::probe::v1::EchoResponse};
use rpc::{Peer, PeerConfig, TlsFiles};
use std::sync::Arc;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tower::ServiceExt;

async fn call_as(w: &World, tls: &TlsFiles, service: &str) -> Result<EchoResponse, Error> {
    let policies = Arc::new(w.guard.policies.clone());
    let config = PeerConfig { retries: 0, ..Default::default() };
    let peer = Peer { caller: "order".into(), policies, config };
    let channel = peer.remote(service, &format!("https://{}", w.address()), Some(tls)).unwrap();
    Client::new(channel).echo(&w.cx(), echo("hi")).await
}

#[tokio::test]
async fn the_certificate_names_the_caller_and_nothing_else_does() {
    let w = World::new(Shape::Mutual).await;
    // The peer says it is `order`; its certificate was given to the gateway.
    let answer = call_as(&w, &w.authority.service("gateway"), "probe").await.unwrap();
    assert_eq!(answer.caller, "gateway");
    let mesh = w.authority.issue("user", &["spiffe://cluster.local/ns/market/sa/user"]);
    assert_eq!(call_as(&w, &mesh, "probe").await.unwrap().caller, "user");
}

#[tokio::test]
async fn a_certificate_without_one_identity_is_nobodys() {
    let w = World::new(Shape::Mutual).await;
    for uris in [
        &[][..],
        &["https://jangteo/ns/market/sa/order"],
        &["spiffe://jangteo/order"],
        &["spiffe://jangteo/ns/market/sa/order/x"],
        &["spiffe://jangteo/ns/market/sa/order", "spiffe://jangteo/ns/market/sa/admin"],
        &["https://x", "spiffe://jangteo/ns/market/sa/order"],
    ] {
        let e = call_as(&w, &w.authority.issue("order", uris), "probe").await.unwrap_err();
        assert_eq!((e.code(), e.reason()), (Code::Unauthenticated, "CALLER_UNKNOWN"), "{uris:?}");
    }
    assert_eq!(w.probe.runs(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let w = World::new(Shape::Mutual).await;
    let mut theirs = Authority::new().service("gateway");
    // Otherwise it is they who refuse us.
    theirs.ca = w.authority.service("gateway").ca;
    let e = call_as(&w, &theirs, "probe").await.unwrap_err();
    assert_eq!(e.code(), Code::Unavailable);
    assert_eq!(w.probe.runs(), 0);
}

#[tokio::test]
async fn a_server_of_another_authority_or_another_name_is_not_believed() {
    let w = World::new(Shape::Mutual).await;
    let mut ours = w.authority.service("gateway");
    let e = call_as(&w, &ours, "auth").await.unwrap_err();
    assert_eq!(e.code(), Code::Unavailable, "the certificate says probe");
    ours.ca = Authority::new().service("gateway").ca;
    assert_eq!(call_as(&w, &ours, "probe").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(w.probe.runs(), 0);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let w = World::new(Shape::Mutual).await;
    let files = w.authority.service("gateway");
    let endpoint = Endpoint::from_shared(format!("https://{}", w.address())).unwrap();
    let anonymous = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&files.ca)).domain_name("probe");
    let channel = endpoint.clone().tls_config(anonymous.clone()).unwrap().connect_lazy();
    assert!(channel.oneshot(raw(ECHO)).await.is_err());
    let named = anonymous.identity(Identity::from_pem(&files.cert, &files.key));
    let channel = endpoint.tls_config(named).unwrap().connect_lazy();
    let mut request = raw(ECHO);
    request.headers_mut().insert("x-jangteo-caller", HeaderValue::from_static("order"));
    let (code, message, _) = read(channel.oneshot(request).await.unwrap()).await;
    assert_eq!((code, message.unwrap().caller.as_str()), (Code::Ok, "gateway"), "what the first one lacked");
}

#[tokio::test]
async fn a_plain_client_is_refused() {
    let w = World::new(Shape::Mutual).await;
    let channel = Endpoint::from_shared(format!("http://{}", w.address())).unwrap().connect_lazy();
    let mut request = raw(ECHO);
    request.headers_mut().insert("x-jangteo-caller", HeaderValue::from_static("gateway"));
    assert!(channel.oneshot(request).await.is_err());
    assert_eq!(w.probe.runs(), 0);
    assert!(w.client().echo(&w.cx(), echo("")).await.is_ok(), "and the others are still served");
}
