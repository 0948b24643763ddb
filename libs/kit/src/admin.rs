//! `/healthz`, `/readyz` and `/metrics` of a process that has no edge to serve them.

use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use std::{convert::Infallible, time::Duration};
use tokio::{net::TcpListener, sync::watch};

/// Whether the process can do its work, and if not, what is missing.
pub type Readiness = std::result::Result<(), String>;

/// What an operator asks of a process; the edge serves the same.
#[derive(Clone)]
pub struct Probe {
    pub readiness: watch::Receiver<Readiness>,
    pub metrics: PrometheusHandle,
}

impl Probe {
    /// The answer to one of the three paths; `None` for any other.
    pub fn answer(&self, path: &str) -> Option<(StatusCode, String)> {
        Some(match path {
            "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => match &*self.readiness.borrow() {
                Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
                Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            "/metrics" => (StatusCode::OK, self.metrics.render()),
            _ => return None,
        })
    }
}

pub(crate) struct Admin {
    pub listener: TcpListener,
    pub probe: Probe,
}

impl Admin {
    pub async fn serve(self, stop: bus::Stop) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let probe = self.probe.clone();
            spawn(async move {
                let service = service_fn(move |request| answer(probe.clone(), request));
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(5)).keep_alive(false);
                if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                    tracing::debug!(%error, "an admin connection ended early");
                }
            });
        }
    }
}

async fn answer(probe: Probe, request: Request<Incoming>) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let (status, text) = match probe.answer(request.uri().path()) {
        Some(answer) => answer,
        None => (StatusCode::NOT_FOUND, "there is only /healthz, /readyz and /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

#[expect(clippy::disallowed_methods, reason = "one short answer a connection; nothing to drain")]
fn spawn(f: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(f);
}
