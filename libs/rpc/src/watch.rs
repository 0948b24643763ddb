//! The body of an answer, watched until its trailers: the deadline holds for streams too, a panic
//! in a stream becomes INTERNAL, and the outcome is counted when it is known.

use crate::guard::{Method, Outcome, late, log, panicked};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use jangteo_core::{Audit, Code, Error, Time, Trace};
use metrics::{Key, Level, Metadata};
use proto::status::to_status;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::time::Sleep;
use tonic::{Status, body::Body};
use tracing::Span;

/// A caller gives up at its own deadline, which it counts from a little earlier than we do.
const AHEAD: Duration = Duration::from_millis(10);

/// The names under which a method's calls are counted, made once.
pub(crate) struct Counters {
    seconds: Key,
    /// By gRPC code.
    calls: Vec<Key>,
}

impl Counters {
    pub fn new(path: &str) -> Self {
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
        let labels =
            vec![metrics::Label::new("service", service.to_owned()), metrics::Label::new("method", method.to_owned())];
        let seconds = Key::from_parts("grpc_server_seconds", labels.clone());
        let calls = (0..=16).map(|code| {
            let mut labels = labels.clone();
            labels.push(metrics::Label::new("code", Code::from_i32(code).name()));
            Key::from_parts("grpc_server_calls", labels)
        });
        Counters { seconds, calls: calls.collect() }
    }

    fn record(&self, code: Code, took: Duration) {
        static METADATA: Metadata<'_> = Metadata::new("rpc", Level::INFO, Some("rpc"));
        metrics::with_recorder(|to| {
            to.register_histogram(&self.seconds, &METADATA).record(took.as_secs_f64());
            to.register_counter(&self.calls[code as usize], &METADATA).increment(1);
        });
    }
}

/// Counts a call once, under the code that it ended with: the one given to `finish`, or, when
/// it is dropped before, CANCELLED, since then its caller went away.
pub(crate) struct Watch {
    pub method: Arc<Method>,
    pub span: Span,
    pub deadline: Option<Instant>,
    /// Of a method that is audited.
    pub audit: Option<Arc<Audit>>,
    trace: Trace,
    now: Time,
    started: Instant,
    done: bool,
}

impl Watch {
    pub fn new(method: Arc<Method>, span: Span, started: Instant, (trace, now): (Trace, Time)) -> Self {
        let audit = method.policy.audit.then(Arc::default);
        Watch { method, span, deadline: None, audit, trace, now, started, done: false }
    }

    pub fn finish(&mut self, code: i32) {
        if !std::mem::replace(&mut self.done, true) {
            let code = Code::from_i32(code);
            self.method.counters.record(code, self.started.elapsed());
            if !self.span.is_disabled() {
                self.span.record("code", code.name());
            }
            if let Some(audit) = &self.audit {
                tracing::info!(target: "audit", parent: &self.span, method = &*self.method.path, code = code.name(), "audited call");
                self.keep(audit, code);
            }
        }
    }
}

impl Watch {
    /// What succeeded and wrote has its row already.
    fn keep(&self, audit: &Arc<Audit>, code: Code) {
        if let Some(trail) = self.method.trail.get()
            && !(code == Code::Ok && audit.is_noted())
        {
            let (method, audit) = (self.method.path.clone(), audit.clone());
            trail(Outcome { method, code, audit, trace: self.trace.clone(), now: self.now });
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let late = self.deadline.is_some_and(|d| Instant::now() + AHEAD >= d);
        self.finish(if late { Code::DeadlineExceeded } else { Code::Cancelled } as i32);
    }
}

/// What a body gives next.
type Next = Option<Result<Frame<Bytes>, Status>>;

pub(crate) struct WatchedBody {
    /// Gone when the answer has ended.
    inner: Option<Body>,
    deadline: Option<Instant>,
    /// Made when the body is waited for, which that of a single message never is.
    timer: Option<Pin<Box<Sleep>>>,
    watch: Option<Watch>,
}

impl WatchedBody {
    pub fn new(inner: Body, deadline: Option<Instant>, watch: Option<Watch>) -> Self {
        WatchedBody { inner: Some(inner), deadline, timer: None, watch }
    }

    /// Ends the answer with an error of ours in the trailers.
    fn end(&mut self, status: Status) -> Poll<Next> {
        self.inner = None;
        self.finish(status.code() as i32);
        let mut trailers = HeaderMap::new();
        let frame = match status.add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(status) => Err(status),
        };
        Poll::Ready(Some(frame))
    }

    fn finish(&mut self, code: i32) {
        if let Some(watch) = &mut self.watch {
            watch.finish(code);
        }
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Result<Poll<Next>, Error> {
        let Some(inner) = &mut self.inner else { return Ok(Poll::Ready(None)) };
        let _entered = self.watch.as_ref().map(|w| w.span.enter());
        catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx))).map_err(|panic| {
            let e = panicked(&*panic);
            log(&e, self.watch.as_ref().map_or("", |w| &w.method.path));
            e
        })
    }
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let this = &mut *self;
        let frame = match this.poll_inner(cx) {
            Ok(Poll::Ready(frame)) => frame,
            Ok(Poll::Pending) => {
                let Some(deadline) = this.deadline else { return Poll::Pending };
                let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
                ready!(timer.as_mut().poll(cx));
                return this.end(late());
            }
            Err(e) => return this.end(to_status(e, "rpc.jangteo")),
        };
        match &frame {
            // A stream that always has a message ready would never be pending.
            Some(Ok(f)) if f.is_data() => {
                if this.deadline.is_some_and(|d| Instant::now() >= d) {
                    return this.end(late());
                }
            }
            Some(Ok(f)) => {
                if let Some(code) = f.trailers_ref().and_then(code_of) {
                    this.finish(code);
                }
            }
            Some(Err(e)) => this.finish(e.code() as i32),
            // An answer of gRPC ends with a status; without one it was cut off.
            None => this.finish(Code::Unknown as i32),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), |b| b.size_hint())
    }
}

/// The body of a streamed request. When its caller goes away in the middle, tonic tells the handler
/// that the stream has ended, and half an upload would pass for the whole. Here the handler waits instead:
/// the connection sees the same reset and drops it, as it is dropped inside a process.
pub(crate) struct Incoming(pub Body);

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        match Pin::new(&mut self.0).poll_frame(cx) {
            Poll::Ready(Some(Err(e))) if e.code() == tonic::Code::Cancelled => Poll::Pending,
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

pub(crate) fn code_of(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
