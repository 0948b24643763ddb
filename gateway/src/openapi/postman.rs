//! The OpenAPI document as a Postman collection.
//! <https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html>

use serde_json::{Map, Value, json};

const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";
/// Keeps the token of whoever signs in, so that every other request has it.
const KEEP_TOKEN: &str =
    "const token = pm.response.json().accessToken; if (token) pm.collectionVariables.set(\"token\", token);";

pub(crate) fn collection(document: &Value) -> Value {
    let mut variables = vec![
        json!({"key": "baseUrl", "value": "http://127.0.0.1:8080"}),
        json!({"key": "token", "value": "", "description": "An access token; signing in sets it."}),
    ];
    let none = Map::new();
    let paths = document["paths"].as_object().unwrap_or(&none);
    let mut folders = Vec::new();
    for tag in document["tags"].as_array().into_iter().flatten() {
        let mut items = Vec::new();
        for (path, item) in paths {
            for (verb, op) in item.as_object().into_iter().flatten() {
                if op["tags"][0] == tag["name"] {
                    items.push(request(document, path, verb, op, &mut variables));
                }
            }
        }
        folders.push(json!({"name": tag["name"], "description": tag["description"], "item": items}));
    }
    json!({
        "info": {"name": document["info"]["title"], "schema": SCHEMA},
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "variable": variables,
        "item": folders,
    })
}

fn request(document: &Value, path: &str, verb: &str, op: &Value, variables: &mut Vec<Value>) -> Value {
    let mut headers = Vec::new();
    let mut query = Vec::new();
    for p in op["parameters"].as_array().into_iter().flatten() {
        let required = p["required"] == true;
        let entry = json!({"key": p["name"], "value": "", "description": p["description"], "disabled": !required});
        match p["in"].as_str() {
            Some("query") => query.push(entry),
            Some("header") if p["name"] == "Idempotency-Key" => {
                headers.push(json!({"key": p["name"], "value": "{{$guid}}", "disabled": !required}));
            }
            Some("header") => headers.push(entry),
            _ => {}
        }
    }
    let mut url = Map::from_iter([("host".to_owned(), json!(["{{baseUrl}}"]))]);
    let (segments, in_path) = segments(path, variables);
    url.insert("raw".into(), format!("{{{{baseUrl}}}}/{}", segments.join("/")).into());
    url.insert("path".into(), segments.into());
    url.insert("variable".into(), in_path.into());
    url.insert("query".into(), query.into());
    let mut request = json!({"method": verb.to_uppercase(), "description": op["description"]});
    if let Some(content) = op["requestBody"]["content"].as_object() {
        if let Some(sent) = content.get("application/json") {
            headers.push(json!({"key": "Content-Type", "value": "application/json"}));
            let text = sent.get("example").and_then(|e| serde_json::to_string_pretty(e).ok()).unwrap_or_default();
            request["body"] = json!({"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}});
        } else {
            request["body"] = json!({"mode": "file", "file": {}});
        }
    }
    // An empty token is refused, so those who need none send none.
    if op["security"].as_array().is_some_and(|all| all.iter().any(|s| s.as_object().is_some_and(Map::is_empty))) {
        request["auth"] = json!({"type": "noauth"});
    }
    request["header"] = headers.into();
    request["url"] = url.into();
    let name = op["summary"].as_str().or(op["operationId"].as_str()).unwrap_or(path);
    let mut item = json!({"name": name, "request": request, "response": []});
    if gives_token(document, op) {
        item["event"] = json!([{"listen": "test", "script": {"type": "text/javascript", "exec": [KEEP_TOKEN]}}]);
    }
    item
}

/// A parameter that is a whole segment is Postman's own path variable; part of one, a collection variable.
fn segments(path: &str, variables: &mut Vec<Value>) -> (Vec<String>, Vec<Value>) {
    let mut in_path = Vec::new();
    let segment = |segment: &str| {
        let whole = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')).filter(|s| !s.contains(['{', '}']));
        if let Some(name) = whole {
            in_path.push(json!({"key": name, "value": ""}));
            return format!(":{name}");
        }
        for name in segment.split('{').skip(1).filter_map(|s| s.split('}').next()) {
            if !variables.iter().any(|v| v["key"] == name) {
                variables.push(json!({"key": name, "value": ""}));
            }
        }
        segment.replace('{', "{{").replace('}', "}}")
    };
    let segments = path.trim_start_matches('/').split('/').map(segment).collect();
    (segments, in_path)
}

fn gives_token(document: &Value, op: &Value) -> bool {
    let schema = &op["responses"]["200"]["content"]["application/json"]["schema"];
    let schema = match schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
        Some(at) => document.pointer(at).unwrap_or(schema),
        None => schema,
    };
    schema["properties"].get("accessToken").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_segment_are_collection_variables() {
        let mut variables = Vec::new();
        let (path, own) = segments("/v1/books/{bookId}/pages/{page}:tear", &mut variables);
        assert_eq!(path, ["v1", "books", ":bookId", "pages", "{{page}}:tear"]);
        assert_eq!(
            (own, variables),
            (vec![json!({"key": "bookId", "value": ""})], vec![json!({"key": "page", "value": ""})])
        );
    }
}
