//! A fake of PayPal: tokens, orders, payments, its statement, and whether it sent a message.

use super::super::{
    Confirm, Message, NOW, Rig,
    fake::{Api, Ask, Books, Fake},
};
use axum::http::HeaderMap;
use base64::{Engine, prelude::BASE64_STANDARD};
use jangteo_core::Time;
use payment::provider::{
    Decline, Instrument, Provider,
    paypal::{Config, PayPal, Rate},
};
use ring::hmac;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

pub fn config(url: &str, secret: &str) -> Config {
    Config {
        client_id: "client_1".to_owned().into(),
        client_secret: secret.to_owned().into(),
        webhook_id: "hook_1".to_owned().into(),
        // As in won, for the suite.
        currency: "JPY".into(),
        rate: Rate::parse("1"),
        url: url.to_owned(),
        webhook_tolerance_secs: 300,
        ..Config::default()
    }
}

pub fn paypal() -> Instrument {
    Instrument::EasyPay("paypal".into())
}

pub async fn rig() -> Rig {
    rig_with(Server::default(), |cfg| cfg).await
}

pub async fn in_dollars() -> Rig {
    rig_with(Server::default(), dollars).await
}

pub fn dollars(cfg: Config) -> Config {
    Config { currency: "USD".into(), rate: Rate::parse("1400.5"), ..cfg }
}

pub async fn rig_with(server: Server, change: impl Fn(Config) -> Config) -> Rig {
    let (fake, url) = Fake::start(server).await;
    let paypal_at =
        |url: &str, secret| -> Arc<dyn Provider> { Arc::new(PayPal::new(change(config(url, secret))).unwrap()) };
    Rig {
        came_back: Default::default(),
        _stores: None,
        provider: paypal_at(&url, "secret_1"),
        stranger: paypal_at(&url, "secret_2"),
        nowhere: paypal_at("http://127.0.0.1:1", "secret_1"),
        fake,
        confirms: Some((paypal(), Confirm::There(approve))),
        declines: &[
            ("INSTRUMENT_DECLINED", Decline::CardDeclined),
            ("REFERENCED_CARD_EXPIRED", Decline::ExpiredCard),
            ("PAYEE_BLOCKED_TRANSACTION", Decline::SuspectedFraud),
            ("TRANSACTION_LIMIT_EXCEEDED", Decline::LimitExceeded),
            ("ORDER_EXPIRED", Decline::CancelledByUser),
        ],
        standing: |books| {
            let held = |o: &&Value| {
                let held = &o["purchase_units"][0]["payments"]["authorizations"][0]["status"];
                matches!(held.as_str(), Some("CREATED" | "CAPTURED"))
            };
            let taken = |o: &Value| {
                let taken = o["purchase_units"][0]["payments"]["captures"].as_array().unwrap();
                taken.iter().map(|c| cents(&c["amount"])).sum::<i64>() - given_back(o)
            };
            (books.of("order").filter(held).count(), books.of("order").map(taken).sum())
        },
        message,
    }
}

/// About the first order: what holds its money, or the order itself.
pub fn message(books: &Books, sent: Time, forged: bool) -> Message {
    let order = books.of("order").next().unwrap();
    let held = &order["purchase_units"][0]["payments"]["authorizations"][0];
    signed(if held.is_null() { order } else { held }, sent, forged)
}

pub fn signed(resource: &Value, sent: Time, forged: bool) -> Message {
    let body = json!({ "id": "WH-1", "event_type": "X", "resource": resource }).to_string();
    let time = sent.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let secret = if forged { "somebody else's" } else { "paypal's own" };
    let headers = [
        ("paypal-auth-algo", "SHA256withRSA".to_owned()),
        ("paypal-cert-url", "https://api.paypal.com/v1/notifications/certs/CERT-1".to_owned()),
        ("paypal-transmission-id", "transmission_1".to_owned()),
        ("paypal-transmission-sig", sign(secret, ["transmission_1", &time, "hook_1"], &body)),
        ("paypal-transmission-time", time),
    ];
    (headers.map(|(name, value)| (name.to_owned(), value)).into(), body.into_bytes())
}

/// A statement has rows up to here.
pub const REFRESHED: &str = "refreshed";

#[derive(Clone, Default)]
pub struct Server {
    /// Which token is good.
    pub token: Arc<AtomicU64>,
    /// How long one lasts, in seconds; 0: for hours.
    pub lasts: u64,
}

impl Api for Server {
    fn admits(&self, headers: &HeaderMap) -> bool {
        let basic = format!("Basic {}", BASE64_STANDARD.encode("client_1:secret_1"));
        let bearer = format!("Bearer token_{}", self.token.load(Ordering::Relaxed));
        [basic, bearer].contains(&headers["authorization"].to_str().unwrap().to_owned())
    }

    fn error(&self, code: &str) -> Value {
        json!({ "name": code, "details": [] })
    }

    fn other_request(&self) -> (u16, Value) {
        refused("DUPLICATE_REQUEST_ID")
    }

    fn spares(&self, ask: &Ask) -> bool {
        ask.path == "oauth2/token"
    }

    fn answer(&self, books: &mut Books, ask: &Ask) -> (u16, Value) {
        // A void is repeatable by what it is about, the rest by its key alone.
        let keyed = ask.method == "POST" && ask.path.starts_with("/v2/") && !ask.path.ends_with("/void");
        assert_eq!(ask.key.is_some(), keyed, "{}", ask.path);
        match (ask.method.as_str(), ask.pieces().as_slice()) {
            ("POST", ["oauth2", "token"]) => {
                assert_eq!(ask.field("grant_type"), "client_credentials");
                let lasts = if self.lasts == 0 { 32_400 } else { self.lasts };
                let token = format!("token_{}", self.token.load(Ordering::Relaxed));
                (200, json!({ "access_token": token, "expires_in": lasts }))
            }
            ("POST", ["", "v2", "checkout", "orders"]) => make(books, &ask.json),
            ("GET", ["", "v2", "checkout", "orders", id]) => match books.objects.get(*id) {
                Some(order) => (200, order.clone()),
                None => (404, self.error("RESOURCE_NOT_FOUND")),
            },
            ("POST", ["", "v2", "checkout", "orders", id, "authorize"]) => hold(books.objects.get_mut(*id).unwrap()),
            ("POST", ["", "v2", "payments", "authorizations", id, "capture"]) => capture(of(books, id), &ask.json),
            ("POST", ["", "v2", "payments", "authorizations", id, "void"]) => void(of(books, id)),
            ("POST", ["", "v2", "payments", "captures", id, "refund"]) => give_back(of(books, id), &ask.json),
            ("POST", ["notifications", "verify-webhook-signature"]) => (200, sent(ask)),
            ("GET", ["reporting", "transactions"]) => transactions(books, ask),
            other => panic!("paypal has no {other:?}"),
        }
    }
}

pub fn refused(issue: &str) -> (u16, Value) {
    (422, json!({ "name": "UNPROCESSABLE_ENTITY", "details": [{ "issue": issue }] }))
}

/// What is made of `order_1` is called `auth~order_1` and so on.
fn of<'a>(books: &'a mut Books, id: &str) -> &'a mut Value {
    books.objects.get_mut(id.split_once('~').unwrap().1).unwrap()
}

pub fn payments<'a>(order: &'a mut Value, kind: &str) -> &'a mut Vec<Value> {
    order["purchase_units"][0]["payments"][kind].as_array_mut().unwrap()
}

fn make(books: &mut Books, body: &Value) -> (u16, Value) {
    let (id, unit) = (books.fresh("order"), &body["purchase_units"][0]);
    let context = &body["payment_source"]["paypal"]["experience_context"];
    assert_eq!((&body["intent"], &context["user_action"]), (&json!("AUTHORIZE"), &json!("PAY_NOW")));
    assert!(context["return_url"].is_string() && context["cancel_url"].is_string());
    assert!(unit["custom_id"].as_str().unwrap().len() <= 127 && cents(&unit["amount"]) > 0);
    let order = json!({
        "id": id, "status": "PAYER_ACTION_REQUIRED",
        "links": [
            { "rel": "self", "href": "https://paypal.example/self" },
            { "rel": "payer-action", "href": format!("https://paypal.example/{id}") },
        ],
        "purchase_units": [{
            "custom_id": unit["custom_id"], "invoice_id": unit["invoice_id"], "amount": unit["amount"],
            "payments": { "authorizations": [], "captures": [], "refunds": [] },
        }],
    });
    books.objects.insert(id, order.clone());
    (201, order)
}

/// The buyer approves, and pays with what was said.
pub fn approve(books: &mut Books, id: &str) {
    let payer = books.payer.clone();
    let order = books.objects.get_mut(id).unwrap();
    if order["status"] == "PAYER_ACTION_REQUIRED" {
        (order["status"], order["payer"]) = ("APPROVED".into(), payer.into());
    }
}

fn hold(order: &mut Value) -> (u16, Value) {
    match order["status"].as_str().unwrap() {
        "APPROVED" => {}
        "COMPLETED" => return refused("ORDER_ALREADY_AUTHORIZED"),
        _ => return refused("ORDER_NOT_APPROVED"),
    }
    let payer = order["payer"].as_str().unwrap().to_owned();
    if payer.contains('_') {
        return refused(&payer);
    }
    let unit = &order["purchase_units"][0];
    let id = format!("auth~{}", order["id"].as_str().unwrap());
    let held = json!({
        "id": id, "status": "CREATED", "amount": unit["amount"], "custom_id": unit["custom_id"],
        "invoice_id": unit["invoice_id"],
    });
    payments(order, "authorizations").push(held);
    order["status"] = "COMPLETED".into();
    (201, order.clone())
}

fn capture(order: &mut Value, body: &Value) -> (u16, Value) {
    assert_eq!(body["final_capture"], true);
    let held = &mut payments(order, "authorizations")[0];
    match held["status"].as_str().unwrap() {
        "CREATED" => held["status"] = "CAPTURED".into(),
        "VOIDED" => return refused("AUTHORIZATION_VOIDED"),
        "EXPIRED" => return refused("AUTHORIZATION_EXPIRED"),
        _ => return refused("AUTHORIZATION_ALREADY_CAPTURED"),
    }
    let mut taken = held.clone();
    (taken["id"], taken["status"]) = (taken["id"].as_str().unwrap().replace("auth", "cap").into(), "COMPLETED".into());
    payments(order, "captures").push(taken.clone());
    (201, taken)
}

fn void(order: &mut Value) -> (u16, Value) {
    let held = &mut payments(order, "authorizations")[0];
    match held["status"].as_str().unwrap() {
        "CREATED" | "PENDING" => held["status"] = "VOIDED".into(),
        "VOIDED" => return refused("PREVIOUSLY_VOIDED"),
        _ => return refused("PREVIOUSLY_CAPTURED"),
    }
    (204, Value::Null)
}

/// Whole minor units, whatever the currency.
pub fn cents(amount: &Value) -> i64 {
    amount["value"].as_str().unwrap().replace('.', "").parse().unwrap()
}

pub fn given_back(order: &Value) -> i64 {
    order["purchase_units"][0]["payments"]["refunds"].as_array().unwrap().iter().map(|r| cents(&r["amount"])).sum()
}

fn give_back(order: &mut Value, body: &Value) -> (u16, Value) {
    let taken = payments(order, "captures")[0].clone();
    assert_eq!(body["amount"]["currency_code"], taken["amount"]["currency_code"]);
    assert!(cents(&body["amount"]) > 0);
    if given_back(order) + cents(&body["amount"]) > cents(&taken["amount"]) {
        return refused("REFUND_AMOUNT_EXCEEDED");
    }
    let refunds = payments(order, "refunds");
    let id = format!("re{}~{}", refunds.len(), taken["id"].as_str().unwrap());
    let refund = json!({ "id": id, "status": "COMPLETED", "amount": body["amount"], "custom_id": body["custom_id"] });
    refunds.push(refund.clone());
    (201, refund)
}

pub fn sign(secret: &str, parts: [&str; 3], body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    BASE64_STANDARD.encode(hmac::sign(&key, format!("{}|{body}", parts.join("|")).as_bytes()))
}

/// PayPal signs with a certificate; what matters here is over what.
fn sent(ask: &Ask) -> Value {
    let field = |name: &str| ask.json[name].as_str().unwrap();
    assert_eq!((field("auth_algo"), field("webhook_id")), ("SHA256withRSA", "hook_1"));
    let body = ask.raw.split_once(r#""webhook_event":"#).unwrap().1;
    let parts = [field("transmission_id"), field("transmission_time"), field("webhook_id")];
    let good = sign("paypal's own", parts, body.strip_suffix('}').unwrap()) == field("transmission_sig");
    json!({ "verification_status": if good { "SUCCESS" } else { "FAILURE" } })
}

fn at(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp()
}

/// Two rows to a page, a fee among them; refuses more than a day at once, as it does with too many rows.
fn transactions(books: &Books, ask: &Ask) -> (u16, Value) {
    let (start, end) = (at(&ask.query["start_date"]), at(&ask.query["end_date"]));
    if end - start > 86_400 {
        return (400, json!({ "name": "RESULTSET_TOO_LARGE" }));
    }
    let booked = chrono::DateTime::from_timestamp(NOW, 0).unwrap().format("%Y-%m-%dT%H:%M:%S%z").to_string();
    let row = |code: &str, sign: &str, status: &str, payment: &Value| {
        let amount = &payment["amount"];
        json!({ "transaction_info": {
            "transaction_event_code": code, "transaction_initiation_date": booked, "transaction_status": status,
            "transaction_amount": {
                "currency_code": amount["currency_code"], "value": format!("{sign}{}", amount["value"].as_str().unwrap()),
            },
            "custom_field": payment["custom_id"],
        } })
    };
    let mut rows =
        vec![json!({ "transaction_info": { "transaction_event_code": "T0106", "transaction_status": "S" } })];
    for order in books.of("order") {
        let payments = &order["purchase_units"][0]["payments"];
        for taken in payments["captures"].as_array().unwrap() {
            let status = if given_back(order) == cents(&taken["amount"]) { "V" } else { "S" };
            rows.push(row("T0006", "", status, taken));
            // A conversion of it, which is no charge.
            rows.push(row("T0200", "-", "S", taken));
        }
        rows.extend(payments["refunds"].as_array().unwrap().iter().map(|r| row("T1107", "-", "S", r)));
    }
    rows.retain(|_| (start..end).contains(&NOW));
    let page: usize = ask.query["page"].parse().unwrap();
    let refreshed = books.objects.get(REFRESHED).map_or("2027-02-01T00:00:00+0000", |at| at.as_str().unwrap());
    let shown: Vec<_> = rows.iter().skip(2 * (page - 1)).take(2).collect();
    let body = json!({
        "transaction_details": shown, "total_pages": rows.len().div_ceil(2), "last_refreshed_datetime": refreshed,
    });
    (200, body)
}
