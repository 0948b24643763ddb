//! Taking what was set aside into the order's escrow.

use super::attempt::{decline, reservation};
use crate::{
    Payments,
    domain::{
        self, Fault, again,
        charge::State,
        ledger::{Account, Kind, Transfer},
        payment,
    },
    provider::{Decline, Outcome},
    store::{self, payment::Model},
    unkeyed,
};
use jangteo_core::{Call, Result, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::payment::v1::{self as wire, PaymentStatus as Status};

impl Payments {
    pub(super) async fn capture_order(&self, cx: Call, req: wire::CaptureRequest) -> Result<wire::Payment> {
        let order_id = &req.order_id;
        let write = async |tx: Tx| {
            let mut row = store::payment::must_lock(&tx, order_id).await?;
            match row.status() {
                Status::Captured | Status::Refunded | Status::Declined => Ok(()),
                Status::Authorised if row.funding != "PROVIDER" => book(&tx, row, None).await,
                Status::Authorised if row.capturing => Ok(()),
                Status::Authorised => {
                    row.capturing = true;
                    row.due = again(tx.now(), self.cfg.provider_timeout_ms + self.cfg.ask_after_ms, 0);
                    row.tries = 0;
                    store::payment::change(&tx, row).await
                }
                other => Err(Fault::NotAuthorised { order_id: order_id.clone(), status: payment::name(other) }.into()),
            }
        };
        self.db.write(&cx, write).await?;
        crash_point!("payment.capture.after_intent");
        self.finish_capture(&cx, order_id).await?;
        let row = store::payment::must_find(self.db.primary(), order_id).await?;
        match row.status() {
            Status::Authorised => Err(Fault::CaptureUnderway { order_id: order_id.clone() }.into()),
            _ => Ok(row.into()),
        }
    }

    /// Goes on with a capture that was begun, as far as the provider says.
    pub(crate) async fn finish_capture(&self, cx: &Call, order_id: &str) -> Result<()> {
        let row = store::payment::must_find(self.db.primary(), order_id).await?;
        if row.status() != Status::Authorised || !row.capturing {
            return Ok(());
        }
        let Some(charge) = store::charge::live(self.db.primary(), order_id).await? else { return Ok(()) };
        let provider = self.router.named(&charge.provider)?;
        let outcome =
            self.router.ask(&**provider, "capture", self.limit(cx), provider.capture(&charge.reference(cx.now))).await;
        crash_point!("payment.capture.after_provider");
        let write = async |tx: Tx| {
            let mut row = store::payment::must_lock(&tx, order_id).await?;
            let charge = store::charge::live(&tx, order_id).await?;
            let (Status::Authorised, true, Some(charge)) = (row.status(), row.capturing, charge) else { return Ok(()) };
            match &outcome {
                Outcome::Done(()) => book(&tx, row, Some(charge)).await,
                Outcome::Declined(why) => lost(&tx, row, charge, *why).await,
                other => {
                    tracing::warn!(order_id, outcome = ?other, "a capture is not known yet");
                    row.due = again(tx.now(), self.cfg.ask_after_ms, row.tries);
                    row.tries += 1;
                    store::payment::change(&tx, row).await
                }
            }
        };
        self.db.write(&unkeyed(cx), write).await?;
        crash_point!("payment.capture.after_commit");
        Ok(())
    }
}

/// The money is ours: into the escrow with it.
async fn book(tx: &Tx, mut row: Model, charge: Option<store::charge::Model>) -> Result<()> {
    let escrow = Account::of(Kind::Escrow, &row.order_id);
    let mut transfers = Vec::new();
    match (row.funding.as_str(), charge) {
        ("PROVIDER", Some(mut charge)) => {
            let from = Account::of(Kind::Clearing, &charge.provider);
            transfers.push(Transfer::new("CAPTURE", &row.key(), (from, escrow.clone()), row.money(), &row.order_id));
            charge.set_state(State::Captured);
            charge.capture_time = micros(tx.now());
            store::charge::change(tx, charge).await?;
        }
        ("WALLET", _) => transfers.push(reservation(&row).post("PAYMENT")),
        _ => {}
    }
    if row.points > 0 {
        let from = Account::of(Kind::PointsFunding, "");
        transfers.push(Transfer::new("POINTS", &row.key(), (from, escrow), row.points, &row.order_id));
    }
    store::ledger::must_post(tx, &transfers).await?;
    row.set_status(Status::Captured);
    (row.captured, row.capturing, row.due, row.tries) = (row.amount, false, 0, 0);
    let event = wire::PaymentCaptured {
        payment_id: row.payment_id.clone(),
        order_id: row.order_id.clone(),
        buyer_id: row.buyer_id.clone(),
        amount: Some(domain::won(row.amount)),
    };
    store::payment::change(tx, row).await?;
    tx.emit(&event).await.map(drop)
}

/// The provider does not hold it any more. It is given up there, for certainty.
async fn lost(tx: &Tx, row: Model, mut charge: store::charge::Model, why: Decline) -> Result<()> {
    charge.set_state(State::Voiding);
    (charge.due, charge.tries) = (micros(tx.now()), 0);
    store::charge::change(tx, charge).await?;
    decline(tx, row, why).await
}
