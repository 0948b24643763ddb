//! What is written by hand and read here: sizes, canaries, names outside the cluster, and the tree itself.

use crate::files;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Everything that rendering depends on beside the descriptors and the list of services.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    pub sizing: Sizing,
    pub canary: Canaries,
    /// The hand-written YAML files below `k8s/` and `istio/`, by path.
    pub hand: BTreeMap<String, String>,
    /// Of the program; the image's tag.
    pub version: String,
}

/// `k8s/sizing.toml`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizing {
    /// Callers that are neither services nor the gateway.
    #[serde(default)]
    pub operators: Vec<String>,
    defaults: toml::Table,
    #[serde(default)]
    services: BTreeMap<String, toml::Table>,
}

/// What one service gets and promises.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    pub replicas: u32,
    pub max_replicas: u32,
    pub cpu: String,
    pub cpu_limit: String,
    pub memory: String,
    pub cpu_target: u32,
    /// `database`, `nats`, `redis`
    pub stores: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Size of a writable folder `/data` that ends with the pod.
    #[serde(default)]
    pub scratch: Option<String>,
    pub connections: Connections,
    pub objectives: Objectives,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    pub connections: u32,
    pub requests: u32,
}

/// What each method of a service promises over 30 days.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objectives {
    /// Share of calls that end without a fault of ours.
    pub availability: f64,
    pub latency_ms: u32,
    /// Share of calls that end within `latency_ms`.
    pub latency_share: f64,
}

impl Sizing {
    pub fn parse(text: &str) -> Result<Sizing, String> {
        toml::from_str(text).map_err(|e| format!("k8s/sizing.toml: {e}"))
    }

    /// The defaults, overlaid with what the service says.
    pub fn of(&self, service: &str) -> Result<Size, String> {
        let mut merged = self.defaults.clone();
        if let Some(own) = self.services.get(service) {
            overlay(&mut merged, own);
        }
        let size: Size = merged.try_into().map_err(|e| format!("k8s/sizing.toml: {service}: {e}"))?;
        if size.replicas < 1 || size.max_replicas < size.replicas {
            return Err(format!("k8s/sizing.toml: {service}: needs 1 <= replicas <= max_replicas"));
        }
        match size.stores.iter().find(|s| !["database", "nats", "redis"].contains(&s.as_str())) {
            Some(store) => Err(format!("k8s/sizing.toml: {service}: {store} is no store: database, nats, redis")),
            None => Ok(size),
        }
    }

    /// Names that have a table and are none of `known`.
    pub fn strangers<'a>(&'a self, known: &[&str]) -> Option<&'a str> {
        self.services.keys().map(String::as_str).find(|n| !known.contains(n))
    }
}

fn overlay(base: &mut toml::Table, over: &toml::Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => overlay(below, above),
            _ => drop(base.insert(key.clone(), value.clone())),
        }
    }
}

/// `istio/canary.toml`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canaries {
    /// The header that sends a call to the canary of the service that it names.
    pub header: String,
    #[serde(default)]
    pub services: BTreeMap<String, Canary>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Of the image.
    pub tag: String,
    /// Percent of calls.
    pub weight: u32,
    /// Pods, at least.
    pub replicas: u32,
}

impl Canaries {
    pub fn parse(text: &str) -> Result<Canaries, String> {
        let canaries: Canaries = toml::from_str(text).map_err(|e| format!("istio/canary.toml: {e}"))?;
        match canaries.services.iter().find(|(_, c)| c.weight > 100 || c.replicas < 1) {
            Some((name, _)) => Err(format!("istio/canary.toml: {name}: needs a weight of 0 to 100 and a replica")),
            None => Ok(canaries),
        }
    }
}

/// A host outside the cluster: a ServiceEntry of `istio/egress.yaml`, whose annotation [`USED_BY`] names the services.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct External {
    pub host: String,
    pub port: u64,
}

/// `jangteo.io/used-by: payment, shipping`
pub const USED_BY: &str = "jangteo.io/used-by";

impl Inputs {
    /// Reads the tree below `root`.
    pub fn read(root: &Path, version: &str) -> Result<Inputs, String> {
        let text = |path: &str| fs::read_to_string(root.join(path)).map_err(|e| format!("{path}: {e}"));
        let hand = tree(root).map_err(|e| format!("{}: {e}", root.display()))?;
        Ok(Inputs {
            sizing: Sizing::parse(&text("k8s/sizing.toml")?)?,
            canary: Canaries::parse(&text("istio/canary.toml")?)?,
            hand: hand.into_iter().filter(|(_, text)| !text.contains(files::MARK)).collect(),
            version: version.to_owned(),
        })
    }

    /// The outside hosts that `service` uses.
    pub fn external(&self, service: &str) -> Result<Vec<External>, String> {
        let Some(text) = self.hand.get("istio/egress.yaml") else { return Ok(vec![]) };
        let entries = files::parse(text).map_err(|e| format!("istio/egress.yaml: {e}"))?;
        let mut found = Vec::new();
        for entry in entries.iter().filter(|e| e["kind"] == "ServiceEntry") {
            let users = entry["metadata"]["annotations"][USED_BY].as_str().unwrap_or_default();
            if users.split(',').any(|u| u.trim() == service) {
                for (host, port) in strings(&entry["spec"]["hosts"]).flat_map(|h| ports(entry).map(move |p| (h, p))) {
                    found.push(External { host: host.to_owned(), port });
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn ports(entry: &Value) -> impl Iterator<Item = u64> {
    entry["spec"]["ports"].as_array().into_iter().flatten().filter_map(|p| p["number"].as_u64())
}

/// The folders whose files are read, checked and linted.
pub const FOLDERS: [&str; 3] = ["k8s", "istio", "monitoring"];

/// Every file below [`FOLDERS`], by its path below `root`. What is not text is left out.
pub fn tree(root: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|f| root.join(f)).filter(|f| f.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let below = path.strip_prefix(root).expect("it is below").to_string_lossy().into_owned();
                found.insert(below, text);
            }
        }
    }
    Ok(found)
}
