//! REST and JSON: routes, bodies, answers, failures.

use crate::world::{World, json_of, pool, refusal, sent};
use flate2::{Compression, write::GzEncoder};
use gateway::{EdgeConfig, Site, Upstreams};
use serde_json::{Value, json};
use std::io::Write;

#[tokio::test]
async fn calls_a_method_over_both_protocols() {
    let w = World::new().await;
    for client in [&w.http, &w.h2] {
        let response = sent(client.get(format!("{}/v1/books/b%201", w.url))).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
        let book: Value = response.json().await.unwrap();
        assert_eq!((&book["bookId"], &book["title"]), (&json!("b 1"), &json!("A title")));
    }
    let (status, book) = json_of(w.get("/v1/shelves/s1/books/b2")).await;
    assert_eq!((status, &book["labels"]["shelf"]), (200, &json!("shelves/s1")));
}

#[tokio::test]
async fn routes_that_do_not_fit() {
    let w = World::new().await;
    assert_eq!(refusal(w.get("/v1/nothing"), 404, 5).await, "ROUTE_NOT_FOUND");
    assert_eq!(refusal(w.get("/v1/internal/b1"), 404, 5).await, "ROUTE_NOT_FOUND");
    assert_eq!(refusal(w.http.post(format!("{}/v1/internal/b1", w.url)), 404, 5).await, "ROUTE_NOT_FOUND");
    assert_eq!(refusal(w.get("/v1/books/%ff"), 400, 3).await, "INVALID_REQUEST");
    // A verb after the colon belongs to its route, and is no part of another's name.
    for verb in [http::Method::GET, http::Method::DELETE] {
        let other = sent(w.http.request(verb, format!("{}/v1/books/b1:pay", w.url))).await;
        assert_eq!((other.status().as_u16(), &other.headers()["allow"]), (405, &"OPTIONS, POST".parse().unwrap()));
    }
    assert_eq!(json_of(w.get("/v1/books/b1%3Apay")).await.1["bookId"], "b1:pay");
    assert_eq!(json_of(w.get("/v1/books/b1:other")).await.1["bookId"], "b1:other");
    let refused = sent(w.http.delete(format!("{}/v1/books/b1", w.url))).await;
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.headers()["allow"], "GET, HEAD, OPTIONS");
    let body: Value = refused.json().await.unwrap();
    assert_eq!((&body["code"], &body["details"][0]["reason"]), (&json!(12), &json!("METHOD_NOT_ALLOWED")));
    let long = format!("/v1/books/{}", "x".repeat(9000));
    assert_eq!(refusal(w.get(&long), 414, 3).await, "URI_TOO_LONG");
}

#[tokio::test]
async fn head_and_options() {
    let w = World::new().await;
    let whole = sent(w.get("/v1/books/b1").header("accept-encoding", "identity")).await;
    let length = whole.headers()["content-length"].clone();
    for client in [&w.http, &w.h2] {
        let head = sent(client.head(format!("{}/v1/books/b1", w.url))).await;
        assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &length));
        assert!(head.bytes().await.unwrap().is_empty());
        let missing = sent(client.head(format!("{}/v1/books/missing", w.url))).await;
        assert_eq!(missing.status(), 404);
    }
    let options = sent(w.http.request(http::Method::OPTIONS, format!("{}/v1/books", w.url))).await;
    assert_eq!((options.status().as_u16(), &options.headers()["allow"]), (204, &"OPTIONS, POST".parse().unwrap()));
    let nothing = w.http.request(http::Method::OPTIONS, format!("{}/nothing", w.url));
    assert_eq!(refusal(nothing, 404, 5).await, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn bodies_that_do_not_fit() {
    let w = World::with(EdgeConfig { max_body_bytes: 2000, ..crate::world::unlimited() }).await;
    let post = || w.http.post(format!("{}/v1/books/b1:pay", w.url)).header("idempotency-key", "k");
    let typed = |kind: &'static str| post().header("content-type", kind);
    assert_eq!(refusal(typed("text/plain").body("{}"), 415, 3).await, "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(refusal(post().body("{}"), 415, 3).await, "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(refusal(typed("application/x-ndjson").body("{}"), 415, 3).await, "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(
        refusal(typed("application/json").header("content-encoding", "deflate").body("x"), 415, 3).await,
        "UNSUPPORTED_ENCODING"
    );
    assert_eq!(refusal(typed("application/json").body(" ".repeat(3000)), 413, 8).await, "BODY_TOO_LARGE");
    assert_eq!(refusal(typed("application/json").body("{"), 400, 3).await, "INVALID_JSON");
    assert_eq!(refusal(w.get("/v1/books/b1").header("accept", "image/png"), 406, 3).await, "NOT_ACCEPTABLE");
    assert_eq!(refusal(w.get("/v1/books/b1").body("x"), 400, 3).await, "BODY_NOT_ALLOWED");
    // Chunked, so that no length announces it.
    let chunks = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1000])));
    let chunked = typed("application/json").body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(refusal(chunked, 413, 8).await, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn a_bomb_is_refused_and_honest_gzip_is_read() {
    let w = World::new().await;
    let zip = |bytes: &[u8]| {
        let mut gz = GzEncoder::new(Vec::new(), Compression::best());
        gz.write_all(bytes).unwrap();
        gz.finish().unwrap()
    };
    let post = |body: Vec<u8>| {
        let request = w.http.post(format!("{}/v1/books/b1:pay", w.url)).header("content-type", "application/json");
        request.header("content-encoding", "gzip").header("idempotency-key", "k").body(body)
    };
    let (status, book) = json_of(post(zip(br#"{"amount":"5"}"#))).await;
    assert_eq!((status, &book["sold"]), (200, &json!("5")));
    let bomb = zip(&vec![b' '; 64 << 20]);
    let started = std::time::Instant::now();
    assert_eq!(refusal(post(bomb), 413, 8).await, "BODY_TOO_LARGE");
    assert!(started.elapsed().as_millis() < 2000, "refused early");
    assert_eq!(refusal(post(b"{}".to_vec()), 400, 3).await, "INVALID_ENCODING");
}

#[tokio::test]
async fn bad_input_names_the_json_path() {
    let w = World::new().await;
    let token = w.token("usr_1", &["user"]);
    let create = |body: Value| w.post("/v1/books", &body).bearer_auth(&token);
    let (status, body) = json_of(create(json!({"title": "t", "similar": [{"pageCont": 1}]}))).await;
    assert_eq!(status, 400);
    let bad = body["details"]
        .as_array()
        .unwrap()
        .iter()
        .find(|d| d["@type"] == "type.googleapis.com/google.rpc.BadRequest")
        .unwrap();
    assert_eq!(bad["fieldViolations"][0]["field"], "similar[0].pageCont");
    let (status, body) = json_of(w.get("/v1/books/b1?nope=1")).await;
    assert_eq!((status, body["code"].as_i64()), (400, Some(3)), "{body}");
    assert!(body.to_string().contains("nope"));
    // The path can't be overridden.
    let (status, _) = json_of(w.get("/v1/books/b1?bookId=b2")).await;
    assert_eq!(status, 400);
    // What a service says of proto paths reaches the client in its own words.
    let (status, body) = json_of(w.get("/v1/books/invalid")).await;
    assert_eq!(status, 400);
    assert!(body.to_string().contains("similar[0].page") && body["code"] == 3, "{body}");
}

#[tokio::test]
async fn failures_of_the_service() {
    let w = World::new().await;
    let (status, body) = json_of(w.get("/v1/books/missing")).await;
    assert_eq!((status, &body["code"], &body["message"]), (404, &json!(5), &json!("no such book")));
    assert_eq!(body["details"].as_array().unwrap().len(), 1, "the unknown detail is left out: {body}");
    assert_eq!(body["details"][0]["metadata"]["book_id"], "missing");
    let busy = sent(w.get("/v1/books/busy")).await;
    assert_eq!((busy.status().as_u16(), &busy.headers()["retry-after"]), (503, &"3".parse().unwrap()));
    for (id, status, code) in [
        ("internal", 500, 13),
        ("cut", 503, 14),
        ("half", 500, 13),
        ("empty", 500, 13),
        ("two", 500, 13),
        ("garbage", 500, 13),
        ("nohttp", 503, 14),
    ] {
        refusal(w.get(&format!("/v1/books/{id}")), status, code).await;
    }
    let reused = w.post("/v1/books/b1:pay", &json!({"amount": 422, "requestId": "k"}));
    assert_eq!(refusal(reused, 422, 3).await, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn map_entries_without_key_or_value() {
    let w = World::new().await;
    let (status, book) = json_of(w.get("/v1/books/maps")).await;
    assert_eq!((status, &book["labels"]), (200, &json!({"": "v", "k": ""})));
}

#[tokio::test]
async fn compressed_frames_and_compressed_answers() {
    let w = World::new().await;
    let (status, book) = json_of(w.get("/v1/books/gzip")).await;
    assert_eq!((status, book["title"].as_str().unwrap().len()), (200, 700));
    let big = sent(w.get("/v1/books/big").header("accept-encoding", "gzip")).await;
    assert_eq!(big.headers()["content-encoding"], "gzip");
    let bytes = big.bytes().await.unwrap();
    assert!(bytes.len() < 5000);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text).unwrap();
    assert!(text.contains("xxxx"));
    let plain = sent(w.get("/v1/books/big")).await;
    assert!(!plain.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn a_known_answer_is_not_sent_again() {
    let w = World::new().await;
    let first = sent(w.get("/v1/books/b1")).await;
    let tag = first.headers()["etag"].clone();
    assert_eq!(first.headers()["cache-control"], "private, no-cache");
    let again = sent(w.get("/v1/books/b1").header("if-none-match", tag.clone())).await;
    assert_eq!((again.status().as_u16(), again.bytes().await.unwrap().len()), (304, 0));
    let other = sent(w.get("/v1/books/b2").header("if-none-match", tag)).await;
    assert_eq!(other.status(), 200);
}

#[tokio::test]
async fn idempotency_keys() {
    let w = World::new().await;
    let pay = |body: Value| w.post("/v1/books/b1:pay", &body);
    let violated = json_of(pay(json!({"amount": 1}))).await;
    assert_eq!(violated.0, 400);
    assert!(violated.1.to_string().contains("\"requestId\""), "{}", violated.1);
    let (status, book) = json_of(pay(json!({"amount": 1})).header("idempotency-key", "key-1")).await;
    assert_eq!((status, &book["title"]), (200, &json!("key-1")));
    let (status, book) = json_of(pay(json!({"amount": 1, "requestId": "key-2"}))).await;
    assert_eq!((status, &book["title"]), (200, &json!("key-2")));
    let same = pay(json!({"requestId": "key-3"})).header("idempotency-key", "\"key-3\"");
    assert_eq!(json_of(same).await.0, 200);
    let differs = pay(json!({"requestId": "key-3"})).header("idempotency-key", "key-4");
    assert_eq!(refusal(differs, 400, 3).await, "INVALID_REQUEST");
    for bad in ["a b", &"x".repeat(129)] {
        assert_eq!(json_of(pay(json!({})).header("idempotency-key", bad)).await.0, 400);
    }
    let token = w.token("usr_1", &["user"]);
    let created = w.post("/v1/books", &json!({"title": "t"})).bearer_auth(&token).header("idempotency-key", "key-5");
    assert_eq!(json_of(created).await.1["labels"]["request_id"], "key-5");
}

#[tokio::test]
async fn raw_bodies_in_and_out() {
    let w = World::new().await;
    let up = w.http.post(format!("{}/v1/files/f1", w.url)).header("content-type", "image/png").body(vec![0u8; 300]);
    let (status, book) = json_of(up).await;
    assert_eq!((status, &book["title"], &book["pageCount"]), (200, &json!("image/png"), &json!(300)));
    let down = sent(w.get("/v1/files/f1").header("accept", "text/csv")).await;
    assert_eq!(down.headers()["content-type"], "text/csv");
    assert_eq!(down.text().await.unwrap(), "a,b\n1,2\n");
    let pieces = sent(w.get("/v1/pieces/f1")).await;
    assert_eq!(pieces.headers()["content-type"], "text/plain");
    assert_eq!(pieces.text().await.unwrap(), "one two three");
}

#[tokio::test]
async fn a_handler_can_be_driven_without_a_socket() {
    let w = World::new().await;
    let request = http::Request::get("/v1/books/b1").body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let response = w.edge.handle(request).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn descriptors_are_swapped_while_running() {
    let w = World::new().await;
    assert_eq!(sent(w.get("/v1/books/b1")).await.status(), 200);
    let endless = sent(w.get("/v1/books:watch?count=3&delayMs=100")).await;
    w.edge.swap(Site::load(&pool(), &Upstreams::new(), transcode::Options::default()).unwrap());
    assert_eq!(refusal(w.get("/v1/books/b1"), 404, 5).await, "ROUTE_NOT_FOUND");
    assert_eq!(endless.json::<Vec<Value>>().await.unwrap().len(), 3, "what was under way ends on the old ones");
}

/// The market's own descriptors: every route loads, and the document holds them all.
#[tokio::test]
async fn the_market_is_served_and_described() {
    let pool = proto::pool();
    let nobody = tower::service_fn(|_: http::Request<tonic::body::Body>| async {
        Ok(tonic::Status::unavailable("nobody").into_http())
    });
    let ours = pool.services().filter(|s| s.package_name().starts_with("jangteo."));
    let upstreams: Upstreams = ours.map(|s| (s.full_name().to_owned(), proto::Channel::new(nobody))).collect();
    assert!(!upstreams.is_empty());
    let site = Site::load(pool, &upstreams, transcode::Options::default()).unwrap();
    let w = World::new().await;
    w.edge.swap(site);
    let (status, doc) = json_of(w.get("/openapi.json")).await;
    assert_eq!(status, 200);
    for path in doc["paths"].as_object().unwrap().keys() {
        assert!(path.starts_with("/v1/") || path.starts_with("/.well-known/"), "{path}");
    }
}
