//! Which provider takes a charge: those that can, the cheapest first, where failing makes dear; and every call to one,
//! bounded in time and counted.
//!
//! # Metrics
//!
//! | name | labels | says |
//! | --- | --- | --- |
//! | `payment_provider_seconds` | `provider`, `call`, `outcome` | calls to providers |
//! | `payment_provider_failure_rate` | `provider` | share of the last calls that were not answered |
//! | `payment_provider_breaker_open` | `provider` | 1 while new charges go elsewhere |

use super::{Method, Outcome, Provider, health::Health};
use jangteo_core::{Error, Result};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How much dearer a provider counts that never answers: five times.
const FAILING: f64 = 4.0;

/// Calls that say nothing of how well charges go through.
const ASIDE: [&str; 4] = ["tokenise", "forget", "statement", "payout"];

pub struct Router(Vec<Entry>);

struct Entry {
    provider: Arc<dyn Provider>,
    health: Health,
}

/// How a call ended, for metrics and health.
pub trait Ended {
    fn ended(&self) -> &'static str;
}

impl<T> Ended for Outcome<T> {
    fn ended(&self) -> &'static str {
        match self {
            Outcome::Done(_) => "done",
            Outcome::Declined(_) => "declined",
            Outcome::ActionRequired { .. } => "action_required",
            Outcome::NotTaken(_) => "not_taken",
            Outcome::Unknown(_) => "unknown",
        }
    }
}

impl<T> Ended for Result<T, String> {
    fn ended(&self) -> &'static str {
        if self.is_ok() { "done" } else { "unknown" }
    }
}

impl Router {
    pub fn new(providers: Vec<Arc<dyn Provider>>) -> Router {
        Router(providers.into_iter().map(|provider| Entry { provider, health: Health::default() }).collect())
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Provider>> {
        self.0.iter().map(|e| &e.provider)
    }

    pub fn named(&self, name: &str) -> Result<&Arc<dyn Provider>> {
        self.all().find(|p| p.name() == name).ok_or_else(|| {
            Error::unavailable(format!("payment provider {name}")).with_source("it is not configured any more")
        })
    }

    /// Whether anybody takes `method` at all.
    pub fn offers(&self, method: &Method) -> bool {
        self.all().any(|p| p.can(method))
    }

    /// Those to ask for a charge, one after the other. Empty: none of them works just now.
    pub fn order(&self, method: &Method, won: i64) -> Vec<Arc<dyn Provider>> {
        let now = Instant::now();
        let mut able: Vec<_> = self.0.iter().filter(|e| e.provider.can(method) && e.health.admits(now)).collect();
        let price = |e: &Entry| e.provider.cost(method).of(won) as f64 * (1.0 + FAILING * e.health.failure_rate(now));
        able.sort_by(|a, b| price(a).total_cmp(&price(b)));
        able.into_iter().map(|e| e.provider.clone()).collect()
    }

    /// Calls a provider. `None`: it did not answer within `limit`.
    pub async fn call<T: Ended>(
        &self,
        provider: &dyn Provider,
        call: &'static str,
        limit: Duration,
        answer: impl Future<Output = T> + Send,
    ) -> Option<T> {
        let counts = !ASIDE.contains(&call);
        let entry = self.0.iter().find(|e| counts && e.provider.name() == provider.name());
        let start = Instant::now();
        if let Some(e) = entry {
            e.health.enter(start);
        }
        let answer = tokio::time::timeout(limit, answer).await.ok();
        let outcome = answer.as_ref().map_or("timeout", Ended::ended);
        let name = provider.name().to_owned();
        if let Some(e) = entry {
            let now = Instant::now();
            e.health.note(now, !matches!(outcome, "timeout" | "unknown" | "not_taken"));
            metrics::gauge!("payment_provider_failure_rate", "provider" => name.clone())
                .set(e.health.failure_rate(now));
            let open = if e.health.is_open() { 1.0 } else { 0.0 };
            metrics::gauge!("payment_provider_breaker_open", "provider" => name.clone()).set(open);
        }
        let labels = [("provider", name), ("call", call.to_owned()), ("outcome", outcome.to_owned())];
        metrics::histogram!("payment_provider_seconds", &labels).record(start.elapsed());
        answer
    }

    /// As [`Router::call`], silence being an unknown outcome.
    pub async fn ask<T: Send>(
        &self,
        provider: &dyn Provider,
        call: &'static str,
        limit: Duration,
        answer: impl Future<Output = Outcome<T>> + Send,
    ) -> Outcome<T> {
        let answer = self.call(provider, call, limit, answer).await;
        answer.unwrap_or_else(|| Outcome::Unknown(format!("no answer within {} ms", limit.as_millis())))
    }
}
