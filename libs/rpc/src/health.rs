//! Active health checks of the addresses of a remote service: grpc.health.v1, thresholds both ways.
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>

use proto::Channel;
use serde::{Deserialize, Serialize};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// How often each address is asked; 0: never.
    pub interval_ms: u64,
    /// An answer that takes longer is none.
    pub timeout_ms: u64,
    /// Bad answers in a row after which an address gets no more calls, as long as another is healthy.
    pub unhealthy: u32,
    /// Good answers in a row after which it gets them again.
    pub healthy: u32,
}

impl Default for HealthConfig {
    fn default() -> Self {
        HealthConfig { interval_ms: 0, timeout_ms: 1000, unhealthy: 3, healthy: 2 }
    }
}

/// What the answers of an address add up to. It counts as healthy until they say otherwise.
#[derive(Debug)]
pub(crate) struct Health {
    healthy: AtomicBool,
}

impl Health {
    pub fn new() -> Self {
        Health { healthy: AtomicBool::new(true) }
    }

    pub fn is_good(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Asks until it is dropped.
    pub async fn watch(&self, config: HealthConfig, service: &str, address: &str, channel: Channel) {
        let mut client = HealthClient::new(channel);
        let mut run = Run::default();
        let gauge = metrics::gauge!(
            "grpc_upstream_healthy", "service" => service.to_owned(), "address" => address.to_owned()
        );
        gauge.set(1.0);
        loop {
            let asked = client.check(HealthCheckRequest::default());
            let good = match tokio::time::timeout(Duration::from_millis(config.timeout_ms), asked).await {
                Ok(Ok(answer)) => answer.into_inner().status() == ServingStatus::Serving,
                // A server that knows no health checks, and is there to say so.
                Ok(Err(status)) => status.code() == tonic::Code::Unimplemented,
                Err(_) => false,
            };
            let result = if good { "good" } else { "bad" };
            metrics::counter!("grpc_upstream_checks", "service" => service.to_owned(), "result" => result).increment(1);
            if let Some(healthy) = run.add(good, self.is_good(), &config) {
                self.healthy.store(healthy, Ordering::Relaxed);
                gauge.set(f64::from(u8::from(healthy)));
                tracing::warn!(service, address, healthy, "an upstream's health changed");
            }
            tokio::time::sleep(Duration::from_millis(config.interval_ms)).await;
        }
    }
}

/// The answers in a row that contradict what is believed.
#[derive(Debug, Default)]
struct Run(u32);

impl Run {
    /// What to believe from now on, if that changes.
    fn add(&mut self, good: bool, believed: bool, config: &HealthConfig) -> Option<bool> {
        if good == believed {
            self.0 = 0;
            return None;
        }
        self.0 += 1;
        let enough = if good { config.healthy } else { config.unhealthy };
        (self.0 >= enough).then(|| {
            self.0 = 0;
            good
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_some_in_a_row() {
        let config = HealthConfig { unhealthy: 3, healthy: 2, ..HealthConfig::default() };
        let (mut run, mut believed) = (Run::default(), true);
        let mut seen = String::new();
        for answer in "..xx.xxx.x..x.x..".chars() {
            if let Some(changed) = run.add(answer == '.', believed, &config) {
                believed = changed;
            }
            seen.push(if believed { '.' } else { 'x' });
        }
        assert_eq!(seen, ".......xxxx......");
    }
}
