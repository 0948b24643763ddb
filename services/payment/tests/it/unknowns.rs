//! Providers that don't answer, answer late, or don't work: an order is charged once all the same.

use crate::support::*;
use async_trait::async_trait;
use futures::future::join_all;
use jangteo_core::{Clock, SystemClock, Time};
use payment::{
    Config,
    provider::{
        Card, Charge, ChargeRef, Cost, Line, Method, Outcome, Provider, RefundRef, Standing, Taken, Token, Verified,
        sandbox::Sandbox,
    },
};
use proto::jangteo::payment::v1::{PaymentStatus as Status, payment_service::Api};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use testbed::Kind;

pub async fn fifty_clicks_charge_once(kind: Kind) {
    // Fifty writers at once slow the sandbox down as well, which shares the database.
    let cfg = Config { provider_timeout_ms: 5_000, ..config() };
    let (w, buyer, order) = (World::with(kind, cfg, |s, _| vec![s]).await, user_id(), order_id());
    let card = w.card(&buyer, GOOD).await;
    let clicks = (0..50).map(|_| w.payments.authorise(order_calls(), asked(&order, 1, &buyer, 700, 0, card.clone())));
    let answers: Vec<_> = join_all(clicks).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|p| matches!(p.status(), Status::Authorised | Status::Pending)));
    assert!(answers.iter().any(|p| p.status() == Status::Authorised));
    w.becomes(&order, Status::Authorised).await;
    join_all((0..50).map(|_| w.capture(&order))).await;
    w.becomes(&order, Status::Captured).await;
    assert_eq!(w.escrow(&order).await, 700);
    assert_eq!((w.count("sandbox_charge", "1 = 1").await, w.events("PaymentCaptured").await), (1, 1));
    w.sound().await;
}

pub async fn a_timeout_is_neither_yes_nor_no(kind: Kind) {
    let (w, buyer) = (World::new(kind).await, user_id());
    for (number, end) in [(HANG_THEN_DONE, Status::Authorised), (HANG_THEN_DECLINE, Status::Declined)] {
        let (order, card) = (order_id(), w.card(&buyer, number).await);
        assert_eq!(w.authorise(&order, 1, &buyer, 700, card.clone()).await.status(), Status::Pending);
        let another = w.authorise(&order, 2, &buyer, 700, card).await;
        assert_eq!(
            (another.status(), another.attempt),
            (Status::Pending, 1),
            "while it is unknown there is no other attempt"
        );
        w.becomes(&order, end).await;
    }
    assert_eq!(w.count("sandbox_charge", "1 = 1").await, 2);
    w.sound().await;
}

pub async fn the_next_provider_takes_over_only_when_nothing_was_taken(kind: Kind) {
    let two =
        |sandbox: Arc<Sandbox>, db| -> Vec<Arc<dyn Provider>> { vec![sandbox, Arc::new(another("second", db, 500))] };
    let (w, buyer) = (World::with(kind, config(), two).await, user_id());
    // The same card at both: down at the first, and so at the second.
    let (order, card) = (order_id(), w.card(&buyer, DOWN).await);
    let payment = w.authorise(&order, 1, &buyer, 700, card).await;
    assert_eq!((payment.status(), payment.decline_reason.as_str()), (Status::Declined, "PROVIDER_UNAVAILABLE"));
    assert_eq!(w.count("charge", "state = 'NOT_TAKEN'").await, 2);
    // Down at the first alone.
    let (order, card) = (order_id(), w.card(&buyer, GOOD).await);
    let down = "UPDATE sandbox_card SET scenario = 'UNAVAILABLE' WHERE token IN (SELECT token FROM method_token WHERE provider = 'sandbox')";
    w.plant(down).await.unwrap();
    let payment = w.authorise(&order, 1, &buyer, 700, card.clone()).await;
    assert_eq!((payment.status(), payment.provider.as_str()), (Status::Authorised, "second"));
    w.capture(&order).await.unwrap();
    // Silent at the first: nobody else is asked.
    w.plant(&down.replace("UNAVAILABLE", "HANG_THEN_DONE")).await.unwrap();
    let order = order_id();
    let payment = w.authorise(&order, 1, &buyer, 700, card).await;
    assert_eq!((payment.status(), payment.provider.as_str()), (Status::Pending, "sandbox"));
    w.becomes(&order, Status::Authorised).await;
    assert_eq!(w.count("charge", &format!("order_id = '{order}'")).await, 1);
    w.sound().await;
}

/// What becomes of a call on its way.
enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives, and its answer doesn't.
    Silent,
    Fine,
}

/// A provider behind a bad line; the fate of a call is decided by its name.
struct BadLine<F> {
    inner: Arc<Sandbox>,
    fate: F,
}

impl<F: Fn(&str) -> Fate + Send + Sync + 'static> BadLine<F> {
    async fn through<T>(&self, name: &str, call: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        match (self.fate)(name) {
            Fate::Lost => Outcome::Unknown("the request was lost".into()),
            Fate::Silent => {
                call.await;
                Outcome::Unknown("the reply was lost".into())
            }
            Fate::Fine => call.await,
        }
    }
}

#[async_trait]
impl<F: Fn(&str) -> Fate + Send + Sync + 'static> Provider for BadLine<F> {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn can(&self, method: &Method) -> bool {
        self.inner.can(method)
    }
    fn cost(&self, method: &Method) -> Cost {
        self.inner.cost(method)
    }
    async fn tokenise(&self, owner: &str, card: &Card) -> Outcome<Token> {
        self.inner.tokenise(owner, card).await
    }
    async fn authorise(&self, charge: &Charge) -> Outcome<Taken> {
        self.through("authorise", self.inner.authorise(charge)).await
    }
    async fn capture(&self, charge: &ChargeRef) -> Outcome<()> {
        self.through("capture", self.inner.capture(charge)).await
    }
    async fn void(&self, charge: &ChargeRef) -> Outcome<()> {
        self.through("void", self.inner.void(charge)).await
    }
    async fn refund(&self, charge: &ChargeRef, refund: &RefundRef) -> Outcome<()> {
        self.through("refund", self.inner.refund(charge, refund)).await
    }
    async fn look_up(&self, charge: &ChargeRef) -> Result<Standing, String> {
        match (self.fate)("look_up") {
            Fate::Fine => self.inner.look_up(charge).await,
            _ => Err("the reply was lost".into()),
        }
    }
    async fn verify_webhook(&self, headers: &BTreeMap<String, String>, body: &[u8], now: Time) -> Verified {
        self.inner.verify_webhook(headers, body, now).await
    }
    async fn statement(&self, from: Time, to: Time) -> Result<Vec<Line>, String> {
        self.inner.statement(from, to).await
    }
}

/// Loses one of ten requests and three of ten replies. Knuth's MMIX generator: a seed gives the same fates again.
fn dice(seed: u64) -> impl Fn(&str) -> Fate + Send + Sync + 'static {
    let state = AtomicU64::new(seed);
    move |_| {
        let next = |x: u64| x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let before = state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(next(x))).unwrap();
        match (next(before) >> 33) % 10 {
            0 => Fate::Lost,
            1..=3 => Fate::Silent,
            _ => Fate::Fine,
        }
    }
}

pub async fn dropped_replies_never_charge_twice(kind: Kind) {
    let seed = u64::from(SystemClock.now().timestamp_subsec_micros());
    println!("seed {seed}");
    let flaky =
        |inner: Arc<Sandbox>, _| -> Vec<Arc<dyn Provider>> { vec![Arc::new(BadLine { inner, fate: dice(seed) })] };
    let (w, buyer) = (World::with(kind, config(), flaky).await, user_id());
    let (good, poor) = (w.card(&buyer, GOOD).await, w.card(&buyer, POOR).await);
    let orders: Vec<_> = (0..30).map(|n| (n, order_id())).collect();
    let card = |n: usize| if n % 5 == 4 { poor.clone() } else { good.clone() };
    // The breaker may refuse some: those are declined, and tried again.
    for (n, order) in &orders {
        let mut attempt = 1;
        loop {
            let payment = w.authorise(order, attempt, &buyer, 700, card(*n)).await;
            if payment.decline_reason != "PROVIDER_UNAVAILABLE" {
                break;
            }
            // Half-open again after a while; other calls, to what is already under way, go through all the same.
            w.jobs().await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            attempt += 1;
        }
    }
    for (n, order) in &orders {
        let end = if n % 5 == 4 { Status::Declined } else { Status::Authorised };
        w.becomes(order, end).await;
    }
    let wanted: Vec<_> = orders.iter().filter(|(n, _)| n % 5 != 4).collect();
    for (n, order) in &wanted {
        if n % 3 == 0 {
            w.void(order).await.unwrap();
        } else {
            let _ = w.capture(order).await; // unknown ones a job finishes
            w.becomes(order, Status::Captured).await;
            w.refund(order, &refund_id(), 1, 200).await.unwrap();
        }
    }
    let begun = std::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        w.jobs().await;
        let open = w.count("charge", "due > 0").await + w.count("refund", "due > 0").await;
        if open == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    let voided = wanted.iter().filter(|(n, _)| n % 3 == 0).count() as i64;
    let captured = wanted.len() as i64 - voided;
    assert_eq!(w.count("sandbox_charge", "state = 'CAPTURED'").await, captured);
    assert_eq!(w.count("sandbox_charge", "state IN ('AUTHORISED', 'PENDING')").await, 0);
    assert_eq!(
        (w.count("sandbox_refund", "amount = 200").await, w.count("refund", "status = 2").await),
        (captured, captured)
    );
    w.sound().await;
}

pub async fn a_charge_that_never_arrives_is_given_up(kind: Kind) {
    let fate = |name: &str| if name == "authorise" { Fate::Lost } else { Fate::Fine };
    let cfg = Config { give_up_secs: 0, ..config() };
    let deaf = |inner: Arc<Sandbox>, _| -> Vec<Arc<dyn Provider>> { vec![Arc::new(BadLine { inner, fate })] };
    let (w, buyer, order) = (World::with(kind, cfg, deaf).await, user_id(), order_id());
    let card = w.card(&buyer, GOOD).await;
    assert_eq!(w.authorise(&order, 1, &buyer, 700, card.clone()).await.status(), Status::Pending);
    w.becomes(&order, Status::Declined).await;
    for _ in 0..5 {
        w.jobs().await;
    }
    // It arrives after all, and is refused: the provider was told.
    let late = Charge {
        key: format!("{order}:1"),
        order_id: order.clone(),
        buyer_id: buyer.clone(),
        amount: jangteo_core::Money::new(700, jangteo_core::Currency::KRW),
        instrument: payment::provider::Instrument::EasyPay("kakaopay".into()),
        return_url: String::new(),
        checkout_url: String::new(),
    };
    assert!(matches!(w.sandbox.authorise(&late).await, Outcome::Declined(_)));
    assert_eq!(w.count("charge", "state = 'VOIDED'").await, 1);
    w.sound().await;
}

pub async fn when_nobody_works_it_is_declined(kind: Kind) {
    let (w, buyer) = (World::new(kind).await, user_id());
    let down = w.card(&buyer, DOWN).await;
    for _ in 0..8 {
        let payment = w.authorise(&order_id(), 1, &buyer, 700, down.clone()).await;
        assert_eq!(payment.decline_reason, "PROVIDER_UNAVAILABLE");
    }
    let asked = w.count("charge", "1 = 1").await;
    assert!(asked < 8, "the breaker opened after {asked}");
    w.points.give(&buyer, 100);
    let good = w.card(&buyer, GOOD).await;
    let req = crate::support::asked(&order_id(), 1, &buyer, 700, 100, good);
    assert_eq!(w.payments.authorise(order_calls(), req).await.unwrap().status(), Status::Declined);
    assert_eq!(w.points.of(&buyer), 100, "no points are taken for what nobody can charge");
    w.sound().await;
}
