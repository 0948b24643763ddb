//! `core::Error` on the wire: `google.rpc.Status` with exactly one `ErrorInfo`, and `BadRequest`
//! and `RetryInfo` where they apply (AIP-193).

use jangteo_core::{Code, Error, Violation};
use std::{collections::HashMap, time::Duration};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

/// An error travels in HTTP/2 headers, which are small; what has no room is left out, the least important
/// first. A request can break a rule a thousand times, and the names of its fields may be the caller's.
const MAX_VIOLATIONS: usize = 100;
const MAX_TEXT: usize = 1024;
const MAX_DETAILS: usize = 16 * 1024;

/// `domain` is the service that answers, `catalog.jangteo`, unless the error names its own.
pub fn to_status(e: Error, domain: &'static str) -> Status {
    let code = tonic::Code::from_i32(e.code() as i32);
    let mut details = ErrorDetails::new();
    let domain = if e.domain().is_empty() { domain } else { e.domain() };
    let mut room = MAX_DETAILS;
    let metadata = e.metadata().iter().map(|(k, v)| (cut(k).to_owned(), cut(v).to_owned()));
    let metadata: HashMap<_, _> = metadata.take_while(|(k, v)| fits(&mut room, k.len() + v.len())).collect();
    details.set_error_info(e.reason(), domain, metadata);
    if !e.field_violations().is_empty() {
        let violations = e.field_violations().iter().take(MAX_VIOLATIONS).map(|v| {
            let mut f = tonic_types::FieldViolation::new(cut(&v.field), cut(&v.description));
            f.reason = cut(&v.reason).to_owned();
            f
        });
        let violations =
            violations.take_while(|f| fits(&mut room, f.field.len() + f.description.len() + f.reason.len()));
        details.set_bad_request(violations.collect::<Vec<_>>());
    }
    if let Some(after) = e.retry_after() {
        details.set_retry_info(Some(after));
    }
    let mut status = Status::with_error_details(code, cut(e.message()), details);
    status.set_source(std::sync::Arc::new(e));
    status
}

/// The beginning of a text that is too long.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

fn fits(room: &mut usize, len: usize) -> bool {
    let left = room.checked_sub(len);
    *room = left.unwrap_or(0);
    left.is_some()
}

/// The error that a callee sent, reason and violations included. Its domain stays the callee's.
pub fn from_status(status: Status) -> Error {
    let code = Code::from_i32(status.code() as i32);
    let details = status.get_error_details();
    let mut e = match details.error_info() {
        Some(info) => {
            let e = Error::new(code, info.reason.clone(), status.message()).with_domain(info.domain.clone());
            info.metadata.iter().fold(e, |e, (k, v)| e.with(k, v))
        }
        None => Error::new(code, code.name(), status.message()),
    };
    if let Some(bad) = details.bad_request() {
        let violations = bad.field_violations.iter().map(|v| Violation {
            field: v.field.clone(),
            reason: v.reason.clone(),
            description: v.description.clone(),
        });
        e = e.with_violations(violations.collect());
    }
    if let Some(after) = details.retry_info().and_then(|r| r.retry_delay) {
        e = e.with_retry_after(after.max(Duration::ZERO));
    }
    e
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_wire() {
        let e = Error::violations(vec![Violation {
            field: "price.units".into(),
            reason: "INT64_GTE".into(),
            description: "must not be negative".into(),
        }])
        .with("product_id", "prd_1")
        .with_retry_after(Duration::from_secs(3));
        let back = from_status(to_status(e, "catalog.jangteo"));
        assert_eq!(back.code(), Code::InvalidArgument);
        assert_eq!(back.domain(), "catalog.jangteo");
        assert_eq!(back.field_violations()[0].reason, "INT64_GTE");
        assert_eq!(back.metadata()["product_id"], "prd_1");
        assert_eq!(back.retry_after(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn an_error_stays_small_enough_for_headers() {
        let long = "재고".repeat(10_000);
        let violation = Violation { field: long.clone(), reason: long.clone(), description: long.clone() };
        let mut e = Error::violations(vec![violation; 1000]);
        for i in 0..100 {
            e = e.with(format!("{i}{long}"), &long);
        }
        let status = to_status(e, "catalog.jangteo");
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        let size: usize = headers.iter().map(|(k, v)| k.as_str().len() + v.len()).sum();
        assert!(size < 48 * 1024, "{size}");
        let back = from_status(status);
        assert_eq!(back.reason(), "INVALID_REQUEST");
        assert!(long.starts_with(back.metadata().values().next().unwrap()));
    }
}
