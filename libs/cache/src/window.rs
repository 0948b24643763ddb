//! Rate limits and short counts of this process alone, and the arithmetic that `redis/take.lua` repeats in Redis.
//!
//! A sliding window from two counters: the slot that runs, and the one before it weighed by how much of it the
//! window still covers. Never more than `limit` in a fresh window, and no double burst at its edge.

use crate::memory::Local;
use jangteo_core::{Clock, SystemClock};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Bounds what an attacker with many addresses can make this process remember.
const BYTES: u64 = 16 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub allowed: bool,
    pub remaining: u64,
    /// Allowed: until the window's end. Refused: until one more passes.
    pub reset: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slots {
    slot: u64,
    now: u64,
    before: u64,
}

impl Slots {
    /// `at` and `window` in milliseconds.
    fn roll(&mut self, at: u64, window: u64) {
        let slot = at / window;
        if slot != self.slot {
            self.before = if slot == self.slot + 1 { self.now } else { 0 };
            self.now = 0;
            self.slot = slot;
        }
    }

    fn take(&mut self, at: u64, limit: u64, window: u64) -> Taken {
        self.roll(at, window);
        let into = (at % window) as f64;
        let (w, limit) = (window as f64, limit as f64);
        let weighed = self.before as f64 * (w - into) / w;
        let used = weighed + self.now as f64;
        let allowed = used + 1.0 <= limit;
        let wait = if allowed {
            self.now += 1;
            w - into
        } else if self.now as f64 + 1.0 <= limit {
            w * (1.0 - (limit - self.now as f64 - 1.0) / self.before as f64) - into
        } else if limit >= 1.0 {
            w - into + w * (1.0 - (limit - 1.0) / self.now as f64)
        } else {
            w
        };
        let remaining = if allowed { (limit - used - 1.0).max(0.0) as u64 } else { 0 };
        Taken { allowed, remaining, reset: Duration::from_millis(wait.ceil().max(1.0) as u64) }
    }
}

pub(crate) struct Windows {
    slots: Local<Arc<Mutex<Slots>>>,
    sums: Local<Arc<Mutex<i64>>>,
}

impl Windows {
    pub fn new() -> Self {
        Windows { slots: Local::new(BYTES, |_| 64), sums: Local::new(BYTES, |_| 64) }
    }

    async fn with<R>(&self, key: &str, window: Duration, f: impl FnOnce(&mut Slots, u64, u64) -> R) -> R {
        let ms = (window.as_millis() as u64).max(1);
        // A key's window is a property of its caller; one that changes starts again.
        let key = format!("{ms}:{key}");
        let slots = match self.slots.get(&key).await {
            Some(slots) => slots,
            None => self.slots.get_or(&key, window * 2, Arc::default).await,
        };
        // Slots begin when those of Redis do.
        let at = SystemClock.now().timestamp_millis().unsigned_abs();
        let (out, fresh) = {
            let mut s = slots.lock().expect("no holder panics");
            let before = s.slot;
            (f(&mut s, at, ms), s.slot != before)
        };
        if fresh {
            // Its time to live starts again with each slot.
            self.slots.put(key, slots, window * 2).await;
        }
        out
    }

    pub async fn take(&self, key: &str, limit: u64, window: Duration) -> Taken {
        self.with(key, window, |s, at, ms| s.take(at, limit, ms)).await
    }

    /// One that was let pass here didn't pass after all.
    pub async fn give_back(&self, key: &str, window: Duration) {
        self.with(key, window, |s, at, ms| {
            s.roll(at, ms);
            s.now = s.now.saturating_sub(1);
        })
        .await;
    }

    pub async fn add(&self, key: &str, by: i64, ttl: Duration) -> i64 {
        let sum = self.sums.get_or(key, ttl, Arc::default).await;
        let mut sum = sum.lock().expect("no holder panics");
        *sum += by;
        *sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_frees_itself_little_by_little() {
        let mut s = Slots::default();
        for n in 0..10 {
            let t = s.take(500, 10, 1000);
            assert_eq!((t.allowed, t.remaining), (true, 9 - n));
        }
        let t = s.take(500, 10, 1000);
        assert_eq!((t.allowed, t.remaining, t.reset), (false, 0, Duration::from_millis(600)));
        assert!(!s.take(1099, 10, 1000).allowed, "nine tenths of the last slot still count");
        assert!(s.take(1100, 10, 1000).allowed, "as it was told");
        assert!(!s.take(1101, 10, 1000).allowed);
        assert_eq!(s.take(5000, 10, 1000).remaining, 9, "after a pause all is free");
    }

    #[test]
    fn nothing_passes_a_limit_of_zero() {
        assert!(!Slots::default().take(0, 0, 1000).allowed);
    }

    #[test]
    fn the_wait_that_is_told_is_long_enough() {
        for limit in [1, 2, 7, 100] {
            let (mut s, mut at, mut passed) = (Slots::default(), 0, 0);
            for _ in 0..500 {
                let t = s.take(at, limit, 1000);
                if t.allowed {
                    passed += 1;
                } else {
                    at += t.reset.as_millis() as u64;
                    assert!(s.take(at, limit, 1000).allowed, "limit {limit} at {at}");
                }
            }
            assert!(passed > 0);
        }
    }
}
