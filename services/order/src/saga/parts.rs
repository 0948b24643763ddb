//! What becomes of a part once the order is paid: it is stopped before it ships, or confirmed, or decided on; and then its
//! money leaves the escrow.

use super::{Turn, checkout::stock_lines, within};
use crate::{
    Orders,
    domain::{Order, Part, won},
    store::saga::{Model as Saga, Step},
};
use jangteo_core::{Call, Error, Result};
use kit::crash_point;
use proto::jangteo::{
    catalog::v1::ReturnStockRequest,
    payment::v1::{RefundOrderRequest, SettleRequest},
    shipping::v1::CancelShipmentsRequest,
};
use ring::digest;

/// The one refund of a part by the order's own course: the same id on every attempt.
pub(crate) fn refund_id(order_id: &str, part: i32) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{order_id}:{part}").as_bytes());
    hash.as_ref()[..16].iter().fold("rfd_".to_owned(), |id, b| id + &format!("{b:02x}"))
}

impl Orders {
    /// Shipping has the last word on whether a part is under way.
    pub(super) async fn cancel_shipment(&self, cx: &Call, saga: &Saga) -> Result<Option<Saga>> {
        let (peer, part) = (self.peer(cx), saga.part());
        let cancel = CancelShipmentsRequest { order_id: saga.order_id.clone(), parts: vec![part] };
        match within(&peer, self.peers.shipping.cancel_shipments(&peer, cancel)).await {
            Ok(_) => {}
            Err(e) if e.reason() == "SHIPMENT_UNDERWAY" => {
                return self.record(cx, saga, |_, _| Ok(Turn::done(Vec::new()))).await;
            }
            Err(e) => return Err(e),
        }
        let reason = saga.verdict()?.reason;
        let next = self.record(cx, saga, |o, _| Ok(Turn::go(o.cancel_part(part, &reason)?, Step::Settle))).await?;
        crash_point!("order.cancel.after_commit");
        Ok(next)
    }

    /// The buyer said nothing in time.
    pub(super) async fn confirm_in_silence(&self, cx: &Call, saga: &Saga) -> Result<Option<Saga>> {
        let (part, now) = (saga.part(), self.now());
        let decide = |o: &Order, _: &Saga| {
            let confirm_by = o.need(part)?.confirm_by;
            Ok(match confirm_by {
                0 => Turn::done(Vec::new()),
                later if later > now => Turn::rest(Vec::new(), Step::AwaitConfirm, later),
                _ => Turn::go(o.confirm(part, true)?, Step::Settle),
            })
        };
        self.record(cx, saga, decide).await
    }

    /// To the buyer what is theirs, the goods back on sale if the seller has them, to the seller the rest.
    pub(super) async fn settle(&self, cx: &Call, saga: &Saga) -> Result<Option<Saga>> {
        let part = saga.part();
        let (order, _) = self.db.load::<Order>(&saga.order_id).await?;
        let p = order.need(part)?;
        if !p.terminal() {
            return Err(Error::internal(format!("part {part} of {} has no end to settle", order.order_id)));
        }
        if p.refund > 0 {
            self.refund(cx, &order, p).await?;
        }
        if p.restocks() {
            let peer = self.peer(cx);
            let (hold_id, lines) = (order.order_id.clone(), stock_lines(std::iter::once(p)));
            within(&peer, self.peers.catalog.return_stock(&peer, ReturnStockRequest { hold_id, lines })).await?;
        }
        let rest = p.gross() - p.refund;
        let to_seller = if rest > 0 { self.settle_rest(cx, &order, p, rest).await? } else { 0 };
        let next = self.record(cx, saga, |o, _| Ok(Turn::done(o.settle(part, to_seller)?))).await?;
        crash_point!("order.settle.after_commit");
        Ok(next)
    }

    async fn refund(&self, cx: &Call, order: &Order, p: &Part) -> Result<()> {
        crash_point!("order.refund.before");
        let reason = if p.cancel_reason.is_empty() { "DISPUTE" } else { &p.cancel_reason };
        let refund = RefundOrderRequest {
            order_id: order.order_id.clone(),
            refund_id: refund_id(&order.order_id, p.part),
            part: p.part,
            amount: Some(won(p.refund)),
            reason: reason.to_owned(),
        };
        let peer = self.peer(cx);
        within(&peer, self.peers.payment.refund_order(&peer, refund)).await?;
        crash_point!("order.refund.after");
        Ok(())
    }

    /// What the seller got: less than `rest` where payment gave some of it back to the buyer at its own `:refund`.
    async fn settle_rest(&self, cx: &Call, order: &Order, p: &Part, rest: i64) -> Result<i64> {
        crash_point!("order.settle.before");
        let settle = SettleRequest {
            order_id: order.order_id.clone(),
            part: p.part,
            seller_id: p.seller_id.clone(),
            amount: Some(won(rest)),
        };
        let peer = self.peer(cx);
        let settled = within(&peer, self.peers.payment.settle(&peer, settle)).await?;
        crash_point!("order.settle.after");
        Ok(settled.amount.map_or(rest, |m| m.units).clamp(0, rest))
    }
}
