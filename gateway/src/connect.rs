//! The Connect protocol: a POST to a method's own path, in JSON or protobuf, streams in envelopes; a
//! GET with the message in the query for methods without side effects.
//! <https://connectrpc.com/docs/protocol>

use crate::{
    body,
    coding::{self, Coding},
    config::millis,
    edge::{Inner, Visit},
    frames::{self, Checked, Frames, HEAD, Refusal},
    grpc, idempotency, negotiate,
    observe::Outcome,
    problem::Problem,
    reply,
    site::{Endpoint, Site},
    upstream,
};
use base64::{Engine, alphabet::URL_SAFE, engine::GeneralPurpose, engine::general_purpose as b64};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body::Frame;
use http_body_util::Full;
use jangteo_core::{Code, Error};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::time::Sleep;
use tonic::{Status, body::Body};

/// Marks the last envelope of a stream.
const END: u8 = 2;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    stream: bool,
    json: bool,
    get: bool,
}

/// The method that a request means when it speaks Connect.
pub(crate) fn method<'a>(site: &'a Site, parts: &Parts) -> Option<(Kind, &'a Endpoint, &'a Arc<transcode::Method>)> {
    let path = parts.uri.path();
    let endpoint = site.endpoint(path).filter(|e| !e.is_internal())?;
    if parts.method == Method::GET && parts.uri.query().is_some() && endpoint.safe && !endpoint.policy.streaming {
        let json = param(parts, "encoding").is_none_or(|e| e != "proto");
        return Some((Kind { stream: false, json, get: true }, endpoint, site.api.method(path)?));
    }
    if parts.method != Method::POST {
        return None;
    }
    let kind = match negotiate::media_type(&parts.headers).as_str() {
        "application/json" => Kind { stream: false, json: true, get: false },
        "application/proto" => Kind { stream: false, json: false, get: false },
        "application/connect+json" => Kind { stream: true, json: true, get: false },
        "application/connect+proto" => Kind { stream: true, json: false, get: false },
        _ => return None,
    };
    Some((kind, endpoint, site.api.method(path)?))
}

pub(crate) async fn answer(
    edge: &Inner,
    site: &Arc<Site>,
    visit: &mut Visit,
    parts: &Parts,
    body: Body,
    (kind, endpoint, method): (Kind, &Endpoint, &Arc<transcode::Method>),
) -> Response<Body> {
    visit.route(endpoint.label.clone());
    let call = Call { edge, site, endpoint, method, parts, kind };
    let answered = match kind.stream {
        false => call.unary(visit, body).await,
        true => call.stream(visit, body).await,
    };
    answered.unwrap_or_else(|problem| {
        visit.record.outcome.set(problem.code() as i32);
        let mut out = Vec::new();
        problem.write_connect(site.types(), &mut out);
        if !kind.stream {
            let mut response = reply::full(problem.http_status(), out.into());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            upstream::copy_metadata(problem.metadata(), response.headers_mut());
            binary_metadata(problem.metadata(), response.headers_mut());
            return response;
        }
        // Streams tell everything in their last envelope.
        let mut response = reply::full(StatusCode::OK, last(Some(out), problem.metadata()));
        response.headers_mut().insert(header::CONTENT_TYPE, kind.content_type());
        response
    })
}

impl Kind {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match (self.stream, self.json) {
            (false, true) => "application/json",
            (false, false) => "application/proto",
            (true, true) => "application/connect+json",
            (true, false) => "application/connect+proto",
        })
    }
}

struct Call<'a> {
    edge: &'a Inner,
    site: &'a Arc<Site>,
    endpoint: &'a Endpoint,
    method: &'a Arc<transcode::Method>,
    parts: &'a Parts,
    kind: Kind,
}

impl Call<'_> {
    async fn admit(&self, visit: &mut Visit) -> Result<Option<Instant>, Problem> {
        let headers = &self.parts.headers;
        self.edge.admit(visit, self.endpoint, headers).await?;
        let streams = self.method.client_streaming() || self.method.server_streaming();
        if streams != self.kind.stream {
            let text =
                if streams { "a stream is sent as application/connect+json" } else { "this method has no stream" };
            return Err(negotiate::unsupported(text, "application/json, application/connect+json"));
        }
        Ok(self.edge.timeout(self.endpoint, headers)?.map(|t| Instant::now() + t))
    }

    /// One message as the client sent it, framed for the service.
    fn framed(&self, payload: &[u8]) -> Result<Vec<u8>, Problem> {
        let mut out = frames::open();
        match self.kind.json {
            true => self.method.request(payload, &mut out)?,
            false => out.extend_from_slice(payload),
        }
        frames::close(&mut out, 0);
        Ok(out)
    }

    async fn unary(&self, visit: &mut Visit, body: Body) -> Result<Response<Body>, Problem> {
        let deadline = self.admit(visit).await?;
        let config = &self.edge.config;
        let headers = &self.parts.headers;
        let bytes = match self.kind.get {
            true if self.parts.uri.path_and_query().map_or(0, |p| p.as_str().len()) > config.max_uri_bytes => {
                return Err(self.edge.long_uri());
            }
            true => message_of_query(self.parts, config.max_body_bytes)?,
            false => {
                let read = body::read(body, headers, config.max_body_bytes, millis(config.body_timeout_ms)).await;
                read.map_err(in_connect)?
            }
        };
        visit.record.received = bytes.len() as u64;
        let key = idempotency::key(headers)?.filter(|_| self.endpoint.request_id.is_some());
        let mut framed = self.framed(&bytes)?;
        idempotency::fill(self.endpoint, key, &mut framed);
        idempotency::check(self.endpoint, key, &framed)?;
        frames::close(&mut framed, 0);
        let sent = Body::new(Full::new(framed.into()));
        let metadata = self.edge.metadata(visit, self.endpoint, headers, deadline);
        let limit = config.max_reply_bytes;
        let answered = upstream::unary(self.endpoint, metadata, sent, deadline, limit).await?;
        let message = &answered.message;
        let out = if self.kind.json {
            let mut out = Vec::with_capacity(message.len() * 2);
            self.method.response(&message[HEAD..], &mut out)?;
            out.into()
        } else {
            message.slice(HEAD..)
        };
        let mut response = match self.kind.get {
            true => reply::revalidated(headers, out, config.compress, self.endpoint.cache_control.as_ref()),
            false => reply::compressed(headers, out, config.compress),
        };
        upstream::copy_metadata(&answered.head, response.headers_mut());
        binary_metadata(&answered.head, response.headers_mut());
        trailers(&answered.trailers, response.headers_mut());
        if response.status() != StatusCode::NOT_MODIFIED {
            response.headers_mut().insert(header::CONTENT_TYPE, self.kind.content_type());
        }
        Ok(response)
    }

    async fn stream(&self, visit: &mut Visit, body: Body) -> Result<Response<Body>, Problem> {
        let deadline = self.admit(visit).await?;
        let limit = self.edge.config.max_body_bytes;
        let refusal = Refusal::default();
        let frames = Frames::of_client(body, &self.parts.headers, limit);
        let body = if self.endpoint.client_streaming {
            let json = self.kind.json.then(|| self.method.clone());
            Body::new(Checked { frames, refusal: refusal.clone(), json })
        } else {
            let message = grpc::only(self.edge, visit, frames).await?;
            Body::new(Full::new(self.framed(&message[HEAD..])?.into()))
        };
        let mut metadata = self.edge.metadata(visit, self.endpoint, &self.parts.headers, deadline);
        metadata.insert("grpc-accept-encoding", HeaderValue::from_static("gzip,identity"));
        let answer = upstream::call(self.endpoint, metadata, body, deadline).await;
        let (head, body) = answer.map_err(|e| refusal.get().cloned().unwrap_or(e))?.into_parts();
        visit.record.outcome.set(1);
        let envelopes = Envelopes {
            frames: Frames::of_service(body, &head.headers, self.edge.config.max_reply_bytes),
            head: head.headers.clone(),
            site: self.site.clone(),
            json: self.kind.json.then(|| self.method.clone()),
            refusal,
            outcome: visit.record.outcome.clone(),
            deadline: deadline.map(|d| Box::pin(tokio::time::sleep_until(d.into()))),
            ended: false,
        };
        let mut response = Response::new(Body::new(envelopes));
        upstream::copy_metadata(&head.headers, response.headers_mut());
        binary_metadata(&head.headers, response.headers_mut());
        response.headers_mut().insert(header::CONTENT_TYPE, self.kind.content_type());
        Ok(response)
    }
}

/// Connect has another word than HTTP for an encoding that nobody knows.
fn in_connect(problem: Problem) -> Problem {
    match problem.http_status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let text = format!("pack the message with one of {}, or not", coding::TAKEN);
            Problem::new(Code::Unimplemented, "UNSUPPORTED_ENCODING", text)
                .header(header::ACCEPT_ENCODING, coding::TAKEN)
        }
        _ => problem,
    }
}

/// In Connect as in gRPC, base64 in the value.
fn binary_metadata(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from.iter().filter(|(name, _)| upstream::is_told(name) && name.as_str().ends_with("-bin")) {
        to.append(name.clone(), value.clone());
    }
}

/// Of a unary call, whose answer has nothing behind its body.
fn trailers(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from.iter().filter(|(name, _)| upstream::is_told(name)) {
        if let Ok(name) = HeaderName::try_from(format!("trailer-{name}")) {
            to.append(name, value.clone());
        }
    }
}

/// Base64 for addresses, padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    b64::GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

fn param(parts: &Parts, name: &str) -> Option<String> {
    let query = parts.uri.query()?;
    let value = query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='))?;
    percent_decode(value)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |i: usize| tail.get(i).and_then(|b| char::from(*b).to_digit(16));
                let code = digit(0)? << 4 | digit(1)?;
                rest = &tail[2..];
                code as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

/// The message of a GET: `?connect=v1&encoding=json&message=…`, `base64=1` where it isn't text.
/// <https://connectrpc.com/docs/protocol/#unary-get-request>
fn message_of_query(parts: &Parts, limit: usize) -> Result<Bytes, Problem> {
    let bad = |field: &'static str, text: &'static str| Problem::from(Error::invalid(field, "INVALID_QUERY", text));
    if param(parts, "connect").is_some_and(|v| v != "v1") {
        return Err(bad("connect", "must be v1"));
    }
    match param(parts, "encoding").as_deref() {
        Some("json" | "proto") => {}
        _ => return Err(bad("encoding", "must be json or proto")),
    }
    let message = param(parts, "message").ok_or_else(|| bad("message", "is required, percent-encoded UTF-8"))?;
    let bytes = match param(parts, "base64").as_deref() {
        None | Some("0") => message.into_bytes(),
        Some("1") => BASE64.decode(message).map_err(|_| bad("message", "is not URL-safe base64"))?,
        Some(_) => return Err(bad("base64", "must be 1 or absent")),
    };
    match param(parts, "compression").as_deref() {
        None | Some("" | "identity") => Ok(bytes.into()),
        Some(name) => match Coding::named(name.as_bytes()) {
            Some(coding) => coding::unpack(coding, &bytes, limit),
            None => Err(bad("compression", "must be gzip, br, zstd or absent")),
        },
    }
}

/// The last envelope; `error` is the JSON of one.
fn last(error: Option<Vec<u8>>, trailers: &HeaderMap) -> Bytes {
    let mut out = vec![END, 0, 0, 0, 0];
    out.push(b'{');
    if let Some(error) = error {
        out.extend_from_slice(b"\"error\":");
        out.extend_from_slice(&error);
    }
    let text = |v: &HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let told = trailers.keys().filter(|name| upstream::is_told(name));
    let metadata: serde_json::Map<_, _> = told
        .map(|name| (name.to_string(), trailers.get_all(name).iter().map(text).collect::<Vec<_>>().into()))
        .collect();
    if !metadata.is_empty() {
        if out.len() > HEAD + 1 {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"metadata\":{}", serde_json::Value::from(metadata)).as_bytes());
    }
    out.push(b'}');
    frames::close(&mut out, 0);
    out.into()
}

struct Envelopes {
    frames: Frames,
    head: HeaderMap,
    site: Arc<Site>,
    json: Option<Arc<transcode::Method>>,
    refusal: Refusal,
    outcome: Outcome,
    deadline: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Envelopes {
    fn item(&self, frame: Bytes) -> Result<Bytes, Problem> {
        let Some(method) = &self.json else { return Ok(frame) };
        let mut out = frames::open();
        method.response(&frame[HEAD..], &mut out)?;
        frames::close(&mut out, 0);
        Ok(out.into())
    }

    fn end(&mut self, result: Result<(), Problem>, trailers: &HeaderMap) -> Bytes {
        self.ended = true;
        let error = result.err().map(|e| self.refusal.get().cloned().unwrap_or(e));
        self.outcome.set(error.as_ref().map_or(0, |e| e.code() as i32));
        last(
            error.map(|e| {
                let mut out = Vec::new();
                e.write_connect(self.site.types(), &mut out);
                out
            }),
            trailers,
        )
    }
}

impl http_body::Body for Envelopes {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if this.deadline.as_mut().is_some_and(|d| d.poll_unpin(cx).is_ready()) {
            let bytes = this.end(Err(Problem::late()), &HeaderMap::new());
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let bytes = match ready!(this.frames.poll_frame(cx)) {
            Some(frame) => frame.and_then(|f| this.item(f)).unwrap_or_else(|e| this.end(Err(e), &HeaderMap::new())),
            None => {
                let trailers = this.frames.trailers.take().unwrap_or_default();
                let ended = upstream::ended(&this.head, &trailers);
                this.end(ended, &trailers)
            }
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
