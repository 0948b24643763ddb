//! Plain gRPC and gRPC-Web: the same checks as REST, and the messages go through unread.

use crate::{
    edge::{Inner, Visit},
    frames::{Checked, Frames, Refusal},
    observe::Outcome,
    problem::Problem,
    site::{Endpoint, Site},
    upstream, web,
};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header, request::Parts};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use jangteo_core::Code;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};
use tokio::time::Sleep;
use tonic::{Status, body::Body};

/// `web`: gRPC-Web, and whether it is the text form.
pub(crate) async fn answer(
    edge: &Inner,
    site: &Site,
    visit: &mut Visit,
    parts: &Parts,
    body: Body,
    web: Option<bool>,
) -> Response<Body> {
    if web.is_none() && parts.version < Version::HTTP_2 {
        let text = "gRPC needs HTTP/2; over HTTP/1.1 speak gRPC-Web or JSON";
        let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
        return Problem::http(status, Code::Unimplemented, "HTTP2_REQUIRED", text).into_response(site.types());
    }
    if parts.method != Method::POST {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let problem = Problem::http(status, Code::Unimplemented, "METHOD_NOT_ALLOWED", "gRPC calls are POST");
        return problem.header(header::ALLOW, "OPTIONS, POST").into_response(site.types());
    }
    let body = match web {
        Some(true) => Body::new(web::Decode::new(body)),
        _ => body,
    };
    let response = pass(edge, site, visit, parts, body).await.unwrap_or_else(|problem| {
        visit.record.outcome.set(problem.code() as i32);
        problem.into_status().into_http()
    });
    match web {
        Some(text) => web::encode(response, text),
        None => response,
    }
}

async fn pass(
    edge: &Inner,
    site: &Site,
    visit: &mut Visit,
    parts: &Parts,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let Some(endpoint) = site.endpoint(parts.uri.path()).filter(|e| !e.is_internal()) else {
        edge.admit_stray(visit).await?;
        return Err(Problem::new(Code::Unimplemented, "UNKNOWN_METHOD", "there is no such method"));
    };
    visit.route(endpoint.label.clone());
    edge.admit(visit, endpoint, &parts.headers).await?;
    let deadline = edge.timeout(endpoint, &parts.headers)?.map(|t| Instant::now() + t);
    let refusal = Refusal::default();
    let frames = Frames::of_client(body, &parts.headers, edge.config.max_body_bytes);
    let body = if endpoint.client_streaming {
        Body::new(Checked { frames, refusal: refusal.clone(), json: None })
    } else {
        Body::new(Full::new(only(edge, visit, frames).await?))
    };
    let metadata = metadata(edge, visit, endpoint, &parts.headers, deadline);
    let answer = upstream::call(endpoint, metadata, body, deadline).await;
    // A refused stream breaks off the call; what the client hears is why it was refused.
    let answer = answer.map_err(|e| taken(&refusal).unwrap_or(e))?;
    let (mut head, body) = answer.into_parts();
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for (name, value) in head.headers.iter().filter(|(name, _)| !crate::client::is_hop(name)) {
        headers.append(name, value.clone());
    }
    head.headers = headers;
    head.extensions.clear();
    visit.record.outcome.set(if body.is_end_stream() { 0 } else { 1 });
    let passed = Passed {
        inner: Some(body),
        deadline: deadline.map(|d| Box::pin(tokio::time::sleep_until(d.into()))),
        refusal,
        outcome: visit.record.outcome.clone(),
    };
    Ok(Response::from_parts(head, Body::new(passed)))
}

/// The one message of a call that has no stream of requests.
pub(crate) async fn only(edge: &Inner, visit: &mut Visit, mut frames: Frames) -> Result<Bytes, Problem> {
    let within = crate::config::millis(edge.config.body_timeout_ms);
    let read = async {
        let first = frames.next().await.transpose()?;
        let first = first.ok_or_else(|| client_error("the call has no message"))?;
        match frames.next().await.transpose()? {
            None => Ok(first),
            Some(_) => Err(client_error("the call has several messages")),
        }
    };
    let read = tokio::time::timeout(within, read).await;
    let message =
        read.map_err(|_| Problem::new(Code::DeadlineExceeded, "BODY_TIMEOUT", "the message took too long"))??;
    visit.record.received = message.len() as u64;
    Ok(message)
}

/// <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>: the number of messages is the method's to say.
fn client_error(text: &'static str) -> Problem {
    Problem::new(Code::Unimplemented, "BROKEN_STREAM", text)
}

/// The client's own metadata passes, but for what only the platform may say.
fn metadata(
    edge: &Inner,
    visit: &Visit,
    endpoint: &Endpoint,
    from: &HeaderMap,
    deadline: Option<Instant>,
) -> HeaderMap {
    let mut to = edge.metadata(visit, endpoint, from, deadline);
    for (name, value) in from {
        let s = name.as_str();
        let browser = s.starts_with("sec-") || s.starts_with("access-control-");
        let other = matches!(s, "accept" | "origin" | "referer" | "x-grpc-web" | "x-user-agent" | "grpc-encoding");
        if !browser && !other && !crate::client::is_stripped(name) && !to.contains_key(name) {
            to.append(name, value.clone());
        }
    }
    if !from.contains_key("grpc-accept-encoding") {
        to.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
    }
    to
}

fn taken(refusal: &Refusal) -> Option<Problem> {
    refusal.get().cloned()
}

/// A service's answer on its way out.
struct Passed {
    inner: Option<Body>,
    deadline: Option<Pin<Box<Sleep>>>,
    refusal: Refusal,
    outcome: Outcome,
}

impl Passed {
    fn end(&mut self, problem: Problem) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.inner = None;
        self.outcome.set(problem.code() as i32);
        let mut trailers = HeaderMap::new();
        let added = problem.into_status().add_header(&mut trailers);
        Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))))
    }
}

impl http_body::Body for Passed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        if this.deadline.as_mut().is_some_and(|d| d.poll_unpin(cx).is_ready()) {
            return this.end(Problem::late());
        }
        match Pin::new(inner).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    if let Some(problem) = taken(&this.refusal) {
                        return this.end(problem);
                    }
                    this.outcome.set(code_of(trailers));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(status))) => {
                let problem = taken(&this.refusal).unwrap_or_else(|| status.into());
                this.end(problem)
            }
            Poll::Ready(None) => {
                this.inner = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }
}

fn code_of(headers: &HeaderMap) -> i32 {
    headers.get(Status::GRPC_STATUS).and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(2)
}
