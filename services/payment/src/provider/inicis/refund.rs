//! Giving back what has no key. Each sending is written down before it goes out ([`store`]): what was left of the payment, and
//! what should be left after it. Before it is sent again, Inicis is asked what is left:
//!
//! - as much as should be: it has arrived;
//! - as much as before, and longer ago than anything is on its way: it never will, and may be sent again;
//! - anything else: nobody knows yet.
//!
//! No list tells which refusals are for ever. One that Inicis repeats ([`REFUSALS`]), having done nothing each time, is.
//!
//! What is left says nothing of two refunds at once, so a charge has one under way at a time; the others wait. `confirmPrice`,
//! what should be left, goes along: should Inicis check it, a sending that came later than anybody waits for does nothing.

use super::{Inicis, api, api::Data};
use crate::{
    provider::{ChargeRef, Decline, Outcome, RefundRef, http::Silence},
    store::sending::{self as store, Model},
};
use jangteo_core::{Error, Result, micros};
use kit::db::Tx;

const NAME: &str = "inicis";
/// `arrival_secs` lie between two of them.
const REFUSALS: i64 = 5;

impl Inicis {
    pub(super) async fn give_back(&self, charge: &ChargeRef, refund: &RefundRef) -> Result<Outcome<()>, Silence> {
        let Some(row) = self.open(charge, refund).await? else {
            return Ok(Outcome::Unknown("another refund of the payment is under way".into()));
        };
        match row.state.as_str() {
            "DONE" => return Ok(Outcome::Done(())),
            "REFUSED" => return Ok(Outcome::Declined(Decline::CardDeclined)),
            _ => {}
        }
        // Asked after the row was opened: since then nobody else changes it.
        let Some(payment) = self.payment(charge).await? else {
            return Ok(Outcome::Unknown("inicis does not know the payment".into()));
        };
        let (left, amount) = (payment.left(), refund.amount.minor);
        if row.sent_time > 0 && left == row.left_after {
            return self.close(refund, "DONE", Outcome::Done(())).await;
        }
        if row.sent_time > 0 && (left != row.left_before || !self.has_arrived(row.sent_time)) {
            return Ok(Outcome::Unknown("it may be on its way to inicis".into()));
        }
        let known = store::left(self.db.primary(), NAME, &charge.key).await.map_err(unsaid)?;
        if known.is_some_and(|known| known < left) {
            return Ok(Outcome::Unknown("inicis does not show the last refund yet".into()));
        }
        if amount > left || row.refusals >= REFUSALS {
            return self.close(refund, "REFUSED", Outcome::Declined(Decline::CardDeclined)).await;
        }
        let row = Model { left_before: left, left_after: left - amount, ..row };
        if !self.note(&row).await? {
            return Ok(Outcome::Unknown("somebody else sends it".into()));
        }
        let why = format!("{} {}", refund.reason, refund.key);
        let data = Data { tid: Some(&payment.tid), msg: Some(&why), ..Data::default() };
        let answer = match amount == payment.price {
            true => self.ask("refund", &data).await?,
            false => {
                let (price, confirm_price) = (Some(amount.to_string()), Some(row.left_after.to_string()));
                self.ask("partialRefund", &Data { price, confirm_price, currency: Some("WON"), ..data }).await?
            }
        };
        match api::is_done(&answer) {
            true => self.close(refund, "DONE", Outcome::Done(())).await,
            false => {
                if api::is_refusal(&answer) {
                    let write = async |tx: Tx| store::refused(&tx, NAME, &refund.key).await;
                    self.db.write(&self.call(), write).await.map_err(unsaid)?;
                }
                Ok(Outcome::Unknown(api::told(&answer)))
            }
        }
    }

    fn has_arrived(&self, sent: i64) -> bool {
        let waited = u64::try_from(micros(self.clock.now()) - sent).unwrap_or(0);
        u128::from(waited) >= self.arrival.as_micros()
    }

    /// The refund's row. `None`: it is another one's turn.
    async fn open(&self, charge: &ChargeRef, refund: &RefundRef) -> Result<Option<Model>, Silence> {
        let kept = store::find(self.db.primary(), NAME, &refund.key).await.map_err(unsaid)?;
        if kept.is_some() {
            return Ok(kept);
        }
        let write = async |tx: Tx| store::open(&tx, NAME, &refund.key, &charge.key).await;
        match self.db.write(&self.call(), write).await.map_err(unsaid)? {
            true => store::find(self.db.primary(), NAME, &refund.key).await.map_err(unsaid),
            false => Ok(None),
        }
    }

    /// `false`: another call has sent it since the row was read.
    async fn note(&self, row: &Model) -> Result<bool, Silence> {
        let write = async |tx: Tx| store::send(&tx, row).await;
        self.db.write(&self.call(), write).await.map_err(unsaid)
    }

    async fn close(&self, refund: &RefundRef, state: &str, said: Outcome<()>) -> Result<Outcome<()>, Silence> {
        let write = async |tx: Tx| store::close(&tx, NAME, &refund.key, state).await;
        self.db.write(&self.call(), write).await.map_err(unsaid)?;
        Ok(said)
    }
}

/// What our own store does not say, nobody knows either.
fn unsaid(e: Error) -> Silence {
    Silence::Unknown(e.to_string())
}
