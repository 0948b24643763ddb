//! Requests that no honest client sends, one at a time: each gets the right status, and none is
//! taken for two.

use crate::world::{World, refusal, sent};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use std::{io::Write, sync::atomic::Ordering, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Everything that the edge says to these bytes, until it closes or has been silent for a while.
pub async fn said(w: &World, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(w.address).await.unwrap();
    // It may close before it has read everything.
    let _ = socket.write_all(bytes).await;
    let mut out = Vec::new();
    let mut chunk = [0; 16 << 10];
    while let Ok(Ok(n)) = timeout(Duration::from_millis(500), socket.read(&mut chunk)).await {
        if n == 0 {
            break;
        }
        out.extend_from_slice(&chunk[..n]);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The statuses in what was said.
fn statuses(said: &str) -> Vec<u16> {
    said.split("HTTP/1.1 ").skip(1).filter_map(|s| s.get(..3)?.parse().ok()).collect()
}

const PAY: &str =
    "POST /v1/books/b1:pay HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn lengths_that_disagree_are_refused() {
    let w = World::new().await;
    let hidden = "GET /v1/books/hidden HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = format!("0\r\n\r\n{hidden}");
    let length = chunked.len();
    let cases = [
        ("two lengths", format!("{PAY}content-length: 2\r\ncontent-length: {length}\r\n\r\n{{}}{hidden}")),
        ("a list of lengths", format!("{PAY}content-length: 2, {length}\r\n\r\n{{}}{hidden}")),
        ("a signed length", format!("{PAY}content-length: +2\r\n\r\n{{}}{hidden}")),
        ("a length that overflows", format!("{PAY}content-length: 99999999999999999999\r\n\r\n{{}}{hidden}")),
        ("an unknown coding", format!("{PAY}transfer-encoding: xchunked\r\n\r\n{chunked}")),
        ("chunked is not last", format!("{PAY}transfer-encoding: chunked, identity\r\n\r\n{chunked}")),
        ("a space before the colon", format!("{PAY}content-length : 2\r\n\r\n{{}}{hidden}")),
        ("a NUL in a header", format!("{PAY}x-a: \0\r\ncontent-length: 2\r\n\r\n{{}}{hidden}")),
        ("a folded header", format!("{PAY}x-a: 1\r\n content-length: 2\r\n\r\n{{}}{hidden}")),
        ("a bare CR", format!("{PAY}x-a: 1\rcontent-length: 2\r\n\r\n{{}}{hidden}")),
    ];
    for (what, bytes) in cases {
        let answer = said(&w, bytes.as_bytes()).await;
        assert_eq!(statuses(&answer), [400], "{what}: {answer}");
    }
    assert_eq!(w.seen.calls.load(Ordering::SeqCst), 0, "nothing reached the service");
}

/// Chunked counts, and whatever follows can't be trusted: RFC 9112, 6.3.
#[tokio::test]
async fn a_length_beside_chunks_ends_the_connection() {
    let w = World::new().await;
    let hidden = "GET /v1/books/hidden HTTP/1.1\r\nhost: x\r\n\r\n";
    for order in [0, 1] {
        let chunked = format!("2\r\n{{}}\r\n0\r\n\r\n{hidden}");
        let mut framing =
            ["transfer-encoding: chunked\r\n".to_owned(), format!("content-length: {}\r\n", chunked.len())];
        framing.rotate_left(order);
        let answer = said(&w, format!("{PAY}{}\r\n{chunked}", framing.concat()).as_bytes()).await;
        let got = statuses(&answer);
        assert!(got.len() == 1 && [200, 400].contains(&got[0]), "{answer}");
    }
}

#[tokio::test]
async fn chunks_that_lie_are_refused() {
    let w = World::new().await;
    for bad in
        ["fffffffffffffffff\r\n{}", "-1\r\n{}", "2;\r\n{}x\r\n0\r\n\r\n", "zz\r\n{}\r\n0\r\n\r\n", "2\r\n{}0\r\n\r\n"]
    {
        let answer = said(&w, format!("{PAY}transfer-encoding: chunked\r\n\r\n{bad}").as_bytes()).await;
        assert!(statuses(&answer).iter().all(|s| *s == 400), "{bad:?}: {answer}");
    }
    let endless = format!("{PAY}transfer-encoding: chunked\r\n\r\n2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(200_000));
    let answer = said(&w, endless.as_bytes()).await;
    assert!(!statuses(&answer).contains(&200), "{answer}");
    assert_eq!(w.seen.calls.load(Ordering::SeqCst), 0, "nothing reached the service");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let w = World::new().await;
    let bytes: String = (0..100)
        .map(|i| match i % 2 {
            0 => format!("GET /v1/books/b{i} HTTP/1.1\r\nhost: x\r\n\r\n"),
            _ => format!("GET /nothing/{i} HTTP/1.1\r\nhost: x\r\n\r\n"),
        })
        .collect();
    let answer = said(&w, bytes.as_bytes()).await;
    assert_eq!(statuses(&answer), [200, 404].repeat(50));
    let at = |i: usize| answer.find(&format!("\"b{i}\"")).unwrap_or_else(|| panic!("b{i} is missing"));
    assert!((0..98).step_by(2).all(|i| at(i) < at(i + 2)));
}

#[tokio::test]
async fn deep_and_long_json_is_refused() {
    let w = World::new().await;
    let pay = |body: String| {
        let request = w.http.post(format!("{}/v1/books/b1:pay", w.url)).header("idempotency-key", "k");
        request.header("content-type", "application/json").body(body)
    };
    let n = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"similar\":[", "]}")] {
        for close in [close, ""] {
            let body = format!("{}{}", open.repeat(n / open.len()), close.repeat(n / open.len()));
            refusal(pay(body), 400, 3).await;
        }
    }
    let token = w.token("usr_1", &["user"]);
    let deep = format!("{}{}", "{\"similar\":[".repeat(5_000), "]}".repeat(5_000));
    let create = w.http.post(format!("{}/v1/books", w.url)).header("content-type", "application/json");
    assert_eq!(refusal(create.bearer_auth(&token).body(deep), 400, 3).await, "INVALID_REQUEST");
    for body in ["9".repeat(100_000), "\"".repeat(99_999), format!("{{\"amount\":{}}}", "9".repeat(100_000))] {
        refusal(pay(body), 400, 3).await;
    }
}

#[tokio::test]
async fn whatever_is_too_large_is_refused() {
    let w = World::new().await;
    let pay = || w.http.post(format!("{}/v1/books/b1:pay", w.url)).header("content-type", "application/json");
    let text = |n: usize| "x".repeat(n);
    assert_eq!(refusal(w.get(&format!("/v1/books/{}", text(9_000))), 414, 3).await, "URI_TOO_LONG");
    assert_eq!(refusal(w.get(&format!("/v1/books/b1?{}", "a=1&".repeat(2_500))), 414, 3).await, "URI_TOO_LONG");
    assert_eq!(sent(w.get("/v1/books/b1").header("x-large", text(64 << 10))).await.status(), 431);
    assert_eq!(refusal(pay().header("idempotency-key", text(10_000)).body("{}"), 400, 3).await, "INVALID_REQUEST");
    assert_eq!(refusal(w.get("/v1/books/b1").bearer_auth(text(20_000)), 401, 16).await, "TOKEN_INVALID");
    let large = json!({"requestId": text(2 << 20)}).to_string();
    assert_eq!(refusal(pay().body(large), 413, 8).await, "BODY_TOO_LARGE");
    // Neither told its length nor sent in one piece.
    let pieces = futures::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 32 << 10])));
    assert_eq!(refusal(pay().body(reqwest::Body::wrap_stream(pieces)), 413, 8).await, "BODY_TOO_LARGE");
    assert_eq!(refusal(pay().header("content-encoding", "zip").body("{}"), 415, 3).await, "UNSUPPORTED_ENCODING");
}

#[tokio::test]
async fn a_body_that_inflates_is_refused_at_the_limit() {
    let w = World::new().await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    (0..10).for_each(|_| encoder.write_all(&zeros).unwrap());
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 12_000, "{}", bomb.len());
    let before = crate::abuse_floods::resident();
    for _ in 0..20 {
        let request = w.http.post(format!("{}/v1/books/b1:pay", w.url)).header("content-type", "application/json");
        let request = request.header("content-encoding", "gzip").body(bomb.clone());
        assert_eq!(refusal(request, 413, 8).await, "BODY_TOO_LARGE");
    }
    let grown = crate::abuse_floods::resident().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {grown} bytes");
}
