//! gRPC-Web: trailers ride in the body, and the text form is base64.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Frame;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tonic::{Status, body::Body};

const TRAILERS: u8 = 0x80;

/// A request body of the text form: base64, perhaps padded in the middle where chunks were joined.
pub(crate) struct Decode {
    inner: Body,
    pending: Vec<u8>,
    ended: bool,
}

impl Decode {
    pub fn new(inner: Body) -> Decode {
        Decode { inner, pending: Vec::new(), ended: false }
    }

    fn push(&mut self, data: &[u8]) -> Result<Bytes, Status> {
        self.pending.extend(data.iter().filter(|b| !b.is_ascii_whitespace()));
        let whole = self.pending.len() / 4 * 4;
        let mut out = Vec::with_capacity(whole / 4 * 3);
        // A quantum with padding ends a chunk, so each run up to one is decoded by itself.
        let mut rest = &self.pending[..whole];
        while !rest.is_empty() {
            let end = rest.iter().position(|b| *b == b'=').map_or(rest.len(), |i| i / 4 * 4 + 4);
            let (run, behind) = rest.split_at(end);
            let decoded = BASE64_STANDARD.decode_vec(run, &mut out);
            decoded.map_err(|_| Status::invalid_argument("the body is not base64"))?;
            rest = behind;
        }
        self.pending.drain(..whole);
        Ok(out.into())
    }
}

impl http_body::Body for Decode {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                None => {
                    this.ended = true;
                    let whole = this.pending.is_empty();
                    let cut = || Err(Status::invalid_argument("the base64 of the body is cut short"));
                    return Poll::Ready((!whole).then(cut));
                }
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let decoded = this.push(&data);
                    this.ended |= decoded.is_err();
                    match decoded {
                        Ok(bytes) if bytes.is_empty() => continue,
                        decoded => return Poll::Ready(Some(decoded.map(Frame::data))),
                    }
                }
            }
        }
    }
}

/// Turns a gRPC answer into a gRPC-Web one.
pub(crate) fn encode(response: Response<Body>, text: bool) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let content_type = if text { "application/grpc-web-text+proto" } else { "application/grpc-web+proto" };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let mut only = HeaderMap::new();
    for name in [Status::GRPC_STATUS, Status::GRPC_MESSAGE, Status::GRPC_STATUS_DETAILS] {
        if let Some(value) = parts.headers.remove(&name) {
            only.insert(name, value);
        }
    }
    let early = (!only.is_empty()).then_some(only);
    Response::from_parts(parts, Body::new(Encode { inner: body, text, early, ended: false }))
}

struct Encode {
    inner: Body,
    text: bool,
    /// Of an answer without messages, whose trailers came as headers.
    early: Option<HeaderMap>,
    ended: bool,
}

impl Encode {
    fn frame(&self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let bytes = if self.text { BASE64_STANDARD.encode(&bytes).into() } else { bytes };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl http_body::Body for Encode {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            if let Some(trailers) = this.early.take() {
                this.ended = true;
                return this.frame(trailer_frame(&trailers));
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                None => {
                    // A service that sends no trailers broke off.
                    this.ended = true;
                    let cut = Status::unavailable("the service broke off its answer");
                    let mut trailers = HeaderMap::new();
                    if let Err(status) = cut.add_header(&mut trailers) {
                        return Poll::Ready(Some(Err(status)));
                    }
                    return this.frame(trailer_frame(&trailers));
                }
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => return this.frame(data),
                    Err(frame) => {
                        this.ended = true;
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return this.frame(trailer_frame(&trailers));
                    }
                },
            }
        }
    }
}

fn trailer_frame(trailers: &HeaderMap) -> Bytes {
    let mut lines = Vec::with_capacity(64);
    for (name, value) in trailers {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.push(b':');
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    let mut out = BytesMut::with_capacity(lines.len() + 5);
    out.put_u8(TRAILERS);
    out.put_u32(lines.len() as u32);
    out.put_slice(&lines);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full, StreamBody};

    #[tokio::test]
    async fn base64_in_pieces_and_padded_in_the_middle() {
        let text =
            [BASE64_STANDARD.encode(b"a"), BASE64_STANDARD.encode(b"bcde"), BASE64_STANDARD.encode(b"xyz")].concat();
        for piece in 1..=text.len() {
            let pieces: Vec<_> = text
                .as_bytes()
                .chunks(piece)
                .map(|c| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(c))))
                .collect();
            let body = Decode::new(Body::new(StreamBody::new(futures::stream::iter(pieces))));
            assert_eq!(body.collect().await.unwrap().to_bytes(), "abcdexyz");
        }
        for bad in ["YQ", "Y!==", "===="] {
            let body = Decode::new(Body::new(Full::new(Bytes::from_static(bad.as_bytes()))));
            assert!(body.collect().await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn trailers_ride_in_the_body() {
        let refused: Response<Body> = Status::not_found("no such thing").into_http();
        let response = encode(refused, false);
        assert!(!response.headers().contains_key("grpc-status"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body[0], TRAILERS);
        let lines = std::str::from_utf8(&body[5..]).unwrap();
        assert!(lines.contains("grpc-status:5\r\n") && lines.contains("grpc-message:no%20such%20thing\r\n"), "{lines}");
    }
}
