//! A circuit breaker: after a run of failures calls are refused at once for a while, then one is
//! let through to try.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Failures in a row that open it; 0 turns it off.
    pub failures: u32,
    /// How long it stays open, in milliseconds.
    pub open_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        BreakerConfig { failures: 10, open_ms: 1000 }
    }
}

#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    pub fn new(config: BreakerConfig) -> Self {
        Breaker { config, state: Mutex::default() }
    }

    /// Whether a call may go out at `now`. When the open time is over, the first to ask tries
    /// while the others wait another round.
    pub fn admits(&self, now: Instant) -> bool {
        if self.config.failures == 0 {
            return true;
        }
        let mut s = self.state.lock().expect("no holder panics");
        match s.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                s.open_until = Some(now + Duration::from_millis(self.config.open_ms));
                true
            }
            None => true,
        }
    }

    pub fn record(&self, ok: bool, now: Instant) {
        if self.config.failures == 0 {
            return;
        }
        let mut s = self.state.lock().expect("no holder panics");
        if ok {
            *s = State::default();
            return;
        }
        s.failures = s.failures.saturating_add(1);
        if s.failures >= self.config.failures {
            s.open_until = Some(now + Duration::from_millis(self.config.open_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_tries_once_and_closes() {
        let b = Breaker::new(BreakerConfig { failures: 3, open_ms: 100 });
        let t = Instant::now();
        for _ in 0..3 {
            assert!(b.admits(t));
            b.record(false, t);
        }
        assert!(!b.admits(t + Duration::from_millis(99)));
        let later = t + Duration::from_millis(101);
        assert!(b.admits(later), "one is let through to try");
        assert!(!b.admits(later), "and only one");
        b.record(true, later);
        assert!(b.admits(later));
    }

    #[test]
    fn a_trial_that_is_never_answered_is_followed_by_another() {
        let b = Breaker::new(BreakerConfig { failures: 1, open_ms: 100 });
        let t = Instant::now();
        b.record(false, t);
        let mut at = t;
        for _ in 0..3 {
            at += Duration::from_millis(101);
            assert!(b.admits(at));
            assert!(!b.admits(at));
        }
        b.record(false, at);
        assert!(!b.admits(at + Duration::from_millis(99)), "a failed trial opens it again");
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again_and_zero_turns_it_off() {
        let t = Instant::now();
        let b = Breaker::new(BreakerConfig { failures: 2, open_ms: 100 });
        for _ in 0..5 {
            b.record(false, t);
            b.record(true, t);
        }
        assert!(b.admits(t));
        let off = Breaker::new(BreakerConfig { failures: 0, open_ms: 100 });
        (0..50).for_each(|_| off.record(false, t));
        assert!(off.admits(t));
    }
}
