//! The whole of what one set of descriptors serves: methods, bindings, routes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::binding::{self, Binding};
use crate::error::{Error, LoadError, Result};
use crate::plan::{MessageId, Options, Types};
use crate::routes::{self, Routes};

/// Routes, bindings and plans; immutable.
pub struct Api {
    types: Arc<Types>,
    methods: Vec<Arc<Method>>,
    by_path: HashMap<Box<str>, usize>,
    bindings: Vec<Arc<Binding>>,
    routes: Routes,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("methods", &self.methods.len()).field("bindings", &self.bindings.len()).finish()
    }
}

/// Why a path leads nowhere.
#[derive(Debug)]
pub enum RouteError {
    /// No route has this path.
    NotFound,
    /// Routes have this path, but not with this verb.
    MethodNotAllowed {
        /// The verbs they have, sorted.
        allow: Vec<String>,
    },
    /// A malformed escape, or text that is not UTF-8.
    BadPath(Error),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such path"),
            Self::MethodNotAllowed { allow } => write!(f, "method not allowed, only {}", allow.join(", ")),
            Self::BadPath(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RouteError {}

impl Api {
    /// Compiles plans for every message of the pool and routes for the named services ("pkg.Service").
    pub fn load(pool: &DescriptorPool, services: &[&str], options: Options) -> Result<Self, LoadError> {
        let types = Arc::new(Types::load(pool, options)?);
        let mut api = Self {
            types,
            methods: Vec::new(),
            by_path: HashMap::new(),
            bindings: Vec::new(),
            routes: Routes::default(),
        };
        for name in services {
            let Some(service) = pool.get_service_by_name(name) else {
                return Err(LoadError::new(name, "no such service in the descriptors"));
            };
            for method in service.methods() {
                api.add(method)?;
            }
        }
        Ok(api)
    }

    fn add(&mut self, descriptor: MethodDescriptor) -> Result<(), LoadError> {
        let method = Arc::new(Method::new(descriptor, &self.types)?);
        if self.by_path.insert(method.grpc_path().into(), self.methods.len()).is_some() {
            return Err(LoadError::new(method.full_name(), "service named twice"));
        }
        self.methods.push(Arc::clone(&method));
        for binding in binding::load(&method)? {
            if let Err(other) = self.routes.add(binding.verb(), binding.template(), self.bindings.len()) {
                let other = self.bindings[other].method().full_name();
                let reason = format!("{} {} is already a route of {other}", binding.verb(), binding.template());
                return Err(LoadError::new(method.full_name(), reason));
            }
            self.bindings.push(Arc::new(binding));
        }
        Ok(())
    }

    /// Finds the binding for an HTTP verb ("GET") and an undecoded path without query.
    pub fn route<'a>(&'a self, verb: &str, raw_path: &'a str) -> Result<Match<'a>, RouteError> {
        let Some(found) = self.routes.find(verb, raw_path) else {
            let allow = self.routes.allow(raw_path);
            if allow.is_empty() {
                return Err(RouteError::NotFound);
            }
            return Err(RouteError::MethodNotAllowed { allow: allow.into_iter().map(str::to_owned).collect() });
        };
        let binding = &self.bindings[found.binding];
        let raw = binding.template().capture(found.path).zip(binding.variables());
        let captures = raw.map(|(raw, variable)| {
            routes::percent_decode(raw, variable.multi).map_err(|error| error.named(&variable.path))
        });
        let captures = captures.collect::<Result<_>>().map_err(RouteError::BadPath)?;
        Ok(Match { binding, captures })
    }

    /// All verbs that some route has for this path, sorted; "*" for a custom kind that takes any.
    pub fn allow(&self, raw_path: &str) -> Vec<&str> {
        self.routes.allow(raw_path)
    }

    /// A method by its gRPC path "/pkg.Service/Method", also one without an http rule.
    pub fn method(&self, grpc_path: &str) -> Option<&Arc<Method>> {
        self.by_path.get(grpc_path).map(|i| &self.methods[*i])
    }

    /// All methods, services in the order they were named.
    pub fn methods(&self) -> &[Arc<Method>] {
        &self.methods
    }

    /// Every pair of method and rule, `additional_bindings` included.
    pub fn bindings(&self) -> &[Arc<Binding>] {
        &self.bindings
    }

    /// The plans.
    pub fn types(&self) -> &Arc<Types> {
        &self.types
    }
}

/// A request that has found its binding.
pub struct Match<'a> {
    binding: &'a Arc<Binding>,
    captures: Vec<Cow<'a, str>>,
}

impl fmt::Debug for Match<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Match")
            .field("method", &self.binding.method().full_name())
            .field("captures", &self.captures)
            .finish()
    }
}

impl Match<'_> {
    /// The binding; clone it to keep it longer than the match.
    pub fn binding(&self) -> &Arc<Binding> {
        self.binding
    }

    /// The method.
    pub fn method(&self) -> &Arc<Method> {
        self.binding.method()
    }

    /// Path variables as (proto path, decoded value), in template order.
    pub fn captures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.binding.variables().iter().zip(&self.captures).map(|(v, c)| (v.path.as_str(), &**c))
    }

    /// Wire bytes of the request: path variables, the raw query (after '?'), the JSON body (empty = absent).
    /// `extras` are (proto name, value) of top-level string fields, written where the request leaves them empty; names
    /// that the message lacks are ignored. May be called for each message of a client stream.
    pub fn request(&self, query: Option<&str>, body: &[u8], extras: &[(&str, &str)]) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(body.len() + 64);
        self.request_into(query, body, extras, &mut out)?;
        Ok(out)
    }

    /// As `request`, appended to `out`, which is as it was after an error.
    pub fn request_into(
        &self,
        query: Option<&str>,
        body: &[u8],
        extras: &[(&str, &str)],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.binding.request(&self.captures, query, binding::Input::Json(body), extras, out)
    }

    /// For bindings that take `google.api.HttpBody`: the raw body and its content type.
    pub fn request_http_body(
        &self,
        query: Option<&str>,
        content_type: &str,
        data: &[u8],
        extras: &[(&str, &str)],
    ) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(data.len() + 64);
        let input = binding::Input::Raw { content_type, data };
        self.binding.request(&self.captures, query, input, extras, &mut out)?;
        Ok(out)
    }

    /// Appends the JSON of one response message, `response_body` applied; after an error `out` is as it was.
    pub fn response(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.binding.response(wire, out)
    }
}

/// A method of a service.
#[derive(Debug)]
pub struct Method {
    types: Arc<Types>,
    descriptor: MethodDescriptor,
    path: Box<str>,
    input: MessageId,
    output: MessageId,
}

impl Method {
    fn new(descriptor: MethodDescriptor, types: &Arc<Types>) -> Result<Self, LoadError> {
        let of = |name: &str| {
            types.get(name).ok_or_else(|| LoadError::new(descriptor.full_name(), format!("{name} is not described")))
        };
        Ok(Self {
            types: Arc::clone(types),
            path: format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name()).into(),
            input: of(descriptor.input().full_name())?,
            output: of(descriptor.output().full_name())?,
            descriptor,
        })
    }

    pub(crate) fn types(&self) -> &Types {
        &self.types
    }

    /// "/pkg.Service/Method"
    pub fn grpc_path(&self) -> &str {
        &self.path
    }

    /// "pkg.Service.Method"
    pub fn full_name(&self) -> &str {
        self.descriptor.full_name()
    }

    /// "pkg.Service"
    pub fn service(&self) -> &str {
        self.path[1..].split_once('/').map_or("", |(service, _)| service)
    }

    /// "Method"
    pub fn name(&self) -> &str {
        self.descriptor.name()
    }

    /// Many requests.
    pub fn client_streaming(&self) -> bool {
        self.descriptor.is_client_streaming()
    }

    /// Many responses.
    pub fn server_streaming(&self) -> bool {
        self.descriptor.is_server_streaming()
    }

    /// Plan of the request.
    pub fn input(&self) -> MessageId {
        self.input
    }

    /// Plan of the response.
    pub fn output(&self) -> MessageId {
        self.output
    }

    /// Options and comments; not for the hot path.
    pub fn descriptor(&self) -> &MethodDescriptor {
        &self.descriptor
    }

    /// The whole request message from JSON, without any http rule.
    pub fn request(&self, json: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.types.json_to_wire(self.input, json, out)
    }

    /// The whole response message as JSON, without any http rule.
    pub fn response(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.types.wire_to_json(self.output, wire, out)
    }
}
