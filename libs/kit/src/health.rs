//! What anybody may ask of a service's port beside its methods: gRPC health and reflection.

use crate::{admin::Readiness, market::Market};
use bus::Stop;
use futures::future::BoxFuture;
use http::{Request, Response};
use jangteo_core::{Error, Result};
use rpc::Guarded;
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::watch;
use tonic::{body::Body, service::Routes};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::Service;

/// The guarded methods, with health and reflection beside them.
#[derive(Clone)]
pub(crate) struct Served {
    guarded: Guarded,
    open: Routes,
}

impl Served {
    pub fn new(guarded: Guarded) -> Result<(Served, HealthReporter)> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .build_v1()
            .map_err(Error::internal)?;
        let open = Routes::new(health).add_service(reflection).prepare();
        Ok((Served { guarded, open }, reporter))
    }
}

impl Service<Request<Body>> for Served {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, std::result::Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with("/grpc.") {
            let mut open = self.open.clone();
            return Box::pin(async move { open.call(request).await });
        }
        self.guarded.call(request)
    }
}

/// Looks after the process's readiness until `stop`, and tells gRPC health of it. Looks often until
/// the first time it is ready.
pub(crate) async fn watch_readiness(
    market: Arc<Market>,
    readiness: watch::Sender<Readiness>,
    reporter: HealthReporter,
    accept: Stop,
    stop: Stop,
) {
    while !stop.is_cancelled() {
        let state = market.ready(&accept).await;
        let (status, pause) = match &state {
            Ok(()) => (ServingStatus::Serving, Duration::from_secs(1)),
            Err(_) => (ServingStatus::NotServing, Duration::from_millis(50)),
        };
        reporter.set_service_status("", status).await;
        drop(readiness.send_replace(state));
        tokio::select! {
            () = accept.cancelled(), if !accept.is_cancelled() => {}
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
