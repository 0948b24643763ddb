//! How calls travel: a route a method with its time and its retries, pools, ejection, subsets.

use crate::{
    access,
    files::File,
    knob::Target,
    model::{GATEWAY, MARGIN, Model, Unit, host, method_name},
    workload::metadata,
};
use proto::policy::Policy;
use serde_json::{Value, json};
use std::time::Duration;

/// At most so many retries of a call that may be repeated.
pub const ATTEMPTS: u64 = 2;
/// `reset` and `deadline-exceeded`, because a try that took too long ends in one or the other: the proxy tells the callee
/// the time of the try, and the callee may be the one that gives up.
pub const RETRY_ON: &str = "connect-failure,refused-stream,unavailable,reset,deadline-exceeded";
/// Retries that may be under way, in percent of the calls under way, and how many whatever the percentage.
pub const RETRY_PERCENT: f64 = 20.0;
pub const RETRY_MINIMUM: u64 = 3;

pub fn files(model: &Model) -> Vec<File> {
    let file = |u: &Unit| {
        let path = format!("istio/services/{}.yaml", u.name);
        File::yaml(path, documents(model, u, &Target::Kustomize)).comment(table(model, u))
    };
    let operator =
        |name: &String| File::yaml(format!("istio/services/{name}.yaml"), vec![access::operator_sidecar(model, name)]);
    model.units.iter().map(file).chain(model.operators.iter().map(operator)).collect()
}

/// All objects of Istio of a service.
pub fn documents(model: &Model, unit: &Unit, target: &Target) -> Vec<Value> {
    let mut documents = Vec::new();
    if !unit.is_gateway() {
        documents.push(virtual_service(model, unit, target));
    }
    documents.extend([destination_rule(unit), access::authorization(model, unit), access::sidecar(model, unit)]);
    documents
}

/// How long the route waits for `method`; streams are not cut.
pub fn route_timeout(method: &Policy) -> Option<Duration> {
    method.timeout.filter(|_| !method.streaming).map(|t| t + MARGIN)
}

/// How often the proxy tries again.
pub fn retries(method: &Policy) -> u64 {
    if method.repeatable && !method.streaming { ATTEMPTS } else { 0 }
}

fn table(model: &Model, unit: &Unit) -> Vec<String> {
    let mut lines = Vec::new();
    if !unit.is_gateway() {
        lines.push("Who may call what, how long the method may take, and how often the proxy tries again:".to_owned());
        lines.push(String::new());
        let rows: Vec<[String; 4]> = unit.methods.iter().map(|m| row(model, m)).collect();
        let head = ["method", "callers", "deadline", "retries"].map(str::to_owned);
        let width = |i: usize| rows.iter().chain([&head]).map(|r| r[i].len()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2)];
        for r in [&head].into_iter().chain(&rows) {
            let [a, b, c] = widths;
            lines.push(format!("  {:a$}  {:b$}  {:c$}  {}", r[0], r[1], r[2], r[3]));
        }
        lines.push(String::new());
    }
    let callees = model.callees(&unit.name);
    lines.push(match callees.is_empty() {
        true => "Calls nobody.".to_owned(),
        false => format!("Calls: {}.", callees.join(", ")),
    });
    lines
}

fn row(model: &Model, m: &Policy) -> [String; 4] {
    let callers = if m.callers.iter().any(|c| c == "*") { "everybody".to_owned() } else { model.callers(m).join(", ") };
    let deadline = match (m.timeout, m.streaming) {
        (Some(t), false) => seconds(t),
        (Some(t), true) => format!("{} (stream, not cut here)", seconds(t)),
        (None, _) => "none (stream)".to_owned(),
    };
    [method_name(m).to_owned(), callers, deadline, retries(m).to_string()]
}

/// `2.250s`, as `2.25s`
pub fn seconds(d: Duration) -> String {
    format!("{}s", d.as_secs_f64())
}

fn virtual_service(model: &Model, unit: &Unit, target: &Target) -> Value {
    let mut routes: Vec<Value> = unit.methods.iter().flat_map(|m| method_routes(model, unit, m, target)).collect();
    // Health, reflection, and whatever has no policy: nobody is let in to it, and nothing is tried twice.
    let mut rest = json!({"name": "rest", "route": destinations(unit, target), "retries": {"attempts": 0}});
    if unit.canary.is_some() {
        let mut chosen = rest.clone();
        chosen["name"] = json!("rest-canary");
        chosen["match"] = json!([{"headers": header(model, unit)}]);
        chosen["route"] = json!([to(unit, Some("canary"), None)]);
        routes.push(chosen);
    }
    rest["route"] = destinations(unit, target);
    routes.push(rest);
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata(&unit.name, &unit.name),
        "spec": {"hosts": [unit.host()], "http": routes},
    })
}

/// With a canary two: the one that the header asks for comes first, or the other would hide it.
fn method_routes(model: &Model, unit: &Unit, method: &Policy, target: &Target) -> Vec<Value> {
    let name = method_name(method);
    let mut route = json!({
        "name": name,
        "match": [{"uri": {"exact": method.path}}],
        "route": destinations(unit, target),
        "retries": {"attempts": retries(method)},
    });
    if let Some(timeout) = route_timeout(method) {
        route["timeout"] = json!(seconds(timeout));
        if retries(method) > 0 {
            let each = method.timeout.unwrap_or_default() / 2;
            route["retries"]["perTryTimeout"] = json!(seconds(each));
            route["retries"]["retryOn"] = json!(RETRY_ON);
        }
    }
    if unit.canary.is_none() {
        return vec![route];
    }
    let mut chosen = route.clone();
    chosen["name"] = json!(format!("{name}-canary"));
    chosen["match"][0]["headers"] = header(model, unit);
    chosen["route"] = json!([to(unit, Some("canary"), None)]);
    vec![chosen, route]
}

fn header(model: &Model, unit: &Unit) -> Value {
    json!({(model.inputs.canary.header.clone()): {"exact": unit.name}})
}

fn destinations(unit: &Unit, target: &Target) -> Value {
    let Some(canary) = &unit.canary else { return json!([to(unit, None, None)]) };
    let weight = target.knob("canary.weight", json!(canary.weight));
    let rest = target.computed("sub 100 (int .Values.canary.weight)", json!(100 - canary.weight));
    json!([to(unit, Some("stable"), Some(rest)), to(unit, Some("canary"), Some(weight))])
}

fn to(unit: &Unit, subset: Option<&str>, weight: Option<Value>) -> Value {
    let mut to = json!({"destination": {"host": unit.host()}});
    if let Some(subset) = subset {
        to["destination"]["subset"] = json!(subset);
    }
    if let Some(weight) = weight {
        to["weight"] = weight;
    }
    to
}

fn destination_rule(unit: &Unit) -> Value {
    let pool = &unit.size.connections;
    let mut http =
        json!({"http2MaxRequests": pool.requests, "http1MaxPendingRequests": pool.requests, "idleTimeout": "300s"});
    if unit.name == GATEWAY {
        // HTTP/1.1 stays HTTP/1.1 (WebSocket), gRPC stays HTTP/2.
        http["useClientProtocol"] = json!(true);
    }
    let mut rule = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata(&unit.name, &unit.name),
        "spec": {
            "host": host(&unit.name),
            "trafficPolicy": {
                "tls": {"mode": "ISTIO_MUTUAL"},
                "loadBalancer": {"simple": "LEAST_REQUEST"},
                "connectionPool": {
                    "tcp": {
                        "maxConnections": pool.connections, "connectTimeout": "1s",
                        "tcpKeepalive": {"time": "60s", "interval": "20s", "probes": 3},
                    },
                    "http": http,
                },
                "retryBudget": {"percent": RETRY_PERCENT, "minRetryConcurrency": RETRY_MINIMUM},
                // Only what a proxy says of an unreachable pod: UNKNOWN and UNIMPLEMENTED are answers and would count as 5xx.
                "outlierDetection": {
                    "consecutiveGatewayErrors": 5, "consecutive5xxErrors": 0, "interval": "5s",
                    "baseEjectionTime": "30s", "maxEjectionPercent": 50,
                },
            },
        },
    });
    if unit.canary.is_some() {
        let subset = |v: &str| json!({"name": v, "labels": {"version": v}});
        rule["spec"]["subsets"] = json!([subset("stable"), subset("canary")]);
    }
    rule
}
