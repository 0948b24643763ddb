//! The outside providers against fakes of their APIs, never against the services themselves: one suite of behaviour for each
//! of them, and what is peculiar to one in its own file.

#[path = "providers/fake.rs"]
pub mod fake;
#[path = "providers/inicis.rs"]
pub mod inicis;
#[path = "providers/paypal.rs"]
mod paypal;
#[path = "providers/stripe.rs"]
mod stripe;
#[path = "providers/toss.rs"]
mod toss;

use crate::support::{World, config, order_id, refund_id, user_id};
use fake::{Fake, Trouble};
use jangteo_core::{Currency, Money, Time, from_micros};
use payment::provider::{
    About, Card, Charge, ChargeRef, Decline, Instrument, Line, LineKind, Outcome, Provider, RefundRef, Standing, Taken,
};
use proto::jangteo::payment::v1::PaymentStatus as Status;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use testbed::{Kind, Stores};

/// When everything happens, in seconds since 1970.
pub const NOW: i64 = 1_800_000_000;
pub const GOOD: &str = "4242424242424242";
pub const KEY: &str = "ord_0123456789abcdef0123456789abcdef:1";

/// How a buyer confirms.
pub enum Confirm {
    /// With the provider, which knows the payment by an id.
    There(fn(&mut fake::Books, &str)),
    /// The browser comes back to us with a form.
    Here(fn(&mut fake::Books, &Charge) -> Vec<u8>),
}

/// Headers and body.
pub type Message = (BTreeMap<String, String>, Vec<u8>);

/// A provider and the fake that it talks to.
pub struct Rig {
    pub provider: Arc<dyn Provider>,
    /// The same with a wrong secret.
    pub stranger: Arc<dyn Provider>,
    /// The same where nobody listens.
    pub nowhere: Arc<dyn Provider>,
    pub fake: Arc<Fake>,
    /// The instrument where each payment is confirmed by its buyer. `None`: it takes cards.
    pub confirms: Option<(Instrument, Confirm)>,
    /// Numbers and how they are declined.
    pub declines: &'static [(&'static str, Decline)],
    /// What the fake's books have of charges that are held or taken: how many, and won that are taken and not given back.
    pub standing: fn(&fake::Books) -> (usize, i64),
    /// A message about a charge, signed at a time. `true`: by somebody else.
    pub message: fn(&fake::Books, Time, bool) -> Message,
    /// Keys of charges whose buyer came back with a form.
    pub came_back: Mutex<BTreeSet<String>>,
    /// What the provider keeps.
    pub _stores: Option<Stores>,
}

pub fn at(seconds: i64) -> Time {
    from_micros(seconds * 1_000_000)
}

pub fn won(amount: i64) -> Money {
    Money::new(amount, Currency::KRW)
}

impl Rig {
    pub async fn card(&self, number: &str) -> Instrument {
        if let Some((instrument, _)) = &self.confirms {
            number.clone_into(&mut self.fake.books().payer);
            return instrument.clone();
        }
        let card = Card { number: number.to_owned().into(), expiry_month: 12, expiry_year: 2031 };
        match self.provider.tokenise("usr_1", &card).await {
            Outcome::Done(token) => {
                assert_eq!(token.last4, &number[12..]);
                assert!(!token.token.contains(number) && !token.fingerprint.contains(number));
                Instrument::Card(token.token)
            }
            other => panic!("no token: {other:?}"),
        }
    }

    pub async fn charge(&self, amount: i64) -> Charge {
        charge(self.card(GOOD).await, amount)
    }

    /// Authorises, the buyer confirming where that is asked for.
    pub async fn authorise(&self, charge: &Charge) -> Outcome<Taken> {
        let said = self.provider.authorise(charge).await;
        let (Outcome::ActionRequired { provider_ref, .. }, Some((_, confirm))) = (&said, &self.confirms) else {
            return said;
        };
        match confirm {
            Confirm::There(confirm) => confirm(&mut self.fake.books(), provider_ref),
            // Once for each charge, as the service does it.
            Confirm::Here(come_back) => {
                if self.came_back.lock().unwrap().insert(charge.key.clone()) {
                    let form = come_back(&mut self.fake.books(), charge);
                    let slip = self.provider.returned(charge, &form).expect("the buyer got through");
                    return self.provider.confirm(charge, &slip).await;
                }
            }
        }
        let provider_ref = Some(provider_ref.clone()).filter(|id| !id.is_empty());
        let asked = ChargeRef { confirmed: Some(Duration::ZERO), ..reference(charge, provider_ref) };
        match self.provider.look_up(&asked).await {
            Ok(Standing::Authorised { provider_ref } | Standing::Captured { provider_ref }) => {
                Outcome::Done(Taken { provider_ref })
            }
            Ok(Standing::Declined(why)) => Outcome::Declined(why),
            other => Outcome::Unknown(format!("{other:?}")),
        }
    }

    pub async fn taken(&self, charge: &Charge) -> ChargeRef {
        match self.authorise(charge).await {
            Outcome::Done(Taken { provider_ref }) => reference(charge, Some(provider_ref)),
            other => panic!("not taken: {other:?}"),
        }
    }

    /// Where the provider finds a charge by our key, without its own.
    pub fn by_key(&self, taken: &ChargeRef) -> ChargeRef {
        let provider_ref = taken.provider_ref.clone().filter(|_| self.confirms.is_some());
        ChargeRef { provider_ref, ..taken.clone() }
    }

    pub fn books_say(&self, charges: usize, amount: i64) {
        assert_eq!((self.standing)(&self.fake.books()), (charges, amount));
    }

    /// The reply to `call` gets lost after it was done; the caller gives up waiting.
    pub async fn lose<T: std::fmt::Debug>(&self, call: impl Future<Output = T>) {
        self.fake.next(Trouble::Drop);
        tokio::select! {
            answer = call => panic!("the reply was not lost: {answer:?}"),
            () = self.fake.dropped.notified() => {}
        }
    }
}

pub fn charge(instrument: Instrument, amount: i64) -> Charge {
    Charge {
        key: KEY.into(),
        order_id: KEY[..KEY.len() - 2].into(),
        buyer_id: "usr_1".into(),
        amount: won(amount),
        instrument,
        return_url: "https://market.example/paid".into(),
        checkout_url: "https://market.example/v1/payments/checkout/0123".into(),
    }
}

pub fn reference(charge: &Charge, provider_ref: Option<String>) -> ChargeRef {
    ChargeRef { key: charge.key.clone(), amount: charge.amount, provider_ref, wanted: true, confirmed: None }
}

/// After others of `before` won.
pub fn refund(key: &str, before: i64, amount: i64) -> RefundRef {
    RefundRef { key: key.into(), amount: won(amount), before: won(before), reason: "CANCELLED".into() }
}

macro_rules! tests {
    ($rig:expr, $($test:ident)*) => { $(#[tokio::test] async fn $test() { super::$test($rig.await).await })* };
}

macro_rules! suite {
    (
        of all: $($all:ident),*;
        of those that are asked first: $($test:ident),*;
        of those that charge at once: $($card:ident),*
    ) => {
        mod of_stripe { tests!(super::stripe::rig(), $($all)* $($test)* $($card)*); }
        mod of_toss { tests!(super::toss::rig(), $($all)* $($test)* $($card)*); }
        mod of_paypal { tests!(super::paypal::rig(), $($all)* $($test)*); }
        mod of_inicis { tests!(super::inicis::rig(), $($all)*); }
    };
}

suite! {
    of all:
        authorise_capture_partial_refund,
        authorise_and_void,
        dropped_replies_have_one_effect;
    of those that are asked first:
        declines_are_mapped,
        what_is_not_sure_is_unknown,
        webhooks_are_verified,
        statements_name_our_keys;
    of those that charge at once:
        a_dropped_reply_is_found_again_by_key_and_charged_once,
        a_trade_charges_once_though_replies_get_lost
}

async fn authorise_capture_partial_refund(rig: Rig) {
    let charge = rig.charge(10_000).await;
    let taken = rig.taken(&charge).await;
    assert_eq!(rig.taken(&charge).await, taken, "the same key again is the same charge");
    assert_eq!(rig.provider.capture(&taken).await, Outcome::Done(()));
    assert_eq!(rig.provider.capture(&taken).await, Outcome::Done(()), "again");
    rig.books_say(1, 10_000);
    for _ in 0..2 {
        assert_eq!(rig.provider.refund(&taken, &refund("rfd_1", 0, 3_000)).await, Outcome::Done(()));
        rig.books_say(1, 7_000);
    }
    let most = rig.provider.refund(&taken, &refund("rfd_2", 3_000, 7_001)).await;
    assert!(matches!(most, Outcome::Declined(_)), "{most:?}");
    let rest = rig.provider.refund(&rig.by_key(&taken), &refund("rfd_3", 3_000, 7_000)).await;
    assert_eq!(rest, Outcome::Done(()));
    rig.books_say(1, 0);
}

async fn authorise_and_void(rig: Rig) {
    let charge = rig.charge(10_000).await;
    let taken = rig.taken(&charge).await;
    for _ in 0..2 {
        assert_eq!(rig.provider.void(&taken).await, Outcome::Done(()));
        rig.books_say(0, 0);
    }
    assert_eq!(rig.provider.look_up(&taken).await, Ok(Standing::Voided));
    let late = rig.provider.capture(&taken).await;
    assert!(matches!(late, Outcome::Declined(_)), "{late:?}");
}

async fn a_dropped_reply_is_found_again_by_key_and_charged_once(rig: Rig) {
    let charge = rig.charge(10_000).await;
    let unknown = reference(&charge, None);
    assert_eq!(rig.provider.look_up(&unknown).await, Ok(Standing::Absent));
    rig.lose(rig.provider.authorise(&charge)).await;
    let provider_ref = match rig.provider.look_up(&unknown).await {
        Ok(Standing::Authorised { provider_ref } | Standing::Captured { provider_ref }) => provider_ref,
        other => panic!("{other:?}"),
    };
    assert_eq!(rig.taken(&charge).await.provider_ref, Some(provider_ref));
    assert_eq!(rig.provider.capture(&unknown).await, Outcome::Done(()));
    rig.books_say(1, 10_000);
}

async fn dropped_replies_have_one_effect(rig: Rig) {
    let charge = rig.charge(10_000).await;
    let taken = rig.taken(&charge).await;
    // Where a capture is only looked at, nothing is posted that could get lost.
    if !matches!(rig.provider.name(), "toss" | "inicis") {
        rig.lose(rig.provider.capture(&taken)).await;
    }
    assert_eq!(rig.provider.capture(&taken).await, Outcome::Done(()));
    rig.lose(rig.provider.refund(&taken, &refund("rfd_1", 0, 4_000))).await;
    for _ in 0..2 {
        assert_eq!(rig.provider.refund(&taken, &refund("rfd_1", 0, 4_000)).await, Outcome::Done(()));
    }
    rig.books_say(1, 6_000);
    let other = Charge { key: KEY.replace(":1", ":2"), ..charge };
    let taken = rig.taken(&other).await;
    rig.lose(rig.provider.void(&taken)).await;
    assert_eq!(rig.provider.void(&taken).await, Outcome::Done(()));
    rig.books_say(1, 6_000);
}

async fn declines_are_mapped(rig: Rig) {
    for (n, (number, why)) in rig.declines.iter().enumerate() {
        let bad = Charge { key: KEY.replace(":1", &format!(":{n}")), ..charge(rig.card(number).await, 10_000) };
        assert_eq!(rig.authorise(&bad).await, Outcome::Declined(*why), "{number}");
        assert_eq!(rig.authorise(&bad).await, Outcome::Declined(*why), "{number} again");
    }
    rig.books_say(0, 0);
}

async fn what_is_not_sure_is_unknown(rig: Rig) {
    let charge = rig.charge(10_000).await;
    for status in [500, 502, 503, 409] {
        rig.fake.next(Trouble::Say(status));
        let said = rig.provider.authorise(&charge).await;
        assert!(matches!(said, Outcome::Unknown(_)), "{status}: {said:?}");
    }
    rig.fake.next(Trouble::Say(429));
    let busy = rig.provider.authorise(&charge).await;
    assert!(matches!(busy, Outcome::NotTaken(_)), "{busy:?}");
    for nobody in [&rig.stranger, &rig.nowhere] {
        let said = nobody.authorise(&charge).await;
        assert!(matches!(said, Outcome::NotTaken(_)), "{said:?}");
        assert!(nobody.look_up(&reference(&charge, Some("ref_1".into()))).await.is_err());
        assert!(nobody.statement(at(NOW - 1), at(NOW + 1)).await.is_err());
    }
    rig.books_say(0, 0);
    let taken = rig.taken(&charge).await;
    for status in [500, 429, 409, 400] {
        rig.fake.next(Trouble::Say(status));
        let said = rig.provider.void(&taken).await;
        assert!(matches!(said, Outcome::Unknown(_)), "{status}: {said:?}");
    }
    assert_eq!(rig.provider.capture(&taken).await, Outcome::Done(()));
    for status in [500, 429, 409] {
        rig.fake.next(Trouble::Say(status));
        let said = rig.provider.refund(&taken, &refund("rfd_1", 0, 1)).await;
        assert!(matches!(said, Outcome::Unknown(_)), "{status}: {said:?}");
    }
    assert_eq!(rig.provider.refund(&taken, &refund("rfd_1", 0, 1)).await, Outcome::Done(()));
    rig.books_say(1, 9_999);
}

async fn webhooks_are_verified(rig: Rig) {
    rig.taken(&rig.charge(10_000).await).await;
    let send = async |sent: i64, forged: bool, changed: bool| {
        let (headers, mut body) = (rig.message)(&rig.fake.books(), at(sent), forged);
        body.extend(changed.then_some(b' '));
        rig.provider.verify_webhook(&headers, &body, at(NOW)).await
    };
    let first = send(NOW - 299, false, false).await.unwrap();
    assert_eq!((first.len(), &first[0].about), (1, &About::Key(KEY.into())));
    assert_eq!(send(NOW - 299, false, false).await.unwrap(), first, "the same message has the same id");
    for (sent, forged, changed) in
        [(NOW - 301, false, false), (NOW + 301, false, false), (NOW, true, false), (NOW, false, true)]
    {
        assert!(send(sent, forged, changed).await.is_err(), "{sent} {forged} {changed}");
    }
}

async fn statements_name_our_keys(rig: Rig) {
    let charge = rig.charge(10_000).await;
    let taken = rig.taken(&charge).await;
    rig.provider.capture(&taken).await;
    rig.provider.refund(&taken, &refund("rfd_1", 0, 3_000)).await;
    rig.provider.refund(&taken, &refund("rfd_2", 3_000, 2_000)).await;
    let other = Charge { key: KEY.replace(":1", ":2"), ..charge };
    let given_up = rig.taken(&other).await;
    assert_eq!(rig.provider.void(&given_up).await, Outcome::Done(()));
    let mut lines = rig.provider.statement(at(NOW - 60), at(NOW + 60)).await.unwrap();
    lines.sort_by(|a, b| (a.kind, &a.key).cmp(&(b.kind, &b.key)));
    let line = |kind, key: &str, amount| Line { kind, key: key.into(), amount: won(amount) };
    let expected = [
        line(LineKind::Charge, KEY, 10_000),
        line(LineKind::Refund, "rfd_1", 3_000),
        line(LineKind::Refund, "rfd_2", 2_000),
    ];
    assert_eq!(lines, expected);
    assert_eq!(rig.provider.statement(at(NOW + 1), at(NOW + 60)).await, Ok(Vec::new()));
}

/// The whole service on top: what it is not told it finds out, and does once.
async fn a_trade_charges_once_though_replies_get_lost(rig: Rig) {
    let cfg = payment::Config { provider_timeout_ms: 2_500, ..config() };
    let w = World::with(Kind::Sqlite, cfg, |_, _| vec![rig.provider.clone()]).await;
    let (buyer, order) = (user_id(), order_id());
    let card = w.card(&buyer, GOOD).await;
    rig.fake.next(Trouble::Drop);
    assert_eq!(w.authorise(&order, 1, &buyer, 10_000, card.clone()).await.status(), Status::Pending);
    w.becomes(&order, Status::Authorised).await;
    if rig.provider.name() != "toss" {
        rig.fake.next(Trouble::Drop);
        assert_eq!(w.capture(&order).await.unwrap_err().reason(), "CAPTURE_UNDERWAY");
        w.becomes(&order, Status::Captured).await;
    }
    w.capture(&order).await.unwrap();
    rig.fake.next(Trouble::Drop);
    w.refund(&order, &refund_id(), 1, 3_000).await.unwrap();
    for _ in 0..100 {
        w.jobs().await;
        if w.count("refund", "due > 0").await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rig.books_say(1, 7_000);
    let given_up = order_id();
    w.authorise(&given_up, 1, &buyer, 500, card).await;
    w.void(&given_up).await.unwrap();
    rig.books_say(1, 7_000);
    assert_eq!(w.count("refund", "due > 0").await, 0);
    w.sound().await;
}
