//! Time comes from a [`Clock`], so that a test can hold it still.

use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{Arc, Mutex};

pub type Time = DateTime<Utc>;

pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Time;
}

/// The machine's clock, cut to microseconds, which is what the stores keep.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Time {
        from_micros(Utc::now().timestamp_micros())
    }
}

/// A clock that a test moves by hand.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Time>>);

impl ManualClock {
    pub fn at(now: Time) -> Self {
        ManualClock(Arc::new(Mutex::new(now)))
    }
    pub fn advance(&self, by: TimeDelta) {
        *self.0.lock().expect("no holder panics") += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        *self.0.lock().expect("no holder panics")
    }
}

/// Microseconds since 1970, the shape in which times are stored.
pub fn micros(t: Time) -> i64 {
    t.timestamp_micros()
}

/// The time of so many microseconds since 1970; what chrono can't represent becomes 1970.
pub fn from_micros(micros: i64) -> Time {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
