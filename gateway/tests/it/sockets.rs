//! Connections: heads too large, clients too slow, the drain.

use crate::world::{World, eventually, sent, unlimited};
use gateway::{EdgeConfig, HttpConfig};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

async fn until_closed(socket: &mut TcpStream) -> String {
    let mut out = Vec::new();
    let read =
        timeout(Duration::from_secs(5), socket.read_to_end(&mut out)).await.expect("the edge closes the connection");
    let _ = read;
    String::from_utf8_lossy(&out).into_owned()
}

#[tokio::test]
async fn heads_are_bounded() {
    let w = World::new().await;
    let mut many = w.get("/v1/books/b1");
    for i in 0..150 {
        many = many.header(format!("x-{i}"), "1");
    }
    assert_eq!(sent(many).await.status(), 431);
    let large = w.h2.get(format!("{}/v1/books/b1", w.url)).header("x-large", "x".repeat(60_000));
    match large.send().await {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(e) => assert!(!e.is_timeout(), "{e}"),
    }
}

#[tokio::test]
async fn slow_heads_and_silent_clients_are_cut_off() {
    let http = HttpConfig { header_timeout_ms: 200, ..HttpConfig::default() };
    let w = World::with(EdgeConfig { http, ..unlimited() }).await;
    let mut silent = TcpStream::connect(w.address).await.unwrap();
    assert_eq!(until_closed(&mut silent).await, "");
    let mut slow = TcpStream::connect(w.address).await.unwrap();
    slow.write_all(b"GET /v1/books/b1 HTTP/1.1\r\nhost: x\r\nx-slow:").await.unwrap();
    let answer = until_closed(&mut slow).await;
    assert!(answer.is_empty() || answer.contains("408"), "{answer}");
}

#[tokio::test]
async fn slow_bodies_are_cut_off() {
    let w = World::with(EdgeConfig { body_timeout_ms: 200, ..unlimited() }).await;
    let mut slow = TcpStream::connect(w.address).await.unwrap();
    let head =
        "POST /v1/books/b1:pay HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let answer = until_closed(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("BODY_TIMEOUT"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let http = HttpConfig { stall_timeout_ms: 300, ..HttpConfig::default() };
    let w = World::with(EdgeConfig { http, ..unlimited() }).await;
    let mut deaf = TcpStream::connect(w.address).await.unwrap();
    // Endless, and more than the sockets' buffers hold.
    let head = "GET /v1/books:watch?count=100000000&titleBytes=100000&hang=true HTTP/1.1\r\nhost: x\r\naccept: application/x-ndjson\r\n\r\n";
    deaf.write_all(head.as_bytes()).await.unwrap();
    let seen = w.seen.clone();
    eventually("the stream is cancelled", || seen.cancelled.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn old_connections_are_asked_to_go() {
    let http = HttpConfig { max_connection_age_ms: 200, ..HttpConfig::default() };
    let w = World::with(EdgeConfig { http, ..unlimited() }).await;
    let mut socket = TcpStream::connect(w.address).await.unwrap();
    socket.write_all(b"GET /v1/books/b1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = until_closed(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn the_drain_lets_what_is_in_flight_finish() {
    let w = World::new().await;
    let (url, address, seen, client, h2) = (w.url.clone(), w.address, w.seen.clone(), w.http.clone(), w.h2.clone());
    let long = |client: reqwest::Client| {
        let url = format!("{url}/v1/books:watch?count=3&delayMs=200");
        async move { client.get(url).send().await.unwrap().json::<Vec<serde_json::Value>>().await.unwrap() }
    };
    let stopped = async {
        eventually("both are in flight", || seen.calls.load(Ordering::SeqCst) == 2).await;
        let stopped = w.stop();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(TcpStream::connect(address).await.is_err(), "nobody new is let in");
        timeout(Duration::from_secs(5), stopped).await.expect("ends when the last answer has");
    };
    let (one, two, ()) = tokio::join!(long(client), long(h2), stopped);
    assert_eq!((one.len(), two.len()), (3, 3));
}

#[tokio::test]
async fn the_drain_ends_in_time() {
    let http = HttpConfig { drain_ms: 300, ..HttpConfig::default() };
    let w = World::with(EdgeConfig { http, ..unlimited() }).await;
    let endless = sent(w.get("/v1/books:watch?count=1&hang=true").header("accept", "application/x-ndjson")).await;
    timeout(Duration::from_secs(3), w.stop()).await.expect("cuts off what does not end");
    assert!(endless.bytes().await.is_err());
}

#[tokio::test]
async fn odd_request_lines_are_answered() {
    let w = World::new().await;
    for (line, status) in [
        ("OPTIONS * HTTP/1.1", "204"),
        ("GET http://elsewhere.example/v1/books/b1 HTTP/1.1", "200"),
        ("CONNECT elsewhere.example:443 HTTP/1.1", "404"),
        ("TRACE /v1/books/b1 HTTP/1.1", "405"),
        ("BREW /v1/books/b1 HTTP/1.1", "405"),
        ("GET /v1//books/b1 HTTP/1.1", "404"),
        ("GET /v1/books/ HTTP/1.1", "404"),
        ("GET /v1/books/../internal/b1 HTTP/1.1", "404"),
        ("GET /v1/books/%2e%2e HTTP/1.1", "200"),
        ("GET no-slash HTTP/1.1", "404"),
    ] {
        let mut socket = TcpStream::connect(w.address).await.unwrap();
        socket.write_all(format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let answer = until_closed(&mut socket).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
    }
}
