//! Whole answers: bytes, JSON, conditional requests and compression.

use crate::negotiate;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use std::{hash::Hasher, io::Write};
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
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(&bytes);
    let tag = format!("W/\"{:x}-{:x}\"", bytes.len(), hasher.finish());
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
