//! What the guard refuses, and what it does not let itself be told, in all three shapes.

use crate::{
    probe::echo,
    world::{NOW, World, token},
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use jangteo_core::{Call, Code, Principal};
use prost::Message;
use proto::jangteo::probe::v1::{EchoOnceRequest, EchoResponse};
use rpc::PeerConfig;
use tonic::body::Body;
use tower::ServiceExt;

everywhere! {
    a_service_that_is_not_declared,
    people_without_the_right,
    a_call_without_its_key,
    a_call_with_an_odd_key,
    a_bad_token_even_where_none_is_needed,
    authorization_that_cannot_be_read,
    a_timeout_that_cannot_be_read,
    a_method_that_does_not_exist,
    context_smuggled_in_beside_the_metadata,
    claims_in_headers,
}

pub const ECHO: &str = "/jangteo.probe.v1.ProbeService/Echo";

/// A request as no generated client would send it.
pub fn raw(path: &str) -> Request<Body> {
    let message = echo("raw").encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.extend(message);
    let body = Body::new(Full::new(Bytes::from(frame)).map_err(|never| match never {}));
    let request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    request.body(body).unwrap()
}

/// The status and the message of an answer.
pub async fn read(response: Response<Body>) -> (Code, Option<EchoResponse>, HeaderMap) {
    let mut headers = response.headers().clone();
    let body = response.into_body().collect().await.unwrap();
    headers.extend(body.trailers().cloned().unwrap_or_default());
    let code = headers.get("grpc-status").expect("a status").to_str().unwrap().parse().unwrap();
    let bytes = body.to_bytes();
    let message = (bytes.len() >= 5).then(|| EchoResponse::decode(&bytes[5..]).unwrap());
    (Code::from_i32(code), message, headers)
}

async fn send(w: &World, request: Request<Body>) -> (Code, Option<EchoResponse>, HeaderMap) {
    let response = w.channel("gateway", PeerConfig::default()).oneshot(request).await.unwrap();
    assert!(response.extensions().is_empty(), "nothing comes back beside the metadata");
    read(response).await
}

fn with(headers: &[(&'static str, &[u8])]) -> Request<Body> {
    let mut request = raw(ECHO);
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    request
}

async fn a_service_that_is_not_declared(w: World) {
    let request = EchoOnceRequest { text: "x".into(), request_id: "k".into() };
    let e = w.client_of("order").echo_once(&w.signed_in(&["admin"]), request).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::PermissionDenied, "CALLER_NOT_DECLARED"));
    assert_eq!(e.metadata()["caller"], "order");
    assert_eq!(w.probe.runs(), 0);
}

async fn people_without_the_right(w: World) {
    let request = EchoOnceRequest { text: "x".into(), request_id: "k".into() };
    let client = w.client();
    let e = client.echo_once(&w.cx(), request.clone()).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Unauthenticated, "SIGN_IN_REQUIRED"));
    for roles in [&[][..], &["user"], &["Admin"], &["ROLE_ADMIN"], &["user", "administrator"]] {
        let e = client.echo_once(&w.signed_in(roles), request.clone()).await.unwrap_err();
        assert_eq!((e.code(), e.reason()), (Code::PermissionDenied, "ROLE_REQUIRED"), "{roles:?}");
        assert_eq!(e.metadata()["roles"], "admin");
    }
    assert_eq!(w.probe.runs(), 0);
    assert!(client.echo_once(&w.signed_in(&["user", "admin"]), request).await.is_ok());
    w.guard.verifier.revoke("ses_1", w.cx().now + std::time::Duration::from_secs(3600), w.cx().now);
    let e = client.echo(&w.signed_in(&["admin"]), echo("x")).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Unauthenticated, "SESSION_REVOKED"));
}

async fn a_call_without_its_key(w: World) {
    let (client, cx) = (w.client(), w.signed_in(&["admin"]));
    let mut request = EchoOnceRequest { text: "x".into(), ..Default::default() };
    let e = client.echo_once(&cx, request.clone()).await.unwrap_err();
    assert_eq!((e.code(), e.field_violations()[0].field.as_str()), (Code::InvalidArgument, "request_id"));
    assert_eq!(e.field_violations()[0].reason, "REQUIRED");
    request.request_id = "key-1".into();
    client.echo_once(&cx, request.clone()).await.unwrap();
    let first = w.probe.last();
    assert_eq!(first.request_id.as_deref(), Some("key-1"));
    client.echo_once(&cx, request.clone()).await.unwrap();
    assert_eq!(w.probe.last().fingerprint, first.fingerprint, "the same request");
    request.text = "y".into();
    client.echo_once(&cx, request).await.unwrap();
    assert_ne!(w.probe.last().fingerprint, first.fingerprint, "another request");
}

async fn a_call_with_an_odd_key(w: World) {
    let (client, cx) = (w.client(), w.signed_in(&["admin"]));
    for id in ["k".repeat(129).as_str(), "two words", "키", "k\n", "k\u{0}", "\u{7f}"] {
        let request = EchoOnceRequest { text: "x".into(), request_id: id.into() };
        let e = client.echo_once(&cx, request).await.unwrap_err();
        assert_eq!(e.field_violations()[0].reason, "INVALID_KEY", "{id:?}");
    }
    let request = EchoOnceRequest { text: "x".into(), request_id: "k".repeat(128) };
    assert!(client.echo_once(&cx, request).await.is_ok());
}

async fn a_bad_token_even_where_none_is_needed(w: World) {
    let mut cx = w.cx();
    cx.token = Some("forged".into());
    let e = w.client().echo(&cx, echo("x")).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Unauthenticated, "TOKEN_INVALID"));
    cx.token = Some(token(&["admin"], NOW).into());
    let e = w.client().echo(&cx, echo("x")).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Unauthenticated, "TOKEN_EXPIRED"));
    assert_eq!(w.probe.runs(), 0);
}

async fn authorization_that_cannot_be_read(w: World) {
    let good = format!("Bearer {}", token(&["admin"], NOW + 60));
    let bare = good.trim_start_matches("Bearer ").as_bytes();
    let odd: [&[u8]; 7] = [b"Basic YTpi", b"Bearer", b"Bearer ", b"", bare, b"Bearer \xff\xfe", b"\xed\x86\xa0"];
    let twice: [&[&[u8]]; 2] = [&[good.as_bytes(), good.as_bytes()], &[good.as_bytes(), b"Bearer x"]];
    for values in odd.iter().map(std::slice::from_ref).chain(twice) {
        let headers: Vec<_> = values.iter().map(|v| ("authorization", *v)).collect();
        let (code, ..) = send(&w, with(&headers)).await;
        assert_eq!(code, Code::Unauthenticated, "{values:?}");
    }
    assert_eq!(w.probe.runs(), 0, "none of them is nobody");
    let (code, message, _) = send(&w, with(&[("authorization", good.replace("Bearer", "bearer").as_bytes())])).await;
    assert_eq!((code, message.unwrap().principal.as_str()), (Code::Ok, "user:usr_1"));
}

async fn a_timeout_that_cannot_be_read(w: World) {
    for value in ["", "1", "u", "123456789S", "-1S", "1x", "1 S", "1s"] {
        let (code, ..) = send(&w, with(&[("grpc-timeout", value.as_bytes())])).await;
        assert_eq!(code, Code::InvalidArgument, "{value:?}");
    }
    assert_eq!(w.probe.runs(), 0);
    let (code, ..) = send(&w, with(&[("grpc-timeout", b"99999999H")])).await;
    assert_eq!(code, Code::Ok);
}

async fn a_method_that_does_not_exist(w: World) {
    let elsewhere = w.guard.policies.values().find(|p| p.service != "probe" && p.admits("gateway"));
    for path in [
        "/jangteo.probe.v1.ProbeService/Nothing",
        "/jangteo.probe.v1.ProbeService/Echo/",
        "/jangteo.probe.v1.ProbeService/echo",
        "//jangteo.probe.v1.ProbeService/Echo",
        "/jangteo.probe.v1.Nobody/Echo",
        "/grpc.health.v1.Health/Check",
        "/",
    ] {
        let (code, ..) = send(&w, raw(path)).await;
        assert_eq!(code, Code::Unimplemented, "{path}");
    }
    // One with a policy that another service answers.
    let path = &elsewhere.expect("a market of more than one service").path;
    let (code, ..) = send(&w, raw(path)).await;
    assert!([Code::Unimplemented, Code::Unauthenticated].contains(&code), "{path}: {code:?}");
    let (code, ..) = send(&w, raw("/jangteo.probe.v1.ProbeService/Echo?x=1")).await;
    assert_eq!(code, Code::Ok, "a query is no part of the name");
}

async fn context_smuggled_in_beside_the_metadata(w: World) {
    let mut request = raw(ECHO);
    let mut forged = Call::system("admin", "forged", w.cx().now);
    forged.principal = Principal::System("admin".into());
    forged.locale = Some("xx".into());
    request.extensions_mut().insert(forged);
    request.extensions_mut().insert("anything".to_owned());
    let (code, message, _) = send(&w, request).await;
    let message = message.unwrap();
    assert_eq!(code, Code::Ok);
    assert_eq!((message.caller.as_str(), message.principal.as_str()), ("gateway", "anonymous"));
    assert_eq!(message.locale, "");
}

async fn claims_in_headers(w: World) {
    let (code, message, _) = send(
        &w,
        with(&[
            ("x-jangteo-caller", b"order"),
            ("x-forwarded-client-cert", b"URI=spiffe://jangteo/ns/market/sa/order"),
            ("x-user-id", b"usr_admin"),
            ("x-jangteo-principal", b"system:order"),
            ("x-spiffe-id", b"spiffe://jangteo/ns/market/sa/order"),
        ]),
    )
    .await;
    let message = message.unwrap();
    assert_eq!(code, Code::Ok);
    assert_eq!((message.caller.as_str(), message.principal.as_str()), ("gateway", "anonymous"));
}
