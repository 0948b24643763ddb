//! What a service implements, and what it gets to build itself from.

use crate::{Mount, mount::Mounted, process::Process};
use cache::Cache;
use db::{Db, Migrations, Shards, crypt::Keyring};
use futures::future::BoxFuture;
use jangteo_core::{Clock, PageTokens, Result};
use proto::Client;
use serde::de::DeserializeOwned;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A service: a name, a schema, a configuration, and what it mounts.
pub trait Service: Sized + Send + Sync + 'static {
    /// As in its package `jangteo.<name>.v1`; also its schema, its section of the configuration and
    /// its name as a caller.
    const NAME: &'static str;
    const MIGRATIONS: Migrations;
    /// `#[serde(default, deny_unknown_fields)]`, so that a typo stops the start.
    type Config: DeserializeOwned + Default + Clone + Send + Sync + 'static;

    fn build(cx: &Boot<Self::Config>) -> impl Future<Output = Result<Self>> + Send;

    /// Registration only: gRPC, event handlers, timed jobs.
    fn mount(m: &mut Mount<Self>);
}

/// What a service is built from.
pub struct Boot<C> {
    pub(crate) name: &'static str,
    pub(crate) config: C,
    pub(crate) dbs: Vec<Db>,
    pub(crate) process: Arc<Process>,
    /// The service asked for the keys that personal data is sealed with.
    pub(crate) seals: AtomicBool,
}

impl<C> Boot<C> {
    pub fn config(&self) -> &C {
        &self.config
    }

    /// The service's own database, its schema up to date.
    pub fn db(&self) -> Db {
        self.dbs[0].clone()
    }

    /// `n` logical shards over the databases configured for this service, or over its one database.
    pub fn shards(&self, n: usize) -> Result<Shards> {
        Shards::new(n, self.dbs.clone())
    }

    /// The platform's cache, under keys of this service's own.
    pub fn cache(&self) -> Cache {
        self.process.cache.scope(self.name)
    }

    /// A client of another service, wherever that runs: `cx.peer::<auth_service::Client>()`.
    pub fn peer<P: Client>(&self) -> Result<P> {
        Ok(P::new(self.process.channel(self.name, P::SERVICE)?))
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        self.process.clock.clone()
    }

    /// Master keys for personal data. Whoever seals with them forgets: when a person is erased, the kit destroys their key
    /// in the service's databases; what is kept unsealed is for [`Mount::forget`].
    pub fn keyring(&self) -> Keyring {
        self.seals.store(true, Ordering::Relaxed);
        self.process.keyring.clone()
    }

    pub fn page_tokens(&self) -> PageTokens {
        PageTokens::new(&self.secret("page-tokens"))
    }

    /// 32 bytes that only this service and this purpose have.
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        self.process.secrets.derive(&format!("{}.{purpose}", self.name))
    }

    pub fn embedded(&self) -> bool {
        self.process.config.is_embedded()
    }

    /// Where an embedded service may keep files.
    pub fn data_dir(&self) -> Option<&Path> {
        self.embedded().then_some(self.process.config.data.as_path())
    }
}

/// A service in the binary's list.
#[derive(Clone, Copy)]
pub struct Entry {
    pub name: &'static str,
    pub(crate) migrations: Migrations,
    pub(crate) build: Build,
}

type Build = fn(Arc<Process>, Vec<Db>) -> BoxFuture<'static, Result<Mounted>>;

/// The entry of `S`; the binary's one list is made of these.
pub const fn entry<S: Service>() -> Entry {
    Entry { name: S::NAME, migrations: S::MIGRATIONS, build: |process, dbs| Box::pin(build::<S>(process, dbs)) }
}

async fn build<S: Service>(process: Arc<Process>, dbs: Vec<Db>) -> Result<Mounted> {
    let config = process.config.section(S::NAME)?;
    let boot = Boot { name: S::NAME, config, dbs: dbs.clone(), process, seals: AtomicBool::new(false) };
    let service = Arc::new(S::build(&boot).await?);
    let mut mount = Mount::new(service, dbs);
    S::mount(&mut mount);
    let seals = boot.seals.into_inner();
    Ok(mount.done(boot.process.keyring.clone(), seals))
}
