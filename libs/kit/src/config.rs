//! Configuration: defaults, then a file, then the environment, read once and passed by value.
//!
//! The file is `jangteo.toml` or what `JANGTEO_CONFIG` names. `JANGTEO_DATABASE__URL` sets
//! `database.url`; `JANGTEO_CATALOG__X` sets `x` of the catalog service. An unknown key is an error.

use crate::crash;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use jangteo_core::{Error, Result};
use rpc::{CallerTrust, PeerConfig, TlsConfig};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

/// Without `database.url` the market is embedded: SQLite files under `data`, events and cache inside
/// the process. With it, PostgreSQL, and then NATS has to be named too.
///
/// Not `Debug`: it holds the secret, and URLs with passwords.
#[derive(Clone, Serialize, Deserialize)]
pub struct Config {
    /// Where the embedded market keeps its files.
    #[serde(default = "defaults::data")]
    pub data: PathBuf,
    /// Where the edge listens.
    #[serde(default = "defaults::http")]
    pub http: SocketAddr,
    /// Where this process's services listen for gRPC. A process of all services needs none.
    #[serde(default)]
    pub grpc: Option<SocketAddr>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served by a process without an edge.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// The master secret, 64 hexadecimal digits: signs page tokens, seals personal data. Embedded: made
    /// at the first start and kept under `data`.
    #[serde(default)]
    pub secret: Option<String>,
    /// Master keys for personal data, when they are rotated by hand instead of derived from `secret`.
    #[serde(default)]
    pub keys: Option<db::crypt::KeyringConfig>,
    #[serde(default)]
    pub database: DatabaseConfig,
    #[serde(default)]
    pub nats: NatsConfig,
    #[serde(default)]
    pub events: EventsConfig,
    #[serde(default)]
    pub redis: RedisConfig,
    /// `service = url` for services that run elsewhere; default `http://<service>:50051`, `https` with TLS.
    #[serde(default)]
    pub peers: BTreeMap<String, String>,
    #[serde(default)]
    pub rpc: RpcConfig,
    #[serde(default)]
    pub tls: TlsConfig,
    #[serde(default)]
    pub audit: AuditConfig,
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// Let the demo data, whose accounts have a published password, into stores other than the embedded ones.
    #[serde(default)]
    pub demo_accounts: bool,
    /// How long a stop may take, in seconds, before what is left is cut off.
    #[serde(default = "defaults::drain")]
    pub drain_seconds: u64,
    /// Each service's own section, and `edge`.
    #[serde(flatten)]
    pub sections: BTreeMap<String, serde_json::Value>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://user@host/database`; each service has a schema of its own name in it.
    pub url: Option<String>,
    pub replicas: Vec<String>,
    pub max_connections: u32,
    /// `service = [url, …]`: databases behind the shards of a service that has them.
    pub shards: BTreeMap<String, Vec<String>>,
    /// Bring the schema up to date when starting; otherwise `jangteo migrate` has to be run before.
    pub migrate: bool,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        DatabaseConfig { url: None, replicas: vec![], max_connections: 10, shards: BTreeMap::new(), migrate: true }
    }
}

#[derive(Clone, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct NatsConfig {
    /// `nats://host:4222`, several separated by commas.
    pub url: Option<String>,
    /// Copies of each stream: 3 in a cluster.
    pub replicas: Option<usize>,
    /// Bytes that a stream may hold.
    pub max_bytes: Option<i64>,
    pub credentials_file: Option<PathBuf>,
}

/// How often an event that a handler refuses is tried before it becomes a dead letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    pub max_attempts: u32,
    /// Pause before the second attempt; it doubles from one to the next.
    pub backoff_min_ms: u64,
    pub backoff_max_ms: u64,
}

impl Default for EventsConfig {
    fn default() -> Self {
        EventsConfig { max_attempts: 8, backoff_min_ms: 100, backoff_max_ms: 30_000 }
    }
}

/// The trail of audited calls is in the databases; where its chains end is written outside them, signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// For the checkpoints. Default: `audit` below the embedded market's `data`, and nowhere else: then they are in the log
    /// alone, under the target `audit`.
    pub folder: Option<PathBuf>,
    /// How often they are written, when there is something new.
    pub checkpoint_ms: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        AuditConfig { folder: None, checkpoint_ms: 5_000 }
    }
}

#[derive(Clone, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://host:6379`. Without it caches and limits are each process's own.
    pub url: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcConfig {
    /// A mesh retries, breaks circuits and names the caller: do none of it here.
    pub mesh: bool,
    /// What stands before a service's name in its SPIFFE id in the mesh.
    pub spiffe_prefix: String,
    /// Believe the caller's header; only where nobody else can reach the port.
    pub trust_caller_header: bool,
    pub peer: PeerConfig,
}

impl Default for RpcConfig {
    fn default() -> Self {
        let spiffe_prefix = "spiffe://cluster.local/ns/jangteo/sa/".to_owned();
        RpcConfig { mesh: false, spiffe_prefix, trust_caller_header: false, peer: PeerConfig::default() }
    }
}

impl RpcConfig {
    pub fn peer(&self) -> PeerConfig {
        if self.mesh { PeerConfig { connections: self.peer.connections, ..PeerConfig::meshed() } } else { self.peer }
    }
    pub fn trust(&self) -> CallerTrust {
        match (self.mesh, self.trust_caller_header) {
            (true, _) => CallerTrust::Mesh { prefix: self.spiffe_prefix.as_str().into() },
            (false, true) => CallerTrust::Header,
            (false, false) => CallerTrust::Transport,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// `http://collector:4317`. Without it no spans are exported.
    pub otlp: Option<String>,
    /// What to log, as in `RUST_LOG`.
    pub log: String,
    /// Log as JSON lines; by default everywhere but in a process that stands alone.
    pub json: Option<bool>,
    /// Share of traces that are exported.
    pub sample: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        TelemetryConfig { otlp: None, log: "info,sqlx=warn,async_nats=warn,fred=warn".into(), json: None, sample: 1.0 }
    }
}

mod defaults {
    use super::*;
    pub fn data() -> PathBuf {
        "data".into()
    }
    pub fn http() -> SocketAddr {
        ([127, 0, 0, 1], 8080).into()
    }
    pub fn drain() -> u64 {
        20
    }
}

/// Variables with our prefix that aren't configuration.
const NOT_OURS: [&str; 2] = ["config", "crash_at"];

impl Config {
    /// Reads file and environment. `overrides` come from the command line and win.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn load(overrides: &BTreeMap<&str, String>) -> Result<Config> {
        if let Ok(spec) = std::env::var("JANGTEO_CRASH_AT") {
            crash::arm(&spec);
        }
        let file = std::env::var("JANGTEO_CONFIG").unwrap_or_else(|_| "jangteo.toml".to_owned());
        let env = Env::prefixed("JANGTEO_")
            .filter(|key| !NOT_OURS.iter().any(|k| key == *k) && !key.starts_with("test_"))
            .split("__");
        let figment = Figment::new().merge(Toml::file(file)).merge(env).merge(Serialized::defaults(overrides));
        figment.extract().map_err(|e| Error::invalid("configuration", "INVALID_CONFIGURATION", e.to_string()))
    }

    /// The defaults, for a market embedded under `data`.
    pub fn embedded(data: impl Into<PathBuf>) -> Config {
        let overrides = BTreeMap::from([("data", data.into())]);
        Figment::new().merge(Serialized::defaults(overrides)).extract().expect("everything else has a default")
    }

    pub fn is_embedded(&self) -> bool {
        self.database.url.is_none()
    }

    /// Part of something larger, and so its logs are read by machines.
    pub(crate) fn is_member(&self) -> bool {
        !self.is_embedded() || !self.peers.is_empty() || self.tls.cert.is_some() || self.rpc.mesh
    }

    /// The section of a service or of the edge; absent: its defaults.
    pub fn section<C: DeserializeOwned + Default>(&self, name: &str) -> Result<C> {
        match self.sections.get(name) {
            None => Ok(C::default()),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|e| Error::invalid(name, "INVALID_CONFIGURATION", e.to_string())),
        }
    }

    /// The section laid over `base`, for defaults that depend on the role.
    pub fn section_over<C: DeserializeOwned + Serialize>(&self, name: &str, base: &C) -> Result<C> {
        let section = Serialized::defaults(self.sections.get(name));
        let merged = Figment::from(Serialized::defaults(base)).merge(section);
        merged.extract().map_err(|e| Error::invalid(name, "INVALID_CONFIGURATION", e.to_string()))
    }

    /// Refuses sections that belong to nobody.
    pub fn check_sections(&self, services: &[&str]) -> Result<()> {
        let foreign = |n: &&String| *n != "edge" && !services.contains(&n.as_str());
        if let Some(name) = self.sections.keys().find(foreign) {
            return Err(Error::invalid(name, "INVALID_CONFIGURATION", "is no setting and no service"));
        }
        Ok(())
    }

    /// Refuses stores that don't go together.
    pub fn check_stores(&self) -> Result<()> {
        let bad = |field: &str, text: &str| Err(Error::invalid(field, "INVALID_CONFIGURATION", text));
        if self.is_embedded() && self.nats.url.is_some() {
            return bad("database.url", "is needed beside nats.url: SQLite's events never leave the process");
        }
        if !self.is_embedded() && self.nats.url.is_none() {
            return bad("nats.url", "is needed beside database.url: PostgreSQL's events travel over NATS");
        }
        if !self.is_embedded() && self.secret.is_none() {
            return bad("secret", "is needed outside the embedded mode: 64 hexadecimal digits");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_an_error_that_names_the_key() {
        let mut config = Config::embedded("/tmp/x");
        config.sections.insert("catalgo".into(), serde_json::json!({}));
        assert_eq!(config.check_sections(&["catalog"]).unwrap_err().field_violations()[0].field, "catalgo");
    }

    #[test]
    fn production_has_no_default_secret() {
        let mut config = Config::embedded("/tmp/x");
        config.database.url = Some("postgres://db/x".into());
        config.nats.url = Some("nats://n:4222".into());
        assert_eq!(config.check_stores().unwrap_err().field_violations()[0].field, "secret");
    }
}
