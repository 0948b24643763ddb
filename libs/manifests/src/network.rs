//! Who reaches whom below the mesh: the same callers as in the proto, by pod labels. And whom Prometheus scrapes.

use crate::{
    files::File,
    inputs::External,
    model::{ADMIN_PORT, GRPC_PORT, HTTP_PORT, INGRESS, MONITORING, Model, STORES, Unit},
    workload::{metadata, selector},
};
use serde_json::{Map, Value, json};

/// Addresses that are not the Internet's.
const PRIVATE: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"];
/// Where the sidecar shows its own metrics.
const PROXY_METRICS_PORT: u16 = 15090;
const ISTIOD_PORT: u16 = 15012;
const OTLP_PORT: u16 = 4317;
const DNS_PORT: u16 = 53;

pub fn policy(model: &Model, unit: &Unit) -> Value {
    let mut ingress = Vec::new();
    if unit.is_gateway() {
        ingress.push(json!({"from": [namespace(INGRESS)], "ports": [tcp(HTTP_PORT)]}));
    } else {
        let callers: Vec<&str> = model.callers_of(unit).into_iter().collect();
        ingress.push(json!({"from": [pods(&callers)], "ports": [tcp(GRPC_PORT)]}));
    }
    ingress.push(json!({"from": [namespace(MONITORING)], "ports": [tcp(ADMIN_PORT), tcp(PROXY_METRICS_PORT)]}));
    let mut egress = everybody();
    egress.extend(callees(model, &unit.name));
    let ports = unit.size.stores.iter().map(|s| tcp(store_port(s))).collect::<Vec<_>>();
    if !ports.is_empty() {
        egress.push(json!({"to": [namespace(STORES)], "ports": ports}));
    }
    egress.extend(outside(&unit.external));
    object(&unit.name, json!(["Ingress", "Egress"]), json!(ingress), json!(egress))
}

/// For pods that call and are not called.
pub fn operator_policy(model: &Model, name: &str) -> Value {
    let mut egress = everybody();
    egress.extend(callees(model, name));
    // The command builds every service on its own stores before it asks one of them.
    let stores = ["database", "nats", "redis"].map(|s| tcp(store_port(s)));
    egress.push(json!({"to": [namespace(STORES)], "ports": stores}));
    object(name, json!(["Ingress", "Egress"]), json!([]), json!(egress))
}

fn object(name: &str, types: Value, ingress: Value, egress: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(name, name),
        "spec": {"podSelector": {"matchLabels": selector(name)}, "policyTypes": types, "ingress": ingress, "egress": egress},
    })
}

/// What every pod needs: names, the mesh's control plane, the collector.
fn everybody() -> Vec<Value> {
    vec![
        json!({"to": [namespace("kube-system")], "ports": [{"protocol": "UDP", "port": DNS_PORT}, tcp(DNS_PORT)]}),
        json!({"to": [namespace("istio-system")], "ports": [tcp(ISTIOD_PORT)]}),
        json!({"to": [namespace(MONITORING)], "ports": [tcp(OTLP_PORT)]}),
    ]
}

fn callees(model: &Model, caller: &str) -> Option<Value> {
    let callees = model.callees(caller);
    (!callees.is_empty()).then(|| json!({"to": [pods(&callees)], "ports": [tcp(GRPC_PORT)]}))
}

fn outside(external: &[External]) -> Option<Value> {
    let mut ports: Vec<u64> = external.iter().map(|e| e.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<Value> = ports.iter().map(|p| json!({"protocol": "TCP", "port": p})).collect();
    (!ports.is_empty()).then(|| json!({"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE}}], "ports": ports}))
}

pub fn store_port(store: &str) -> u16 {
    match store {
        "database" => 5432,
        "nats" => 4222,
        _ => 6379,
    }
}

fn tcp(port: u16) -> Value {
    json!({"protocol": "TCP", "port": port})
}

fn namespace(name: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}})
}

fn pods(names: &[&str]) -> Value {
    json!({"podSelector": {"matchExpressions": [
        {"key": "app.kubernetes.io/name", "operator": "In", "values": names},
    ]}})
}

/// A PodMonitor a service: a ServiceMonitor would put the operators' port into every Service.
pub fn monitors(model: &Model) -> Vec<File> {
    let file =
        |u: &Unit| File::yaml(format!("k8s/components/monitoring/services/{}-pods.yaml", u.name), vec![monitor(u)]);
    model.units.iter().map(file).collect()
}

pub fn monitor(unit: &Unit) -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": metadata(&unit.name, &unit.name),
        "spec": {
            "selector": {"matchLabels": selector(&unit.name)},
            "podTargetLabels": ["app.kubernetes.io/name", "version"],
            // The series say themselves which service they are of.
            "podMetricsEndpoints": [{"port": "http-admin", "path": "/metrics", "interval": "15s", "honorLabels": true}],
        },
    })
}

/// The dashboards as Grafana's sidecar finds them: in a ConfigMap with the label `grafana_dashboard`.
pub fn dashboards(files: &[File]) -> File {
    let data: Map<String, Value> = files
        .iter()
        .filter_map(|f| Some((f, f.path.strip_prefix("monitoring/dashboards/")?)))
        .map(|(f, name)| (name.to_owned(), json!(f.render())))
        .collect();
    let mut metadata = metadata("jangteo-dashboards", "dashboards");
    metadata["namespace"] = json!(MONITORING);
    metadata["labels"]["grafana_dashboard"] = json!("1");
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    File::yaml("k8s/components/monitoring/services/dashboards.yaml", vec![object])
}
