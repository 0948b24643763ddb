//! `core::Error` on the wire: `google.rpc.Status` with exactly one `ErrorInfo`, and `BadRequest`
//! and `RetryInfo` where they apply (AIP-193).

use jangteo_core::{Code, Error, Violation};
use std::time::Duration;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

/// `domain` is the service that answers, `catalog.jangteo`, unless the error names its own.
pub fn to_status(e: Error, domain: &'static str) -> Status {
    let code = tonic::Code::from_i32(e.code() as i32);
    let mut details = ErrorDetails::new();
    let domain = if e.domain().is_empty() { domain } else { e.domain() };
    let metadata = e.metadata().iter().map(|(k, v)| (k.clone(), v.clone())).collect::<std::collections::HashMap<_, _>>();
    details.set_error_info(e.reason(), domain, metadata);
    if !e.field_violations().is_empty() {
        let violations = e.field_violations().iter().map(|v| {
            let mut f = tonic_types::FieldViolation::new(&v.field, &v.description);
            f.reason = v.reason.clone();
            f
        });
        details.set_bad_request(violations.collect::<Vec<_>>());
    }
    if let Some(after) = e.retry_after() {
        details.set_retry_info(Some(after));
    }
    let mut status = Status::with_error_details(code, e.message(), details);
    status.set_source(std::sync::Arc::new(e));
    status
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
}
