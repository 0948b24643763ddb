//! Whole answers: bytes, JSON, conditional requests and compression.

use crate::negotiate;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use std::io::Write;
use tonic::body::Body;

/// Below this a compressed answer saves no packet.
const WORTH_COMPRESSING: usize = 1400;

pub(crate) fn full(status: StatusCode, bytes: Bytes) -> Response<Body> {
    let length = bytes.len();
    let body = if length == 0 { Body::empty() } else { Body::new(Full::new(bytes)) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
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

/// The answer to a safe request: with an entity tag, and 304 when the client has it already.
/// It must be asked for again each time (`no-cache`), and no shared cache may keep it.
pub(crate) fn revalidated(request: &HeaderMap, bytes: Bytes, compress: bool) -> Response<Body> {
    let tag = format!("W/\"{:x}-{:x}\"", bytes.len(), digest(&bytes));
    let matches = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let fresh = matches.flat_map(|v| v.split(',')).map(str::trim).any(|t| t == "*" || weak(t) == weak(&tag));
    let mut response = if fresh { empty(StatusCode::NOT_MODIFIED) } else { compressed(request, bytes, compress) };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
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
    let mut response = if negotiate::takes_gzip(request) {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
        let small = encoder.write_all(&bytes).and_then(|()| encoder.finish()).expect("a Vec takes every byte");
        let mut response = full(StatusCode::OK, small.into());
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        full(StatusCode::OK, bytes)
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
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
