//! The Connect protocol on the same port.

use crate::{
    library::{Book, GetBookRequest, WatchBooksRequest, frame},
    world::{World, json_of, sent},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use gateway::{CorsConfig, EdgeConfig};
use prost::Message;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use std::io::Write;

fn call(w: &World, method: &str, kind: &'static str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = w.http.post(format!("{}/edge.test.v1.Library/{method}", w.url));
    request.header("content-type", kind).header("connect-protocol-version", "1").body(body)
}

#[tokio::test]
async fn unary_in_json_and_protobuf() {
    let w = World::new().await;
    let (status, book) = json_of(call(&w, "GetBook", "application/json", r#"{"bookId":"b1"}"#)).await;
    assert_eq!((status, &book["bookId"]), (200, &json!("b1")));
    let wire = GetBookRequest { book_id: "b2".into(), ..Default::default() }.encode_to_vec();
    let answer = sent(call(&w, "GetBook", "application/proto", wire)).await;
    assert_eq!(answer.headers()["content-type"], "application/proto");
    assert_eq!(Book::decode(answer.bytes().await.unwrap()).unwrap().book_id, "b2");
    let (status, error) = json_of(call(&w, "GetBook", "application/json", r#"{"bookId":"missing"}"#)).await;
    assert_eq!((status, &error["code"], &error["message"]), (404, &json!("not_found"), &json!("no such book")));
    assert_eq!(error["details"][0]["type"], "google.rpc.ErrorInfo");
    assert_eq!(error["details"][0]["debug"]["reason"], "BOOK_NOT_FOUND");
    let slow = call(&w, "GetBook", "application/json", r#"{"bookId":"slow"}"#).header("connect-timeout-ms", "100");
    assert_eq!(json_of(slow).await.1["code"], "deadline_exceeded");
    assert_eq!(json_of(call(&w, "GetBook", "application/json", "{")).await.1["code"], "invalid_argument");
    assert_eq!(json_of(call(&w, "Purge", "application/json", "{}")).await.1["code"], "unauthenticated");
    assert_eq!(json_of(call(&w, "Internal", "application/json", "{}")).await.0, 404);
    assert_eq!(json_of(call(&w, "WatchBooks", "application/json", "{}")).await.0, 415);
}

/// (flags, payload) of each envelope.
async fn envelopes(request: RequestBuilder) -> Vec<(u8, Vec<u8>)> {
    let response = sent(request).await;
    assert_eq!(response.status(), 200);
    let bytes = response.bytes().await.unwrap();
    let mut rest = &bytes[..];
    let mut out = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        out.push((rest[0], rest[5..5 + length].to_vec()));
        rest = &rest[5 + length..];
    }
    out
}

#[tokio::test]
async fn streams_in_envelopes() {
    let w = World::new().await;
    let json = |text: &str| frame(0, text.as_bytes());
    let watch = json(r#"{"count":5,"failAfter":2}"#);
    let got = envelopes(call(&w, "WatchBooks", "application/connect+json", watch)).await;
    assert_eq!(got.iter().map(|(flag, _)| *flag).collect::<Vec<_>>(), [0, 0, 2]);
    let end: Value = serde_json::from_slice(&got[2].1).unwrap();
    assert_eq!((&end["error"]["code"], &end["error"]["message"]), (&json!("aborted"), &json!("the shelf fell")));
    let wire = frame(0, &WatchBooksRequest { count: 2, ..Default::default() }.encode_to_vec());
    let got = envelopes(call(&w, "WatchBooks", "application/connect+proto", wire)).await;
    assert_eq!((got.len(), got[2].1.as_slice()), (3, &b"{}"[..]));
    let numbers = [json(r#"{"value":1}"#), json(r#"{"value":"2"}"#)].concat();
    let got = envelopes(call(&w, "Sum", "application/connect+json", numbers)).await;
    assert_eq!(got[0].1, br#"{"value":"3"}"#);
    let bad = [json(r#"{"value":1}"#), json(r#"{"valu":"2"}"#)].concat();
    let got = envelopes(call(&w, "Sum", "application/connect+json", bad)).await;
    let end: Value = serde_json::from_slice(&got.last().unwrap().1).unwrap();
    assert_eq!(end["error"]["code"], "invalid_argument");
}

#[tokio::test]
async fn safe_methods_by_get() {
    let w = World::new().await;
    let get = |query: &str| w.get(&format!("/edge.test.v1.Library/GetBook?{query}"));
    let first = sent(get("connect=v1&encoding=json&message=%7B%22bookId%22%3A%22b%201%22%7D")).await;
    assert_eq!(
        (first.status().as_u16(), &first.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    let tag = first.headers()["etag"].clone();
    assert_eq!(first.json::<Value>().await.unwrap()["bookId"], "b 1");
    let known = get("encoding=json&message=%7B%22bookId%22%3A%22b%201%22%7D").header("if-none-match", tag);
    assert_eq!(sent(known).await.status(), 304);
    let wire = GetBookRequest { book_id: "b2".into(), ..Default::default() }.encode_to_vec();
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(&wire).unwrap();
    let (plain, zipped) = (BASE64_URL_SAFE_NO_PAD.encode(&wire), BASE64_URL_SAFE_NO_PAD.encode(gz.finish().unwrap()));
    for query in
        [format!("message={plain}"), format!("message={plain}%3D&x=1"), format!("compression=gzip&message={zipped}")]
    {
        let answer = sent(get(&format!("connect=v1&encoding=proto&base64=1&{query}"))).await;
        assert_eq!(answer.headers()["content-type"], "application/proto");
        assert_eq!(Book::decode(answer.bytes().await.unwrap()).unwrap().book_id, "b2");
    }
    for bad in [
        "encoding=json",
        "message=%7B%7D",
        "encoding=xml&message=x",
        "encoding=json&message=%zz",
        "encoding=json&base64=1&message=!",
        "encoding=json&connect=v2&message=%7B%7D",
        "encoding=json&compression=lzma&message=%7B%7D",
    ] {
        let (status, error) = json_of(get(bad)).await;
        assert_eq!((status, &error["code"]), (400, &json!("invalid_argument")), "{bad}");
    }
    let missing = get("encoding=json&message=%7B%22bookId%22%3A%22missing%22%7D");
    assert_eq!(json_of(missing).await.1["code"], "not_found");
    let long = format!("encoding=json&message={}", "x".repeat(9000));
    assert_eq!(json_of(get(&long)).await.0, 414);
    // Methods that may have effects are never called by GET.
    for (method, refused) in [("PayBook", 405), ("Login", 405), ("WatchBooks", 405), ("Internal", 404)] {
        let (status, _) = json_of(w.get(&format!("/edge.test.v1.Library/{method}?encoding=json&message=%7B%7D"))).await;
        assert_eq!(status, refused, "{method}");
    }
}

#[tokio::test]
async fn idempotency_keys_fill_the_request() {
    let w = World::new().await;
    let pay = |body: &'static str| call(&w, "PayBook", "application/json", body);
    let (status, error) = json_of(pay(r#"{"amount":1}"#)).await;
    assert_eq!((status, &error["code"]), (400, &json!("invalid_argument")));
    assert!(error.to_string().contains("requestId"), "{error}");
    let (_, book) = json_of(pay(r#"{"amount":1}"#).header("idempotency-key", "key-1")).await;
    assert_eq!((&book["title"], &book["sold"]), (&json!("key-1"), &json!("1")));
    let wire = crate::library::PayBookRequest { amount: 2, ..Default::default() }.encode_to_vec();
    let answer = sent(call(&w, "PayBook", "application/proto", wire).header("idempotency-key", "key-2")).await;
    assert_eq!(Book::decode(answer.bytes().await.unwrap()).unwrap().title, "key-2");
    let (_, book) = json_of(pay(r#"{"requestId":"key-3"}"#).header("idempotency-key", "key-3")).await;
    assert_eq!(book["title"], "key-3");
    assert_eq!(json_of(pay(r#"{"requestId":"key-3"}"#).header("idempotency-key", "key-4")).await.0, 400);
}

#[tokio::test]
async fn pages_may_speak_connect() {
    let cors = CorsConfig { origins: vec!["*".into()], max_age_seconds: 1 };
    let w = World::with(EdgeConfig { cors, ..crate::world::unlimited() }).await;
    let preflight = w.http.request(http::Method::OPTIONS, format!("{}/edge.test.v1.Library/GetBook", w.url));
    let preflight = preflight.header("origin", "https://x.example").header("access-control-request-method", "GET");
    let answer = sent(preflight).await;
    assert_eq!(answer.headers()["access-control-allow-methods"], "GET, POST");
    let headers = answer.headers()["access-control-allow-headers"].to_str().unwrap();
    assert!(headers.contains("connect-protocol-version") && headers.contains("connect-timeout-ms"), "{headers}");
}

/// What of the published conformance suite is about a server (connectrpc/conformance, `testsuites/data`: errors,
/// duplicate_metadata, server_empty, connect_server_unexpected, connect_with_get), case by case.
#[tokio::test]
async fn conformance_errors() {
    let w = World::new().await;
    for (code, name, status) in [
        (1, "canceled", 499),
        (2, "unknown", 500),
        (3, "invalid_argument", 400),
        (4, "deadline_exceeded", 504),
        (5, "not_found", 404),
        (6, "already_exists", 409),
        (7, "permission_denied", 403),
        (8, "resource_exhausted", 429),
        (9, "failed_precondition", 400),
        (10, "aborted", 409),
        (11, "out_of_range", 400),
        (12, "unimplemented", 501),
        (13, "internal", 500),
        (14, "unavailable", 503),
        (15, "data_loss", 500),
        (16, "unauthenticated", 401),
    ] {
        for (kind, body) in [
            ("application/json", json!({"bookId": format!("code-{code}")}).to_string().into_bytes()),
            (
                "application/proto",
                GetBookRequest { book_id: format!("code-{code}"), ..Default::default() }.encode_to_vec(),
            ),
        ] {
            let answer = sent(call(&w, "GetBook", kind, body)).await;
            assert_eq!(answer.headers()["x-custom-trailer"], "bing");
            let (got, error) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
            assert_eq!((got, &error["code"], &error["message"]), (status, &json!(name), &json!("as asked")), "{kind}");
            assert_eq!(error["details"][0]["type"], "google.rpc.ErrorInfo");
        }
        let watch = frame(0, json!({"failAfter": -code}).to_string().as_bytes());
        let got = envelopes(call(&w, "WatchBooks", "application/connect+json", watch)).await;
        let end: Value = serde_json::from_slice(&got[0].1).unwrap();
        assert_eq!((got.len(), got[0].0, &end["error"]["code"]), (1, 2, &json!(name)));
        assert_eq!(end["metadata"], json!({"x-custom-trailer": ["bing"]}));
    }
}

#[tokio::test]
async fn conformance_metadata() {
    let config = EdgeConfig { forward_headers: vec!["x-*".into()], ..crate::world::unlimited() };
    let w = World::with(config).await;
    let asked = call(&w, "GetBook", "application/json", r#"{"bookId":"metadata"}"#);
    let answer = sent(asked.header("x-conformance-test", "Value1").header("x-conformance-test", "Value2")).await;
    let all = |name: &str| answer.headers().get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(all("x-custom-header"), ["foo", "bar", "baz"]);
    assert_eq!(all("trailer-x-custom-trailer"), ["bing", "quux"]);
    assert_eq!((all("x-custom-trailer").len(), all("x-some-bin")), (0, vec!["AAEC"]));
    let seen = w.seen.headers.lock().unwrap().clone();
    assert_eq!(seen.get_all("x-conformance-test").iter().collect::<Vec<_>>(), ["Value1", "Value2"]);
    // REST, which knows no trailers, has them as headers.
    let rest = sent(w.get("/v1/books/metadata")).await;
    assert_eq!(rest.headers().get_all("x-custom-trailer").iter().count(), 2);
}

#[tokio::test]
async fn conformance_unexpected_requests() {
    let w = World::new().await;
    // Empty requests are messages of defaults; a stream of requests may be empty.
    for kind in ["application/json", "application/proto"] {
        let body = if kind == "application/json" { "{}" } else { "" };
        assert_eq!(sent(call(&w, "GetBook", kind, body)).await.status(), 200, "{kind}");
    }
    let got = envelopes(call(&w, "WatchBooks", "application/connect+proto", frame(0, b""))).await;
    assert_eq!((got.len(), got[0].0), (1, 2));
    let got = envelopes(call(&w, "Sum", "application/connect+proto", "")).await;
    assert_eq!(got.iter().map(|(flag, _)| *flag).collect::<Vec<_>>(), [0, 2]);
    let got = envelopes(call(&w, "Double", "application/connect+proto", "")).await;
    assert_eq!(got.iter().map(|(flag, _)| *flag).collect::<Vec<_>>(), [2]);
    // No message, and one too many.
    let refused = async |request: RequestBuilder| {
        let got = envelopes(request).await;
        let end: Value = serde_json::from_slice(&got.last().unwrap().1).unwrap();
        end["error"]["code"].as_str().unwrap_or_default().to_owned()
    };
    let watch = |body: Vec<u8>| call(&w, "WatchBooks", "application/connect+proto", body);
    assert_eq!(refused(watch(Vec::new())).await, "unimplemented");
    assert_eq!(refused(watch(frame(0, b"").repeat(2))).await, "unimplemented");
    // Compressed, and no encoding was named; one that nobody knows.
    assert_eq!(refused(watch(frame(1, b"").to_vec()).header("connect-content-encoding", "identity")).await, "internal");
    assert_eq!(
        refused(watch(frame(1, b"x").to_vec()).header("connect-content-encoding", "foo")).await,
        "unimplemented"
    );
    let unknown = call(&w, "GetBook", "application/proto", "").header("content-encoding", "foo");
    let (status, error) = json_of(unknown).await;
    assert_eq!((status, &error["code"]), (501, &json!("unimplemented")));
    // Another verb, another address, another codec.
    let path = format!("{}/edge.test.v1.Library/GetBook", w.url);
    let verb = sent(w.http.delete(&path).header("content-type", "application/proto")).await;
    assert_eq!((verb.status().as_u16(), &verb.headers()["allow"]), (405, &"GET, POST".parse().unwrap()));
    let elsewhere = w.http.post(format!("{}/edge.test.v1.Unknown/Method", w.url));
    assert_eq!(sent(elsewhere.header("content-type", "application/proto")).await.status(), 404);
    for codec in ["application/foo", "image/jpeg"] {
        let answer = sent(call(&w, "GetBook", codec, "x")).await;
        assert_eq!(answer.status(), 415, "{codec}");
    }
}
