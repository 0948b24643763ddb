//! Single flight: whoever asks for a key while it is being loaded waits for that load.

use bytes::Bytes;
use jangteo_core::{Error, Result};
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

type Outcome = std::result::Result<Bytes, Arc<Error>>;
type Map = Mutex<HashMap<String, Arc<OnceCell<Outcome>>>>;

#[derive(Default)]
pub(crate) struct Flights(Arc<Map>);

impl Flights {
    pub fn join(&self, key: &str) -> Ticket {
        let mut map = self.0.lock().expect("no holder panics");
        let flight = map.entry(key.to_owned()).or_default().clone();
        Ticket { map: self.0.clone(), key: key.to_owned(), flight }
    }

    /// Whoever is on board stays; whoever comes now starts a new one.
    pub fn detach(&self, key: &str) {
        self.0.lock().expect("no holder panics").remove(key);
    }
}

pub(crate) struct Ticket {
    map: Arc<Map>,
    key: String,
    flight: Arc<OnceCell<Outcome>>,
}

impl Ticket {
    /// When the one who loads is cancelled, the next in line loads in its place.
    pub async fn outcome<F: Future<Output = Result<Bytes>>>(&self, load: impl FnOnce() -> F) -> Result<Bytes> {
        let outcome = self.flight.get_or_init(|| async { load().await.map_err(Arc::new) }).await;
        outcome.clone().map_err(|e| copy(&e))
    }
}

impl Drop for Ticket {
    /// The last on board, and the first to leave after landing, takes the flight off the board.
    fn drop(&mut self) {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let over = self.flight.initialized() || Arc::strong_count(&self.flight) <= 2;
        if over && map.get(&self.key).is_some_and(|f| Arc::ptr_eq(f, &self.flight)) {
            map.remove(&self.key);
        }
    }
}

#[derive(Debug)]
struct Cause(Arc<Error>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Cause {}

/// The same error for everyone who waited.
fn copy(e: &Arc<Error>) -> Error {
    let mut c = Error::new(e.code(), e.reason().to_owned(), e.message())
        .with_domain(e.domain().to_owned())
        .with_violations(e.field_violations().to_vec())
        .with_source(Cause(e.clone()));
    for (k, v) in e.metadata() {
        c = c.with(k, v);
    }
    match e.retry_after() {
        Some(after) => c.with_retry_after(after),
        None => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cancelled_load_is_taken_over_and_nothing_is_left_behind() {
        let flights = Flights::default();
        let (a, b) = (flights.join("k"), flights.join("k"));
        let mut first = Box::pin(a.outcome(std::future::pending::<Result<Bytes>>));
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        drop(a);
        assert_eq!(b.outcome(|| async { Ok(Bytes::from_static(b"v")) }).await.unwrap(), "v");
        drop(b);
        assert!(flights.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_error_is_shared_and_an_evicted_flight_is_not_joined() {
        let flights = Flights::default();
        let (a, b) = (flights.join("k"), flights.join("k"));
        let refuse = || async { Err(Error::not_found("product", "prd_1")) };
        assert_eq!(a.outcome(refuse).await.unwrap_err().reason(), "PRODUCT_NOT_FOUND");
        let e = b.outcome(|| async { panic!("must not load again") }).await.unwrap_err();
        assert_eq!(e.metadata()["product_id"], "prd_1");
        drop((a, b));

        let old = flights.join("j");
        flights.detach("j");
        let new = flights.join("j");
        assert!(!Arc::ptr_eq(&old.flight, &new.flight));
        drop(old);
        assert_eq!(flights.0.lock().unwrap().len(), 1, "the new one stays");
    }
}
