//! A fake of Stripe, and what is peculiar to it.

use super::{
    GOOD, KEY, Message, NOW, Rig, at, charge,
    fake::{Api, Ask, Books, Fake, Trouble},
    reference,
};
use axum::http::HeaderMap;
use jangteo_core::Time;
use payment::provider::{
    Charge, Decline, Instrument, Method, News, Outcome, Provider, Standing,
    stripe::{Config, Stripe},
};
use ring::hmac;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const CONFIRM: &str = "4000000000003220";

/// Stripe's own test numbers, and what it answers to them.
const CARDS: [(&str, &str, &str); 5] = [
    ("4000000000009995", "card_declined", "insufficient_funds"),
    ("4000000000000002", "card_declined", "generic_decline"),
    ("4000000000000069", "expired_card", ""),
    ("4000000000009979", "card_declined", "stolen_card"),
    ("4000000000006975", "card_declined", "card_velocity_exceeded"),
];

struct Server;

impl Api for Server {
    fn admits(&self, headers: &HeaderMap) -> bool {
        headers["authorization"] == "Bearer sk_test_1" && headers.contains_key("stripe-version")
    }

    fn error(&self, code: &str) -> Value {
        json!({ "error": { "type": "api_error", "code": code } })
    }

    fn other_request(&self) -> (u16, Value) {
        (400, json!({ "error": { "type": "idempotency_error" } }))
    }

    fn answer(&self, books: &mut Books, ask: &Ask) -> (u16, Value) {
        match (ask.method.as_str(), ask.pieces().as_slice()) {
            ("POST", ["payment_methods"]) => {
                let (id, number) = (books.fresh("pm"), ask.field("card[number]"));
                let card =
                    json!({ "brand": "visa", "last4": number[12..], "fingerprint": format!("f{}", &number[12..]) });
                let method = json!({ "id": id, "card": card, "number": number });
                books.objects.insert(id, method.clone());
                (200, method)
            }
            ("POST", ["customers"]) => (200, json!({ "id": books.fresh("cus") })),
            ("POST", ["payment_methods", id, "attach"]) => {
                let method = books.objects.get_mut(*id).unwrap();
                method["customer"] = ask.field("customer").into();
                (200, method.clone())
            }
            ("POST", ["payment_intents"]) => make(books, ask),
            ("GET", ["payment_intents", "search"]) => {
                let found = books.of("pi").filter(|i| !books.lags && wanted(ask, i)).cloned();
                (200, json!({ "data": found.collect::<Vec<_>>() }))
            }
            ("GET", ["payment_intents", id]) => match books.objects.get(*id) {
                Some(intent) => (200, intent.clone()),
                None => (404, json!({ "error": { "code": "resource_missing" } })),
            },
            ("POST", ["payment_intents", id, verb]) => change(books.objects.get_mut(*id).unwrap(), verb),
            ("GET", ["refunds"]) => {
                let of = |r: &&Value| r["payment_intent"] == ask.query["payment_intent"].as_str();
                (200, json!({ "data": books.of("re").filter(of).cloned().collect::<Vec<_>>() }))
            }
            ("POST", ["refunds"]) => give_back(books, ask),
            ("GET", ["balance_transactions"]) => transactions(books, ask),
            other => panic!("stripe has no {other:?}"),
        }
    }
}

fn wanted(ask: &Ask, intent: &Value) -> bool {
    ask.query["query"] == format!("metadata['key']:'{}'", intent["metadata"]["key"].as_str().unwrap())
}

fn make(books: &mut Books, ask: &Ask) -> (u16, Value) {
    assert_eq!(ask.field("currency"), "krw");
    let id = books.fresh("pi");
    let mut intent = json!({
        "id": id, "status": "requires_payment_method", "amount": ask.number("amount"), "created": NOW,
        "metadata": { "key": ask.field("metadata[key]") },
    });
    let mut refused = None;
    if ask.field("confirm") == "true" {
        assert_eq!(ask.field("capture_method"), "manual");
        let method = books.objects.get(ask.field("payment_method"));
        assert!(method.is_none_or(|m| m["customer"] == ask.field("customer")));
        let number = method.map_or(CONFIRM, |m| m["number"].as_str().unwrap());
        refused = CARDS.iter().find(|(n, ..)| *n == number).map(|(_, code, why)| {
            json!({ "type": "card_error", "code": code, "decline_code": Some(why).filter(|w| !w.is_empty()) })
        });
        match &refused {
            Some(error) => intent["last_payment_error"] = error.clone(),
            None if number == CONFIRM => {
                intent["status"] = "requires_action".into();
                intent["next_action"] = json!({ "redirect_to_url": { "url": format!("https://stripe.example/{id}") } });
            }
            None => intent["status"] = "requires_capture".into(),
        }
    }
    books.objects.insert(id, intent.clone());
    match refused {
        Some(mut error) => {
            error["payment_intent"] = intent;
            (402, json!({ "error": error }))
        }
        None => (200, intent),
    }
}

fn change(intent: &mut Value, verb: &str) -> (u16, Value) {
    let status = intent["status"].as_str().unwrap().to_owned();
    let next = match (verb, status.as_str()) {
        ("capture", "requires_capture") => "succeeded",
        ("cancel", "requires_payment_method" | "requires_action" | "requires_capture") => "canceled",
        _ => {
            let code = "payment_intent_unexpected_state";
            let error = json!({ "type": "invalid_request_error", "code": code, "payment_intent": intent });
            return (400, json!({ "error": error }));
        }
    };
    intent["status"] = next.into();
    (200, intent.clone())
}

fn sum(books: &Books, intent: &str) -> i64 {
    books.of("re").filter(|r| r["payment_intent"] == intent).map(|r| r["amount"].as_i64().unwrap()).sum()
}

fn give_back(books: &mut Books, ask: &Ask) -> (u16, Value) {
    let (id, intent, amount) = (books.fresh("re"), ask.field("payment_intent"), ask.number("amount"));
    if sum(books, intent) + amount > books.objects[intent]["amount"].as_i64().unwrap() {
        return (400, json!({ "error": { "type": "invalid_request_error", "param": "amount" } }));
    }
    let refund = json!({
        "id": id, "payment_intent": intent, "amount": amount, "status": "succeeded",
        "metadata": { "refund_id": ask.field("metadata[refund_id]") },
    });
    books.objects.insert(id, refund.clone());
    (200, refund)
}

/// Two to a page, with a fee in between.
fn transactions(books: &Books, ask: &Ask) -> (u16, Value) {
    assert_eq!(ask.query["expand[]"], "data.source");
    let taken = books.of("pi").filter(|i| i["status"] == "succeeded").map(|i| {
        let source = json!({ "amount": i["amount"], "amount_captured": i["amount"], "metadata": i["metadata"] });
        json!({ "id": format!("txn_{}", i["id"]), "type": "charge", "source": source })
    });
    let back = books.of("re").map(|r| json!({ "id": format!("txn_{}", r["id"]), "type": "refund", "source": r }));
    let fee = json!({ "id": "txn_fee", "type": "stripe_fee", "source": null });
    let within =
        (ask.query["created[gte]"].parse::<i64>().unwrap()..ask.query["created[lt]"].parse().unwrap()).contains(&NOW);
    let all: Vec<_> = taken.chain([fee]).chain(back).filter(|_| within).collect();
    let start =
        ask.query.get("starting_after").map_or(0, |id| all.iter().position(|t| t["id"] == id.as_str()).unwrap() + 1);
    let page: Vec<_> = all.iter().skip(start).take(2).collect();
    (200, json!({ "data": page, "has_more": start + 2 < all.len() }))
}

fn config(url: &str, secret: &str) -> Config {
    Config {
        secret_key: secret.to_owned().into(),
        webhook_secret: "whsec_1".to_owned().into(),
        url: url.to_owned(),
        ..Config::default()
    }
}

pub async fn rig() -> Rig {
    let (fake, url) = Fake::start(Server).await;
    let stripe = |url: &str, secret| -> Arc<dyn Provider> { Arc::new(Stripe::new(config(url, secret)).unwrap()) };
    Rig {
        came_back: Default::default(),
        _stores: None,
        provider: stripe(&url, "sk_test_1"),
        stranger: stripe(&url, "sk_test_2"),
        nowhere: stripe("http://127.0.0.1:1", "sk_test_1"),
        fake,
        confirms: None,
        declines: &[
            (CARDS[0].0, Decline::InsufficientFunds),
            (CARDS[1].0, Decline::CardDeclined),
            (CARDS[2].0, Decline::ExpiredCard),
            (CARDS[3].0, Decline::SuspectedFraud),
            (CARDS[4].0, Decline::LimitExceeded),
        ],
        standing: |books| {
            let taken = books.of("pi").filter(|i| i["status"] == "succeeded");
            let won = taken.map(|i| i["amount"].as_i64().unwrap() - sum(books, i["id"].as_str().unwrap())).sum();
            let live = |i: &&Value| matches!(i["status"].as_str(), Some("succeeded" | "requires_capture"));
            (books.of("pi").filter(live).count(), won)
        },
        message: |books, sent, forged| {
            let intent = books.of("pi").next().unwrap();
            signed("payment_intent.amount_capturable_updated", intent, sent, if forged { "whsec_2" } else { "whsec_1" })
        },
    }
}

fn signed(kind: &str, intent: &Value, sent: Time, secret: &str) -> Message {
    let body = json!({ "id": "evt_1", "type": kind, "data": { "object": intent } }).to_string().into_bytes();
    let text = [sent.timestamp().to_string().as_bytes(), b".", &body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &text);
    let tag: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    // The first tag is by a secret that is being rolled out.
    let header = format!("t={},v1={},v1={tag},v0=00", sent.timestamp(), "00".repeat(32));
    (BTreeMap::from([("stripe-signature".to_owned(), header)]), body)
}

#[tokio::test]
async fn a_confirmation_redirects_and_ends_either_way() {
    let rig = rig().await;
    assert!(
        rig.provider.can(&Method::EasyPay("kakaopay".into())) && !rig.provider.can(&Method::EasyPay("toss".into()))
    );
    let card = rig.card(CONFIRM).await;
    for (n, (instrument, status)) in
        [(card, "requires_capture"), (Instrument::EasyPay("kakaopay".into()), "requires_payment_method")]
            .into_iter()
            .enumerate()
    {
        let charge = Charge { key: KEY.replace(":1", &format!(":{n}")), ..charge(instrument, 500) };
        let Outcome::ActionRequired { redirect_url, provider_ref } = rig.provider.authorise(&charge).await else {
            panic!("not asked to confirm")
        };
        assert_eq!(redirect_url, format!("https://stripe.example/{provider_ref}"));
        let error = json!({ "code": "payment_intent_authentication_failure" });
        {
            let mut books = rig.fake.books();
            let intent = books.objects.get_mut(&provider_ref).unwrap();
            (intent["status"], intent["last_payment_error"]) = (status.into(), error);
        }
        let expected = match status {
            "requires_capture" => Standing::Authorised { provider_ref: provider_ref.clone() },
            _ => Standing::Declined(Decline::AuthenticationFailed),
        };
        assert_eq!(rig.provider.look_up(&reference(&charge, Some(provider_ref))).await, Ok(expected));
    }
}

#[tokio::test]
async fn a_charge_that_arrives_after_it_was_given_up_is_refused() {
    let rig = rig().await;
    let charge = rig.charge(10_000).await;
    for _ in 0..2 {
        assert_eq!(rig.provider.void(&reference(&charge, None)).await, Outcome::Done(()));
    }
    let late = rig.provider.authorise(&charge).await;
    assert!(matches!(late, Outcome::Unknown(_)), "{late:?}");
    rig.books_say(0, 0);
}

#[tokio::test]
async fn what_search_does_not_show_yet_is_not_given_up_blindly() {
    let rig = rig().await;
    let charge = rig.charge(10_000).await;
    rig.lose(rig.provider.authorise(&charge)).await;
    rig.fake.books().lags = true;
    let unknown = reference(&charge, None);
    assert_eq!(rig.provider.look_up(&unknown).await, Ok(Standing::Absent));
    let said = rig.provider.void(&unknown).await;
    assert!(matches!(said, Outcome::Unknown(_)), "{said:?}");
    assert_eq!(rig.taken(&charge).await.provider_ref.as_deref(), Some("pi_2"), "its first answer again");
    rig.fake.books().lags = false;
    assert_eq!(rig.provider.void(&unknown).await, Outcome::Done(()));
    rig.books_say(0, 0);
}

#[tokio::test]
async fn captured_money_is_not_voided() {
    let rig = rig().await;
    let taken = rig.taken(&rig.charge(10_000).await).await;
    rig.fake.next(Trouble::Say(500));
    assert!(matches!(rig.provider.capture(&taken).await, Outcome::Unknown(_)));
    assert_eq!(rig.provider.capture(&taken).await, Outcome::Done(()));
    assert!(matches!(rig.provider.void(&taken).await, Outcome::NotTaken(_)));
    rig.books_say(1, 10_000);
}

#[tokio::test]
async fn messages_say_how_an_intent_stands() {
    let rig = rig().await;
    let intent = |status: &str, key: &str| json!({ "id": "pi_9", "status": status, "metadata": { "key": key } });
    let said = async |kind: &str, intent: &Value| {
        let (headers, body) = signed(kind, intent, at(NOW), "whsec_1");
        rig.provider.verify_webhook(&headers, &body, at(NOW)).await.unwrap().pop().map(|notice| notice.news)
    };
    let captured = News::Standing(Standing::Captured { provider_ref: "pi_9".into() });
    assert_eq!(said("payment_intent.succeeded", &intent("succeeded", KEY)).await, Some(captured));
    assert_eq!(said("payment_intent.canceled", &intent("canceled", KEY)).await, Some(News::Standing(Standing::Voided)));
    let failed = intent("requires_payment_method", KEY);
    let declined = News::Standing(Standing::Declined(Decline::CardDeclined));
    assert_eq!(said("payment_intent.payment_failed", &failed).await, Some(declined));
    assert_eq!(said("payment_intent.created", &failed).await, Some(News::Other), "nothing has failed yet");
    assert_eq!(said("payment_intent.succeeded", &intent("succeeded", "")).await, None, "it is not ours");
    assert_eq!(said("charge.refunded", &intent("succeeded", KEY)).await, None);
    assert!(rig.provider.verify_webhook(&BTreeMap::new(), b"{}", at(NOW)).await.is_err());
}

#[tokio::test]
async fn secrets_are_needed_and_never_shown() {
    let shown = format!("{:?}", config("http://stripe.example", "sk_test_1"));
    assert!(!shown.contains("sk_test_1") && !shown.contains("whsec_1"), "{shown}");
    for (bad, field) in
        [(config("http://stripe.example", ""), "secret_key"), (config("stripe.example", "sk_test_1"), "url")]
    {
        let refused = Stripe::new(bad).err().unwrap();
        assert_eq!(refused.field_violations()[0].field, format!("payment.providers.stripe.{field}"));
    }
    let rig = rig().await;
    rig.card(GOOD).await;
    assert_eq!(rig.fake.posts("/attach"), 1);
}
