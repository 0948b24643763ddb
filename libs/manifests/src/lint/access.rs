//! Who is let in: by the proxy, by the network, and whom a sidecar knows. All three have to say what the proto says.

use super::{
    GATEWAY, NAMESPACE, Report, Truth,
    objects::{Object, Objects, covers, list, strings, text_of},
};
use serde_json::Value;
use std::collections::BTreeSet;

const API_PORT: u64 = 50051;
const ADMIN_PORT: &str = "9090";
const NAME: &str = "app.kubernetes.io/name";
const USED_BY: &str = "jangteo.io/used-by";

pub fn check(truth: &Truth, objects: &Objects, report: &mut Report) {
    for service in &truth.services {
        authorization(truth, objects, service, report);
        callers_by_network(truth, objects, service, report);
    }
    for unit in truth.units() {
        callees_by_network(truth, objects, unit, report);
        sidecar(truth, objects, unit, report);
    }
    defaults(objects, report);
}

fn labels(service: &str) -> Value {
    serde_json::json!({NAME: service})
}

/// Policies of the namespace whose selector takes the pods of `service`, and is not empty.
fn of<'a>(objects: &'a Objects, kind: &'a str, service: &str, selector: fn(&Value) -> &Value) -> Vec<&'a Object> {
    let labels = labels(service);
    let ours = |o: &&Object| o.namespace == NAMESPACE && selector(o.spec())[NAME] == labels[NAME];
    objects.kind(kind).filter(ours).filter(|o| covers(selector(o.spec()), &labels)).collect()
}

fn authorization(truth: &Truth, objects: &Objects, service: &str, report: &mut Report) {
    let policies = of(objects, "AuthorizationPolicy", service, |s| &s["selector"]["matchLabels"]);
    let mut allowed: BTreeSet<(String, String)> = BTreeSet::new();
    let prefix = format!("cluster.local/ns/{NAMESPACE}/sa/");
    for policy in policies.iter().filter(|p| p.spec()["action"].is_null() || p.spec()["action"] == "ALLOW") {
        for (i, rule) in list(&policy.spec()["rules"]).enumerate() {
            let at = format!("spec.rules[{i}]");
            if rule["from"].is_null() {
                metrics_only(policy, &at, rule, report);
                continue;
            }
            for source in list(&rule["from"]).map(|f| &f["source"]) {
                let principals: Vec<&str> = strings(&source["principals"]).collect();
                if principals.is_empty() {
                    let what = "lets in whoever has no name: name the callers by `principals`";
                    report.add(policy, format!("{at}.from"), "access-wide", what);
                }
                for principal in principals {
                    let caller = principal.strip_prefix(&prefix).filter(|c| !c.contains(['*', '/']) && !c.is_empty());
                    let Some(caller) = caller else {
                        let what = format!("{principal} is not one account of this namespace: name it");
                        report.add(policy, format!("{at}.from"), "access-wide", what);
                        continue;
                    };
                    for operation in list(&rule["to"]).map(|t| &t["operation"]) {
                        let paths: Vec<&str> = strings(&operation["paths"]).collect();
                        if paths.is_empty() || paths.iter().any(|p| p.contains('*')) {
                            let what = format!("{caller} may call more than exact paths: list the methods");
                            report.add(policy, format!("{at}.to"), "access-wide", what);
                        }
                        for path in paths {
                            allowed.insert((caller.to_owned(), path.to_owned()));
                            let declared = truth
                                .methods
                                .get(path)
                                .is_some_and(|m| m.service == service && truth.callers(m).contains(caller));
                            if !declared {
                                let what = format!(
                                    "the proto does not let {caller} call {path}: take it out here, or declare it there"
                                );
                                report.add(policy, format!("{at}.to"), "access-extra", what);
                            }
                        }
                    }
                    if list(&rule["to"]).next().is_none() {
                        let what = format!("{caller} may call everything: list the methods");
                        report.add(policy, format!("{at}.to"), "access-wide", what);
                    }
                }
            }
        }
    }
    for m in truth.of(service) {
        for caller in truth.callers(m) {
            if !allowed.contains(&(caller.to_owned(), m.path.clone())) {
                let what = format!("{caller} may call {} and is not let in: render again", m.path);
                match policies.first() {
                    Some(policy) => report.add(policy, "spec.rules", "access-missing", what),
                    None => {
                        report.missing(format!("AuthorizationPolicy {NAMESPACE}/{service}"), "access-missing", what)
                    }
                }
            }
        }
    }
}

/// Without a source a rule is for Prometheus, and opens one path of the operators' port.
fn metrics_only(policy: &Object, at: &str, rule: &Value, report: &mut Report) {
    let narrow = |o: &Value| strings(&o["ports"]).eq([ADMIN_PORT]) && strings(&o["paths"]).eq(["/metrics"]);
    let mut operations = list(&rule["to"]).map(|t| &t["operation"]).peekable();
    if operations.peek().is_none() || !operations.all(narrow) {
        let what = "lets in everybody to more than /metrics of the operators' port: name the callers";
        report.add(policy, format!("{at}.from"), "access-wide", what);
    }
}

/// The service names that a list of peers selects by label; none: it selects more than that.
fn peers(peers: &Value) -> Option<BTreeSet<&str>> {
    let mut names = BTreeSet::new();
    for peer in list(peers) {
        let selector = &peer["podSelector"];
        if !peer["namespaceSelector"].is_null() || !peer["ipBlock"].is_null() {
            return None;
        }
        let name = text_of(&selector["matchLabels"][NAME]);
        let mut listed =
            list(&selector["matchExpressions"]).filter(|e| e["key"] == NAME && e["operator"] == "In").peekable();
        if name.is_none() && listed.peek().is_none() {
            return None;
        }
        names.extend(name);
        names.extend(listed.flat_map(|e| strings(&e["values"])));
    }
    Some(names)
}

/// The rules of a policy that open `port`: without ports they open all.
fn opening(rules: &Value, port: u64) -> impl Iterator<Item = (usize, &Value)> {
    list(rules).enumerate().filter(move |(_, rule)| {
        rule["ports"].is_null() || list(&rule["ports"]).any(|p| p["port"].as_u64() == Some(port))
    })
}

fn callers_by_network(truth: &Truth, objects: &Objects, service: &str, report: &mut Report) {
    let policies = of(objects, "NetworkPolicy", service, |s| &s["podSelector"]["matchLabels"]);
    let mut found = BTreeSet::new();
    for policy in &policies {
        for (i, rule) in opening(&policy.spec()["ingress"], API_PORT) {
            let at = format!("spec.ingress[{i}].from");
            match peers(&rule["from"]).filter(|p| !p.is_empty()) {
                Some(names) => found.extend(names),
                None => report.add(
                    policy,
                    at,
                    "network-wide",
                    "opens the service to more than pods by name: name the callers",
                ),
            }
        }
    }
    compare(
        policies.first().copied(),
        "spec.ingress",
        service,
        "be called by",
        &found,
        &truth.callers_of(service),
        report,
    );
}

fn callees_by_network(truth: &Truth, objects: &Objects, unit: &str, report: &mut Report) {
    let policies = of(objects, "NetworkPolicy", unit, |s| &s["podSelector"]["matchLabels"]);
    let mut found = BTreeSet::new();
    for policy in &policies {
        if !strings(&policy.spec()["policyTypes"]).any(|t| t == "Egress") {
            report.add(policy, "spec.policyTypes", "network-wide", "leaves egress open: add Egress");
        }
        for (i, rule) in opening(&policy.spec()["egress"], API_PORT) {
            let at = format!("spec.egress[{i}].to");
            match peers(&rule["to"]).filter(|p| !p.is_empty()) {
                Some(names) => found.extend(names),
                None => {
                    report.add(policy, at, "network-wide", "opens more than the services that are called: name them")
                }
            }
        }
    }
    compare(policies.first().copied(), "spec.egress", unit, "call", &found, &truth.callees_of(unit), report);
}

fn compare(
    policy: Option<&Object>,
    at: &str,
    unit: &str,
    verb: &str,
    found: &BTreeSet<&str>,
    declared: &BTreeSet<&str>,
    report: &mut Report,
) {
    // A missing policy is found with the Deployment.
    let Some(policy) = policy else { return };
    for name in found.difference(declared) {
        let what = format!("no method lets {unit} {verb} {name}: take it out");
        report.add(policy, at, "network-extra", what);
    }
    for name in declared.difference(found) {
        let what = format!("{unit} has to {verb} {name} and may not: add it");
        report.add(policy, at, "network-missing", what);
    }
}

fn sidecar(truth: &Truth, objects: &Objects, unit: &str, report: &mut Report) {
    let sidecars = of(objects, "Sidecar", unit, |s| &s["workloadSelector"]["labels"]);
    let [sidecar] = sidecars.as_slice() else {
        let what = format!("there are {}, and there has to be one: render again", sidecars.len());
        return report.missing(format!("Sidecar {NAMESPACE}/{unit}"), "sidecar-missing", what);
    };
    let at = "spec.egress[0].hosts";
    if sidecar.spec()["outboundTrafficPolicy"]["mode"] != "REGISTRY_ONLY" {
        let what = "lets the pod call any address: set REGISTRY_ONLY";
        report.add(sidecar, "spec.outboundTrafficPolicy.mode", "sidecar-wide", what);
    }
    let mut callees = BTreeSet::new();
    let mut outside = BTreeSet::new();
    for host in list(&sidecar.spec()["egress"]).flat_map(|e| strings(&e["hosts"])) {
        let (namespace, name) = host.split_once('/').unwrap_or(("*", host));
        let service = name.strip_suffix(&format!(".{NAMESPACE}.svc.cluster.local"));
        match (namespace, service) {
            ("." | NAMESPACE, Some(service)) => drop(callees.insert(service)),
            ("*" | "~", _) | ("." | NAMESPACE, None) if name.contains('*') || namespace == "*" => {
                report.add(sidecar, at, "sidecar-wide", format!("{host} is more than what it calls: name the hosts"));
            }
            ("." | NAMESPACE, None) => drop(outside.insert(name)),
            _ => {}
        }
    }
    let declared = truth.callees_of(unit);
    for name in callees.difference(&declared) {
        report.add(sidecar, at, "sidecar-extra", format!("no method lets {unit} call {name}: take it out"));
    }
    for name in declared.difference(&callees) {
        report.add(sidecar, at, "sidecar-missing", format!("{unit} calls {name} and does not know it: add it"));
    }
    let mut entries = BTreeSet::new();
    for entry in objects.kind("ServiceEntry").filter(|e| e.namespace == NAMESPACE) {
        let users = text_of(&entry.value["metadata"]["annotations"][USED_BY]).unwrap_or_default();
        if users.split(',').any(|u| u.trim() == unit) {
            entries.extend(strings(&entry.spec()["hosts"]));
        }
        for user in users.split(',').map(str::trim) {
            if unit == GATEWAY && !truth.units().any(|u| u == user) {
                let what = format!("{user:?} is no service: correct {USED_BY}");
                report.add(entry, "metadata.annotations", "egress-nobody", what);
            }
        }
    }
    for host in outside.difference(&entries) {
        let what = format!("no ServiceEntry gives {host} to {unit}: add {USED_BY} to one, or take it out");
        report.add(sidecar, at, "egress-unknown", what);
    }
    for host in entries.difference(&outside) {
        report.add(sidecar, at, "egress-missing", format!("{unit} uses {host} and does not know it: render again"));
    }
}

/// What holds where nothing else is said.
fn defaults(objects: &Objects, report: &mut Report) {
    let here = |o: &&Object| o.namespace == NAMESPACE;
    let empty = |o: &Object| o.spec().as_object().is_none_or(|s| s.is_empty());
    if !objects.kind("AuthorizationPolicy").filter(here).any(empty) {
        let what = "there is none with an empty spec: what has no policy would be open to everybody";
        report.missing(format!("AuthorizationPolicy {NAMESPACE}/deny-all"), "deny-all", what);
    }
    for policy in objects.kind("AuthorizationPolicy").filter(here).filter(|p| !empty(p) && p.spec()["action"] != "DENY")
    {
        if policy.spec()["selector"]["matchLabels"][NAME].is_null() {
            let what = "lets callers in to more than one service: select one by app.kubernetes.io/name";
            report.add(policy, "spec.selector", "access-wide", what);
        }
    }
    let strict = |o: &Object| o.spec()["selector"].is_null() && o.spec()["mtls"]["mode"] == "STRICT";
    if !objects.kind("PeerAuthentication").filter(here).any(strict) {
        let what = "there is none for the whole namespace that says STRICT: plain text would be let in";
        report.missing(format!("PeerAuthentication {NAMESPACE}/default"), "plaintext", what);
    }
    for peer in objects.kind("PeerAuthentication").filter(here) {
        if peer.spec()["mtls"]["mode"] != "STRICT" {
            report.add(peer, "spec.mtls.mode", "plaintext", "lets in plain text: set STRICT");
        }
        for (port, _) in
            peer.spec()["portLevelMtls"].as_object().into_iter().flatten().filter(|(_, m)| m["mode"] != "STRICT")
        {
            if port != ADMIN_PORT {
                let what = format!("port {port} lets in plain text, and only the operators' may: set STRICT");
                report.add(peer, "spec.portLevelMtls", "plaintext", what);
            }
        }
    }
}
