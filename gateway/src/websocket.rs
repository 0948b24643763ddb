//! Streams over WebSocket: the handshake. What is said afterwards is in `session`.
//! <https://www.rfc-editor.org/rfc/rfc6455>
//!
//! A handshake is a GET on the method's route, whatever verb the route has, or on its gRPC path. It
//! passes the same checks as any request, and until it has passed them it is refused in plain HTTP.

mod session;

use crate::{
    edge::{Inner, Visit},
    idempotency,
    problem::Problem,
    reply,
    site::{Endpoint, Site},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use jangteo_core::{Code, Error};
use metrics::SharedString;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tonic::body::Body;
use transcode::RouteError;

pub(crate) use session::Session;

/// RFC 6455, section 1.3.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The subprotocol that brings a token along, for browsers, whose WebSocket sets no headers.
const BEARER: &str = "bearer";

/// Where a connection finds the session that goes on with it once HTTP is over.
#[derive(Clone, Default)]
pub(crate) struct Handover(Arc<Mutex<Option<Session>>>);

impl Handover {
    pub fn put(&self, session: Session) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    pub fn take(&self) -> Option<Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A handshake that was accepted, until the answer that says so is on its way.
pub(crate) struct Accepted {
    upgrade: OnUpgrade,
    handover: Handover,
    site: Arc<Site>,
    /// The route's own verb; `None`: the path is the method's gRPC path.
    verb: Option<String>,
    path: String,
    query: Option<String>,
    grpc_path: String,
    /// As the client sent them, the token in its usual place.
    headers: HeaderMap,
    metadata: HeaderMap,
    key: Option<String>,
    deadline: Option<Instant>,
}

pub(crate) fn is_handshake(parts: &Parts) -> bool {
    parts.method == Method::GET && has_token(&parts.headers, header::UPGRADE, "websocket")
}

pub(crate) async fn answer(
    edge: &Inner,
    site: &Arc<Site>,
    visit: &mut Visit,
    parts: &Parts,
) -> Result<Response<Body>, Problem> {
    let shaken = sound(parts).and_then(|hands| {
        edge.cors.admits_socket(&parts.headers)?;
        Ok((hands, find(site, parts.uri.path())?, with_token(&parts.headers)?))
    });
    let ((upgrade, handover, accept), found, (headers, bearer)) = match shaken {
        Ok(shaken) => shaken,
        Err(problem) => {
            edge.admit_stray(visit).await?;
            return Err(problem);
        }
    };
    visit.route(found.label);
    edge.admit(visit, found.endpoint, &headers).await?;
    let key = idempotency::key(&headers)?.map(str::to_owned);
    let deadline = edge.timeout(found.endpoint, &headers)?.map(|t| Instant::now() + t);
    let mut metadata = edge.metadata(visit, found.endpoint, &headers, deadline);
    metadata.insert("grpc-accept-encoding", HeaderValue::from_static("gzip,identity"));
    visit.socket = Some(Accepted {
        upgrade,
        handover,
        site: site.clone(),
        verb: found.verb,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        grpc_path: found.endpoint.uri.path().to_owned(),
        headers,
        metadata,
        key,
        deadline,
    });
    let mut response = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
    let to = response.headers_mut();
    to.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    to.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    to.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if bearer {
        // Never the token itself.
        to.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(BEARER));
    }
    Ok(response)
}

fn sound(parts: &Parts) -> Result<(OnUpgrade, Handover, HeaderValue), Problem> {
    let bad = |text: &'static str| Problem::new(Code::InvalidArgument, "BAD_HANDSHAKE", text);
    let headers = &parts.headers;
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        let (status, text) = (StatusCode::UPGRADE_REQUIRED, "speak version 13 of WebSocket");
        return Err(Problem::http(status, Code::InvalidArgument, "WEBSOCKET_VERSION", text)
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::UPGRADE, "websocket"));
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(bad("the handshake lacks Connection: Upgrade"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if !BASE64_STANDARD.decode(key).is_ok_and(|k| k.len() == 16) {
        return Err(bad("Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    let upgrade = parts.extensions.get::<OnUpgrade>().cloned();
    let handover = parts.extensions.get::<Handover>().cloned();
    let (upgrade, handover) = upgrade.zip(handover).ok_or_else(|| bad("WebSocket needs HTTP/1.1"))?;
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, MAGIC].concat());
    let accept = BASE64_STANDARD.encode(digest);
    Ok((upgrade, handover, HeaderValue::try_from(accept).expect("base64 is ASCII")))
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).any(|t| t.trim().eq_ignore_ascii_case(token))
}

/// The headers with a token of the subprotocols moved to where tokens belong, and whether there was one.
fn with_token(from: &HeaderMap) -> Result<(HeaderMap, bool), Problem> {
    let mut headers = from.clone();
    headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    let offered = from.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    let mut offered = offered.flat_map(|v| v.split(',')).map(str::trim).skip_while(|p| *p != BEARER);
    if offered.next().is_none() {
        return Ok((headers, false));
    }
    let token =
        offered.next().filter(|t| !t.is_empty()).and_then(|t| HeaderValue::try_from(format!("Bearer {t}")).ok());
    let (Some(mut token), false) = (token, headers.contains_key(header::AUTHORIZATION)) else {
        let text = "send one token: Authorization, or Sec-WebSocket-Protocol: bearer, <token>";
        return Err(Error::unauthenticated("TOKEN_INVALID", text).into());
    };
    token.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, token);
    Ok((headers, true))
}

struct Found<'a> {
    endpoint: &'a Endpoint,
    verb: Option<String>,
    label: SharedString,
}

/// The streaming method at a path: by its route, GET's first, or by its gRPC path.
fn find<'a>(site: &'a Site, path: &str) -> Result<Found<'a>, Problem> {
    let mut verbs = site.api.allow(path);
    verbs.sort_by_key(|v| *v != "GET");
    let mut unary = false;
    for verb in verbs {
        let matched = match site.api.route(if verb == "*" { "GET" } else { verb }, path) {
            Ok(matched) => matched,
            Err(RouteError::BadPath(e)) => return Err(e.into()),
            Err(_) => continue,
        };
        let binding = matched.binding();
        let method = matched.method();
        let Some(endpoint) = site.endpoint(method.grpc_path()).filter(|e| !e.is_internal()) else { continue };
        if endpoint.policy.streaming && !binding.takes_http_body() {
            let label = binding.template().text().clone().into();
            return Ok(Found { endpoint, verb: Some(binding.verb().replace('*', "GET")), label });
        }
        unary = true;
    }
    match site.endpoint(path).filter(|e| !e.is_internal()) {
        Some(endpoint) if endpoint.policy.streaming => {
            Ok(Found { endpoint, verb: None, label: endpoint.label.clone() })
        }
        None if !unary => Err(Problem::new(Code::NotFound, "ROUTE_NOT_FOUND", "there is nothing at this address")),
        _ => {
            let text = "only streams of JSON are spoken over WebSocket; call this method as plain HTTP";
            Err(Problem::new(Code::InvalidArgument, "NOT_A_STREAM", text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocols(values: &[&str]) -> HeaderMap {
        values.iter().map(|v| (header::SEC_WEBSOCKET_PROTOCOL, v.parse().unwrap())).collect()
    }

    #[test]
    fn tokens_of_browsers() {
        for offered in [&["bearer, a.b-c_d"][..], &["bearer", "a.b-c_d"], &["chat, bearer,a.b-c_d, more"]] {
            let (headers, bearer) = with_token(&protocols(offered)).unwrap();
            assert!(bearer && headers[header::AUTHORIZATION].is_sensitive());
            assert_eq!(headers[header::AUTHORIZATION], "Bearer a.b-c_d");
            assert!(!headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL));
        }
        assert!(!with_token(&protocols(&["chat"])).unwrap().1);
        assert!(with_token(&protocols(&["bearer"])).is_err());
        let mut both = protocols(&["bearer, a"]);
        both.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert!(with_token(&both).is_err());
    }

    #[test]
    fn lists_of_tokens() {
        let headers = HeaderMap::from_iter([(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"))]);
        assert!(has_token(&headers, header::CONNECTION, "upgrade"));
        assert!(!has_token(&headers, header::CONNECTION, "up"));
    }
}
