//! The Connect protocol on the same port.

use crate::{
    library::{Book, GetBookRequest, WatchBooksRequest, frame},
    world::{World, json_of, sent},
};
use prost::Message;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

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
