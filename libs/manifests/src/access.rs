//! Who may call what, and whom a sidecar knows at all.

use crate::{
    model::{ADMIN_PORT, INGRESS, Model, NAMESPACE, STORES, Unit, host, principal},
    workload::{metadata, selector},
};
use serde_json::{Value, json};

/// A rule a caller, with the exact paths that the proto gives it; what everybody may call stands in one rule.
pub fn authorization(model: &Model, unit: &Unit) -> Value {
    let mut rules = Vec::new();
    if unit.is_gateway() {
        rules.push(json!({
            "from": [{"source": {"namespaces": [INGRESS]}}],
            "to": [{"operation": {"ports": [crate::model::HTTP_PORT.to_string()]}}],
        }));
    }
    let paths = |admits: &dyn Fn(&proto::policy::Policy) -> bool| -> Vec<&str> {
        unit.methods.iter().filter(|m| admits(m)).map(|m| m.path.as_str()).collect()
    };
    let open = |m: &proto::policy::Policy| m.callers.iter().any(|c| c == "*");
    let everybody: Vec<String> =
        model.units.iter().filter(|u| u.name != unit.name).map(|u| principal(&u.name)).collect();
    let shared = paths(&open);
    if !shared.is_empty() {
        rules.push(rule(json!(everybody), &shared));
    }
    for caller in model.callers_of(unit) {
        let own =
            paths(&|m| m.callers.iter().any(|c| c == caller) && !(open(m) && everybody.contains(&principal(caller))));
        if !own.is_empty() {
            rules.push(rule(json!([principal(caller)]), &own));
        }
    }
    // Prometheus has no certificate of the mesh: it comes in plain text, and the NetworkPolicy says from where.
    rules.push(json!({"to": [{"operation": {
        "ports": [ADMIN_PORT.to_string()], "methods": ["GET"], "paths": ["/metrics"],
    }}]}));
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata(&unit.name, &unit.name),
        "spec": {"selector": {"matchLabels": selector(&unit.name)}, "action": "ALLOW", "rules": rules},
    })
}

fn rule(principals: Value, paths: &[&str]) -> Value {
    json!({
        "from": [{"source": {"principals": principals}}],
        "to": [{"operation": {"methods": ["POST"], "paths": paths}}],
    })
}

/// What is not listed is not configured, and what is not configured is not reachable.
pub fn sidecar(model: &Model, unit: &Unit) -> Value {
    let outside = unit.external.iter().map(|e| format!("./{}", e.host)).collect();
    object(model, &unit.name, !unit.size.stores.is_empty(), outside)
}

pub fn operator_sidecar(model: &Model, name: &str) -> Value {
    object(model, name, true, vec![])
}

fn object(model: &Model, name: &str, stores: bool, outside: Vec<String>) -> Value {
    let mut hosts: Vec<String> = model.callees(name).iter().map(|c| format!("{NAMESPACE}/{}", host(c))).collect();
    if stores {
        hosts.push(format!("{STORES}/*"));
    }
    hosts.push("monitoring/otel-collector.monitoring.svc.cluster.local".to_owned());
    hosts.extend(outside);
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": metadata(name, name),
        "spec": {
            "workloadSelector": {"labels": selector(name)},
            "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
            "egress": [{"hosts": hosts}],
        },
    })
}
