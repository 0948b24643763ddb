//! What a service mounts, erased so that the rest of the kit is compiled once.

use crate::{
    Service,
    erasure::{self, Forget},
    events::{Delivered, Handler, Received},
    jobs::Job,
};
use bus::Stop;
use db::{
    Db, Tx,
    crypt::{Keyring, Sealer},
};
use futures::future::BoxFuture;
use jangteo_core::{Call, Error, Result};
use proto::Event;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tonic::service::RoutesBuilder;

/// Collects what a service answers, listens to and does by the clock.
pub struct Mount<S> {
    service: Arc<S>,
    mounted: Mounted,
    forget: Option<Forget>,
}

type Routes = Box<dyn FnOnce(&mut RoutesBuilder) + Send + Sync>;

pub(crate) struct Mounted {
    pub name: &'static str,
    pub dbs: Vec<Db>,
    pub routes: Vec<Routes>,
    /// By (source, aggregate): one consumer gets every event of an aggregate, so that it sees versions
    /// without gaps, and hands on the types it has a handler for.
    pub consumers: BTreeMap<(&'static str, &'static str), BTreeMap<String, Handler>>,
    pub jobs: Vec<Job>,
    pub loops: Vec<(&'static str, Loop)>,
    pub checks: Vec<(&'static str, Check)>,
}

pub(crate) type Loop = Box<dyn Fn(Stop) -> BoxFuture<'static, ()> + Send + Sync>;
pub(crate) type Check = Box<dyn Fn(Call) -> BoxFuture<'static, Result<Vec<String>>> + Send + Sync>;

impl<S: Service> Mount<S> {
    pub(crate) fn new(service: Arc<S>, dbs: Vec<Db>) -> Self {
        let mounted = Mounted {
            name: S::NAME,
            dbs,
            routes: Vec::new(),
            consumers: BTreeMap::new(),
            jobs: Vec::new(),
            loops: Vec::new(),
            checks: Vec::new(),
        };
        Mount { service, mounted, forget: None }
    }

    /// `seals`: the service keeps personal data under keys of people.
    pub(crate) fn done(mut self, keyring: Keyring, seals: bool) -> Mounted {
        if seals {
            self.mounted.jobs.push(erasure::rewrap(Sealer::new(keyring.clone()), self.mounted.dbs.clone()));
        }
        // Where an account ends, its data is erased in the same transaction.
        let (source, aggregate, event) = erasure::event();
        if (seals || self.forget.is_some()) && source != S::NAME {
            let dbs = self.mounted.dbs.clone();
            let handler = erasure::handler(Sealer::new(keyring), dbs, self.forget.take());
            self.mounted.consumers.entry((source, aggregate)).or_default().insert(event, handler);
        }
        self.mounted
    }

    /// `m.grpc(catalog_service::routes)`
    pub fn grpc(&mut self, routes: fn(Arc<S>, &mut RoutesBuilder)) -> &mut Self {
        let service = self.service.clone();
        self.mounted.routes.push(Box::new(move |to| routes(service, to)));
        self
    }

    /// `m.on(Self::user_registered)`: durable, in order per aggregate, effect once.
    pub fn on<E, F, Fut>(&mut self, handler: F) -> &mut Self
    where
        E: Event,
        F: Fn(Arc<S>, Received<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let service = self.service.clone();
        let handler = Arc::new(handler);
        let erased: Handler = Arc::new(move |delivered: Delivered| {
            let (service, handler) = (service.clone(), handler.clone());
            Box::pin(async move {
                let event = E::decode(delivered.envelope.payload.as_slice()).map_err(Error::internal)?;
                handler(service, Received { event, delivered }).await
            })
        });
        self.mounted.consumers.entry((E::SOURCE, E::AGGREGATE)).or_default().insert(E::full_name(), erased);
        self
    }

    /// `m.forget(Self::forget)`: removes what the service keeps of an erased person beside sealed values, in the transaction
    /// that destroys their key; once in each of its databases. Doing it again must do no harm.
    pub fn forget<F, Fut>(&mut self, forget: F) -> &mut Self
    where
        F: Fn(Arc<S>, Tx, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let service = self.service.clone();
        self.forget = Some(Arc::new(move |tx, person| Box::pin(forget(service.clone(), tx, person))));
        self
    }

    /// `m.every("expire-unpaid", mins(1), Self::expire_unpaid)`: by one replica at a time.
    pub fn every<F, Fut>(&mut self, name: &'static str, period: Duration, job: F) -> &mut Self
    where
        F: Fn(Arc<S>, Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let service = self.service.clone();
        self.mounted.jobs.push(Job { name, period, run: Arc::new(move |cx| Box::pin(job(service.clone(), cx))) });
        self
    }

    /// `m.always("index", Self::index)`: on every replica, from the start until `Stop`; one that returns sooner ends
    /// the process. For what a replica keeps for itself; what one replica does for all is [`Mount::every`].
    pub fn always<F, Fut>(&mut self, name: &'static str, run: F) -> &mut Self
    where
        F: Fn(Arc<S>, Stop) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let service = self.service.clone();
        self.mounted.loops.push((name, Box::new(move |stop| Box::pin(run(service.clone(), stop)))));
        self
    }

    /// `m.check("ledger", Self::check_ledger)`: what must be true of the stored data, whatever happened before.
    /// The check gives a line for each thing that is wrong. `jangteo verify` runs them all.
    pub fn check<F, Fut>(&mut self, name: &'static str, check: F) -> &mut Self
    where
        F: Fn(Arc<S>, Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<String>>> + Send + 'static,
    {
        let service = self.service.clone();
        self.mounted.checks.push((name, Box::new(move |cx| Box::pin(check(service.clone(), cx)))));
        self
    }
}
