//! What payment and shipping say. A handler writes the fact, and what is to be done about it as a saga: the job does it.

use crate::{
    Orders,
    domain::{PAYMENT_VOIDED, RETURNED, Verdict},
    store::{
        self,
        saga::{Model as Saga, Step},
    },
};
use jangteo_core::{Code, Error, Result, micros};
use kit::{Received, db::Tx};
use prost::Message;
use proto::jangteo::{
    payment::v1::{PaymentActionRequired, PaymentAuthorised, PaymentDeclined, PaymentStatus, PaymentVoided},
    shipping::v1::{ShipmentDelivered, ShipmentPickedUp, ShipmentReturned},
};
use std::sync::Arc;

impl Orders {
    pub async fn payment_authorised(self: Arc<Self>, ev: Received<PaymentAuthorised>) -> Result<()> {
        let (this, id) = (&self, &ev.order_id);
        ev.apply(&self.db, async |tx| this.payment_moved(&tx, id, true).await).await
    }

    pub async fn payment_action_required(self: Arc<Self>, ev: Received<PaymentActionRequired>) -> Result<()> {
        let (this, id) = (&self, &ev.order_id);
        ev.apply(&self.db, async |tx| this.payment_moved(&tx, id, false).await).await
    }

    pub async fn payment_declined(self: Arc<Self>, ev: Received<PaymentDeclined>) -> Result<()> {
        let (this, e) = (&self, &ev.event);
        ev.apply(&self.db, async |tx| this.attempt_declined(&tx, &e.order_id, e.attempt, &e.decline_reason).await).await
    }

    pub async fn payment_voided(self: Arc<Self>, ev: Received<PaymentVoided>) -> Result<()> {
        let (this, id) = (&self, &ev.order_id);
        ev.apply(&self.db, async |tx| this.payment_given_up(&tx, id).await).await
    }

    pub async fn shipment_picked_up(self: Arc<Self>, ev: Received<ShipmentPickedUp>) -> Result<()> {
        let (this, e) = (&self, &ev.event);
        ev.apply(&self.db, async |tx| this.part_shipped(&tx, &e.order_id, e.part, &e.shipment_id).await).await
    }

    pub async fn shipment_delivered(self: Arc<Self>, ev: Received<ShipmentDelivered>) -> Result<()> {
        let (this, e) = (&self, &ev.event);
        ev.apply(&self.db, async |tx| this.part_delivered(&tx, &e.order_id, e.part).await).await
    }

    pub async fn shipment_returned(self: Arc<Self>, ev: Received<ShipmentReturned>) -> Result<()> {
        let (this, e) = (&self, &ev.event);
        ev.apply(&self.db, async |tx| this.part_returned(&tx, &e.order_id, e.part).await).await
    }
}

/// The facts, for handlers and for tests.
impl Orders {
    /// There is news of an attempt that nobody could decide, `authorised` or not: asking payment again tells what.
    /// What is authorised for an order that is given up is voided.
    pub async fn payment_moved(&self, tx: &Tx, order_id: &str, authorised: bool) -> Result<()> {
        let order = store::order::load(tx, order_id).await?;
        if let Some(verdict) = order.cancelled.as_ref().filter(|_| authorised) {
            return self.void_again(tx, order_id, verdict).await;
        }
        match store::saga::find(tx, order_id, 0).await? {
            Some(saga) if saga.at(Step::Await) => {
                let open = matches!(order.payment.status, PaymentStatus::Pending | PaymentStatus::ActionRequired);
                let due = micros(tx.now());
                let again = Saga { step: Step::Pay.name().to_owned(), due, epoch: saga.epoch + 1, ..saga };
                if open { store::saga::put(tx, again).await.map(drop) } else { Ok(()) }
            }
            Some(saga) if saga.at(Step::Pay) => store::saga::signal(tx, order_id).await,
            _ => Ok(()),
        }
    }

    async fn void_again(&self, tx: &Tx, order_id: &str, verdict: &Verdict) -> Result<()> {
        if store::saga::find(tx, order_id, 0).await?.is_some() {
            return Ok(());
        }
        let now = micros(tx.now());
        let void = Saga::new(order_id, 0, Step::Void, now, now);
        store::saga::put(tx, Saga { verdict: verdict.wire().encode_to_vec(), ..void }).await.map(drop)
    }

    pub async fn attempt_declined(&self, tx: &Tx, order_id: &str, attempt: i32, reason: &str) -> Result<()> {
        let order = store::order::load(tx, order_id).await?;
        match store::saga::find(tx, order_id, 0).await? {
            Some(saga) if saga.at(Step::Await) => {
                let declined = order.declined(attempt, reason);
                store::order::record(tx, order, declined).await.map(drop)
            }
            Some(saga) if saga.at(Step::Pay) => store::saga::signal(tx, order_id).await,
            _ => Ok(()),
        }
    }

    /// An order whose payment is given up for good can't be paid any more.
    pub async fn payment_given_up(&self, tx: &Tx, order_id: &str) -> Result<()> {
        match store::saga::find(tx, order_id, 0).await? {
            Some(saga) if saga.at(Step::Await) => {
                let verdict = Verdict { reason: PAYMENT_VOIDED.to_owned(), ..Verdict::default() };
                let verdict = verdict.wire().encode_to_vec();
                let (step, due) = (Step::Void.name().to_owned(), micros(tx.now()));
                store::saga::put(tx, Saga { step, due, verdict, ..saga }).await.map(drop)
            }
            Some(saga) if saga.at(Step::Pay) => store::saga::signal(tx, order_id).await,
            _ => Ok(()),
        }
    }

    pub async fn part_shipped(&self, tx: &Tx, order_id: &str, part: i32, shipment_id: &str) -> Result<()> {
        let order = store::order::load(tx, order_id).await?;
        paid(&order)?;
        let shipped = order.ship(part, shipment_id)?;
        store::order::record(tx, order, shipped).await.map(drop)
    }

    pub async fn part_delivered(&self, tx: &Tx, order_id: &str, part: i32) -> Result<()> {
        let order = store::order::load(tx, order_id).await?;
        paid(&order)?;
        let confirm_by = micros(tx.now()) + self.config.confirm_after_secs as i64 * 1_000_000;
        let delivered = order.deliver(part, confirm_by)?;
        if !delivered.is_empty() {
            let epoch = micros(tx.now());
            store::saga::put(tx, Saga::new(order_id, part, Step::AwaitConfirm, confirm_by, epoch)).await?;
        }
        store::order::record(tx, order, delivered).await.map(drop)
    }

    pub async fn part_returned(&self, tx: &Tx, order_id: &str, part: i32) -> Result<()> {
        let order = store::order::load(tx, order_id).await?;
        paid(&order)?;
        let returned = order.cancel_part(part, RETURNED)?;
        if !returned.is_empty() {
            let now = micros(tx.now());
            store::saga::put(tx, Saga::new(order_id, part, Step::Settle, now, now)).await?;
        }
        store::order::record(tx, order, returned).await.map(drop)
    }
}

/// Shipping may be ahead of what is recorded here: the sellers may ship as soon as the money is taken, and a process
/// that died in between has still to say that it is. The event comes again.
fn paid(order: &crate::domain::Order) -> Result<()> {
    if order.paid {
        return Ok(());
    }
    let text = format!("order {} is not recorded as paid yet", order.order_id);
    Err(Error::new(Code::Unavailable, "NOT_PAID_YET", text).with("order_id", &order.order_id))
}
