//! Raw bodies in and out: streamed as they come, bounded, cancelled; ranges, 304 and 201.

use crate::{
    files::{TAG, TEXT},
    world::{World, eventually, json_of, refusal, sent, unlimited},
};
use bytes::Bytes;
use futures::stream;
use gateway::EdgeConfig;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MIB: usize = 1 << 20;

/// A body of so many pieces of 64 KiB without a length, and how many bytes were asked of it.
fn endless(pieces: usize) -> (reqwest::Body, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let pieces = stream::iter((0..pieces).map(move |n| {
        let piece = Bytes::from(vec![n as u8; 64 << 10]);
        count.fetch_add(piece.len(), Ordering::SeqCst);
        Ok::<_, std::io::Error>(piece)
    }));
    (reqwest::Body::wrap_stream(pieces), asked)
}

fn post(w: &World, name: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    w.http.post(format!("{}/v1/archive/{name}", w.url)).header("content-type", "image/png").body(body)
}

#[tokio::test]
async fn thirty_mebibytes_flow_as_they_are_taken() {
    let w = World::new().await;
    for (n, client) in [&w.http, &w.h2].into_iter().enumerate() {
        w.seen.pieces.lock().unwrap().clear();
        let (body, asked) = endless(30 * 16);
        let up = client.post(format!("{}/v1/archive/gate", w.url)).header("content-type", "image/png").body(body);
        let seen = w.seen.clone();
        let watch = async {
            eventually("a piece arrives", || !seen.pieces.lock().unwrap().is_empty()).await;
            // The service takes no more: what is on its way is what the sockets hold, and nothing gathers in between.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let held = asked.load(Ordering::SeqCst);
            assert!(held < 16 * MIB, "{held}");
            assert_eq!(seen.pieces.lock().unwrap().len(), 1);
            seen.gate.notify_one();
        };
        let (response, ()) = tokio::join!(sent(up), watch);
        assert_eq!(response.status(), 201, "{n}");
        assert_eq!(response.headers()["location"], "/v1/archive/gate");
        assert!(!response.headers().contains_key("set-cookie"), "not one that the edge takes");
        let book: serde_json::Value = response.json().await.unwrap();
        assert_eq!(book, json!({"bookId": "gate", "title": "image/png", "sold": (30 * MIB).to_string()}));
        let pieces = w.seen.pieces.lock().unwrap().clone();
        assert!(pieces.len() > 30 && pieces.iter().all(|p| *p < MIB), "{}", pieces.len());
    }
}

#[tokio::test]
async fn an_empty_body_is_an_upload_of_nothing() {
    let w = World::new().await;
    let (status, book) = json_of(post(&w, "none", "")).await;
    assert_eq!((status, &book["bookId"]), (201, &json!("none")));
    let zipped = post(&w, "zipped", "x").header("content-encoding", "gzip");
    assert_eq!(refusal(zipped, 415, 3).await, "UNSUPPORTED_ENCODING");
    let twice = post(&w, "b1?name=b2", "x");
    assert_eq!(refusal(twice, 400, 3).await, "INVALID_REQUEST");
}

#[tokio::test]
async fn more_than_the_limit_is_refused_while_it_flows() {
    let w = World::with(EdgeConfig { max_upload_bytes: 2 * MIB, ..unlimited() }).await;
    // Declared: nobody hears of it.
    assert_eq!(refusal(post(&w, "a", vec![0; 2 * MIB + 1]), 413, 8).await, "BODY_TOO_LARGE");
    assert_eq!(w.seen.calls.load(Ordering::SeqCst), 0);
    let (status, _) = json_of(post(&w, "b", vec![0; 2 * MIB])).await;
    assert_eq!(status, 201);
    assert_eq!(w.seen.cut.load(Ordering::SeqCst), 0);
    // Not declared: the service was reading already.
    for (n, client) in [&w.http, &w.h2].into_iter().enumerate() {
        let (body, _) = endless(40 * 16);
        let up = client.post(format!("{}/v1/archive/c", w.url)).body(body);
        assert_eq!(refusal(up, 413, 8).await, "BODY_TOO_LARGE");
        eventually("the call is cancelled", || w.seen.cut.load(Ordering::SeqCst) == n + 1).await;
    }
}

#[tokio::test]
async fn who_refuses_early_is_heard() {
    let w = World::new().await;
    let refused = post(&w, "refused", vec![0; 6 * MIB]);
    assert_eq!(refusal(refused, 415, 3).await, "UNSUPPORTED_MEDIA_TYPE");
    let (body, asked) = endless(30 * 16);
    assert_eq!(refusal(post(&w, "refused", body), 415, 3).await, "UNSUPPORTED_MEDIA_TYPE");
    assert!(asked.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_client_that_leaves_or_falls_silent_cancels_the_call() {
    let w = World::with(EdgeConfig { body_timeout_ms: 400, ..unlimited() }).await;
    let head = b"POST /v1/archive/a HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf";
    let mut socket = tokio::net::TcpStream::connect(w.address).await.unwrap();
    socket.write_all(head).await.unwrap();
    let seen = w.seen.clone();
    eventually("a piece arrives", || seen.pieces.lock().unwrap().len() == 1).await;
    drop(socket);
    eventually("the call is cancelled", || seen.cut.load(Ordering::SeqCst) == 1).await;
    let mut socket = tokio::net::TcpStream::connect(w.address).await.unwrap();
    socket.write_all(head).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    eventually("the call is cancelled", || seen.cut.load(Ordering::SeqCst) == 2).await;
    // A service that takes its time is not the client's silence.
    let up = post(&w, "gate", vec![0; 12 * MIB]);
    let wait = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        seen.gate.notify_one();
    };
    w.seen.pieces.lock().unwrap().clear();
    let (response, ()) = tokio::join!(sent(up), wait);
    assert_eq!(response.status(), 201);
}

#[tokio::test]
async fn a_deadline_ends_an_upload() {
    let w = World::new().await;
    let late = post(&w, "gate", vec![0; MIB]).header("x-request-timeout", "300ms");
    assert_eq!(refusal(late, 504, 4).await, "DEADLINE_EXCEEDED");
    eventually("the call is cancelled", || w.seen.cut.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn ranges_and_revalidation_in_one_piece_and_in_many() {
    let w = World::new().await;
    for path in ["/v1/archive/f1", "/v1/archive/f1:whole"] {
        let whole = sent(w.get(path)).await;
        assert_eq!(whole.status(), 200);
        let headers = whole.headers().clone();
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
        for (name, value) in [
            ("etag", TAG),
            ("accept-ranges", "bytes"),
            ("vary", "accept"),
            ("content-length", "10"),
            ("content-type", "text/plain"),
        ] {
            assert_eq!(headers[name], value, "{path}");
        }
        assert_eq!(whole.bytes().await.unwrap(), TEXT);

        let part = sent(w.get(path).header("range", "bytes=2-4")).await;
        assert_eq!((part.status().as_u16(), &part.headers()["content-range"]), (206, &"bytes 2-4/10".parse().unwrap()));
        assert_eq!(part.headers()["content-length"], "3");
        assert_eq!(part.text().await.unwrap(), "234");

        let beyond = sent(w.get(path).header("range", "bytes=20-30")).await;
        assert_eq!(
            (beyond.status().as_u16(), &beyond.headers()["content-range"]),
            (416, &"bytes */10".parse().unwrap())
        );
        let problem: serde_json::Value = beyond.json().await.unwrap();
        assert_eq!(problem["details"][0]["reason"], "RANGE_NOT_SATISFIABLE");

        let head = sent(w.http.head(format!("{}{path}", w.url))).await;
        assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"10".parse().unwrap()));
        assert_eq!(head.headers()["etag"], TAG);
        assert!(head.bytes().await.unwrap().is_empty());

        let known = sent(w.get(path).header("if-none-match", TAG)).await;
        assert_eq!((known.status().as_u16(), &known.headers()["etag"]), (304, &TAG.parse().unwrap()));
        assert!(!known.headers().contains_key("content-type"));
        assert!(known.bytes().await.unwrap().is_empty());
    }
}
