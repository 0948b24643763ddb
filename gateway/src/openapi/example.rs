//! An example for a schema: what is required, or everything where nothing is.

use serde_json::{Map, Value, json};

const DEPTH: usize = 4;

/// `None` where no example can be made that keeps the schema's rules.
pub(super) fn of(schema: &Value, schemas: &Map<String, Value>) -> Option<Value> {
    value(schema, schemas, 0)
}

fn value(schema: &Value, schemas: &Map<String, Value>, depth: usize) -> Option<Value> {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/components/schemas/")) {
        let mut whole = schemas.get(name)?.clone();
        if let (Some(whole), Some(own)) = (whole.as_object_mut(), schema.as_object()) {
            whole.extend(own.iter().filter(|(k, _)| *k != "$ref").map(|(k, v)| (k.clone(), v.clone())));
        }
        return value(&whole, schemas, depth);
    }
    if let Some(only) = schema.get("const").or_else(|| schema.get("x-const")) {
        return Some(only.clone());
    }
    let barred = schema["not"]["enum"].as_array();
    let allowed = |v: &&Value| barred.is_none_or(|b| !b.contains(v));
    if let Some(values) = schema["enum"].as_array() {
        // The first of an enum says nothing.
        return values.get(1).filter(allowed).or_else(|| values.iter().find(allowed)).cloned();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("");
    let found = match kind {
        "object" => object(schema, schemas, depth)?,
        "array" if depth >= DEPTH => json!([]),
        "array" => {
            let items = value(&schema["items"], schemas, depth + 1)?;
            json!([items])
        }
        "boolean" => json!(true),
        "integer" | "number" => number(schema),
        "string" => text(schema)?.into(),
        _ => json!({}),
    };
    Some(found).filter(|v| allowed(&v))
}

fn object(schema: &Value, schemas: &Map<String, Value>, depth: usize) -> Option<Value> {
    let mut out = Map::new();
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let required = schema["required"].as_array();
    let is_required = |name: &String| required.is_some_and(|r| r.iter().any(|v| v == name));
    for (name, property) in properties {
        if property["readOnly"] == true || (!is_required(name) && (required.is_some() || depth >= DEPTH)) {
            continue;
        }
        // A choice takes one of its fields; the others are left to the reader.
        if property.get("x-oneof").is_some_and(|one| {
            properties.iter().take_while(|(n, _)| *n != name).any(|(_, p)| p.get("x-oneof") == Some(one))
        }) {
            continue;
        }
        match value(property, schemas, depth + 1) {
            Some(v) => {
                out.insert(name.clone(), v);
            }
            None if is_required(name) => return None,
            None => {}
        }
    }
    Some(out.into())
}

fn number(schema: &Value) -> Value {
    let at = |name: &str| schema[name].as_f64();
    let mut n = at("minimum").or(at("exclusiveMinimum").map(|n| n + 1.0)).unwrap_or(1.0).max(1.0);
    if let Some(most) = at("maximum").or(at("exclusiveMaximum").map(|n| n - 1.0)) {
        n = n.min(most);
    }
    if schema["type"] == "number" { json!(n) } else { json!(n as i64) }
}

fn text(schema: &Value) -> Option<String> {
    let known = match schema["format"].as_str().unwrap_or("") {
        "int64" | "uint64" => {
            let least = schema["x-minimum"].as_i64().or(schema["x-exclusiveMinimum"].as_i64().map(|n| n + 1));
            Some(least.unwrap_or(1).max(1).to_string())
        }
        "date-time" => Some("2026-01-02T03:04:05Z".to_owned()),
        "duration-seconds" => Some("1.5s".to_owned()),
        "field-mask" => Some(String::new()),
        "email" => Some("you@example.com".to_owned()),
        "uri" => Some("https://example.com/".to_owned()),
        "uuid" => Some("8e03978e-40d5-43dd-bc93-6894a57f9324".to_owned()),
        _ => None,
    };
    if known.is_some() {
        return known;
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        return matching(pattern);
    }
    let length = |name: &str| schema[name].as_u64().and_then(|n| usize::try_from(n).ok());
    let mut out = "text".to_owned();
    while out.len() < length("minLength").unwrap_or(0) {
        out.push_str(" text");
    }
    out.truncate(length("maxLength").unwrap_or(usize::MAX));
    Some(out)
}

/// A text that matches a plain pattern: anchors, literals, classes and counts. Others: none.
fn matching(pattern: &str) -> Option<String> {
    let inner = pattern.strip_prefix('^')?.strip_suffix('$')?;
    let mut out = String::new();
    let mut rest = inner.chars().peekable();
    while let Some(c) = rest.next() {
        let one = match c {
            '[' => {
                let class: String = rest.by_ref().take_while(|c| *c != ']').collect();
                class.chars().next().filter(|c| c.is_ascii_alphanumeric())?
            }
            '\\' => match rest.next()? {
                'd' => '0',
                c if c.is_ascii_punctuation() => c,
                _ => return None,
            },
            '(' | ')' | '|' | '.' | '*' | '+' | '?' | '{' | '^' | '$' => return None,
            c => c,
        };
        let times = match rest.peek() {
            Some('{') => {
                rest.next();
                let count: String = rest.by_ref().take_while(|c| *c != '}').collect();
                count.split(',').next()?.parse().ok()?
            }
            Some('+') => rest.next().map(|_| 1)?,
            Some('*' | '?') => rest.next().map(|_| 0)?,
            _ => 1,
        };
        out.extend(std::iter::repeat_n(one, times));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_patterns_have_examples() {
        assert_eq!(matching("^prd_[0-9a-f]{4}$").as_deref(), Some("prd_0000"));
        assert_eq!(matching("^[a-z]+\\.\\d{1,3}x?$").as_deref(), Some("a.0"));
        assert_eq!(matching("^(a|b)$"), None);
        assert_eq!(matching("unanchored"), None);
    }

    #[test]
    fn what_is_required_is_there() {
        let schemas = Map::from_iter([("A".to_owned(), json!({"type": "string", "enum": ["A_NONE", "A_ONE"]}))]);
        let schema = json!({"type": "object", "required": ["a", "n"], "properties": {
            "a": {"$ref": "#/components/schemas/A", "not": {"enum": ["A_NONE"]}},
            "n": {"type": "integer", "minimum": 3},
            "free": {"type": "string"},
        }});
        assert_eq!(of(&schema, &schemas), Some(json!({"a": "A_ONE", "n": 3})));
    }
}
