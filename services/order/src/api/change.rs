//! What buyers, sellers and moderators decide of an order.

use crate::{
    Orders,
    domain::{
        Fault, Order, Part,
        basket::krw,
        decide::By,
        view::{View, seen, view},
    },
    store::{
        self,
        saga::{Model as Saga, Step},
    },
};
use jangteo_core::{Call, Error, Result};
use kit::db::Tx;
use prost::Message;
use proto::jangteo::{
    order::v1::{self as wire, DisputeReason, OrderCancelled, OrderStatus},
    shipping::v1::CancelShipmentsRequest,
};
use std::sync::Mutex;

/// Sagas that a write left to whoever wrote them.
type Claimed = Mutex<Vec<Saga>>;

fn taken(claimed: Claimed) -> Vec<Saga> {
    claimed.into_inner().expect("no holder panics")
}

impl Orders {
    pub(super) async fn cancel(&self, cx: Call, req: wire::CancelOrderRequest) -> Result<wire::Order> {
        let (claimed, id) = (Claimed::default(), &req.order_id);
        let write = async |tx: Tx| {
            claimed.lock().expect("no holder panics").clear();
            let order = store::order::load(&tx, id).await?;
            let (by, mine) = side(tx.call(), &order)?;
            if req.part != 0 && !mine.contains(&order.need(req.part)?.part) {
                return Err(Error::denied("NOT_YOURS", "this part is sold by somebody else"));
            }
            let parts = if order.paid { order.cancellable(req.part, |p| mine.contains(&p.part))? } else { vec![0] };
            for part in &parts {
                if let Some(saga) = self.stop(&tx, &order, *part, by).await? {
                    claimed.lock().expect("no holder panics").push(saga);
                }
            }
            // What was asked, so that a repeated request is answered for the same.
            Ok(CancelShipmentsRequest { order_id: id.clone(), parts })
        };
        let asked = self.db.write(&cx, write).await?.parts;
        let look = || self.stopped(&cx, id, &asked);
        match self.pursue(&cx, id, taken(claimed), look).await? {
            Some(answer) => answer,
            None => Err(Fault::OrderPending { order_id: id.clone() }.into()),
        }
    }

    /// The wish to cancel: of an order that is not paid (0), or of a part that has not left. `None`: nothing to do.
    async fn stop(&self, tx: &Tx, order: &Order, part: i32, by: By) -> Result<Option<Saga>> {
        let ended = if part == 0 { order.cancelled.is_some() } else { order.need(part)?.status != OrderStatus::Paid };
        if ended {
            return Ok(None);
        }
        let verdict = OrderCancelled { reason: by.reason().to_owned(), ..OrderCancelled::default() }.encode_to_vec();
        let saga = match part {
            0 => {
                let before = store::saga::find(tx, &order.order_id, 0).await?;
                let step = Step::Void.name().to_owned();
                let saga = before.unwrap_or_else(|| self.claimed(&order.order_id, 0, Step::Void));
                Saga { step, due: self.lease(), verdict, attempts: 0, last_error: String::new(), ..saga }
            }
            n => Saga { verdict, ..self.claimed(&order.order_id, n, Step::Cancel) },
        };
        store::saga::put(tx, saga).await.map(Some)
    }

    /// What came of a wish to cancel these parts (0: the order, which was not paid), once it is known.
    async fn stopped(&self, cx: &Call, id: &str, asked: &[i32]) -> Result<Option<Result<wire::Order>>> {
        let sagas = store::saga::of(self.db.primary(), id).await?;
        let (order, _) = self.db.load::<Order>(id).await?;
        let order_id = order.order_id.clone();
        if asked.contains(&0) {
            return Ok(match order.cancelled {
                Some(_) => Some(seen(cx, order.wire())),
                // The money was taken in the same moment.
                None if order.paid => Some(Err(Fault::AlreadyPaid { order_id }.into())),
                None => None,
            });
        }
        if sagas.iter().any(|s| s.at(Step::Cancel) && asked.contains(&s.part())) {
            return Ok(None);
        }
        let gone = |p: &&i32| order.part(**p).is_some_and(|p| p.restocks());
        match asked.iter().find(|p| !gone(p)) {
            Some(part) if !asked.iter().any(|p| gone(&p)) => {
                Ok(Some(Err(Fault::ShipmentUnderway { order_id, part: *part }.into())))
            }
            _ => Ok(Some(seen(cx, order.wire()))),
        }
    }

    pub(super) async fn confirm(&self, cx: Call, req: wire::ConfirmOrderRequest) -> Result<wire::Order> {
        let (claimed, id) = (Claimed::default(), &req.order_id);
        let write = async |tx: Tx| {
            let order = store::order::load(&tx, id).await?;
            tx.call().owns(&order.buyer_id)?;
            let events = order.confirm(req.part, false)?;
            let before = order.clone();
            let order = store::order::record(&tx, order, events).await?;
            let sagas = self.settle_changed(&tx, &before, &order).await?;
            *claimed.lock().expect("no holder panics") = sagas;
            Ok(order.wire())
        };
        let reply = self.db.write(&cx, write).await?;
        self.drive_all(&cx, taken(claimed)).await?;
        Ok(reply)
    }

    pub(super) async fn dispute(&self, cx: Call, req: wire::DisputeOrderRequest) -> Result<wire::Order> {
        let id = &req.order_id;
        let reason = DisputeReason::try_from(req.reason_code).unwrap_or_default();
        let write = async |tx: Tx| {
            let order = store::order::load(&tx, id).await?;
            tx.call().owns(&order.buyer_id)?;
            let events = order.dispute(req.part, reason)?;
            // The deadline stops; the moderators' word takes its place.
            store::saga::delete(&tx, id, req.part).await?;
            let text = req.text.trim();
            if !text.is_empty() {
                store::dispute::insert(&tx, &self.sealer, id, req.part, &order.buyer_id, text).await?;
            }
            Ok(store::order::record(&tx, order, events).await?.wire())
        };
        self.db.write(&cx, write).await
    }

    pub(super) async fn resolve(&self, cx: Call, req: wire::ResolveDisputeRequest) -> Result<wire::Order> {
        let (claimed, id) = (Claimed::default(), &req.order_id);
        let write = async |tx: Tx| {
            let order = store::order::load(&tx, id).await?;
            let refund = req.refund.as_ref().map_or(Ok(0), |m| krw("refund", Some(m)))?;
            let events = order.resolve(req.part, refund)?;
            let before = order.clone();
            let order = store::order::record(&tx, order, events).await?;
            let sagas = self.settle_changed(&tx, &before, &order).await?;
            *claimed.lock().expect("no holder panics") = sagas;
            Ok(order.wire())
        };
        let reply = self.db.write(&cx, write).await?;
        self.drive_all(&cx, taken(claimed)).await?;
        Ok(reply)
    }

    /// The parts that have come to their end now are to be settled by whoever ended them.
    async fn settle_changed(&self, tx: &Tx, before: &Order, order: &Order) -> Result<Vec<Saga>> {
        let mut claimed = Vec::new();
        for (p, old) in order.parts.iter().zip(&before.parts) {
            if p.terminal() && !old.terminal() {
                let saga = self.claimed(&order.order_id, p.part, Step::Settle);
                claimed.push(store::saga::put(tx, saga).await?);
            }
        }
        Ok(claimed)
    }

    /// As far as the caller's time goes; the job does the rest.
    async fn drive_all(&self, cx: &Call, claimed: Vec<Saga>) -> Result<()> {
        for saga in claimed {
            let (order_id, part) = (saga.order_id.clone(), saga.part);
            if let Err(error) = self.drive(cx, saga).await {
                tracing::warn!(order_id, part, error = ?error, "a saga is left to the job");
            }
        }
        Ok(())
    }
}

/// For whom the caller cancels, and which parts they may.
fn side(cx: &Call, order: &Order) -> Result<(By, Vec<i32>)> {
    let user = cx.user_id()?;
    let parts = |f: &dyn Fn(&Part) -> bool| order.parts.iter().filter(|p| f(p)).map(|p| p.part).collect();
    Ok(match view(cx, &order.buyer_id, order.parts.iter().map(|p| &p.seller_id))? {
        View::Seller => (By::Seller, parts(&|p| p.seller_id == user)),
        View::Buyer | View::Staff => (By::Buyer, parts(&|_| true)),
    })
}
