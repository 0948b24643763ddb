//! Charges that were given up, since when. Kept in memory: whoever forgets waits anew, or gives back what it took.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Nothing is confirmed after so long: Toss lets a payment expire within half an hour, PayPal an order within some hours.
const KEPT: Duration = Duration::from_secs(86_400);

pub(super) struct Graves {
    rest: Duration,
    dug: Mutex<HashMap<String, Instant>>,
}

impl Graves {
    pub fn new(rest: Duration) -> Graves {
        Graves { rest, dug: Mutex::default() }
    }

    fn dug(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.dug.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn dig(&self, key: &str) {
        let mut dug = self.dug();
        dug.retain(|_, since| since.elapsed() < KEPT.max(self.rest * 2));
        dug.entry(key.to_owned()).or_insert_with(Instant::now);
    }

    pub fn holds(&self, key: &str) -> bool {
        self.dug().contains_key(key)
    }

    /// Whether whatever was on its way has arrived by now.
    pub fn rests(&self, key: &str) -> bool {
        self.dug().get(key).is_some_and(|since| since.elapsed() >= self.rest)
    }
}
