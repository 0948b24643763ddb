//! Streams of messages as an array, lines or events; streams of requests at once.

use crate::world::{World, eventually, json_of, refusal, sent};
use futures::StreamExt;
use serde_json::{Value, json};
use std::{sync::atomic::Ordering, time::Duration};

#[tokio::test]
async fn the_shape_follows_accept() {
    let w = World::new().await;
    let watch = |accept: &'static str| w.get("/v1/books:watch?count=3").header("accept", accept);
    let array = sent(watch("*/*")).await;
    assert_eq!(array.headers()["content-type"], "application/json");
    let array: Vec<Value> = array.json().await.unwrap();
    assert_eq!(array.iter().map(|b| b["bookId"].as_str().unwrap()).collect::<String>(), "012");
    let lines = sent(watch("application/x-ndjson")).await;
    assert_eq!(lines.headers()["content-type"], "application/x-ndjson");
    let lines = lines.text().await.unwrap();
    assert_eq!(lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).collect::<Vec<_>>(), array);
    let events = sent(watch("text/event-stream")).await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let events = events.text().await.unwrap();
    assert!(events.starts_with("id: 1\ndata: {\"bookId\":\"0\""), "{events}");
    assert!(events.ends_with("\n\nevent: end\ndata: {}\n\n"), "{events}");
    assert_eq!(events.matches("data: {\"bookId\"").count(), 3);
    assert_eq!(refusal(watch("image/png"), 406, 3).await, "NOT_ACCEPTABLE");
    let none: Vec<Value> = sent(w.get("/v1/books:watch")).await.json().await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn a_failure_in_the_middle_is_the_last_item() {
    let w = World::new().await;
    let watch = |accept: &'static str| w.get("/v1/books:watch?count=9&fail_after=2").header("accept", accept);
    let check = |error: &Value| {
        assert_eq!((&error["@type"], &error["code"]), (&json!("type.googleapis.com/google.rpc.Status"), &json!(10)));
        assert_eq!(error["details"][0]["reason"], "SHELF_FELL");
    };
    let array: Vec<Value> = sent(watch("application/json")).await.json().await.unwrap();
    assert_eq!(array.len(), 3);
    check(&array[2]);
    let lines = sent(watch("application/x-ndjson")).await.text().await.unwrap();
    check(&serde_json::from_str(lines.lines().last().unwrap()).unwrap());
    let events = sent(watch("text/event-stream")).await.text().await.unwrap();
    let (_, error) = events.split_once("event: error\ndata: ").unwrap();
    check(&serde_json::from_str(error.trim()).unwrap());
    // Before the first message a failure still has its own status.
    refusal(w.get("/v1/books:watch?refuse=true"), 400, 9).await;
}

#[tokio::test]
async fn each_message_is_sent_as_it_comes() {
    let w = World::new().await;
    for client in [&w.http, &w.h2] {
        let url = format!("{}/v1/books:watch?count=2&hang=true", w.url);
        let mut stream = sent(client.get(url).header("accept", "application/x-ndjson")).await.bytes_stream();
        let mut text = String::new();
        while text.lines().count() < 2 {
            let chunk =
                tokio::time::timeout(Duration::from_secs(5), stream.next()).await.expect("a message, before the end");
            text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        }
    }
    let seen = w.seen.clone();
    eventually("the streams that their clients left are cancelled", || seen.cancelled.load(Ordering::SeqCst) == 2)
        .await;
}

#[tokio::test]
async fn quiet_event_streams_are_kept_open_until_their_deadline() {
    let config = gateway::EdgeConfig { sse_keep_alive_ms: 50, ..crate::world::unlimited() };
    let w = World::with(config).await;
    let watch =
        w.get("/v1/books:watch?hang=true").header("accept", "text/event-stream").header("x-request-timeout", "0.4");
    let text = sent(watch).await.text().await.unwrap();
    assert!(text.matches(": still here\n\n").count() >= 3, "{text}");
    assert!(text.contains("event: error") && text.contains("\"code\":4"), "{text}");
}

#[tokio::test]
async fn many_requests_in_one_body() {
    let w = World::new().await;
    let post = |kind: &'static str, body: &'static str| {
        w.http.post(format!("{}/v1/numbers:sum", w.url)).header("content-type", kind).body(body)
    };
    let (status, sum) = json_of(post("application/x-ndjson", "{\"value\":1}\n\n{\"value\":\"41\"}\n")).await;
    assert_eq!((status, &sum["value"]), (200, &json!("42")));
    let (_, sum) = json_of(post("application/json", "{\n\"value\":7\n}")).await;
    assert_eq!(sum["value"], "7");
    assert_eq!(json_of(post("application/x-ndjson", "{\"value\":1}\n{]")).await.0, 400);
}
