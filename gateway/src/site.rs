//! Everything that one set of descriptors makes: routes and plans, policies, channels, the API page.
//! Immutable; a new set of descriptors is a new site, swapped in whole.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use jangteo_core::{Error, Result};
use metrics::SharedString;
use prost_reflect::{DescriptorPool, Kind, MethodDescriptor};
use proto::{
    Channel,
    policy::{Access, Policies, Policy, RateClass, RequestId},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};
use transcode::{Api, Method, Options, Types};

/// Full service name to the channel that reaches it.
pub type Upstreams = BTreeMap<String, Channel>;

pub struct Site {
    pub(crate) api: Api,
    pub(crate) pool: DescriptorPool,
    endpoints: HashMap<String, Endpoint>,
    openapi: OnceLock<Bytes>,
}

/// One method as the edge serves it.
pub(crate) struct Endpoint {
    pub policy: Policy,
    pub channel: Channel,
    pub uri: http::Uri,
    /// The number of the request's `request_id`, when it has one.
    pub request_id: Option<u32>,
    pub client_streaming: bool,
    /// The number of the answer's `jangteo.options.v1.HttpReply`, when it has one.
    pub http_reply: Option<u32>,
    /// NO_SIDE_EFFECTS.
    pub safe: bool,
    /// Of a good answer to a GET, where the policy says.
    pub cache_control: Option<HeaderValue>,
    /// HTTP headers that the method reads, and how they are called in metadata.
    pub headers: Vec<(String, HeaderName)>,
    /// The gRPC path, as a label.
    pub label: SharedString,
}

impl Endpoint {
    /// Methods of the platform's own: for whoever comes from outside they do not exist.
    pub fn is_internal(&self) -> bool {
        self.policy.access == Access::Internal || !self.policy.admits("gateway")
    }
}

impl Site {
    /// Compiles routes and plans for the services that `upstreams` names. Fails on the first thing
    /// that could not be served rightly, and names it.
    pub fn load(pool: &DescriptorPool, upstreams: &Upstreams, options: Options) -> Result<Site> {
        let names: Vec<&str> = upstreams.keys().map(String::as_str).collect();
        let api = Api::load(pool, &names, options).map_err(|e| {
            Error::invalid(e.method.clone(), "BAD_DESCRIPTORS", e.reason.clone()).with("method", &e.method)
        })?;
        for binding in api.bindings() {
            let method = binding.method();
            if http_reply(method.descriptor()).is_some() && binding.response_body().is_none() {
                let reason =
                    "answers with an HttpReply, which is never shown: the route needs a response_body beside it";
                return Err(
                    Error::invalid(method.full_name(), "BAD_DESCRIPTORS", reason).with("method", method.full_name())
                );
            }
        }
        let mut endpoints = HashMap::new();
        for method in api.methods() {
            let channel = upstreams.get(method.service()).expect("only these services were loaded").clone();
            endpoints.insert(method.grpc_path().to_owned(), endpoint(pool, method, channel)?);
        }
        Ok(Site { api, pool: pool.clone(), endpoints, openapi: OnceLock::new() })
    }

    pub(crate) fn endpoint(&self, grpc_path: &str) -> Option<&Endpoint> {
        self.endpoints.get(grpc_path)
    }

    pub(crate) fn types(&self) -> &Types {
        self.api.types()
    }

    /// The verbs that the outside may use on a path; empty: there is no such path.
    pub(crate) fn verbs(&self, path: &str) -> Vec<String> {
        let open = |verb: &&str| {
            let sample = if *verb == "*" { "GET" } else { verb };
            let found = self.api.route(sample, path);
            found.is_ok_and(|m| self.endpoint(m.method().grpc_path()).is_some_and(|e| !e.is_internal()))
        };
        let mut verbs: Vec<String> = self.api.allow(path).into_iter().filter(open).map(str::to_owned).collect();
        if verbs.iter().any(|v| v == "*") {
            verbs = ["DELETE", "GET", "PATCH", "POST", "PUT"].map(str::to_owned).to_vec();
        }
        if verbs.iter().any(|v| v == "GET") && !verbs.iter().any(|v| v == "HEAD") {
            verbs.push("HEAD".to_owned());
        }
        if !verbs.is_empty() {
            verbs.push("OPTIONS".to_owned());
            verbs.sort();
            verbs.dedup();
        }
        verbs
    }

    /// OpenAPI 3.1, made when first asked for.
    pub fn openapi(&self, title: &str) -> Bytes {
        self.openapi.get_or_init(|| crate::openapi::document(self, title).to_string().into()).clone()
    }

    /// The same as a Postman collection, version 2.1.
    pub fn postman(&self, title: &str) -> Bytes {
        crate::openapi::collection(&crate::openapi::document(self, title)).to_string().into()
    }
}

fn endpoint(pool: &DescriptorPool, method: &Method, channel: Channel) -> Result<Endpoint> {
    let policy = policy(pool, method.descriptor())?;
    let uri = method.grpc_path().parse().map_err(Error::internal)?;
    let request_id = method.descriptor().input().get_field_by_name("request_id");
    let request_id = request_id.filter(|f| matches!(f.kind(), Kind::String) && !f.is_list()).map(|f| f.number());
    let header = |h: &String| {
        let name = format!("{}{h}", proto::metadata::HTTP_HEADER).parse();
        Ok((h.clone(), name.map_err(|e| Error::invalid(method.full_name(), "INVALID_HEADER", format!("{h}: {e}")))?))
    };
    let cache_control = match policy.cache_control.as_str() {
        "" => None,
        text => {
            let bad = |e| Error::invalid(method.full_name(), "INVALID_CACHE_CONTROL", format!("{text:?}: {e}"));
            Some(HeaderValue::from_str(text).map_err(bad)?)
        }
    };
    Ok(Endpoint {
        headers: policy.headers.iter().map(header).collect::<Result<_>>()?,
        policy,
        channel,
        uri,
        request_id,
        client_streaming: method.client_streaming(),
        http_reply: http_reply(method.descriptor()),
        safe: idempotency_level(method.descriptor()) == NO_SIDE_EFFECTS,
        cache_control,
        label: Arc::<str>::from(method.grpc_path()).into(),
    })
}

fn http_reply(method: &MethodDescriptor) -> Option<u32> {
    let is_reply = |kind: Kind| matches!(kind, Kind::Message(m) if m.full_name() == crate::http_reply::NAME);
    method.output().fields().find(|f| is_reply(f.kind()) && !f.is_list()).map(|f| f.number())
}

/// `google.protobuf.MethodOptions.IdempotencyLevel`.
const NO_SIDE_EFFECTS: i32 = 1;

fn idempotency_level(method: &MethodDescriptor) -> i32 {
    method.options().get_field_by_name("idempotency_level").and_then(|v| v.as_enum_number()).unwrap_or(0)
}

/// The method's policy. Methods of ours must have one; those of anybody else are public, since
/// their own server decides.
fn policy(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Policy> {
    let has_options =
        pool.get_extension_by_name("jangteo.options.v1.policy").is_some_and(|e| method.options().has_extension(&e));
    let service = method.parent_service();
    if has_options || service.package_name().starts_with("jangteo.") {
        let policy = proto::policy::policy(pool, method);
        return policy.map_err(|why| Error::invalid(method.full_name(), "NO_POLICY", why));
    }
    Ok(Policy {
        path: format!("/{}/{}", service.full_name(), method.name()),
        service: service.full_name().to_owned(),
        access: Access::Public,
        roles: Vec::new(),
        callers: vec!["*".to_owned()],
        timeout: None,
        request_id: RequestId::Unspecified,
        rate_class: RateClass::Unspecified,
        audit: false,
        headers: Vec::new(),
        cache_control: String::new(),
        safe: idempotency_level(method) == NO_SIDE_EFFECTS,
        repeatable: idempotency_level(method) != 0,
        streaming: method.is_client_streaming() || method.is_server_streaming(),
    })
}

/// The policies of the named services, for whoever makes the channels to them.
pub fn policies<'a>(pool: &DescriptorPool, services: impl IntoIterator<Item = &'a str>) -> Result<Policies> {
    let mut all = Policies::new();
    for name in services {
        let found = pool.get_service_by_name(name);
        let service = found.ok_or_else(|| Error::not_found("service", name))?;
        for method in service.methods() {
            let p = policy(pool, &method)?;
            all.insert(p.path.clone(), p);
        }
    }
    Ok(all)
}
