//! Waiting for something to become true.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(20);

/// What a probe may answer: `bool`, `Option` or `Result`; the value ends the wait.
pub trait Outcome {
    type Value;

    /// The value, or why it isn't there yet.
    fn outcome(self) -> Result<Self::Value, String>;
}

impl Outcome for bool {
    type Value = ();

    fn outcome(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

impl<T> Outcome for Option<T> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "none".to_owned())
    }
}

impl<T, E: Debug> Outcome for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// Asks `probe` again and again until it has an answer; panics with its last refusal after `within`.
///
/// ```ignore
/// let profile = eventually(Duration::from_secs(5), async || client.get("/v1/users/me").send().await.ok()).await;
/// ```
#[track_caller]
pub fn eventually<P: Outcome>(within: Duration, mut probe: impl AsyncFnMut() -> P) -> impl Future<Output = P::Value> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + within;
        loop {
            match probe().await.outcome() {
                Ok(value) => return value,
                Err(why) if Instant::now() >= deadline => panic!("not within {within:?}, asked at {caller}: {why}"),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}
