//! The objects of the tree, and small questions to them.

use super::{Finding, Report, files};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub struct Object {
    pub file: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub value: Value,
}

impl Object {
    pub fn title(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
    pub fn spec(&self) -> &Value {
        &self.value["spec"]
    }
    /// The labels of its pods.
    pub fn pod_labels(&self) -> &Value {
        &self.template()["metadata"]["labels"]
    }
    pub fn template(&self) -> &Value {
        match self.kind.as_str() {
            "CronJob" => &self.spec()["jobTemplate"]["spec"]["template"],
            _ => &self.spec()["template"],
        }
    }
    pub fn containers(&self) -> impl Iterator<Item = &Value> {
        list(&self.template()["spec"]["containers"])
    }
}

#[derive(Default)]
pub struct Objects {
    pub all: Vec<Object>,
    /// Patches of kustomizations, `(kind, name, operations)`: some bring what another object needs.
    pub patches: Vec<(String, String, Value)>,
}

/// What starts pods.
const WORKLOADS: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"];

impl Objects {
    pub fn read(tree: &BTreeMap<String, String>, report: &mut Report) -> Objects {
        let mut objects = Objects::default();
        let mut partial = BTreeSet::new();
        let wanted = |path: &str| {
            let ours = path.starts_with("k8s/") || path.starts_with("istio/");
            ours && !path.starts_with("k8s/helm/") && (path.ends_with(".yaml") || path.ends_with(".yml"))
        };
        let mut documents = Vec::new();
        for (path, text) in tree.iter().filter(|(p, _)| wanted(p)) {
            match files::parse(text) {
                Err(e) => report.0.push(Finding {
                    file: path.clone(),
                    object: "(unreadable)".to_owned(),
                    at: String::new(),
                    rule: "yaml",
                    what: format!("correct the YAML: {e}"),
                }),
                Ok(values) if path.ends_with("/kustomization.yaml") => {
                    let folder = path.trim_end_matches("kustomization.yaml");
                    for patch in values.iter().flat_map(|k| list(&k["patches"])) {
                        partial.extend(text_of(&patch["path"]).map(|p| format!("{folder}{p}")));
                        objects.keep_patch(patch);
                    }
                }
                Ok(values) => documents.extend(values.into_iter().map(|v| (path.clone(), v))),
            }
        }
        // A patch is part of an object, and says nothing alone.
        for (file, value) in documents.into_iter().filter(|(path, _)| !partial.contains(path)) {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            let (kind, meta) = (text(&value["kind"]), &value["metadata"]);
            // What kustomize reads and never puts out.
            let local = meta["annotations"]["config.kubernetes.io/local-config"] == "true";
            if !kind.is_empty() && !local {
                let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
                objects.all.push(Object { file, kind, namespace, name, value });
            }
        }
        objects
    }

    fn keep_patch(&mut self, patch: &Value) {
        let text = |v: &Value| text_of(v).unwrap_or_default().to_owned();
        let operations = text_of(&patch["patch"]).and_then(|p| files::parse(p).ok()).unwrap_or_default();
        for operation in operations.iter().flat_map(list) {
            self.patches.push((text(&patch["target"]["kind"]), text(&patch["target"]["name"]), operation.clone()));
        }
    }

    pub fn kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.all.iter().filter(move |o| o.kind == kind)
    }
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<&Object> {
        self.all.iter().find(|o| o.kind == kind && o.namespace == namespace && o.name == name)
    }
    pub fn workloads(&self) -> impl Iterator<Item = &Object> {
        self.all.iter().filter(|o| WORKLOADS.contains(&o.kind.as_str()))
    }
    /// The workloads of a namespace whose pods have these labels.
    pub fn selected<'a>(&'a self, namespace: &'a str, selector: &'a Value) -> impl Iterator<Item = &'a Object> {
        self.workloads().filter(move |w| w.namespace == namespace && covers(selector, w.pod_labels()))
    }
    /// The Service behind `order`, `order.jangteo.svc.cluster.local`.
    pub fn service_of(&self, host: &str, namespace: &str) -> Option<&Object> {
        let mut parts = host.split('.');
        let name = parts.next().unwrap_or_default();
        self.get("Service", parts.next().unwrap_or(namespace), name)
    }
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
pub fn text_of(value: &Value) -> Option<&str> {
    value.as_str()
}
pub fn strings(value: &Value) -> impl Iterator<Item = &str> {
    list(value).filter_map(Value::as_str)
}

/// Whether `labels` have everything that `selector` (a map) asks for.
pub fn covers(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_none_or(|s| s.iter().all(|(k, v)| labels.get(k) == Some(v)))
}

/// The same service, however it is written: `order` and `order.jangteo.svc.cluster.local`.
pub fn same_host(a: &str, b: &str, namespace: &str) -> bool {
    let full = |h: &str| match h.split('.').count() {
        1 => format!("{h}.{namespace}"),
        _ => h.trim_end_matches(".svc.cluster.local").to_owned(),
    };
    full(a) == full(b)
}

/// `3.25s`, `500ms`, `2m`, `1h`
pub fn duration(value: &Value) -> Option<Duration> {
    let text = value.as_str()?;
    let digits = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = (text[..digits].parse::<f64>().ok()?, &text[digits..]);
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}
