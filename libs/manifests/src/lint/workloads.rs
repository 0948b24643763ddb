//! What runs, and whether what belongs to it is there and fits.

use super::{
    GATEWAY, NAMESPACE, Report, Truth,
    objects::{Object, Objects, covers, duration, list, strings, text_of},
};
use crate::files;
use serde_json::Value;

/// Namespaces whose Deployments serve calls, and so have to survive a node and a peak.
const SERVING: [&str; 2] = [NAMESPACE, "jangteo-ingress"];

/// The port of the container that injection adds.
const PROXY_METRICS: &str = "http-envoy-prom";

pub fn check(truth: &Truth, objects: &Objects, report: &mut Report) {
    for unit in truth.units() {
        present(objects, unit, report);
    }
    for workload in objects.workloads() {
        images(workload, report);
        account(objects, workload, report);
        if workload.kind == "Deployment" {
            companions(objects, workload, report);
        }
        if matches!(workload.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet") {
            let selector = &workload.spec()["selector"]["matchLabels"];
            if selector.is_null() || !covers(selector, workload.pod_labels()) {
                let what = "does not select the pods of its own template: make the labels the same";
                report.add(workload, "spec.selector", "selector", what);
            }
        }
        if workload.namespace == NAMESPACE && workload.kind == "Deployment" {
            rolling(workload, report);
            drain(workload, report);
        }
        for (i, container) in workload.containers().enumerate() {
            probes(workload, i, container, report);
            if workload.namespace == NAMESPACE {
                restricted(workload, i, container, report);
            }
        }
    }
    objects.kind("Service").for_each(|s| service(objects, s, report));
    objects.kind("HorizontalPodAutoscaler").for_each(|h| autoscaler(objects, h, report));
    objects.kind("PodDisruptionBudget").for_each(|b| budget(objects, b, report));
    objects.kind("PodMonitor").for_each(|m| monitor(objects, m, report));
    for (kind, at) in
        [("NetworkPolicy", "podSelector"), ("AuthorizationPolicy", "selector"), ("Sidecar", "workloadSelector")]
    {
        objects.kind(kind).for_each(|o| selects_somebody(objects, o, at, report));
    }
}

fn present(objects: &Objects, unit: &str, report: &mut Report) {
    let Some(deployment) = objects.get("Deployment", NAMESPACE, unit) else {
        let what = "is in the list of services and nothing runs it: render again";
        return report.missing(format!("Deployment {NAMESPACE}/{unit}"), "service-missing", what);
    };
    let expected: Vec<&str> = if unit == GATEWAY { vec!["gateway"] } else { vec!["serve", unit] };
    let args: Vec<&str> = deployment.containers().flat_map(|c| strings(&c["args"])).collect();
    if args != expected {
        let what = format!("runs {args:?} under the name of {unit}: {expected:?}");
        report.add(deployment, "spec.template.spec.containers[0].args", "wrong-role", what);
    }
    if text_of(&deployment.template()["spec"]["serviceAccountName"]) != Some(unit) {
        let what = format!("callers are known by their account: {unit} needs its own");
        report.add(deployment, "spec.template.spec.serviceAccountName", "no-account", what);
    }
    if objects.get("Service", NAMESPACE, unit).is_none() {
        report.missing(format!("Service {NAMESPACE}/{unit}"), "service-missing", "nobody finds its pods: render again");
    }
}

fn images(workload: &Object, report: &mut Report) {
    let pod = &workload.template()["spec"];
    for field in ["initContainers", "containers"] {
        for (i, container) in list(&pod[field]).enumerate() {
            let image = text_of(&container["image"]).unwrap_or_default();
            let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
            // `auto` is what injection replaces.
            if image != "auto" && !image.contains('@') && tag.is_none_or(|t| t == "latest") {
                let what = format!("{image:?} is another program tomorrow: name a version");
                report.add(workload, format!("spec.template.spec.{field}[{i}].image"), "latest", what);
            }
        }
    }
}

fn account(objects: &Objects, workload: &Object, report: &mut Report) {
    let at = "spec.template.spec.serviceAccountName";
    match text_of(&workload.template()["spec"]["serviceAccountName"]) {
        None => report.add(
            workload,
            at,
            "no-account",
            "runs as `default`, which everybody is: give it an account of its own",
        ),
        Some(name) if objects.get("ServiceAccount", &workload.namespace, name).is_none() => {
            report.add(workload, at, "no-account", format!("there is no ServiceAccount {name}"));
        }
        Some(_) => {}
    }
}

fn companions(objects: &Objects, deployment: &Object, report: &mut Report) {
    let (namespace, labels) = (&deployment.namespace, deployment.pod_labels());
    let selecting = |kind: &'static str, selector: fn(&Value) -> &Value| {
        objects.kind(kind).filter(move |o| &o.namespace == namespace).any(move |o| {
            let selector = selector(o.spec());
            // By name: what selects a whole namespace says nothing of one Deployment.
            !selector["app.kubernetes.io/name"].is_null() && covers(selector, labels)
        })
    };
    if !selecting("NetworkPolicy", |s| &s["podSelector"]["matchLabels"]) {
        let what = "no NetworkPolicy selects its pods: say who may reach them";
        report.add(deployment, "spec.template.metadata.labels", "no-network-policy", what);
    }
    if !SERVING.contains(&namespace.as_str()) {
        return;
    }
    if !selecting("PodDisruptionBudget", |s| &s["selector"]["matchLabels"]) {
        let what = "a node that is emptied may take all of its pods: give it a PodDisruptionBudget";
        report.add(deployment, "spec.template.metadata.labels", "no-budget", what);
    }
    let scales = |h: &Object| {
        let to = &h.spec()["scaleTargetRef"];
        &h.namespace == namespace && to["kind"] == "Deployment" && to["name"] == deployment.name
    };
    if !objects.kind("HorizontalPodAutoscaler").any(scales) {
        let what = "nothing adds pods under load: give it a HorizontalPodAutoscaler";
        report.add(deployment, "spec", "no-autoscaler", what);
    } else if !deployment.spec()["replicas"].is_null() {
        let what = "every apply would undo what the autoscaler set: leave replicas out";
        report.add(deployment, "spec.replicas", "no-autoscaler", what);
    }
}

fn rolling(deployment: &Object, report: &mut Report) {
    if deployment.spec()["strategy"]["rollingUpdate"]["maxUnavailable"].as_u64() != Some(0) {
        let what = "a release would take pods away before new ones are ready: set 0";
        report.add(deployment, "spec.strategy.rollingUpdate.maxUnavailable", "rolling-update", what);
    }
}

/// The program drains, then its proxy, then the kubelet kills what is left.
fn drain(deployment: &Object, report: &mut Report) {
    let pod = &deployment.template()["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_f64().unwrap_or(30.0);
    let env = deployment.containers().flat_map(|c| list(&c["env"])).find(|e| e["name"] == "JANGTEO_DRAIN_SECONDS");
    // The program's own default, when nothing is said.
    let drain = env.and_then(|e| text_of(&e["value"])?.parse::<f64>().ok()).unwrap_or(20.0);
    let linger =
        deployment.containers().filter_map(|c| c["lifecycle"]["preStop"]["sleep"]["seconds"].as_f64()).sum::<f64>();
    if env.is_some() && linger == 0.0 {
        let what = "callers still know a pod that ends: lifecycle.preStop.sleep keeps it serving until they have heard";
        report.add(deployment, "spec.template.spec.containers", "drain", what);
    }
    let drain = linger + drain;
    let proxy = text_of(&deployment.template()["metadata"]["annotations"]["proxy.istio.io/config"])
        .and_then(|text| files::parse(text).ok())
        .and_then(|config| duration(&config.first()?["terminationDrainDuration"]))
        .map_or(5.0, |d| d.as_secs_f64());
    if !(drain < proxy && proxy < grace) {
        let what = format!(
            "the program drains {drain} s, its proxy {proxy} s, and both are killed after {grace} s: \
             each has to be longer than the one before"
        );
        report.add(deployment, "spec.template.spec.terminationGracePeriodSeconds", "drain", what);
    }
}

fn has_port(container: &Value, port: &Value) -> bool {
    list(&container["ports"]).any(|p| &p["containerPort"] == port || &p["name"] == port)
}

fn probes(workload: &Object, i: usize, container: &Value, report: &mut Report) {
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let asked = ["httpGet", "grpc", "tcpSocket"].map(|how| &container[probe][how]["port"]);
        for port in asked.into_iter().filter(|p| !p.is_null()) {
            if !has_port(container, port) {
                let at = format!("spec.template.spec.containers[{i}].{probe}");
                report.add(workload, at, "ports", format!("asks port {port}, which the container does not have"));
            }
        }
        if workload.kind == "Deployment" && workload.namespace == NAMESPACE && container[probe].is_null() {
            let at = format!("spec.template.spec.containers[{i}].{probe}");
            report.add(workload, at, "no-probe", "nobody would notice that it does not answer: add it");
        }
    }
}

/// What the Pod Security Standard `restricted` asks for, and a root file system that nobody writes to.
fn restricted(workload: &Object, i: usize, container: &Value, report: &mut Report) {
    let (pod, own) = (&workload.template()["spec"]["securityContext"], &container["securityContext"]);
    let either = |field: &str| if own[field].is_null() { &pod[field] } else { &own[field] };
    let wrong = [
        ("runAsNonRoot", either("runAsNonRoot") != &Value::Bool(true)),
        ("seccompProfile", either("seccompProfile")["type"] != "RuntimeDefault"),
        ("allowPrivilegeEscalation", own["allowPrivilegeEscalation"] != false),
        ("readOnlyRootFilesystem", own["readOnlyRootFilesystem"] != true),
        ("capabilities", !strings(&own["capabilities"]["drop"]).any(|c| c == "ALL")),
    ];
    for (field, _) in wrong.iter().filter(|(_, wrong)| *wrong) {
        let at = format!("spec.template.spec.containers[{i}].securityContext.{field}");
        report.add(workload, at, "root", "is not what the namespace's `restricted` admits: set it");
    }
}

fn service(objects: &Objects, service: &Object, report: &mut Report) {
    let selector = &service.spec()["selector"];
    if selector.is_null() {
        return;
    }
    let pods: Vec<&Object> = objects.selected(&service.namespace, selector).collect();
    if pods.is_empty() {
        return report.add(service, "spec.selector", "selector", "no pods have these labels");
    }
    for (i, port) in list(&service.spec()["ports"]).enumerate() {
        let target = if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] };
        // What injection fills in has the ports that the mesh gives it.
        let injected = pods.iter().any(|p| p.containers().any(|c| c["image"] == "auto"));
        if !injected && !pods.iter().all(|p| p.containers().any(|c| has_port(c, target))) {
            report.add(service, format!("spec.ports[{i}].targetPort"), "ports", format!("no container has {target}"));
        }
        let name = text_of(&port["name"]).unwrap_or_default();
        if port["port"] == 50051 && (port["appProtocol"] != "grpc" || !name.starts_with("grpc")) {
            let what = "the mesh has to know that this is gRPC: appProtocol: grpc and a name grpc-…";
            report.add(service, format!("spec.ports[{i}]"), "port-protocol", what);
        }
    }
}

fn autoscaler(objects: &Objects, scaler: &Object, report: &mut Report) {
    let to = &scaler.spec()["scaleTargetRef"];
    let (kind, name) = (text_of(&to["kind"]).unwrap_or_default(), text_of(&to["name"]).unwrap_or_default());
    if objects.get(kind, &scaler.namespace, name).is_none() {
        report.add(scaler, "spec.scaleTargetRef", "selector", format!("there is no {kind} {name}"));
    }
    let bound = |field: &str| scaler.spec()[field].as_u64().unwrap_or(1);
    if bound("minReplicas") > bound("maxReplicas") {
        report.add(scaler, "spec.minReplicas", "autoscaler-bounds", "is more than maxReplicas");
    }
}

fn budget(objects: &Objects, budget: &Object, report: &mut Report) {
    let selector = &budget.spec()["selector"]["matchLabels"];
    let pods: Vec<&Object> = objects.selected(&budget.namespace, selector).collect();
    if pods.is_empty() {
        report.add(budget, "spec.selector", "selector", "no pods have these labels");
    }
    let least = |w: &&Object| {
        let of = |h: &&Object| h.namespace == w.namespace && h.spec()["scaleTargetRef"]["name"] == w.name;
        objects.all.iter().filter(|o| o.kind == "HorizontalPodAutoscaler").find(of)?.spec()["minReplicas"].as_u64()
    };
    let replicas = pods.iter().filter_map(least).min();
    let kept = budget.spec()["minAvailable"].as_u64();
    let stuck = kept.zip(replicas).is_some_and(|(kept, replicas)| kept >= replicas);
    // A store of one server is moved by a person.
    let serving = SERVING.contains(&budget.namespace.as_str());
    if serving && (stuck || budget.spec()["maxUnavailable"].as_u64() == Some(0)) {
        report.add(budget, "spec", "budget-stuck", "never lets a node be emptied: allow one pod to be away");
    }
}

fn monitor(objects: &Objects, monitor: &Object, report: &mut Report) {
    let selector = &monitor.spec()["selector"]["matchLabels"];
    if selector.is_null() {
        return;
    }
    let pods: Vec<&Object> = objects.selected(&monitor.namespace, selector).collect();
    if pods.is_empty() {
        return report.add(monitor, "spec.selector", "selector", "no pods have these labels");
    }
    for (i, endpoint) in list(&monitor.spec()["podMetricsEndpoints"]).enumerate().filter(|(_, e)| !e["port"].is_null())
    {
        let there = endpoint["port"] == PROXY_METRICS
            || pods.iter().any(|p| p.containers().any(|c| has_port(c, &endpoint["port"])));
        if !there {
            let at = format!("spec.podMetricsEndpoints[{i}].port");
            report.add(monitor, at, "ports", format!("no container has {}", endpoint["port"]));
        }
    }
}

/// A policy for nobody protects nobody. Operators' jobs have an account and come and go.
fn selects_somebody(objects: &Objects, policy: &Object, at: &str, report: &mut Report) {
    let selector = &policy.spec()[at];
    let labels = if selector["labels"].is_null() { &selector["matchLabels"] } else { &selector["labels"] };
    let Some(name) = labels.as_object().filter(|l| !l.is_empty()).map(|l| l.get("app.kubernetes.io/name")) else {
        return;
    };
    let account =
        name.and_then(Value::as_str).is_some_and(|n| objects.get("ServiceAccount", &policy.namespace, n).is_some());
    if !account && objects.selected(&policy.namespace, labels).next().is_none() {
        report.add(policy, format!("spec.{at}"), "selector", "no pods have these labels: it protects nobody");
    }
}
