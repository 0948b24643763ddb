//! The tree as it is has nothing wrong with it, and each defect that is planted is found by its name.

use manifests::{Canary, Finding, Inputs, lint_tree, render, tree};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::LazyLock,
};

type Tree = BTreeMap<String, String>;

static SERVICES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let policies = proto::policy::policies(proto::pool()).unwrap();
    let owners: BTreeSet<String> = policies.into_values().map(|p| p.service).collect();
    // The probe is for tests of the libraries.
    owners.into_iter().filter(|s| s != "probe").collect()
});

fn services() -> Vec<&'static str> {
    SERVICES.iter().map(String::as_str).collect()
}

/// The hand-written files as they are, and what is rendered now.
fn rendered(canary: bool) -> Tree {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut inputs = Inputs::read(&root, "0.1.0").unwrap();
    inputs.canary.services.clear();
    if canary {
        inputs.canary.services.insert("order".into(), Canary { tag: "0.2.0".into(), weight: 10, replicas: 1 });
    }
    let mut files = inputs.hand.clone();
    files.extend(render(proto::pool(), &services(), &inputs).unwrap());
    files
}

static CLEAN: LazyLock<Tree> = LazyLock::new(|| rendered(false));
static CANARY: LazyLock<Tree> = LazyLock::new(|| rendered(true));

fn lint(tree: &Tree) -> Vec<Finding> {
    lint_tree(proto::pool(), &services(), tree).unwrap()
}

#[test]
fn the_tree_has_nothing_wrong_with_it() {
    for tree in [&*CLEAN, &*CANARY] {
        let found = lint(tree);
        assert!(found.is_empty(), "{}", found.iter().map(|f| format!("{f}\n")).collect::<String>());
    }
}

#[test]
fn rendering_twice_gives_the_same_and_nothing_is_stale() {
    assert_eq!(*CLEAN, rendered(false));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut there = tree(&root).unwrap();
    let texts: Vec<(String, String)> =
        CLEAN.iter().filter(|(_, t)| t.contains(manifests::MARK)).map(|(p, t)| (p.clone(), t.clone())).collect();
    there.retain(|_, text| !text.contains(manifests::MARK));
    there.extend(texts.iter().cloned());
    assert_eq!(manifests::differences(&texts, &there), []);
    there.insert("istio/services/gone.yaml".into(), format!("# {}\n", manifests::MARK));
    there.insert("istio/services/cart.yaml".into(), "changed by hand".into());
    there.remove("istio/services/auth.yaml");
    let found: Vec<_> =
        manifests::differences(&texts, &there).into_iter().map(|d| format!("{} {}", d.path, d.what)).collect();
    assert_eq!(
        found,
        [
            "istio/services/auth.yaml is missing",
            "istio/services/cart.yaml is not what is rendered",
            "istio/services/gone.yaml was rendered once and should be gone",
        ]
    );
}

/// A defect: where, how, and the rule that has to find it.
struct Plant {
    tree: &'static LazyLock<Tree>,
    file: &'static str,
    kind: &'static str,
    name: &'static str,
    change: Box<dyn Fn(&mut Value)>,
    rule: &'static str,
}

fn plant(
    at: (&'static str, &'static str, &'static str),
    rule: &'static str,
    change: impl Fn(&mut Value) + 'static,
) -> Plant {
    let (file, kind, name) = at;
    Plant { tree: &CLEAN, file, kind, name, change: Box::new(change), rule }
}

impl Plant {
    fn in_canary(self) -> Plant {
        Plant { tree: &CANARY, ..self }
    }

    /// The tree with the defect. `null` takes the object out.
    fn grown(&self) -> Tree {
        let mut tree = (**self.tree).clone();
        let text = tree.get_mut(self.file).unwrap_or_else(|| panic!("{} is not there", self.file));
        let mut documents: Vec<Value> =
            yaml_serde::Deserializer::from_str(text).map(|d| serde::Deserialize::deserialize(d).unwrap()).collect();
        let object = documents.iter_mut().find(|d| d["kind"] == self.kind && d["metadata"]["name"] == self.name);
        let object = object.unwrap_or_else(|| panic!("{}: no {} {}", self.file, self.kind, self.name));
        let before = object.clone();
        (self.change)(object);
        assert_ne!(*object, before, "{}: nothing was planted in {}", self.rule, self.name);
        // JSON is YAML.
        *text = documents.iter().map(|d| format!("{d}\n")).collect::<Vec<_>>().join("---\n");
        tree
    }
}

fn set(pointer: &'static str, value: Value) -> impl Fn(&mut Value) {
    move |object| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
        match (parent, value.is_null()) {
            (Value::Array(list), true) => drop(list.remove(key.parse().unwrap())),
            (Value::Array(list), false) => list[key.parse::<usize>().unwrap()] = value.clone(),
            (parent, true) => drop(parent.as_object_mut().unwrap().remove(key)),
            (parent, false) => parent[key] = value.clone(),
        }
    }
}

/// Changes the route of a method.
fn route(name: &'static str, change: impl Fn(&mut Value)) -> impl Fn(&mut Value) {
    move |vs| {
        let routes = vs["spec"]["http"].as_array_mut().unwrap();
        change(routes.iter_mut().find(|r| r["name"] == name).unwrap_or_else(|| panic!("no route {name}")));
    }
}

fn gone(object: &mut Value) {
    *object = Value::Null;
}

const CART: (&str, &str, &str) = ("istio/services/cart.yaml", "VirtualService", "cart");
const TRACK: (&str, &str, &str) = ("istio/services/shipping.yaml", "VirtualService", "shipping");
const ORDER: (&str, &str, &str) = ("istio/services/order.yaml", "VirtualService", "order");
const RULE: (&str, &str, &str) = ("istio/services/cart.yaml", "DestinationRule", "cart");
const ACCESS: (&str, &str, &str) = ("istio/services/cart.yaml", "AuthorizationPolicy", "cart");
const SIDECAR: (&str, &str, &str) = ("istio/services/cart.yaml", "Sidecar", "cart");
const NETWORK: (&str, &str, &str) = ("k8s/base/services/cart.yaml", "NetworkPolicy", "cart");
const PODS: (&str, &str, &str) = ("k8s/base/services/cart.yaml", "Deployment", "cart");
const SERVICE: (&str, &str, &str) = ("k8s/base/services/cart.yaml", "Service", "cart");
const SCALER: (&str, &str, &str) = ("k8s/base/services/cart.yaml", "HorizontalPodAutoscaler", "cart");
const BUDGET: (&str, &str, &str) = ("k8s/base/services/cart.yaml", "PodDisruptionBudget", "cart");
const ACCOUNT: (&str, &str, &str) = ("k8s/base/services/cart.yaml", "ServiceAccount", "cart");
const EDGE: (&str, &str, &str) = ("istio/gateway.yaml", "VirtualService", "edge");

fn travel() -> Vec<Plant> {
    vec![
        plant(ORDER, "weights", set("/spec/http/1/route/0/weight", json!(100))).in_canary(),
        plant(ORDER, "subset-missing", set("/spec/http/0/route/0/destination/subset", json!("kanary"))).in_canary(),
        plant(
            ("istio/services/order.yaml", "DestinationRule", "order"),
            "subset-empty",
            set("/spec/subsets/1/labels/version", json!("v9")),
        )
        .in_canary(),
        plant(ORDER, "shadowed-route", |vs| vs["spec"]["http"].as_array_mut().unwrap().swap(0, 1)).in_canary(),
        plant(CART, "shadowed-route", |vs| vs["spec"]["http"].as_array_mut().unwrap().rotate_right(1)),
        plant(CART, "retry-unsafe", route("AddCartItem", set("/retries/attempts", json!(2)))),
        plant(CART, "retry-unsafe", route("AddCartItem", set("/retries", Value::Null))),
        plant(CART, "retry-unsafe", route("rest", set("/retries/attempts", json!(1)))),
        plant(TRACK, "retry-unsafe", route("TrackShipment", set("/retries/attempts", json!(2)))),
        plant(EDGE, "retry-unsafe", set("/spec/http/0/retries", Value::Null)),
        plant(CART, "retry-unsaid", route("GetCart", set("/retries", Value::Null))),
        plant(CART, "retry-conditions", route("GetCart", set("/retries/retryOn", json!("unavailable")))),
        plant(CART, "retry-conditions", route("GetCart", set("/retries/retryOn", json!("unavailable,reset")))),
        plant(CART, "retry-conditions", route("GetCart", set("/retries/perTryTimeout", json!("3.25s")))),
        plant(CART, "retry-conditions", route("GetCart", set("/retries/perTryTimeout", Value::Null))),
        plant(TRACK, "stream-timeout", route("TrackShipment", set("/timeout", json!("1s")))),
        plant(EDGE, "stream-timeout", set("/spec/http/0/timeout", json!("15s"))),
        plant(CART, "route-timeout", route("GetCart", set("/timeout", json!("2.9s")))),
        plant(CART, "route-timeout", route("GetCart", set("/timeout", Value::Null))),
        plant(CART, "route-missing", set("/spec/http/0", Value::Null)),
        plant(CART, "route-missing", set("/spec/hosts/0", json!("card"))),
        plant(CART, "route-twice", |vs| {
            let first = vs["spec"]["http"][0].clone();
            vs["spec"]["http"].as_array_mut().unwrap().insert(1, first);
        }),
        plant(
            CART,
            "route-unknown",
            route("GetCart", set("/match/0/uri/exact", json!("/jangteo.cart.v1.CartService/GetCard"))),
        ),
        plant(CART, "destination-unknown", route("GetCart", set("/route/0/destination/host", json!("card")))),
        plant(EDGE, "ports", set("/spec/http/0/route/0/destination/port/number", json!(8081))),
        plant(RULE, "plaintext", set("/spec/trafficPolicy/tls/mode", json!("DISABLE"))),
        plant(RULE, "ejection", set("/spec/trafficPolicy/outlierDetection/consecutive5xxErrors", json!(5))),
        plant(RULE, "ejection", set("/spec/trafficPolicy/outlierDetection/maxEjectionPercent", json!(100))),
        plant(RULE, "destination-rule-missing", gone),
        plant(
            ("istio/services/catalog.yaml", "DestinationRule", "catalog"),
            "retry-amplification",
            set("/spec/trafficPolicy/retryBudget", Value::Null),
        ),
        plant(
            ("istio/services/auth.yaml", "VirtualService", "auth"),
            "deadline-chain",
            route("GetJwks", set("/timeout", json!("60s"))),
        ),
        plant(
            ("k8s/components/canary/order.yaml", "Rollout", "order"),
            "rollout-routes",
            set("/spec/strategy/canary/trafficRouting/istio/virtualService/routes/0", Value::Null),
        ),
    ]
}

fn who() -> Vec<Plant> {
    let principal = "/spec/rules/0/from/0/source/principals/0";
    let paths = "/spec/rules/0/to/0/operation/paths";
    vec![
        plant(ACCESS, "access-extra", set(principal, json!("cluster.local/ns/jangteo/sa/review"))),
        plant(ACCESS, "access-missing", set("/spec/rules/0/to/0/operation/paths/0", Value::Null)),
        plant(ACCESS, "access-missing", gone),
        plant(ACCESS, "access-wide", set(principal, json!("cluster.local/ns/jangteo/sa/*"))),
        plant(ACCESS, "access-wide", set(paths, json!(["/jangteo.cart.v1.CartService/*"]))),
        plant(ACCESS, "access-wide", set("/spec/rules/0/from", Value::Null)),
        plant(ACCESS, "access-wide", set("/spec/selector", Value::Null)),
        plant(NETWORK, "network-extra", |p| {
            let names = p.pointer_mut("/spec/ingress/0/from/0/podSelector/matchExpressions/0/values").unwrap();
            names.as_array_mut().unwrap().push(json!("review"));
        }),
        plant(NETWORK, "network-missing", set("/spec/ingress/0", Value::Null)),
        plant(NETWORK, "network-wide", set("/spec/ingress/0/from", Value::Null)),
        plant(NETWORK, "network-wide", set("/spec/ingress/0/from/0", json!({"namespaceSelector": {}}))),
        plant(NETWORK, "network-wide", set("/spec/policyTypes", json!(["Ingress"]))),
        plant(
            SIDECAR,
            "sidecar-extra",
            set("/spec/egress/0/hosts/0", json!("jangteo/payment.jangteo.svc.cluster.local")),
        ),
        plant(SIDECAR, "sidecar-missing", set("/spec/egress/0/hosts/0", Value::Null)),
        plant(SIDECAR, "sidecar-missing", gone),
        plant(SIDECAR, "sidecar-wide", set("/spec/egress/0/hosts/0", json!("*/*"))),
        plant(SIDECAR, "sidecar-wide", set("/spec/outboundTrafficPolicy/mode", json!("ALLOW_ANY"))),
        plant(SIDECAR, "egress-unknown", set("/spec/egress/0/hosts/0", json!("./api.example.com"))),
        plant(
            ("istio/egress.yaml", "ServiceEntry", "carriers"),
            "egress-missing",
            set("/spec/hosts/0", json!("api.carrier.example")),
        ),
        plant(
            ("istio/egress.yaml", "ServiceEntry", "carriers"),
            "egress-nobody",
            set("/metadata/annotations", json!({"jangteo.io/used-by": "shiping"})),
        ),
        plant(("istio/deny-all.yaml", "AuthorizationPolicy", "deny-all"), "deny-all", gone),
        plant(
            ("istio/peer-authentication.yaml", "PeerAuthentication", "default"),
            "plaintext",
            set("/spec/mtls/mode", json!("PERMISSIVE")),
        ),
        plant(
            ("istio/peer-authentication.yaml", "PeerAuthentication", "metrics"),
            "plaintext",
            set("/spec/portLevelMtls", json!({"50051": {"mode": "DISABLE"}})),
        ),
    ]
}

fn pods() -> Vec<Plant> {
    vec![
        plant(PODS, "service-missing", gone),
        plant(PODS, "wrong-role", set("/spec/template/spec/containers/0/args/1", json!("order"))),
        plant(PODS, "no-account", set("/spec/template/spec/serviceAccountName", json!("order"))),
        plant(PODS, "selector", set("/spec/template/metadata/labels/version", json!("v9"))),
        plant(PODS, "drain", set("/spec/template/spec/terminationGracePeriodSeconds", json!(20))),
        plant(PODS, "drain", set("/spec/template/spec/containers/0/lifecycle", Value::Null)),
        plant(PODS, "latest", set("/spec/template/spec/containers/0/image", json!("ghcr.io/jangteo/jangteo:latest"))),
        plant(PODS, "latest", set("/spec/template/spec/containers/0/image", json!("localhost:5000/jangteo"))),
        plant(PODS, "rolling-update", set("/spec/strategy/rollingUpdate/maxUnavailable", json!("25%"))),
        plant(
            PODS,
            "root",
            set("/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem", json!(false)),
        ),
        plant(PODS, "ports", set("/spec/template/spec/containers/0/readinessProbe/grpc/port", json!(50052))),
        plant(PODS, "no-probe", set("/spec/template/spec/containers/0/livenessProbe", Value::Null)),
        plant(PODS, "no-autoscaler", set("/spec/replicas", json!(2))),
        plant(ACCOUNT, "no-account", gone),
        plant(BUDGET, "no-budget", gone),
        plant(BUDGET, "budget-stuck", set("/spec/maxUnavailable", json!(0))),
        plant(BUDGET, "selector", set("/spec/selector/matchLabels", json!({"app": "cart"}))),
        plant(SCALER, "no-autoscaler", gone),
        plant(SCALER, "autoscaler-bounds", set("/spec/maxReplicas", json!(1))),
        plant(NETWORK, "no-network-policy", gone),
        plant(NETWORK, "selector", set("/spec/podSelector/matchLabels", json!({"app.kubernetes.io/name": "card"}))),
        plant(SERVICE, "selector", set("/spec/selector", json!({"app": "cart"}))),
        plant(SERVICE, "ports", set("/spec/ports/0/targetPort", json!("grpc"))),
        plant(SERVICE, "port-protocol", set("/spec/ports/0/appProtocol", Value::Null)),
        plant(
            ("k8s/components/monitoring/services/cart-pods.yaml", "PodMonitor", "cart"),
            "ports",
            set("/spec/podMetricsEndpoints/0/port", json!("metrics")),
        ),
    ]
}

fn every_one_is_found(plants: Vec<Plant>) {
    let mut missed = Vec::new();
    for plant in plants {
        let found = lint(&plant.grown());
        if !found.iter().any(|f| f.rule == plant.rule && !f.what.is_empty()) {
            let rules: BTreeSet<_> = found.iter().map(|f| f.rule).collect();
            missed.push(format!("{} in {} {}: found only {rules:?}\n", plant.rule, plant.kind, plant.name));
        }
    }
    assert!(missed.is_empty(), "{}", missed.concat());
}

#[test]
fn defects_of_routes_are_found() {
    every_one_is_found(travel());
}

#[test]
fn defects_of_access_are_found() {
    every_one_is_found(who());
}

#[test]
fn defects_of_workloads_are_found() {
    every_one_is_found(pods());
}

#[test]
fn a_file_that_is_no_yaml_is_found_and_a_finding_says_where() {
    let mut broken = CLEAN.clone();
    broken.insert("istio/telemetry.yaml".into(), "spec: [".into());
    assert_eq!(lint(&broken)[0].rule, "yaml");
    let found = lint(&plant(TRACK, "", route("TrackShipment", set("/timeout", json!("1s")))).grown());
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    let text = finding.to_string();
    assert!(text.starts_with("istio/services/shipping.yaml: VirtualService jangteo/shipping: spec.http["), "{text}");
    assert!(
        text.contains("].timeout: stream-timeout: /jangteo.shipping.v1.ShippingService/TrackShipment is a stream"),
        "{text}"
    );
}
