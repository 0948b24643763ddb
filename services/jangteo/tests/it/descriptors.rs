//! What the descriptors say of every method, and requests made from it.

use std::sync::atomic::{AtomicU32, Ordering};

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
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
    })
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Route {
    /// The name of the variable in the path, if there is one.
    pub fn variable(&self) -> Option<&str> {
        let (_, rest) = self.template.split_once('{')?;
        rest.split_once('}').map(|(name, _)| name)
    }

    /// The path with its variable's value.
    pub fn path(&self, id: &str) -> String {
        match self.variable() {
            Some(name) => self.template.replace(&format!("{{{name}}}"), id),
            None => self.template.clone(),
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

/// A body that passes every rule; `special` may choose a field's value.
pub fn body(
    input: &MessageDescriptor,
    route: &Route,
    special: &mut dyn FnMut(&FieldDescriptor) -> Option<Value>,
) -> Value {
    let fields = input.fields().filter(|f| !ASIDE.contains(&f.name()) && route.variable() != Some(f.name()));
    object(fields, special)
}

fn object(
    fields: impl Iterator<Item = FieldDescriptor>,
    special: &mut dyn FnMut(&FieldDescriptor) -> Option<Value>,
) -> Value {
    let mut map = Map::new();
    for field in fields {
        let value = special(&field).unwrap_or_else(|| sample(&field, special));
        map.insert(field.json_name().to_owned(), value);
    }
    Value::Object(map)
}

/// A valid value: by the field's name where a rule or the domain is narrow, else by its type.
fn sample(field: &FieldDescriptor, special: &mut dyn FnMut(&FieldDescriptor) -> Option<Value>) -> Value {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    let of_category = field.parent_message().name() == "CreateCategoryRequest";
    match field.name() {
        "email" => json!(format!("sample{unique}@market.example")),
        "password" | "current_password" => json!(PASSWORD),
        "new_password" => json!("nine-loud-herons"),
        "locale" => json!("ko"),
        "category_id" if of_category => json!(format!("sample-{unique}")),
        "category_id" => json!("audio"),
        "parent_id" => json!("digital"),
        "region_id" => json!("seoul"),
        "price" => json!({"currencyCode": "KRW", "units": "1000"}),
        "tags" => json!(["sample"]),
        "phone_number" => json!("+821012345678"),
        "postal_code" => json!("04524"),
        "role" => json!("ROLE_SELLER"),
        "code" | "totp_code" => json!("135790"),
        "all_sessions" => json!(false),
        _ if field.is_list() => json!([one(field, special)]),
        _ => one(field, special),
    }
}

fn one(field: &FieldDescriptor, special: &mut dyn FnMut(&FieldDescriptor) -> Option<Value>) -> Value {
    match field.kind() {
        Kind::String => json!("a sample"),
        Kind::Bool => json!(true),
        Kind::Enum(e) => json!(e.values().find(|v| v.number() != 0).expect("a value").name()),
        Kind::Message(m) => object(m.fields(), special),
        _ => json!(1),
    }
}
