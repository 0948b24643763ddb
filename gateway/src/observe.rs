//! What is told of every request when it is over: one line of access log, the RED metrics.
//! Neither query values nor anything personal; a person is an id.

use bytes::Bytes;
use http::Method;
use http_body::{Body as _, Frame, SizeHint};
use metrics::{Gauge, SharedString};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};
use tonic::{Status, body::Body};
use tracing::Span;

/// The gRPC code that a call ended with, known only at the end of a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome(Arc<AtomicI32>);

impl Outcome {
    pub fn set(&self, code: i32) {
        self.0.store(code, Ordering::Relaxed);
    }
    fn get(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Told when dropped, so that a request whose client left is told too.
pub(crate) struct Record {
    pub method: &'static str,
    /// The template, never the path.
    pub route: SharedString,
    pub principal: Option<Arc<str>>,
    pub request_id: String,
    pub trace_id: String,
    /// 0 until there is an answer.
    pub status: u16,
    pub outcome: Outcome,
    pub received: u64,
    pub sent: u64,
    pub whole: bool,
    pub started: Instant,
    in_flight: Gauge,
    pub span: Span,
}

impl Record {
    pub fn open(method: &Method, request_id: String, span: Span) -> Record {
        let in_flight = metrics::gauge!("http_requests_in_flight");
        in_flight.increment(1.0);
        Record {
            method: known(method),
            route: "unmatched".into(),
            principal: None,
            request_id,
            trace_id: String::new(),
            status: 0,
            outcome: Outcome::default(),
            received: 0,
            sent: 0,
            whole: false,
            started: Instant::now(),
            in_flight,
            span,
        }
    }
}

/// Anything may be sent as a method; a metric's label must not be.
fn known(method: &Method) -> &'static str {
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].into_iter().find(|m| method == m).unwrap_or("OTHER")
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.status == 0 {
            self.status = 499;
            self.outcome.set(1);
        }
        let took = self.started.elapsed();
        let (status, code) = (self.status, self.outcome.get());
        self.in_flight.decrement(1.0);
        let labels = [("method", SharedString::from(self.method)), ("route", self.route.clone())];
        metrics::histogram!("http_request_duration_seconds", &labels).record(took.as_secs_f64());
        let [method, route] = labels;
        let labels = [method, route, ("status", status.to_string().into()), ("code", code.to_string().into())];
        metrics::counter!("http_requests_total", &labels).increment(1);
        self.span.record("http.response.status_code", status);
        self.span.record("rpc.grpc.status_code", code);
        let _entered = self.span.enter();
        tracing::info!(
            target: "access",
            method = self.method,
            route = &*self.route,
            status,
            code,
            duration_ms = took.as_micros() as f64 / 1000.0,
            bytes_in = self.received,
            bytes_out = self.sent,
            whole = self.whole,
            principal = self.principal.as_deref().unwrap_or(""),
            request_id = self.request_id,
            trace_id = self.trace_id,
            "request"
        );
    }
}

/// An answer's body; the record is told when it has been sent or given up.
pub(crate) struct Observed {
    inner: Body,
    record: Option<Record>,
}

impl Observed {
    pub fn wrap(inner: Body, mut record: Record) -> Body {
        if inner.is_end_stream() {
            record.whole = true;
            return inner;
        }
        Body::new(Observed { inner, record: Some(record) })
    }
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = {
            let this = &mut *self;
            // Entering a span costs; most of them are off.
            match this.record.as_ref().filter(|r| !r.span.is_disabled()) {
                Some(record) => {
                    let span = record.span.clone();
                    span.in_scope(|| Pin::new(&mut this.inner).poll_frame(cx))
                }
                None => Pin::new(&mut this.inner).poll_frame(cx),
            }
        };
        let frame = ready!(polled);
        let ended = self.inner.is_end_stream();
        if let Some(record) = &mut self.record {
            if let Some(Ok(frame)) = &frame {
                record.sent += frame.data_ref().map_or(0, |d| d.len() as u64);
            }
            record.whole = ended || frame.is_none() || matches!(&frame, Some(Ok(f)) if f.is_trailers());
        }
        if frame.is_none() || ended {
            self.record = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
