//! A raw body on its way to a method that takes a stream of `google.api.HttpBody`, piece by piece as it comes and as the
//! service takes it. The first message carries what path, query and headers say and no data; the others carry data alone.
//!
//! Like Envoy's grpc_json_transcoder, which bounds nothing but its buffer; here the whole is counted as it flows.

use crate::{
    body,
    config::millis,
    edge::{Inner, Visit},
    frames::{self, HEAD},
    idempotency,
    problem::Problem,
    site::Endpoint,
};
use bytes::Bytes;
use futures::FutureExt;
use http::{StatusCode, header, request::Parts};
use http_body::{Body as _, Frame};
use jangteo_core::Code;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep},
};
use tonic::{Status, body::Body};
use transcode::{Binding, Match};

/// The edge's end of an upload under way.
pub(crate) struct Upload {
    left: oneshot::Receiver<Left>,
    received: Arc<AtomicU64>,
    /// The client sends only when it is asked to.
    expects: bool,
}

/// What remains of an upload that did not reach its end: it was refused, or nobody reads it any more.
struct Left {
    why: Option<Problem>,
    body: Body,
    /// Somebody has asked for the body.
    polled: bool,
}

/// The body that the service reads, and what tells of it.
pub(crate) async fn open(
    edge: &Inner,
    endpoint: &Endpoint,
    matched: &Match<'_>,
    parts: &Parts,
    mut body: Body,
) -> Result<(Body, Upload), Problem> {
    let headers = &parts.headers;
    let expects = headers.contains_key(header::EXPECT);
    let limit = edge.config.max_upload_bytes;
    let refused = if headers.get(header::CONTENT_ENCODING).is_some_and(|v| v != "identity") {
        Some(body::unsupported_encoding("identity"))
    } else if body::declared(headers).is_some_and(|n| n > limit) {
        Some(body::too_large(limit))
    } else {
        None
    };
    if let Some(problem) = refused {
        if !expects {
            body::linger(&mut body).await;
        }
        return Err(problem);
    }
    let (end, left) = oneshot::channel();
    let received = Arc::new(AtomicU64::new(0));
    let patience = millis(edge.config.body_timeout_ms);
    let pieces = Pieces {
        binding: matched.binding().clone(),
        first: Some(first(endpoint, matched, parts)?),
        body: Some(body),
        limit,
        received: received.clone(),
        silence: Box::pin(tokio::time::sleep(patience)),
        patience,
        waiting: false,
        polled: false,
        end: Some(end),
    };
    Ok((Body::new(pieces), Upload { left, received, expects }))
}

/// What the service hears before any byte has come: so it can refuse before any is sent.
fn first(endpoint: &Endpoint, matched: &Match<'_>, parts: &Parts) -> Result<Bytes, Problem> {
    let key = idempotency::key(&parts.headers)?;
    let extra = key.map(|k| ("request_id", k)).filter(|_| matched.binding().has_string_field("request_id"));
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut framed = frames::open();
    framed.extend_from_slice(&matched.request_http_body(parts.uri.query(), content_type, b"", extra.as_slice())?);
    frames::close(&mut framed, 0);
    idempotency::check(endpoint, extra.map(|(_, k)| k), &framed)?;
    Ok(framed.into())
}

impl Upload {
    /// The outcome of the call that reads the upload. A refusal of the upload ends the call: the service sees it cancelled.
    async fn during<T>(
        mut self,
        visit: &mut Visit,
        call: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let (mut left, mut told) = (None, false);
        let mut outcome = {
            let mut call = std::pin::pin!(call);
            loop {
                tokio::select! {
                    biased;
                    rest = &mut self.left, if !told => {
                        told = true;
                        left = rest.ok();
                        if left.as_ref().is_some_and(|l| l.why.is_some()) {
                            break None;
                        }
                    }
                    outcome = &mut call => break Some(outcome),
                }
            }
        };
        visit.record.received = self.received.load(Ordering::Relaxed);
        if !told && !matches!(outcome, Some(Ok(_))) {
            left = tokio::time::timeout(body::LINGER, &mut self.left).await.ok().and_then(Result::ok);
        }
        // What the client hears is why it was refused, not what the service made of it.
        if let Some(problem) = left.as_mut().and_then(|l| l.why.take()) {
            outcome = Some(Err(problem));
        }
        // A client that sends before it listens gets its answer instead of a reset connection.
        if let Some(left) = &mut left
            && (left.polled || !self.expects)
        {
            body::linger(&mut left.body).await;
        }
        outcome.unwrap_or_else(|| Err(body::interrupted()))
    }
}

struct Pieces {
    binding: Arc<Binding>,
    first: Option<Bytes>,
    /// Gone at its end, or when it was refused.
    body: Option<Body>,
    limit: usize,
    received: Arc<AtomicU64>,
    /// How long the client has sent nothing, counted only while the service wants more.
    silence: Pin<Box<Sleep>>,
    patience: Duration,
    waiting: bool,
    polled: bool,
    end: Option<oneshot::Sender<Left>>,
}

impl Pieces {
    fn message(&self, data: &[u8]) -> Result<Bytes, Problem> {
        let mut out = Vec::with_capacity(HEAD + 16 + data.len());
        out.extend_from_slice(&[0; HEAD]);
        self.binding.http_body_piece(data, &mut out)?;
        frames::close(&mut out, 0);
        Ok(out.into())
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Problem>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        self.polled = true;
        loop {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
                if !self.waiting {
                    self.waiting = true;
                    self.silence.as_mut().reset(Instant::now() + self.patience);
                }
                ready!(self.silence.poll_unpin(cx));
                return Poll::Ready(Some(Err(silent())));
            };
            self.waiting = false;
            let data = match frame {
                None => {
                    self.body = None;
                    return Poll::Ready(None);
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(body::interrupted()))),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            if data.is_empty() {
                continue;
            }
            let length = data.len() as u64;
            if self.received.fetch_add(length, Ordering::Relaxed) + length > self.limit as u64 {
                return Poll::Ready(Some(Err(body::too_large(self.limit))));
            }
            return Poll::Ready(Some(self.message(&data)));
        }
    }

    fn leave(&mut self, why: Option<Problem>) {
        if let (Some(end), Some(body)) = (self.end.take(), self.body.take()) {
            let _ = end.send(Left { why, body, polled: self.polled });
        }
    }
}

fn silent() -> Problem {
    let text = "the body took too long to arrive";
    Problem::http(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "BODY_TIMEOUT", text)
        .header(header::CONNECTION, "close")
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        Poll::Ready(match ready!(self.next(cx)) {
            None => None,
            Some(Ok(message)) => Some(Ok(Frame::data(message))),
            Some(Err(problem)) => {
                self.leave(Some(problem));
                // An error of the stream, so that nobody takes half an upload for the whole.
                Some(Err(Status::aborted("the client's upload was refused")))
            }
        })
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.leave(None);
    }
}

/// As [`Upload::during`], where there may be none.
pub(crate) async fn during<T>(
    upload: Option<Upload>,
    visit: &mut Visit,
    call: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    match upload {
        None => call.await,
        Some(upload) => Box::pin(upload.during(visit, call)).await,
    }
}

/// Whether the method takes its body this way.
pub(crate) fn is_upload(endpoint: &Endpoint, binding: &Binding) -> bool {
    endpoint.client_streaming && binding.takes_http_body()
}
