//! What may be kept and for how long, and how it is packed on the way.

use crate::world::{World, json_of, refusal, sent};
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

fn pack(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut gz = GzEncoder::new(Vec::new(), Compression::best());
            gz.write_all(bytes).unwrap();
            gz.finish().unwrap()
        }
        "br" => {
            let mut br = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            br.write_all(bytes).unwrap();
            br.into_inner()
        }
        _ => zstd::encode_all(bytes, 3).unwrap(),
    }
}

/// As much as can be read of what has come; the error of a stream that is not at its end is none.
fn unpack(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        _ => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out),
    };
    out
}

async fn said(request: RequestBuilder) -> (u16, String) {
    let response = sent(request).await;
    let said = response.headers().get("cache-control").map(|v| v.to_str().unwrap().to_owned());
    (response.status().as_u16(), said.unwrap_or_default())
}

#[tokio::test]
async fn how_long_an_answer_may_be_kept() {
    let w = World::new().await;
    let token = w.token("usr_1", &["user"]);
    let ok = |said: &str| (200, said.to_owned());
    // The option, in GET and HEAD, and in the 304 that follows.
    assert_eq!(said(w.get("/v1/classics/b1")).await, ok("public, max-age=60"));
    assert_eq!(said(w.http.head(format!("{}/v1/classics/b1", w.url))).await, ok("public, max-age=60"));
    assert_eq!(said(w.get("/v1/classics/b1").bearer_auth(&token)).await, ok("public, max-age=60"));
    let tag = sent(w.get("/v1/classics/b1")).await.headers()["etag"].clone();
    let known = said(w.get("/v1/classics/b1").header("if-none-match", tag)).await;
    assert_eq!(known, (304, "public, max-age=60".to_owned()));
    // Connect's GET is one, too; raw bodies are.
    let connect = "/edge.test.v1.Library/GetClassic?connect=v1&encoding=json&message=%7B%22bookId%22%3A%22b1%22%7D";
    assert_eq!(said(w.get(connect)).await, ok("public, max-age=60"));
    assert_eq!(said(w.get("/v1/files/f1")).await, ok("public, max-age=600"));
    // The service knows better.
    assert_eq!(said(w.get("/v1/classics/cached")).await, ok("max-age=5"));
    // Nothing else is good for a while: refusals, and what a POST answers.
    assert_eq!(said(w.get("/v1/classics/missing")).await, (404, "no-store".to_owned()));
    assert_eq!(said(w.post("/v1/classics:read", &json!({"bookId": "b1"}))).await, ok("no-store"));
    // Where nobody says: asked for again each time, and what was told to a person is kept nowhere.
    assert_eq!(said(w.get("/v1/books/b1")).await, ok("private, no-cache"));
    assert_eq!(said(w.get("/v1/books/b1").bearer_auth(&token)).await, ok("no-store"));
    assert_eq!(said(w.get("/v1/books/cached").bearer_auth(&token)).await, ok("max-age=5"));
    let doc = json_of(w.get("/openapi.json")).await.1;
    let kept =
        |path: &str| doc["paths"][path]["get"]["responses"]["200"]["headers"]["Cache-Control"]["example"].clone();
    assert_eq!(kept("/v1/classics/{bookId}"), "public, max-age=60");
    assert_eq!(kept("/v1/books/{bookId}"), Value::Null);
}

#[tokio::test]
async fn answers_are_packed_as_the_client_likes_best() {
    let w = World::new().await;
    let plain = sent(w.get("/v1/books/big")).await;
    assert!(plain.headers().get_all("vary").iter().any(|v| v == "accept-encoding"));
    let plain = plain.bytes().await.unwrap();
    for (accept, expected) in [
        ("gzip", Some("gzip")),
        ("br", Some("br")),
        ("zstd", Some("zstd")),
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip;q=0.8, br, zstd;q=0.9", Some("br")),
        ("br;q=0, zstd;q=0, *;q=0.1", Some("gzip")),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0, identity", None),
        ("deflate, compress", None),
    ] {
        for client in [&w.http, &w.h2] {
            let answer = sent(client.get(format!("{}/v1/books/big", w.url)).header("accept-encoding", accept)).await;
            let coding = answer.headers().get("content-encoding").map(|v| v.to_str().unwrap().to_owned());
            assert_eq!(coding.as_deref(), expected, "{accept}");
            let length = answer.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
            let bytes = answer.bytes().await.unwrap();
            assert_eq!(bytes.len(), length, "{accept}");
            match expected {
                Some(coding) => {
                    assert!(bytes.len() < 5000, "{accept}: {}", bytes.len());
                    assert_eq!(unpack(coding, &bytes), plain, "{accept}");
                }
                None => assert_eq!(bytes, plain, "{accept}"),
            }
        }
    }
    let small = sent(w.get("/v1/books/b1").header("accept-encoding", "br")).await;
    assert!(!small.headers().contains_key("content-encoding"), "it saves no packet");
}

#[tokio::test]
async fn bodies_may_be_packed_and_bombs_are_refused() {
    let w = World::new().await;
    for coding in CODINGS {
        let post = |body: Vec<u8>| {
            let request = w.http.post(format!("{}/v1/books/b1:pay", w.url)).header("content-type", "application/json");
            request.header("content-encoding", coding).header("idempotency-key", "k").body(body)
        };
        let (status, book) = json_of(post(pack(coding, br#"{"amount":"5"}"#))).await;
        assert_eq!((status, &book["sold"]), (200, &json!("5")), "{coding}");
        let bomb = pack(coding, &vec![b' '; 16 << 20]);
        assert!(bomb.len() < 20_000, "{coding}: {}", bomb.len());
        assert_eq!(refusal(post(bomb.clone()), 413, 8).await, "BODY_TOO_LARGE", "{coding}");
        assert_eq!(refusal(post(br#"{"amount":"5"}"#.to_vec()), 400, 3).await, "INVALID_ENCODING", "{coding}");
        let mut cut = pack(coding, &br#"{"amount":"5","requestId":""}"#.repeat(9));
        cut.truncate(cut.len() - 2);
        assert_eq!(refusal(post(cut), 400, 3).await, "INVALID_ENCODING", "{coding}");
        // Connect, unary and in the query.
        let connect = w.http.post(format!("{}/edge.test.v1.Library/GetBook", w.url));
        let connect = connect.header("content-type", "application/json").header("content-encoding", coding);
        let (status, book) = json_of(connect.body(pack(coding, br#"{"bookId":"b7"}"#))).await;
        assert_eq!((status, &book["bookId"]), (200, &json!("b7")), "{coding}");
    }
    let many = w.http.post(format!("{}/v1/books/b1:pay", w.url)).header("content-type", "application/json");
    let many = sent(many.header("content-encoding", "gzip, br").body("x")).await;
    assert_eq!((many.status().as_u16(), &many.headers()["accept-encoding"]), (415, &"gzip, br, zstd".parse().unwrap()));
}

/// Each line can be read when it was sent, not when the packer has enough of them.
#[tokio::test]
async fn packed_streams_are_sent_on_as_they_come() {
    let w = World::new().await;
    for coding in CODINGS {
        let request = w.get("/v1/books:watch?count=3&delayMs=300").header("accept", "application/x-ndjson");
        let started = Instant::now();
        let response = sent(request.header("accept-encoding", coding)).await;
        assert_eq!(response.headers()["content-encoding"], coding);
        let mut pieces = response.bytes_stream();
        let (mut packed, mut times) = (Vec::new(), Vec::new());
        while let Some(piece) = pieces.next().await {
            packed.extend_from_slice(&piece.unwrap());
            let lines = unpack(coding, &packed).iter().filter(|b| **b == b'\n').count();
            while times.len() < lines {
                times.push(started.elapsed());
            }
        }
        assert_eq!(times.len(), 3, "{coding}");
        assert!(times[2] - times[0] > Duration::from_millis(400), "{coding}: {times:?}");
    }
    for (accept, packed) in [("application/json", true), ("text/event-stream", false)] {
        let request = w.get("/v1/books:watch?count=300&titleBytes=100").header("accept", accept);
        let response = sent(request.header("accept-encoding", "zstd")).await;
        assert_eq!(response.headers().contains_key("content-encoding"), packed, "{accept}");
        let bytes = response.bytes().await.unwrap();
        let text = if packed { unpack("zstd", &bytes) } else { bytes.to_vec() };
        assert_eq!(String::from_utf8(text).unwrap().matches("bookId").count(), 300, "{accept}");
        assert_eq!(bytes.len() < 10_000, packed, "{accept}");
    }
}
