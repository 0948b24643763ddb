//! What the descriptors say of every method, and requests made from it.

use std::sync::atomic::{AtomicU32, Ordering};

use jangteo_core::{Clock as _, SystemClock};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value as Any};
use proto::policy::Policy;
use serde_json::{Map, Value, json};

use crate::world::PASSWORD;

pub struct Method {
    pub policy: Policy,
    pub input: MessageDescriptor,
    pub output: MessageDescriptor,
    /// Absent: not reachable over REST.
    pub route: Option<Route>,
}

#[derive(Debug, Clone)]
pub struct Route {
    pub verb: reqwest::Method,
    /// `/v1/products/{product_id}`
    pub template: String,
    pub has_body: bool,
    /// The body is this field's bytes as they are, not JSON.
    pub raw: Option<String>,
}

/// Every method of the market's services.
pub fn methods() -> Vec<Method> {
    let pool = proto::pool();
    let ours = |package: &str| crate::services::SERVICES.iter().any(|e| package == format!("jangteo.{}.v1", e.name));
    let services = pool.services().filter(|s| ours(s.package_name()));
    let methods = services.flat_map(|s| s.methods().collect::<Vec<_>>());
    methods
        .map(|m| Method {
            policy: proto::policy::policy(pool, &m).expect("a policy"),
            route: route(&m),
            input: m.input(),
            output: m.output(),
        })
        .collect()
}

/// The method that makes the thing which `variable` names: `CreateProduct` for `product_id`.
pub fn creator(variable: &str) -> Method {
    let makes = |m: &Method| {
        let creates = m.policy.path.rsplit('/').next().is_some_and(|name| name.starts_with("Create"));
        let route = m.route.as_ref().is_some_and(|route| route.has_body && route.variable().is_none());
        creates && route && m.output.get_field_by_name(variable).is_some()
    };
    methods().into_iter().find(makes).unwrap_or_else(|| panic!("no Create method gives a {variable}"))
}

fn route(m: &MethodDescriptor) -> Option<Route> {
    let http = proto::pool().get_extension_by_name("google.api.http").expect("google/api/annotations.proto");
    let options = m.options();
    let rule = options.get_extension(&http).into_owned();
    let rule = rule.as_message().filter(|_| options.has_extension(&http))?;
    ["get", "put", "post", "delete", "patch"].into_iter().find(|verb| rule.has_field_by_name(verb)).map(|verb| Route {
        verb: verb.to_uppercase().parse().expect("an HTTP method"),
        template: text(rule, verb),
        has_body: !text(rule, "body").is_empty(),
        raw: m.input().get_field_by_name(&text(rule, "body")).filter(is_bytes).map(|f| f.name().to_owned()),
    })
}

fn is_bytes(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(m) if m.full_name() == "google.api.HttpBody")
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Method {
    /// Answers with messages one by one, and may be quiet for long between them.
    pub fn streams(&self) -> bool {
        let uploads = self.route.as_ref().is_some_and(|route| route.raw.is_some());
        self.policy.streaming && !uploads && self.output.full_name() != "google.api.HttpBody"
    }
}

impl Route {
    /// The name of the variable in the path, if there is one.
    pub fn variable(&self) -> Option<&str> {
        let (_, rest) = self.template.split_once('{')?;
        rest.split_once('}').map(|(name, _)| name)
    }

    /// The path with its variable's value. A second one is no thing but a choice.
    pub fn path(&self, id: &str) -> String {
        let path = self.template.replace("{variant}", "thumbnail");
        match self.variable() {
            Some(name) => path.replace(&format!("{{{name}}}"), id),
            None => path,
        }
    }
}

/// How a field's value is to be handled: 1 personal, 2 secret, 0 neither.
pub fn sensitivity(field: &FieldDescriptor) -> i32 {
    let extension = proto::pool().get_extension_by_name("jangteo.options.v1.sensitivity").expect("options.proto");
    field.options().get_extension(&extension).as_enum_number().unwrap_or(0)
}

/// What a request carries beside the thing itself.
const ASIDE: [&str; 5] = ["request_id", "etag", "update_mask", "page_token", "page_size"];

/// Chooses a field's value; none: whatever its rules allow.
pub type Special<'a> = dyn FnMut(&FieldDescriptor) -> Option<Value> + 'a;

/// A body that passes every rule; `special` may choose a field's value.
pub fn body(input: &MessageDescriptor, route: &Route, special: &mut Special) -> Value {
    let fields = input.fields().filter(|f| !ASIDE.contains(&f.name()) && route.variable() != Some(f.name()));
    object(fields, special)
}

/// Of a `oneof` the first alone.
fn object(fields: impl Iterator<Item = FieldDescriptor>, special: &mut Special) -> Value {
    let mut map = Map::new();
    for field in fields.filter(|f| !is_bytes(f)) {
        let oneof = field.containing_oneof().filter(|oneof| !oneof.name().starts_with('_'));
        if oneof.is_some_and(|oneof| oneof.fields().next().is_some_and(|first| first != field)) {
            continue;
        }
        let value = special(&field).unwrap_or_else(|| sample(&field, special));
        map.insert(field.json_name().to_owned(), value);
    }
    Value::Object(map)
}

/// A valid value: by the field's name where the domain is narrower than its rules, else by its rules and its type.
fn sample(field: &FieldDescriptor, special: &mut Special) -> Value {
    let unique = unique();
    let of_category = field.parent_message().name() == "CreateCategoryRequest";
    match field.name() {
        "email" => json!(format!("sample{unique}@market.example")),
        "password" | "current_password" => json!(PASSWORD),
        "new_password" => json!("nine-loud-herons"),
        "locale" => json!("ko"),
        "category_id" if of_category => json!(format!("sample-{unique}")),
        "category_id" => json!("audio"),
        "parent_id" => json!("digital"),
        "region_id" | "from_region_id" => json!("seoul"),
        "tags" if matches!(field.kind(), Kind::String) => json!(["sample"]),
        "role" if matches!(field.kind(), Kind::Enum(_)) => json!("ROLE_SELLER"),
        "code" | "totp_code" => json!("135790"),
        "all_sessions" => json!(false),
        "bank" => json!("kb"),
        "brand" => json!("gs25"),
        "start" if matches!(field.kind(), Kind::String) => json!("22:00"),
        "time_zone" => json!("Asia/Seoul"),
        "words" => json!(["sample", "specimen"]),
        "expiry_year" => json!(2035),
        // Nobody has points, pictures or money to begin with.
        "points" => json!("0"),
        "image_ids" | "product_ratings" => json!([]),
        "source" => json!({"wallet": {}}),
        "shipping_option" => json!("SHIPPING_OPTION_MEET_UP"),
        // Of guests: they begin without.
        "guest_token" => json!(""),
        _ if field.is_list() => json!([one(field, rule(&rules(field), "repeated.items"), special)]),
        _ => one(field, Some(Any::Message(rules(field))), special),
    }
}

fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What `buf.validate.field` says of a field.
fn rules(field: &FieldDescriptor) -> DynamicMessage {
    let extension = proto::pool().get_extension_by_name("buf.validate.field").expect("buf/validate/validate.proto");
    field.options().get_extension(&extension).as_message().expect("rules").clone()
}

/// One of the rules: `string.pattern`; none where it isn't given.
fn rule(rules: &DynamicMessage, path: &str) -> Option<Any> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = rules.has_field_by_name(first).then(|| rules.get_field_by_name(first).expect("a rule").into_owned())?;
    match rest {
        Some(rest) => rule(value.as_message()?, rest),
        None => Some(value),
    }
}

fn one(field: &FieldDescriptor, rules: Option<Any>, special: &mut Special) -> Value {
    let find = |path: &str| rules.as_ref().and_then(Any::as_message).and_then(|rules| rule(rules, path));
    match field.kind() {
        Kind::String => match find("string.pattern") {
            Some(pattern) => json!(matching(pattern.as_str().expect("a pattern"))),
            None => json!("a sample"),
        },
        Kind::Bool => json!(true),
        Kind::Enum(e) => {
            let allowed =
                find("enum.in").and_then(|list| list.as_list().map(|l| l.iter().filter_map(Any::as_i32).collect()));
            let allowed: Vec<i32> = allowed.unwrap_or_default();
            let fits = |n: i32| if allowed.is_empty() { n != 0 } else { allowed.contains(&n) };
            json!(e.values().find(|v| fits(v.number())).expect("a value").name())
        }
        Kind::Message(m) => match m.full_name() {
            "google.protobuf.Timestamp" => json!((SystemClock.now() + chrono::TimeDelta::hours(1)).to_rfc3339()),
            "google.protobuf.Duration" => json!("60s"),
            "google.type.Money" => json!({"currencyCode": "KRW", "units": "1000"}),
            _ => object(m.fields(), special),
        },
        _ => json!(1),
    }
}

/// The pattern of a field, if it has one.
pub fn pattern(field: &FieldDescriptor) -> Option<String> {
    rule(&rules(field), "string.pattern")?.as_str().map(str::to_owned)
}

/// A text that a pattern allows.
pub fn matching(pattern: &str) -> String {
    if let Some(prefix) = pattern.strip_prefix('^').and_then(|p| p.strip_suffix("_[0-9a-f]{32}$")) {
        return format!("{prefix}_{:032x}", 0);
    }
    if pattern.starts_with("^(") && pattern.ends_with(")?$") {
        return String::new();
    }
    let found = SAMPLES.iter().find(|(known, _)| *known == pattern);
    let (_, text) = found.unwrap_or_else(|| panic!("what does {pattern} allow? say it in SAMPLES"));
    text.replace("{n}", &unique().to_string())
}

const SAMPLES: [(&str, &str); 16] = [
    ("^([01][0-9]|2[0-3]):[0-5][0-9]$", "08:00"),
    ("^[0-9]{12,19}$", "4242424242424242"),
    ("^[0-9]{5}$", "04524"),
    ("^[0-9]{6,16}$", "110123456789"),
    ("^[0-9]{6}$", "135790"),
    ("^[0-9A-Z][0-9A-Z -]{1,9}$", "04524"),
    ("^[0-9a-f]{32}$", "00000000000000000000000000000000"),
    ("^[A-Z][A-Z0-9_]{1,39}$", "SAMPLE"),
    ("^[A-Z]{2}$", "US"),
    ("^[A-Za-z0-9-]{1,32}$", "sample-1"),
    ("^[A-Za-z0-9:_.-]{16,512}$", "a-sample-of-a-device-token-{n}"),
    ("^[a-z0-9][a-z0-9_-]{0,29}$", "a"),
    ("^[a-z][a-z0-9-]{1,39}$", "sample-{n}"),
    ("^[a-z][a-z0-9]{1,19}$", "cj"),
    ("^[a-z][a-z0-9_]{1,19}$", "toss"),
    ("^\\+[1-9][0-9]{7,14}$", "+821012345678"),
];
