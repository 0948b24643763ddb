//! The names under which a call's context travels as gRPC metadata. The edge strips all of them
//! from what comes from outside.

pub const AUTHORIZATION: &str = "authorization";
pub const TIMEOUT: &str = "grpc-timeout";
pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";
pub const LOCALE: &str = "accept-language";
pub const CLIENT_ADDR: &str = "x-jangteo-client-addr";
pub const USER_AGENT: &str = "x-jangteo-user-agent";
/// The service whose canary is wanted: the mesh routes by it, and each hop passes it on. The one name of ours that
/// clients may send.
pub const CANARY: &str = "x-jangteo-canary";
/// Before the name of each HTTP header that a method's policy asks for.
pub const HTTP_HEADER: &str = "x-jangteo-http-";
/// The service that calls, where neither a certificate nor the mesh says so; believed only when configured.
pub const CALLER: &str = "x-jangteo-caller";

use std::time::Duration;

/// `grpc-timeout`: at most eight digits and a unit.
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
pub fn format_timeout(d: Duration) -> String {
    const MAX: u128 = 99_999_999;
    match d.as_micros() {
        us if us <= MAX => format!("{us}u"),
        us if us / 1000 <= MAX => format!("{}m", us / 1000),
        us => format!("{}S", (us / 1_000_000).min(MAX)),
    }
}

pub fn parse_timeout(s: &str) -> Option<Duration> {
    let (digits, unit) = s.split_at_checked(s.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_keep_to_eight_digits() {
        for (d, text) in [
            (Duration::from_millis(50), "50000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(1_000_000), "1000000S"),
        ] {
            assert_eq!(format_timeout(d), text);
            assert_eq!(parse_timeout(text), Some(d));
        }
        for bad in ["", "u", "123456789u", "-1S", "1x", "1"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
