//! Logs, traces and metrics of the process.

use crate::Config;
use jangteo_core::{Error, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use std::{io::IsTerminal, time::Duration};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// Seconds; from a cached read to a slow checkout.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Holds the exporters; [`Telemetry::flush`] before the process ends.
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    metrics: PrometheusHandle,
}

/// Starts logging and counting for the process named `name`. Once a process, inside a runtime.
pub fn init(config: &Config, name: &str) -> Result<Telemetry> {
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
        .map_err(Error::internal)?
        .install_recorder()
        .map_err(Error::internal)?;

    let t = &config.telemetry;
    let filter = EnvFilter::try_new(&t.log)
        .map_err(|e| Error::invalid("telemetry.log", "INVALID_CONFIGURATION", e.to_string()))?;
    let json = t.json.unwrap_or(config.is_member());
    let logs = if json {
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
    } else {
        let color = std::io::stderr().is_terminal();
        tracing_subscriber::fmt::layer()
            .compact()
            .with_target(false)
            .with_ansi(color)
            .with_writer(std::io::stderr)
            .boxed()
    };
    let tracer = t.otlp.as_deref().map(|endpoint| exporter(endpoint, name, t.sample)).transpose()?;
    let spans = tracer.as_ref().map(|p| {
        // An exporter must not trace itself.
        let filter = EnvFilter::new("info,h2=off,tonic=off,hyper=off,opentelemetry=off");
        tracing_opentelemetry::layer().with_tracer(p.tracer("jangteo")).with_filter(filter)
    });
    tracing_subscriber::registry().with(logs.with_filter(filter)).with(spans).try_init().map_err(Error::internal)?;
    Ok(Telemetry { tracer, metrics })
}

fn exporter(endpoint: &str, name: &str, sample: f64) -> Result<SdkTracerProvider> {
    let spans = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(Duration::from_secs(3))
        .build()
        .map_err(Error::internal)?;
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(format!("jangteo-{name}")).build())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample))))
        .with_batch_exporter(spans)
        .build();
    global::set_text_map_propagator(TraceContextPropagator::new());
    Ok(provider)
}

impl Telemetry {
    /// What `/metrics` answers.
    pub fn metrics(&self) -> PrometheusHandle {
        self.metrics.clone()
    }

    /// Sends what is not sent yet.
    pub async fn flush(self) {
        if let Some(tracer) = self.tracer {
            // Blocks until the exporter's own task is done.
            let flushed = tokio::task::spawn_blocking(move || tracer.shutdown()).await;
            if let Ok(Err(error)) = flushed {
                tracing::warn!(%error, "the last spans were not exported");
            }
        }
    }
}
