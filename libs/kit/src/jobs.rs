//! Timed jobs: a lease lets one replica run each of them.

use bus::Stop;
use db::{Db, Lease};
use futures::{FutureExt, future::BoxFuture};
use jangteo_core::{Call, Clock, Result};
use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

#[derive(Clone)]
pub(crate) struct Job {
    pub name: &'static str,
    pub period: Duration,
    pub run: Arc<dyn Fn(Call) -> BoxFuture<'static, Result<()>> + Send + Sync>,
}

/// Who works.
#[derive(Clone)]
pub(crate) struct Worker {
    /// Names this process among replicas.
    pub owner: String,
    pub clock: Arc<dyn Clock>,
    /// How long after a replica died another one takes over.
    pub takeover: Duration,
}

impl Job {
    /// Runs until `stop`; a run in progress is finished first.
    pub async fn work(self, service: &'static str, db: Db, worker: Worker, stop: Stop) {
        let Worker { owner, clock, takeover } = &worker;
        let mut ticks = tokio::time::interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let lease = format!("job:{}", self.name);
        let mut held: Option<(Lease, Instant)> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            match self.hold(&db, &mut held, &lease, owner, *takeover).await {
                Ok(true) => {
                    let lost = self.keep(&db, held.as_ref().map(|(lease, _)| lease), *takeover);
                    tokio::select! {
                        () = self.once(service, clock.as_ref()) => {}
                        () = lost => tracing::warn!(job = self.name, "another replica took the job over"),
                    }
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(job = self.name, error = ?error, "taking a job's lease failed"),
            }
        }
        if let Some((lease, _)) = held
            && let Err(error) = db.release(&lease).await
        {
            tracing::warn!(job = self.name, error = ?error, "releasing a job's lease failed");
        }
    }

    /// Whether this replica has the lease. Renewing it is a committed write, and an idle market would do little else: a
    /// lease that has most of its time left is believed.
    async fn hold(
        &self,
        db: &Db,
        held: &mut Option<(Lease, Instant)>,
        name: &str,
        owner: &str,
        takeover: Duration,
    ) -> Result<bool> {
        let (ttl, asked) = (self.period + takeover, Instant::now());
        if let Some((lease, renewed)) = held {
            if renewed.elapsed() < takeover / 3 {
                return Ok(true);
            }
            if db.renew(lease, ttl).await? {
                *renewed = asked;
                return Ok(true);
            }
        }
        *held = db.lease(name, owner, ttl).await?.map(|lease| (lease, asked));
        Ok(held.is_some())
    }

    /// Renews the lease while the job runs; resolves when somebody else has it.
    async fn keep(&self, db: &Db, held: Option<&Lease>, takeover: Duration) {
        let Some(lease) = held else { return };
        let ttl = self.period + takeover;
        loop {
            tokio::time::sleep(takeover / 3).await;
            match db.renew(lease, ttl).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(job = self.name, error = ?error, "renewing a job's lease failed"),
            }
        }
    }

    async fn once(&self, service: &'static str, clock: &dyn Clock) {
        let started = Instant::now();
        let mut cx = Call::system(service, self.name, clock.now());
        let span = tracing::debug_span!("job", service, job = self.name);
        cx.trace = rpc::trace::enter(&span, rpc::trace::start());
        let run = AssertUnwindSafe((self.run)(cx).instrument(span)).catch_unwind();
        let outcome = match run.await {
            Ok(Ok(())) => "done",
            Err(_) => {
                tracing::error!(service, job = self.name, "a job panicked");
                "panicked"
            }
            Ok(Err(error)) => {
                tracing::error!(service, job = self.name, error = ?error, "a job failed");
                "failed"
            }
        };
        let labels = [("service", service), ("job", self.name), ("outcome", outcome)];
        metrics::histogram!("job_seconds", &labels).record(started.elapsed().as_secs_f64());
    }
}
