//! How well a provider works: a rolling window of its last answers, and a circuit breaker on it.
//! The states are those of Nygard's "Release It!": closed, open, half-open.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

/// So many answers are remembered, none longer than this.
const WINDOW: usize = 20;
const MEMORY: Duration = Duration::from_secs(60);
/// With fewer answers than this there is no opinion.
const ENOUGH: usize = 5;
/// Half of the answers failing opens the breaker.
const TOO_MANY: f64 = 0.5;
/// How long an open breaker keeps callers off before one of them may try.
const COOL_DOWN: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When, and whether it worked.
    answers: VecDeque<(Instant, bool)>,
    /// Nobody may try before.
    open_until: Option<Instant>,
}

impl Health {
    /// Whether a new charge may go there.
    pub fn admits(&self, now: Instant) -> bool {
        self.0.lock().expect("no holder panics").open_until.is_none_or(|until| until <= now)
    }

    /// Takes the one try that a half-open breaker grants; others wait for what becomes of it.
    pub fn enter(&self, now: Instant) {
        let mut state = self.0.lock().expect("no holder panics");
        if state.open_until.is_some() {
            state.open_until = Some(now + COOL_DOWN);
        }
    }

    /// Notes whether a call was answered. A decline is an answer.
    pub fn note(&self, now: Instant, worked: bool) {
        let mut state = self.0.lock().expect("no holder panics");
        if worked && state.open_until.take().is_some() {
            state.answers.clear();
        }
        state.answers.push_back((now, worked));
        state.forget(now);
        if state.answers.len() >= ENOUGH && state.failure_rate() >= TOO_MANY {
            state.open_until = Some(now + COOL_DOWN);
        }
    }

    /// 0 to 1.
    pub fn failure_rate(&self, now: Instant) -> f64 {
        let mut state = self.0.lock().expect("no holder panics");
        state.forget(now);
        state.failure_rate()
    }

    pub fn is_open(&self) -> bool {
        self.0.lock().expect("no holder panics").open_until.is_some()
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        while self.answers.len() > WINDOW
            || self.answers.front().is_some_and(|(at, _)| now.duration_since(*at) > MEMORY)
        {
            self.answers.pop_front();
        }
    }

    fn failure_rate(&self) -> f64 {
        let failed = self.answers.iter().filter(|(_, worked)| !worked).count();
        failed as f64 / self.answers.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_open_the_breaker_and_one_success_closes_it() {
        let (health, start) = (Health::default(), Instant::now());
        for _ in 0..ENOUGH {
            assert!(health.admits(start));
            health.note(start, false);
        }
        assert!(!health.admits(start) && health.is_open());
        let later = start + COOL_DOWN;
        assert!(health.admits(later), "half-open");
        health.enter(later);
        assert!(!health.admits(later), "for one caller alone");
        health.note(later, true);
        assert!(health.admits(later) && health.failure_rate(later) == 0.0);
    }

    #[test]
    fn a_failed_try_opens_it_again_and_old_failures_are_forgotten() {
        let (health, start) = (Health::default(), Instant::now());
        (0..ENOUGH).for_each(|_| health.note(start, false));
        let later = start + COOL_DOWN;
        health.enter(later);
        health.note(later, false);
        assert!(!health.admits(later + COOL_DOWN / 2));
        assert_eq!(health.failure_rate(later + MEMORY * 2), 0.0);
    }
}
