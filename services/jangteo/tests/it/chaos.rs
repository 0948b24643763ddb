//! The market dies at every named place while people trade. Afterwards what was answered is there, nothing stays half
//! done, and every check that the services have of their data (`jangteo verify`) holds.

mod alone;
mod people;
mod trades;
mod weather;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use testkit::{Market, Setup, Topology, eventually};

use crate::{
    crashes::{CRASH_AT, points, tested_alone},
    stores::Store,
    world::setup,
};
use people::Cast;

/// How long people trade at most until a place is passed: a round or two on a quiet machine, far more on a busy one.
const TRADES: Duration = Duration::from_secs(240);
/// What only a timed job passes may come so long after the last round.
const LATER: Duration = Duration::from_secs(15);
/// Orders wait for their payment no longer than this, so that all of them come to an end.
const UNPAID_SECS: u64 = 3;
/// How long a market may take to finish what was begun, on a busy machine.
const HEAL: Duration = Duration::from_secs(90);

fn stormy(topology: Topology) -> Setup {
    setup(topology)
        .env("JANGTEO_ORDER__UNPAID_TTL_SECS", UNPAID_SECS.to_string())
        .env("JANGTEO_ORDER__SAGA_LEASE_MS", "1500")
        .env("JANGTEO_ORDER__SAGA_BACKOFF_MAX_MS", "500")
        .env("JANGTEO_PAYMENT__ASK_AFTER_MS", "200")
        .env("JANGTEO_PAYMENT__PROVIDER_TIMEOUT_MS", "1000")
        .env("JANGTEO_REVIEW__REVEAL_SECS", "1")
}

/// The services that have such places; one test for each, so that they run beside one another.
macro_rules! services {
    ($($service:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $service() { super::places_of(stringify!($service), super::SHORT).await })+

        #[tokio::test]
        #[ignore = "minutes: `make chaos`"]
        async fn all() {
            for service in [$(stringify!($service)),+] {
                super::places_of(service, 1).await;
            }
        }

        #[test]
        fn none_is_left_out() {
            let all: std::collections::BTreeSet<_> = crate::crashes::points().iter().map(|p| p.split('.').next().unwrap().to_owned()).collect();
            let here = [$(stringify!($service)),+, "auth"].map(str::to_owned).into();
            assert_eq!(all, here, "auth's are all in `crashes`");
        }
    };
}

mod killed_in {
    services!(cart, catalog, media, notification, order, payment, review, search, shipping);
}

/// In `make test` the market dies at one place in so many; at all of them in `make chaos`.
const SHORT: usize = 3;

async fn places_of(service: &str, one_in: usize) {
    let alone = tested_alone();
    let places = points().into_iter().filter(|p| p.starts_with(&format!("{service}.")));
    let places: Vec<_> =
        places.filter(|p| !alone.contains(p) && !alone::PLACES.contains(&p.as_str())).step_by(one_in).collect();
    let mut market = stormy(Topology::Embedded).start().await;
    let cast = Cast::gather(&market.client()).await;
    for place in &places {
        dies_at(&mut market, &cast, service, place).await;
    }
    println!("{service}: {} places", places.len());
}

/// A process a service: the others live on and see one of them die.
#[tokio::test]
async fn one_of_many_processes_dies() {
    let mut market = stormy(Topology::Mesh).start().await;
    let cast = Cast::gather(&market.client()).await;
    for (service, place) in [
        ("catalog", "catalog.confirm.after_commit"),
        ("order", "order.saga.after_authorise"),
        ("payment", "payment.capture.after_provider"),
        ("shipping", "shipping.prepare.after_commit"),
    ] {
        dies_at(&mut market, &cast, service, place).await;
    }
}

/// Restarts the market armed, lets people trade until it dies there, restarts it unarmed, and looks.
async fn dies_at(market: &mut Market, cast: &Cast, service: &str, place: &str) {
    let begun = Instant::now();
    armed(market, place).await;
    let client = market.client();
    while begun.elapsed() < TRADES && market.host_of(service).exited().is_none() {
        trades::everything(&client, cast).await;
    }
    died(market, service, place).await;
    let traded = begun.elapsed();
    revived(market, cast, place).await;
    println!("{place}: died within {traded:.1?}, whole again after {:.1?}", begun.elapsed() - traded);
}

async fn armed(market: &mut Market, place: &str) {
    market.stop().await;
    market.set_env(CRASH_AT, Some(place));
    market.restart().await;
}

async fn died(market: &mut Market, service: &str, place: &str) {
    let end = Instant::now() + LATER;
    while market.host_of(service).exited().is_none() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = market.host_of(service).exited();
    assert!(status.is_some_and(|s| !s.success()), "{place} was never passed: {status:?}");
}

/// Starts again what died, and the rest with it, and looks.
async fn revived(market: &mut Market, cast: &Cast, place: &str) {
    market.set_env(CRASH_AT, None);
    market.kill9();
    market.restart().await;
    healthy(market, cast, place).await;
}

/// Everything comes to an end, and what was answered is there.
async fn healthy(market: &Market, cast: &Cast, after: &str) {
    let store = Store::open(market, "order").await;
    eventually(HEAL, async || match store.count("saga", "step <> 'AWAIT_CONFIRM'").await {
        0 => Ok(()),
        n => Err(format!("{after}: {n} orders are not done")),
    })
    .await;
    cast.nothing_is_forgotten(&market.client()).await;
    eventually(HEAL, async || market.try_command(&["verify"]).await.map_err(|printed| format!("{after}: {printed}")))
        .await;
}

#[test]
fn there_are_enough_places() {
    let all: BTreeSet<_> = points();
    assert!(all.len() >= 40, "only {}", all.len());
}
