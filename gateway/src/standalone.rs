//! The edge as a product of its own, before any gRPC server: descriptors come from a file, or from
//! the server itself by reflection, and are looked at again while it runs.

use crate::{
    config::{EdgeConfig, Limits},
    edge::{Backing, Edge, Probes},
    reflect,
    site::{Site, Upstreams, policies},
};
use cache::{Cache, CacheConfig};
use jangteo_core::{Error, Result, SystemClock};
use prost_reflect::DescriptorPool;
use proto::Channel;
use rpc::{Peer, PeerConfig, UpstreamTls};
use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    future::Future,
    hash::Hasher,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;

/// How often a file of descriptors is looked at; a server is asked ten times less often.
const LOOK: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
pub struct StandaloneConfig {
    /// A `google.protobuf.FileDescriptorSet`; `None`: server reflection.
    pub descriptors: Option<PathBuf>,
    /// (`package.Service`, `http://host:port` or `https://…`, several separated by commas)
    pub upstreams: Vec<(String, String)>,
    pub tls: UpstreamTls,
    pub http: SocketAddr,
    pub edge: EdgeConfig,
    pub peer: PeerConfig,
    /// What `/readyz` and `/metrics` tell.
    pub probes: Probes,
}

impl Default for StandaloneConfig {
    /// Without limits: whose server it is decides on those.
    fn default() -> Self {
        StandaloneConfig {
            descriptors: None,
            upstreams: Vec::new(),
            tls: UpstreamTls::default(),
            http: SocketAddr::from(([127, 0, 0, 1], 8081)),
            edge: EdgeConfig { limits: Limits::OFF, title: "gRPC".to_owned(), ..EdgeConfig::default() },
            peer: PeerConfig::default(),
            probes: Probes::default(),
        }
    }
}

/// Serves until `shutdown` resolves.
pub async fn standalone(config: StandaloneConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    let listener = TcpListener::bind(config.http)
        .await
        .map_err(|e| Error::invalid("http", "CANNOT_LISTEN", format!("{}: {e}", config.http)))?;
    standalone_on(listener, config, shutdown).await
}

/// The same on a listener that is bound already.
pub async fn standalone_on(
    listener: TcpListener,
    config: StandaloneConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let source = Source { config: &config };
    let (mut seen, site) = source.load().await?;
    let backing = Backing {
        verifier: None,
        cache: Cache::new(&CacheConfig::default())?,
        clock: Arc::new(SystemClock),
        probes: config.probes.clone(),
    };
    let edge = Edge::new(config.edge.clone(), site, backing);
    let address = listener.local_addr().unwrap_or(config.http);
    tracing::info!(%address, services = config.upstreams.len(), "serving");
    let watch = async {
        loop {
            tokio::time::sleep(if config.descriptors.is_some() { LOOK } else { LOOK * 10 }).await;
            match source.changed(seen).await {
                Ok(None) => {}
                Ok(Some((hash, site))) => {
                    seen = hash;
                    edge.swap(site);
                    tracing::info!("descriptors reloaded");
                }
                Err(error) => tracing::warn!(?error, "new descriptors can't be served; the old ones stay"),
            }
        }
    };
    tokio::select! {
        served = edge.serve(listener, shutdown) => served,
        () = watch => unreachable!("the watch never ends"),
    }
}

struct Source<'a> {
    config: &'a StandaloneConfig,
}

impl Source<'_> {
    async fn load(&self) -> Result<(u64, Site)> {
        let (hash, pool) = self.pool().await?;
        Ok((hash, self.site(&pool)?))
    }

    async fn changed(&self, seen: u64) -> Result<Option<(u64, Site)>> {
        let (hash, pool) = self.pool().await?;
        if hash == seen { Ok(None) } else { Ok(Some((hash, self.site(&pool)?))) }
    }

    async fn pool(&self) -> Result<(u64, DescriptorPool)> {
        let mut hasher = DefaultHasher::new();
        if let Some(path) = &self.config.descriptors {
            let unreadable = |e: &dyn std::fmt::Display| {
                Error::invalid("descriptors", "BAD_DESCRIPTORS", format!("{}: {e}", path.display()))
            };
            let bytes = tokio::fs::read(path).await.map_err(|e| unreadable(&e))?;
            hasher.write(&bytes);
            let pool = DescriptorPool::decode(bytes.as_slice()).map_err(|e| unreadable(&e))?;
            return Ok((hasher.finish(), pool));
        }
        let mut by_url = BTreeMap::<&str, Vec<&str>>::new();
        for (service, url) in &self.config.upstreams {
            by_url.entry(url).or_default().push(service);
        }
        let mut files = BTreeMap::new();
        for (url, services) in by_url {
            let channel = self.peer(Default::default()).foreign(services[0], url, &self.config.tls)?;
            files.extend(reflect::files(channel, &services).await?);
        }
        for file in files.values() {
            hasher.write(file);
        }
        Ok((hasher.finish(), reflect::pool(files)?))
    }

    fn site(&self, pool: &DescriptorPool) -> Result<Site> {
        let names = self.config.upstreams.iter().map(|(service, _)| service.as_str());
        let peer = self.peer(policies(pool, names)?);
        let mut by_url = BTreeMap::<&str, Channel>::new();
        let mut upstreams = Upstreams::new();
        for (service, url) in &self.config.upstreams {
            let channel = match by_url.get(url.as_str()) {
                Some(channel) => channel.clone(),
                None => peer.foreign(service, url, &self.config.tls)?,
            };
            by_url.insert(url, channel.clone());
            upstreams.insert(service.clone(), channel);
        }
        Site::load(pool, &upstreams, self.config.edge.json.options())
    }

    fn peer(&self, policies: proto::policy::Policies) -> Peer {
        Peer { caller: "gateway".into(), policies: Arc::new(policies), config: self.config.peer }
    }
}
