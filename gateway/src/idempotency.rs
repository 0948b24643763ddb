//! `Idempotency-Key` is the request's `request_id`.
//! <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>

use crate::{frames::HEAD, problem::Problem, site::Endpoint};
use http::HeaderMap;
use jangteo_core::Error;
use proto::policy::RequestId;

const MAX: usize = 128;

/// The key that the client sent, plain or as a quoted string.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or("");
    let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    let sound = (1..=MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if !sound || values.next().is_some() {
        let text = format!("must be one value of 1 to {MAX} printable ASCII characters");
        return Err(Error::invalid("idempotency-key", "INVALID_KEY", text).into());
    }
    Ok(Some(text))
}

/// Writes the key into a request that has none of its own.
pub(crate) fn fill(endpoint: &Endpoint, key: Option<&str>, framed: &mut Vec<u8>) {
    let (Some(number), Some(key)) = (endpoint.request_id, key) else { return };
    if string_field(&framed[HEAD..], number).unwrap_or("").is_empty() {
        prost::encoding::string::encode(number, &key.to_owned(), framed);
    }
}

/// Checks the key against the request that goes on, which has it filled in where it was empty.
pub(crate) fn check(endpoint: &Endpoint, key: Option<&str>, framed: &[u8]) -> Result<(), Problem> {
    let Some(number) = endpoint.request_id else { return Ok(()) };
    let given = string_field(&framed[HEAD..], number).unwrap_or("");
    match key {
        Some(key) if given != key => {
            let text = "differs from the Idempotency-Key header; send one of them";
            Err(Error::invalid("requestId", "CONFLICTING_VALUES", text).into())
        }
        None if given.is_empty() && endpoint.policy.request_id == RequestId::Required => {
            Err(Error::invalid("requestId", "REQUIRED", "is required; send an Idempotency-Key header").into())
        }
        _ => Ok(()),
    }
}

/// The last value of a top-level string field, as protobuf readers take it.
fn string_field(mut wire: &[u8], number: u32) -> Option<&str> {
    let mut found = None;
    while !wire.is_empty() {
        let tag = varint(&mut wire)?;
        let skip = match tag & 7 {
            0 => {
                varint(&mut wire)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut wire)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = wire.split_at_checked(skip)?;
        if tag == u64::from(number) << 3 | 2 {
            found = std::str::from_utf8(value).ok();
        }
        wire = rest;
    }
    found
}

fn varint(wire: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = wire.split_first()?;
        *wire = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[derive(Message)]
    struct Sample {
        #[prost(int64, tag = "1")]
        n: i64,
        #[prost(double, tag = "2")]
        d: f64,
        #[prost(fixed32, tag = "3")]
        f: u32,
        #[prost(string, tag = "9")]
        text: String,
        #[prost(string, tag = "15")]
        request_id: String,
    }

    #[test]
    fn finds_the_field_on_the_wire() {
        let m = Sample { n: -1, d: 0.5, f: 7, text: "x".repeat(300), request_id: "key-1".into() };
        let wire = m.encode_to_vec();
        assert_eq!(string_field(&wire, 15), Some("key-1"));
        assert_eq!(string_field(&wire, 16), None);
        let twice = [wire, Sample { request_id: "last".into(), ..Default::default() }.encode_to_vec()].concat();
        assert_eq!(string_field(&twice, 15), Some("last"));
        assert_eq!(string_field(&twice[..twice.len() - 1], 15), None, "cut short");
    }

    #[test]
    fn keys_are_printable_and_short() {
        let with =
            |v: &str| HeaderMap::from_iter([(http::HeaderName::from_static("idempotency-key"), v.parse().unwrap())]);
        assert_eq!(key(&with("abc")).unwrap(), Some("abc"));
        assert_eq!(key(&with("\"8e03978e-40d5\"")).unwrap(), Some("8e03978e-40d5"));
        for bad in ["", "a b", &"x".repeat(129)] {
            assert!(key(&with(bad)).is_err(), "{bad}");
        }
    }
}
