//! One service by itself on embedded stores, for the tests of its own crate.

use crate::{Boot, Config, Mount, Service, process::Process, service::Entry};
use jangteo_core::{Clock, Result};
use rpc::Guarded;
use std::{path::Path, sync::Arc};
use tonic::service::RoutesBuilder;

/// A stand-in for a peer: its name, and what mounts it.
pub type Peer = (&'static str, Box<dyn FnOnce(&mut RoutesBuilder)>);

/// Builds `S` with its files under `data`; other services are what `peers` mounts, or away.
pub async fn alone<S: Service>(
    data: &Path,
    clock: Arc<dyn Clock>,
    config: S::Config,
    peers: Vec<Peer>,
) -> Result<Arc<S>> {
    let own: Entry = crate::entry::<S>();
    let mut process = Process::new(Config::embedded(data), clock, &[own])?;
    process.local.extend(peers.iter().map(|(name, _)| (*name, rpc::LocalService::default())));
    let dbs = process.databases(&own).await?;
    let process = Arc::new(process);
    let boot = Boot { name: S::NAME, config, dbs: dbs.clone(), process: process.clone() };
    let service = Arc::new(S::build(&boot).await?);
    let mut mount = Mount::new(service.clone(), dbs);
    S::mount(&mut mount);
    let mut routes = tonic::service::Routes::builder();
    mount.done().routes.into_iter().for_each(|add| add(&mut routes));
    peers.into_iter().for_each(|(_, add)| add(&mut routes));
    let guarded = Guarded::new(process.guard.clone(), routes.routes());
    for local in process.local.values() {
        let _ = local.set(guarded.clone());
    }
    Ok(service)
}
