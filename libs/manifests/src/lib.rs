//! What runs the market on Kubernetes and Istio, rendered from what the program itself reads: the policies of the
//! methods (`proto`), the list of services, and the small hand-written files `k8s/sizing.toml` and `istio/canary.toml`.
//! Calls nobody, emits nothing; reads and writes files below the root that it is given and nothing else.
//!
//! | files | from |
//! | --- | --- |
//! | `k8s/base/services/<name>.yaml` | `workload`, `network`: ServiceAccount, Deployment, Services, HPA, PDB, NetworkPolicy |
//! | `istio/services/<name>.yaml` | `routes`, `access`: VirtualService, DestinationRule, AuthorizationPolicy, Sidecar |
//! | `k8s/components/monitoring/services/*.yaml` | `network`, `alerts`: PodMonitor, PrometheusRule; the dashboards as a ConfigMap |
//! | `k8s/components/vpa/services/<name>.yaml` | `workload`: VerticalPodAutoscaler, which only recommends |
//! | `monitoring/dashboards/*.json` | `dashboards` |
//! | `k8s/helm/jangteo/…` but `values-*.yaml` | `chart`: the same objects with `{{ .Values… }}` where a value is a `knob` |
//!
//! A module that renders has one function `files(&Model) -> Vec<File>`. A [`File`] is a path below the root, comment
//! lines for its head, and a body: YAML documents built with `serde_json::json!`, one JSON document, or text. The head
//! that says "generated", the order of keys, and the `kustomization.yaml` of a folder of rendered objects are written
//! here, so that no renderer repeats them. Everything that a renderer may know is in [`Model`]: services and their
//! methods, who calls whom, sizes, objectives, canaries, the version.
//!
//! [`lint()`] reads the finished tree back, hand-written files included, and holds it against the policies: it shares no
//! value with the renderers.

mod access;
mod alerts;
mod chart;
mod dashboards;
mod files;
mod inputs;
mod knob;
mod lint;
mod model;
mod network;
mod routes;
mod workload;

pub use files::{Body, File, MARK};
pub use inputs::{Canaries, Canary, Connections, External, Inputs, Objectives, Size, Sizing, tree};
pub use knob::Target;
pub use lint::{Finding, lint as lint_tree};
pub use model::{Model, Unit};

use prost_reflect::DescriptorPool;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Every generated file: path below the root and text, by path.
pub fn render(pool: &DescriptorPool, services: &[&str], inputs: &Inputs) -> Result<Vec<(String, String)>, String> {
    let model = Model::new(pool, services, inputs)?;
    let mut files = workload::files(&model);
    files.extend(workload::recommendations(&model));
    files.extend(routes::files(&model));
    files.extend(network::monitors(&model));
    files.extend(alerts::files(&model));
    files.extend(dashboards::files(&model));
    files.push(network::dashboards(&files));
    files.extend(kustomizations(&files));
    files.extend(chart::files(&model, &files)?);
    let texts: BTreeMap<String, String> = files.iter().map(|f| (f.path.clone(), f.render())).collect();
    Ok(texts.into_iter().collect())
}

/// A `kustomization.yaml` for each folder that holds rendered objects only.
fn kustomizations(files: &[File]) -> Vec<File> {
    let mut folders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in files.iter().filter(|f| matches!(f.body, Body::Yaml(_))) {
        if let Some((folder, name)) = file.path.rsplit_once('/').filter(|(f, _)| f.ends_with("/services")) {
            folders.entry(folder).or_default().insert(name);
        }
    }
    let object = |names: &BTreeSet<&str>| -> Value {
        json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names})
    };
    folders.iter().map(|(f, names)| File::yaml(format!("{f}/kustomization.yaml"), vec![object(names)])).collect()
}

/// What `check` found: a path below the root, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub path: String,
    pub what: &'static str,
}

/// Compares what is rendered with what is there.
pub fn differences(rendered: &[(String, String)], there: &BTreeMap<String, String>) -> Vec<Difference> {
    let mut found = Vec::new();
    for (path, text) in rendered {
        match there.get(path) {
            None => found.push(Difference { path: path.clone(), what: "is missing" }),
            Some(old) if old != text => found.push(Difference { path: path.clone(), what: "is not what is rendered" }),
            Some(_) => {}
        }
    }
    let rendered: BTreeSet<&str> = rendered.iter().map(|(p, _)| p.as_str()).collect();
    for (path, _) in there.iter().filter(|(p, text)| text.contains(MARK) && !rendered.contains(p.as_str())) {
        found.push(Difference { path: path.clone(), what: "was rendered once and should be gone" });
    }
    found
}

fn rendered(root: &Path, services: &[&str], version: &str) -> Result<Vec<(String, String)>, String> {
    render(proto::pool(), services, &Inputs::read(root, version)?)
}

/// What differs below `root` from what is rendered, stale files included; empty when nothing does.
pub fn check(root: &Path, services: &[&str], version: &str) -> Result<Vec<Difference>, String> {
    let there = tree(root).map_err(|e| format!("{}: {e}", root.display()))?;
    Ok(differences(&rendered(root, services, version)?, &there))
}

/// Writes what differs below `root` and removes what is stale; answers what it touched.
pub fn write(root: &Path, services: &[&str], version: &str) -> Result<Vec<Difference>, String> {
    let rendered = rendered(root, services, version)?;
    let there = tree(root).map_err(|e| format!("{}: {e}", root.display()))?;
    let touched = differences(&rendered, &there);
    let texts: BTreeMap<&str, &str> = rendered.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    for Difference { path, .. } in &touched {
        let to = root.join(path);
        let done = match texts.get(path.as_str()) {
            Some(text) => fs::create_dir_all(to.parent().unwrap_or(root)).and_then(|()| fs::write(&to, text)),
            None => fs::remove_file(&to),
        };
        done.map_err(|e| format!("{path}: {e}"))?;
    }
    Ok(touched)
}

/// What is wrong with the objects below `root`, hand-written ones included; empty when nothing is.
pub fn lint(root: &Path, services: &[&str]) -> Result<Vec<Finding>, String> {
    let tree = tree(root).map_err(|e| format!("{}: {e}", root.display()))?;
    lint_tree(proto::pool(), services, &tree)
}
