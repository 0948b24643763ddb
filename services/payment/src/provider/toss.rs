//! Toss Payments. It knows no authorisation: a payment is taken when it is made.
//!
//! | here | there |
//! | --- | --- |
//! | `authorise`, a card | `POST /v1/billing/{billingKey}` takes the money |
//! | `authorise`, easy pay or a bank | `POST /v1/payments` makes a payment with a page to confirm on (`checkout.url`) |
//! | `look_up` | `GET /v1/payments/…`; where the buyer has confirmed (`IN_PROGRESS`), `POST /v1/payments/confirm` takes the money |
//! | `capture` | nothing but looking that the payment stands (`DONE`) |
//! | `void` | the whole payment is cancelled; one that nobody confirmed is left to expire |
//! | `refund` | `POST /v1/payments/{paymentKey}/cancel` with `cancelAmount` |
//! | `statement` | `GET /v1/settlements` by `soldDate`, which is the day of the payment where settlement is daily |
//!
//! - The charge's key is the `Idempotency-Key`, which Toss remembers for 15 days, and with `-` for `:` the `orderId`, by which
//!   a payment is found again.
//! - Confirmations and cancellations of the whole carry no key: they are idempotent by the payment's status.
//! - Toss can not be told to refuse a payment that has yet to arrive. Giving up one that it does not know is `Unknown` until
//!   [`Config::arrival_secs`] have passed: whatever was on its way has arrived by then, and is cancelled.
//! - A refund's key stands in its `cancelReason`, since what Toss lists of cancellations has no key of ours.
//! - 409 (the same key is under way), 5xx and codes that we do not know are unknown.
//! - Its messages about payments are not signed (those about payouts are): they are believed no further than that something
//!   may have changed, and Toss is asked.
//!
//! Cards by number need a contract with Toss, and one that lets the holder's date of birth be left out; hence
//! [`Config::cards`]. No payouts. Tested against a fake of its API, never against Toss itself.

mod decline;
mod statement;
mod webhook;

use super::{
    Card, Charge, ChargeRef, Cost, Decline, Instrument, Line, Method, Outcome, Provider, RefundRef, Standing, Taken,
    Token, Verified,
    graves::Graves,
    http::{self, Answer, Secret, Silence},
    sandbox::cards::brand,
};
use async_trait::async_trait;
use jangteo_core::{Result, Time};
use reqwest::RequestBuilder;
use ring::hmac;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// What buyers see on their statement.
const ORDER_NAME: &str = "장터 주문";

const EASY_PAY: [(&str, &str); 6] = [
    ("toss", "토스페이"),
    ("kakaopay", "카카오페이"),
    ("naverpay", "네이버페이"),
    ("payco", "페이코"),
    ("samsungpay", "삼성페이"),
    ("lpay", "엘페이"),
];

/// <https://docs.tosspayments.com/codes/org-codes>
const BANKS: [(&str, &str); 8] = [
    ("kb", "국민"),
    ("shinhan", "신한"),
    ("woori", "우리"),
    ("hana", "하나"),
    ("nh", "농협"),
    ("ibk", "기업"),
    ("kakaobank", "카카오"),
    ("toss", "토스"),
];

/// `payment.providers.toss`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `live_sk_…`
    pub secret_key: Secret,
    /// The key that signed messages are checked with; without it those are refused.
    pub security_key: Secret,
    pub url: String,
    /// Whether the contract allows cards by number alone.
    pub cards: bool,
    /// After so long a payment that was sent has arrived or never will.
    pub arrival_secs: u64,
    /// Older webhooks are not believed.
    pub webhook_tolerance_secs: u64,
    pub cost: Cost,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            secret_key: Secret::default(),
            security_key: Secret::default(),
            url: "https://api.tosspayments.com".into(),
            cards: false,
            arrival_secs: 120,
            webhook_tolerance_secs: 300,
            cost: Cost { basis_points: 290, fixed: 0 },
        }
    }
}

pub struct Toss {
    http: reqwest::Client,
    base: String,
    graves: Graves,
    cfg: Config,
}

impl Toss {
    pub fn new(cfg: Config) -> Result<Toss> {
        let section = "payment.providers.toss";
        http::required(section, "secret_key", &cfg.secret_key)?;
        let graves = Graves::new(Duration::from_secs(cfg.arrival_secs));
        Ok(Toss { http: http::client()?, base: http::base(section, &cfg.url)?, graves, cfg })
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Answer, Silence> {
        // A secret key and no password.
        http::ask(request.basic_auth(self.cfg.secret_key.show(), Some(""))).await
    }

    async fn get(&self, path: &str) -> Result<Answer, Silence> {
        self.ask(self.http.get(format!("{}/v1/{path}", self.base))).await
    }

    async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Result<Answer, Silence> {
        let mut request = self.http.post(format!("{}/v1/{path}", self.base)).json(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        self.ask(request).await
    }

    async fn take(&self, charge: &Charge) -> Result<Outcome<Taken>, Silence> {
        let order_id = order_id(&charge.key);
        let mut body = json!({ "amount": charge.amount.minor, "orderId": order_id, "orderName": ORDER_NAME });
        let path = match &charge.instrument {
            Instrument::Card(token) => {
                let Some((customer, billing)) = token.split_once('/') else {
                    return Ok(Outcome::Declined(Decline::InvalidCard));
                };
                body["customerKey"] = customer.into();
                format!("billing/{}", http::segment(billing))
            }
            Instrument::EasyPay(service) => {
                let Some(name) = named(&EASY_PAY, service) else { return Ok(not_offered()) };
                (body["method"], body["flowMode"], body["easyPay"]) = ("카드".into(), "DIRECT".into(), name.into());
                "payments".to_owned()
            }
            Instrument::BankTransfer(bank) => {
                let Some(name) = named(&BANKS, bank) else { return Ok(not_offered()) };
                (body["method"], body["bank"]) = ("계좌이체".into(), name.into());
                "payments".to_owned()
            }
        };
        if path == "payments" {
            if charge.return_url.is_empty() {
                return Ok(Outcome::NotTaken("toss needs payment.return_url".into()));
            }
            (body["successUrl"], body["failUrl"]) =
                (charge.return_url.as_str().into(), charge.return_url.as_str().into());
        }
        let answer = self.post(&path, Some(&charge.key), &body).await?;
        let payment = if answer.is_ok() {
            answer.body
        } else if matches!(answer.text("/code"), "ALREADY_PROCESSED_PAYMENT" | "DUPLICATED_ORDER_ID") {
            let (key, amount) = (charge.key.clone(), charge.amount);
            let charge = ChargeRef { key, amount, provider_ref: None, wanted: true, confirmed: None };
            self.payment(&charge).await?.unwrap_or_default()
        } else {
            return Ok(decline::refused(&answer));
        };
        Ok(match standing(&payment) {
            Standing::Captured { provider_ref } | Standing::Authorised { provider_ref } => {
                Outcome::Done(Taken { provider_ref })
            }
            Standing::ActionRequired { redirect_url, provider_ref } => {
                Outcome::ActionRequired { redirect_url, provider_ref }
            }
            Standing::Declined(why) => Outcome::Declined(why),
            Standing::Voided => Outcome::Declined(Decline::CancelledByUser),
            Standing::Absent | Standing::Pending => Outcome::Unknown("toss has not decided".into()),
        })
    }

    /// The payment of a charge, by Toss's id or by its key.
    async fn payment(&self, charge: &ChargeRef) -> Result<Option<Value>, Silence> {
        let path = match &charge.provider_ref {
            Some(id) => format!("payments/{}", http::segment(id)),
            None => format!("payments/orders/{}", http::segment(&order_id(&charge.key))),
        };
        let answer = self.get(&path).await?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 if answer.text("/code") == "NOT_FOUND_PAYMENT" => Ok(None),
            _ => Err(Silence::Unknown(decline::told(&answer))),
        }
    }

    /// Takes the money of a payment that its buyer has confirmed.
    async fn confirm(&self, charge: &ChargeRef, payment: &Value) -> Result<Standing, Silence> {
        if !charge.wanted || self.graves.holds(&charge.key) {
            return Ok(Standing::Voided);
        }
        let body = json!({
            "paymentKey": payment["paymentKey"],
            "orderId": order_id(&charge.key),
            "amount": charge.amount.minor,
        });
        let answer = self.post("payments/confirm", None, &body).await?;
        if answer.is_ok() {
            return Ok(standing(&answer.body));
        }
        match decline::refused::<()>(&answer) {
            Outcome::Declined(why) => Ok(Standing::Declined(why)),
            _ => Err(Silence::Unknown(decline::told(&answer))),
        }
    }

    async fn stand(&self, charge: &ChargeRef) -> Result<Standing, Silence> {
        match self.payment(charge).await? {
            None => Ok(Standing::Absent),
            Some(payment) if http::text(&payment, "/status") == "IN_PROGRESS" => self.confirm(charge, &payment).await,
            Some(payment) => Ok(standing(&payment)),
        }
    }

    async fn give_up(&self, charge: &ChargeRef) -> Result<Outcome<()>, Silence> {
        self.graves.dig(&charge.key);
        let Some(payment) = self.payment(charge).await? else {
            return Ok(match self.graves.rests(&charge.key) {
                true => Outcome::Done(()),
                false => Outcome::Unknown("it may be on its way to toss".into()),
            });
        };
        match http::text(&payment, "/status") {
            "DONE" | "WAITING_FOR_DEPOSIT" => {
                let reason = format!("VOID {}", charge.key);
                let body = json!({ "cancelReason": reason });
                let path = format!("payments/{}/cancel", http::segment(http::text(&payment, "/paymentKey")));
                let answer = self.post(&path, None, &body).await?;
                let done = answer.is_ok() || answer.text("/code") == "ALREADY_CANCELED_PAYMENT";
                Ok(if done { Outcome::Done(()) } else { Outcome::Unknown(decline::told(&answer)) })
            }
            "PARTIAL_CANCELED" => Ok(Outcome::NotTaken("it is captured".into())),
            // Nothing is taken without our confirmation, which will not come.
            _ => Ok(Outcome::Done(())),
        }
    }

    async fn give_back(&self, charge: &ChargeRef, refund: &RefundRef) -> Result<Outcome<()>, Silence> {
        let Some(payment) = self.payment(charge).await? else {
            return Ok(Outcome::Unknown("toss does not know the payment".into()));
        };
        let ours = |c: &&Value| http::text(c, "/cancelReason").ends_with(&refund.key);
        let known = payment["cancels"].as_array().and_then(|all| all.iter().find(ours));
        if known.is_some_and(|c| matches!(http::text(c, "/cancelStatus"), "" | "DONE")) {
            return Ok(Outcome::Done(()));
        }
        let body = json!({
            "cancelReason": format!("{} {}", refund.reason, refund.key),
            "cancelAmount": refund.amount.minor,
        });
        let path = format!("payments/{}/cancel", http::segment(http::text(&payment, "/paymentKey")));
        let answer = self.post(&path, Some(&refund.key), &body).await?;
        if answer.is_ok() {
            return Ok(Outcome::Done(()));
        }
        Ok(match answer.text("/code") {
            "ALREADY_CANCELED_PAYMENT"
            | "NOT_CANCELABLE_AMOUNT"
            | "NOT_CANCELABLE_PAYMENT"
            | "NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER"
            | "EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT"
            | "NOT_ALLOWED_PARTIAL_REFUND" => Outcome::Declined(Decline::CardDeclined),
            _ => Outcome::Unknown(decline::told(&answer)),
        })
    }

    async fn issue(&self, owner: &str, card: &Card) -> Result<Outcome<Token>, Silence> {
        let body = json!({
            "customerKey": owner,
            "cardNumber": card.number.as_str(),
            "cardExpirationYear": format!("{:02}", card.expiry_year.rem_euclid(100)),
            "cardExpirationMonth": format!("{:02}", card.expiry_month),
        });
        let answer = self.post("billing/authorizations/card", None, &body).await?;
        if !answer.is_ok() {
            return Ok(decline::refused(&answer));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.cfg.secret_key.show().as_bytes());
        let tag = hmac::sign(&key, format!("card {}", *card.number).as_bytes());
        Ok(Outcome::Done(Token {
            token: format!("{owner}/{}", answer.text("/billingKey")),
            brand: brand(&card.number).to_owned(),
            last4: card.number[card.number.len().saturating_sub(4)..].to_owned(),
            fingerprint: tag.as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect(),
        }))
    }
}

/// Six to 64 letters, digits, `-` and `_`.
fn order_id(key: &str) -> String {
    key.replace(':', "-")
}

fn key(order_id: &str) -> Option<String> {
    order_id.rsplit_once('-').map(|(order, attempt)| format!("{order}:{attempt}"))
}

fn named(names: &[(&str, &'static str)], ours: &str) -> Option<&'static str> {
    names.iter().find(|(name, _)| *name == ours).map(|(_, theirs)| *theirs)
}

fn not_offered() -> Outcome<Taken> {
    Outcome::NotTaken("toss does not offer it".into())
}

/// <https://docs.tosspayments.com/reference#payment-객체>, `status`
fn standing(payment: &Value) -> Standing {
    let provider_ref = http::text(payment, "/paymentKey").to_owned();
    match http::text(payment, "/status") {
        "READY" => {
            let redirect_url = http::text(payment, "/checkout/url").to_owned();
            Standing::ActionRequired { redirect_url, provider_ref }
        }
        "DONE" | "PARTIAL_CANCELED" => Standing::Captured { provider_ref },
        "CANCELED" => Standing::Voided,
        "ABORTED" => Standing::Declined(decline::reason(http::text(payment, "/failure/code"))),
        "EXPIRED" => Standing::Declined(Decline::CancelledByUser),
        _ => Standing::Pending,
    }
}

#[async_trait]
impl Provider for Toss {
    fn name(&self) -> &str {
        "toss"
    }

    fn can(&self, method: &Method) -> bool {
        match method {
            Method::Card => self.cfg.cards,
            Method::EasyPay(service) => named(&EASY_PAY, service).is_some(),
            Method::BankTransfer(bank) => named(&BANKS, bank).is_some(),
        }
    }

    fn cost(&self, _method: &Method) -> Cost {
        self.cfg.cost
    }

    async fn tokenise(&self, owner: &str, card: &Card) -> Outcome<Token> {
        self.issue(owner, card).await.unwrap_or_else(Outcome::from)
    }

    async fn forget(&self, token: &str) {
        let Some((_, billing)) = token.split_once('/') else { return };
        let request = self.http.delete(format!("{}/v1/billing/{}", self.base, http::segment(billing)));
        if !matches!(self.ask(request).await, Ok(answer) if answer.is_ok()) {
            tracing::warn!(provider = "toss", "a card was not forgotten");
        }
    }

    async fn authorise(&self, charge: &Charge) -> Outcome<Taken> {
        self.take(charge).await.unwrap_or_else(Outcome::from)
    }

    async fn capture(&self, charge: &ChargeRef) -> Outcome<()> {
        match self.stand(charge).await {
            Ok(Standing::Captured { .. }) => Outcome::Done(()),
            Ok(Standing::Voided | Standing::Declined(_)) => Outcome::Declined(Decline::CardDeclined),
            Ok(_) => Outcome::Unknown("the payment is not done".into()),
            Err(silence) => silence.into(),
        }
    }

    async fn void(&self, charge: &ChargeRef) -> Outcome<()> {
        self.give_up(charge).await.unwrap_or_else(Outcome::from)
    }

    async fn refund(&self, charge: &ChargeRef, refund: &RefundRef) -> Outcome<()> {
        self.give_back(charge, refund).await.unwrap_or_else(Outcome::from)
    }

    async fn look_up(&self, charge: &ChargeRef) -> Result<Standing, String> {
        Ok(self.stand(charge).await?)
    }

    async fn verify_webhook(&self, headers: &BTreeMap<String, String>, body: &[u8], now: Time) -> Verified {
        webhook::verify(&self.cfg, headers, body, now)
    }

    async fn statement(&self, from: Time, to: Time) -> Result<Vec<Line>, String> {
        self.settlements(from, to).await
    }
}
