//! What the client sends and what it takes: `Content-Type`, `Content-Encoding`, `Accept`.

use crate::{coding::Coding, problem::Problem};
use http::{HeaderMap, StatusCode, header};
use jangteo_core::Code;

/// How a stream of messages is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Array,
    Lines,
    Events,
}

impl Mode {
    pub fn content_type(self) -> &'static str {
        match self {
            Mode::Array => "application/json",
            Mode::Lines => "application/x-ndjson",
            Mode::Events => "text/event-stream",
        }
    }
}

const STREAM: &[(&str, Mode)] = &[
    ("application/json", Mode::Array),
    ("application/x-ndjson", Mode::Lines),
    ("application/ndjson", Mode::Lines),
    ("application/jsonl", Mode::Lines),
    ("text/event-stream", Mode::Events),
];

/// The protocol that a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Rest,
    Grpc,
    Web { text: bool },
}

pub(crate) fn speech(headers: &HeaderMap) -> Speech {
    let media = media_type(headers);
    match media.strip_prefix("application/grpc").unwrap_or("no") {
        "" | "+proto" => Speech::Grpc,
        "-web" | "-web+proto" => Speech::Web { text: false },
        "-web-text" | "-web-text+proto" => Speech::Web { text: true },
        _ => Speech::Rest,
    }
}

/// The media type without parameters, lower case where it isn't already.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// What a body of JSON may be declared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Json,
    Lines,
}

pub(crate) fn sent_json(headers: &HeaderMap) -> Result<Sent, Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or("").to_ascii_lowercase();
    let unicode = parts.filter_map(|p| p.split_once('=')).all(|(k, v)| {
        !k.trim().eq_ignore_ascii_case("charset") || v.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    match media.as_str() {
        _ if !unicode => Err(unsupported("JSON is UTF-8", "application/json")),
        "application/json" => Ok(Sent::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Sent::Lines),
        m if m.starts_with("application/") && m.ends_with("+json") => Ok(Sent::Json),
        _ => Err(unsupported("send the body as application/json", "application/json")),
    }
}

pub(crate) fn unsupported(message: &str, accept: &'static str) -> Problem {
    Problem::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", message)
        .header(header::ACCEPT, accept)
}

/// The items of an `Accept`-like header with their weights; no header: nothing.
fn weighted(headers: &HeaderMap, name: header::HeaderName) -> Vec<(String, f32)> {
    let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
    let items = values.flat_map(|v| v.split(',')).map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let range = parts.next().unwrap_or("").to_ascii_lowercase();
        let weight = parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        (range, weight)
    });
    items.filter(|(range, _)| !range.is_empty()).collect()
}

/// The weight that the most specific range gives a media type.
fn weight(ranges: &[(String, f32)], media: &str) -> f32 {
    let of = |range: &str| ranges.iter().find(|(r, _)| r == range).map(|(_, q)| *q);
    let kind = media.split('/').next().unwrap_or("");
    of(media).or_else(|| of(&format!("{kind}/*"))).or_else(|| of("*/*")).unwrap_or(0.0)
}

/// Whether the client takes JSON, the only shape of a single answer.
pub(crate) fn takes_json(headers: &HeaderMap) -> Result<(), Problem> {
    let ranges = match headers.get(header::ACCEPT) {
        None => return Ok(()),
        Some(v) if v == "*/*" || v == "application/json" => return Ok(()),
        Some(_) => weighted(headers, header::ACCEPT),
    };
    if ranges.is_empty() || weight(&ranges, "application/json") > 0.0 {
        return Ok(());
    }
    Err(not_acceptable("application/json"))
}

/// The shape of a stream that the client likes best; an array when it doesn't say.
pub(crate) fn stream_mode(headers: &HeaderMap) -> Result<Mode, Problem> {
    let ranges = weighted(headers, header::ACCEPT);
    if ranges.is_empty() {
        return Ok(Mode::Array);
    }
    let mut best = (0.0, None);
    for (media, mode) in STREAM {
        let weight = weight(&ranges, media);
        if weight > best.0 {
            best = (weight, Some(*mode));
        }
    }
    best.1.ok_or_else(|| not_acceptable("application/json, application/x-ndjson, text/event-stream"))
}

fn not_acceptable(offer: &'static str) -> Problem {
    let text = format!("the answer can be had as {offer}");
    Problem::http(StatusCode::NOT_ACCEPTABLE, Code::InvalidArgument, "NOT_ACCEPTABLE", text)
}

/// What the client likes best to get an answer packed with; `None`: as it is.
pub(crate) fn coding(headers: &HeaderMap) -> Option<Coding> {
    if !headers.contains_key(header::ACCEPT_ENCODING) {
        return None;
    }
    let codings = weighted(headers, header::ACCEPT_ENCODING);
    let of = |name: &str| codings.iter().find(|(c, _)| c == name).map(|(_, q)| *q);
    // Only a client that says how it likes the plain answer can like it more.
    let mut best = (of("identity").unwrap_or(0.0), None);
    for coding in Coding::ALL {
        let alias = if coding == Coding::Gzip { of("x-gzip") } else { None };
        let weight = of(coding.name()).or(alias).or_else(|| of("*")).unwrap_or(0.0);
        if weight > best.0 || (weight == best.0 && weight > 0.0 && best.1.is_none()) {
            best = (weight, Some(coding));
        }
    }
    best.1
}

/// The language that the client likes best, `ko` or `en-US`.
pub(crate) fn locale(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut best: Option<(f32, &str)> = None;
    for item in value.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let tag = parts.next().unwrap_or("");
        let q = parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        let sound = (1..=35).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if sound && q > best.map_or(0.0, |b| b.0) {
            best = Some((q, tag));
        }
    }
    best.map(|(_, tag)| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn streams_follow_the_weights() {
        for (accept, mode) in [
            ("text/event-stream", Mode::Events),
            ("application/x-ndjson, application/json;q=0.5", Mode::Lines),
            ("*/*", Mode::Array),
            ("text/*, */*;q=0.1", Mode::Events),
            ("application/json;q=0, application/jsonl", Mode::Lines),
        ] {
            assert_eq!(stream_mode(&with(header::ACCEPT, accept)).unwrap(), mode, "{accept}");
        }
        assert_eq!(stream_mode(&HeaderMap::new()).unwrap(), Mode::Array);
        let refused = stream_mode(&with(header::ACCEPT, "image/png")).unwrap_err();
        assert_eq!(refused.http_status(), StatusCode::NOT_ACCEPTABLE);
    }

    #[test]
    fn json_in_and_out() {
        for accept in ["application/json", "text/html, */*;q=0.8", "application/*", "*/*"] {
            assert!(takes_json(&with(header::ACCEPT, accept)).is_ok(), "{accept}");
        }
        for accept in ["image/png", "application/json;q=0", "text/html"] {
            assert!(takes_json(&with(header::ACCEPT, accept)).is_err(), "{accept}");
        }
        for sent in ["application/json", "Application/JSON; charset=UTF-8", "application/merge-patch+json"] {
            assert_eq!(sent_json(&with(header::CONTENT_TYPE, sent)).unwrap(), Sent::Json, "{sent}");
        }
        for sent in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", ""] {
            assert!(sent_json(&with(header::CONTENT_TYPE, sent)).is_err(), "{sent}");
        }
    }

    #[test]
    fn languages_and_codings() {
        assert_eq!(locale(&with(header::ACCEPT_LANGUAGE, "en;q=0.5, ko-KR, *;q=0.1")).as_deref(), Some("ko-KR"));
        assert_eq!(locale(&with(header::ACCEPT_LANGUAGE, "<script>")), None);
        for (accept, expected) in [
            ("gzip", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, br", Some(Coding::Brotli)),
            ("gzip;q=1, br;q=0.9, zstd;q=0.1", Some(Coding::Gzip)),
            ("zstd;q=0, *", Some(Coding::Brotli)),
            ("x-gzip", Some(Coding::Gzip)),
            ("gzip, identity", Some(Coding::Gzip)),
            ("gzip;q=0.5, identity", None),
            ("identity;q=0.5, *;q=0", None),
            ("gzip;q=0", None),
            ("deflate", None),
            ("br;q=nonsense", None),
            ("", None),
        ] {
            assert_eq!(coding(&with(header::ACCEPT_ENCODING, accept)), expected, "{accept}");
        }
        assert_eq!(coding(&HeaderMap::new()), None);
    }

    #[test]
    fn protocols() {
        for (content, expected) in [
            ("application/grpc", Speech::Grpc),
            ("application/grpc+proto", Speech::Grpc),
            ("application/grpc-web+proto", Speech::Web { text: false }),
            ("application/grpc-web-text", Speech::Web { text: true }),
            ("application/json", Speech::Rest),
            ("application/grpc+json", Speech::Rest),
        ] {
            assert_eq!(speech(&with(header::CONTENT_TYPE, content)), expected, "{content}");
        }
    }
}
