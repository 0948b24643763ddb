//! The guard before every service: nothing reaches a handler that its method's policy does not allow.
//!
//! It wraps the mounted `Routes`, never the transport, so that a call inside the process meets the
//! same checks as one from outside: context, policy (deny by default), deadline, panics, telemetry.

use crate::{
    Caller, CallerTrust, Verifier, caller, trace,
    watch::{Counters, Incoming, Watch, WatchedBody, code_of},
};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Request, Response};
use jangteo_core::{Audit, Call, Clock, Code, Error, Principal, Result, Time, Trace};
use proto::{
    metadata as names,
    policy::{Access, Policies, Policy},
    status::to_status,
};
use std::{
    any::Any,
    collections::HashMap,
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tonic::{Status, body::Body, service::Routes};
use tower::Service;
use tracing::{Instrument, field::Empty};

/// What all services of a process share.
pub struct Guard {
    pub policies: Policies,
    pub verifier: Arc<Verifier>,
    pub clock: Arc<dyn Clock>,
    pub trust: CallerTrust,
    methods: HashMap<String, Arc<Method>>,
    trail: Arc<OnceLock<Trail>>,
}

/// Where the outcomes of audited calls go that left none with their effect. It must not wait.
pub type Trail = Box<dyn Fn(Outcome) + Send + Sync>;

/// How an audited call ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub method: Arc<str>,
    pub code: Code,
    pub audit: Arc<Audit>,
    pub trace: Trace,
    pub now: Time,
}

/// What the guard knows of a method, made once.
pub(crate) struct Method {
    pub path: Arc<str>,
    pub policy: Policy,
    /// The HTTP headers that it reads, and how they are called in metadata.
    pub headers: Vec<(String, String)>,
    pub counters: Counters,
    pub trail: Arc<OnceLock<Trail>>,
}

impl Guard {
    /// Reads the policies of all methods. Fails on a method without one, naming it.
    pub fn new(verifier: Arc<Verifier>, clock: Arc<dyn Clock>, trust: CallerTrust) -> Result<Arc<Guard>> {
        let policies = proto::policy::policies(proto::pool()).map_err(Error::internal)?;
        let trail = Arc::<OnceLock<Trail>>::default();
        let method = |p: &Policy| Method {
            path: p.path.as_str().into(),
            headers: p.headers.iter().map(|h| (h.clone(), format!("{}{h}", names::HTTP_HEADER))).collect(),
            policy: p.clone(),
            counters: Counters::new(&p.path),
            trail: trail.clone(),
        };
        let methods = policies.values().map(|p| (p.path.clone(), Arc::new(method(p)))).collect();
        Ok(Arc::new(Guard { policies, verifier, clock, trust, methods, trail }))
    }

    /// Once: where outcomes of audited calls go.
    pub fn keep_trail(&self, trail: Trail) {
        let _ = self.trail.set(trail);
    }

    /// The context of a request that comes from `caller` and has until `deadline`.
    async fn call(
        &self,
        method: &Method,
        headers: &HeaderMap,
        caller: Arc<str>,
        deadline: Option<Instant>,
        trace: Trace,
        audit: Option<Arc<Audit>>,
    ) -> Result<Call> {
        let now = self.clock.now();
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        let token = match single(headers, names::AUTHORIZATION) {
            Ok(value) => value.map(bearer).transpose()?,
            Err(()) => return Err(no_bearer()),
        };
        let principal = match token {
            Some(token) => Principal::User(self.verifier.verify(token, now).await?),
            // A service that calls on nobody's behalf is itself the principal.
            None if method.policy.access == Access::Internal => Principal::System(caller.clone()),
            None => Principal::Anonymous,
        };
        if let Some(audit) = &audit {
            audit.by(&principal.key());
        }
        Ok(Call {
            method: method.path.clone(),
            principal,
            token: token.map(Into::into),
            caller: Some(caller),
            deadline,
            request_id: None,
            fingerprint: [0; 32],
            trace,
            client_addr: text(names::CLIENT_ADDR).map(Into::into),
            user_agent: text(names::USER_AGENT).map(Into::into),
            locale: text(names::LOCALE).map(Into::into),
            canary: text(names::CANARY).map(Into::into),
            headers: method.headers.iter().filter_map(|(h, key)| Some((h.clone(), text(key)?.to_owned()))).collect(),
            audit,
            now,
        })
    }
}

/// How long the caller wants to wait.
fn asked(headers: &HeaderMap) -> Result<Option<Duration>> {
    let value = single(headers, names::TIMEOUT);
    value.and_then(|v| v.map(|t| names::parse_timeout(t).ok_or(())).transpose()).map_err(|()| {
        Error::invalid(names::TIMEOUT, "INVALID_TIMEOUT", "must be at most eight digits and a unit of HMSmun")
    })
}

/// A header that may come once, as text. One that comes twice or isn't text is an error, since
/// overlooking it would let somebody in as nobody or for ever.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Whether the policy lets in a call that comes from `caller`.
fn admit(policy: &Policy, caller: Option<Arc<str>>) -> Result<Arc<str>> {
    match caller {
        Some(caller) if policy.admits(&caller) => Ok(caller),
        Some(caller) => {
            let text = format!("{caller} is not declared as a caller of {}", policy.path);
            Err(Error::denied("CALLER_NOT_DECLARED", text).with("caller", caller).with("method", &policy.path))
        }
        None => Err(Error::unauthenticated("CALLER_UNKNOWN", "the calling service is not known")),
    }
}

/// Whether the policy lets in the person for whom the call is made.
fn authorize(policy: &Policy, cx: &Call) -> Result<()> {
    match policy.access {
        Access::Public | Access::Internal => Ok(()),
        Access::SignedIn => {
            let user = cx.user()?;
            if policy.roles.is_empty() || policy.roles.iter().any(|r| cx.has_role(r)) {
                return Ok(());
            }
            Err(Error::denied("ROLE_REQUIRED", format!("needs one of the roles {}", policy.roles.join(", ")))
                .with("roles", policy.roles.join(","))
                .with("user_id", &user.user_id))
        }
        Access::Unspecified => Err(Error::denied("NO_POLICY", "the method has no policy")),
    }
}

/// The guarded service, cheap to clone.
#[derive(Clone)]
pub struct Guarded {
    guard: Arc<Guard>,
    routes: Routes,
}

impl Guarded {
    pub fn new(guard: Arc<Guard>, routes: Routes) -> Self {
        Guarded { guard, routes: routes.prepare() }
    }

    pub(crate) async fn answer(self, request: Request<Body>) -> Response<Body> {
        let Some(method) = self.guard.methods.get(request.uri().path()).cloned() else {
            let e = Error::new(Code::Unimplemented, "UNKNOWN_METHOD", "there is no such method");
            return to_status(e, "rpc.jangteo").into_http();
        };
        let span = tracing::info_span!("rpc", method = %method.path, code = Empty, principal = Empty, caller = Empty);
        // Before the span is entered: from then on its parent is fixed.
        let trace = trace::enter(&span, sent(request.headers()));
        let audited = (trace.clone(), self.guard.clock.now());
        let mut watch = Watch::new(method.clone(), span.clone(), Instant::now(), audited);
        let answer = self.guarded(&method, request, trace, &mut watch).instrument(span.clone()).await;
        let answer = answer.unwrap_or_else(|e| to_status(e, "rpc.jangteo").into_http());
        span.in_scope(|| log_status(answer.extensions().get::<Status>(), &method.path));
        if let Some(code) = code_of(answer.headers()) {
            // Trailers only: there is nothing to wait for.
            watch.finish(code);
            return answer;
        }
        let deadline = watch.deadline;
        answer.map(|body| Body::new(WatchedBody::new(body, deadline, Some(watch))))
    }

    /// Leaves the deadline in `watch`.
    async fn guarded(
        &self,
        method: &Method,
        request: Request<Body>,
        trace: Trace,
        watch: &mut Watch,
    ) -> Result<Response<Body>> {
        let (mut parts, body) = request.into_parts();
        let proven = parts.extensions.remove::<Caller>();
        let caller = admit(&method.policy, caller::resolve(&self.guard.trust, proven.as_ref(), &parts.headers))?;
        let timeout = [asked(&parts.headers)?, method.policy.timeout].into_iter().flatten().min();
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        watch.deadline = deadline;
        if timeout == Some(Duration::ZERO) {
            return Ok(late().into_http());
        }
        let (span, audit) = (&watch.span, watch.audit.clone());
        let work = async move {
            let cx = self.guard.call(method, &parts.headers, caller, deadline, trace, audit).await?;
            if !span.is_disabled() {
                span.record("principal", cx.principal.key());
                span.record("caller", cx.caller.as_deref());
            }
            authorize(&method.policy, &cx)?;
            parts.extensions.insert(cx);
            let body = if method.policy.streaming { Body::new(Incoming(body)) } else { body };
            let mut routes = self.routes.clone();
            Ok(routes.call(Request::from_parts(parts, body)).await.unwrap_or_else(|never: Infallible| match never {}))
        };
        let work = AssertUnwindSafe(work).catch_unwind();
        let outcome = match deadline {
            Some(d) => tokio::time::timeout_at(d.into(), work).await,
            None => Ok(work.await),
        };
        match outcome {
            Err(_) => Ok(late().into_http()),
            Ok(Err(panic)) => Err(panicked(&*panic)),
            Ok(Ok(answer)) => answer,
        }
    }
}

impl Service<Request<Body>> for Guarded {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { Ok(this.answer(request).await) })
    }
}

/// The trace that the caller sent along.
fn sent(headers: &HeaderMap) -> Trace {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    Trace { traceparent: text(names::TRACEPARENT), tracestate: text(names::TRACESTATE) }
}

fn bearer(value: &str) -> Result<&str> {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => Ok(token),
        _ => Err(no_bearer()),
    }
}

fn no_bearer() -> Error {
    Error::unauthenticated("TOKEN_INVALID", "authorization must be: Bearer <access token>")
}

pub(crate) fn late() -> Status {
    to_status(Error::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "the deadline passed"), "rpc.jangteo")
}

/// What a panic becomes; its text is for our log alone.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::internal(format!("a handler panicked: {}", text.unwrap_or("without a message")))
}

/// The one place that logs a failure, before it leaves the service.
pub(crate) fn log(e: &Error, method: &str) {
    if e.code().is_server_fault() {
        tracing::error!(method, error = ?e, "call failed");
    } else {
        tracing::debug!(method, error = ?e, "call refused");
    }
}

/// A call fails with a status that carries our error as its source.
fn log_status(status: Option<&Status>, method: &str) {
    use std::error::Error as _;
    let Some(status) = status else { return };
    match status.source().and_then(|s| s.downcast_ref::<Error>()) {
        Some(e) => log(e, method),
        None => tracing::debug!(method, code = ?status.code(), message = status.message(), "call refused"),
    }
}
