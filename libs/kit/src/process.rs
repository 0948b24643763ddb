//! What the services of one process share.

use crate::{Config, Entry, secrets::Secrets};
use cache::{Cache, CacheConfig};
use db::{Db, DbConfig, crypt::Keyring};
use jangteo_core::{Clock, Error, Result};
use proto::{Channel, policy::Policies};
use rpc::{Guard, LocalService, Peer, TlsFiles, Verifier};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

pub(crate) struct Process {
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub cache: Cache,
    pub secrets: Secrets,
    pub keyring: Keyring,
    pub verifier: Arc<Verifier>,
    pub guard: Arc<Guard>,
    pub policies: Arc<Policies>,
    pub tls: Option<TlsFiles>,
    /// The services of this process; filled when all are built.
    pub local: BTreeMap<&'static str, LocalService>,
    /// Keys and revocations have been seen: tokens can be judged.
    pub tokens_known: AtomicBool,
    /// Names this process among replicas.
    pub owner: String,
}

impl Process {
    pub fn new(config: Config, clock: Arc<dyn Clock>, services: &[Entry]) -> Result<Process> {
        if config.is_embedded() && !services.is_empty() {
            std::fs::create_dir_all(&config.data)
                .map_err(|e| Error::invalid("data", "UNWRITABLE", format!("{}: {e}", config.data.display())))?;
        }
        // The edge alone keeps nothing, and needs no secret.
        let secrets = if services.is_empty() { Secrets::ephemeral()? } else { Secrets::load(&config)? };
        let verifier = Arc::new(Verifier::default());
        let guard = Guard::new(verifier.clone(), clock.clone(), config.rpc.trust())?;
        let cache = Cache::new(&CacheConfig { redis: config.redis.url.clone(), ..CacheConfig::default() })?;
        Ok(Process {
            keyring: secrets.keyring(&config)?,
            policies: Arc::new(guard.policies.clone()),
            tls: config.tls.load()?,
            local: services.iter().map(|s| (s.name, LocalService::default())).collect(),
            tokens_known: AtomicBool::new(false),
            owner: format!("{}-{}", std::process::id(), uuid_tail()),
            config,
            clock,
            cache,
            secrets,
            verifier,
            guard,
        })
    }

    /// The channel from one service (or the gateway) to another, wherever that runs.
    pub fn channel(&self, caller: &str, service: &str) -> Result<Channel> {
        let peer = Peer { caller: caller.into(), policies: self.policies.clone(), config: self.config.rpc.peer() };
        if let Some(local) = self.local.get(service) {
            return Ok(peer.local(local.clone()));
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = self.config.peers.get(service).cloned().unwrap_or_else(|| format!("{scheme}://{service}:50051"));
        peer.remote(service, &url, self.tls.as_ref())
    }

    /// Opens a service's databases and brings them up to date: its own first, then those of its shards.
    pub async fn databases(&self, service: &Entry) -> Result<Vec<Db>> {
        let d = &self.config.database;
        let base = DbConfig { max_connections: d.max_connections, ..DbConfig::default() };
        let configs = match (&d.url, d.shards.get(service.name)) {
            (None, None) => {
                let path = self.config.data.join(format!("{}.db", service.name));
                vec![DbConfig { url: format!("sqlite://{}?mode=rwc", path.display()), ..base }]
            }
            (None, Some(_)) => {
                return Err(Error::invalid("database.shards", "INVALID_CONFIGURATION", "needs database.url"));
            }
            (Some(url), shards) => {
                let urls = shards.filter(|s| !s.is_empty()).cloned().unwrap_or_else(|| vec![url.clone()]);
                let replicas = if urls.len() == 1 { d.replicas.clone() } else { Vec::new() };
                let schema = Some(service.name.to_owned());
                let one = |url| DbConfig {
                    url,
                    schema: schema.clone(),
                    replicas: replicas.clone(),
                    relay: true,
                    ..base.clone()
                };
                urls.into_iter().map(one).collect()
            }
        };
        let mut dbs = Vec::with_capacity(configs.len());
        for config in configs {
            let db = Db::open(service.name, &config, &[service.migrations]).await?;
            if d.migrate {
                db.migrate().await?;
            } else if let [first, ..] = db.pending_migrations().await?.as_slice() {
                let text = format!("{} waits for the migration {first}: run jangteo migrate", service.name);
                return Err(Error::new(jangteo_core::Code::FailedPrecondition, "MIGRATION_PENDING", text));
            }
            dbs.push(db);
        }
        Ok(dbs)
    }
}

fn uuid_tail() -> String {
    use ring::rand::SecureRandom;
    let mut bytes = [0u8; 6];
    let _ = ring::rand::SystemRandom::new().fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
