//! What the generated clients share: the caller's context rides along as metadata.

use crate::{Streaming, metadata as names, status::from_status};
use futures::StreamExt;
use jangteo_core::Call;
use tonic::{Request, Response, metadata::MetadataMap};

pub(crate) fn request<T>(cx: &Call, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let md = request.metadata_mut();
    if let Some(left) = cx.remaining() {
        put(md, names::TIMEOUT, &names::format_timeout(left));
    }
    if let Some(token) = &cx.token {
        put(md, names::AUTHORIZATION, &format!("Bearer {token}"));
    }
    for (name, value) in [
        (names::TRACEPARENT, cx.trace.traceparent.as_deref()),
        (names::TRACESTATE, cx.trace.tracestate.as_deref()),
        (names::CLIENT_ADDR, cx.client_addr.as_deref()),
        (names::USER_AGENT, cx.user_agent.as_deref()),
        (names::LOCALE, cx.locale.as_deref()),
        (names::CANARY, cx.canary.as_deref()),
    ] {
        if let Some(value) = value {
            put(md, name, value);
        }
    }
    request
}

/// A value that isn't printable ASCII can't be metadata and is left out: all of it is advisory but
/// the token and the deadline, which always are.
fn put(md: &mut MetadataMap, name: &'static str, value: &str) {
    if let Ok(value) = value.parse() {
        md.insert(name, value);
    }
}

pub(crate) fn stream<T: Send + 'static>(response: Response<tonic::Streaming<T>>) -> Streaming<T> {
    Box::pin(response.into_inner().map(|m| m.map_err(from_status)))
}
