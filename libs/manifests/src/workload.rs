//! What runs: account, settings, Deployments (stable and canary), Services, autoscalers, disruption budget.

use crate::{
    files::File,
    knob::Target,
    model::{ADMIN_PORT, GRPC_PORT, HTTP_PORT, Model, NAMESPACE, Unit},
    network,
};
use serde_json::{Value, json};

/// How long the program may drain, the proxy after it, and the kubelet wait for both.
/// A pod that ends is still known to its callers for a moment; it serves them until they have heard.
pub const LINGER_SECONDS: u64 = 5;
pub const DRAIN_SECONDS: u64 = 20;
pub const PROXY_DRAIN_SECONDS: u64 = 28;
pub const GRACE_SECONDS: u64 = 35;
pub const IMAGE: &str = "ghcr.io/jangteo/jangteo";
/// `nonroot` of the distroless image.
const USER: u32 = 65532;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Stable,
    Canary,
}

impl Version {
    pub fn label(self) -> &'static str {
        match self {
            Version::Stable => "stable",
            Version::Canary => "canary",
        }
    }
    /// The stable version goes by the service's name.
    fn name(self, unit: &Unit) -> String {
        match self {
            Version::Stable => unit.name.clone(),
            Version::Canary => format!("{}-canary", unit.name),
        }
    }
}

pub fn files(model: &Model) -> Vec<File> {
    let unit =
        |u: &Unit| File::yaml(format!("k8s/base/services/{}.yaml", u.name), documents(model, u, &Target::Kustomize));
    let operator = |name: &String| {
        let comment = vec![
            format!(
                "What a person's job runs as: `serviceAccountName: {name}` and the label `app.kubernetes.io/name: {name}`."
            ),
            "It may call what the proto lets that caller call, and nothing else.".to_owned(),
        ];
        File::yaml(format!("k8s/base/services/{name}.yaml"), operator(model, name)).comment(comment)
    };
    model.units.iter().map(unit).chain(model.operators.iter().map(operator)).collect()
}

/// All objects of a service but those of Istio and of Prometheus.
pub fn documents(model: &Model, unit: &Unit, target: &Target) -> Vec<Value> {
    let mut documents = vec![account(&unit.name), settings(unit, target)];
    for version in versions(unit) {
        documents.push(deployment(model, unit, version, target));
        documents.push(autoscaler(unit, version, target));
    }
    documents.push(service(unit, None));
    if unit.canary.is_some() {
        documents.extend(versions(unit).into_iter().map(|v| service(unit, Some(v))));
    }
    documents.push(disruption_budget(unit));
    documents.push(network::policy(model, unit));
    documents
}

pub fn operator(model: &Model, name: &str) -> Vec<Value> {
    vec![account(name), network::operator_policy(model, name)]
}

pub fn versions(unit: &Unit) -> Vec<Version> {
    if unit.canary.is_some() { vec![Version::Stable, Version::Canary] } else { vec![Version::Stable] }
}

pub fn metadata(name: &str, unit: &str) -> Value {
    json!({
        "name": name,
        "namespace": NAMESPACE,
        "labels": {"app.kubernetes.io/name": unit, "app.kubernetes.io/part-of": "jangteo"},
    })
}

pub fn selector(unit: &str) -> Value {
    json!({"app.kubernetes.io/name": unit})
}

fn version_selector(unit: &str, version: Version) -> Value {
    json!({"app.kubernetes.io/name": unit, "version": version.label()})
}

fn account(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, name),
        "automountServiceAccountToken": false,
    })
}

fn settings(unit: &Unit, target: &Target) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(&unit.name, &unit.name),
        "data": target.knob("env", json!(unit.size.env)),
    })
}

fn deployment(model: &Model, unit: &Unit, version: Version, target: &Target) -> Value {
    let mut labels = version_selector(&unit.name, version);
    labels["app.kubernetes.io/part-of"] = json!("jangteo");
    labels["app.kubernetes.io/version"] = tag(model, unit, version, target);
    let mut metadata = metadata(&version.name(unit), &unit.name);
    metadata["labels"]["version"] = json!(version.label());
    let mut pod = json!({
        "serviceAccountName": unit.name,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            spread("topology.kubernetes.io/zone", unit, version),
            spread("kubernetes.io/hostname", unit, version),
        ],
        "containers": [container(model, unit, version, target)],
    });
    let scratch = unit.size.scratch.as_deref();
    let helm = "(list (dict \"name\" \"data\" \"emptyDir\" (dict \"sizeLimit\" .)))";
    let volumes = json!([{"name": "data", "emptyDir": {"sizeLimit": scratch}}]);
    put(&mut pod, "volumes", target.optional("scratch", scratch, helm, volumes));
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {
            // No `replicas`: they are the autoscaler's, and an apply must not take them back.
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": version_selector(&unit.name, version)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations()},
                "spec": pod,
            },
        },
    })
}

/// The proxy starts first and stops last: it outlives the program's drain and ends with its last connection.
fn annotations() -> Value {
    let proxy = format!(
        "terminationDrainDuration: {PROXY_DRAIN_SECONDS}s\nholdApplicationUntilProxyStarts: true\nproxyMetadata:\n  \
         MINIMUM_DRAIN_DURATION: 5s\n  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: \"true\"\n"
    );
    json!({"proxy.istio.io/config": proxy, "kubectl.kubernetes.io/default-container": "jangteo"})
}

fn spread(key: &str, unit: &Unit, version: Version) -> Value {
    json!({
        "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": version_selector(&unit.name, version)},
        "matchLabelKeys": ["pod-template-hash"],
    })
}

fn tag(model: &Model, unit: &Unit, version: Version, target: &Target) -> Value {
    match (&unit.canary, version) {
        (Some(canary), Version::Canary) => target.knob("canary.tag", json!(canary.tag)),
        _ => target.computed(".Values.global.image.tag | toString", json!(model.inputs.version)),
    }
}

fn image(model: &Model, unit: &Unit, version: Version, target: &Target) -> Value {
    match (&unit.canary, version) {
        (Some(canary), Version::Canary) => {
            let helm = "printf \"%s:%s\" .Values.global.image.repository (toString .Values.canary.tag)";
            target.computed(helm, json!(format!("{IMAGE}:{}", canary.tag)))
        }
        _ => global_image(target, json!(format!("{IMAGE}:{}", model.inputs.version))),
    }
}

/// The image of everything that is no canary.
pub fn global_image(target: &Target, default: Value) -> Value {
    target.computed("printf \"%s:%s\" .Values.global.image.repository (toString .Values.global.image.tag)", default)
}

fn container(model: &Model, unit: &Unit, version: Version, target: &Target) -> Value {
    let port = if unit.is_gateway() {
        json!({"name": "http-edge", "containerPort": HTTP_PORT})
    } else {
        json!({"name": "grpc-api", "containerPort": GRPC_PORT})
    };
    let http = |path: &str| json!({"path": path, "port": "http-admin"});
    let ready =
        if unit.is_gateway() { json!({"httpGet": http("/readyz")}) } else { json!({"grpc": {"port": GRPC_PORT}}) };
    let probe = |what: &Value, period: u32, failures: u32| {
        let mut probe = what.clone();
        probe["periodSeconds"] = json!(period);
        probe["timeoutSeconds"] = json!(2);
        probe["failureThreshold"] = json!(failures);
        probe
    };
    let mut container = json!({
        "name": "jangteo",
        "image": image(model, unit, version, target),
        "imagePullPolicy": "IfNotPresent",
        "args": if unit.is_gateway() { json!(["gateway"]) } else { json!(["serve", unit.name]) },
        "ports": [port, {"name": "http-admin", "containerPort": ADMIN_PORT}],
        "env": env(unit),
        // The market's settings, this service's, and its own secrets (providers' keys); a later one wins, `env` wins over all.
        "envFrom": [
            {"configMapRef": {"name": "jangteo"}},
            {"configMapRef": {"name": unit.name}},
            {"secretRef": {"name": format!("jangteo-{}", unit.name), "optional": true}},
        ],
        // Readiness follows the stores; liveness does not, or a lost store would restart every pod.
        "startupProbe": probe(&json!({"httpGet": http("/healthz")}), 1, 60),
        "readinessProbe": probe(&ready, 2, 3),
        "livenessProbe": probe(&json!({"httpGet": http("/healthz")}), 10, 3),
        "resources": target.knob("resources", json!({
            "requests": {"cpu": unit.size.cpu, "memory": unit.size.memory},
            "limits": {"cpu": unit.size.cpu_limit, "memory": unit.size.memory},
        })),
        // Needs no shell; on by default from Kubernetes 1.30 on.
        "lifecycle": {"preStop": {"sleep": {"seconds": LINGER_SECONDS}}},
        "securityContext": {
            "allowPrivilegeEscalation": false, "privileged": false, "readOnlyRootFilesystem": true,
            "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
        },
    });
    let scratch = unit.size.scratch.as_deref();
    let helm = "(list (dict \"name\" \"data\" \"mountPath\" \"/data\"))";
    let mounts = json!([{"name": "data", "mountPath": "/data"}]);
    put(&mut container, "volumeMounts", target.optional("scratch", scratch, helm, mounts));
    container
}

fn put(object: &mut Value, key: &str, value: Value) {
    if !value.is_null() {
        object[key] = value;
    }
}

fn env(unit: &Unit) -> Value {
    let plain = |name: &str, value: String| json!({"name": name, "value": value});
    let mut env = vec![
        match unit.is_gateway() {
            true => plain("JANGTEO_HTTP", format!("0.0.0.0:{HTTP_PORT}")),
            false => plain("JANGTEO_GRPC", format!("0.0.0.0:{GRPC_PORT}")),
        },
        plain("JANGTEO_ADMIN", format!("0.0.0.0:{ADMIN_PORT}")),
        plain("JANGTEO_DRAIN_SECONDS", DRAIN_SECONDS.to_string()),
        // The sidecars prove who calls, retry and break circuits.
        plain("JANGTEO_RPC__MESH", "true".to_owned()),
    ];
    let mut secrets = Vec::new();
    if unit.size.stores.iter().any(|s| s == "database") {
        env.push(plain("JANGTEO_DATABASE__MIGRATE", "false".to_owned()));
        secrets.extend(["JANGTEO_DATABASE__URL", "JANGTEO_SECRET"]);
    }
    secrets.extend(unit.size.stores.iter().filter_map(|s| match s.as_str() {
        "nats" => Some("JANGTEO_NATS__URL"),
        "redis" => Some("JANGTEO_REDIS__URL"),
        _ => None,
    }));
    let secret = |name| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "jangteo", "key": name}}});
    env.extend(secrets.into_iter().map(secret));
    json!(env)
}

/// `version` none: all pods of the service, which is where callers go.
fn service(unit: &Unit, version: Option<Version>) -> Value {
    let port = if unit.is_gateway() {
        json!({"name": "http-edge", "appProtocol": "http", "port": HTTP_PORT, "targetPort": "http-edge"})
    } else {
        json!({"name": "grpc-api", "appProtocol": "grpc", "port": GRPC_PORT, "targetPort": "grpc-api"})
    };
    let (name, selector) = match version {
        None => (unit.name.clone(), selector(&unit.name)),
        Some(v) => (format!("{}-{}", unit.name, v.label()), version_selector(&unit.name, v)),
    };
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(&name, &unit.name),
        "spec": {"type": "ClusterIP", "selector": selector, "ports": [port]},
    })
}

fn autoscaler(unit: &Unit, version: Version, target: &Target) -> Value {
    let name = version.name(unit);
    let (at_least, at_most, cpu) = match (&unit.canary, version) {
        (Some(canary), Version::Canary) => (
            target.shared_knob("canary.replicas", "hpa.minReplicas", json!(canary.replicas)),
            target.shared_knob(
                "canary.maxReplicas",
                "hpa.maxReplicas",
                json!(canary.replicas.max(unit.size.max_replicas)),
            ),
            target.knob("hpa.cpu", json!(unit.size.cpu_target)),
        ),
        _ => (
            target.shared_knob("hpa.minReplicas", "hpa.minReplicas", json!(unit.size.replicas)),
            target.shared_knob("hpa.maxReplicas", "hpa.maxReplicas", json!(unit.size.max_replicas)),
            target.knob("hpa.cpu", json!(unit.size.cpu_target)),
        ),
    };
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata(&name, &unit.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": at_least,
            "maxReplicas": at_most,
            // The program's own container: the sidecar's idle share would hide its load.
            "metrics": [{"type": "ContainerResource", "containerResource": {
                "name": "cpu", "container": "jangteo", "target": {"type": "Utilization", "averageUtilization": cpu},
            }}],
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [
                    {"type": "Percent", "value": 100, "periodSeconds": 30},
                    {"type": "Pods", "value": 2, "periodSeconds": 30},
                ], "selectPolicy": "Max"},
                "scaleDown": {"stabilizationWindowSeconds": 300, "policies": [
                    {"type": "Pods", "value": 1, "periodSeconds": 60},
                ]},
            },
        },
    })
}

fn disruption_budget(unit: &Unit) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata(&unit.name, &unit.name),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(&unit.name)},
        },
    })
}

/// What the Vertical Pod Autoscaler would ask for, looked at and never applied: it would work against the autoscalers,
/// which count in percent of what is asked for.
pub fn recommendations(model: &Model) -> Vec<File> {
    let object = |unit: &Unit| {
        json!({
            "apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": metadata(&unit.name, &unit.name),
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": unit.name},
                "updatePolicy": {"updateMode": "Off"},
                "resourcePolicy": {"containerPolicies": [
                    {"containerName": "jangteo", "controlledResources": ["cpu", "memory"]},
                ]},
            },
        })
    };
    let file = |u: &Unit| File::yaml(format!("k8s/components/vpa/services/{}.yaml", u.name), vec![object(u)]);
    model.units.iter().map(file).collect()
}
