//! Giving a payment up before it is captured. The row stays as a tombstone: whatever is authorised later is given back.

use super::attempt::let_go;
use crate::{
    Payments,
    domain::{self, Fault, again, charge::State},
    provider::{About, Outcome},
    store::{self, payment::Model},
    unkeyed,
};
use jangteo_core::{Call, Id, Result, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::payment::v1::{self as wire, PaymentStatus as Status};

impl Payments {
    pub(super) async fn void_order(&self, cx: Call, req: wire::VoidRequest) -> Result<wire::Payment> {
        let wire::VoidRequest { order_id, reason } = &req;
        let payment_id = &Id::<domain::Payment>::new().to_string();
        let write = async |tx: Tx| {
            let row = match store::payment::locked(&tx, order_id).await? {
                None => tombstone(&tx, payment_id, order_id).await?,
                Some(row) => match row.status() {
                    Status::Voided => return Ok(row.into()),
                    Status::Captured | Status::Refunded => {
                        return Err(Fault::AlreadyCaptured { order_id: order_id.clone() }.into());
                    }
                    Status::Authorised if row.capturing => {
                        return Err(Fault::CaptureUnderway { order_id: order_id.clone() }.into());
                    }
                    Status::Declined => row,
                    _ => {
                        let_go(&tx, &row).await?;
                        row
                    }
                },
            };
            voided(&tx, row, reason).await
        };
        let payment: wire::Payment = self.db.write(&cx, write).await?;
        crash_point!("payment.void.after_commit");
        // Best effort: what fails here a job does.
        for charge in store::charge::due_of(self.db.primary(), order_id).await? {
            if let Err(error) = self.give_up(&cx, &charge).await {
                tracing::warn!(order_id, error = ?error, "giving a charge up failed; a job tries again");
            }
        }
        let key = format!("payment:{order_id}:{}:back", payment.attempt);
        if let Some(row) = store::points::find(self.db.primary(), &key).await?.filter(|row| row.due > 0) {
            self.return_points(&cx, &row).await?;
        }
        Ok(payment)
    }

    /// Gives a charge up at its provider, or has a job try again.
    pub(crate) async fn give_up(&self, cx: &Call, charge: &store::charge::Model) -> Result<()> {
        let provider = self.router.named(&charge.provider)?;
        let outcome =
            self.router.ask(&**provider, "void", self.limit(cx), provider.void(&charge.reference(cx.now))).await;
        crash_point!("payment.void.after_provider");
        let about = &About::Key(charge.key.clone());
        let write = async |tx: Tx| {
            store::payment::must_lock(&tx, &charge.order_id).await?;
            let Some(mut row) = store::charge::about(&tx, &charge.provider, about).await? else { return Ok(()) };
            if row.state()? != State::Voiding {
                return Ok(());
            }
            if outcome == Outcome::Done(()) {
                row.set_state(State::Voided);
                row.due = 0;
            } else {
                tracing::warn!(key = row.key, provider = row.provider, outcome = ?outcome, "a charge is not given up yet");
                row.due = again(tx.now(), self.cfg.ask_after_ms, row.tries);
                row.tries += 1;
            }
            store::charge::change(&tx, row).await
        };
        self.db.write(&unkeyed(cx), write).await
    }
}

async fn tombstone(tx: &Tx, payment_id: &str, order_id: &str) -> Result<Model> {
    let now = micros(tx.now());
    let row = Model {
        payment_id: payment_id.to_owned(),
        order_id: order_id.to_owned(),
        buyer_id: String::new(),
        status: i32::from(Status::Voided).into(),
        attempt: 0,
        amount: 0,
        points: 0,
        captured: 0,
        refunded: 0,
        refunded_points: 0,
        funding: "NONE".to_owned(),
        provider: String::new(),
        method_label: String::new(),
        redirect_url: String::new(),
        decline_reason: String::new(),
        taking_points: false,
        capturing: false,
        due: 0,
        tries: 0,
        create_time: now,
        update_time: now,
    };
    store::payment::insert(tx, row.clone()).await?;
    Ok(row)
}

async fn voided(tx: &Tx, mut row: Model, reason: &str) -> Result<wire::Payment> {
    row.set_status(Status::Voided);
    row.redirect_url.clear();
    (row.taking_points, row.due, row.tries) = (false, 0, 0);
    row.update_time = micros(tx.now());
    let event = wire::PaymentVoided {
        payment_id: row.payment_id.clone(),
        order_id: row.order_id.clone(),
        buyer_id: row.buyer_id.clone(),
        reason: reason.to_owned(),
    };
    store::payment::change(tx, row.clone()).await?;
    tx.emit(&event).await?;
    Ok(row.into())
}
