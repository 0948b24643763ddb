//! Stripe: PaymentIntents with `capture_method=manual`, form-encoded, under a pinned API version.
//!
//! - The charge's key is the `Idempotency-Key` of its PaymentIntent and `metadata[key]` of it: the first makes a repetition
//!   harmless, the second finds the intent again. Search lags by up to a minute, which is harmless: what is not found is sent
//!   again under its key, and Stripe repeats its first answer.
//! - Captures and cancellations carry no key. They are idempotent by the intent's status, and Stripe would keep repeating a
//!   500 under a key that it remembers.
//! - Giving up a charge that never arrived makes an unconfirmed intent under the charge's key and cancels it: should the
//!   charge arrive after all, its key stands for something else and Stripe refuses it.
//! - A refund's key is its `Idempotency-Key` and `metadata[refund_id]`; Stripe forgets keys after a day, so the intent's
//!   refunds are read first.
//! - 409 (the same key is under way) and 5xx are unknown; 401, 403 and 429 took nothing.
//!
//! Cards go to Stripe as numbers, which it admits only for accounts that it gave raw card data access. Amounts are won: the
//! currency has no minor unit, at Stripe neither. No payouts. Tested against a fake of its API, never against Stripe itself.

mod decline;
mod statement;
mod webhook;

use super::{
    Card, Charge, ChargeRef, Cost, Decline, Instrument, Line, Method, Outcome, Provider, RefundRef, Standing, Taken,
    Token, Verified,
    http::{self, Answer, Secret, Silence},
};
use async_trait::async_trait;
use jangteo_core::{Result, Time};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

const VERSION: &str = "2024-06-20";

/// Easy payment services, as they are called here and there. Each redirects, and each can be captured later.
const EASY_PAY: [(&str, &str); 4] =
    [("kakaopay", "kakao_pay"), ("naverpay", "naver_pay"), ("payco", "payco"), ("samsungpay", "samsung_pay")];

/// `payment.providers.stripe`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `sk_live_…`
    pub secret_key: Secret,
    /// `whsec_…` of the webhook endpoint.
    pub webhook_secret: Secret,
    pub url: String,
    /// Older webhooks are not believed.
    pub webhook_tolerance_secs: u64,
    pub cost: Cost,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            secret_key: Secret::default(),
            webhook_secret: Secret::default(),
            url: "https://api.stripe.com".into(),
            webhook_tolerance_secs: 300,
            cost: Cost { basis_points: 340, fixed: 0 },
        }
    }
}

pub struct Stripe {
    http: reqwest::Client,
    base: String,
    cfg: Config,
}

impl Stripe {
    pub fn new(cfg: Config) -> Result<Stripe> {
        let section = "payment.providers.stripe";
        http::required(section, "secret_key", &cfg.secret_key)?;
        http::required(section, "webhook_secret", &cfg.webhook_secret)?;
        Ok(Stripe { http: http::client()?, base: http::base(section, &cfg.url)?, cfg })
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Answer, Silence> {
        http::ask(request.bearer_auth(self.cfg.secret_key.show()).header("Stripe-Version", VERSION)).await
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, Silence> {
        self.ask(self.http.get(format!("{}/v1/{path}?{}", self.base, http::form(query)))).await
    }

    async fn post(&self, path: &str, key: Option<&str>, fields: &[(&str, &str)]) -> Result<Answer, Silence> {
        let mut request = self.http.post(format!("{}/v1/{path}", self.base));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        request = request.header("Content-Type", "application/x-www-form-urlencoded");
        self.ask(request.body(http::form(fields))).await
    }

    async fn take(&self, charge: &Charge) -> Result<Outcome<Taken>, Silence> {
        let (amount, currency) = (charge.amount.minor.to_string(), currency(charge.amount));
        let mut fields = vec![
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("capture_method", "manual"),
            ("confirm", "true"),
            ("metadata[key]", &charge.key),
            ("metadata[order_id]", &charge.order_id),
        ];
        match &charge.instrument {
            Instrument::Card(token) => {
                let Some((customer, method)) = token.split_once('/') else {
                    return Ok(Outcome::Declined(Decline::InvalidCard));
                };
                fields.extend([("payment_method_types[]", "card"), ("customer", customer), ("payment_method", method)]);
            }
            Instrument::EasyPay(service) => {
                let Some(kind) = easy_pay(service) else { return Ok(not_offered()) };
                fields.extend([("payment_method_types[]", kind), ("payment_method_data[type]", kind)]);
            }
            Instrument::BankTransfer(_) => return Ok(not_offered()),
        }
        if !charge.return_url.is_empty() {
            fields.push(("return_url", &charge.return_url));
        }
        let answer = self.post("payment_intents", Some(&charge.key), &fields).await?;
        if !answer.is_ok() {
            return Ok(decline::refused(&answer));
        }
        Ok(match standing(&answer.body) {
            Standing::Authorised { provider_ref } | Standing::Captured { provider_ref } => {
                Outcome::Done(Taken { provider_ref })
            }
            Standing::ActionRequired { redirect_url, provider_ref } => {
                Outcome::ActionRequired { redirect_url, provider_ref }
            }
            Standing::Declined(why) => Outcome::Declined(why),
            Standing::Voided => Outcome::Declined(Decline::CancelledByUser),
            Standing::Absent | Standing::Pending => Outcome::Unknown("stripe has not decided".into()),
        })
    }

    /// The intent of a charge, by its id or by its key.
    async fn intent(&self, charge: &ChargeRef) -> Result<Option<Value>, Silence> {
        let answer = match &charge.provider_ref {
            Some(id) => self.get(&format!("payment_intents/{}", http::segment(id)), &[]).await?,
            None => {
                let query = format!("metadata['key']:'{}'", charge.key);
                self.get("payment_intents/search", &[("query", &query)]).await?
            }
        };
        match answer.status {
            200 if charge.provider_ref.is_some() => Ok(Some(answer.body)),
            200 => Ok(answer.body.pointer("/data/0").cloned()),
            404 => Ok(None),
            _ => Err(Silence::Unknown(decline::told(&answer))),
        }
    }

    async fn take_held(&self, charge: &ChargeRef) -> Result<Outcome<()>, Silence> {
        let Some(intent) = self.intent(charge).await? else {
            return Ok(Outcome::Unknown("stripe does not know the charge".into()));
        };
        let path = format!("payment_intents/{}/capture", http::segment(http::text(&intent, "/id")));
        let answer = self.post(&path, None, &[]).await?;
        let now = if answer.is_ok() { &answer.body } else { &answer.body["error"]["payment_intent"] };
        Ok(match standing(now) {
            Standing::Captured { .. } => Outcome::Done(()),
            Standing::Voided | Standing::Declined(_) => Outcome::Declined(Decline::CardDeclined),
            _ => match decline::refused::<()>(&answer) {
                // Whatever is said to a capture, only a card's refusal is for good.
                Outcome::Declined(why) => Outcome::Declined(why),
                _ => Outcome::Unknown(decline::told(&answer)),
            },
        })
    }

    async fn give_up(&self, charge: &ChargeRef) -> Result<Outcome<()>, Silence> {
        let intent = match self.intent(charge).await? {
            Some(intent) => intent,
            None => {
                let (amount, currency) = (charge.amount.minor.to_string(), currency(charge.amount));
                let fields = [("amount", amount.as_str()), ("currency", &currency), ("metadata[key]", &charge.key)];
                let answer = self.post("payment_intents", Some(&charge.key), &fields).await?;
                if !answer.is_ok() {
                    // The key is taken: the charge is there, and search does not show it yet.
                    return Ok(Outcome::Unknown(decline::told(&answer)));
                }
                answer.body
            }
        };
        let path = format!("payment_intents/{}/cancel", http::segment(http::text(&intent, "/id")));
        let answer = self.post(&path, None, &[]).await?;
        let now = if answer.is_ok() { &answer.body } else { &answer.body["error"]["payment_intent"] };
        Ok(match standing(now) {
            Standing::Voided => Outcome::Done(()),
            Standing::Captured { .. } => Outcome::NotTaken("it is captured".into()),
            _ => Outcome::Unknown(decline::told(&answer)),
        })
    }

    async fn give_back(&self, charge: &ChargeRef, refund: &RefundRef) -> Result<Outcome<()>, Silence> {
        let Some(intent) = self.intent(charge).await? else {
            return Ok(Outcome::Unknown("stripe does not know the charge".into()));
        };
        let id = http::text(&intent, "/id");
        let before = self.get("refunds", &[("payment_intent", id), ("limit", "100")]).await?;
        let list = before.body["data"].as_array().filter(|_| before.is_ok());
        let Some(list) = list else { return Ok(Outcome::Unknown(decline::told(&before))) };
        if let Some(known) = list.iter().find(|r| http::text(r, "/metadata/refund_id") == refund.key) {
            return Ok(refunded(known));
        }
        let amount = refund.amount.minor.to_string();
        let fields = [
            ("payment_intent", id),
            ("amount", &amount),
            ("metadata[refund_id]", &refund.key),
            ("metadata[reason]", &refund.reason),
        ];
        let answer = self.post("refunds", Some(&refund.key), &fields).await?;
        if answer.is_ok() {
            return Ok(refunded(&answer.body));
        }
        let too_much = answer.text("/error/param") == "amount";
        Ok(match answer.text("/error/code") {
            "charge_already_refunded" | "charge_disputed" | "refund_disputed_payment" => {
                Outcome::Declined(Decline::CardDeclined)
            }
            _ if answer.status == 400 && too_much => Outcome::Declined(Decline::CardDeclined),
            _ => Outcome::Unknown(decline::told(&answer)),
        })
    }

    /// A card is kept with a customer of its own: an intent takes a saved card only together with its customer.
    async fn keep(&self, owner: &str, card: &Card) -> Result<Outcome<Token>, Silence> {
        let (month, year) = (card.expiry_month.to_string(), card.expiry_year.to_string());
        let fields = [
            ("type", "card"),
            ("card[number]", card.number.as_str()),
            ("card[exp_month]", &month),
            ("card[exp_year]", &year),
        ];
        let method = self.post("payment_methods", None, &fields).await?;
        if !method.is_ok() {
            return Ok(decline::refused(&method));
        }
        let customer = self.post("customers", None, &[("metadata[user_id]", owner)]).await?;
        if !customer.is_ok() {
            return Ok(decline::refused(&customer));
        }
        let (method, customer) = (method.text("/id"), customer.text("/id"));
        let path = format!("payment_methods/{}/attach", http::segment(method));
        let kept = self.post(&path, None, &[("customer", customer)]).await?;
        if !kept.is_ok() {
            return Ok(decline::refused(&kept));
        }
        Ok(Outcome::Done(Token {
            token: format!("{customer}/{method}"),
            brand: kept.text("/card/brand").to_uppercase(),
            last4: kept.text("/card/last4").to_owned(),
            fingerprint: kept.text("/card/fingerprint").to_owned(),
        }))
    }
}

fn currency(amount: jangteo_core::Money) -> String {
    amount.currency.code().to_lowercase()
}

fn easy_pay(service: &str) -> Option<&'static str> {
    EASY_PAY.iter().find(|(ours, _)| *ours == service).map(|(_, theirs)| *theirs)
}

fn not_offered() -> Outcome<Taken> {
    Outcome::NotTaken("stripe does not offer it".into())
}

fn refunded(refund: &Value) -> Outcome<()> {
    match http::text(refund, "/status") {
        "succeeded" => Outcome::Done(()),
        "failed" | "canceled" => Outcome::Declined(Decline::CardDeclined),
        other => Outcome::Unknown(format!("the refund is {other}")),
    }
}

/// <https://docs.stripe.com/payments/paymentintents/lifecycle>
fn standing(intent: &Value) -> Standing {
    let provider_ref = http::text(intent, "/id").to_owned();
    match http::text(intent, "/status") {
        "requires_action" => {
            let redirect_url = http::text(intent, "/next_action/redirect_to_url/url").to_owned();
            Standing::ActionRequired { redirect_url, provider_ref }
        }
        "requires_capture" => Standing::Authorised { provider_ref },
        "succeeded" => Standing::Captured { provider_ref },
        "canceled" => Standing::Voided,
        // We confirm as we create, so it was refused; nobody but us can confirm it again.
        "requires_payment_method" => Standing::Declined(decline::reason(&intent["last_payment_error"])),
        _ => Standing::Pending,
    }
}

#[async_trait]
impl Provider for Stripe {
    fn name(&self) -> &str {
        "stripe"
    }

    fn can(&self, method: &Method) -> bool {
        match method {
            Method::Card => true,
            Method::EasyPay(service) => easy_pay(service).is_some(),
            Method::BankTransfer(_) => false,
        }
    }

    fn cost(&self, _method: &Method) -> Cost {
        self.cfg.cost
    }

    async fn tokenise(&self, owner: &str, card: &Card) -> Outcome<Token> {
        self.keep(owner, card).await.unwrap_or_else(Outcome::from)
    }

    async fn forget(&self, token: &str) {
        let Some((_, method)) = token.split_once('/') else { return };
        let path = format!("payment_methods/{}/detach", http::segment(method));
        if !matches!(self.post(&path, None, &[]).await, Ok(answer) if answer.is_ok()) {
            tracing::warn!(provider = "stripe", "a card was not forgotten");
        }
    }

    async fn authorise(&self, charge: &Charge) -> Outcome<Taken> {
        self.take(charge).await.unwrap_or_else(Outcome::from)
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
        Ok(self.intent(charge).await?.as_ref().map_or(Standing::Absent, standing))
    }

    async fn verify_webhook(&self, headers: &BTreeMap<String, String>, body: &[u8], now: Time) -> Verified {
        webhook::verify(&self.cfg, headers, body, now)
    }

    async fn statement(&self, from: Time, to: Time) -> Result<Vec<Line>, String> {
        self.balance_transactions(from, to).await
    }
}
