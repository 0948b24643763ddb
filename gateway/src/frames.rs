//! gRPC's length-prefixed messages out of a body, whatever pieces it comes in; compressed ones unpacked.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use crate::{coding::Limited, problem::Problem};
use bytes::{Bytes, BytesMut};
use flate2::write::GzDecoder;
use http::{HeaderMap, HeaderName};
use http_body::{Body as _, Frame};
use jangteo_core::Code;
use std::{
    future::poll_fn,
    io::Write,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};
use tonic::body::Body;

pub(crate) const HEAD: usize = 5;
pub(crate) const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// An empty frame head, to be filled in by [`close`] when the message behind it is complete.
pub(crate) fn open() -> Vec<u8> {
    vec![0; HEAD]
}

/// Writes the length of the message that began with the head at `start`.
pub(crate) fn close(out: &mut [u8], start: usize) {
    let length = u32::try_from(out.len() - start - HEAD).unwrap_or(u32::MAX);
    out[start + 1..start + HEAD].copy_from_slice(&length.to_be_bytes());
}

pub(crate) struct Frames {
    body: Body,
    pending: Bytes,
    encoding: Option<Encoding>,
    limit: usize,
    /// The code of a broken stream: whose fault it is.
    fault: Code,
    /// What came behind the last message.
    pub trailers: Option<HeaderMap>,
    ended: bool,
}

enum Encoding {
    Gzip,
    Other(String),
}

impl Frames {
    pub fn of_client(body: Body, headers: &HeaderMap, limit: usize) -> Frames {
        Self::new(body, headers, limit, Code::InvalidArgument)
    }

    pub fn of_service(body: Body, headers: &HeaderMap, limit: usize) -> Frames {
        Self::new(body, headers, limit, Code::Internal)
    }

    fn new(body: Body, headers: &HeaderMap, limit: usize, fault: Code) -> Frames {
        let named = headers.get(ENCODING).or_else(|| headers.get("connect-content-encoding"));
        let encoding = match named.map(|v| v.to_str().unwrap_or("?")) {
            None | Some("identity") => None,
            Some("gzip") => Some(Encoding::Gzip),
            Some(other) => Some(Encoding::Other(other.to_owned())),
        };
        Frames { body, pending: Bytes::new(), encoding, limit, fault, trailers: None, ended: false }
    }

    /// The next message with an uncompressed head before it; `None` at the end, when the trailers are known.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Problem>>> {
        loop {
            match self.take() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) => {}
                Err(problem) => {
                    self.ended = true;
                    self.pending = Bytes::new();
                    return Poll::Ready(Some(Err(problem)));
                }
            }
            if self.ended {
                let cut = !std::mem::take(&mut self.pending).is_empty();
                return Poll::Ready(cut.then(|| Err(self.broken("the stream ends within a message"))));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.ended = true,
                Some(Err(status)) => {
                    self.ended = true;
                    self.pending = Bytes::new();
                    return Poll::Ready(Some(Err(status.into())));
                }
                Some(Ok(frame)) => self.push(frame),
            }
        }
    }

    pub async fn next(&mut self) -> Option<Result<Bytes, Problem>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    fn push(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            // A message in one piece is never copied.
            Ok(data) if self.pending.is_empty() => self.pending = data,
            Ok(data) => {
                let grown = std::mem::take(&mut self.pending).try_into_mut();
                let mut joined = grown.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
                joined.extend_from_slice(&data);
                self.pending = joined.freeze();
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some((head, _)) = self.pending.split_at_checked(HEAD) else { return Ok(None) };
        let flag = head[0];
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > self.limit {
            return Err(self.too_large());
        }
        if flag > 1 {
            return Err(self.broken("a message has unknown flags"));
        }
        if self.pending.len() < HEAD + length {
            return Ok(None);
        }
        let frame = self.pending.split_to(HEAD + length);
        if flag == 0 { Ok(Some(frame)) } else { self.unpack(&frame[HEAD..]).map(Some) }
    }

    fn unpack(&self, packed: &[u8]) -> Result<Bytes, Problem> {
        match &self.encoding {
            // Of whichever side: <https://github.com/grpc/grpc/blob/master/doc/compression.md>
            None => return Err(tonic::Status::internal("a message is compressed, but no encoding is named").into()),
            Some(Encoding::Other(name)) => {
                let text = format!("messages compressed with {name} are not understood; use gzip");
                return Err(Problem::new(Code::Unimplemented, "UNSUPPORTED_ENCODING", text));
            }
            Some(Encoding::Gzip) => {}
        }
        let mut limited = Limited::new(self.limit + HEAD);
        limited.out = open();
        let mut decoder = GzDecoder::new(limited);
        let done = decoder.write_all(packed).and_then(|()| decoder.try_finish());
        if done.is_err() {
            return Err(if decoder.get_ref().full {
                self.too_large()
            } else {
                self.broken("a message is broken gzip")
            });
        }
        let mut out = std::mem::take(&mut decoder.get_mut().out);
        close(&mut out, 0);
        Ok(out.into())
    }

    fn broken(&self, what: &'static str) -> Problem {
        Problem::new(self.fault, "BROKEN_STREAM", what)
    }

    fn too_large(&self) -> Problem {
        let code = if self.fault == Code::Internal { Code::Internal } else { Code::ResourceExhausted };
        Problem::new(code, "MESSAGE_TOO_LARGE", format!("a message is larger than {} bytes", self.limit))
    }
}

/// Why a stream of requests was refused while a service was reading it.
pub(crate) type Refusal = Arc<OnceLock<Problem>>;

/// A client's stream on its way to a service, every message checked.
pub(crate) struct Checked {
    pub frames: Frames,
    pub refusal: Refusal,
    /// The messages come as JSON of this method's requests.
    pub json: Option<Arc<transcode::Method>>,
}

impl Checked {
    fn message(&self, frame: Bytes) -> Result<Bytes, Problem> {
        let Some(method) = &self.json else { return Ok(frame) };
        let mut out = open();
        method.request(&frame[HEAD..], &mut out)?;
        close(&mut out, 0);
        Ok(out.into())
    }
}

impl http_body::Body for Checked {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let next = ready!(self.frames.poll_frame(cx));
        Poll::Ready(match next.map(|frame| frame.and_then(|f| self.message(f))) {
            None => None,
            Some(Ok(frame)) => Some(Ok(Frame::data(frame))),
            Some(Err(problem)) => {
                let status = tonic::Status::cancelled("the client's stream was refused");
                let _ = self.refusal.set(problem);
                Some(Err(status))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use futures::stream;
    use http_body_util::StreamBody;

    fn message(flag: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![flag];
        out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        out.extend_from_slice(payload);
        out
    }

    fn frames(bytes: Vec<u8>, piece: usize, limit: usize) -> Frames {
        let pieces: Vec<_> =
            bytes.chunks(piece).map(|c| Ok::<_, tonic::Status>(Frame::data(Bytes::copy_from_slice(c)))).collect();
        let headers = HeaderMap::from_iter([(ENCODING, "gzip".parse().unwrap())]);
        Frames::of_client(Body::new(StreamBody::new(stream::iter(pieces))), &headers, limit)
    }

    #[tokio::test]
    async fn pieces_of_any_size_and_compressed_messages() {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&[7; 300]).unwrap();
        let bytes = [message(0, b"one"), message(0, b""), message(1, &gz.finish().unwrap())].concat();
        for piece in 1..=bytes.len() {
            let mut f = frames(bytes.clone(), piece, 1000);
            assert_eq!(&f.next().await.unwrap().unwrap()[HEAD..], b"one");
            assert_eq!(f.next().await.unwrap().unwrap().len(), HEAD);
            let third = f.next().await.unwrap().unwrap();
            assert_eq!((third[0], &third[HEAD..]), (0, &[7u8; 300][..]));
            assert!(f.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn too_large_cut_or_odd() {
        let mut gz = GzEncoder::new(Vec::new(), Compression::best());
        gz.write_all(&vec![0; 10 << 20]).unwrap();
        let bomb = message(1, &gz.finish().unwrap());
        for (bytes, limit, code) in [
            (message(0, &[0; 1001]), 1000, Code::ResourceExhausted),
            (bomb, 100_000, Code::ResourceExhausted),
            (message(0, b"abc")[..6].to_vec(), 1000, Code::InvalidArgument),
            (message(2, b"abc"), 1000, Code::InvalidArgument),
            (message(1, b"abc"), 1000, Code::InvalidArgument),
        ] {
            assert_eq!(frames(bytes, 4096, limit).next().await.unwrap().unwrap_err().code(), code);
        }
    }
}
