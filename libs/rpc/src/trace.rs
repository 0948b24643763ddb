//! W3C trace context between processes and through events.

use jangteo_core::Trace;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use std::str::FromStr;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// A new trace, for a call that came without one.
pub fn start() -> Trace {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let ids: [u8; 24] = rand::random();
    let mut digits = ids.into_iter().flat_map(|b| [b >> 4, b & 15]).map(|n| char::from(DIGITS[usize::from(n)]));
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    text.extend(digits.by_ref().take(32));
    text.push('-');
    text.extend(digits);
    text.push_str("-01");
    Trace { traceparent: Some(text), tracestate: None }
}

/// The id of the trace, 32 hexadecimal digits; empty when there is none.
pub fn trace_id(trace: &Trace) -> &str {
    trace.traceparent.as_deref().and_then(|t| t.get(3..35)).unwrap_or("")
}

/// Whether `value` is a `traceparent` of version 00 with ids that aren't all zero.
pub fn is_traceparent(value: &str) -> bool {
    parse(value, None).is_some()
}

/// Makes `span`, which must not have been entered yet, a child of `trace`, and returns the trace as seen
/// from inside the span, which is what
/// goes on to others. Where no exporter is configured the trace goes on as it came.
pub fn enter(span: &Span, trace: Trace) -> Trace {
    let Some(parent) = trace.traceparent.as_deref().and_then(|t| parse(t, trace.tracestate.as_deref())) else {
        return current(span).unwrap_or_else(start);
    };
    if span.is_disabled() {
        return trace;
    }
    // Without the exporter's layer there is nobody to tell, which is no fault.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    current(span).unwrap_or(trace)
}

fn current(span: &Span) -> Option<Trace> {
    if span.is_disabled() {
        return None;
    }
    let cx = span.context();
    let span = cx.span();
    let sc = span.span_context();
    sc.is_valid().then(|| Trace {
        traceparent: Some(format!("00-{}-{}-{:02x}", sc.trace_id(), sc.span_id(), sc.trace_flags().to_u8())),
        tracestate: Some(sc.trace_state().header()).filter(|s| !s.is_empty()),
    })
}

fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if version != "00" || parts.next().is_some() || !(trace.len() == 32 && span.len() == 16 && flags.len() == 2) {
        return None;
    }
    if !(hex(trace) && hex(span) && hex(flags)) {
        return None;
    }
    let sc = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        tracestate.and_then(|s| TraceState::from_str(s).ok()).unwrap_or_default(),
    );
    sc.is_valid().then_some(sc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_checked() {
        let t = start();
        assert!(is_traceparent(t.traceparent.as_deref().unwrap()));
        assert_eq!(trace_id(&t).len(), 32);
        for bad in [
            "",
            "00-0-0-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
