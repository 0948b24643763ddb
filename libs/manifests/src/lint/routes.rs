//! VirtualServices and DestinationRules, against the methods and against each other.

use super::{
    GATEWAY, NAMESPACE, Report, Truth,
    objects::{Object, Objects, covers, duration, list, same_host, strings, text_of},
};
use proto::policy::Policy;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

pub fn check(truth: &Truth, objects: &Objects, report: &mut Report) {
    for vs in objects.kind("VirtualService") {
        let routes: Vec<&Value> = list(&vs.spec()["http"]).collect();
        for (i, route) in routes.iter().enumerate() {
            destinations(objects, vs, i, route, report);
            match method(truth, route) {
                Some(m) => of_method(vs, i, route, m, report),
                None => of_others(objects, vs, i, route, report),
            }
            if let Some(j) = (0..i).find(|j| hides(routes[*j], route)) {
                let what = format!("http[{j}] takes every call before it gets here: put the narrower route first");
                report.add(vs, format!("spec.http[{i}].match"), "shadowed-route", what);
            }
        }
    }
    every_method_has_a_route(truth, objects, report);
    for rule in objects.kind("DestinationRule") {
        destination_rule(objects, rule, report);
    }
    for unit in truth.units() {
        let has = |r: &Object| text_of(&r.spec()["host"]).is_some_and(|h| same_host(h, unit, &r.namespace));
        if !objects.kind("DestinationRule").any(has) {
            let what = "has no DestinationRule: no pools, no retry budget, no ejection";
            report.missing(format!("DestinationRule {NAMESPACE}/{unit}"), "destination-rule-missing", what);
        }
    }
    rollouts(objects, report);
}

/// The exact path that a route matches.
fn path_of(route: &Value) -> Option<&str> {
    list(&route["match"]).find_map(|m| m["uri"]["exact"].as_str())
}

fn method<'a>(truth: &'a Truth, route: &Value) -> Option<&'a Policy> {
    truth.methods.get(path_of(route)?)
}

/// How long a route waits; none: for ever.
pub fn timeout(route: &Value) -> Option<Duration> {
    duration(&route["timeout"]).filter(|t| !t.is_zero())
}

/// The route that a call of `method` takes when no header chooses another.
pub fn route_of<'a>(objects: &'a Objects, method: &Policy) -> Option<(&'a Object, usize, &'a Value)> {
    let ours = objects
        .kind("VirtualService")
        .filter(|v| !is_outside(v))
        .filter(|v| strings(&v.spec()["hosts"]).any(|h| same_host(h, &method.service, &v.namespace)));
    let mut routes = ours.flat_map(|v| list(&v.spec()["http"]).enumerate().map(move |(i, r)| (v, i, r)));
    routes.find(|(_, _, r)| path_of(r) == Some(&method.path) && list(&r["match"]).all(|m| m["headers"].is_null()))
}

/// Bound to a gateway, and so not asked for calls inside the mesh.
fn is_outside(vs: &Object) -> bool {
    !vs.spec()["gateways"].is_null() && strings(&vs.spec()["gateways"]).all(|g| g != "mesh")
}

fn of_method(vs: &Object, i: usize, route: &Value, m: &Policy, report: &mut Report) {
    let at = |field: &str| format!("spec.http[{i}].{field}");
    let attempts = route["retries"]["attempts"].as_u64();
    if !m.repeatable || m.streaming {
        let why = if m.streaming { "is a stream" } else { "is not repeatable" };
        match attempts {
            Some(0) => {}
            Some(n) => {
                let what = format!("{} {why} and would be called up to {} times: set 0", m.path, n + 1);
                report.add(vs, at("retries.attempts"), "retry-unsafe", what);
            }
            None => {
                let what = format!("{} {why}; unsaid, the mesh tries it three times: set 0", m.path);
                report.add(vs, at("retries"), "retry-unsafe", what);
            }
        }
    } else {
        match attempts {
            None => report.add(vs, at("retries"), "retry-unsaid", "unsaid, the mesh decides: say how often"),
            Some(n) if n > 0 => repeated(vs, i, route, report),
            Some(_) => {}
        }
    }
    match (m.streaming, m.timeout, timeout(route)) {
        (true, _, Some(t)) => {
            let what =
                format!("{} is a stream, and a healthy one would be cut after {t:?}: take the timeout out", m.path);
            report.add(vs, at("timeout"), "stream-timeout", what);
        }
        (false, Some(deadline), None) => {
            let what = format!("{} may take {deadline:?}: give its route that and a margin", m.path);
            report.add(vs, at("timeout"), "route-timeout", what);
        }
        (false, Some(deadline), Some(t)) if t < deadline => {
            let what = format!("{t:?} ends calls of {} that may take {deadline:?}: raise it above", m.path);
            report.add(vs, at("timeout"), "route-timeout", what);
        }
        _ => {}
    }
}

fn repeated(vs: &Object, i: usize, route: &Value, report: &mut Report) {
    let (retries, at) = (&route["retries"], format!("spec.http[{i}].retries"));
    let on = text_of(&retries["retryOn"]).unwrap_or_default();
    for needed in ["reset", "deadline-exceeded"] {
        if !on.split(',').any(|c| c.trim() == needed) {
            let what = format!("a try that took too long ends as a reset or by the callee: add `{needed}` to retryOn");
            report.add(vs, format!("{at}.retryOn"), "retry-conditions", what);
        }
    }
    match (duration(&retries["perTryTimeout"]), timeout(route)) {
        (None, _) => {
            let what = "without it the first try may use all the time there is: set half of the deadline";
            report.add(vs, format!("{at}.perTryTimeout"), "retry-conditions", what);
        }
        (Some(each), Some(all)) if each >= all => {
            let what = format!("{each:?} leaves nothing of {all:?} for a second try: set half of the deadline");
            report.add(vs, format!("{at}.perTryTimeout"), "retry-conditions", what);
        }
        _ => {}
    }
}

/// Catch-alls, and the way to the edge.
fn of_others(objects: &Objects, vs: &Object, i: usize, route: &Value, report: &mut Report) {
    let at = |field: &str| format!("spec.http[{i}].{field}");
    let inside = list(&route["route"]).filter_map(|d| text_of(&d["destination"]["host"]));
    let Some(service) = inside.filter_map(|h| objects.service_of(h, &vs.namespace)).find(|s| s.namespace == NAMESPACE)
    else {
        return;
    };
    if route["retries"]["attempts"].as_u64() != Some(0) {
        let what = "what is tried again here has no policy that allows it: set attempts: 0";
        report.add(vs, at("retries.attempts"), "retry-unsafe", what);
    }
    if service.name == GATEWAY && timeout(route).is_some() {
        let what = "cuts server-sent events, WebSockets and gRPC streams through the edge: take it out";
        report.add(vs, at("timeout"), "stream-timeout", what);
    }
    if let Some(path) = path_of(route).filter(|p| p.starts_with("/jangteo.")) {
        report.add(vs, at("match"), "route-unknown", format!("{path} is no method: take the route out"));
    }
}

fn destinations(objects: &Objects, vs: &Object, i: usize, route: &Value, report: &mut Report) {
    let to: Vec<&Value> = list(&route["route"]).collect();
    let sum: u64 = to.iter().map(|d| d["weight"].as_u64().unwrap_or(0)).sum();
    let alone = to.len() == 1 && to[0]["weight"].is_null();
    if !alone && sum != 100 {
        report.add(vs, format!("spec.http[{i}].route"), "weights", format!("the weights are {sum}: make them 100"));
    }
    for (j, destination) in to.iter().map(|d| &d["destination"]).enumerate() {
        let at = |field: &str| format!("spec.http[{i}].route[{j}].destination.{field}");
        let host = text_of(&destination["host"]).unwrap_or_default();
        let Some(service) = objects.service_of(host, &vs.namespace) else {
            report.add(vs, at("host"), "destination-unknown", format!("there is no Service {host}"));
            continue;
        };
        let port = &destination["port"]["number"];
        if !port.is_null() && !list(&service.spec()["ports"]).any(|p| &p["port"] == port) {
            report.add(vs, at("port"), "ports", format!("{} has no port {port}", service.title()));
        }
        if let Some(subset) = text_of(&destination["subset"]).filter(|s| !has_subset(objects, host, &vs.namespace, s)) {
            let what = format!("no DestinationRule of {host} has the subset {subset}: every call would fail");
            report.add(vs, at("subset"), "subset-missing", what);
        }
    }
}

fn has_subset(objects: &Objects, host: &str, namespace: &str, subset: &str) -> bool {
    let rules = objects.kind("DestinationRule");
    let mut rules = rules.filter(|r| text_of(&r.spec()["host"]).is_some_and(|h| same_host(h, host, namespace)));
    let named = |list_of: &Value| list(list_of).any(|s| s["name"] == subset);
    let service = host.split('.').next().unwrap_or_default();
    // A component may bring the subsets along with whatever uses them.
    let patched = objects.patches.iter().any(|(kind, name, operation)| {
        kind == "DestinationRule"
            && name == service
            && operation["path"] == "/spec/subsets"
            && named(&operation["value"])
    });
    patched || rules.any(|r| named(&r.spec()["subsets"]))
}

/// Whether no call can get past `earlier` to `later`.
fn hides(earlier: &Value, later: &Value) -> bool {
    let blocks = |r: &Value| list(&r["match"]).cloned().collect::<Vec<_>>();
    let (earlier, later) = (blocks(earlier), blocks(later));
    // Without a match a route takes everything.
    if earlier.is_empty() {
        return true;
    }
    !later.is_empty() && later.iter().all(|l| earlier.iter().any(|e| contains(e, l)))
}

/// Whether whatever matches `narrow` matches `wide`.
fn contains(wide: &Value, narrow: &Value) -> bool {
    wide.as_object().into_iter().flatten().filter(|(key, _)| *key != "name").all(|(key, condition)| {
        match key.as_str() {
            "headers" | "queryParams" | "withoutHeaders" | "sourceLabels" => covers(condition, &narrow[key]),
            "uri" => matches_uri(condition, &narrow["uri"]),
            _ => narrow.get(key) == Some(condition),
        }
    })
}

fn matches_uri(wide: &Value, narrow: &Value) -> bool {
    let prefix = wide["prefix"].as_str();
    let below = |kind: &str| narrow[kind].as_str().zip(prefix).is_some_and(|(n, p)| n.starts_with(p));
    wide == narrow || below("exact") || below("prefix")
}

fn every_method_has_a_route(truth: &Truth, objects: &Objects, report: &mut Report) {
    let mut routes: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for vs in objects.kind("VirtualService").filter(|v| !is_outside(v)) {
        for route in list(&vs.spec()["http"]) {
            if let Some(path) = path_of(route) {
                let chosen = list(&route["match"]).any(|m| !m["headers"].is_null());
                *routes.entry((path, chosen)).or_default() += 1;
            }
        }
    }
    for m in truth.methods.values() {
        let object = format!("VirtualService {NAMESPACE}/{}", m.service);
        match (routes.get(&(m.path.as_str(), false)), route_of(objects, m)) {
            (Some(1), Some(_)) => {}
            (Some(n), Some(_)) => {
                report.missing(object, "route-twice", format!("{} has {n} routes: leave one", m.path));
            }
            _ => {
                let what = format!("{} has no route of its host, so the catch-all takes it: render again", m.path);
                report.missing(object, "route-missing", what);
            }
        }
    }
}

fn destination_rule(objects: &Objects, rule: &Object, report: &mut Report) {
    let (spec, host) = (rule.spec(), text_of(&rule.spec()["host"]).unwrap_or_default());
    let Some(service) = objects.service_of(host, &rule.namespace) else {
        return report.add(rule, "spec.host", "destination-unknown", format!("there is no Service {host}"));
    };
    for (i, subset) in list(&spec["subsets"]).enumerate() {
        let mut selector = service.spec()["selector"].clone();
        for (k, v) in subset["labels"].as_object().into_iter().flatten() {
            selector[k] = v.clone();
        }
        if objects.selected(&service.namespace, &selector).next().is_none() {
            let at = format!("spec.subsets[{i}].labels");
            report.add(rule, at, "subset-empty", format!("no pods of {} have these labels", service.title()));
        }
    }
    if service.namespace != NAMESPACE {
        return;
    }
    let policy = &spec["trafficPolicy"];
    if policy["tls"]["mode"] != "ISTIO_MUTUAL" {
        let what = "calls would travel without the mesh's certificate: set ISTIO_MUTUAL";
        report.add(rule, "spec.trafficPolicy.tls.mode", "plaintext", what);
    }
    let outlier = &policy["outlierDetection"];
    if outlier["consecutive5xxErrors"].as_u64() != Some(0) || outlier["consecutiveGatewayErrors"].is_null() {
        let what = "UNKNOWN and UNIMPLEMENTED count as 5xx and would throw out healthy pods: \
                    consecutive5xxErrors: 0, consecutiveGatewayErrors instead";
        report.add(rule, "spec.trafficPolicy.outlierDetection", "ejection", what);
    }
    if outlier["maxEjectionPercent"].as_u64().is_none_or(|p| p > 50) {
        let at = "spec.trafficPolicy.outlierDetection.maxEjectionPercent";
        report.add(rule, at, "ejection", "could leave nobody: at most 50");
    }
}

/// Argo Rollouts shifts only the routes that it is told of.
fn rollouts(objects: &Objects, report: &mut Report) {
    for rollout in objects.kind("Rollout") {
        let to = &rollout.spec()["strategy"]["canary"]["trafficRouting"]["istio"]["virtualService"];
        let Some(name) = text_of(&to["name"]) else { continue };
        let at = "spec.strategy.canary.trafficRouting.istio.virtualService";
        let Some(vs) = objects.get("VirtualService", &rollout.namespace, name) else {
            report.add(rollout, at, "rollout-routes", format!("there is no VirtualService {name}"));
            continue;
        };
        // A header's route has one destination, and no share to shift.
        let shared = list(&vs.spec()["http"]).filter(|r| list(&r["match"]).all(|m| m["headers"].is_null()));
        let routes: Vec<&str> = shared.filter_map(|r| text_of(&r["name"])).collect();
        let told: Vec<&str> = strings(&to["routes"]).collect();
        if let Some(route) = routes.iter().find(|r| !told.contains(r)) {
            let what = format!("lacks {route}, whose calls would all stay on the stable version: add it");
            report.add(rollout, format!("{at}.routes"), "rollout-routes", what);
        }
        if let Some(route) = told.iter().find(|r| !routes.contains(r)) {
            let what = format!("{name} has no route {route}: take it out");
            report.add(rollout, format!("{at}.routes"), "rollout-routes", what);
        }
    }
}
