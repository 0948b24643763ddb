//! Builds and runs any selection of services in one process.

use crate::{
    Config, Entry, Probe,
    admin::Admin,
    audit::{self, Checkpoints},
    feed,
    health::{self, Served},
    inbox::{Inbox, Log, Outbox},
    jobs::Worker,
    mount::Mounted,
    process::Process,
    telemetry::Telemetry,
};
use bus::{Backoff, ConsumerSpec, Embedded, EventBus, JetStream, JetStreamConfig, Lag, Replay, Replayed, Stop};
use cache::Cache;
use db::{Db, DeadLetter, Paged};
use jangteo_core::{Call, Clock, Code, Error, Page, Result};
use proto::Channel;
use rpc::{Guarded, Outcome, Verifier};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tonic::service::Routes;

/// What a check of a service found: a line for each thing that is wrong, none when all is well.
#[derive(Debug, Clone)]
pub struct Finding {
    pub service: &'static str,
    pub check: &'static str,
    pub wrong: Vec<String>,
}

/// Services of one process, built and not yet running.
pub struct Market {
    process: Arc<Process>,
    guarded: Guarded,
    mounted: Vec<Mounted>,
    bus: Option<Arc<dyn EventBus>>,
    checkpoints: Arc<Checkpoints>,
    /// Of audited calls; taken by the start.
    outcomes: std::sync::Mutex<Option<mpsc::Receiver<Outcome>>>,
}

impl Market {
    /// Opens databases, builds `services` and mounts them. `all` are the services that exist, so that a
    /// section of the configuration for one that runs elsewhere is no error.
    pub async fn build(config: Config, clock: Arc<dyn Clock>, services: &[Entry], all: &[Entry]) -> Result<Market> {
        config.check_sections(&all.iter().map(|e| e.name).collect::<Vec<_>>())?;
        if !services.is_empty() {
            config.check_stores()?;
        }
        let process = Arc::new(Process::new(config, clock, services)?);
        let mut mounted = Vec::new();
        let mut routes = Routes::builder();
        for entry in services {
            let dbs = process.databases(entry).await?;
            let mut m = (entry.build)(process.clone(), dbs).await?;
            m.routes.drain(..).for_each(|add| add(&mut routes));
            mounted.push(m);
        }
        let guarded = Guarded::new(process.guard.clone(), routes.routes());
        for local in process.local.values() {
            let _ = local.set(guarded.clone());
        }
        let bus = bus(&process.config, &mounted).await?;
        let checkpoints = Checkpoints::new(&process.config, &process.secrets.derive("audit.checkpoints"));
        let (sink, outcomes) = mpsc::channel(audit::QUEUE);
        process.guard.keep_trail(Box::new(move |outcome| {
            if sink.try_send(outcome).is_err() {
                tracing::error!(target: "audit", "too many calls at once: one is not in the trail");
            }
        }));
        let outcomes = std::sync::Mutex::new(Some(outcomes));
        Ok(Market { process, guarded, mounted, bus, checkpoints: Arc::new(checkpoints), outcomes })
    }

    /// Brings the databases of `services` up to date, whatever the configuration says of the start.
    pub async fn migrate(mut config: Config, clock: Arc<dyn Clock>, services: &[Entry]) -> Result<()> {
        config.database.migrate = true;
        let process = Process::new(config, clock, services)?;
        for entry in services {
            for db in process.databases(entry).await? {
                db.close().await;
            }
        }
        Ok(())
    }

    /// The channel by which `caller` reaches `service`, in this process or elsewhere.
    pub fn channel(&self, caller: &str, service: &str) -> Result<Channel> {
        self.process.channel(caller, service)
    }

    pub fn verifier(&self) -> Arc<Verifier> {
        self.process.verifier.clone()
    }
    pub fn cache(&self) -> Cache {
        self.process.cache.clone()
    }
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.process.clock.clone()
    }
    pub fn config(&self) -> &Config {
        &self.process.config
    }

    /// Every consumer of this process's services.
    pub fn consumers(&self) -> Vec<String> {
        self.mounted.iter().flat_map(|m| m.consumers.keys().map(|k| consumer_name(m.name, k))).collect()
    }

    fn inboxes(&self) -> impl Iterator<Item = (ConsumerSpec, Arc<Inbox>)> + '_ {
        self.mounted.iter().flat_map(|m| {
            m.consumers.iter().map(|(key, handlers)| {
                let name = consumer_name(m.name, key);
                let inbox = Inbox {
                    service: m.name,
                    source: key.0,
                    consumer: name.as_str().into(),
                    db: m.dbs[0].clone(),
                    clock: self.process.clock.clone(),
                    handlers: handlers.clone(),
                };
                (self.spec(name, *key), Arc::new(inbox))
            })
        })
    }

    fn spec(&self, name: String, (source, aggregate): (&str, &str)) -> ConsumerSpec {
        let events = &self.process.config.events;
        let backoff = Backoff {
            min: Duration::from_millis(events.backoff_min_ms),
            max: Duration::from_millis(events.backoff_max_ms),
        };
        ConsumerSpec { max_attempts: events.max_attempts, backoff, ..ConsumerSpec::new(name, source, aggregate) }
    }

    fn inbox(&self, consumer: &str) -> Result<(ConsumerSpec, Arc<Inbox>)> {
        self.inboxes().find(|(spec, _)| spec.name == consumer).ok_or_else(|| {
            let known = self.consumers().join(", ");
            Error::new(Code::NotFound, "CONSUMER_NOT_FOUND", format!("no consumer {consumer}; there are: {known}"))
        })
    }

    fn bus(&self) -> Result<&Arc<dyn EventBus>> {
        self.bus.as_ref().ok_or_else(|| Error::unavailable("the event bus"))
    }

    /// Dead letters of `consumer`, the oldest first.
    pub async fn dead_letters(&self, consumer: &str, page: &Page) -> Result<Paged<DeadLetter>> {
        self.inbox(consumer)?.1.db.dead_letters(Some(consumer), page).await
    }

    /// Tries one dead letter again; false when that was done before.
    pub async fn replay_dead_letter(&self, consumer: &str, event_id: &str) -> Result<bool> {
        self.inbox(consumer)?.1.replay_dead_letter(event_id).await
    }

    /// Delivers stored events to `consumer` again; what it has applied already changes nothing.
    pub async fn replay(&self, consumer: &str, replay: Replay, stop: Stop) -> Result<Replayed> {
        let (spec, inbox) = self.inbox(consumer)?;
        self.bus()?.replay(spec, replay, inbox, stop).await
    }

    /// Puts published events of `service` behind the position `after` back into its outbox, from where the
    /// relay publishes them again: for a broker that lost them. How many there are.
    pub async fn refill(&self, service: &str, after: i64) -> Result<u64> {
        if self.process.config.is_embedded() {
            let text = "the embedded market has no broker: consumers read the event tables themselves";
            return Err(Error::new(Code::FailedPrecondition, "NO_BROKER", text));
        }
        let mounted = self.mounted.iter().find(|m| m.name == service);
        let mut events = 0;
        for db in &mounted.ok_or_else(|| Error::not_found("service", service))?.dbs {
            events += db.outbox_refill(after).await?;
        }
        Ok(events)
    }

    /// Runs every check of this process's services; what is wrong with their data, by the check that found it.
    pub async fn verify(&self) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        for m in &self.mounted {
            for (check, run) in &m.checks {
                let cx = Call::system(m.name, check, self.process.clock.now());
                let wrong = run(cx).await.map_err(|e| e.with("service", m.name).with("check", check))?;
                found.push(Finding { service: m.name, check, wrong });
            }
            let wrong = self.checkpoints.check(m.name, &m.dbs).await.map_err(|e| e.with("service", m.name))?;
            found.push(Finding { service: m.name, check: "audit", wrong });
        }
        Ok(found)
    }

    pub async fn lag(&self, consumer: &str) -> Result<Lag> {
        let (spec, inbox) = self.inbox(consumer)?;
        self.bus()?.lag(&spec, inbox.as_ref()).await
    }

    /// Starts everything: gRPC when an address is configured, relays, consumers, jobs and the feed of
    /// keys and revocations. `name` is this process as a caller.
    pub async fn start(self, name: &'static str, telemetry: &Telemetry) -> Result<Running> {
        let market = Arc::new(self);
        let (accept, work) = (Stop::new(), Stop::new());
        let (mut servers, mut tasks) = (Tasks::default(), Tasks::default());
        let (readiness, watched) = watch::channel(Err("starting".to_owned()));
        let probe = Probe { readiness: watched, metrics: telemetry.metrics() };
        let (service, reporter) = Served::new(market.guarded.clone())?;
        let watch = health::watch_readiness(market.clone(), readiness, reporter, accept.clone(), work.clone());
        tasks.spawn("readiness", watch);
        if let Some(address) = market.process.config.grpc {
            let listener = listen(address).await?;
            let (tls, stop) = (market.process.tls.clone(), accept.clone());
            if let Some(tls) = &tls {
                tls.check()?;
            }
            servers.spawn("grpc", async move {
                ended("grpc", rpc::serve(listener, tls.as_ref(), service, stop.cancelled_owned()).await);
            });
        }
        if let Some(address) = market.process.config.admin {
            let admin = Admin { listener: listen(address).await?, probe: probe.clone() };
            // Answers "not ready" while the rest drains.
            tasks.spawn("admin", admin.serve(work.clone()));
        }
        tasks.spawn("keys and revocations", feed::follow(market.process.clone(), name, work.clone()));
        market.keep_trail(&mut tasks, &work);
        market.work(&mut tasks, &work);
        Ok(Running { market, probe, accept, work, servers, tasks })
    }

    /// Ready when stores answer, the bus is connected and tokens can be verified.
    pub(crate) async fn ready(&self, accept: &Stop) -> std::result::Result<(), String> {
        if accept.is_cancelled() {
            return Err("stopping".to_owned());
        }
        for db in self.mounted.iter().flat_map(|m| &m.dbs) {
            db.ping().await.map_err(|e| format!("database of {}: {e}", db.service()))?;
        }
        if self.bus.as_ref().is_some_and(|b| !b.healthy()) {
            return Err("event bus: not connected".to_owned());
        }
        if !self.process.tokens_known.load(Ordering::Relaxed) {
            return Err("auth: keys and revocations are not known yet".to_owned());
        }
        Ok(())
    }

    fn keep_trail(&self, tasks: &mut Tasks, stop: &Stop) {
        let Some(outcomes) = self.outcomes.lock().expect("no holder panics").take() else { return };
        let trails = self.mounted.iter().map(|m| (m.name, m.dbs[0].clone())).collect();
        tasks.spawn("audit", audit::follow(outcomes, trails, self.process.clock.clone(), stop.clone()));
        let databases = self.mounted.iter().flat_map(|m| m.dbs.iter().cloned().enumerate()).collect();
        let keep = self.checkpoints.clone().keep(databases, self.process.clock.clone(), stop.clone());
        tasks.spawn("audit checkpoints", keep);
    }

    fn work(&self, tasks: &mut Tasks, stop: &Stop) {
        let Some(bus) = &self.bus else { return };
        // An embedded market has one process: whoever held a lease before is most likely dead.
        let takeover = Duration::from_secs(if self.process.config.is_embedded() { 3 } else { 30 });
        let worker = Worker { owner: self.process.owner.clone(), clock: self.process.clock.clone(), takeover };
        for m in &self.mounted {
            for db in &m.dbs {
                let outbox = Arc::new(Outbox {
                    db: db.clone(),
                    owner: self.process.owner.clone(),
                    clock: self.process.clock.clone(),
                    leases: Default::default(),
                });
                let (bus, stop) = (bus.clone(), stop.clone());
                tasks.spawn("sweep", sweep(db.clone(), self.process.clock.clone(), stop.clone()));
                tasks.spawn("relay", async move { ended("relay", bus.relay(outbox, stop).await) });
            }
            for (name, run) in &m.loops {
                tasks.spawn(name, run(stop.clone()));
            }
            for job in &m.jobs {
                tasks.spawn(job.name, job.clone().work(m.name, m.dbs[0].clone(), worker.clone(), stop.clone()));
            }
        }
        for (spec, inbox) in self.inboxes() {
            let (bus, stop) = (bus.clone(), stop.clone());
            tasks.spawn("consumer", async move { ended("consumer", bus.consume(spec, inbox, stop).await) });
        }
    }
}

/// A running market. [`Running::stop`] before the process ends.
pub struct Running {
    pub market: Arc<Market>,
    pub probe: Probe,
    /// Cancelled first: no new calls.
    pub accept: Stop,
    /// Cancelled when the calls in flight are done: no new events and jobs.
    work: Stop,
    /// What answers calls.
    servers: Tasks,
    tasks: Tasks,
}

impl Running {
    /// Resolves when a part of the process ended that should run until the stop: the process is then no
    /// use to anybody and had better end, for whoever supervises it to start a new one.
    pub async fn broken(&mut self) -> Error {
        let name = tokio::select! {
            name = self.servers.ended() => name,
            name = self.tasks.ended() => name,
        };
        Error::new(Code::Internal, "TASK_ENDED", format!("{name} ended, which the process needs")).with("task", name)
    }

    /// Unready, no new connections, calls in flight finished, consumers and relays drained, databases
    /// closed; what is not done after the configured time is cut off. `edge` resolves when the edge of
    /// this process, which stops by `accept` too, is done.
    pub async fn stop(mut self, edge: impl Future<Output = ()>) {
        let limit = Duration::from_secs(self.market.process.config.drain_seconds);
        tracing::info!("stopping");
        self.accept.cancel();
        let drained = tokio::time::timeout(limit, async {
            // One open stream must not take the time that the rest needs.
            let calls = async { tokio::join!(edge, self.servers.join()) };
            if tokio::time::timeout(limit.mul_f64(0.6), calls).await.is_err() {
                tracing::warn!("some calls were cut off");
            }
            self.market.process.cache.flushed(Duration::from_secs(1)).await;
            self.work.cancel();
            self.tasks.join().await;
            for db in self.market.mounted.iter().flat_map(|m| &m.dbs) {
                db.close().await;
            }
        });
        match drained.await {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!(seconds = limit.as_secs(), "not everything was done in time"),
        }
    }
}

/// Named tasks; those that are left are aborted when it is dropped.
#[derive(Default)]
struct Tasks {
    set: JoinSet<()>,
    names: HashMap<tokio::task::Id, &'static str>,
}

impl Tasks {
    fn spawn(&mut self, name: &'static str, f: impl Future<Output = ()> + Send + 'static) {
        let id = self.set.spawn(f).id();
        self.names.insert(id, name);
    }

    async fn join(&mut self) {
        while self.set.join_next().await.is_some() {}
    }

    /// The first that ends, by returning or by a panic; never, when there is none.
    async fn ended(&mut self) -> &'static str {
        let id = match self.set.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(panic)) => panic.id(),
            None => std::future::pending().await,
        };
        self.names.get(&id).copied().unwrap_or("a task")
    }
}

fn consumer_name(service: &str, (source, aggregate): &(&str, &str)) -> String {
    format!("{service}.{source}-{aggregate}")
}

async fn bus(config: &Config, mounted: &[Mounted]) -> Result<Option<Arc<dyn EventBus>>> {
    if let Some(urls) = &config.nats.url {
        let defaults = JetStreamConfig::default();
        let jetstream = JetStreamConfig {
            urls: urls.split(',').map(|u| u.trim().to_owned()).collect(),
            replicas: config.nats.replicas.unwrap_or(defaults.replicas),
            max_bytes: config.nats.max_bytes.or(defaults.max_bytes),
            credentials_file: config.nats.credentials_file.clone(),
            ..defaults
        };
        return Ok(Some(Arc::new(JetStream::connect(&jetstream).await?)));
    }
    let logs = mounted.iter().flat_map(|m| m.dbs.iter().cloned()).map(|db| Arc::new(Log(db)) as Arc<dyn bus::Log>);
    Ok((!mounted.is_empty()).then(|| Arc::new(Embedded::new(logs)) as Arc<dyn EventBus>))
}

fn ended(what: &str, outcome: Result<()>) {
    if let Err(error) = outcome {
        tracing::error!(what, error = ?error, "a worker ended");
    }
}

/// Forgets idempotency keys that are too old to be used again.
async fn sweep(db: Db, clock: Arc<dyn Clock>, stop: Stop) {
    const HOUR: Duration = Duration::from_secs(3600);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HOUR) => {}
        }
        if let Err(error) = db.sweep(clock.now()).await {
            tracing::warn!(service = db.service(), error = ?error, "sweeping idempotency keys failed");
        }
    }
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|e| Error::new(Code::Unavailable, "ADDRESS_UNAVAILABLE", format!("{address}: {e}")))
}
