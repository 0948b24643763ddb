//! What is peculiar to PayPal: a currency that is not ours, a page that every buyer goes to, tokens.

#[path = "paypal/server.rs"]
mod server;

use super::{GOOD, KEY, Message, NOW, Rig, at, charge, fake::Trouble, reference, refund, won};
use crate::support::{World, config as service, order_id, refund_id, user_id};
use jangteo_core::{Clock, SystemClock};
use payment::provider::{
    About, Charge, ChargeRef, Decline, Instrument, Line, LineKind, Method, News, Outcome, Provider, Standing,
    Unverified,
    paypal::{Config, PayPal, Rate},
};
use proto::{
    google::api::HttpBody,
    jangteo::payment::v1::{
        self as wire, PaymentStatus as Status, payment_service::Api as _, payment_source::Kind as Source,
    },
};
use serde_json::json;
use server::{REFRESHED, Server, approve, config, dollars, in_dollars, message, payments, paypal, rig_with, signed};
use std::sync::{Arc, atomic::Ordering};
use testbed::Kind;

pub use server::rig;

/// The same PayPal, seen through another configuration.
fn another(rig: &Rig, change: impl Fn(Config) -> Config) -> Arc<dyn Provider> {
    Arc::new(PayPal::new(change(config(&rig.fake.url, "secret_1"))).unwrap())
}

/// A charge that waits for its buyer.
async fn offered(rig: &Rig, amount: i64) -> (Charge, ChargeRef) {
    let charge = charge(paypal(), amount);
    match rig.provider.authorise(&charge).await {
        Outcome::ActionRequired { redirect_url, provider_ref } => {
            assert_eq!(redirect_url, format!("https://paypal.example/{provider_ref}"));
            let asked = reference(&charge, Some(provider_ref));
            (charge, asked)
        }
        other => panic!("not asked to approve: {other:?}"),
    }
}

#[tokio::test]
async fn the_parts_of_a_charge_are_the_whole_of_it_at_any_later_rate() {
    let rig = in_dollars().await;
    let taken = rig.taken(&rig.charge(10_000).await).await;
    assert_eq!(rig.provider.capture(&taken).await, Outcome::Done(()));
    rig.books_say(1, 714);
    // Won have lost a half since, and new orders are made in euros.
    let later = another(&rig, |cfg| Config { currency: "EUR".into(), rate: Rate::parse("2800"), ..cfg });
    // Each by itself would be rounded down: 238, 237 and 238 cents.
    let parts = [("rfd_1", 0, 3_338), ("rfd_2", 3_338, 3_324), ("rfd_3", 6_662, 3_338)];
    for ((key, before, amount), left) in parts.into_iter().zip([476, 238, 0]) {
        for _ in 0..2 {
            assert_eq!(later.refund(&taken, &refund(key, before, amount)).await, Outcome::Done(()));
            rig.books_say(1, left);
        }
    }
    let more = later.refund(&taken, &refund("rfd_4", 10_000, 1)).await;
    assert!(matches!(more, Outcome::Declined(_)), "{more:?}");
    let lines = later.statement(at(NOW - 60), at(NOW + 60)).await.unwrap();
    let line = |kind, key: &str, amount| Line { kind, key: key.into(), amount: won(amount) };
    let mut expected = vec![line(LineKind::Charge, KEY, 10_000)];
    expected.extend(parts.map(|(key, _, amount)| line(LineKind::Refund, key, amount)));
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_refund_of_less_than_half_a_cent_is_made_up_for_by_the_next() {
    let rig = in_dollars().await;
    let taken = rig.taken(&rig.charge(10_000).await).await;
    rig.provider.capture(&taken).await;
    assert_eq!(rig.provider.refund(&taken, &refund("rfd_1", 0, 6)).await, Outcome::Done(()));
    assert_eq!(rig.fake.posts("/refund"), 0);
    assert_eq!(rig.provider.refund(&taken, &refund("rfd_2", 6, 6)).await, Outcome::Done(()));
    rig.books_say(1, 713);
    assert_eq!(rig.provider.refund(&taken, &refund("rfd_3", 12, 9_988)).await, Outcome::Done(()));
    rig.books_say(1, 0);
}

#[tokio::test]
async fn a_refund_is_known_after_its_key_is_forgotten() {
    let rig = in_dollars().await;
    let taken = rig.taken(&rig.charge(10_000).await).await;
    rig.provider.capture(&taken).await;
    rig.lose(rig.provider.refund(&taken, &refund("rfd_1", 0, 1_400))).await;
    rig.fake.books().forget_keys();
    assert_eq!(rig.provider.refund(&taken, &refund("rfd_1", 0, 1_400)).await, Outcome::Done(()));
    rig.books_say(1, 614);
    let said = |status: &str| {
        payments(rig.fake.books().objects.get_mut("order_1").unwrap(), "refunds")[0]["status"] = status.into()
    };
    said("PENDING");
    let waits = rig.provider.refund(&taken, &refund("rfd_1", 0, 1_400)).await;
    assert!(matches!(waits, Outcome::Unknown(_)), "{waits:?}");
    said("FAILED");
    let failed = rig.provider.refund(&taken, &refund("rfd_1", 0, 1_400)).await;
    assert!(matches!(failed, Outcome::Declined(_)), "{failed:?}");
}

#[tokio::test]
async fn lost_replies_hold_the_money_once() {
    let rig = rig().await;
    let charge = rig.charge(10_000).await;
    let unknown = reference(&charge, None);
    rig.lose(rig.provider.authorise(&charge)).await;
    assert_eq!(rig.provider.look_up(&unknown).await, Ok(Standing::Absent), "nobody can approve it");
    let (_, asked) = offered(&rig, 10_000).await;
    assert_eq!(rig.fake.books().of("order").count(), 1, "its first answer again");
    let waits = rig.provider.look_up(&asked).await;
    assert!(matches!(&waits, Ok(Standing::ActionRequired { .. })), "{waits:?}");
    approve(&mut rig.fake.books(), "order_1");
    rig.lose(rig.provider.look_up(&asked)).await;
    for _ in 0..2 {
        let held = Standing::Authorised { provider_ref: "order_1".into() };
        assert_eq!(rig.provider.look_up(&asked).await, Ok(held));
    }
    assert_eq!(rig.fake.posts("/authorize"), 1);
    rig.fake.next(Trouble::Say(500));
    let broken = rig.provider.capture(&asked).await;
    assert!(matches!(broken, Outcome::Unknown(_)), "{broken:?}");
    assert_eq!(rig.provider.capture(&asked).await, Outcome::Done(()));
    assert!(matches!(rig.provider.void(&asked).await, Outcome::NotTaken(_)), "it is captured");
    rig.books_say(1, 10_000);
}

#[tokio::test]
async fn what_was_given_up_is_not_held() {
    let rig = rig().await;
    let (charge, asked) = offered(&rig, 500).await;
    assert_eq!(rig.provider.void(&reference(&charge, None)).await, Outcome::Done(()), "nobody was sent to its page");
    let asked = ChargeRef { key: KEY.replace(":1", ":2"), ..asked };
    let said = rig.provider.void(&asked).await;
    assert!(matches!(said, Outcome::Unknown(_)), "a call may be on its way: {said:?}");
    approve(&mut rig.fake.books(), "order_1");
    assert_eq!(rig.provider.look_up(&asked).await, Ok(Standing::Pending));
    // Another process remembers nothing, and knows that it is not wanted.
    let other = another(&rig, |cfg| cfg);
    let unwanted = ChargeRef { wanted: false, ..asked.clone() };
    assert_eq!(other.look_up(&unwanted).await, Ok(Standing::Pending));
    assert_eq!(rig.fake.posts("/authorize"), 0);
    let patient = another(&rig, |cfg| Config { arrival_secs: 0, ..cfg });
    assert_eq!(patient.void(&asked).await, Outcome::Done(()), "it had time enough to come");
    // It came, and goes back.
    assert_eq!(other.look_up(&asked).await, Ok(Standing::Authorised { provider_ref: "order_1".into() }));
    rig.books_say(1, 0);
    assert_eq!(rig.provider.void(&asked).await, Outcome::Done(()));
    rig.books_say(0, 0);
}

#[tokio::test]
async fn an_order_that_paypal_forgot_was_not_approved() {
    let rig = rig().await;
    let (_, asked) = offered(&rig, 500).await;
    rig.fake.books().objects.remove("order_1");
    assert_eq!(rig.provider.look_up(&asked).await, Ok(Standing::Declined(Decline::CancelledByUser)));
    assert_eq!(rig.provider.void(&asked).await, Outcome::Done(()));
    for said in [rig.provider.capture(&asked).await, rig.provider.refund(&asked, &refund("rfd_1", 0, 1)).await] {
        assert!(matches!(said, Outcome::Unknown(_)), "{said:?}");
    }
}

#[tokio::test]
async fn a_payment_under_review_is_neither_held_nor_declined() {
    let rig = rig().await;
    let taken = rig.taken(&rig.charge(500).await).await;
    let set = |kind: &str, status: &str| {
        payments(rig.fake.books().objects.get_mut("order_1").unwrap(), kind)[0]["status"] = status.into();
    };
    for (status, standing) in [
        ("PENDING", Standing::Pending),
        ("SOMETHING_NEW", Standing::Pending),
        ("DENIED", Standing::Declined(Decline::CardDeclined)),
        ("VOIDED", Standing::Voided),
        ("CAPTURED", Standing::Captured { provider_ref: "order_1".into() }),
    ] {
        set("authorizations", status);
        assert_eq!(rig.provider.look_up(&taken).await, Ok(standing), "{status}");
    }
    set("authorizations", "EXPIRED");
    let late = rig.provider.capture(&taken).await;
    assert!(matches!(late, Outcome::Declined(_)), "{late:?}");
    set("authorizations", "CREATED");
    rig.fake.books().forget_keys();
    assert_eq!(rig.provider.capture(&taken).await, Outcome::Done(()));
    set("captures", "PENDING");
    let waits = rig.provider.capture(&taken).await;
    assert!(matches!(waits, Outcome::Unknown(_)), "{waits:?}");
    set("captures", "DECLINED");
    let declined = rig.provider.capture(&taken).await;
    assert!(matches!(declined, Outcome::Declined(_)), "{declined:?}");
}

#[tokio::test]
async fn a_token_is_kept_while_it_is_good() {
    let server = Server::default();
    let rig = rig_with(server.clone(), |cfg| cfg).await;
    let (_, asked) = offered(&rig, 500).await;
    for _ in 0..3 {
        rig.provider.look_up(&asked).await.unwrap();
    }
    assert_eq!(rig.fake.posts("oauth2/token"), 1);
    server.token.fetch_add(1, Ordering::Relaxed);
    rig.provider.look_up(&asked).await.unwrap();
    assert_eq!(rig.fake.posts("oauth2/token"), 2, "the old one was taken back");
    let short = rig_with(Server { lasts: 30, ..Server::default() }, |cfg| cfg).await;
    let (_, asked) = offered(&short, 500).await;
    short.provider.look_up(&asked).await.unwrap();
    assert_eq!(short.fake.posts("oauth2/token"), 2, "a minute before its end it is not used");
}

#[tokio::test]
async fn messages_are_paypals_or_come_again() {
    let rig = rig().await;
    offered(&rig, 500).await;
    let verify = async |(headers, body): &Message| rig.provider.verify_webhook(headers, body, at(NOW)).await;
    let (headers, body) = message(&rig.fake.books(), at(NOW), false);
    let said = verify(&(headers.clone(), body.clone())).await.unwrap();
    assert_eq!((&said[0].about, &said[0].news), (&About::Key(KEY.into()), &News::Changed));
    let lies = [
        ("paypal-cert-url", "https://paypal.com.example/cert"),
        ("paypal-cert-url", "http://api.paypal.com/cert"),
        ("paypal-transmission-time", "yesterday"),
    ];
    for (name, value) in lies {
        let mut headers = headers.clone();
        headers.insert(name.into(), value.into());
        assert!(matches!(verify(&(headers, body.clone())).await, Err(Unverified::Forged(_))), "{name} {value}");
    }
    let mut bare = headers.clone();
    bare.remove("paypal-transmission-sig");
    assert!(matches!(verify(&(bare, body.clone())).await, Err(Unverified::Forged(_))));
    let smuggled = br#"{"id":"WH-1"},"webhook_id":"hook_2","x":{}"#.to_vec();
    assert!(matches!(verify(&(headers.clone(), smuggled)).await, Err(Unverified::Forged(_))));
    assert_eq!(rig.fake.posts("verify-webhook-signature"), 1, "plain lies are not asked about");
    for other in [json!({ "custom_id": "rfd_1 5 KRW = 5 JPY" }), json!({ "custom_id": "somebody else's" }), json!({})] {
        assert_eq!(verify(&signed(&other, at(NOW), false)).await, Ok(Vec::new()), "{other}");
    }
    rig.fake.next(Trouble::Say(503));
    assert!(matches!(verify(&(headers, body)).await, Err(Unverified::Silent(_))), "nobody knows");
}

#[tokio::test]
async fn statements_say_in_won_what_paypal_booked() {
    let rig = in_dollars().await;
    let taken = rig.taken(&rig.charge(10_000).await).await;
    rig.provider.capture(&taken).await;
    let lines = async |from, to| rig.provider.statement(at(from), at(to)).await;
    let charge = |amount| vec![Line { kind: LineKind::Charge, key: KEY.into(), amount: won(amount) }];
    assert_eq!(lines(NOW - 5 * 86_400, NOW + 60).await, Ok(charge(10_000)), "in pieces that PayPal can give");
    assert_eq!(lines(NOW, NOW + 1).await, Ok(charge(10_000)));
    assert_eq!(lines(NOW - 60, NOW).await, Ok(Vec::new()));
    let set = |value: &str| {
        payments(rig.fake.books().objects.get_mut("order_1").unwrap(), "captures")[0]["amount"]["value"] = value.into();
    };
    set("7.13");
    assert_eq!(lines(NOW, NOW + 1).await, Ok(charge(9_986)), "a cent is missing");
    rig.fake.books().objects.insert(REFRESHED.into(), "2027-01-15T08:00:00+0000".into());
    assert!(lines(NOW - 60, NOW + 60).await.is_err(), "the day is not complete there");
}

#[tokio::test]
async fn it_offers_paypal_and_nothing_else() {
    let rig = rig().await;
    let can = |method| rig.provider.can(&method);
    assert!(can(Method::EasyPay("paypal".into())));
    assert!(!can(Method::EasyPay("toss".into())) && !can(Method::Card) && !can(Method::BankTransfer("kb".into())));
    let homeless = Charge { return_url: String::new(), ..charge(paypal(), 500) };
    for odd in [homeless, charge(Instrument::Card(GOOD.into()), 500), charge(paypal(), i64::MAX)] {
        // In yen at one won, the largest amount is one still; in dollars there is none.
        let said = another(&rig, |cfg| Config { rate: Rate::parse("0.5"), ..cfg }).authorise(&odd).await;
        assert!(matches!(said, Outcome::NotTaken(_)), "{said:?}");
    }
    assert_eq!(rig.fake.posts("orders"), 0);
}

#[tokio::test]
async fn settings_are_checked_and_secrets_never_shown() {
    let good = || config("http://paypal.example", "secret_1");
    let shown = format!("{:?}", good());
    assert!(["client_1", "secret_1", "hook_1"].iter().all(|secret| !shown.contains(secret)), "{shown}");
    let empty = || String::new().into();
    for (bad, field) in [
        (Config { client_id: empty(), ..good() }, "client_id"),
        (Config { client_secret: empty(), ..good() }, "client_secret"),
        (Config { webhook_id: empty(), ..good() }, "webhook_id"),
        (Config { rate: None, ..good() }, "rate"),
        (Config { currency: "KRW".into(), ..good() }, "currency"),
        (Config { url: "paypal.example".into(), ..good() }, "url"),
    ] {
        let refused = PayPal::new(bad).err().unwrap();
        assert_eq!(refused.field_violations()[0].field, format!("payment.providers.paypal.{field}"));
    }
}

/// The whole service on top: what it is not told it finds out, and does once.
#[tokio::test]
async fn a_trade_in_dollars_charges_once_though_replies_get_lost() {
    let rig = rig_with(Server::default(), |cfg| Config { arrival_secs: 0, ..dollars(cfg) }).await;
    let cfg =
        payment::Config { provider_timeout_ms: 2_500, return_url: "https://market.example/paid".into(), ..service() };
    let w = World::with(Kind::Sqlite, cfg, |_, _| vec![rig.provider.clone()]).await;
    let (buyer, order) = (user_id(), order_id());
    let source = || Source::EasyPay(wire::EasyPaySource { service: "paypal".into() });
    let tell = async || {
        let (headers, body) = (rig.message)(&rig.fake.books(), SystemClock.now(), false);
        let mut cx = testbed::at(testbed::anonymous(), SystemClock.now());
        cx.headers = headers;
        let body = Some(HttpBody { data: body, ..HttpBody::default() });
        w.payments.receive_webhook(cx, wire::ReceiveWebhookRequest { provider: "paypal".into(), body }).await
    };
    rig.fake.next(Trouble::Drop);
    assert_eq!(w.authorise(&order, 1, &buyer, 10_000, source()).await.status(), Status::Pending);
    w.becomes(&order, Status::ActionRequired).await;
    approve(&mut rig.fake.books(), "order_1");
    // PayPal can't say whether it sent it, and so sends it again.
    rig.fake.next(Trouble::Say(503));
    assert_eq!(tell().await.unwrap_err().reason(), "UNAVAILABLE");
    assert_eq!(w.status(&order).await, Status::ActionRequired);
    tell().await.unwrap();
    assert_eq!(w.status(&order).await, Status::Authorised);
    rig.fake.next(Trouble::Drop);
    assert_eq!(w.capture(&order).await.unwrap_err().reason(), "CAPTURE_UNDERWAY");
    w.becomes(&order, Status::Captured).await;
    rig.fake.next(Trouble::Drop);
    for won in [3_338, 3_324, 3_338] {
        w.refund(&order, &refund_id(), 1, won).await.unwrap();
    }
    let begun = std::time::Instant::now();
    while w.count("refund", "due > 0").await > 0 && begun.elapsed() < crate::support::PATIENCE {
        w.jobs().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(w.status(&order).await, Status::Refunded);
    rig.books_say(1, 0);
    let given_up = order_id();
    assert_eq!(w.authorise(&given_up, 1, &buyer, 500, source()).await.status(), Status::ActionRequired);
    w.void(&given_up).await.unwrap();
    approve(&mut rig.fake.books(), "order_2");
    w.jobs().await;
    assert_eq!(w.count("charge", "state = 'VOIDED'").await, 1);
    rig.books_say(1, 0);
    w.sound().await;
}
