//! What a request takes from path, query and body, seen from outside.

use crate::world::{World, json_of};
use serde_json::json;

#[tokio::test]
async fn queries_fill_fields_of_every_kind() {
    let w = World::new().await;
    let query = "filter.titles=a&filter.titles=b%20c&filter.binding=BINDING_PAPERBACK&since=2026-01-02T03:04:05Z\
                 &within=1.5s&fields=title,pageCount&least=7";
    let (status, asked) = json_of(w.get(&format!("/v1/search?{query}"))).await;
    let expected = json!({
        "filter": {"titles": ["a", "b c"], "binding": "BINDING_PAPERBACK"},
        "since": "2026-01-02T03:04:05Z", "within": "1.500s", "fields": "title,pageCount", "least": 7,
    });
    assert_eq!((status, asked), (200, expected));
    let (_, asked) = json_of(w.get("/v1/search?filter.titles=one")).await;
    assert_eq!(asked, json!({"filter": {"titles": ["one"]}}));
    for bad in ["since=yesterday", "least=x", "filter.nope=1", "filter.binding=HARD", "least=1&least=2"] {
        assert_eq!(json_of(w.get(&format!("/v1/search?{bad}"))).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_patch_names_what_it_changes() {
    let w = World::new().await;
    let patch = |query: &str, body| w.http.patch(format!("{}/v1/editions/b1{query}", w.url)).json(&body);
    let (status, change) = json_of(patch("", json!({"title": "t", "pageCount": 0}))).await;
    assert_eq!((status, &change["updateMask"]), (200, &json!("pageCount,title")));
    assert_eq!(change["book"], json!({"bookId": "b1", "title": "t"}));
    let (_, change) = json_of(patch("?updateMask=sold", json!({"title": "t"}))).await;
    assert_eq!(change["updateMask"], "sold", "who says it himself is believed");
    // Neither body nor query can speak of another book than the path.
    assert_eq!(json_of(patch("", json!({"bookId": "b2", "title": "t"}))).await.0, 400);
    assert_eq!(json_of(patch("?book.bookId=b2", json!({"title": "t"}))).await.0, 400);
}
