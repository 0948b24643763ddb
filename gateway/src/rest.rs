//! REST and JSON in, gRPC out.

use crate::{
    body,
    edge::{Inner, Visit},
    frames, http_reply, idempotency,
    negotiate::{self, Sent},
    problem::Problem,
    reply,
    site::{Endpoint, Site},
    stream::JsonStream,
    upload, upstream,
};
use bytes::Bytes;
use frames::HEAD;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body::Body as _;
use jangteo_core::Code;
use std::{borrow::Cow, sync::Arc, time::Instant};
use tonic::body::Body;
use transcode::{Match, RouteError};

/// What a method's own path takes.
const RPC: &str = "application/json, application/proto, application/connect+json, application/connect+proto, application/grpc, \
                   application/grpc-web, application/grpc-web-text";

pub(crate) async fn answer(
    edge: &Inner,
    site: &Arc<Site>,
    visit: &mut Visit,
    parts: &Parts,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let path = parts.uri.path();
    if parts.method == Method::OPTIONS {
        return Box::pin(options(edge, site, visit, path)).await;
    }
    let (found, head) = route(site, &parts.method, path);
    let found = found.and_then(|m| {
        let endpoint = site.endpoint(m.method().grpc_path()).filter(|e| !e.is_internal());
        endpoint.map(|e| (m, e)).ok_or(RouteError::NotFound)
    });
    let (matched, endpoint) = match found {
        Ok(found) => found,
        Err(e) => {
            edge.admit_stray(visit).await?;
            return Err(unrouted(site, &parts.method, path, e));
        }
    };
    let binding = matched.binding();
    visit.route(binding.template().text().clone().into());
    edge.admit(visit, endpoint, &parts.headers).await?;
    let timeout = edge.timeout(endpoint, &parts.headers)?;
    let deadline = timeout.map(|t| Instant::now() + t);
    let streams = matched.method().server_streaming();
    let mode = match (binding.returns_http_body(), streams) {
        (true, _) => None,
        (false, true) => Some(negotiate::stream_mode(&parts.headers)?),
        (false, false) => {
            negotiate::takes_json(&parts.headers)?;
            None
        }
    };
    let (sent, upload) = if upload::is_upload(endpoint, binding) {
        let (sent, upload) = Box::pin(upload::open(edge, endpoint, &matched, parts, body)).await?;
        (sent, Some(upload))
    } else {
        let framed = request(edge, visit, endpoint, &matched, parts, body).await?;
        (Body::new(http_body_util::Full::new(framed)), None)
    };
    let mut metadata = edge.metadata(visit, endpoint, &parts.headers, deadline);
    let localized = |p: Problem| p.localized(binding);

    if streams {
        metadata.insert("grpc-accept-encoding", HeaderValue::from_static("gzip,identity"));
        let call = upstream::call(endpoint, metadata, sent, deadline);
        let upstream = upload::during(upload, visit, call).await.map_err(localized)?;
        let (head_parts, body) = upstream.into_parts();
        let stream =
            JsonStream::new(edge, site, binding, visit.record.outcome.clone(), &head_parts.headers, body, deadline);
        let mut response = match mode {
            Some(mode) => reply::compressed_stream(&parts.headers, stream.respond(mode), mode, edge.config.compress),
            None => Box::pin(stream.respond_raw()).await.map_err(localized)?,
        };
        if mode.is_none() {
            kept(endpoint, parts, response.headers_mut());
        }
        upstream::copy_metadata(&head_parts.headers, response.headers_mut());
        return Ok(if head { reply::head(response) } else { response });
    }
    let limit = edge.config.max_reply_bytes;
    let call = upstream::unary(endpoint, metadata, sent, deadline, limit);
    let answered = upload::during(upload, visit, call).await.map_err(localized)?;
    let message = &answered.message;
    let mut response = if binding.returns_http_body() {
        let mut response = http_body(&matched, message)?;
        kept(endpoint, parts, response.headers_mut());
        response
    } else {
        json(edge, endpoint, &matched, message, parts)?
    };
    let said = endpoint.http_reply.map(|number| http_reply::of_field(number, &message[HEAD..])).transpose()?;
    if let Some(said) = said.flatten() {
        http_reply::apply(said, &mut response, false)?;
    }
    answered.copy_metadata(response.headers_mut());
    Ok(if head { reply::head(response) } else { response })
}

/// HEAD is GET without the body, where nobody said otherwise.
fn route<'a>(site: &'a Site, method: &Method, path: &'a str) -> (Result<Match<'a>, RouteError>, bool) {
    let found = site.api.route(method.as_str(), path);
    if method == Method::HEAD && matches!(found, Err(RouteError::MethodNotAllowed { .. })) {
        return (site.api.route("GET", path), true);
    }
    (found, method == Method::HEAD)
}

fn unrouted(site: &Site, method: &Method, path: &str, e: RouteError) -> Problem {
    if let RouteError::BadPath(e) = e {
        return e.into();
    }
    let mut verbs = site.verbs(path);
    if let Some(endpoint) = site.endpoint(path).filter(|e| verbs.is_empty() && !e.is_internal()) {
        // A method's own path, which takes all protocols but REST.
        if method == Method::POST {
            return negotiate::unsupported("send a message of gRPC, gRPC-Web or Connect", RPC);
        }
        verbs.extend((endpoint.safe && !endpoint.policy.streaming).then(|| "GET".to_owned()));
        verbs.push("POST".to_owned());
    }
    if verbs.is_empty() {
        return Problem::new(Code::NotFound, "ROUTE_NOT_FOUND", "there is nothing at this address");
    }
    let allow = verbs.join(", ");
    let text = format!("this address takes {allow}");
    Problem::http(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "METHOD_NOT_ALLOWED", text)
        .header(header::ALLOW, allow)
}

async fn options(edge: &Inner, site: &Site, visit: &mut Visit, path: &str) -> Result<Response<Body>, Problem> {
    edge.admit_stray(visit).await?;
    if path == "*" {
        // About the server as a whole.
        return Ok(reply::empty(StatusCode::NO_CONTENT));
    }
    let verbs = site.verbs(path);
    if verbs.is_empty() {
        return Err(unrouted(site, &Method::OPTIONS, path, RouteError::NotFound));
    }
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    if let Ok(allow) = HeaderValue::try_from(verbs.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    Ok(response)
}

/// The request's message or messages, framed.
async fn request(
    edge: &Inner,
    visit: &mut Visit,
    endpoint: &Endpoint,
    matched: &Match<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Bytes, Problem> {
    let headers = &parts.headers;
    let binding = matched.binding();
    let key = idempotency::key(headers)?;
    let takes_body = *binding.body() != transcode::Body::None;
    let sent = if body.is_end_stream() || headers.get(header::CONTENT_LENGTH).is_some_and(|v| v == "0") {
        Sent::Json
    } else if !takes_body {
        let text = "this method takes no body";
        return match body::read(body, headers, 0, crate::config::millis(edge.config.body_timeout_ms)).await {
            Ok(_) => finish(endpoint, matched, parts, Bytes::new(), Sent::Json, key),
            Err(p) if p.http_status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Problem::new(Code::InvalidArgument, "BODY_NOT_ALLOWED", text))
            }
            Err(p) => Err(p),
        };
    } else if binding.takes_http_body() {
        Sent::Json
    } else {
        negotiate::sent_json(headers)?
    };
    let within = crate::config::millis(edge.config.body_timeout_ms);
    let bytes = body::read(body, headers, edge.config.max_body_bytes, within).await?;
    visit.record.received = bytes.len() as u64;
    finish(endpoint, matched, parts, bytes, sent, key)
}

fn finish(
    endpoint: &Endpoint,
    matched: &Match<'_>,
    parts: &Parts,
    bytes: Bytes,
    sent: Sent,
    key: Option<&str>,
) -> Result<Bytes, Problem> {
    let query = parts.uri.query();
    let binding = matched.binding();
    let extra = key.map(|k| ("request_id", k)).filter(|_| binding.has_string_field("request_id"));
    let extras = extra.as_slice();
    let mut out = frames::open();
    if binding.takes_http_body() {
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        out.extend_from_slice(&matched.request_http_body(query, content_type, &bytes, extras)?);
        frames::close(&mut out, 0);
    } else if sent == Sent::Lines || (endpoint.client_streaming && !bytes.is_empty()) {
        if !endpoint.client_streaming {
            return Err(negotiate::unsupported(
                "this method takes one message as application/json",
                "application/json",
            ));
        }
        out.clear();
        for line in lines(&bytes, sent) {
            let start = out.len();
            out.extend_from_slice(&[0; HEAD]);
            matched.request_into(query, line, extras, &mut out)?;
            frames::close(&mut out, start);
        }
        return Ok(out.into());
    } else {
        out.reserve(bytes.len());
        matched.request_into(query, &bytes, extras, &mut out)?;
        frames::close(&mut out, 0);
    }
    idempotency::check(endpoint, extra.map(|(_, k)| k), &out)?;
    Ok(out.into())
}

/// The messages of a stream that a client sends at once: one a line, or one document.
fn lines(bytes: &[u8], sent: Sent) -> impl Iterator<Item = &[u8]> {
    let separator = move |b: &u8| sent == Sent::Lines && *b == b'\n';
    bytes.split(separator).map(<[u8]>::trim_ascii).filter(|l| !l.is_empty())
}

fn is_safe(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// How long a raw body may be kept, where the policy says and the service did not. Of a stream of messages nobody keeps
/// anything: it may fail in the middle, and be told as a whole answer.
fn kept(endpoint: &Endpoint, parts: &Parts, headers: &mut HeaderMap) {
    if let Some(said) = endpoint.cache_control.as_ref().filter(|_| is_safe(&parts.method)) {
        headers.entry(header::CACHE_CONTROL).or_insert_with(|| said.clone());
    }
}

fn json(
    edge: &Inner,
    endpoint: &Endpoint,
    matched: &Match<'_>,
    message: &Bytes,
    parts: &Parts,
) -> Result<Response<Body>, Problem> {
    let mut out = Vec::with_capacity(message.len() * 2 + 16);
    matched.response(&message[HEAD..], &mut out)?;
    let mut response = if is_safe(&parts.method) {
        reply::revalidated(&parts.headers, out.into(), edge.config.compress, endpoint.cache_control.as_ref())
    } else {
        reply::compressed(&parts.headers, out.into(), edge.config.compress)
    };
    if response.status() != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(response)
}

fn http_body(matched: &Match<'_>, message: &Bytes) -> Result<Response<Body>, Problem> {
    let raw = matched.binding().response_http_body(&message[HEAD..])?;
    let said = http_reply::of_extensions(&raw.extensions)?;
    let data = match raw.data {
        Cow::Borrowed(part) => message.slice_ref(part),
        Cow::Owned(data) => data.into(),
    };
    let mut response = reply::full(StatusCode::OK, data);
    set_content_type(response.headers_mut(), &raw.content_type);
    if let Some(said) = said {
        http_reply::apply(said, &mut response, false)?;
    }
    Ok(response)
}

pub(crate) fn set_content_type(headers: &mut HeaderMap, content_type: &str) {
    let given = HeaderValue::from_str(content_type).ok().filter(|v| !v.is_empty());
    let value = given.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_stream() {
        let all: Vec<&[u8]> = lines(b"{\"a\":1}\r\n\n {\"a\":2}\n", Sent::Lines).collect();
        assert_eq!(all, [&b"{\"a\":1}"[..], b"{\"a\":2}"]);
        assert_eq!(lines(b"{\n\"a\":1\n}", Sent::Json).count(), 1);
    }
}
