//! An order's way to being paid, or to being given up.

use super::{Turn, refused, within};
use crate::{
    Orders,
    domain::{Order, PAYMENT_VOIDED, UNPAID, Verdict},
    store::{
        self,
        saga::{Model as Saga, Step},
    },
};
use jangteo_core::{Call, Error, Result};
use kit::crash_point;
use proto::jangteo::{
    catalog::v1::{ConfirmStockRequest, HoldStockRequest, ReleaseStockRequest, ReturnStockRequest, StockLine},
    order::v1::OrderCancelled,
    payment::v1::{AuthoriseRequest, CaptureRequest, Payment, PaymentStatus, VoidRequest},
    shipping::v1::{CancelShipmentsRequest, PrepareShipmentsRequest, ReadyShipmentsRequest},
};

/// What trying to pay came to.
enum Outcome {
    Paid(Payment),
    /// The buyer or the provider has still to say.
    Open(Payment),
    Declined(String),
    /// It can't be paid any more, and why.
    Refused(Verdict),
}

/// What a peer's refusal means for the order; an error that isn't one stays an error.
fn verdict(e: Error) -> Result<Outcome> {
    if !refused(&e) {
        return Err(e);
    }
    Ok(Outcome::Refused(Verdict { reason: e.reason().to_owned(), details: e.metadata().clone() }))
}

fn because(reason: &str) -> Verdict {
    Verdict { reason: reason.to_owned(), ..Verdict::default() }
}

impl Verdict {
    pub(crate) fn wire(&self) -> OrderCancelled {
        let details = self.details.clone().into_iter().collect();
        OrderCancelled { reason: self.reason.clone(), details, ..OrderCancelled::default() }
    }

    fn read(e: OrderCancelled) -> Verdict {
        Verdict { reason: e.reason, details: e.details.into_iter().collect() }
    }
}

pub(super) fn stock_lines<'a>(parts: impl Iterator<Item = &'a crate::domain::Part>) -> Vec<StockLine> {
    let line = |l: &proto::jangteo::order::v1::PlacedLine| StockLine {
        product_id: l.product_id.clone(),
        quantity: l.quantity,
    };
    parts.flat_map(|p| &p.lines).map(line).collect()
}

impl Orders {
    pub(super) async fn pay(&self, cx: &Call, saga: &Saga) -> Result<Option<Saga>> {
        let attempt = saga.payment()?.attempt;
        if self.now() >= saga.deadline {
            return self.give_up(cx, saga, &because(UNPAID)).await;
        }
        let (order, _) = self.db.load::<Order>(&saga.order_id).await?;
        let shipments = store::order::find(self.db.primary(), &saga.order_id).await?.shipments()?;
        match self.forward(cx, saga, &order, shipments, saga.payment()?).await? {
            Outcome::Paid(p) => {
                let paid = |o: &Order, _: &Saga| Ok(Turn::done(o.pay(attempt, &p.payment_id, &p.method_label)?));
                let next = self.record(cx, saga, paid).await?;
                crash_point!("order.paid.after_commit");
                Ok(next)
            }
            Outcome::Declined(why) => {
                let declined = |o: &Order, row: &Saga| Ok(waits(saga, row, o.declined(attempt, &why)));
                self.record(cx, saga, declined).await
            }
            Outcome::Open(p) => {
                let pending =
                    |o: &Order, row: &Saga| Ok(waits(saga, row, o.pending(attempt, &p.payment_id, &p.redirect_url)));
                self.record(cx, saga, pending).await
            }
            Outcome::Refused(verdict) => self.give_up(cx, saga, &verdict).await,
        }
    }

    /// Hold, prepare, authorise, confirm, capture, ready. Each of them may have been done before.
    async fn forward(
        &self,
        cx: &Call,
        saga: &Saga,
        order: &Order,
        shipments: PrepareShipmentsRequest,
        ask: AuthoriseRequest,
    ) -> Result<Outcome> {
        if let Err(e) = self.hold(cx, saga, order).await {
            return verdict(e);
        }
        crash_point!("order.saga.after_hold");
        let peer = self.peer(cx);
        if let Err(e) = within(&peer, self.peers.shipping.prepare_shipments(&peer, shipments)).await {
            return verdict(e);
        }
        crash_point!("order.saga.after_prepare");
        crash_point!("order.saga.before_authorise");
        let (peer, attempt) = (self.peer(cx), ask.attempt);
        let payment = match within(&peer, self.peers.payment.authorise(&peer, ask)).await {
            Ok(payment) => payment,
            // Another source may do.
            Err(e) if refused(&e) => return Ok(Outcome::Declined(e.reason().to_owned())),
            Err(e) => return Err(e),
        };
        crash_point!("order.saga.after_authorise");
        match payment.status() {
            PaymentStatus::Authorised | PaymentStatus::Captured | PaymentStatus::Refunded => {}
            PaymentStatus::Declined => return Ok(Outcome::Declined(payment.decline_reason)),
            PaymentStatus::Voided => return Ok(Outcome::Refused(because(PAYMENT_VOIDED))),
            // An earlier attempt has to end before this one begins.
            PaymentStatus::Pending if payment.attempt < attempt => return Err(Error::unavailable("the last attempt")),
            PaymentStatus::Pending | PaymentStatus::ActionRequired => return Ok(Outcome::Open(payment)),
            PaymentStatus::Unspecified => return Err(Error::internal("payment answered without a status")),
        }
        self.complete(cx, saga, order).await
    }

    /// What follows once the money is set aside.
    async fn complete(&self, cx: &Call, saga: &Saga, order: &Order) -> Result<Outcome> {
        if let Err(e) = self.confirm_stock(cx, saga, order).await {
            return verdict(e);
        }
        crash_point!("order.saga.after_confirm");
        let (peer, order_id) = (self.peer(cx), order.order_id.clone());
        let payment = match within(&peer, self.peers.payment.capture(&peer, CaptureRequest { order_id })).await {
            Ok(payment) => payment,
            Err(e) => return verdict(e),
        };
        match payment.status() {
            PaymentStatus::Captured | PaymentStatus::Refunded => {}
            PaymentStatus::Declined => return Ok(Outcome::Declined(payment.decline_reason)),
            PaymentStatus::Voided => return Ok(Outcome::Refused(because(PAYMENT_VOIDED))),
            status => return Err(Error::unavailable(format!("the capture of {}: {status:?}", order.order_id))),
        }
        crash_point!("order.saga.after_capture");
        let (peer, order_id) = (self.peer(cx), order.order_id.clone());
        // From here on there is no way back: whatever shipping says, it is asked again.
        within(&peer, self.peers.shipping.ready_shipments(&peer, ReadyShipmentsRequest { order_id })).await?;
        crash_point!("order.saga.after_ready");
        Ok(Outcome::Paid(payment))
    }

    async fn hold(&self, cx: &Call, saga: &Saga, order: &Order) -> Result<()> {
        let left = (saga.deadline - self.now()) / 1_000_000;
        let seconds = (left.max(0) + self.config.hold_margin_secs as i64).min(86_400);
        let hold = HoldStockRequest {
            hold_id: order.order_id.clone(),
            lines: stock_lines(order.parts.iter()),
            ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
        };
        let peer = self.peer(cx);
        within(&peer, self.peers.catalog.hold_stock(&peer, hold)).await.map(drop)
    }

    /// A hold that has run out is tried once more: the goods may still be there.
    async fn confirm_stock(&self, cx: &Call, saga: &Saga, order: &Order) -> Result<()> {
        let confirm =
            || ConfirmStockRequest { hold_id: order.order_id.clone(), lines: stock_lines(order.parts.iter()) };
        let peer = self.peer(cx);
        match within(&peer, self.peers.catalog.confirm_stock(&peer, confirm())).await {
            Err(e) if e.reason() == "HOLD_EXPIRED" => {
                self.hold(cx, saga, order).await?;
                let peer = self.peer(cx);
                within(&peer, self.peers.catalog.confirm_stock(&peer, confirm())).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// The time to pay is over.
    pub(super) async fn expire(&self, cx: &Call, saga: &Saga) -> Result<Option<Saga>> {
        if self.now() < saga.deadline {
            return self.record(cx, saga, |_, _| Ok(Turn::rest(Vec::new(), Step::Await, saga.deadline))).await;
        }
        self.give_up(cx, saga, &because(UNPAID)).await
    }

    pub(super) async fn void(&self, cx: &Call, saga: &Saga) -> Result<Option<Saga>> {
        self.give_up(cx, saga, &Verdict::read(saga.verdict()?)).await
    }

    /// Voids the payment, and then ends the order; or goes on where the money is taken already. Whatever is unknown
    /// of the payment is decided by this call: nothing can be authorised or captured after it.
    async fn give_up(&self, cx: &Call, saga: &Saga, verdict: &Verdict) -> Result<Option<Saga>> {
        let reason = verdict.reason.chars().take(40).collect();
        let (peer, order_id) = (self.peer(cx), saga.order_id.clone());
        let voided = match within(&peer, self.peers.payment.void(&peer, VoidRequest { order_id, reason })).await {
            Ok(payment) => !matches!(payment.status(), PaymentStatus::Captured | PaymentStatus::Refunded),
            Err(e) if e.reason() == "ALREADY_CAPTURED" => false,
            Err(e) => return self.give_up_later(cx, saga, verdict, e).await,
        };
        crash_point!("order.compensate.after_void");
        if !voided {
            // A while later, in case that what stood in the way still does.
            let (due, deadline) = (self.now() + self.backoff(0), Some(self.pay_by()));
            let forward = |o: &Order, _: &Saga| match o.cancelled {
                Some(_) => Err(Error::internal(format!("{} was captured after it was given up", o.order_id))),
                None => Ok(Turn { deadline, ..Turn::rest(Vec::new(), Step::Pay, due) }),
            };
            return self.record(cx, saga, forward).await;
        }
        let cancelled = |o: &Order, _: &Saga| match o.paid {
            true => Ok(Turn::done(Vec::new())),
            false => Ok(Turn::go(o.give_up(verdict)?, Step::Undo)),
        };
        let next = self.record(cx, saga, cancelled).await?;
        crash_point!("order.cancel.after_commit");
        Ok(next)
    }

    /// Remembers why, so that the order ends with the reason that it was refused with.
    async fn give_up_later(&self, cx: &Call, saga: &Saga, verdict: &Verdict, e: Error) -> Result<Option<Saga>> {
        if saga.at(Step::Void) {
            return Err(e);
        }
        let due = self.now() + self.backoff(0);
        let void =
            |_: &Order, _: &Saga| Ok(Turn { verdict: Some(verdict.wire()), ..Turn::rest(Vec::new(), Step::Void, due) });
        self.record(cx, saga, void).await
    }

    /// When an order that is placed now must be paid.
    pub(crate) fn pay_by(&self) -> i64 {
        self.now() + self.config.unpaid_ttl_secs as i64 * 1_000_000
    }

    /// Gives back what a cancelled order held.
    pub(super) async fn undo(&self, cx: &Call, saga: &Saga) -> Result<Option<Saga>> {
        let (order, _) = self.db.load::<Order>(&saga.order_id).await?;
        let (hold_id, lines) = (order.order_id.clone(), stock_lines(order.parts.iter()));
        let peer = self.peer(cx);
        let release = ReleaseStockRequest { hold_id: hold_id.clone(), lines: lines.clone() };
        match within(&peer, self.peers.catalog.release_stock(&peer, release)).await {
            // Its payment failed after the goods were the buyer's.
            Err(e) if e.reason() == "HOLD_CONFIRMED" => {
                let peer = self.peer(cx);
                let back = ReturnStockRequest { hold_id, lines };
                within(&peer, self.peers.catalog.return_stock(&peer, back)).await?;
            }
            released => drop(released?),
        }
        crash_point!("order.compensate.after_release");
        let peer = self.peer(cx);
        let all = CancelShipmentsRequest { order_id: order.order_id.clone(), parts: Vec::new() };
        within(&peer, self.peers.shipping.cancel_shipments(&peer, all)).await?;
        crash_point!("order.compensate.after_shipments");
        self.record(cx, saga, |o, _| Ok(Turn::done(o.close()))).await
    }
}

/// Waits for the buyer or the provider until the deadline; unless news came in the meantime, which may be the answer.
fn waits(saga: &Saga, row: &Saga, events: Vec<crate::domain::Event>) -> Turn {
    match row.signals == saga.signals {
        true => Turn::rest(events, Step::Await, saga.deadline),
        false => Turn::go(events, Step::Pay),
    }
}
