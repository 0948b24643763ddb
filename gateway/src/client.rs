//! Where a request comes from, and what of its headers may go on.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

/// The peer of the connection; `Edge::serve` puts it into each request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddr(pub IpAddr);

/// The client's address: the peer's, or the one that the outermost of the trusted proxies saw.
pub(crate) fn address(headers: &HeaderMap, peer: Option<IpAddr>, trusted_hops: usize) -> Option<IpAddr> {
    if trusted_hops == 0 {
        return peer;
    }
    let values = headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|v| v.split(',')).map(str::trim).collect();
    let seen = hops.len().checked_sub(trusted_hops).and_then(|i| parse(hops[i]));
    seen.or(peer)
}

/// `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]:80`.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.split(']').next()).unwrap_or(text);
    bare.parse()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|a| a.ip()))
        .map(|ip: IpAddr| ip.to_canonical())
}

/// What a limit counts: one IPv4 address; of IPv6 the /64, which one customer has whole.
pub(crate) fn limit_key(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            format!("{:x}:{:x}:{:x}:{:x}::/64", s[0], s[1], s[2], s[3])
        }
    }
}

/// Headers that claim what only the platform may say, those of one connection, and those that the
/// edge writes itself: none of them ever comes through from outside.
pub(crate) fn is_stripped(name: &HeaderName) -> bool {
    const PREFIXES: [&str; 8] =
        ["x-user-", "x-forwarded-", "grpc-metadata-", "x-envoy-", "x-jangteo-", "x-b3-", "proxy-", "x-istio-"];
    const NAMES: [&str; 25] = [
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "grpc-timeout",
        "host",
        "idempotency-key",
        "keep-alive",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-client-ip",
        "x-real-ip",
        "x-request-id",
        "x-request-timeout",
        "x-user",
    ];
    let name = name.as_str();
    PREFIXES.iter().any(|p| name.starts_with(p)) || NAMES.binary_search(&name).is_ok()
}

/// Headers of an answer that stay on the edge's own connection to the service.
pub(crate) fn is_hop(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "content-length")
        || name.starts_with("x-jangteo-")
        || name.starts_with("x-envoy-")
}

/// Which extra headers an operator lets through.
#[derive(Debug, Default)]
pub(crate) struct Forward(Vec<String>);

impl Forward {
    pub fn new(patterns: &[String]) -> Forward {
        Forward(patterns.iter().map(|p| p.to_ascii_lowercase()).collect())
    }

    fn lets(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|p| match p.strip_suffix('*') {
            Some(prefix) => name.as_str().starts_with(prefix),
            None => name.as_str() == p,
        })
    }

    pub fn copy(&self, from: &HeaderMap, to: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        for (name, value) in from {
            if self.lets(name) && !is_stripped(name) {
                to.append(name, value.clone());
            }
        }
    }
}

/// A request id of the client's is kept when it can't do harm in a log.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    struct Request;
    impl jangteo_core::Entity for Request {
        const NAME: &'static str = "request";
        const PREFIX: &'static str = "req";
    }
    let sound =
        |v: &&str| (1..=128).contains(&v.len()) && v.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    match headers.get("x-request-id").and_then(|v| v.to_str().ok()).filter(sound) {
        Some(given) => given.to_owned(),
        None => jangteo_core::Id::<Request>::new().to_string(),
    }
}

/// A header value of printable ASCII; other bytes become `?`.
pub(crate) fn printable(text: &[u8], max: usize) -> Option<HeaderValue> {
    let clean: Vec<u8> = text.iter().take(max).map(|b| if (b' '..=b'~').contains(b) { *b } else { b'?' }).collect();
    HeaderValue::from_bytes(&clean).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static("x-forwarded-for"), value.parse().unwrap())])
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let peer: Option<IpAddr> = "10.0.0.9".parse().ok();
        let h = forwarded("6.6.6.6, 203.0.113.7, 10.0.0.1");
        for (hops, expected) in [(0, "10.0.0.9"), (1, "10.0.0.1"), (2, "203.0.113.7"), (9, "10.0.0.9")] {
            assert_eq!(address(&h, peer, hops), expected.parse().ok(), "{hops}");
        }
        assert_eq!(address(&forwarded("[2001:db8::1]:443"), peer, 1), "2001:db8::1".parse().ok());
        assert_eq!(address(&forwarded("nonsense"), peer, 1), peer);
    }

    #[test]
    fn a_limit_counts_a_network() {
        assert_eq!(limit_key("2001:db8:1:2:3::4".parse().unwrap()), "2001:db8:1:2::/64");
        assert_eq!(limit_key("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1");
    }

    #[test]
    fn claims_of_identity_are_stripped() {
        for name in
            ["x-user-id", "x-forwarded-client-cert", "grpc-metadata-x", "x-envoy-peer", "x-jangteo-caller", "te"]
        {
            assert!(is_stripped(&HeaderName::from_static(name)), "{name}");
        }
        let to_forward = Forward::new(&["X-Api-*".to_owned(), "x-user-id".to_owned()]);
        let from = HeaderMap::from_iter(
            [("x-api-key", "k"), ("x-user-id", "root"), ("x-other", "o")]
                .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))),
        );
        let mut to = HeaderMap::new();
        to_forward.copy(&from, &mut to);
        assert_eq!(to.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-api-key"]);
    }

    #[test]
    fn request_ids_are_kept_when_sound() {
        let with = |v: &str| HeaderMap::from_iter([(HeaderName::from_static("x-request-id"), v.parse().unwrap())]);
        assert_eq!(request_id(&with("abc-1.2_3")), "abc-1.2_3");
        assert!(request_id(&with("a b")).starts_with("req_"));
        assert!(request_id(&with(&"x".repeat(129))).starts_with("req_"));
    }
}
