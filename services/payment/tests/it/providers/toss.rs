//! A fake of Toss Payments, and what is peculiar to it.

use super::{
    KEY, NOW, Rig, at, charge,
    fake::{Api, Ask, Books, Fake, Trouble},
    reference, refund, won,
};
use axum::http::HeaderMap;
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, FixedOffset};
use jangteo_core::Time;
use payment::provider::{
    About, Charge, ChargeRef, Decline, Instrument, Line, LineKind, Method, News, Outcome, Provider, Standing,
    toss::{Config, Toss},
};
use ring::hmac;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Numbers, and what Toss answers to them.
const CARDS: [(&str, &str); 5] = [
    ("4000000000009995", "REJECT_CARD_PAYMENT"),
    ("4000000000000002", "REJECT_CARD_COMPANY"),
    ("4000000000000069", "INVALID_CARD_EXPIRATION"),
    ("4000000000009979", "INVALID_CARD_LOST_OR_STOLEN"),
    ("4000000000006975", "EXCEED_MAX_AMOUNT"),
];

struct Server;

impl Api for Server {
    fn admits(&self, headers: &HeaderMap) -> bool {
        headers["authorization"] == format!("Basic {}", BASE64_STANDARD.encode("test_sk_1:"))
    }

    fn error(&self, code: &str) -> Value {
        json!({ "code": code, "message": "…" })
    }

    fn other_request(&self) -> (u16, Value) {
        (400, self.error("INVALID_IDEMPOTENCY_KEY"))
    }

    fn answer(&self, books: &mut Books, ask: &Ask) -> (u16, Value) {
        let (id, body) = (books.fresh("pay"), &ask.json);
        match (ask.method.as_str(), ask.pieces().as_slice()) {
            ("POST", ["billing", "authorizations", "card"]) => {
                let key = books.fresh("bill=");
                assert_eq!((&body["cardExpirationYear"], &body["cardExpirationMonth"]), (&json!("31"), &json!("12")));
                books.objects.insert(key.clone(), body.clone());
                (200, json!({ "billingKey": key, "customerKey": body["customerKey"] }))
            }
            ("DELETE", ["billing", key]) => (200, books.objects.remove(*key).unwrap()),
            ("POST", ["billing", key]) => {
                let card = &books.objects[*key];
                assert_eq!(card["customerKey"], body["customerKey"]);
                if let Some((_, code)) = CARDS.iter().find(|(number, _)| card["cardNumber"] == *number) {
                    return (403, self.error(code));
                }
                if by_order(books, body["orderId"].as_str().unwrap()).is_some() {
                    return (400, self.error("DUPLICATED_ORDER_ID"));
                }
                (200, keep(books, payment(&id, body, "DONE")))
            }
            ("POST", ["payments"]) => {
                assert!(body["successUrl"].is_string() && body["failUrl"].is_string());
                let mut made = payment(&id, body, "READY");
                made["checkout"] = json!({ "url": format!("https://toss.example/{id}") });
                (200, keep(books, made))
            }
            ("POST", ["payments", "confirm"]) => {
                let found = books.objects.get_mut(body["paymentKey"].as_str().unwrap()).unwrap();
                assert_eq!((&found["orderId"], &found["totalAmount"]), (&body["orderId"], &body["amount"]));
                if found["status"] != "IN_PROGRESS" {
                    return (404, self.error("NOT_FOUND_PAYMENT_SESSION"));
                }
                found["status"] = "DONE".into();
                (200, found.clone())
            }
            ("GET", ["payments", "orders", order]) => self.found(by_order(books, order)),
            ("GET", ["payments", key]) => self.found(books.objects.get(*key)),
            ("POST", ["payments", key, "cancel"]) => self.cancel(books.objects.get_mut(*key).unwrap(), body),
            ("GET", ["settlements"]) => (200, settlements(books, ask)),
            other => panic!("toss has no {other:?}"),
        }
    }
}

impl Server {
    fn found(&self, payment: Option<&Value>) -> (u16, Value) {
        payment.map_or_else(|| (404, self.error("NOT_FOUND_PAYMENT")), |p| (200, p.clone()))
    }

    fn cancel(&self, payment: &mut Value, body: &Value) -> (u16, Value) {
        let left = payment["balanceAmount"].as_i64().unwrap();
        let amount = body["cancelAmount"].as_i64().unwrap_or(left);
        match payment["status"].as_str().unwrap() {
            "DONE" | "PARTIAL_CANCELED" if amount > left => return (403, self.error("NOT_CANCELABLE_AMOUNT")),
            "DONE" | "PARTIAL_CANCELED" => {}
            "CANCELED" => return (400, self.error("ALREADY_CANCELED_PAYMENT")),
            _ => return (403, self.error("NOT_CANCELABLE_PAYMENT")),
        }
        let cancel = json!({
            "cancelReason": body["cancelReason"], "cancelAmount": amount, "canceledAt": kst(NOW), "cancelStatus": "DONE",
        });
        payment["cancels"].as_array_mut().unwrap().push(cancel);
        payment["balanceAmount"] = (left - amount).into();
        payment["status"] = if left == amount { "CANCELED" } else { "PARTIAL_CANCELED" }.into();
        (200, payment.clone())
    }
}

fn kst(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap().with_timezone(&FixedOffset::east_opt(9 * 3600).unwrap()).to_rfc3339()
}

fn payment(id: &str, body: &Value, status: &str) -> Value {
    let order_id = body["orderId"].as_str().unwrap();
    assert!(order_id.len() <= 64 && order_id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
    json!({
        "paymentKey": id, "orderId": order_id, "status": status, "totalAmount": body["amount"],
        "balanceAmount": body["amount"], "cancels": [],
    })
}

fn keep(books: &mut Books, payment: Value) -> Value {
    books.objects.insert(payment["paymentKey"].as_str().unwrap().to_owned(), payment.clone());
    payment
}

fn by_order<'a>(books: &'a Books, order: &str) -> Option<&'a Value> {
    books.of("pay").find(|p| p["orderId"] == order)
}

fn settlements(books: &Books, ask: &Ask) -> Value {
    assert_eq!(ask.query["dateType"], "soldDate");
    let today = &kst(NOW)[..10];
    if ask.query["startDate"].as_str() > today || ask.query["endDate"].as_str() < today || ask.query["page"] != "1" {
        return json!([]);
    }
    let mut rows = Vec::new();
    for p in books.of("pay").filter(|p| p["status"].as_str().is_some_and(|s| s == "DONE" || s.ends_with("CANCELED"))) {
        let row = |amount: &Value, cancel: &Value| {
            json!({
                "paymentKey": p["paymentKey"], "orderId": p["orderId"], "amount": amount, "approvedAt": kst(NOW),
                "soldDate": today, "cancel": cancel,
            })
        };
        rows.push(row(&p["totalAmount"], &Value::Null));
        rows.extend(p["cancels"].as_array().unwrap().iter().map(|c| row(&c["cancelAmount"], c)));
    }
    rows.into()
}

fn config(url: &str, secret: &str) -> Config {
    Config {
        secret_key: secret.to_owned().into(),
        security_key: "security_1".to_owned().into(),
        url: url.to_owned(),
        cards: true,
        ..Config::default()
    }
}

pub async fn rig() -> Rig {
    rig_with(|cfg| cfg).await
}

async fn rig_with(change: impl Fn(Config) -> Config) -> Rig {
    let (fake, url) = Fake::start(Server).await;
    let toss = |url: &str, secret| -> Arc<dyn Provider> { Arc::new(Toss::new(change(config(url, secret))).unwrap()) };
    Rig {
        came_back: Default::default(),
        _stores: None,
        provider: toss(&url, "test_sk_1"),
        stranger: toss(&url, "test_sk_2"),
        nowhere: toss("http://127.0.0.1:1", "test_sk_1"),
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
            let given_up = |p: &&Value| p["cancels"][0]["cancelReason"].as_str().is_some_and(|r| r.starts_with("VOID"));
            let open = |p: &&Value| matches!(p["status"].as_str(), Some("READY" | "IN_PROGRESS"));
            let taken: Vec<_> = books.of("pay").filter(|p| !given_up(p) && !open(p)).collect();
            (taken.len(), taken.iter().map(|p| p["balanceAmount"].as_i64().unwrap()).sum())
        },
        message: |books, sent, forged| {
            let body = changed(books.of("pay").next().unwrap());
            let time = kst(sent.timestamp());
            let secret = if forged { "security_2" } else { "security_1" };
            let text = [&body, b":".as_slice(), time.as_bytes()].concat();
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &text);
            let header = format!("v1:{},v1:{}", BASE64_STANDARD.encode([0; 32]), BASE64_STANDARD.encode(tag));
            let headers =
                [("tosspayments-webhook-signature", header), ("tosspayments-webhook-transmission-time", time)];
            (headers.map(|(name, value)| (name.to_owned(), value)).into(), body)
        },
    }
}

fn changed(payment: &Value) -> Vec<u8> {
    json!({ "eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2027-01-15T17:00:00.000000", "data": payment })
        .to_string()
        .into_bytes()
}

fn set(rig: &Rig, id: &str, status: &str) {
    rig.fake.books().objects.get_mut(id).unwrap()["status"] = status.into();
}

#[tokio::test]
async fn a_confirmed_payment_is_taken_when_it_is_looked_up() {
    let rig = rig().await;
    let all = [("pay_1", Instrument::EasyPay("kakaopay".into())), ("pay_2", Instrument::BankTransfer("kb".into()))];
    for (n, (id, instrument)) in all.into_iter().enumerate() {
        let charge = Charge { key: KEY.replace(":1", &format!(":{n}")), ..charge(instrument, 500) };
        let redirect_url = format!("https://toss.example/{id}");
        let confirm = Outcome::ActionRequired { redirect_url: redirect_url.clone(), provider_ref: id.into() };
        assert_eq!(rig.provider.authorise(&charge).await, confirm);
        let asked = reference(&charge, Some(id.into()));
        let waits = Standing::ActionRequired { redirect_url, provider_ref: id.into() };
        assert_eq!(rig.provider.look_up(&asked).await, Ok(waits));
        set(&rig, id, "IN_PROGRESS");
        rig.lose(rig.provider.look_up(&asked)).await;
        for _ in 0..2 {
            assert_eq!(rig.provider.look_up(&asked).await, Ok(Standing::Captured { provider_ref: id.into() }));
        }
        assert_eq!(rig.provider.capture(&asked).await, Outcome::Done(()));
    }
    assert_eq!(rig.fake.posts("/confirm"), 2);
    rig.books_say(2, 1_000);
}

#[tokio::test]
async fn what_was_given_up_is_not_confirmed() {
    let rig = rig().await;
    let charge = charge(Instrument::EasyPay("toss".into()), 500);
    rig.provider.authorise(&charge).await;
    let asked = reference(&charge, Some("pay_1".into()));
    set(&rig, "pay_1", "IN_PROGRESS");
    // As another process sees it, which did not give it up itself.
    let unwanted = ChargeRef { wanted: false, ..asked.clone() };
    assert_eq!(rig.provider.look_up(&unwanted).await, Ok(Standing::Voided));
    assert_eq!(rig.provider.void(&asked).await, Outcome::Done(()));
    assert_eq!(rig.provider.look_up(&asked).await, Ok(Standing::Voided));
    assert_eq!(rig.fake.posts("/confirm"), 0);
    set(&rig, "pay_1", "EXPIRED");
    assert_eq!(rig.provider.look_up(&asked).await, Ok(Standing::Declined(Decline::CancelledByUser)));
}

#[tokio::test]
async fn a_payment_on_its_way_is_waited_for_before_it_is_given_up() {
    let rig = rig().await;
    let charge = rig.charge(10_000).await;
    let unknown = reference(&charge, None);
    for _ in 0..2 {
        let said = rig.provider.void(&unknown).await;
        assert!(matches!(said, Outcome::Unknown(_)), "{said:?}");
    }
    rig.taken(&charge).await;
    assert_eq!(rig.provider.void(&unknown).await, Outcome::Done(()), "it came, and goes back");
    rig.books_say(0, 0);
    let patient = rig_with(|cfg| Config { arrival_secs: 0, ..cfg }).await;
    assert_eq!(patient.provider.void(&unknown).await, Outcome::Done(()), "it had time enough to come");
}

#[tokio::test]
async fn a_payment_that_is_there_under_another_key_is_found() {
    let rig = rig().await;
    let charge = rig.charge(10_000).await;
    let first = rig.taken(&charge).await;
    // After 15 days Toss forgets the key, and still knows the order.
    rig.fake.books().forget_keys();
    assert_eq!(rig.taken(&charge).await, first);
    rig.provider.refund(&first, &refund("rfd_1", 0, 400)).await;
    rig.fake.books().forget_keys();
    assert_eq!(rig.provider.refund(&first, &refund("rfd_1", 0, 400)).await, Outcome::Done(()));
    rig.books_say(1, 9_600);
}

#[tokio::test]
async fn a_refund_of_everything_is_a_line_too() {
    let rig = rig().await;
    let taken = rig.taken(&rig.charge(10_000).await).await;
    assert_eq!(rig.provider.refund(&taken, &refund("rfd_1", 0, 10_000)).await, Outcome::Done(()));
    let lines = rig.provider.statement(at(NOW - 86_400), at(NOW + 1)).await.unwrap();
    let line = |kind, key: &str| Line { kind, key: key.into(), amount: won(10_000) };
    assert_eq!(lines, [line(LineKind::Charge, KEY), line(LineKind::Refund, "rfd_1")]);
}

#[tokio::test]
async fn unsigned_messages_say_only_that_something_changed() {
    let rig = rig().await;
    rig.taken(&rig.charge(10_000).await).await;
    let said = async |payment: Value| {
        let said = rig.provider.verify_webhook(&BTreeMap::new(), &changed(&payment), Time::default()).await;
        said.unwrap().into_iter().map(|notice| (notice.about, notice.news)).collect::<Vec<_>>()
    };
    let lie = json!({ "orderId": KEY.replace(':', "-"), "status": "CANCELED" });
    assert_eq!(said(lie).await, [(About::Key(KEY.into()), News::Changed)]);
    assert_eq!(said(json!({ "orderId": "somebody-else", "status": "DONE" })).await, []);
    assert!(rig.provider.verify_webhook(&BTreeMap::new(), b"[", at(NOW)).await.is_err());
    let keyless = rig_with(|cfg| Config { security_key: String::new().into(), ..cfg }).await;
    let (headers, body) = (rig.message)(&rig.fake.books(), at(NOW), false);
    assert!(keyless.provider.verify_webhook(&headers, &body, at(NOW)).await.is_err(), "nobody can check it");
}

#[tokio::test]
async fn it_offers_what_its_contract_allows() {
    let careful = rig_with(|cfg| Config { cards: false, ..cfg }).await.provider;
    assert!(!careful.can(&Method::Card) && careful.can(&Method::EasyPay("toss".into())));
    assert!(
        !careful.can(&Method::EasyPay("paypal".into())) && !careful.can(&Method::BankTransfer("bankofnowhere".into()))
    );
    let rig = rig().await;
    let homeless = Charge { return_url: String::new(), ..charge(Instrument::EasyPay("toss".into()), 500) };
    assert!(matches!(rig.provider.authorise(&homeless).await, Outcome::NotTaken(_)));
    let Instrument::Card(token) = rig.card(super::GOOD).await else { panic!("no card") };
    rig.provider.forget(&token).await;
    assert!(rig.fake.books().objects.is_empty());
    rig.fake.next(Trouble::Say(400));
    let unsure = rig.provider.authorise(&charge(Instrument::EasyPay("toss".into()), 500)).await;
    assert!(matches!(unsure, Outcome::Unknown(_)), "a code that nobody knows proves nothing");
}

#[test]
fn secrets_are_needed_and_never_shown() {
    let shown = format!("{:?}", config("http://toss.example", "test_sk_1"));
    assert!(!shown.contains("test_sk_1") && !shown.contains("security_1"), "{shown}");
    for (bad, field) in
        [(config("http://toss.example", ""), "secret_key"), (config("ftp://toss.example", "test_sk_1"), "url")]
    {
        let refused = Toss::new(bad).err().unwrap();
        assert_eq!(refused.field_violations()[0].field, format!("payment.providers.toss.{field}"));
    }
}
