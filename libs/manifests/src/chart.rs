//! The Helm chart: an umbrella, and a subchart a service. The objects are those of the kustomize tree: a service's from
//! the functions that render it there, asked with [`Target::Chart`]; hand-written ones read from the tree, with the few
//! values that an environment changes put in place of their defaults.
//!
//! | in the tree | in the chart |
//! | --- | --- |
//! | `k8s/base`, `istio`, components | `templates/<folder>/…`, a component behind `global.components.<name>` |
//! | `k8s/base/services/<name>.yaml`, `istio/services/<name>.yaml` | `charts/<name>/templates/` |
//! | an overlay's patches | `values-<environment>.yaml` |
//!
//! What only one overlay brings (a mail catcher, the entries of managed stores, throw-away secrets) stands in
//! `templates/environments/<name>/` behind `global.environment`. A component that patches other objects than volumes has no
//! template and is for kustomize alone.

use crate::{
    files::{self, File, MARK},
    inputs::Inputs,
    knob::{self, Target},
    model::{Model, Unit},
    routes, workload,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const CHART: &str = "k8s/helm/jangteo";
const COMPONENTS: &str = "k8s/components";
const OVERLAYS: &str = "k8s/overlays";
/// The public hosts are below it.
const DOMAIN: &str = "jangteo.example";
/// Whose objects are generated; everything else in the tree is read.
const GENERATED: [&str; 4] =
    ["k8s/base/services", "istio/services", "k8s/components/monitoring/services", "k8s/components/vpa/services"];
/// Whose objects of services are in the subcharts.
const IN_SUBCHARTS: [&str; 2] = ["k8s/base/services", "istio/services"];

pub fn files(model: &Model, rendered: &[File]) -> Result<Vec<File>, String> {
    let mut out = Vec::new();
    let mut services = Map::new();
    for unit in &model.units {
        let target = Target::chart();
        out.extend(subchart(model, unit, &target));
        services.insert(unit.name.clone(), target.values());
    }
    let shared = Target::chart();
    let mut flags = BTreeSet::new();
    let mut trees: Vec<(String, Option<String>)> = vec![("k8s/base".to_owned(), None)];
    trees.extend(components(&model.inputs).into_iter().map(|folder| (folder.clone(), Some(flag(&folder)))));
    for (environment, path, documents) in environments(&model.inputs)? {
        let to = format!("{CHART}/templates/environments/{environment}/{path}");
        out.push(template(&to, Some(&format!("eq .Values.global.environment \"{environment}\"")), &documents));
    }
    for (folder, flag) in trees {
        for (path, mut documents) in resources(model, rendered, &folder)? {
            documents.iter_mut().for_each(|d| open(d, &shared));
            let to = path.trim_start_matches("k8s/").trim_start_matches("components/").replace("/services/", "/");
            let condition = flag.as_ref().map(|f| format!(".Values.global.components.{f}"));
            out.push(template(&format!("{CHART}/templates/{to}"), condition.as_deref(), &documents));
        }
        flags.extend(flag);
    }
    let values = values(model, &flags, shared.values(), services);
    out.push(File::json(format!("{CHART}/values.schema.json"), schema(model, &values)));
    out.push(File::yaml(format!("{CHART}/values.yaml"), vec![values]).comment(vec![
        "Every value that an environment may change; the defaults are those of k8s/base.".to_owned(),
        "values-dev.yaml, values-staging.yaml and values-prod.yaml are by hand, like the overlays of the same names.".to_owned(),
    ]));
    out.push(chart_yaml(model));
    Ok(out)
}

fn subchart(model: &Model, unit: &Unit, target: &Target) -> Vec<File> {
    let folder = format!("{CHART}/charts/{}", unit.name);
    let chart = json!({
        "apiVersion": "v2", "name": unit.name, "version": model.inputs.version, "appVersion": model.inputs.version,
        "type": "application", "description": format!("The {} of the market", unit.name),
    });
    let workload = workload::documents(model, unit, target);
    let mesh = routes::documents(model, unit, target);
    vec![
        File::yaml(format!("{folder}/Chart.yaml"), vec![chart]),
        template(&format!("{folder}/templates/service.yaml"), None, &workload),
        template(&format!("{folder}/templates/istio.yaml"), Some(".Values.global.components.istio"), &mesh),
    ]
}

fn template(path: &str, condition: Option<&str>, documents: &[Value]) -> File {
    let body = knob::expand(&knob::escape(&files::print(documents)));
    File::text(
        path,
        match condition {
            Some(condition) => format!("{{{{- if {condition} }}}}\n{body}{{{{- end }}}}\n"),
            None => body,
        },
    )
}

/// The folders of components that bring objects, and change no others but volumes.
fn components(inputs: &Inputs) -> Vec<String> {
    let kustomizations = inputs.hand.iter().filter_map(|(path, text)| {
        let folder = path.strip_suffix("/kustomization.yaml").filter(|f| f.starts_with(COMPONENTS))?;
        Some((folder, files::parse(text).ok()?.into_iter().next()?))
    });
    kustomizations
        .filter(|(_, k)| k["kind"] == "Component" && !k["resources"].is_null())
        .filter(|(_, k)| {
            let kinds = k["patches"].as_array().into_iter().flatten().map(|p| p["target"]["kind"].as_str());
            kinds.clone().all(|kind| matches!(kind, Some("StatefulSet" | "PersistentVolumeClaim")))
        })
        .map(|(folder, _)| folder.to_owned())
        .collect()
}

/// `k8s/components/external-secrets` is `externalSecrets`, `k8s/components/stores/nats` is `stores.nats`.
fn flag(folder: &str) -> String {
    let mut out = String::new();
    let mut upper = false;
    for c in folder.trim_start_matches(COMPONENTS).trim_start_matches('/').chars() {
        match c {
            '/' => out.push('.'),
            '-' => upper = true,
            c if std::mem::take(&mut upper) => out.extend(c.to_uppercase()),
            c => out.push(c),
        }
    }
    out
}

/// The objects that a kustomization brings, file by file, but those that are in the subcharts.
fn resources(model: &Model, rendered: &[File], folder: &str) -> Result<BTreeMap<String, Vec<Value>>, String> {
    let (at, hand) = (format!("{folder}/kustomization.yaml"), &model.inputs.hand);
    let text = hand.get(&at).ok_or_else(|| format!("{at} is missing"))?;
    let documents = files::parse(text).map_err(|e| format!("{at}: {e}"))?;
    let mut found = BTreeMap::new();
    for resource in documents.iter().flat_map(|k| k["resources"].as_array()).flatten().filter_map(Value::as_str) {
        let path = join(folder, resource);
        if GENERATED.contains(&path.as_str()) {
            found.extend(generated(model, rendered, &path));
        } else if let Some(text) = hand.get(&path) {
            found.insert(path.clone(), files::parse(text).map_err(|e| format!("{path}: {e}"))?);
        } else {
            found.extend(resources(model, rendered, &path)?);
        }
    }
    Ok(found)
}

fn generated(model: &Model, rendered: &[File], folder: &str) -> Vec<(String, Vec<Value>)> {
    let of_subchart = |name: &str| {
        IN_SUBCHARTS.contains(&folder)
            && model.units.iter().any(|u| name.strip_suffix(".yaml") == Some(u.name.as_str()))
    };
    let wanted = |f: &&File| {
        let name = f.path.strip_prefix(folder).and_then(|n| n.strip_prefix('/'));
        name.is_some_and(|n| n != "kustomization.yaml" && !of_subchart(n))
    };
    let documents = |f: &File| match &f.body {
        files::Body::Yaml(documents) => Some((f.path.clone(), documents.clone())),
        _ => None,
    };
    rendered.iter().filter(wanted).filter_map(documents).collect()
}

/// What an overlay alone brings: its own files, and the secrets that it makes of literals.
fn environments(inputs: &Inputs) -> Result<Vec<(String, String, Vec<Value>)>, String> {
    let mut found = Vec::new();
    for (path, text) in &inputs.hand {
        let below = path.strip_prefix(OVERLAYS).and_then(|p| p.trim_start_matches('/').split_once('/'));
        let Some((environment, "kustomization.yaml")) = below else { continue };
        let folder = format!("{OVERLAYS}/{environment}");
        for kustomization in files::parse(text).map_err(|e| format!("{path}: {e}"))? {
            let resources = kustomization["resources"].as_array().into_iter().flatten().filter_map(Value::as_str);
            for name in resources.filter(|r| !r.contains('/')) {
                let at = join(&folder, name);
                let text = inputs.hand.get(&at).ok_or_else(|| format!("{path}: {at} is missing"))?;
                let documents = files::parse(text).map_err(|e| format!("{at}: {e}"))?;
                found.push((environment.to_owned(), name.to_owned(), documents));
            }
            let secrets: Vec<Value> =
                kustomization["secretGenerator"].as_array().into_iter().flatten().map(secret).collect();
            if !secrets.is_empty() {
                found.push((environment.to_owned(), "generated-secrets.yaml".to_owned(), secrets));
            }
        }
    }
    Ok(found)
}

fn secret(generator: &Value) -> Value {
    let literals = generator["literals"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let data: Map<String, Value> =
        literals.filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), json!(v))).collect();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": generator["name"], "namespace": generator["namespace"]}, "stringData": data,
    })
}

/// `../..` resolved.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Opens in a hand-written object what an environment changes: the market's settings, images, hosts, scale, volumes.
fn open(object: &mut Value, target: &Target) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    match object["kind"].as_str().unwrap_or_default() {
        "ConfigMap" if name == "jangteo" => object["data"] = target.knob("config", object["data"].clone()),
        "HorizontalPodAutoscaler" => {
            for bound in ["minReplicas", "maxReplicas"] {
                let helm = format!("coalesce .Values.global.hpa.{bound} {}", object["spec"][bound]);
                object["spec"][bound] = target.computed(&helm, object["spec"][bound].clone());
            }
        }
        "StatefulSet" => {
            for claim in object["spec"]["volumeClaimTemplates"].as_array_mut().into_iter().flatten() {
                claim["spec"]["storageClassName"] = storage_class(target);
            }
            let pod = &mut object["spec"]["template"]["spec"];
            if !pod["affinity"].is_null() {
                pod["affinity"] = target.knob(&format!("stores.{name}.affinity"), pod["affinity"].clone());
            }
            let resources = &mut pod["containers"][0]["resources"];
            *resources = target.knob(&format!("stores.{name}.resources"), resources.clone());
        }
        "PersistentVolumeClaim" => object["spec"]["storageClassName"] = storage_class(target),
        "Gateway" | "VirtualService" | "AuthorizationPolicy" => open_hosts(object, target),
        _ => {}
    }
    open_images(object, target);
}

fn storage_class(target: &Target) -> Value {
    target.optional("storageClass", None, ".", Value::Null)
}

fn open_hosts(value: &mut Value, target: &Target) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|v| open_hosts(v, target)),
        Value::Array(list) => list.iter_mut().for_each(|v| open_hosts(v, target)),
        Value::String(text) if text.contains(DOMAIN) => *value = target.inside("domain", DOMAIN, text),
        _ => {}
    }
}

/// Images of ours; and file modes, which Kubernetes' own reader takes for octal (YAML 1.1) and ours for text.
fn open_images(value: &mut Value, target: &Target) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let text = value.as_str().unwrap_or_default();
                let octal = text.strip_prefix('0').and_then(|digits| u32::from_str_radix(digits, 8).ok());
                match (key.as_str(), octal) {
                    ("image", _) if text.starts_with(&format!("{}:", workload::IMAGE)) => {
                        *value = workload::global_image(target, value.clone());
                    }
                    ("mode" | "defaultMode", Some(mode)) => *value = json!(mode),
                    _ => open_images(value, target),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| open_images(v, target)),
        _ => {}
    }
}

fn values(model: &Model, flags: &BTreeSet<String>, shared: Value, services: Map<String, Value>) -> Value {
    let components = Target::chart();
    for flag in flags {
        // The base is made for the mesh; the others are an environment's choice.
        components.knob(flag, json!(flag == "istio"));
    }
    let mut values = json!({"global": {
        "image": {"repository": workload::IMAGE, "tag": model.inputs.version},
        "components": components.values(),
        "environment": "",
        "hpa": {"minReplicas": null, "maxReplicas": null},
    }});
    values.as_object_mut().expect("an object").extend(shared.as_object().cloned().unwrap_or_default());
    values.as_object_mut().expect("an object").extend(services);
    values
}

fn schema(model: &Model, values: &Value) -> Value {
    let services: BTreeSet<&str> = model.units.iter().map(|u| u.name.as_str()).collect();
    let properties: Map<String, Value> = values
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            let mut schema = match key.as_str() {
                // As Kubernetes has them, which checks them itself.
                "stores" => json!({"type": "object"}),
                key => shape(value, key == "config"),
            };
            if services.contains(key.as_str()) {
                // Helm hands every subchart the global values.
                schema["properties"]["global"] = json!({"type": "object"});
            }
            (key.clone(), schema)
        })
        .collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": format!("{MARK}."),
        "type": "object", "properties": properties, "additionalProperties": false,
    })
}

/// What a value of the chart has to look like: as its default does. Settings are text, with any names.
fn shape(default: &Value, settings: bool) -> Value {
    match default {
        Value::Object(_) if settings => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Value::Object(map) => {
            let properties: Map<String, Value> = map.iter().map(|(k, v)| (k.clone(), shape(v, k == "env"))).collect();
            json!({"type": "object", "properties": properties, "additionalProperties": false})
        }
        Value::Number(_) => json!({"type": "integer", "minimum": 0}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Null => json!({"type": ["integer", "null"], "minimum": 1}),
        _ => json!({"type": "string"}),
    }
}

fn chart_yaml(model: &Model) -> File {
    let version = &model.inputs.version;
    let dependencies: Vec<Value> =
        model.units.iter().map(|u| json!({"name": u.name, "version": version, "repository": ""})).collect();
    let chart = json!({
        "apiVersion": "v2", "name": "jangteo", "version": version, "appVersion": version, "type": "application",
        "description": "A marketplace back end, one process a service", "kubeVersion": ">=1.29.0-0",
        "dependencies": dependencies,
    });
    File::yaml(format!("{CHART}/Chart.yaml"), vec![chart])
}
