//! `buf.validate` rules and `google.api.field_behavior` as JSON Schema keywords.

use prost_reflect::{DynamicMessage, FieldDescriptor, Value as Proto};
use serde_json::{Map, Value, json};

/// The value of a custom option, by its full name.
pub(super) fn option(options: &DynamicMessage, name: &str) -> Option<Proto> {
    options.extensions().find(|(e, _)| e.full_name() == name).map(|(_, v)| v.clone())
}

fn behaviors(field: &FieldDescriptor) -> Vec<i32> {
    match option(&field.options(), "google.api.field_behavior") {
        Some(Proto::List(list)) => list.iter().filter_map(Proto::as_enum_number).collect(),
        _ => Vec::new(),
    }
}

fn validation(field: &FieldDescriptor) -> Option<DynamicMessage> {
    match option(&field.options(), "buf.validate.field") {
        Some(Proto::Message(rules)) => Some(rules),
        _ => None,
    }
}

pub(super) fn is_required(field: &FieldDescriptor) -> bool {
    let ruled = validation(field).and_then(|r| r.get_field_by_name("required").and_then(|v| v.as_bool()));
    behaviors(field).contains(&2) || ruled == Some(true)
}

/// Adds what the field's options say to its schema.
pub(super) fn apply(field: &FieldDescriptor, schema: &mut Map<String, Value>) {
    for behavior in behaviors(field) {
        match behavior {
            3 => schema.insert("readOnly".into(), true.into()),
            4 => schema.insert("writeOnly".into(), true.into()),
            _ => None,
        };
    }
    if option(&field.options(), "jangteo.options.v1.sensitivity").and_then(|v| v.as_enum_number()) == Some(2) {
        schema.insert("format".into(), "password".into());
    }
    if field.options().get_field_by_name("deprecated").and_then(|v| v.as_bool()) == Some(true) {
        schema.insert("deprecated".into(), true.into());
    }
    if let Some(rules) = validation(field) {
        constrain(&rules, schema);
    }
}

/// `rules` is a `buf.validate.FieldRules`.
fn constrain(rules: &DynamicMessage, schema: &mut Map<String, Value>) {
    for (kind, value) in rules.fields() {
        let Some(rule) = value.as_message() else { continue };
        match kind.name() {
            "string" => string(rule, schema),
            "repeated" => {
                copy(rule, schema, &[("min_items", "minItems"), ("max_items", "maxItems"), ("unique", "uniqueItems")]);
                nested(rule, "items", schema.get_mut("items"));
            }
            "map" => {
                copy(rule, schema, &[("min_pairs", "minProperties"), ("max_pairs", "maxProperties")]);
                nested(rule, "values", schema.get_mut("additionalProperties"));
            }
            "bytes" | "bool" | "enum" | "any" | "duration" | "timestamp" => {}
            _ => number(rule, schema),
        }
    }
}

fn nested(rule: &DynamicMessage, name: &str, schema: Option<&mut Value>) {
    if !rule.has_field_by_name(name) {
        return;
    }
    let inner = rule.get_field_by_name(name).map(|v| v.into_owned());
    if let (Some(Proto::Message(inner)), Some(Value::Object(schema))) = (inner, schema) {
        constrain(&inner, schema);
    }
}

fn string(rule: &DynamicMessage, schema: &mut Map<String, Value>) {
    copy(
        rule,
        schema,
        &[
            ("min_len", "minLength"),
            ("max_len", "maxLength"),
            ("len", "minLength"),
            ("len", "maxLength"),
            ("pattern", "pattern"),
            ("const", "const"),
            ("in", "enum"),
        ],
    );
    for (flag, format) in [
        ("email", "email"),
        ("hostname", "hostname"),
        ("uri", "uri"),
        ("uri_ref", "uri-reference"),
        ("uuid", "uuid"),
        ("ipv4", "ipv4"),
        ("ipv6", "ipv6"),
    ] {
        if rule.has_field_by_name(flag) {
            schema.insert("format".into(), format.into());
        }
    }
}

/// 64-bit numbers are strings in JSON, for which `minimum` has no meaning: they get it as an extension.
fn number(rule: &DynamicMessage, schema: &mut Map<String, Value>) {
    let text = schema.get("type").is_some_and(|t| t == "string");
    let mark = |name: &str| if text { format!("x-{name}") } else { name.to_owned() };
    for (from, to) in [
        ("gte", "minimum"),
        ("gt", "exclusiveMinimum"),
        ("lte", "maximum"),
        ("lt", "exclusiveMaximum"),
        ("const", "const"),
        ("in", "enum"),
    ] {
        copy(rule, schema, &[(from, &mark(to))]);
    }
}

fn copy(rule: &DynamicMessage, schema: &mut Map<String, Value>, names: &[(&str, &str)]) {
    for (from, to) in names {
        if !rule.has_field_by_name(from) {
            continue;
        }
        if let Some(value) = rule.get_field_by_name(from).and_then(|v| plain(&v)) {
            schema.insert((*to).to_owned(), value);
        }
    }
}

fn plain(value: &Proto) -> Option<Value> {
    Some(match value {
        Proto::Bool(b) => json!(b),
        Proto::I32(n) => json!(n),
        Proto::I64(n) => json!(n),
        Proto::U32(n) => json!(n),
        Proto::U64(n) => json!(n),
        Proto::F32(n) => json!(n),
        Proto::F64(n) => json!(n),
        Proto::String(s) => json!(s),
        Proto::List(list) => Value::Array(list.iter().filter_map(plain).collect()),
        _ => return None,
    })
}
