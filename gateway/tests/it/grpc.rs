//! Plain gRPC and gRPC-Web on the same port, under the same rules.

use crate::{
    library::{Book, GetBookRequest, Number, WatchBooksRequest, frame},
    world::{World, unlimited},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt;
use gateway::{EdgeConfig, Limits};
use prost::Message;
use std::{io::Write, sync::atomic::Ordering, time::Duration};
use tonic::{Code, Request, Status, client::Grpc, codec::CompressionEncoding, transport::Channel};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

async fn client(w: &World) -> Grpc<Channel> {
    let channel = Channel::from_shared(w.url.clone()).unwrap().connect().await.unwrap();
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    client
}

fn path(method: &str) -> http::uri::PathAndQuery {
    format!("/edge.test.v1.Library/{method}").parse().unwrap()
}

fn book(id: &str) -> Request<GetBookRequest> {
    Request::new(GetBookRequest { book_id: id.into(), ..Default::default() })
}

async fn get(w: &World, method: &str, request: Request<GetBookRequest>) -> Result<Book, Status> {
    let codec = ProstCodec::<GetBookRequest, Book>::default();
    client(w).await.unary(request, path(method), codec).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn unary_calls_and_their_failures() {
    let w = World::new().await;
    assert_eq!(get(&w, "GetBook", book("b1")).await.unwrap().title, "A title");
    let missing = get(&w, "GetBook", book("missing")).await.unwrap_err();
    assert_eq!((missing.code(), missing.message()), (Code::NotFound, "no such book"));
    assert_eq!(missing.get_details_error_info().unwrap().reason, "BOOK_NOT_FOUND");
    let told = get(&w, "GetBook", book("code-9")).await.unwrap_err();
    assert_eq!(
        (told.code(), told.metadata().get("x-custom-trailer").unwrap().to_str().unwrap()),
        (Code::FailedPrecondition, "bing")
    );
    let internal = get(&w, "Internal", book("b1")).await.unwrap_err();
    assert_eq!(internal.code(), Code::Unimplemented, "methods of the platform do not exist out here");
    assert_eq!(get(&w, "Nothing", book("b1")).await.unwrap_err().code(), Code::Unimplemented);
    let refused = get(&w, "Purge", book("b1")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "SIGN_IN_REQUIRED");
    let mut signed = book("b1");
    let token = format!("Bearer {}", w.token("usr_1", &["admin"]));
    signed.metadata_mut().insert("authorization", token.parse().unwrap());
    assert!(get(&w, "Purge", signed).await.is_ok());
}

#[tokio::test]
async fn metadata_passes_but_for_claims() {
    let w = World::new().await;
    let mut request = book("headers");
    for (k, v) in [("x-tenant", "t1"), ("x-user-id", "root"), ("x-jangteo-caller", "admin"), ("x-envoy-peer", "1")] {
        request.metadata_mut().insert(k, v.parse().unwrap());
    }
    let labels = get(&w, "GetBook", request).await.unwrap().labels;
    assert_eq!(labels["x-tenant"], "t1");
    for claim in ["x-user-id", "x-jangteo-caller", "x-envoy-peer"] {
        assert!(!labels.contains_key(claim), "{claim}");
    }
    assert_eq!(labels["x-jangteo-client-addr"], "127.0.0.1");
}

#[tokio::test]
async fn deadlines_and_limits_hold_here_too() {
    let limits = Limits { anonymous_per_minute: 2, ..Limits::OFF };
    let w = World::with(EdgeConfig { limits, ..EdgeConfig::default() }).await;
    let mut late = book("slow");
    // Not grpc-timeout, which tonic's own client would obey first.
    late.metadata_mut().insert("x-request-timeout", "100ms".parse().unwrap());
    assert_eq!(get(&w, "GetBook", late).await.unwrap_err().code(), Code::DeadlineExceeded);
    assert!(get(&w, "GetBook", book("b1")).await.is_ok());
    let refused = get(&w, "GetBook", book("b1")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.get_details_retry_info().is_some());
    assert_eq!(refused.metadata().get("ratelimit-limit").unwrap(), "2");
}

#[tokio::test]
async fn streams_in_every_direction() {
    let w = World::new().await;
    let watch = WatchBooksRequest { count: 9, fail_after: 2, ..Default::default() };
    let codec = ProstCodec::<WatchBooksRequest, Book>::default();
    let mut books =
        client(&w).await.server_streaming(Request::new(watch), path("WatchBooks"), codec).await.unwrap().into_inner();
    assert!(books.message().await.unwrap().is_some() && books.message().await.unwrap().is_some());
    assert_eq!(books.message().await.unwrap_err().code(), Code::Aborted);

    let numbers = futures::stream::iter((1..=4).map(|value| Number { value }));
    let codec = ProstCodec::<Number, Number>::default();
    let sum = client(&w).await.client_streaming(Request::new(numbers), path("Sum"), codec).await.unwrap().into_inner();
    assert_eq!(sum.value, 10);

    // Each answer before the next question: nothing is held back.
    let (ask, asked) = tokio::sync::mpsc::channel(1);
    ask.send(Number { value: 1 }).await.unwrap();
    let numbers = tokio_stream::wrappers::ReceiverStream::new(asked);
    let codec = ProstCodec::<Number, Number>::default();
    let mut doubled =
        client(&w).await.streaming(Request::new(numbers), path("Double"), codec).await.unwrap().into_inner();
    for n in 1..5 {
        let answer = tokio::time::timeout(Duration::from_secs(5), doubled.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(answer.value, 2 * n);
        ask.send(Number { value: n + 1 }).await.unwrap();
    }
    drop(ask);
    assert_eq!(doubled.map(|n| n.unwrap().value).collect::<Vec<_>>().await, [10]);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_stream() {
    let w = World::new().await;
    let codec = ProstCodec::<WatchBooksRequest, Book>::default();
    let watch = WatchBooksRequest { count: 1, hang: true, ..Default::default() };
    let mut books =
        client(&w).await.server_streaming(Request::new(watch), path("WatchBooks"), codec).await.unwrap().into_inner();
    books.message().await.unwrap();
    drop(books);
    let seen = w.seen.clone();
    crate::world::eventually("cancelled", || seen.cancelled.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn messages_are_bounded_also_compressed_ones() {
    let w = World::with(EdgeConfig { max_body_bytes: 10_000, ..unlimited() }).await;
    let small = client(&w).await.send_compressed(CompressionEncoding::Gzip);
    let codec = ProstCodec::<GetBookRequest, Book>::default();
    let mut small = small;
    let found = small.unary(book("b1"), path("GetBook"), codec).await.unwrap();
    assert_eq!(found.into_inner().book_id, "b1");
    let too_long = get(&w, "GetBook", book(&"x".repeat(20_000))).await.unwrap_err();
    assert_eq!(too_long.code(), Code::ResourceExhausted);
    let mut bomb = client(&w).await.send_compressed(CompressionEncoding::Gzip);
    let codec = ProstCodec::<GetBookRequest, Book>::default();
    let refused = bomb.unary(book(&"x".repeat(5 << 20)), path("GetBook"), codec).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    // In a stream of requests as well, and the client hears why.
    let mut numbers = client(&w).await;
    let codec = ProstCodec::<Book, Number>::default();
    let long = Book { title: "x".repeat(20_000), ..Default::default() };
    let stream = futures::stream::iter([Book::default(), long]);
    let refused = numbers.client_streaming(Request::new(stream), path("Sum"), codec).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.get_details_error_info().unwrap().reason.as_str()),
        (Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
    );
}

struct Web {
    status: u16,
    content_type: String,
    messages: Vec<Vec<u8>>,
    trailers: String,
}

async fn web(w: &World, method: &str, message: &impl Message, text: bool) -> Web {
    let body = frame(0, &message.encode_to_vec());
    let (kind, body) = match text {
        true => ("application/grpc-web-text", BASE64_STANDARD.encode(&body).into_bytes()),
        false => ("application/grpc-web+proto", body.to_vec()),
    };
    let request =
        w.http.post(format!("{}{}", w.url, path(method))).header("content-type", kind).header("x-grpc-web", "1");
    let response = request.body(body).send().await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let mut bytes = response.bytes().await.unwrap().to_vec();
    if text {
        // Each chunk is padded by itself.
        let quanta = bytes.chunks(4).map(|q| BASE64_STANDARD.decode(q).unwrap());
        bytes = quanta.collect::<Vec<_>>().concat();
    }
    let mut out = Web { status, content_type, messages: Vec::new(), trailers: String::new() };
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let payload = &rest[5..5 + length];
        match rest[0] {
            0 => out.messages.push(payload.to_vec()),
            0x80 => out.trailers = String::from_utf8(payload.to_vec()).unwrap(),
            flag => panic!("flag {flag}"),
        }
        rest = &rest[5 + length..];
    }
    out
}

#[tokio::test]
async fn browsers_speak_grpc_web() {
    let w = World::new().await;
    for text in [false, true] {
        let ok = web(&w, "GetBook", &GetBookRequest { book_id: "b1".into(), ..Default::default() }, text).await;
        assert_eq!((ok.status, ok.messages.len()), (200, 1));
        assert_eq!(
            ok.content_type,
            if text { "application/grpc-web-text+proto" } else { "application/grpc-web+proto" }
        );
        assert_eq!(Book::decode(ok.messages[0].as_slice()).unwrap().book_id, "b1");
        assert!(ok.trailers.contains("grpc-status:0\r\n"), "{}", ok.trailers);
        let missing =
            web(&w, "GetBook", &GetBookRequest { book_id: "missing".into(), ..Default::default() }, text).await;
        assert!(missing.messages.is_empty() && missing.trailers.contains("grpc-status:5\r\n"), "{}", missing.trailers);
        let stream =
            web(&w, "WatchBooks", &WatchBooksRequest { count: 5, fail_after: 3, ..Default::default() }, text).await;
        assert_eq!(stream.messages.len(), 3);
        assert!(stream.trailers.contains("grpc-status:10\r\n"), "{}", stream.trailers);
        for (method, code) in [("Internal", 12), ("Purge", 16)] {
            let refused = web(&w, method, &GetBookRequest::default(), text).await;
            assert!(refused.trailers.contains(&format!("grpc-status:{code}\r\n")), "{method}: {}", refused.trailers);
        }
    }
}

#[tokio::test]
async fn requests_that_are_not_grpc_after_all() {
    let w = World::new().await;
    let url = format!("{}{}", w.url, path("GetBook"));
    let over_http1 = w.http.post(&url).header("content-type", "application/grpc").body("x").send().await.unwrap();
    assert_eq!(over_http1.status(), 505);
    let get = w.h2.get(&url).header("content-type", "application/grpc").send().await.unwrap();
    assert_eq!(get.status(), 405);
    let send = |body: Vec<u8>| w.h2.post(&url).header("content-type", "application/grpc").body(body).send();
    for body in [vec![], b"\0\0\0\0\x09abc".to_vec(), [frame(0, b""), frame(0, b"")].concat(), frame(1, b"xx").to_vec()]
    {
        let broken = send(body.clone()).await.unwrap();
        assert_eq!(broken.status(), 200);
        assert_ne!(broken.headers()["grpc-status"], "0", "{body:?}");
    }
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(b"x").unwrap();
    let odd = w.h2.post(&url).header("content-type", "application/grpc").header("grpc-encoding", "zstd");
    let odd = odd.body(frame(1, &gz.finish().unwrap())).send().await.unwrap();
    assert_eq!(odd.headers()["grpc-status"], "12");
}
