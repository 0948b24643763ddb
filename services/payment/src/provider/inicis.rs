//! KG Inicis: its mobile window (`stdpay_m`), and INIAPI v2. It knows no authorisation: a payment is taken when its buyer is back.
//!
//! | here | there |
//! | --- | --- |
//! | `authorise` | nothing: the buyer is sent to our own page |
//! | `page` | the form that opens the window, posted by the buyer's browser |
//! | `returned`, `confirm` | the form that the window sends back, then `POST …/smart/payReq.ini` takes the money |
//! | `look_up` | `POST /v2/pg/inquiry`, by `tid` once that is known, else by `oid` |
//! | `capture` | nothing but looking that the payment stands |
//! | `void` | `POST /v2/pg/refund` gives the whole payment back |
//! | `refund` | `POST /v2/pg/partialRefund`; `/v2/pg/refund` for all of it at once |
//! | `statement` | none |
//!
//! - Nothing is asked before the buyer is back, so a charge that was never confirmed has taken nothing, and is given up by
//!   forgetting it.
//! - A confirmation is sent once ([`super::Provider::confirm`]). Its lost answer is found by `oid`, which is the charge's key; that
//!   takes Inicis' contract against doubled order numbers. What Inicis does not know yet is waited for
//!   ([`Config::arrival_secs`]): whatever was on its way has arrived by then.
//! - The browser could bring the proof of another, cheaper payment. What Inicis says it took has to be this order and amount,
//!   else it goes back at once.
//! - A refund has no key there. Each sending is written down first, and found out by what is left ([`refund`]).
//! - Only `status` 9 says that Inicis knows no such payment. Other answers that we don't know are unknown.
//!
//! Cards by number are not taken. No payouts, no webhooks: those are for virtual accounts, which are not offered.
//! <https://manual.inicis.com/pay/stdpay_m.html>, <https://manual.inicis.com/pay/etc-inquiry.html>. Tested against a fake of its
//! API, never against Inicis itself.

mod api;
mod refund;
mod window;

use super::{
    Card, Charge, ChargeRef, Cost, Decline, Forged, Line, Method, Outcome, Page, Provider, RefundRef, Standing, Taken,
    Token, Verified,
    http::{self, Secret, Silence},
};
use api::{Data, Payment};
use async_trait::async_trait;
use jangteo_core::{Call, Clock, Error, Result, Time};
use kit::db::Db;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// `payment.providers.inicis`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The shop's id: ten letters and digits.
    pub mid: String,
    /// Signs the amount in the window's form.
    pub hash_key: Secret,
    /// Signs requests to INIAPI.
    pub api_key: Secret,
    /// Whom INIAPI's requests say they are from.
    pub client_ip: String,
    /// Inicis' staging hosts instead of those where money moves.
    pub test: bool,
    /// One address instead of all of Inicis' own; empty: theirs.
    pub url: String,
    /// After so long a request that was sent has arrived or never will.
    pub arrival_secs: u64,
    pub cost: Cost,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            mid: String::new(),
            hash_key: Secret::default(),
            api_key: Secret::default(),
            client_ip: "127.0.0.1".into(),
            test: false,
            url: String::new(),
            arrival_secs: 120,
            cost: Cost { basis_points: 290, fixed: 0 },
        }
    }
}

pub struct Inicis {
    http: reqwest::Client,
    /// Where sendings are written down.
    db: Db,
    clock: Arc<dyn Clock>,
    base: Option<String>,
    arrival: Duration,
    cfg: Config,
}

impl Inicis {
    pub fn new(cfg: Config, db: Db, clock: Arc<dyn Clock>) -> Result<Inicis> {
        let section = "payment.providers.inicis";
        if cfg.mid.len() != 10 || !cfg.mid.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let field = format!("{section}.mid");
            return Err(Error::invalid(field, "INVALID_CONFIGURATION", "is ten letters and digits"));
        }
        http::required(section, "hash_key", &cfg.hash_key)?;
        http::required(section, "api_key", &cfg.api_key)?;
        let base = if cfg.url.is_empty() { None } else { Some(http::base(section, &cfg.url)?) };
        let arrival = Duration::from_secs(cfg.arrival_secs);
        Ok(Inicis { http: http::client()?, db, clock, base, arrival, cfg })
    }

    /// A call of its own: what it writes is no part of anything else.
    fn call(&self) -> Call {
        Call::system("payment", "inicis", self.clock.now())
    }

    /// How a charge stands, asked at Inicis.
    async fn stand(&self, charge: &ChargeRef) -> Result<Standing, Silence> {
        let Some(payment) = self.payment(charge).await? else {
            let arrived = charge.confirmed.is_some_and(|age| age >= self.arrival);
            return Ok(if arrived { Standing::Declined(Decline::ProviderUnavailable) } else { Standing::Pending });
        };
        if !payment.is_of(charge) && payment.left() > 0 {
            let back = self.cancel(&payment.tid, "WRONG_AMOUNT").await?;
            return Err(Silence::Unknown(format!("another amount was paid; given back: {back:?}")));
        }
        Ok(payment.standing())
    }

    async fn give_up(&self, charge: &ChargeRef) -> Result<Outcome<()>, Silence> {
        // Inicis was never told to take it, and will not be.
        if charge.provider_ref.is_none() && charge.confirmed.is_none() {
            return Ok(Outcome::Done(()));
        }
        let Some(payment) = self.payment(charge).await? else {
            return Ok(match charge.confirmed.is_some_and(|age| age >= self.arrival) {
                true => Outcome::Done(()),
                false => Outcome::Unknown("it may be on its way to inicis".into()),
            });
        };
        match payment.standing() {
            Standing::Voided => Ok(Outcome::Done(())),
            _ if payment.left() < payment.price => Ok(Outcome::NotTaken("it is captured".into())),
            _ => self.cancel(&payment.tid, &format!("VOID {}", charge.key)).await,
        }
    }

    /// The payment of a charge. `None`: Inicis knows none by its key.
    async fn payment(&self, charge: &ChargeRef) -> Result<Option<Payment>, Silence> {
        let oid = window::oid(&charge.key);
        let data = match &charge.provider_ref {
            Some(tid) => Data { tid: Some(tid), ..Data::default() },
            None => Data { oid: Some(&oid), ..Data::default() },
        };
        let payment = self.inquire(&data).await?;
        match payment {
            None if charge.provider_ref.is_some() => Err(Silence::Unknown("inicis forgot the payment".into())),
            Some(payment) if payment.oid != oid => Err(Silence::Unknown("inicis told of another payment".into())),
            payment => Ok(payment),
        }
    }

    /// Gives a whole payment back. Twice is refused, so that it may be asked for again.
    async fn cancel(&self, tid: &str, why: &str) -> Result<Outcome<()>, Silence> {
        let answer = self.ask("refund", &Data { tid: Some(tid), msg: Some(why), ..Data::default() }).await?;
        Ok(if api::is_done(&answer) { Outcome::Done(()) } else { Outcome::Unknown(api::told(&answer)) })
    }
}

#[async_trait]
impl Provider for Inicis {
    fn name(&self) -> &str {
        "inicis"
    }

    /// The window asks for the bank itself, so it may be any.
    fn can(&self, method: &Method) -> bool {
        match method {
            Method::Card => false,
            Method::EasyPay(service) => window::easy_pay(service).is_some(),
            Method::BankTransfer(_) => true,
        }
    }

    fn cost(&self, _method: &Method) -> Cost {
        self.cfg.cost
    }

    async fn tokenise(&self, _owner: &str, _card: &Card) -> Outcome<Token> {
        Outcome::NotTaken("inicis takes no cards by number here".into())
    }

    async fn authorise(&self, charge: &Charge) -> Outcome<Taken> {
        if charge.checkout_url.is_empty() {
            return Outcome::NotTaken("inicis needs payment.public_url".into());
        }
        if window::kind(&charge.instrument).is_none() {
            return Outcome::NotTaken("inicis does not offer it".into());
        }
        Outcome::ActionRequired { redirect_url: charge.checkout_url.clone(), provider_ref: String::new() }
    }

    fn page(&self, charge: &Charge, now: Time) -> Option<Page> {
        self.window(charge, now)
    }

    fn returned(&self, charge: &Charge, form: &[u8]) -> Option<String> {
        self.proof(charge, form)
    }

    async fn confirm(&self, charge: &Charge, slip: &str) -> Outcome<Taken> {
        self.approve(charge, slip).await.unwrap_or_else(Outcome::from)
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
        if charge.provider_ref.is_none() && charge.confirmed.is_none() {
            return Ok(Standing::Absent);
        }
        Ok(self.stand(charge).await?)
    }

    async fn verify_webhook(&self, _headers: &BTreeMap<String, String>, _body: &[u8], _now: Time) -> Verified {
        Err(Forged("inicis sends none").into())
    }

    fn has_statement(&self) -> bool {
        false
    }

    async fn statement(&self, _from: Time, _to: Time) -> Result<Vec<Line>, String> {
        Err("inicis' statement is not read".into())
    }
}
