//! Throttling of attempts to prove an identity: by account and network, without a lock-out.
//!
//! An attempt counts before it is made, so that a thousand at once don't slip through, and is taken back when it
//! succeeds. What an attacker uses up is the budget of his own networks, and of strangers' on the account; the networks
//! from which the account was used before are never refused because of him. Counters are kept in the cache under keyed
//! hashes: losing them costs an attacker's progress nothing worse than a new window.

use crate::{
    Auth,
    domain::{mail::Kind, person},
};
use jangteo_core::{Call, Code, Error, Result};
use kit::cache::Cache;
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(15 * 60);
const LONG: Duration = Duration::from_secs(3600);

/// An attempt under way.
#[must_use]
pub struct Attempt {
    cache: Cache,
    counted: Vec<(String, Duration)>,
}

impl Attempt {
    /// It was no attack: it doesn't count.
    pub async fn succeeded(self) {
        for (key, window) in self.counted {
            self.cache.incr(&key, -1, window).await;
        }
    }
}

impl Auth {
    /// Counts an attempt of kind `what` on `subject`, or refuses it with RESOURCE_EXHAUSTED. `known`: the subject was used
    /// from the caller's network before.
    pub(super) async fn attempt(&self, cx: &Call, what: &str, subject: &str, known: bool) -> Result<Attempt> {
        let limits = &self.cfg.limits;
        let network = person::network(cx.client_addr.as_deref());
        let mut budgets = vec![(self.keyed("pair", &[what, subject, &network]), limits.pair, SHORT)];
        // Callers without an address reach us from within; they share nothing that says something about them.
        if cx.client_addr.is_some() {
            budgets.push((self.keyed("network", &[what, &network]), limits.network, SHORT));
        }
        if !known {
            budgets.push((self.keyed("strangers", &[what, subject]), limits.strangers, LONG));
        }
        let mut attempt = Attempt { cache: self.cache.clone(), counted: Vec::new() };
        for (key, limit, window) in budgets {
            let key = format!("attempt:{key}");
            if self.cache.incr(&key, 1, window).await > limit {
                let e = Error::new(Code::ResourceExhausted, "TOO_MANY_ATTEMPTS", "too many attempts; try again later");
                return Err(e.with_retry_after(window));
            }
            attempt.counted.push((key, window));
        }
        Ok(attempt)
    }

    /// Under which the caller's network is remembered for an account.
    pub(super) fn network_hash(&self, cx: &Call, email_hash: &str) -> String {
        self.keyed("known_network", &[email_hash, &person::network(cx.client_addr.as_deref())])
    }

    /// Whether another mail may go to an address. Asked before it is known whether anybody is there.
    pub(super) async fn may_mail(&self, email_hash: &str, kind: Kind) -> bool {
        let key = format!("mail:{}:{email_hash}", kind.name());
        self.cache.incr(&key, 1, LONG).await <= self.cfg.limits.mails
    }
}
