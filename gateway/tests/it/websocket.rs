//! Streams over WebSocket, frame by frame.

use crate::{
    library::{Library, SERVICE},
    world::{World, descriptor_bytes, eventually, unlimited},
};
use futures::{SinkExt, StreamExt};
use gateway::{CorsConfig, EdgeConfig, HttpConfig, Limits, StandaloneConfig, standalone_on};
use jangteo_core::{Clock, SystemClock};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Bytes, Message, protocol::Role},
};
use tonic::transport::{Server, server::TcpIncoming};

const DOUBLE: &str = "/edge.test.v1.Library/Double";
const SUM: &str = "/v1/numbers:sum";

struct Client {
    socket: WebSocketStream<TcpStream>,
    head: String,
}

/// The head of the answer to a handshake, and the connection behind it.
async fn shake(w: &World, path: &str, headers: &str) -> (String, TcpStream) {
    shake_at(w.address, path, headers).await
}

async fn shake_at(address: SocketAddr, path: &str, headers: &str) -> (String, TcpStream) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
        address
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(Duration::from_secs(5), socket.read_u8()).await.unwrap().unwrap());
    }
    (String::from_utf8(head).unwrap(), socket)
}

async fn open_with(w: &World, path: &str, headers: &str) -> Client {
    open_at(w.address, path, headers).await
}

async fn open_at(address: SocketAddr, path: &str, headers: &str) -> Client {
    let (head, socket) = shake_at(address, path, headers).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    Client { socket: WebSocketStream::from_raw_socket(socket, Role::Client, None).await, head }
}

async fn open(w: &World, path: &str) -> Client {
    open_with(w, path, "").await
}

/// Status and reason of a handshake that is refused, in plain HTTP.
async fn refused(w: &World, path: &str, headers: &str) -> (u16, String) {
    let (head, mut socket) = shake(w, path, headers).await;
    let status = head[9..12].parse().unwrap();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    (status, reason(&body))
}

fn reason(status: &Value) -> String {
    let details = status["details"].as_array().unwrap();
    details.iter().find_map(|d| d["reason"].as_str()).unwrap_or_default().to_owned()
}

impl Client {
    async fn say(&mut self, message: &str) {
        self.socket.send(Message::text(message)).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        loop {
            let next = timeout(Duration::from_secs(5), self.socket.next()).await.expect("a frame");
            match next.expect("no end before a close frame").unwrap() {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    }

    async fn json(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The code and the reason of the close frame that comes now; the connection ends behind it.
    async fn closed(&mut self) -> (u16, String) {
        let Message::Close(Some(frame)) = self.next().await else { panic!("not closed") };
        let ended = timeout(Duration::from_secs(5), self.socket.next()).await.expect("an end");
        assert!(ended.is_none_or(|e| e.is_err()));
        (frame.code.into(), frame.reason.to_string())
    }

    /// The reason in the status that comes now, and the close code behind it.
    async fn failed(&mut self) -> (String, u16) {
        let status = self.json().await;
        assert_eq!(status["@type"], "type.googleapis.com/google.rpc.Status", "{status}");
        (reason(&status), self.closed().await.0)
    }
}

#[tokio::test]
async fn each_answer_before_the_next_question() {
    let w = World::new().await;
    let mut c = open(&w, DOUBLE).await;
    assert!(c.head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{}", c.head);
    for n in 1..5 {
        c.say(&format!("{{\"value\":{n}}}")).await;
        assert_eq!(c.json().await, json!({"value": (2 * n).to_string()}));
    }
    c.say("").await;
    assert_eq!(c.closed().await, (1000, String::new()));
}

#[tokio::test]
async fn an_empty_frame_ends_a_stream_of_requests() {
    let w = World::new().await;
    // The route's own verb is POST.
    let mut c = open(&w, SUM).await;
    for n in 1..=4 {
        c.say(&format!("{{\"value\":{n}}}")).await;
    }
    c.say("").await;
    assert_eq!(c.json().await, json!({"value": "10"}));
    assert_eq!(c.closed().await.0, 1000);
    let mut c = open(&w, SUM).await;
    c.say("").await;
    assert_eq!(c.json().await, json!({}));
}

/// Over HTTP/2 to the server, where the end of a body must not be taken for the end of the messages.
#[tokio::test]
async fn a_stream_that_is_left_is_not_taken_for_whole() {
    let mut tasks = JoinSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = (SERVICE.to_owned(), format!("http://{}", listener.local_addr().unwrap()));
    let library = Library::default();
    let seen = library.seen.clone();
    let server = Server::builder().add_service(library);
    tasks.spawn(async move { server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap() });
    let file = std::env::temp_dir().join(format!("sockets-{}.binpb", std::process::id()));
    std::fs::write(&file, descriptor_bytes()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config =
        StandaloneConfig { descriptors: Some(file.clone()), upstreams: vec![upstream], ..StandaloneConfig::default() };
    tasks.spawn(async move { standalone_on(listener, config, std::future::pending()).await.unwrap() });
    eventually("served", || std::net::TcpStream::connect(address).is_ok()).await;
    let mut c = open_at(address, SUM, "").await;
    c.say("{\"value\":1}").await;
    c.say("").await;
    assert_eq!(c.json().await["value"], "1");
    assert_eq!(c.closed().await.0, 1000);
    // Before the service has begun to answer, and behind that; with a goodbye and without.
    for (cut, path, goodbye) in [(1, SUM, true), (2, SUM, false), (3, DOUBLE, true), (4, DOUBLE, false)] {
        let mut c = open_at(address, path, "").await;
        c.say("{\"value\":1}").await;
        if path == DOUBLE {
            c.json().await;
        }
        eventually("the call arrives", || seen.calls.load(Ordering::SeqCst) == cut + 1).await;
        if goodbye {
            c.socket.close(None).await.unwrap();
        }
        drop(c);
        eventually("it breaks off", || seen.cut.load(Ordering::SeqCst) == cut).await;
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn streams_of_answers() {
    let w = World::new().await;
    let mut c = open(&w, "/v1/books:watch?count=200").await;
    for n in 0..200 {
        assert_eq!(c.json().await["bookId"].as_str().unwrap_or("0"), n.to_string());
    }
    assert_eq!(c.closed().await.0, 1000);
    // On its own path the message is the first frame.
    let mut c = open(&w, "/edge.test.v1.Library/WatchBooks").await;
    c.say("{\"count\":9,\"failAfter\":2}").await;
    c.json().await;
    c.json().await;
    assert_eq!(c.failed().await, ("SHELF_FELL".to_owned(), 4010));
    let mut c = open(&w, "/v1/books:watch?refuse=true").await;
    let status = c.json().await;
    assert_eq!((&status["code"], &status["message"]), (&json!(9), &json!("closed today")));
    assert_eq!(c.closed().await, (4009, "FAILED_PRECONDITION".to_owned()));
    let mut c = open(&w, "/v1/books:watch?nope=1").await;
    assert_eq!(c.failed().await.1, 4003);
    let mut c = open(&w, "/v1/pieces/f1").await;
    for piece in ["one ", "two ", "three"] {
        assert_eq!(c.next().await, Message::binary(piece.as_bytes()));
    }
    assert_eq!(c.closed().await.0, 1000);
}

#[tokio::test]
async fn bad_messages_end_the_call() {
    let w = World::with(EdgeConfig { max_body_bytes: 1000, ..unlimited() }).await;
    for (message, reason, code) in [
        (Message::text("{\"valu\":1}"), "INVALID_REQUEST", 4003),
        (Message::text("{"), "INVALID_JSON", 4003),
        (Message::binary(vec![8, 1]), "BINARY_FRAME", 1003),
        (Message::text(format!("{{\"value\":1{}}}", " ".repeat(2000))), "MESSAGE_TOO_LARGE", 1009),
    ] {
        let mut c = open(&w, SUM).await;
        c.say("{\"value\":1}").await;
        let _ = c.socket.send(message).await;
        assert_eq!(c.failed().await, (reason.to_owned(), code));
    }
    let mut c = open(&w, SUM).await;
    c.say("").await;
    c.say("{}").await;
    // Either it came too late or it was refused.
    let first = c.json().await;
    assert!(first["value"].is_null() || first["details"][0]["reason"] == "BEHIND_THE_END", "{first}");
    // Not UTF-8, masked with zeros.
    let (_, mut raw) = shake(&w, SUM, "").await;
    raw.write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xff]).await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(5), raw.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("INVALID_UTF8"));
    let close = answer.windows(4).position(|b| b[0] == 0x88).unwrap();
    assert_eq!(answer[close + 2..close + 4], 1007u16.to_be_bytes());
}

#[tokio::test]
async fn handshakes_pass_the_same_checks() {
    let cors = CorsConfig { origins: vec!["https://shop.example".into()], max_age_seconds: 1 };
    let w = World::with(EdgeConfig { cors, ..unlimited() }).await;
    let is = |status: u16, reason: &str| (status, reason.to_owned());
    assert_eq!(refused(&w, "/v1/nothing", "").await, is(404, "ROUTE_NOT_FOUND"));
    assert_eq!(refused(&w, "/v1/internal/b1", "").await, is(404, "ROUTE_NOT_FOUND"));
    assert_eq!(refused(&w, "/v1/books/b1", "").await, is(400, "NOT_A_STREAM"));
    assert_eq!(refused(&w, "/v1/talk", "").await, is(401, "SIGN_IN_REQUIRED"));
    let user = w.token("usr_1", &["user"]);
    let both = format!("authorization: Bearer {user}\r\nsec-websocket-protocol: bearer, {user}\r\n");
    assert_eq!(refused(&w, "/v1/talk", &both).await, is(401, "TOKEN_INVALID"));
    assert_eq!(refused(&w, "/v1/talk", "sec-websocket-protocol: bearer, no.t.it\r\n").await, is(401, "TOKEN_INVALID"));
    assert_eq!(refused(&w, &format!("/v1/talk?access_token={user}"), "").await, is(401, "SIGN_IN_REQUIRED"));
    for headers in [format!("authorization: Bearer {user}\r\n"), format!("sec-websocket-protocol: bearer, {user}\r\n")]
    {
        let mut c = open_with(&w, "/v1/talk", &headers).await;
        assert_eq!(c.head.contains("sec-websocket-protocol: bearer\r\n"), headers.starts_with("sec-"));
        assert!(!c.head.contains(&user), "a token is never sent back");
        c.say("{\"value\":4}").await;
        assert_eq!(c.json().await["value"], "8");
        assert_eq!(w.seen.headers.lock().unwrap()["authorization"], format!("Bearer {user}"));
    }
    // Pages: named ones and the edge's own.
    assert_eq!(refused(&w, DOUBLE, "origin: https://evil.example\r\n").await, is(403, "ORIGIN_NOT_ALLOWED"));
    assert_eq!(refused(&w, DOUBLE, "origin: null\r\n").await, is(403, "ORIGIN_NOT_ALLOWED"));
    open_with(&w, DOUBLE, "origin: https://shop.example\r\n").await;
    open_with(&w, DOUBLE, &format!("origin: http://{}\r\n", w.address)).await;
    let mut old = TcpStream::connect(w.address).await.unwrap();
    let request = format!(
        "GET {DOUBLE} HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\nsec-websocket-version: 8\r\n\r\n"
    );
    old.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426") && answer.contains("sec-websocket-version: 13"), "{answer}");
}

#[tokio::test]
async fn handshakes_count_as_requests() {
    let limits = Limits { anonymous_per_minute: 2, ..Limits::OFF };
    let w = World::with(EdgeConfig { limits, ..EdgeConfig::default() }).await;
    assert!(open(&w, DOUBLE).await.head.contains("ratelimit-remaining: 1"));
    assert_eq!(refused(&w, "/nothing", "").await.0, 404);
    assert_eq!(refused(&w, DOUBLE, "").await, (429, "RATE_LIMITED".to_owned()));
}

#[tokio::test]
async fn path_and_query_count_over_the_messages() {
    let w = World::new().await;
    let user = format!("authorization: Bearer {}\r\n", w.token("usr_1", &["user"]));
    // A stream on a route without a body: whole messages, the query in each of them.
    let mut c = open_with(&w, "/v1/talk?value=21", &user).await;
    c.say("{\"value\":1}").await;
    assert_eq!(c.json().await["value"], "42");
}

#[tokio::test]
async fn deadlines_and_tokens_end_open_streams() {
    let config = EdgeConfig { websocket_ping_ms: 50, ..unlimited() };
    let w = World::with(config).await;
    let mut c = open_with(&w, "/v1/books:watch?hang=true", "x-request-timeout: 300ms\r\n").await;
    assert_eq!(c.failed().await, ("DEADLINE_EXCEEDED".to_owned(), 4004));
    let token = format!("sec-websocket-protocol: bearer, {}\r\n", w.token("usr_1", &["user"]));
    let mut c = open_with(&w, "/v1/talk", &token).await;
    c.say("{\"value\":1}").await;
    c.json().await;
    let now = SystemClock.now();
    w.verifier.revoke("ses_usr_1", now + Duration::from_secs(3600), now);
    assert_eq!(c.failed().await, ("SESSION_REVOKED".to_owned(), 4016));
}

#[tokio::test]
async fn clients_that_are_gone_are_found() {
    let w = World::with(EdgeConfig { websocket_ping_ms: 50, ..unlimited() }).await;
    // One that closes, one that breaks off, one that answers no ping.
    let mut closes = open(&w, "/v1/books:watch?hang=true").await;
    closes.socket.close(None).await.unwrap();
    assert!(matches!(closes.next().await, Message::Close(_)), "a close frame is answered");
    drop(open(&w, "/v1/books:watch?hang=true").await);
    let (_, mut silent) = shake(&w, "/v1/books:watch?hang=true", "").await;
    let seen = w.seen.clone();
    eventually("all are cancelled", || seen.cancelled.load(Ordering::SeqCst) == 3).await;
    let mut pings = Vec::new();
    timeout(Duration::from_secs(5), silent.read_to_end(&mut pings)).await.expect("cut off").unwrap();
    assert!(pings.starts_with(&[0x89, 0]), "{pings:?}");
    // One that answers stays.
    let mut there = open(&w, DOUBLE).await;
    let quiet = timeout(Duration::from_millis(500), there.socket.next());
    assert!(quiet.await.is_ok_and(|m| m.unwrap().unwrap() == Message::Ping(Bytes::new())));
    for n in 0..8 {
        let _ = timeout(Duration::from_millis(50), async { while there.socket.next().await.is_some() {} }).await;
        there.say(&format!("{{\"value\":{n}}}")).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let http = HttpConfig { stall_timeout_ms: 300, ..HttpConfig::default() };
    let w = World::with(EdgeConfig { http, ..unlimited() }).await;
    let _deaf = shake(&w, "/v1/books:watch?count=100000000&titleBytes=100000&hang=true", "").await;
    let seen = w.seen.clone();
    eventually("the stream is cancelled", || seen.cancelled.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn the_drain_tells_those_who_stay() {
    let http = HttpConfig { drain_ms: 1000, ..HttpConfig::default() };
    let w = World::with(EdgeConfig { http, ..unlimited() }).await;
    let mut ends = open(&w, "/v1/books:watch?count=3&delayMs=50").await;
    let mut stays = open(&w, DOUBLE).await;
    let stopped = w.stop();
    let all = async {
        for _ in 0..3 {
            ends.json().await;
        }
        assert_eq!(ends.closed().await.0, 1000, "what ends in time ends well");
        stays.say("{\"value\":1}").await;
        assert_eq!(stays.json().await["value"], "2", "what goes on goes on for a while");
        assert_eq!(stays.failed().await, ("GOING_AWAY".to_owned(), 1001));
    };
    let ((), done) = tokio::join!(all, timeout(Duration::from_secs(3), stopped));
    done.expect("the drain ends");
}

#[tokio::test]
async fn old_connections_are_told_to_go() {
    let http = HttpConfig { max_connection_age_ms: 200, drain_ms: 200, ..HttpConfig::default() };
    let w = World::with(EdgeConfig { http, ..unlimited() }).await;
    assert_eq!(open(&w, DOUBLE).await.failed().await, ("GOING_AWAY".to_owned(), 1001));
}
