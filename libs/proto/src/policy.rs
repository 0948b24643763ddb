//! The policy of a method, read from the descriptors once.

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use std::{collections::HashMap, time::Duration};

pub use crate::jangteo::options::v1::{Access, RateClass, RequestId};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// `google.protobuf.MethodOptions.IdempotencyLevel`.
const NO_SIDE_EFFECTS: i32 = 1;

/// What `jangteo.options.v1.policy` and `idempotency_level` say of a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `/jangteo.catalog.v1.CatalogService/GetProduct`
    pub path: String,
    /// The service that owns it: `catalog`.
    pub service: String,
    pub access: Access,
    /// Lower case, without the prefix: `admin`. Empty: any signed-in person.
    pub roles: Vec<String>,
    /// Services that may call; `*` is any service of the platform.
    pub callers: Vec<String>,
    /// `None` for a stream without a limit.
    pub timeout: Option<Duration>,
    pub request_id: RequestId,
    pub rate_class: RateClass,
    pub audit: bool,
    /// HTTP headers that the method reads, in lower case.
    pub headers: Vec<String>,
    /// `Cache-Control` of a good answer to a GET; empty: the edge's own.
    pub cache_control: String,
    /// Declared NO_SIDE_EFFECTS: it may be called twice at once.
    pub safe: bool,
    /// Declared NO_SIDE_EFFECTS or IDEMPOTENT: calling it again does no harm.
    pub repeatable: bool,
    pub streaming: bool,
}

impl Policy {
    /// Whether the service named `caller` is declared.
    pub fn admits(&self, caller: &str) -> bool {
        self.callers.iter().any(|c| c == "*" || c == caller)
    }
}

/// The policies of every method of ours, by path.
pub type Policies = HashMap<String, Policy>;

/// Fails on a method without a policy, naming it: nothing is allowed by omission.
pub fn policies(pool: &DescriptorPool) -> Result<Policies, String> {
    let services = pool.services().filter(|s| s.package_name().starts_with("jangteo."));
    services
        .flat_map(|s| s.methods().collect::<Vec<_>>())
        .map(|m| policy(pool, &m).map(|p| (p.path.clone(), p)))
        .collect()
}

/// The policy of one method, or why it has none.
pub fn policy(pool: &DescriptorPool, m: &MethodDescriptor) -> Result<Policy, String> {
    let path = format!("/{}/{}", m.parent_service().full_name(), m.name());
    let extension = pool.get_extension_by_name("jangteo.options.v1.policy").ok_or("options.proto is missing")?;
    let options = m.options();
    if !options.has_extension(&extension) {
        return Err(format!("{path} has no jangteo.options.v1.policy"));
    }
    let value = options.get_extension(&extension).into_owned();
    let policy = value.as_message().ok_or("the policy is a message")?;
    let access = Access::try_from(number(policy, "access")).unwrap_or_default();
    if access == Access::Unspecified {
        return Err(format!("{path}: the policy does not say who may call (access)"));
    }
    let streaming = m.is_client_streaming() || m.is_server_streaming();
    let mut callers = strings(policy, "callers");
    if callers.is_empty() {
        callers.push("gateway".to_owned());
    }
    let timeout = match policy.get_field_by_name("timeout").filter(|_| policy.has_field_by_name("timeout")) {
        Some(t) => t.as_message().map(duration),
        None => (!streaming).then_some(DEFAULT_TIMEOUT),
    };
    let level = options.get_field_by_name("idempotency_level").and_then(|v| v.as_enum_number()).unwrap_or(0);
    Ok(Policy {
        service: m.parent_service().package_name().split('.').nth(1).unwrap_or_default().to_owned(),
        access,
        roles: roles(policy),
        callers,
        timeout,
        request_id: RequestId::try_from(number(policy, "request_id")).unwrap_or_default(),
        rate_class: RateClass::try_from(number(policy, "rate_class")).unwrap_or_default(),
        audit: policy.get_field_by_name("audit").and_then(|v| v.as_bool()).unwrap_or(false),
        headers: strings(policy, "headers"),
        cache_control: text(policy, "cache_control"),
        safe: level == NO_SIDE_EFFECTS,
        repeatable: level != 0,
        streaming,
        path,
    })
}

fn number(m: &DynamicMessage, field: &str) -> i32 {
    m.get_field_by_name(field).and_then(|v| v.as_enum_number()).unwrap_or(0)
}

fn text(m: &DynamicMessage, field: &str) -> String {
    m.get_field_by_name(field).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn strings(m: &DynamicMessage, field: &str) -> Vec<String> {
    let list = m.get_field_by_name(field).map(|v| v.into_owned());
    list.iter().filter_map(Value::as_list).flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn roles(m: &DynamicMessage) -> Vec<String> {
    let list = m.get_field_by_name("roles").map(|v| v.into_owned());
    let numbers = list.iter().filter_map(Value::as_list).flatten().filter_map(Value::as_enum_number);
    let role = |n| crate::jangteo::options::v1::Role::try_from(n).unwrap_or_default().as_str_name();
    numbers.map(|n| role(n).trim_start_matches("ROLE_").to_lowercase()).collect()
}

fn duration(m: &DynamicMessage) -> Duration {
    let part = |f: &str| m.get_field_by_name(f).map(|v| v.into_owned());
    let seconds = part("seconds").and_then(|v| v.as_i64()).unwrap_or(0);
    let nanos = part("nanos").and_then(|v| v.as_i32()).unwrap_or(0);
    Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0))
}
