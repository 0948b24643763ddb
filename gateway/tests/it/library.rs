//! A gRPC server written by hand, frame by frame, so that it can misbehave on purpose.

use crate::files::{self, HttpBody, UploadRequest};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{Stream, StreamExt, future::BoxFuture, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use std::{
    collections::HashMap,
    convert::Infallible,
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tonic::{Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt, pb};

pub const SERVICE: &str = "edge.test.v1.Library";

#[derive(Clone, PartialEq, Message)]
pub struct GetBookRequest {
    #[prost(string, tag = "1")]
    pub book_id: String,
    #[prost(string, tag = "2")]
    pub shelf: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Book {
    #[prost(string, tag = "1")]
    pub book_id: String,
    #[prost(string, tag = "2")]
    pub title: String,
    #[prost(int32, tag = "3")]
    pub page_count: i32,
    #[prost(map = "string, string", tag = "5")]
    pub labels: HashMap<String, String>,
    #[prost(int64, tag = "8")]
    pub sold: i64,
}

#[derive(Clone, PartialEq, Message)]
pub struct CreateBookRequest {
    #[prost(message, optional, tag = "1")]
    pub book: Option<Book>,
    #[prost(string, tag = "2")]
    pub request_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct PayBookRequest {
    #[prost(string, tag = "1")]
    pub book_id: String,
    #[prost(int64, tag = "2")]
    pub amount: i64,
    #[prost(string, tag = "3")]
    pub request_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct WatchBooksRequest {
    #[prost(int32, tag = "1")]
    pub count: i32,
    #[prost(int32, tag = "2")]
    pub fail_after: i32,
    #[prost(int32, tag = "3")]
    pub delay_ms: i32,
    #[prost(bool, tag = "4")]
    pub hang: bool,
    #[prost(bool, tag = "5")]
    pub refuse: bool,
    #[prost(int32, tag = "6")]
    pub title_bytes: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Number {
    #[prost(int64, tag = "1")]
    pub value: i64,
}

/// A SearchReply, whose message looks the same on the wire.
#[derive(Clone, PartialEq, Message)]
pub struct Asked {
    #[prost(bytes = "vec", tag = "1")]
    pub asked: Vec<u8>,
}

/// What the server saw.
#[derive(Default)]
pub struct Seen {
    pub calls: AtomicUsize,
    pub cancelled: AtomicUsize,
    /// Streams of requests that broke off.
    pub cut: AtomicUsize,
    /// Of archived files: the lengths of their pieces.
    pub pieces: Mutex<Vec<usize>>,
    /// Lets the archive read on behind a first piece of `gate`.
    pub gate: tokio::sync::Notify,
    pub headers: Mutex<HeaderMap>,
    /// How often `lazy` was read.
    pub lazy: AtomicUsize,
}

#[derive(Clone, Default)]
pub struct Library {
    pub seen: Arc<Seen>,
}

impl tonic::server::NamedService for Library {
    const NAME: &'static str = SERVICE;
}

impl tower::Service<Request<Body>> for Library {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let library = self.clone();
        Box::pin(async move { Ok(library.answer(request).await.unwrap_or_else(Status::into_http)) })
    }
}

/// Counts a call that is dropped before its end.
struct Leaving(Option<Arc<Seen>>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(seen) = self.0.take() {
            seen.cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Library {
    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        self.seen.calls.fetch_add(1, Ordering::SeqCst);
        let (parts, body) = request.into_parts();
        *self.seen.headers.lock().unwrap() = parts.headers.clone();
        let method = parts.uri.path().rsplit('/').next().unwrap().to_owned();
        if method == "Double" || method == "Talk" {
            let doubled = frames(body, self.seen.clone())
                .map(|m| m.map(|m| Number { value: Number::decode(m).unwrap().value * 2 }.encode_to_vec()));
            return Ok(reply(doubled, None));
        }
        if method == "Archive" {
            return files::archive(frames(body, self.seen.clone()), &self.seen).await;
        }
        let all: Vec<Bytes> =
            frames(body, self.seen.clone()).collect::<Vec<_>>().await.into_iter().collect::<Result<_, _>>()?;
        let first = all.first().cloned().unwrap_or_default();
        match method.as_str() {
            "GetBook" | "GetClassic" | "Login" | "Purge" | "Internal" => {
                self.get(GetBookRequest::decode(first).unwrap(), &parts.headers).await
            }
            "CreateBook" => {
                let request = CreateBookRequest::decode(first).unwrap();
                let mut book = request.book.unwrap_or_default();
                book.labels.insert("request_id".into(), request.request_id);
                Ok(one(&book))
            }
            "PayBook" => {
                let request = PayBookRequest::decode(first).unwrap();
                if request.amount == 422 {
                    let mut details = ErrorDetails::new();
                    details.set_error_info("REQUEST_ID_REUSED", "pay", HashMap::new());
                    return Err(Status::with_error_details(tonic::Code::InvalidArgument, "reused", details));
                }
                if request.amount == 408 {
                    tokio::time::sleep(Duration::from_millis(400)).await;
                }
                Ok(one(&Book {
                    book_id: request.book_id,
                    title: request.request_id,
                    sold: request.amount,
                    ..Default::default()
                }))
            }
            "WatchBooks" => self.watch(WatchBooksRequest::decode(first).unwrap()),
            "Sum" => {
                let total = all.into_iter().map(|m| Number::decode(m).unwrap().value).sum();
                Ok(one(&Number { value: total }))
            }
            "UpdateBook" => Ok(framed(vec![frame(0, &first)], true)),
            "Search" => Ok(one(&Asked { asked: first.to_vec() })),
            "Upload" => {
                let request = UploadRequest::decode(first).unwrap();
                let file = request.file.unwrap_or_default();
                Ok(one(&Book {
                    book_id: request.name,
                    title: file.content_type,
                    page_count: file.data.len() as i32,
                    ..Default::default()
                }))
            }
            "Fetch" | "FetchWhole" => files::fetch(&parts.headers, method == "FetchWhole"),
            "Download" => Ok(one(&HttpBody::of("text/csv", b"a,b\n1,2\n"))),
            "DownloadPieces" => {
                let pieces =
                    ["one ", "two ", "three"].map(|p| Ok(HttpBody::of("text/plain", p.as_bytes()).encode_to_vec()));
                Ok(reply(stream::iter(pieces), None))
            }
            other => Err(Status::unimplemented(format!("no {other}"))),
        }
    }

    async fn get(&self, request: GetBookRequest, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        let mut book = Book { book_id: request.book_id.clone(), title: "A title".into(), ..Default::default() };
        match request.book_id.as_str() {
            "missing" => {
                let mut details = ErrorDetails::new();
                details.set_error_info(
                    "BOOK_NOT_FOUND",
                    "library.test",
                    HashMap::from([("book_id".to_owned(), "missing".to_owned())]),
                );
                let status = Status::with_error_details(tonic::Code::NotFound, "no such book", details);
                let mut proto = pb::Status::decode(status.details()).unwrap();
                proto.details.push(prost_reflect::prost_types::Any {
                    type_url: "type.googleapis.com/odd.Detail".into(),
                    value: vec![8, 1],
                });
                Err(Status::with_details(tonic::Code::NotFound, "no such book", proto.encode_to_vec().into()))
            }
            "invalid" => Err(Status::with_error_details(
                tonic::Code::InvalidArgument,
                "bad",
                ErrorDetails::with_bad_request_violation("similar[0].page_count", "must not be negative"),
            )),
            "busy" => Err(Status::with_error_details(
                tonic::Code::Unavailable,
                "later",
                ErrorDetails::with_retry_info(Some(Duration::from_millis(2500))),
            )),
            "internal" => Err(Status::internal("broken")),
            "lazy" if self.seen.lazy.fetch_add(1, Ordering::SeqCst) > 0 => Ok(one(&book)),
            "tardy" => {
                tokio::time::sleep(Duration::from_millis(400)).await;
                Ok(one(&book))
            }
            "slow" | "lazy" => {
                let mut leaving = Leaving(Some(self.seen.clone()));
                tokio::time::sleep(Duration::from_secs(30)).await;
                leaving.0 = None;
                Ok(one(&book))
            }
            "gzip" => {
                book.title = "zipped ".repeat(100);
                let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
                gz.write_all(&book.encode_to_vec()).unwrap();
                let mut response = framed(vec![frame(1, &gz.finish().unwrap())], true);
                response.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());
                Ok(response)
            }
            // Map entries without key, without value, without either: prost leaves out defaults.
            "maps" => Ok(framed(vec![frame(0, b"\x0a\x01m\x2a\x00\x2a\x03\x0a\x01k\x2a\x03\x12\x01v")], true)),
            "cut" => Ok(framed(vec![frame(0, &book.encode_to_vec())], false)),
            "half" => Ok(framed(vec![Bytes::copy_from_slice(&frame(0, &book.encode_to_vec())[..8])], false)),
            "empty" => Ok(framed(vec![], true)),
            "two" => Ok(framed(vec![frame(0, &[]), frame(0, &[])], true)),
            "garbage" => Ok(framed(vec![frame(0, &[0xff; 12])], true)),
            "nohttp" => Ok(Response::builder().status(502).body(Body::empty()).unwrap()),
            "metadata" => {
                let mut end = trailers(None);
                for value in ["bing", "quux"] {
                    end.append("x-custom-trailer", value.parse().unwrap());
                }
                let data = Frame::data(frame(0, &book.encode_to_vec()));
                let frames = [Ok::<_, Status>(data), Ok(Frame::trailers(end))];
                let mut response = respond(Body::new(StreamBody::new(stream::iter(frames))));
                for value in ["foo", "bar", "baz"] {
                    response.headers_mut().append("x-custom-header", value.parse().unwrap());
                }
                response.headers_mut().insert("x-some-bin", "AAEC".parse().unwrap());
                Ok(response)
            }
            code if code.starts_with("code-") => Err(coded(code[5..].parse().unwrap())),
            "cached" => {
                let mut response = one(&book);
                response.headers_mut().insert("cache-control", "max-age=5".parse().unwrap());
                Ok(response)
            }
            "big" => {
                book.title = "x".repeat(50_000);
                Ok(one(&book))
            }
            "headers" => {
                book.labels =
                    headers.iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap_or("?").to_owned())).collect();
                let mut response = one(&book);
                response.headers_mut().insert("x-shop", "open".parse().unwrap());
                response.headers_mut().insert("x-jangteo-private", "no".parse().unwrap());
                Ok(response)
            }
            _ => {
                book.labels.insert("shelf".into(), request.shelf);
                Ok(one(&book))
            }
        }
    }

    fn watch(&self, request: WatchBooksRequest) -> Result<Response<Body>, Status> {
        if request.fail_after < 0 {
            return Err(coded(-request.fail_after));
        }
        if request.refuse {
            return Err(Status::failed_precondition("closed today"));
        }
        let leaving = Leaving(request.hang.then(|| self.seen.clone()));
        let books = stream::unfold((0, leaving), move |(n, leaving)| async move {
            if n == request.count && request.hang {
                std::future::pending::<()>().await;
            }
            if n == request.count || (request.fail_after > 0 && n == request.fail_after) {
                return None;
            }
            if request.delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(request.delay_ms as u64)).await;
            }
            let title = "t".repeat(request.title_bytes.max(1) as usize);
            let book = Book { book_id: n.to_string(), title, ..Default::default() };
            Some((Ok(book.encode_to_vec()), (n + 1, leaving)))
        });
        let failed = (request.fail_after > 0).then(|| {
            let mut details = ErrorDetails::new();
            details.set_error_info("SHELF_FELL", "library.test", HashMap::new());
            Status::with_error_details(tonic::Code::Aborted, "the shelf fell", details)
        });
        Ok(reply(books, failed))
    }
}

/// A failure of this code, with a detail.
fn coded(code: i32) -> Status {
    let details = ErrorDetails::with_error_info("AS_ASKED", "library.test", HashMap::new());
    let mut status = Status::with_error_details(tonic::Code::from_i32(code), "as asked", details);
    status.metadata_mut().insert("x-custom-trailer", "bing".parse().unwrap());
    status
}

pub fn frame(flag: u8, payload: &[u8]) -> Bytes {
    let mut out = vec![flag];
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out.into()
}

/// Counts a body that was not read to its end.
struct Reading(Option<Arc<Seen>>);

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(seen) = self.0.take() {
            seen.cut.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The messages of a body.
fn frames(body: Body, seen: Arc<Seen>) -> impl Stream<Item = Result<Bytes, Status>> + Send {
    stream::unfold((body, Vec::<u8>::new(), Reading(Some(seen))), |(mut body, mut buf, mut reading)| async move {
        loop {
            if buf.len() >= 5 {
                let length = u32::from_be_bytes([buf[1], buf[2], buf[3], buf[4]]) as usize;
                if buf.len() >= 5 + length {
                    assert_eq!(buf[0], 0, "the edge sends messages uncompressed");
                    let rest = buf.split_off(5 + length);
                    return Some((Ok(Bytes::from(buf.split_off(5))), (body, rest, reading)));
                }
            }
            let Some(frame) = body.frame().await else {
                drop(reading.0.take());
                return None;
            };
            match frame {
                Ok(frame) => buf.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(status) => return Some((Err(status), (Body::empty(), Vec::new(), Reading(None)))),
            }
        }
    })
}

fn trailers(status: Option<Status>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    status.unwrap_or_else(|| Status::ok("")).add_header(&mut trailers).unwrap();
    trailers
}

pub fn reply(
    messages: impl Stream<Item = Result<Vec<u8>, Status>> + Send + 'static,
    end: Option<Status>,
) -> Response<Body> {
    let frames = messages.map(|m| m.map(|m| Frame::data(frame(0, &m))));
    let end = stream::once(async move { Ok(Frame::trailers(trailers(end))) });
    respond(Body::new(StreamBody::new(frames.chain(end))))
}

fn framed(frames: Vec<Bytes>, whole: bool) -> Response<Body> {
    let end = whole.then(|| Frame::trailers(trailers(None)));
    let frames = frames.into_iter().map(Frame::data).chain(end).map(Ok::<_, Status>);
    respond(Body::new(StreamBody::new(stream::iter(frames.collect::<Vec<_>>()))))
}

pub fn one(message: &impl Message) -> Response<Body> {
    framed(vec![frame(0, &message.encode_to_vec())], true)
}

fn respond(body: Body) -> Response<Body> {
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}
