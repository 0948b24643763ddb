//! What there is to render: services, their methods, who calls whom.

use crate::inputs::{Canary, External, Inputs, Size};
use prost_reflect::DescriptorPool;
use proto::policy::{self, Policy};
use std::{collections::BTreeSet, time::Duration};

pub const NAMESPACE: &str = "jangteo";
pub const STORES: &str = "jangteo-stores";
pub const INGRESS: &str = "jangteo-ingress";
pub const MONITORING: &str = "monitoring";
pub const GATEWAY: &str = "gateway";
pub const GRPC_PORT: u16 = 50051;
pub const HTTP_PORT: u16 = 8080;
pub const ADMIN_PORT: u16 = 9090;
/// The route waits so much longer than the method, so that the caller hears DEADLINE_EXCEEDED from the method and not
/// UNAVAILABLE from the proxy.
pub const MARGIN: Duration = Duration::from_millis(250);

pub struct Model {
    /// The services in the order of the list, then the gateway.
    pub units: Vec<Unit>,
    /// Callers that have an account and no Deployment.
    pub operators: Vec<String>,
    pub inputs: Inputs,
}

/// Something with a Deployment.
pub struct Unit {
    pub name: String,
    /// As the proto lists them; the gateway has none of its own.
    pub methods: Vec<Policy>,
    pub size: Size,
    pub canary: Option<Canary>,
    pub external: Vec<External>,
}

impl Unit {
    pub fn is_gateway(&self) -> bool {
        self.name == GATEWAY
    }
    /// `order.jangteo.svc.cluster.local`
    pub fn host(&self) -> String {
        host(&self.name)
    }
}

pub fn host(service: &str) -> String {
    format!("{service}.{NAMESPACE}.svc.cluster.local")
}

/// `cluster.local/ns/jangteo/sa/order`
pub fn principal(service: &str) -> String {
    format!("cluster.local/ns/{NAMESPACE}/sa/{service}")
}

/// `PlaceOrder`
pub fn method_name(policy: &Policy) -> &str {
    policy.path.rsplit('/').next().unwrap_or_default()
}

impl Model {
    /// Fails on a service without methods, a caller that is nobody, a size or a canary of nobody.
    pub fn new(pool: &DescriptorPool, services: &[&str], inputs: &Inputs) -> Result<Model, String> {
        let mut all = services.to_vec();
        all.push(GATEWAY);
        if let Some(name) = inputs.sizing.strangers(&all) {
            return Err(format!("k8s/sizing.toml: there is no service {name}"));
        }
        if let Some(name) = inputs.canary.services.keys().find(|n| !services.contains(&n.as_str())) {
            return Err(format!("istio/canary.toml: there is no service {name}"));
        }
        let mut units = Vec::new();
        for name in all {
            let methods = methods(pool, name)?;
            if methods.is_empty() && name != GATEWAY {
                return Err(format!("{name} has no methods in jangteo.{name}.v1"));
            }
            let known = |c: &String| {
                c == "*" || c == GATEWAY || services.contains(&c.as_str()) || inputs.sizing.operators.contains(c)
            };
            for method in &methods {
                if let Some(caller) = method.callers.iter().find(|c| !known(c)) {
                    return Err(format!("{}: its caller {caller} is no service and no operator", method.path));
                }
            }
            units.push(Unit {
                size: inputs.sizing.of(name)?,
                canary: inputs.canary.services.get(name).cloned(),
                external: inputs.external(name)?,
                name: name.to_owned(),
                methods,
            });
        }
        Ok(Model { units, operators: inputs.sizing.operators.clone(), inputs: inputs.clone() })
    }

    pub fn services(&self) -> impl Iterator<Item = &Unit> {
        self.units.iter().filter(|u| !u.is_gateway())
    }

    /// The names that may call `method`, `*` written out; nobody calls itself over the network.
    pub fn callers<'a>(&'a self, method: &'a Policy) -> Vec<&'a str> {
        let everybody = self.units.iter().map(|u| u.name.as_str()).filter(|n| *n != method.service);
        let mut named: Vec<&str> = method.callers.iter().map(String::as_str).filter(|c| *c != "*").collect();
        if method.callers.iter().any(|c| c == "*") {
            named.extend(everybody);
        }
        let mut seen = BTreeSet::new();
        named.retain(|n| seen.insert(*n));
        named
    }

    /// Who calls `service` at all.
    pub fn callers_of(&self, service: &Unit) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for unit in self.units.iter().map(|u| u.name.as_str()).chain(self.operators.iter().map(String::as_str)) {
            if service.methods.iter().any(|m| self.callers(m).contains(&unit)) {
                found.insert(unit);
            }
        }
        found
    }

    /// The services that `caller` calls.
    pub fn callees(&self, caller: &str) -> Vec<&str> {
        self.services().filter(|s| self.callers_of(s).contains(caller)).map(|s| s.name.as_str()).collect()
    }
}

fn methods(pool: &DescriptorPool, service: &str) -> Result<Vec<Policy>, String> {
    let package = format!("jangteo.{service}.v");
    let ours = pool
        .services()
        .filter(|s| s.package_name().strip_prefix(&package).is_some_and(|v| v.chars().all(|c| c.is_ascii_digit())));
    ours.flat_map(|s| s.methods().collect::<Vec<_>>()).map(|m| policy::policy(pool, &m)).collect()
}
