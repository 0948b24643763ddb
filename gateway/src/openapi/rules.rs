//! `buf.validate` rules and `google.api.field_behavior` as JSON Schema keywords.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value as Proto};
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

/// Whether it is always there: in requests, and in answers, where proto3 JSON leaves out what is zero.
/// So a number or a list that may be zero is never required, whatever its `field_behavior` says.
pub(super) fn is_required(field: &FieldDescriptor) -> bool {
    let rules = validation(field);
    if rules.as_ref().is_some_and(is_ruled_required) {
        return true;
    }
    let plural = field.is_list() || field.is_map();
    let may_be_zero = plural || !matches!(field.kind(), Kind::String | Kind::Bytes | Kind::Enum(_) | Kind::Message(_));
    if behaviors(field).contains(&REQUIRED) && (!may_be_zero || (!plural && field.supports_presence())) {
        return true;
    }
    let implicit = plural || !field.supports_presence();
    implicit && rules.is_some_and(|r| excludes_zero(&r))
}

const REQUIRED: i32 = 2;

fn is_ruled_required(rules: &DynamicMessage) -> bool {
    rules.get_field_by_name("required").and_then(|v| v.as_bool()) == Some(true)
}

/// Whether the rules refuse an empty text, an empty list or a zero.
fn excludes_zero(rules: &DynamicMessage) -> bool {
    if rules.get_field_by_name("ignore").and_then(|v| v.as_enum_number()).unwrap_or(0) != 0 {
        return false;
    }
    let above = |rule: &DynamicMessage, name: &str| {
        let value = rule.has_field_by_name(name).then(|| rule.get_field_by_name(name)).flatten();
        value.and_then(|v| plain(&v)).and_then(|v| v.as_f64())
    };
    rules.fields().filter_map(|(_, v)| v.as_message()).any(|rule| {
        let sizes = ["min_len", "len", "min_items", "min_pairs", "gte"];
        sizes.iter().any(|name| above(rule, name).is_some_and(|n| n > 0.0))
            || above(rule, "gt").is_some_and(|n| n >= 0.0)
            || barred(rule).iter().any(|v| v.as_f64() == Some(0.0))
    })
}

/// The values of `not_in`.
fn barred(rule: &DynamicMessage) -> Vec<Value> {
    match rule.get_field_by_name("not_in").and_then(|v| plain(&v)) {
        Some(Value::Array(values)) => values,
        _ => Vec::new(),
    }
}

/// Adds what the field's options say to its schema.
pub(super) fn apply(field: &FieldDescriptor, schema: &mut Map<String, Value>) {
    let behaviors = behaviors(field);
    for behavior in &behaviors {
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
    let rules = validation(field);
    if let Some(rules) = &rules {
        constrain(&field.kind(), rules, schema);
    }
    if field.is_list() || field.is_map() || field.supports_presence() {
        return;
    }
    let ruled = rules.as_ref().is_some_and(is_ruled_required);
    match field.kind() {
        Kind::String if ruled || behaviors.contains(&REQUIRED) => {
            let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
            schema.insert("minLength".into(), least.max(1).into());
        }
        Kind::Enum(e) if ruled => {
            schema.insert("not".into(), json!({"enum": [e.default_value().name()]}));
        }
        _ => {}
    }
}

/// `rules` is a `buf.validate.FieldRules` for values of that kind.
fn constrain(of: &Kind, rules: &DynamicMessage, schema: &mut Map<String, Value>) {
    for (kind, value) in rules.fields() {
        let Some(rule) = value.as_message() else { continue };
        match kind.name() {
            "string" => string(rule, schema),
            "repeated" => {
                copy(rule, schema, &[("min_items", "minItems"), ("max_items", "maxItems"), ("unique", "uniqueItems")]);
                nested(of, rule, "items", schema.get_mut("items"));
            }
            "map" => {
                copy(rule, schema, &[("min_pairs", "minProperties"), ("max_pairs", "maxProperties")]);
                let Kind::Message(entry) = of else { continue };
                let value = entry.map_entry_value_field().kind();
                nested(&value, rule, "values", schema.get_mut("additionalProperties"));
            }
            "enum" => enumeration(of, rule, schema),
            "bool" => copy(rule, schema, &[("const", "const")]),
            "bytes" | "any" | "duration" | "timestamp" => {}
            _ => number(rule, schema),
        }
    }
}

fn enumeration(of: &Kind, rule: &DynamicMessage, schema: &mut Map<String, Value>) {
    let Kind::Enum(e) = of else { return };
    let name = |v: &Value| {
        let number = i32::try_from(v.as_i64()?).ok()?;
        Some(Value::from(e.get_value(number)?.name()))
    };
    let names: Vec<Value> = barred(rule).iter().filter_map(name).collect();
    if !names.is_empty() {
        schema.insert("not".into(), json!({"enum": names}));
    }
}

fn nested(of: &Kind, rule: &DynamicMessage, name: &str, schema: Option<&mut Value>) {
    if !rule.has_field_by_name(name) {
        return;
    }
    let inner = rule.get_field_by_name(name).map(|v| v.into_owned());
    if let (Some(Proto::Message(inner)), Some(Value::Object(schema))) = (inner, schema) {
        constrain(of, &inner, schema);
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

/// 64-bit numbers are strings in JSON, for which `minimum` has no meaning: they get it as an
/// extension, and what can be said of their text as a pattern.
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
    let at_least = |name: &str, n: i64| schema.get(name).and_then(Value::as_i64).is_some_and(|v| v >= n);
    if text && (at_least("x-minimum", 0) || at_least("x-exclusiveMinimum", -1)) {
        schema.insert("pattern".into(), super::schema::UNSIGNED.into());
    }
    let barred = barred(rule);
    if !barred.is_empty() {
        let shown = barred.into_iter().map(|v| if text { v.to_string().into() } else { v });
        schema.insert("not".into(), json!({"enum": shown.collect::<Vec<_>>()}));
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
        Proto::EnumNumber(n) => json!(n),
        Proto::String(s) => json!(s),
        Proto::List(list) => Value::Array(list.iter().filter_map(plain).collect()),
        _ => return None,
    })
}
