//! Hashing passwords, off the async threads and bounded: each one takes a core for tens of milliseconds and 19 MiB.

use crate::{
    Argon2Config,
    domain::password::{self, Cost},
};
use jangteo_core::{Error, Result};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub struct Hasher {
    cost: Cost,
    /// As many as run or wait.
    queue: Arc<Semaphore>,
    /// As many as run.
    cores: Arc<Semaphore>,
    /// What the password of an account that doesn't exist is compared with.
    decoy: String,
}

impl Hasher {
    pub async fn new(cost: Cost, cfg: &Argon2Config) -> Result<Self> {
        let cores = cfg.parallel.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        let mut hasher = Hasher {
            cost,
            queue: Arc::new(Semaphore::new(cores + cfg.queue)),
            cores: Arc::new(Semaphore::new(cores)),
            decoy: String::new(),
        };
        let nobodys = Zeroizing::new(crate::domain::secret::hex(&super::random::<32>()?));
        hasher.decoy = hasher.hash(nobodys).await?;
        Ok(hasher)
    }

    pub fn is_outdated(&self, hash: &str) -> bool {
        password::is_outdated(hash, self.cost)
    }

    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String> {
        let cost = self.cost;
        self.run(move || password::hash(&password, cost)).await
    }

    /// Without a hash it takes as long and answers `false`.
    pub async fn verify(&self, password: Zeroizing<String>, hash: Option<&str>) -> Result<bool> {
        let exists = hash.is_some();
        let hash = hash.unwrap_or(&self.decoy).to_owned();
        self.run(move || password::verify(&password, &hash)).await.map(|right| right && exists)
    }

    async fn run<T: Send + 'static>(&self, f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let place = self
            .queue
            .clone()
            .try_acquire_owned()
            .map_err(|_| Error::unavailable("password hashing").with_retry_after(Duration::from_secs(1)))?;
        let core = self.cores.clone().acquire_owned().await.map_err(Error::internal)?;
        // The permits go along: a caller that gives up doesn't free a core that is still at work.
        let job = tokio::task::spawn_blocking(move || {
            let result = f();
            drop((core, place));
            result
        });
        job.await.map_err(Error::internal)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::Code;

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let cfg = Argon2Config { parallel: Some(1), queue: 1, ..Argon2Config::default() };
        let cheap = Cost { memory_kib: 64, passes: 1, lanes: 1 };
        let hasher = Hasher::new(cheap, &cfg).await.unwrap();
        let places = hasher.queue.clone().acquire_many_owned(2).await.unwrap();
        let e = hasher.hash(Zeroizing::new("x".into())).await.unwrap_err();
        assert_eq!(e.code(), Code::Unavailable);
        drop(places);
        let hash = hasher.hash(Zeroizing::new("x".into())).await.unwrap();
        assert!(hasher.verify(Zeroizing::new("x".into()), Some(&hash)).await.unwrap());
        assert!(!hasher.verify(Zeroizing::new("x".into()), None).await.unwrap());
    }
}
