//! Which web pages may call, and what they may send and read. <https://fetch.spec.whatwg.org/#http-cors-protocol>
//! There are no cookies here, so `*` gives nothing away that a stranger could not ask for himself.

use crate::{config::CorsConfig, problem::Problem, reply};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use jangteo_core::Code;
use tonic::body::Body;

const SEND: HeaderValue = HeaderValue::from_static(
    "accept, accept-language, authorization, connect-protocol-version, connect-timeout-ms, content-encoding, \
     content-type, grpc-timeout, idempotency-key, if-none-match, traceparent, tracestate, x-grpc-web, x-request-id, x-request-timeout, x-user-agent",
);
const READ: HeaderValue = HeaderValue::from_static(
    "etag, grpc-message, grpc-status, grpc-status-details-bin, ratelimit-limit, ratelimit-remaining, \
     ratelimit-reset, retry-after, x-request-id",
);

pub(crate) struct Cors {
    any: bool,
    origins: Vec<HeaderValue>,
    max_age: HeaderValue,
}

impl Cors {
    pub fn new(config: &CorsConfig) -> Cors {
        Cors {
            any: config.origins.iter().any(|o| o == "*"),
            origins: config.origins.iter().filter_map(|o| o.trim_end_matches('/').parse().ok()).collect(),
            max_age: config.max_age_seconds.into(),
        }
    }

    /// The value of `Access-Control-Allow-Origin`, when the page may call.
    pub fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.contains(origin).then(|| origin.clone())
    }

    /// Browsers open a WebSocket to anybody and leave it to the server to look whose page it is: one
    /// that may call, or one of this same address. Who sends no origin is no browser.
    pub fn admits_socket(&self, request: &HeaderMap) -> Result<(), Problem> {
        let Some(origin) = request.get(header::ORIGIN) else { return Ok(()) };
        let authority = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, authority)| authority);
        let own = authority.is_some_and(|a| request.get(header::HOST).is_some_and(|h| h == a));
        if own || self.allowed(request).is_some() {
            return Ok(());
        }
        Err(Problem::new(Code::PermissionDenied, "ORIGIN_NOT_ALLOWED", "pages of this origin may not connect"))
    }

    /// The answer to a preflight for a path that knows `verbs`.
    pub fn preflight(&self, verbs: &str) -> Response<Body> {
        let mut response = reply::empty(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        if let Ok(verbs) = verbs.parse() {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, verbs);
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, SEND);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        response
    }

    /// Marks an answer; every answer says that it depends on the origin where any origin is allowed by name.
    pub fn mark(&self, allowed: Option<HeaderValue>, response: &mut HeaderMap) {
        if !self.any && !self.origins.is_empty() {
            response.append(header::VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = allowed {
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, READ);
        }
    }
}

pub(crate) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_allowed_by_name() {
        let from = |o: &'static str| HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(o))]);
        let cors = Cors::new(&CorsConfig { origins: vec!["https://shop.example".into()], max_age_seconds: 60 });
        assert_eq!(cors.allowed(&from("https://shop.example")).unwrap(), "https://shop.example");
        assert_eq!(cors.allowed(&from("https://shop.example.evil")), None);
        assert_eq!(cors.allowed(&from("null")), None);
        let any = Cors::new(&CorsConfig { origins: vec!["*".into()], max_age_seconds: 60 });
        assert_eq!(any.allowed(&from("https://x.example")).unwrap(), "*");
        assert_eq!(Cors::new(&CorsConfig::default()).allowed(&from("https://x.example")), None);
    }
}
