//! The library's files: kept as they come in, given back as HTTP asks for them.

use crate::library::{Book, Seen, one, reply};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, Response};
use prost::Message;
use prost_reflect::prost_types::Any;
use std::{collections::HashMap, sync::Arc};
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt};

/// As in `jangteo.options.v1`.
#[derive(Clone, PartialEq, Message)]
struct HttpReply {
    #[prost(int32, tag = "1")]
    status: i32,
    #[prost(map = "string, string", tag = "2")]
    headers: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct ArchiveReply {
    #[prost(message, optional, tag = "1")]
    book: Option<Book>,
    #[prost(message, optional, tag = "2")]
    http: Option<HttpReply>,
}

#[derive(Clone, PartialEq, Message)]
pub struct HttpBody {
    #[prost(string, tag = "1")]
    pub content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    pub extensions: Vec<Any>,
}

impl HttpBody {
    pub fn of(content_type: &str, data: &[u8]) -> HttpBody {
        HttpBody { content_type: content_type.into(), data: data.to_vec(), extensions: Vec::new() }
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct UploadRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub file: Option<HttpBody>,
}

pub const TEXT: &[u8] = b"0123456789";
pub const TAG: &str = "\"ten\"";

fn said(status: i32, headers: &[(&str, &str)]) -> HttpReply {
    HttpReply { status, headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() }
}

fn failed(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
    let mut details = ErrorDetails::new();
    let metadata: HashMap<String, String> = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    details.set_error_info(reason, "library.test", metadata);
    Status::with_error_details(code, "refused", details)
}

pub async fn archive(
    messages: impl Stream<Item = Result<Bytes, Status>> + Send,
    seen: &Arc<Seen>,
) -> Result<Response<Body>, Status> {
    let mut messages = std::pin::pin!(messages);
    let first = messages.next().await.expect("what path and headers say comes at once")?;
    let first = UploadRequest::decode(first).unwrap();
    let content_type = first.file.map(|f| (f.content_type, f.data));
    assert_eq!(content_type.as_ref().map(|(_, data)| data.len()), Some(0), "data comes behind");
    if first.name == "refused" {
        return Err(failed(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", &[]));
    }
    let mut total = 0;
    while let Some(message) = messages.next().await {
        let piece = UploadRequest::decode(message?).unwrap();
        let file = piece.file.unwrap();
        assert_eq!((piece.name.as_str(), file.content_type.as_str()), ("", ""));
        total += file.data.len();
        let before = seen.pieces.lock().unwrap().len();
        seen.pieces.lock().unwrap().push(file.data.len());
        if before == 0 && first.name == "gate" {
            seen.gate.notified().await;
        }
    }
    let title = content_type.unwrap().0;
    let book = Book { book_id: first.name.clone(), title, sold: total as i64, ..Default::default() };
    let http = said(201, &[("location", &format!("/v1/archive/{}", first.name)), ("set-cookie", "no=1")]);
    Ok(one(&ArchiveReply { book: Some(book), http: Some(http) }))
}

/// Ten bytes, or of them what `range: bytes=a-b` asks for.
pub fn fetch(headers: &HeaderMap, whole: bool) -> Result<Response<Body>, Status> {
    let of = |name: &str| headers.get(format!("x-jangteo-http-{name}")).map(|v| v.to_str().unwrap().to_owned());
    let body = |http: HttpReply, data: &[u8]| {
        let any =
            Any { type_url: "type.googleapis.com/jangteo.options.v1.HttpReply".into(), value: http.encode_to_vec() };
        HttpBody { extensions: vec![any], ..HttpBody::of("text/plain", data) }
    };
    let kept = [("etag", TAG), ("cache-control", "public, max-age=31536000, immutable"), ("vary", "accept")];
    let whole_of = [&kept[..], &[("accept-ranges", "bytes"), ("content-length", "10")]].concat();
    let (http, data) = if of("if-none-match").as_deref() == Some(TAG) {
        (said(304, &kept), &b""[..])
    } else if let Some(range) = of("range") {
        let (from, to) = range.strip_prefix("bytes=").and_then(|r| r.split_once('-')).unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        if from >= TEXT.len() {
            return Err(failed(Code::OutOfRange, "RANGE_NOT_SATISFIABLE", &[("size", "10")]));
        }
        let range = format!("bytes {from}-{to}/10");
        (said(206, &[("content-range", &range), ("content-length", &(to - from + 1).to_string())]), &TEXT[from..=to])
    } else {
        (said(0, &whole_of), TEXT)
    };
    if whole {
        return Ok(one(&body(http, data)));
    }
    let (a, b) = data.split_at(data.len() / 2);
    let pieces = [body(http, a), HttpBody::of("", b)];
    Ok(reply(stream::iter(pieces.map(|p| Ok(p.encode_to_vec()))), None))
}
