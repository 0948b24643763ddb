//! Reads every object below `k8s/` and `istio/` as it stands in the files, whoever wrote it, and holds it against the
//! policies of the methods and against the other objects. It shares no value with the renderers, so that a mistake in one
//! is not repeated in the other. The chart's templates are no YAML; that they render to the same objects is another check.
//!
//! | rule | what it finds |
//! | --- | --- |
//! | [`routes`] | weights, subsets, shadowed and missing routes, retries and timeouts that the method does not bear |
//! | [`graph`] | a callee that may take longer than any caller waits; retries that multiply along a path of calls |
//! | [`access`] | callers that are let in and not declared, or the reverse; policies that are too wide; plain text |
//! | [`workloads`] | a Deployment without account, budget, autoscaler or policy; selectors, ports, drain, images, root |

mod access;
mod graph;
mod objects;
mod routes;
mod workloads;

use crate::files;
use objects::{Object, Objects};
use prost_reflect::DescriptorPool;
use proto::policy::{self, Policy};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Something to correct.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub file: String,
    /// `VirtualService jangteo/order`
    pub object: String,
    /// Where in it: `spec.http[3].timeout`
    pub at: String,
    /// `stream-timeout`
    pub rule: &'static str,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, object, at, rule, what } = self;
        write!(f, "{file}: {object}: {at}: {rule}: {what}")
    }
}

/// What is true, from the descriptors and the list of services.
struct Truth {
    services: Vec<String>,
    /// By path, of those services alone.
    methods: BTreeMap<String, Policy>,
}

const NAMESPACE: &str = "jangteo";
const GATEWAY: &str = "gateway";

impl Truth {
    fn new(pool: &DescriptorPool, services: &[&str]) -> Result<Truth, String> {
        let mut methods: BTreeMap<String, Policy> = policy::policies(pool)?.into_iter().collect();
        methods.retain(|_, m| services.contains(&m.service.as_str()));
        Ok(Truth { services: services.iter().map(|s| (*s).to_owned()).collect(), methods })
    }

    fn of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Policy> {
        self.methods.values().filter(move |m| m.service == service)
    }

    /// Services and the gateway.
    fn units(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(String::as_str).chain([GATEWAY])
    }

    /// Whoever is declared; `*` is everybody else of the platform.
    fn callers<'a>(&'a self, method: &'a Policy) -> BTreeSet<&'a str> {
        let named = method.callers.iter().map(String::as_str).filter(|c| *c != "*");
        let open = method.callers.iter().any(|c| c == "*");
        let everybody = self.units().filter(|u| open && *u != method.service);
        named.chain(everybody).collect()
    }

    fn callers_of(&self, service: &str) -> BTreeSet<&str> {
        self.methods.values().filter(|m| m.service == service).flat_map(|m| self.callers(m)).collect()
    }

    fn callees_of(&self, caller: &str) -> BTreeSet<&str> {
        let called = self.methods.values().filter(|m| self.callers(m).contains(caller));
        called.map(|m| m.service.as_str()).collect()
    }
}

/// Where findings are put.
#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, object: &Object, at: impl Into<String>, rule: &'static str, what: impl Into<String>) {
        let (file, name) = (object.file.clone(), object.title());
        self.0.push(Finding { file, object: name, at: at.into(), rule, what: what.into() });
    }
    /// What is not there has no file.
    fn missing(&mut self, object: impl Into<String>, rule: &'static str, what: impl Into<String>) {
        let file = "(no file)".to_owned();
        self.0.push(Finding { file, object: object.into(), at: String::new(), rule, what: what.into() });
    }
}

/// Lints files by path below the root and text, as [`crate::tree`] reads them.
pub fn lint(pool: &DescriptorPool, services: &[&str], tree: &BTreeMap<String, String>) -> Result<Vec<Finding>, String> {
    let truth = Truth::new(pool, services)?;
    let mut report = Report::default();
    let objects = Objects::read(tree, &mut report);
    routes::check(&truth, &objects, &mut report);
    graph::check(&truth, &objects, &mut report);
    access::check(&truth, &objects, &mut report);
    workloads::check(&truth, &objects, &mut report);
    report.0.sort();
    Ok(report.0)
}
