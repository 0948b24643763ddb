//! Request bodies: read whole under a limit that counts decompressed bytes, and a deadline.

use crate::{
    coding::{self, Coding, Unpacker},
    problem::Problem,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use jangteo_core::Code;
use std::time::Duration;
use tonic::body::Body;

/// How much of a refused body is read and thrown away, so that a client that sends before it
/// listens gets its answer instead of a reset connection.
const LINGER_BYTES: usize = 8 << 20;
pub(crate) const LINGER: Duration = Duration::from_millis(500);

pub(crate) async fn read(
    mut body: Body,
    headers: &HeaderMap,
    limit: usize,
    within: Duration,
) -> Result<Bytes, Problem> {
    let whole = tokio::time::timeout(within, read_all(&mut body, headers, limit)).await;
    let refused = match whole {
        Ok(Ok(bytes)) => return Ok(bytes),
        Ok(Err(problem)) => problem,
        Err(_) => {
            let text = "the body took too long to arrive";
            return Err(Problem::http(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "BODY_TIMEOUT", text)
                .header(header::CONNECTION, "close"));
        }
    };
    if refused.http_status() == StatusCode::PAYLOAD_TOO_LARGE && !headers.contains_key(header::EXPECT) {
        linger(&mut body).await;
    }
    Err(refused)
}

async fn read_all(body: &mut Body, headers: &HeaderMap, limit: usize) -> Result<Bytes, Problem> {
    if declared(headers).is_some_and(|n| n > limit) {
        return Err(too_large(limit));
    }
    match headers.get(header::CONTENT_ENCODING).map(|v| v.as_bytes().to_ascii_lowercase()).as_deref() {
        None | Some(b"" | b"identity") => plain(body, limit).await,
        Some(name) => match Coding::named(name) {
            Some(coding) => unpacked(body, coding, limit).await,
            None => Err(unsupported_encoding(coding::TAKEN)),
        },
    }
}

/// The length that the client says its body has.
pub(crate) fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `taken`: beside the body as it is.
pub(crate) fn unsupported_encoding(taken: &'static str) -> Problem {
    let text = match taken {
        "identity" => "send the body as it is".to_owned(),
        other => format!("send the body as it is or with {other}"),
    };
    Problem::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "UNSUPPORTED_ENCODING", text)
        .header(header::ACCEPT_ENCODING, taken)
}

async fn plain(body: &mut Body, limit: usize) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(chunk) = next(body).await? {
        if first.len() + rest.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        if first.is_empty() {
            // Nearly every body comes in one piece and is never copied.
            first = chunk;
        } else {
            rest.extend_from_slice(&chunk);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut all = BytesMut::with_capacity(first.len() + rest.len());
    all.extend_from_slice(&first);
    all.extend_from_slice(&rest);
    Ok(all.freeze())
}

async fn unpacked(body: &mut Body, coding: Coding, limit: usize) -> Result<Bytes, Problem> {
    let mut unpacker = Unpacker::new(coding, limit)?;
    let mut started = false;
    while let Some(chunk) = next(body).await? {
        started |= !chunk.is_empty();
        unpacker.write(&chunk)?;
    }
    if started { unpacker.finish() } else { Ok(Bytes::new()) }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => return Err(interrupted()),
        }
    }
}

pub(crate) fn interrupted() -> Problem {
    Problem::new(Code::InvalidArgument, "BODY_INTERRUPTED", "the body did not arrive whole")
}

/// Reads and throws away a refused body, a while.
pub(crate) async fn linger(body: &mut Body) {
    let _ = tokio::time::timeout(LINGER, discard(body)).await;
}

async fn discard(body: &mut Body) {
    let mut left = LINGER_BYTES;
    while !body.is_end_stream() {
        match next(body).await {
            Ok(Some(chunk)) if chunk.len() < left => left -= chunk.len(),
            _ => return,
        }
    }
}

pub(crate) fn too_large(limit: usize) -> Problem {
    let text = format!("the body is larger than {limit} bytes");
    Problem::http(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, "BODY_TOO_LARGE", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use http_body_util::Full;
    use std::io::Write;

    async fn unzipped(bytes: Vec<u8>, limit: usize) -> Result<Bytes, Problem> {
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, "gzip".parse().unwrap())]);
        read(Body::new(Full::new(Bytes::from(bytes))), &headers, limit, Duration::from_secs(5)).await
    }

    fn zipped(n: usize) -> Vec<u8> {
        let mut e = GzEncoder::new(Vec::new(), Compression::best());
        e.write_all(&vec![b' '; n]).unwrap();
        e.finish().unwrap()
    }

    #[tokio::test]
    async fn the_limit_counts_what_comes_out() {
        assert_eq!(unzipped(zipped(1000), 1000).await.unwrap().len(), 1000);
        assert_eq!(unzipped(zipped(1001), 1000).await.unwrap_err().http_status(), StatusCode::PAYLOAD_TOO_LARGE);
        let bomb = zipped(64 << 20);
        assert!(bomb.len() < 80_000);
        assert_eq!(unzipped(bomb, 1 << 20).await.unwrap_err().http_status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn broken_gzip_is_the_clients_fault() {
        let mut cut = zipped(5000);
        cut.truncate(20);
        for bad in [cut, b"{}".to_vec()] {
            assert_eq!(unzipped(bad, 1 << 20).await.unwrap_err().http_status(), StatusCode::BAD_REQUEST);
        }
        assert!(unzipped(Vec::new(), 10).await.unwrap().is_empty());
    }
}
