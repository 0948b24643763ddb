//! A provider for tests and demonstrations that behaves as real ones do: it declines, asks for confirmation, answers late, twice
//! or not at all, and has books of its own to compare ours with. What it does is chosen by the number of the card ([`cards`]).
//!
//! It takes every simple-payment service and bank; the buyer confirms those on its page.

pub mod cards;
pub mod page;
pub mod webhook;

use super::{
    Card, Charge, ChargeRef, Cost, Decline, Forged, Instrument, Line, LineKind, Method, Outcome, PayoutRef, Provider,
    RefundRef, Standing, Taken, Token, Verified,
};
use crate::{
    checkout::random_hex,
    domain::{krw, ledger::transfer_id},
    store::sandbox::{self as store, Model},
};
use async_trait::async_trait;
use cards::Scenario;
use jangteo_core::{Call, Clock, Error, Result, Time, micros};
use kit::db::Db;
use ring::hmac;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub enabled: bool,
    /// Before the paths of its pages: `https://market.example`. Empty: the paths alone.
    pub public_url: String,
    /// How long it is silent where a card says so.
    pub hang_ms: u64,
    /// How late a late webhook is.
    pub late_ms: u64,
    pub cost: Cost,
}

impl Default for Config {
    fn default() -> Self {
        let cost = Cost { basis_points: 280, fixed: 0 };
        Config { enabled: true, public_url: String::new(), hang_ms: 10_000, late_ms: 3_000, cost }
    }
}

pub struct Sandbox {
    name: String,
    db: Db,
    clock: Arc<dyn Clock>,
    key: hmac::Key,
    cfg: Config,
}

impl Sandbox {
    /// `secret` signs its webhooks.
    pub fn new(name: &str, db: Db, clock: Arc<dyn Clock>, secret: &[u8], cfg: Config) -> Sandbox {
        Sandbox { name: name.to_owned(), db, clock, key: hmac::Key::new(hmac::HMAC_SHA256, secret), cfg }
    }

    /// A call of its own: what it writes is no part of anything of ours.
    fn call(&self) -> Call {
        Call::system("payment", "sandbox", self.clock.now())
    }

    async fn take(&self, charge: &Charge) -> Result<Outcome<Taken>> {
        let scenario = match &charge.instrument {
            Instrument::Card(token) => match store::scenario(self.db.primary(), token).await? {
                Some(name) => Scenario::parse(&name),
                None => return Ok(Outcome::Declined(Decline::InvalidCard)),
            },
            Instrument::EasyPay(_) | Instrument::BankTransfer(_) => Scenario::Confirm,
        };
        if scenario == Scenario::Unavailable {
            return Ok(Outcome::NotTaken("503 from the sandbox".into()));
        }
        let row = &self.fresh(charge, scenario)?;
        let write = async |tx: kit::db::Tx| {
            if store::locked(&tx, &row.provider, &row.key).await?.is_some() {
                return Ok(false);
            }
            store::insert(&tx, row.clone()).await?;
            if scenario == Scenario::Late {
                webhook::queue(&tx, row, "AUTHORISED", self.cfg.late_ms, 1).await?;
            }
            Ok(true)
        };
        let first = self.db.write(&self.call(), write).await?;
        if first && scenario.hangs() {
            tokio::time::sleep(Duration::from_millis(self.cfg.hang_ms)).await;
            return Ok(Outcome::Unknown("the sandbox hung up".into()));
        }
        Ok(match self.standing(&charge.key).await? {
            Standing::Authorised { provider_ref } | Standing::Captured { provider_ref } => {
                Outcome::Done(Taken { provider_ref })
            }
            Standing::ActionRequired { redirect_url, provider_ref } => {
                Outcome::ActionRequired { redirect_url, provider_ref }
            }
            Standing::Declined(why) => Outcome::Declined(why),
            Standing::Voided => Outcome::Declined(Decline::CancelledByUser),
            Standing::Absent | Standing::Pending => Outcome::Unknown("the sandbox will say later".into()),
        })
    }

    fn fresh(&self, charge: &Charge, scenario: Scenario) -> Result<Model> {
        let state = match scenario {
            Scenario::Decline(_) | Scenario::HangThenDecline => "DECLINED",
            s if s.asks_the_buyer() => "ACTION_REQUIRED",
            Scenario::Late => "PENDING",
            _ => "AUTHORISED",
        };
        let why = match scenario {
            Scenario::Decline(why) => why.name(),
            Scenario::HangThenDecline => Decline::CardDeclined.name(),
            _ => "",
        };
        Ok(Model {
            provider: self.name.clone(),
            key: charge.key.clone(),
            provider_ref: self.reference(&charge.key),
            order_id: charge.order_id.clone(),
            amount: charge.amount.minor,
            scenario: scenario.name().to_owned(),
            state: state.to_owned(),
            decline_reason: why.to_owned(),
            checkout_token: if state == "ACTION_REQUIRED" { random_hex()? } else { String::new() },
            return_url: charge.return_url.clone(),
            capture_time: 0,
            create_time: micros(self.clock.now()),
        })
    }

    /// What refuses a charge that arrives after it was given up.
    fn tombstone(&self, charge: &ChargeRef, now: i64) -> Model {
        Model {
            provider: self.name.clone(),
            key: charge.key.clone(),
            provider_ref: self.reference(&charge.key),
            order_id: charge.key.split(':').next().unwrap_or_default().to_owned(),
            amount: charge.amount.minor,
            scenario: Scenario::Good.name().to_owned(),
            state: "VOIDED".into(),
            decline_reason: String::new(),
            checkout_token: String::new(),
            return_url: String::new(),
            capture_time: 0,
            create_time: now,
        }
    }

    fn reference(&self, key: &str) -> String {
        transfer_id(&self.name, key).replacen("tfr_", "sbx_", 1)
    }

    async fn standing(&self, key: &str) -> Result<Standing> {
        let Some(row) = store::find(self.db.primary(), &self.name, key).await? else { return Ok(Standing::Absent) };
        let redirect_url = format!("{}/v1/sandbox/checkout/{}", self.cfg.public_url, row.checkout_token);
        Ok(standing(&row.state, row.provider_ref, redirect_url, &row.decline_reason))
    }

    /// Changes the charge, or leaves it, by what `decide` makes of it; `None` of what never arrived.
    async fn change(
        &self,
        key: &str,
        decide: impl Fn(Option<Model>) -> (Option<Model>, Said) + Send + Sync,
    ) -> Outcome<()> {
        let decide = &decide;
        let write = async |tx: kit::db::Tx| {
            let found = store::locked(&tx, &self.name, key).await?;
            let known = found.is_some();
            let (changed, said) = decide(found);
            match changed {
                Some(row) if known => store::save(&tx, row).await?,
                Some(row) => store::insert(&tx, row).await?,
                None => {}
            }
            Ok(said as i32)
        };
        match self.db.write(&self.call(), write).await {
            Ok(said) if said == Said::Done as i32 => Outcome::Done(()),
            Ok(said) if said == Said::Gone as i32 => Outcome::Declined(Decline::CardDeclined),
            Ok(_) => Outcome::NotTaken("it is captured".into()),
            Err(e) => Outcome::Unknown(e.to_string()),
        }
    }
}

/// What it answers to a capture or a void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Done,
    /// Nothing is set aside any more.
    Gone,
    /// Too late: it is captured.
    Kept,
}

/// A state of the books as the port says it.
fn standing(state: &str, provider_ref: String, redirect_url: String, why: &str) -> Standing {
    match state {
        "ACTION_REQUIRED" => Standing::ActionRequired { redirect_url, provider_ref },
        "AUTHORISED" => Standing::Authorised { provider_ref },
        "CAPTURED" => Standing::Captured { provider_ref },
        "VOIDED" => Standing::Voided,
        "DECLINED" => Standing::Declined(Decline::parse(why).unwrap_or(Decline::CardDeclined)),
        _ => Standing::Pending,
    }
}

#[async_trait]
impl Provider for Sandbox {
    fn name(&self) -> &str {
        &self.name
    }

    fn can(&self, _method: &Method) -> bool {
        true
    }

    fn cost(&self, _method: &Method) -> Cost {
        self.cfg.cost
    }

    async fn tokenise(&self, _owner: &str, card: &Card) -> Outcome<Token> {
        let scenario = match cards::scenario(card, self.clock.now()) {
            Ok(scenario) => scenario,
            Err(why) => return Outcome::Declined(why),
        };
        let row = match random_hex() {
            Ok(hex) => store::card::Model { token: format!("sbt_{hex}"), scenario: scenario.name().to_owned() },
            Err(e) => return Outcome::NotTaken(e.to_string()),
        };
        let kept = &row;
        let write = async |tx: kit::db::Tx| store::card::insert(&tx, kept.clone()).await;
        if let Err(e) = self.db.write(&self.call(), write).await {
            return Outcome::NotTaken(e.to_string());
        }
        let tag = hmac::sign(&self.key, format!("card {}", *card.number).as_bytes());
        let fingerprint = tag.as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect();
        let last4 = card.number[card.number.len() - 4..].to_owned();
        Outcome::Done(Token { token: row.token, brand: cards::brand(&card.number).to_owned(), last4, fingerprint })
    }

    async fn forget(&self, token: &str) {
        let write = async |tx: kit::db::Tx| store::forget(&tx, token).await;
        if let Err(error) = self.db.write(&self.call(), write).await {
            tracing::warn!(error = ?error, "the sandbox did not forget a card");
        }
    }

    async fn authorise(&self, charge: &Charge) -> Outcome<Taken> {
        self.take(charge).await.unwrap_or_else(|e| Outcome::Unknown(e.to_string()))
    }

    async fn capture(&self, charge: &ChargeRef) -> Outcome<()> {
        let now = micros(self.clock.now());
        let decide = |row: Option<Model>| match row {
            Some(row) if row.state == "CAPTURED" => (None, Said::Done),
            Some(row) if row.state == "AUTHORISED" && row.scenario == Scenario::CaptureRefused.name() => {
                (Some(Model { state: "VOIDED".into(), ..row }), Said::Gone)
            }
            Some(row) if row.state == "AUTHORISED" => {
                (Some(Model { state: "CAPTURED".into(), capture_time: now, ..row }), Said::Done)
            }
            _ => (None, Said::Gone),
        };
        self.change(&charge.key, decide).await
    }

    async fn void(&self, charge: &ChargeRef) -> Outcome<()> {
        let now = micros(self.clock.now());
        let decide = |row: Option<Model>| match row {
            None => (Some(self.tombstone(charge, now)), Said::Done),
            Some(row) if row.state == "CAPTURED" => (None, Said::Kept),
            Some(row) if matches!(row.state.as_str(), "VOIDED" | "DECLINED") => (None, Said::Done),
            Some(row) => (Some(Model { state: "VOIDED".into(), ..row }), Said::Done),
        };
        self.change(&charge.key, decide).await
    }

    async fn refund(&self, charge: &ChargeRef, refund: &RefundRef) -> Outcome<()> {
        let (provider, now) = (&self.name, micros(self.clock.now()));
        let write = async |tx: kit::db::Tx| {
            let row = store::locked(&tx, provider, &charge.key).await?;
            let Some(row) = row.filter(|r| r.state == "CAPTURED" && r.scenario != Scenario::RefundRefused.name())
            else {
                return Ok(false);
            };
            let before = store::refunds_of(&tx, provider, &charge.key).await?;
            if before.iter().any(|r| r.key == refund.key) {
                return Ok(true);
            }
            let amount = refund.amount.minor;
            if before.iter().map(|r| r.amount).sum::<i64>() + amount > row.amount {
                return Ok(false);
            }
            let (provider, key, charge_key) = (provider.clone(), refund.key.clone(), charge.key.clone());
            store::refund::insert(&tx, store::refund::Model { provider, key, charge_key, amount, create_time: now })
                .await?;
            Ok(true)
        };
        match self.db.write(&self.call(), write).await {
            Ok(true) => Outcome::Done(()),
            Ok(false) => Outcome::Declined(Decline::CardDeclined),
            Err(e) => Outcome::Unknown(e.to_string()),
        }
    }

    async fn look_up(&self, charge: &ChargeRef) -> Result<Standing, String> {
        self.standing(&charge.key).await.map_err(|e| e.to_string())
    }

    fn pays_out(&self) -> bool {
        true
    }

    /// The account number that ends in 0000 does not exist.
    async fn payout(&self, payout: &PayoutRef) -> Outcome<()> {
        if payout.account_number.ends_with("0000") {
            return Outcome::Declined(Decline::InvalidCard);
        }
        let (provider, key, create_time) = (self.name.clone(), payout.key.clone(), micros(self.clock.now()));
        let row = &store::payout::Model { provider, key, amount: payout.amount.minor, create_time };
        let write = async |tx: kit::db::Tx| match store::paid(&tx, &row.provider, &row.key).await? {
            true => Ok(()),
            false => store::payout::insert(&tx, row.clone()).await,
        };
        match self.db.write(&self.call(), write).await {
            Ok(()) => Outcome::Done(()),
            Err(e) => Outcome::Unknown(e.to_string()),
        }
    }

    async fn verify_webhook(&self, headers: &BTreeMap<String, String>, body: &[u8], now: Time) -> Verified {
        let signature = headers.get(webhook::HEADER).ok_or(Forged("it is not signed"))?;
        webhook::verify(&self.key, signature, body, now)
    }

    async fn statement(&self, from: Time, to: Time) -> Result<Vec<Line>, String> {
        let (from, to) = (micros(from), micros(to));
        let read = async {
            let conn = self.db.primary();
            let line = |kind, key, won| Line { kind, key, amount: krw(won) };
            let charges = store::captured(conn, &self.name, from, to).await?.into_iter();
            let refunds = store::refunds(conn, &self.name, from, to).await?.into_iter();
            let payouts = store::payouts(conn, &self.name, from, to).await?.into_iter();
            let mut lines: Vec<_> = charges.map(|r| line(LineKind::Charge, r.key, r.amount)).collect();
            lines.extend(refunds.map(|r| line(LineKind::Refund, r.key, r.amount)));
            lines.extend(payouts.map(|r| line(LineKind::Payout, r.key, r.amount)));
            Ok::<_, Error>(lines)
        };
        read.await.map_err(|e| e.to_string())
    }
}
