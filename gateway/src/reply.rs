//! Whole answers: bytes, JSON, conditional requests and compression.

use crate::{
    coding,
    negotiate::{self, Mode},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use tonic::body::Body;

/// Below this a compressed answer saves no packet.
const WORTH_COMPRESSING: usize = 1400;

/// Headers that an answer mostly has; `date` is hyper's.
const HEADERS: usize = 14;

pub(crate) fn full(status: StatusCode, bytes: Bytes) -> Response<Body> {
    let length = bytes.len();
    let body = if length == 0 { Body::empty() } else { Body::new(Full::new(bytes)) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

pub(crate) fn page(content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = full(StatusCode::OK, bytes.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The same answer without its body, as HEAD wants it; the length stays.
pub(crate) fn head(response: Response<Body>) -> Response<Body> {
    response.map(|_| Body::empty())
}

/// The answer to a safe request: with an entity tag, and 304 when the client has it already. `said`: how long it may be
/// kept. Where nobody says, what was told to somebody who proved who they are is kept nowhere; other answers must be
/// asked for again each time, and no shared cache may keep them.
pub(crate) fn revalidated(
    request: &HeaderMap,
    bytes: Bytes,
    compress: bool,
    said: Option<&HeaderValue>,
) -> Response<Body> {
    let tag = format!("W/\"{:x}-{:x}\"", bytes.len(), digest(&bytes));
    let matches = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let fresh = matches.flat_map(|v| v.split(',')).map(str::trim).any(|t| t == "*" || weak(t) == weak(&tag));
    let mut response = if fresh { empty(StatusCode::NOT_MODIFIED) } else { compressed(request, bytes, compress) };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    let unsaid = if request.contains_key(header::AUTHORIZATION) { "no-store" } else { "private, no-cache" };
    headers.insert(header::CACHE_CONTROL, said.cloned().unwrap_or(HeaderValue::from_static(unsaid)));
    headers.append(header::VARY, HeaderValue::from_static("authorization, accept-language"));
    response
}

/// The same on every machine and in every version. It multiplies sixteen bytes at a time, since what
/// std has costs as much as making the JSON did; nobody gains by a collision in their own cache.
fn digest(bytes: &[u8]) -> u64 {
    const SEEDS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xe703_7ed1_a0b4_28db];
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let mut state = SEEDS[0] ^ bytes.len() as u64;
    let mut mix = |block: &[u8; 16]| {
        let both = u128::from_le_bytes(*block);
        state = fold(state ^ both as u64, SEEDS[1] ^ (both >> 64) as u64).wrapping_add(state.rotate_left(23));
    };
    let (blocks, rest) = bytes.as_chunks::<16>();
    blocks.iter().for_each(&mut mix);
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    mix(&last);
    fold(state ^ SEEDS[1], SEEDS[0])
}

fn weak(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Compressed where the client takes it and it is worth it.
pub(crate) fn compressed(request: &HeaderMap, bytes: Bytes, compress: bool) -> Response<Body> {
    if !compress || bytes.len() < WORTH_COMPRESSING {
        return full(StatusCode::OK, bytes);
    }
    let mut headers = HeaderMap::new();
    let small = negotiate::coding(request).and_then(|coding| {
        let packed = coding::pack(coding, &bytes, &mut headers);
        packed.inspect_err(|error| tracing::error!(%error, "an answer could not be packed")).ok()
    });
    let mut response = full(StatusCode::OK, small.map_or(bytes, Bytes::from));
    response.headers_mut().extend(headers);
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// A stream of messages, packed where the client takes it. Events are not: such a stream stays open for hours, often
/// with many others, and each would hold its window all the time.
pub(crate) fn compressed_stream(
    request: &HeaderMap,
    response: Response<Body>,
    mode: Mode,
    compress: bool,
) -> Response<Body> {
    if !compress || mode == Mode::Events {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    let body = match negotiate::coding(request) {
        None => body,
        Some(coding) => coding::stream(coding, body, &mut parts.headers),
    };
    Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts_in_a_digest() {
        let text: Vec<u8> = (0..80).collect();
        let mut seen = std::collections::HashSet::new();
        for length in 0..text.len() {
            assert!(seen.insert(digest(&text[..length])), "{length}");
            for at in 0..length {
                let mut other = text[..length].to_vec();
                other[at] ^= 1;
                assert!(seen.insert(digest(&other)), "{length} {at}");
            }
        }
        assert_ne!(digest(&[0; 16]), digest(&[0; 32]));
    }
}
