//! OpenAPI 3.1 from the same descriptors and routes that answer requests.
//! <https://spec.openapis.org/oas/v3.1.1.html>

mod answers;
mod comments;
mod example;
mod postman;
mod rules;
mod schema;

use crate::site::{Endpoint, Site};
use comments::Comments;
pub(crate) use postman::collection;
use prost_reflect::DynamicMessage;
use proto::policy::{Access, RequestId};
use schema::Schemas;
use serde_json::{Map, Value, json};
use transcode::{Binding, BodyType};

pub(crate) fn document(site: &Site, title: &str) -> Value {
    let mut schemas = Schemas::new(Comments::of(&site.pool));
    let mut paths = Map::new();
    let mut tags: Vec<(String, String)> = Vec::new();
    let mut ids = std::collections::HashMap::<String, u32>::new();
    for binding in site.api.bindings() {
        let Some(endpoint) = site.endpoint(binding.method().grpc_path()).filter(|e| !e.is_internal()) else { continue };
        let verb = match binding.verb() {
            "*" => "post".to_owned(),
            verb => verb.to_ascii_lowercase(),
        };
        if !["get", "put", "post", "delete", "options", "head", "patch", "trace"].contains(&verb.as_str()) {
            continue;
        }
        let service = binding.method().descriptor().parent_service();
        if !tags.iter().any(|(name, _)| name == service.name()) {
            let text = schemas.comments.at(&service.parent_file(), service.path());
            tags.push((service.name().to_owned(), text));
        }
        let path = path(binding);
        let count = ids.entry(binding.method().full_name().to_owned()).or_default();
        *count += 1;
        let operation = operation(&mut schemas, binding, endpoint, &path, *count);
        let item = paths.entry(path.text).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.entry(verb).or_insert(operation);
        }
    }
    let schemas = schemas.finish();
    exemplify(&mut paths, &schemas);
    let (responses, headers) = answers::components();
    json!({
        "openapi": "3.1.0",
        "info": {"title": title, "version": "v1"},
        "servers": [{"url": "/"}],
        "tags": tags.into_iter().map(|(name, text)| described(json!({"name": name}), &text)).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "headers": headers,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    })
}

/// Gives every JSON body an example, now that all schemas are known.
fn exemplify(paths: &mut Map<String, Value>, schemas: &Map<String, Value>) {
    for item in paths.values_mut().filter_map(Value::as_object_mut) {
        for op in item.values_mut() {
            let Some(sent) = op.pointer_mut("/requestBody/content/application~1json") else { continue };
            if let Some(example) = example::of(&sent["schema"], schemas) {
                sent["example"] = example;
            }
        }
    }
}

fn operation(schemas: &mut Schemas, binding: &Binding, endpoint: &Endpoint, path: &Path, count: u32) -> Value {
    let method = binding.method().descriptor();
    let text = schemas.comments.at(&method.parent_service().parent_file(), method.path());
    let (summary, description) = summarized(&text);
    let mut id = format!("{}_{}", method.parent_service().name(), method.name());
    if count > 1 {
        id.push_str(&format!("_{count}"));
    }
    let body = request_body(schemas, binding, endpoint);
    let revalidated = binding.verb() == "GET" && !binding.method().server_streaming() && !binding.returns_http_body();
    let said = binding.returns_http_body() || endpoint.http_reply.is_some();
    let success = response(schemas, binding);
    let mut answers = answers::of(success, body.is_some(), has_key(binding, endpoint), revalidated, said);
    if let Some(said) = endpoint.cache_control.as_ref().filter(|_| binding.verb() == "GET") {
        answers::kept(&mut answers, said.to_str().unwrap_or_default());
    }
    let mut op = json!({
        "operationId": id,
        "tags": [method.parent_service().name()],
        "parameters": parameters(schemas, binding, endpoint, path),
        "responses": answers,
        "x-grpc-method": binding.method().full_name(),
    });
    if !summary.is_empty() {
        op["summary"] = summary.into();
    }
    if !description.is_empty() {
        op["description"] = description.into();
    }
    if let Some(body) = body {
        op["requestBody"] = body;
    }
    op["security"] = match endpoint.policy.access {
        Access::SignedIn => json!([{"bearer": []}]),
        _ => json!([{}, {"bearer": []}]),
    };
    if !endpoint.policy.roles.is_empty() {
        op["x-roles"] = json!(endpoint.policy.roles);
    }
    let options: DynamicMessage = method.options();
    if options.get_field_by_name("deprecated").and_then(|v| v.as_bool()) == Some(true) {
        op["deprecated"] = true.into();
    }
    op
}

fn parameters(schemas: &mut Schemas, binding: &Binding, endpoint: &Endpoint, path: &Path) -> Vec<Value> {
    let mut all = Vec::new();
    for p in &path.parameters {
        let mut schema = match binding.variables().iter().find(|v| v.path == p.variable) {
            Some(v) if p.whole => schemas.field(&v.field),
            _ => json!({"type": "string"}),
        };
        if let Some(object) = schema.as_object_mut() {
            object.remove("readOnly");
        }
        let text = schema.as_object_mut().and_then(|o| o.remove("description"));
        let mut parameter = json!({"name": p.name, "in": "path", "required": true, "schema": schema});
        if let Some(text) = text {
            parameter["description"] = text;
        } else if p.multi {
            parameter["description"] = "may hold slashes".into();
        }
        all.push(parameter);
    }
    let keyed = has_key(binding, endpoint);
    let by_key = |name: &str| keyed && name == "requestId";
    for (name, field) in binding.query_parameters().into_iter().filter(|(name, _)| !by_key(name)) {
        let mut schema = schemas.field(&field);
        let text = schema.as_object_mut().and_then(|o| o.remove("description"));
        let mut parameter = json!({"name": name, "in": "query", "schema": schema});
        if rules::is_required(&field) {
            parameter["required"] = true.into();
        }
        if let Some(text) = text {
            parameter["description"] = text;
        }
        all.push(parameter);
    }
    if keyed {
        all.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": endpoint.policy.request_id == RequestId::Required,
            "description": "Repeating a request with the same key and body has one effect and gives the same answer.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
        }));
    }
    all
}

/// Whether an `Idempotency-Key` fills the request's id, which is then not told as a field.
fn has_key(binding: &Binding, endpoint: &Endpoint) -> bool {
    binding.has_string_field("request_id") && endpoint.policy.request_id != RequestId::Unspecified
}

fn request_body(schemas: &mut Schemas, binding: &Binding, endpoint: &Endpoint) -> Option<Value> {
    if binding.takes_http_body() {
        return Some(json!({"content": {"*/*": {"schema": {}}}}));
    }
    let schema = match binding.body_descriptor()? {
        BodyType::Message(message) => {
            let mut elsewhere: Vec<&str> = binding.variables().iter().map(|v| v.path.as_str()).collect();
            if has_key(binding, endpoint) {
                elsewhere.push("request_id");
            }
            schemas.message_without(&message, &elsewhere)
        }
        BodyType::Field(field) => schemas.field(&field),
    };
    // No body is an empty message.
    let required = schemas.requires(&schema);
    let mut content = json!({"application/json": {"schema": schema}});
    if binding.method().client_streaming() {
        content["application/x-ndjson"] = content["application/json"].clone();
    }
    Some(json!({"content": content, "required": required}))
}

fn response(schemas: &mut Schemas, binding: &Binding) -> Value {
    if binding.returns_http_body() {
        return json!({"description": "The content itself.", "content": {"*/*": {"schema": {}}}});
    }
    let schema = match binding.response_descriptor() {
        BodyType::Message(message) => schemas.reference(&message),
        BodyType::Field(field) => schemas.field(&field),
    };
    if binding.method().server_streaming() {
        return json!({"description": "A stream, in the shape that Accept asks for.", "content": {
            "application/json": {"schema": {"type": "array", "items": schema}},
            "application/x-ndjson": {"schema": schema},
            "text/event-stream": {"schema": schema},
        }});
    }
    json!({"description": "OK", "content": {"application/json": {"schema": schema}}})
}

pub(super) fn described(mut value: Value, text: &str) -> Value {
    if !text.is_empty() {
        value["description"] = text.into();
    }
    value
}

/// The first sentence, and what follows it.
fn summarized(text: &str) -> (String, String) {
    let end = text.find(". ").or_else(|| text.find(".\n")).map_or(text.len(), |i| i + 1);
    let (first, rest) = text.split_at(end);
    (first.trim().trim_end_matches('.').replace('\n', " "), rest.trim().to_owned())
}

/// A route as OpenAPI writes it: literals stay, each wildcard becomes a parameter.
struct Path {
    text: String,
    parameters: Vec<Parameter>,
}

struct Parameter {
    name: String,
    /// Proto path of the variable that it is part of.
    variable: String,
    /// It is the variable's whole value.
    whole: bool,
    multi: bool,
}

fn path(binding: &Binding) -> Path {
    let template = binding.template().to_string();
    let mut out = Path { text: String::new(), parameters: Vec::new() };
    let mut rest = template.as_str();
    while let Some(open) = rest.find(['{', '*']) {
        out.text.push_str(&rest[..open]);
        rest = &rest[open..];
        if let Some(inside) = rest.strip_prefix('{') {
            let end = inside.find('}').unwrap_or(inside.len());
            let (name, pattern) = inside[..end].split_once('=').unwrap_or((&inside[..end], "*"));
            variable(&mut out, name.trim(), pattern);
            rest = inside.get(end + 1..).unwrap_or("");
        } else {
            let multi = rest.starts_with("**");
            let name = format!("segment{}", out.parameters.len() + 1);
            out.text.push_str(&format!("{{{name}}}"));
            out.parameters.push(Parameter { name, variable: String::new(), whole: false, multi });
            rest = &rest[if multi { 2 } else { 1 }..];
        }
    }
    out.text.push_str(rest);
    out
}

fn variable(out: &mut Path, name: &str, pattern: &str) {
    let camel = camel(name);
    let wildcards = pattern.split('/').filter(|s| s.starts_with('*')).count();
    let mut seen = 0;
    for (i, segment) in pattern.split('/').enumerate() {
        if i > 0 {
            out.text.push('/');
        }
        if !segment.starts_with('*') {
            out.text.push_str(segment);
            continue;
        }
        seen += 1;
        let parameter = if wildcards == 1 { camel.clone() } else { format!("{camel}{seen}") };
        out.text.push_str(&format!("{{{parameter}}}"));
        out.parameters.push(Parameter {
            name: parameter,
            variable: name.to_owned(),
            whole: pattern == "*" || pattern == "**",
            multi: segment == "**",
        });
    }
}

/// `book.shelf_id` as its JSON path `book.shelfId`.
fn camel(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut up = false;
    for c in path.chars() {
        match c {
            '_' => up = true,
            c if up => {
                out.extend(c.to_uppercase());
                up = false;
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_is_the_summary() {
        assert_eq!(summarized("Reads it. Then\nmore."), ("Reads it".into(), "Then\nmore.".into()));
        assert_eq!(summarized("Reads a.b"), ("Reads a.b".into(), String::new()));
    }

    #[test]
    fn names_are_camel() {
        assert_eq!(camel("product.category_id"), "product.categoryId");
    }

    #[test]
    fn wildcards_become_parameters() {
        let mut out = Path { text: "/v1/".into(), parameters: Vec::new() };
        variable(&mut out, "name", "shelves/*/books/*");
        assert_eq!(out.text, "/v1/shelves/{name1}/books/{name2}");
        assert!(out.parameters.iter().all(|p| p.variable == "name" && !p.whole));
        let mut out = Path { text: "/v1/".into(), parameters: Vec::new() };
        variable(&mut out, "product_id", "*");
        assert_eq!((out.text.as_str(), out.parameters[0].whole), ("/v1/{productId}", true));
    }
}
