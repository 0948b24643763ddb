//! The edge's own pages.

use crate::{
    library::{Library, SERVICE},
    world::{World, pool, sent},
};
use gateway::{EdgeConfig, Site, Upstreams};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn probes_and_metrics() {
    let w = World::new().await;
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n"), ("/metrics", "up 1\n")] {
        let page = sent(w.get(path)).await;
        assert_eq!((page.status().as_u16(), page.text().await.unwrap().as_str()), (200, text), "{path}");
    }
}

#[tokio::test]
async fn the_docs_page_needs_no_network() {
    let w = World::new().await;
    for (path, kind) in [("/docs", "text/html"), ("/docs/docs.js", "text/javascript"), ("/docs/docs.css", "text/css")] {
        let page = sent(w.get(path)).await;
        assert_eq!(page.status(), 200);
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with(kind));
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
        let text = page.text().await.unwrap();
        assert!(!text.contains("http://") && !text.contains("https://"), "{path} loads from elsewhere");
        assert!(!text.contains("innerHTML"), "{path}");
    }
}

/// Every `$ref` of the document.
fn references(v: &Value, out: &mut BTreeSet<String>) {
    match v {
        Value::Object(o) => {
            for (k, v) in o {
                if k == "$ref" {
                    out.insert(v.as_str().unwrap().to_owned());
                }
                references(v, out);
            }
        }
        Value::Array(a) => a.iter().for_each(|v| references(v, out)),
        _ => {}
    }
}

#[tokio::test]
async fn the_openapi_document_describes_what_is_served() {
    let w = World::new().await;
    let page = sent(w.get("/openapi.json")).await;
    assert_eq!(page.headers()["content-type"], "application/json");
    let doc: Value = page.json().await.unwrap();
    assert_eq!(doc["openapi"], "3.1.0");
    assert!(doc["info"]["title"].is_string() && doc["info"]["version"].is_string());
    let mut refs = BTreeSet::new();
    references(&doc, &mut refs);
    for r in &refs {
        assert!(doc.pointer(r.strip_prefix('#').unwrap()).is_some(), "{r} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in doc["paths"].as_object().unwrap() {
        let named: BTreeSet<&str> = path.split('{').skip(1).map(|p| p.split('}').next().unwrap()).collect();
        for op in item.as_object().unwrap().values() {
            assert!(ids.insert(op["operationId"].as_str().unwrap()), "{path} repeats an operationId");
            let parameters = op["parameters"].as_array().unwrap();
            let in_path = parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap());
            assert_eq!(in_path.collect::<BTreeSet<_>>(), named, "{path}");
            let all: BTreeSet<_> = parameters.iter().map(|p| (p["in"].to_string(), p["name"].to_string())).collect();
            assert_eq!(all.len(), parameters.len(), "{path} repeats a parameter");
            let answers = op["responses"].as_object().unwrap();
            for status in ["200", "400", "401", "404", "429", "503"] {
                assert!(answers.contains_key(status), "{path}: {status}");
            }
            assert_eq!(answers.contains_key("413"), op["requestBody"].is_object(), "{path}");
        }
    }
    assert!(!doc.to_string().contains("/v1/internal"), "internal methods are not told");
    let get = &doc["paths"]["/v1/books/{bookId}"]["get"];
    assert_eq!((&get["summary"], &get["tags"][0]), (&json!("Reads a book"), &json!("Library")));
    assert!(doc["paths"]["/v1/shelves/{shelf}/books/{bookId}"]["get"].is_object());
    let create = &doc["paths"]["/v1/books"]["post"];
    assert_eq!(create["security"], json!([{"bearer": []}]));
    assert_eq!(create["x-roles"], json!(["user"]));
    assert!(create["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "Idempotency-Key"));
    assert_eq!(create["requestBody"]["content"]["application/json"]["example"], json!({"title": "text"}));
    assert_eq!(create["requestBody"]["required"], true);
    assert!(create["responses"]["422"].is_object() && create["responses"]["304"].is_null());
    assert!(get["responses"]["304"].is_object() && get["responses"]["422"].is_null());
    let pay = &doc["paths"]["/v1/books/{bookId}:pay"]["post"];
    assert!(pay["requestBody"]["content"]["application/json"]["schema"]["properties"].get("bookId").is_none());
    let watch = &doc["paths"]["/v1/books:watch"]["get"]["responses"]["200"]["content"];
    assert!(watch["text/event-stream"].is_object() && watch["application/json"]["schema"]["type"] == "array");
    let schemas = &doc["components"]["schemas"];
    let title = &schemas["edge.test.v1.Book"]["properties"]["title"];
    assert_eq!(
        (&title["minLength"], &title["maxLength"], &title["description"]),
        (&json!(1), &json!(100), &json!("What it is called."))
    );
    assert_eq!(schemas["edge.test.v1.Book"]["required"], json!(["title"]));
    assert_eq!(schemas["edge.test.v1.Book"]["properties"]["bookId"]["readOnly"], true);
    assert_eq!(schemas["edge.test.v1.Book"]["properties"]["pageCount"]["minimum"], 0);
    assert_eq!(schemas["edge.test.v1.Binding"]["enum"], json!(["BINDING_UNSPECIFIED", "BINDING_PAPERBACK"]));
}

#[tokio::test]
async fn the_postman_collection_has_every_operation() {
    let upstreams = Upstreams::from([(SERVICE.to_owned(), proto::Channel::new(Library::default()))]);
    let site = Site::load(&pool(), &upstreams, EdgeConfig::default().json.options()).unwrap();
    let doc: Value = serde_json::from_slice(&site.openapi("Books")).unwrap();
    let collection: Value = serde_json::from_slice(&site.postman("Books")).unwrap();
    assert_eq!(collection["info"]["name"], "Books");
    assert!(collection["info"]["schema"].as_str().unwrap().ends_with("/v2.1.0/collection.json"));
    let items = || collection["item"].as_array().unwrap().iter().flat_map(|f| f["item"].as_array().unwrap());
    let operations: usize = doc["paths"].as_object().unwrap().values().map(|i| i.as_object().unwrap().len()).sum();
    assert_eq!(items().count(), operations);
    let raw = |name: &str| items().find(|i| i["request"]["url"]["raw"] == format!("{{{{baseUrl}}}}{name}")).unwrap();
    let pay = raw("/v1/books/{{bookId}}:pay");
    assert_eq!(pay["request"]["method"], "POST");
    assert_eq!(pay["request"]["auth"]["type"], "noauth");
    let key = pay["request"]["header"].as_array().unwrap().iter().find(|h| h["key"] == "Idempotency-Key").unwrap();
    assert_eq!((&key["value"], &key["disabled"]), (&json!("{{$guid}}"), &json!(false)));
    let create = raw("/v1/books");
    assert!(create["request"].get("auth").is_none(), "signed in: the collection's token");
    assert_eq!(
        serde_json::from_str::<Value>(create["request"]["body"]["raw"].as_str().unwrap()).unwrap(),
        json!({"title": "text"})
    );
    let get = raw("/v1/books/:bookId");
    assert_eq!(get["request"]["url"]["variable"][0]["key"], "bookId");
}
