//! PayPal: Orders v2 with `intent=AUTHORIZE`, paid from a PayPal account. It takes no won.
//!
//! | here | there |
//! | --- | --- |
//! | `authorise` | `POST /v2/checkout/orders` makes an order, which takes nothing, with a page to approve it on |
//! | `look_up` | `GET /v2/checkout/orders/{id}`; where the buyer has approved, `POST …/{id}/authorize` holds the money |
//! | `capture` | `POST /v2/payments/authorizations/{id}/capture`, the whole of it |
//! | `void` | `POST /v2/payments/authorizations/{id}/void`; an order that holds nothing is left to expire |
//! | `refund` | `POST /v2/payments/captures/{id}/refund` |
//! | `statement` | `GET /v1/reporting/transactions` |
//!
//! **The other currency.** An order is made in [`Config::currency`] at [`Config::rate`], to the nearest cent, a half upwards. From
//! then on its rate is what it is in both: the won that we know of the charge, the cents that PayPal holds for it. Whatever the
//! configuration says later, a refund is a part of those cents ([`money::share`]), so all of a charge's won are all of its cents.
//! A refund worth less than half a cent gives nothing by itself; the next one makes up for it. Order, payment and refund have the
//! won as well ([`money::Label`], their `custom_id`), by which a statement is in won again.
//!
//! - `PayPal-Request-Id` makes repetitions harmless: PayPal remembers it for six hours with orders, 45 days with payments.
//!   It is the charge's key, with `:authorize` and `:capture` behind it for those; a refund's key is the refund's.
//! - An order is not found by our key, and need not be: who never learned its id never sent the buyer to its page, so it can't
//!   be approved, and without our second call PayPal takes nothing. Such a charge is absent, and given up by forgetting it.
//! - An order that is given up may have that second call on its way: it is waited for ([`Config::arrival_secs`]), and what it
//!   held is let go.
//! - Captures come within minutes of the authorisation, far within the three days for which PayPal honours one, so nothing is
//!   authorised anew; a capture that comes later than the hold lasts is declined.
//! - 409 (the same key is under way), 5xx and issues that we do not know are unknown.
//!
//! Tested against a fake of its API, never against PayPal itself.

mod decline;
mod money;
mod order;
mod statement;
mod token;
mod webhook;

use super::{
    Card, Charge, ChargeRef, Cost, Decline, Instrument, Line, Method, Outcome, Provider, RefundRef, Standing, Taken,
    Token, Verified,
    graves::Graves,
    http::{self, Answer, Secret, Silence},
};
use async_trait::async_trait;
use jangteo_core::{Error, Result, Time};
use money::{Label, Tender, share};
use order::{amount, approved, captured, label, newest, payments, refunded, standing};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use token::Tokens;

pub use money::Rate;

/// What buyers see at PayPal.
const ORDER_NAME: &str = "장터 주문";

/// `payment.providers.paypal`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub client_id: Secret,
    pub client_secret: Secret,
    /// PayPal's id of the webhook; it stands for a secret, as it is part of what is signed.
    pub webhook_id: Secret,
    /// What orders are made in: `USD`. PayPal takes no won.
    pub currency: String,
    /// Won for one unit of it, exactly. It counts for new charges; earlier ones keep theirs.
    pub rate: Option<Rate>,
    pub url: String,
    /// After so long a call that was sent has arrived or never will.
    pub arrival_secs: u64,
    /// Older webhooks are not believed. PayPal sends one again for three days.
    pub webhook_tolerance_secs: u64,
    pub cost: Cost,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            client_id: Secret::default(),
            client_secret: Secret::default(),
            webhook_id: Secret::default(),
            currency: "USD".into(),
            rate: None,
            url: "https://api-m.paypal.com".into(),
            arrival_secs: 120,
            webhook_tolerance_secs: 4 * 86_400,
            cost: Cost { basis_points: 440, fixed: 400 },
        }
    }
}

pub struct PayPal {
    http: reqwest::Client,
    base: String,
    tokens: Tokens,
    graves: Graves,
    tender: Tender,
    rate: Rate,
    cfg: Config,
}

impl PayPal {
    pub fn new(cfg: Config) -> Result<PayPal> {
        let section = "payment.providers.paypal";
        let secrets = [("client_id", &cfg.client_id), ("client_secret", &cfg.client_secret)];
        for (field, secret) in secrets.into_iter().chain([("webhook_id", &cfg.webhook_id)]) {
            http::required(section, field, secret)?;
        }
        let missing = || Error::invalid(format!("{section}.rate"), "INVALID_CONFIGURATION", "is needed");
        Ok(PayPal {
            http: http::client()?,
            base: http::base(section, &cfg.url)?,
            tokens: Tokens::default(),
            graves: Graves::new(Duration::from_secs(cfg.arrival_secs)),
            tender: Tender::configured(&format!("{section}.currency"), &cfg.currency)?,
            rate: cfg.rate.ok_or_else(missing)?,
            cfg,
        })
    }

    /// A token may end before its time: what is refused for it did nothing, and is asked once more with a new one.
    async fn ask(&self, request: RequestBuilder) -> Result<Answer, Silence> {
        let token = self.tokens.get(&self.http, &self.base, &self.cfg).await?;
        let again = request.try_clone();
        let answer = http::ask(request.bearer_auth(token.show())).await?;
        let (401, Some(again)) = (answer.status, again) else { return Ok(answer) };
        self.tokens.drop(&token).await;
        let token = self.tokens.get(&self.http, &self.base, &self.cfg).await?;
        http::ask(again.bearer_auth(token.show())).await
    }

    async fn get(&self, path: &str) -> Result<Answer, Silence> {
        self.ask(self.http.get(format!("{}/{path}", self.base))).await
    }

    async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Result<Answer, Silence> {
        let mut request = self.http.post(format!("{}/v2/{path}", self.base)).json(body);
        if let Some(key) = key {
            request = request.header("PayPal-Request-Id", key);
        }
        self.ask(request.header("Prefer", "return=representation")).await
    }

    async fn offer(&self, charge: &Charge) -> Result<Outcome<Taken>, Silence> {
        if !matches!(&charge.instrument, Instrument::EasyPay(service) if service == "paypal") {
            return Ok(Outcome::NotTaken("paypal does not offer it".into()));
        }
        if charge.return_url.is_empty() {
            return Ok(Outcome::NotTaken("paypal needs payment.return_url".into()));
        }
        let (won, tender) = (charge.amount.minor, self.tender);
        let Some(minor) = self.rate.convert(won, tender) else {
            return Ok(Outcome::NotTaken("the amount is too large for paypal".into()));
        };
        let body = json!({
            "intent": "AUTHORIZE",
            "purchase_units": [{
                "custom_id": Label { key: charge.key.clone(), won, minor, tender }.write(),
                "invoice_id": charge.key,
                "description": ORDER_NAME,
                "amount": { "currency_code": tender.code(), "value": tender.write(minor) },
            }],
            "payment_source": { "paypal": { "experience_context": {
                "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED",
                "shipping_preference": "NO_SHIPPING",
                "user_action": "PAY_NOW",
                "return_url": charge.return_url,
                "cancel_url": charge.return_url,
            } } },
        });
        let answer = self.post("checkout/orders", Some(&charge.key), &body).await?;
        if !answer.is_ok() {
            return Ok(decline::refused(&answer));
        }
        Ok(match standing(&answer.body) {
            Standing::ActionRequired { redirect_url, provider_ref } if !redirect_url.is_empty() => {
                Outcome::ActionRequired { redirect_url, provider_ref }
            }
            Standing::Authorised { provider_ref } | Standing::Captured { provider_ref } => {
                Outcome::Done(Taken { provider_ref })
            }
            _ => Outcome::Unknown("paypal has not decided".into()),
        })
    }

    /// The order of a charge. `None`: PayPal has forgotten it, as it does with one that is not approved in time.
    async fn order(&self, id: &str) -> Result<Option<Value>, Silence> {
        let answer = self.get(&format!("v2/checkout/orders/{}", http::segment(id))).await?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 if answer.text("/name") == "RESOURCE_NOT_FOUND" => Ok(None),
            _ => Err(decline::unsure(&answer)),
        }
    }

    async fn stand(&self, charge: &ChargeRef) -> Result<Standing, Silence> {
        let Some(id) = &charge.provider_ref else { return Ok(Standing::Absent) };
        match self.order(id).await? {
            None => Ok(Standing::Declined(Decline::CancelledByUser)),
            Some(order) if approved(&order) => self.hold(charge, id).await,
            Some(order) => Ok(standing(&order)),
        }
    }

    /// Holds the money of an order that its buyer has approved.
    async fn hold(&self, charge: &ChargeRef, id: &str) -> Result<Standing, Silence> {
        if !charge.wanted || self.graves.holds(&charge.key) {
            return Ok(Standing::Pending);
        }
        let (path, key) = (format!("checkout/orders/{}/authorize", http::segment(id)), &charge.key);
        let answer = self.post(&path, Some(&format!("{key}:authorize")), &json!({})).await?;
        if answer.is_ok() {
            return Ok(standing(&answer.body));
        }
        if let Some(why) = decline::reason(&answer) {
            return Ok(Standing::Declined(why));
        }
        match decline::issue(&answer) {
            // The buyer has to go back there, and still can.
            "ORDER_NOT_APPROVED" | "PAYER_ACTION_REQUIRED" => Ok(Standing::Pending),
            _ => Err(decline::unsure(&answer)),
        }
    }

    async fn take_held(&self, charge: &ChargeRef) -> Result<Outcome<()>, Silence> {
        let order = match &charge.provider_ref {
            Some(id) => self.order(id).await?,
            None => None,
        };
        let Some(order) = order else { return Ok(unheard()) };
        if let Some(capture) = newest(&order, "captures") {
            return Ok(captured(capture));
        }
        let held = newest(&order, "authorizations").unwrap_or(&Value::Null);
        if matches!(http::text(held, "/status"), "VOIDED" | "DENIED") {
            return Ok(Outcome::Declined(Decline::CardDeclined));
        }
        let id = http::text(held, "/id");
        if id.is_empty() {
            return Ok(Outcome::Unknown("the order is not authorised".into()));
        }
        let (path, key) = (format!("payments/authorizations/{}/capture", http::segment(id)), &charge.key);
        let answer = self.post(&path, Some(&format!("{key}:capture")), &json!({ "final_capture": true })).await?;
        if answer.is_ok() {
            return Ok(captured(&answer.body));
        }
        Ok(match decline::lost(&answer) {
            true => Outcome::Declined(Decline::CardDeclined),
            false => Outcome::Unknown(decline::told(&answer)),
        })
    }

    async fn give_up(&self, charge: &ChargeRef) -> Result<Outcome<()>, Silence> {
        self.graves.dig(&charge.key);
        // Nobody was sent to its page.
        let Some(id) = &charge.provider_ref else { return Ok(Outcome::Done(())) };
        // Or it was never approved.
        let Some(order) = self.order(id).await? else { return Ok(Outcome::Done(())) };
        match standing(&order) {
            Standing::Captured { .. } => return Ok(Outcome::NotTaken("it is captured".into())),
            Standing::Voided | Standing::Declined(_) => return Ok(Outcome::Done(())),
            _ => {}
        }
        let Some(held) = newest(&order, "authorizations") else {
            return Ok(match self.graves.rests(&charge.key) {
                true => Outcome::Done(()),
                false => Outcome::Unknown("its authorisation may be on its way to paypal".into()),
            });
        };
        let path = format!("payments/authorizations/{}/void", http::segment(http::text(held, "/id")));
        let answer = self.post(&path, None, &json!({})).await?;
        let done = answer.is_ok() || (answer.status == 422 && decline::issue(&answer) == "PREVIOUSLY_VOIDED");
        Ok(if done { Outcome::Done(()) } else { Outcome::Unknown(decline::told(&answer)) })
    }

    async fn give_back(&self, charge: &ChargeRef, refund: &RefundRef) -> Result<Outcome<()>, Silence> {
        let order = match &charge.provider_ref {
            Some(id) => self.order(id).await?,
            None => None,
        };
        let Some(order) = order else { return Ok(unheard()) };
        // PayPal forgets keys after 45 days.
        let made = payments(&order, "refunds").find(|r| label(r).is_some_and(|label| label.key == refund.key));
        if let Some(made) = made {
            return Ok(refunded(made));
        }
        let taken = newest(&order, "captures").and_then(|capture| Some((capture, amount(capture)?)));
        let Some((capture, (minor, tender))) = taken else {
            return Ok(Outcome::Unknown("the order is not captured".into()));
        };
        let (total, before, won) = (charge.amount.minor, refund.before.minor, refund.amount.minor);
        if before.saturating_add(won) > total {
            return Ok(Outcome::Declined(Decline::CardDeclined));
        }
        let minor = share(minor, total, before, won);
        if minor == 0 {
            return Ok(Outcome::Done(()));
        }
        let body = json!({
            "amount": { "currency_code": tender.code(), "value": tender.write(minor) },
            "custom_id": Label { key: refund.key.clone(), won, minor, tender }.write(),
            "note_to_payer": refund.reason,
        });
        let path = format!("payments/captures/{}/refund", http::segment(http::text(capture, "/id")));
        let answer = self.post(&path, Some(&refund.key), &body).await?;
        if answer.is_ok() {
            return Ok(refunded(&answer.body));
        }
        Ok(match decline::hopeless(&answer) {
            true => Outcome::Declined(Decline::CardDeclined),
            false => Outcome::Unknown(decline::told(&answer)),
        })
    }
}

fn unheard() -> Outcome<()> {
    Outcome::Unknown("paypal does not know the order".into())
}

#[async_trait]
impl Provider for PayPal {
    fn name(&self) -> &str {
        "paypal"
    }

    fn can(&self, method: &Method) -> bool {
        matches!(method, Method::EasyPay(service) if service == "paypal")
    }

    fn cost(&self, _method: &Method) -> Cost {
        self.cfg.cost
    }

    async fn tokenise(&self, _owner: &str, _card: &Card) -> Outcome<Token> {
        Outcome::NotTaken("paypal takes no cards here".into())
    }

    async fn authorise(&self, charge: &Charge) -> Outcome<Taken> {
        self.offer(charge).await.unwrap_or_else(Outcome::from)
    }

    async fn capture(&self, charge: &ChargeRef) -> Outcome<()> {
        self.take_held(charge).await.unwrap_or_else(Outcome::from)
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
        self.verify(headers, body, now).await
    }

    async fn statement(&self, from: Time, to: Time) -> Result<Vec<Line>, String> {
        self.transactions(from, to).await
    }
}
