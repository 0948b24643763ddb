//! What may happen to an order, and what it makes of it. Something that is so already gives no event: a fact may be
//! told twice, and two drivers of one order may both find it out.

use super::{BY_BUYER, BY_SELLER, Event, Fault, Order, Part, RETURNED, Verdict, won};
use jangteo_core::{Error, Result, from_micros};
use proto::jangteo::{
    order::v1::{
        DisputeReason, OrderCancelled, OrderClosed, OrderDisputeResolved, OrderPaid, OrderPartCancelled,
        OrderPartConfirmed, OrderPartDelivered, OrderPartDisputed, OrderPartSettled, OrderPartShipped,
        OrderPaymentDeclined, OrderPaymentPending, OrderStatus,
    },
    payment::v1::PaymentStatus,
};

pub type Events = Vec<Event>;

/// Whose wish a cancellation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Buyer,
    Seller,
}

impl By {
    pub fn reason(self) -> &'static str {
        match self {
            By::Buyer => BY_BUYER,
            By::Seller => BY_SELLER,
        }
    }
}

fn status_name(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Unspecified => "unknown",
        OrderStatus::Received => "not paid yet",
        OrderStatus::Paid => "not shipped yet",
        OrderStatus::Shipping => "on its way",
        OrderStatus::Delivered => "delivered",
        OrderStatus::Confirmed => "confirmed",
        OrderStatus::Cancelled => "cancelled",
        OrderStatus::Refunded => "refunded",
        OrderStatus::Disputed => "disputed",
    }
}

impl Order {
    fn ids(&self) -> (String, String) {
        (self.order_id.clone(), self.buyer_id.clone())
    }

    /// The part, or that there is none.
    pub fn need(&self, part: i32) -> Result<&Part> {
        self.part(part).ok_or_else(|| Error::not_found("part", part).with("order_id", &self.order_id))
    }

    fn wrong(&self, p: &Part, verb: &'static str) -> Error {
        let status = status_name(p.status);
        Fault::WrongStatus { order_id: self.order_id.clone(), part: p.part, status, verb }.into()
    }

    /// Whether payments still count: neither paid nor given up.
    pub fn payable(&self) -> Result<()> {
        let order_id = self.order_id.clone();
        match &self.cancelled {
            _ if self.paid => Err(Fault::AlreadyPaid { order_id }.into()),
            Some(v) => Err(Fault::OrderCancelled { order_id, reason: v.reason.clone() }.into()),
            None => Ok(()),
        }
    }

    pub fn pending(&self, attempt: i32, payment_id: &str, redirect_url: &str) -> Events {
        let known = self.payment.attempt > attempt
            || (self.payment.attempt == attempt
                && (self.payment.status != PaymentStatus::Pending || redirect_url.is_empty()));
        if self.payable().is_err() || known {
            return Vec::new();
        }
        let ((order_id, buyer_id), payment_id) = (self.ids(), payment_id.to_owned());
        let redirect_url = redirect_url.to_owned();
        vec![Event::PaymentPending(OrderPaymentPending { order_id, buyer_id, attempt, payment_id, redirect_url })]
    }

    pub fn declined(&self, attempt: i32, decline_reason: &str) -> Events {
        let known = self.payment.attempt > attempt
            || (self.payment.attempt == attempt && self.payment.status == PaymentStatus::Declined);
        if self.payable().is_err() || known {
            return Vec::new();
        }
        let ((order_id, buyer_id), decline_reason) = (self.ids(), decline_reason.to_owned());
        vec![Event::PaymentDeclined(OrderPaymentDeclined { order_id, buyer_id, attempt, decline_reason })]
    }

    pub fn pay(&self, attempt: i32, payment_id: &str, method_label: &str) -> Result<Events> {
        if self.paid {
            return Ok(Vec::new());
        }
        self.payable()?;
        let (order_id, buyer_id) = self.ids();
        let (payment_id, method_label) = (payment_id.to_owned(), method_label.to_owned());
        Ok(vec![Event::Paid(OrderPaid { order_id, buyer_id, payment_id, method_label, attempt })])
    }

    /// Ends an order that is not paid. The payment must be void by then.
    pub fn give_up(&self, verdict: &Verdict) -> Result<Events> {
        if self.cancelled.is_some() {
            return Ok(Vec::new());
        }
        self.payable()?;
        let (order_id, buyer_id) = self.ids();
        Ok(vec![Event::Cancelled(OrderCancelled {
            order_id,
            buyer_id,
            reason: verdict.reason.clone(),
            details: verdict.details.clone().into_iter().collect(),
            seller_ids: self.parts.iter().map(|p| p.seller_id.clone()).collect(),
        })])
    }

    /// Which parts a cancellation means: the one that is named, or all of `mine` that are not under way.
    /// A part that is cancelled already needs nothing more.
    pub fn cancellable(&self, part: i32, mine: impl Fn(&Part) -> bool) -> Result<Vec<i32>> {
        if part != 0 {
            let p = self.need(part)?;
            return match p.status {
                OrderStatus::Paid | OrderStatus::Cancelled => Ok(vec![part]),
                OrderStatus::Shipping => Err(Fault::ShipmentUnderway { order_id: self.order_id.clone(), part }.into()),
                _ => Err(self.wrong(p, "cancelled")),
            };
        }
        let mut all = self.parts.iter().filter(|p| mine(p)).peekable();
        let first = all.peek().map(|p| p.part).unwrap_or(1);
        let parts: Vec<_> =
            all.filter(|p| matches!(p.status, OrderStatus::Paid | OrderStatus::Cancelled)).map(|p| p.part).collect();
        if parts.is_empty() {
            return Err(self.wrong(self.need(first)?, "cancelled"));
        }
        Ok(parts)
    }

    /// Its shipment is cancelled, or came back.
    pub fn cancel_part(&self, part: i32, reason: &str) -> Result<Events> {
        let p = self.need(part)?;
        let from = match reason {
            RETURNED => [OrderStatus::Shipping, OrderStatus::Delivered, OrderStatus::Paid],
            _ => [OrderStatus::Paid; 3],
        };
        if !from.contains(&p.status) {
            return Ok(Vec::new());
        }
        let (order_id, buyer_id) = self.ids();
        Ok(vec![Event::PartCancelled(OrderPartCancelled {
            order_id,
            buyer_id,
            part,
            seller_id: p.seller_id.clone(),
            product_ids: p.product_ids(),
            refund: Some(won(p.gross())),
            reason: reason.to_owned(),
        })])
    }

    pub fn ship(&self, part: i32, shipment_id: &str) -> Result<Events> {
        let p = self.need(part)?;
        if p.status != OrderStatus::Paid {
            return Ok(Vec::new());
        }
        let (order_id, buyer_id) = self.ids();
        let (seller_id, shipment_id) = (p.seller_id.clone(), shipment_id.to_owned());
        Ok(vec![Event::PartShipped(OrderPartShipped { order_id, buyer_id, part, seller_id, shipment_id })])
    }

    pub fn deliver(&self, part: i32, confirm_by: i64) -> Result<Events> {
        let p = self.need(part)?;
        if !matches!(p.status, OrderStatus::Paid | OrderStatus::Shipping) {
            return Ok(Vec::new());
        }
        let (order_id, buyer_id) = self.ids();
        let confirm_by_time = Some(proto::timestamp(from_micros(confirm_by)));
        let seller_id = p.seller_id.clone();
        Ok(vec![Event::PartDelivered(OrderPartDelivered { order_id, buyer_id, part, seller_id, confirm_by_time })])
    }

    /// The named part, or with 0 everything that was delivered. Confirming twice changes nothing.
    pub fn confirm(&self, part: i32, by_deadline: bool) -> Result<Events> {
        let is = |p: &Part, s| p.status == s;
        let parts: Vec<&Part> = match part {
            0 => self.parts.iter().filter(|p| is(p, OrderStatus::Delivered)).collect(),
            n => vec![self.need(n)?],
        };
        if parts.is_empty() && !self.parts.iter().any(|p| is(p, OrderStatus::Confirmed)) {
            return Err(self.wrong(self.need(1)?, "confirmed"));
        }
        if let Some(p) = parts.iter().find(|p| !is(p, OrderStatus::Delivered) && !is(p, OrderStatus::Confirmed)) {
            return Err(self.wrong(p, "confirmed"));
        }
        let event = |p: &Part| {
            let (order_id, buyer_id) = self.ids();
            Event::PartConfirmed(OrderPartConfirmed {
                order_id,
                buyer_id,
                part: p.part,
                seller_id: p.seller_id.clone(),
                product_ids: p.product_ids(),
                amount: Some(won(p.gross())),
                by_deadline,
            })
        };
        Ok(parts.into_iter().filter(|p| is(p, OrderStatus::Delivered)).map(event).collect())
    }

    pub fn dispute(&self, part: i32, reason: DisputeReason) -> Result<Events> {
        let p = self.need(part)?;
        if !matches!(p.status, OrderStatus::Shipping | OrderStatus::Delivered) {
            return Err(self.wrong(p, "disputed"));
        }
        let (order_id, buyer_id) = self.ids();
        let (seller_id, reason_code) = (p.seller_id.clone(), reason.into());
        Ok(vec![Event::PartDisputed(OrderPartDisputed { order_id, buyer_id, part, seller_id, reason_code })])
    }

    pub fn resolve(&self, part: i32, refund: i64) -> Result<Events> {
        let p = self.need(part)?;
        if p.status != OrderStatus::Disputed {
            return Err(self.wrong(p, "decided"));
        }
        if !(0..=p.gross()).contains(&refund) {
            let (order_id, most) = (self.order_id.clone(), p.gross());
            return Err(Fault::RefundTooLarge { order_id, part, most }.into());
        }
        let (order_id, buyer_id) = self.ids();
        Ok(vec![Event::DisputeResolved(OrderDisputeResolved {
            order_id,
            buyer_id,
            part,
            seller_id: p.seller_id.clone(),
            refund: Some(won(refund)),
            to_seller: Some(won(p.gross() - refund)),
        })])
    }

    /// A part's money has left the escrow: `to_seller` of it for the seller, the rest for the buyer.
    pub fn settle(&self, part: i32, to_seller: i64) -> Result<Events> {
        let p = self.need(part)?;
        if p.settled || !p.terminal() || !self.paid {
            return Ok(Vec::new());
        }
        let (order_id, buyer_id) = self.ids();
        let mut events = vec![Event::PartSettled(OrderPartSettled {
            order_id,
            buyer_id,
            part,
            seller_id: p.seller_id.clone(),
            refunded: Some(won(p.gross() - to_seller)),
            settled: Some(won(to_seller)),
        })];
        if self.parts.iter().all(|p| p.settled || p.part == part) {
            events.extend(self.close());
        }
        Ok(events)
    }

    /// Nothing is left to do.
    pub fn close(&self) -> Events {
        if self.closed {
            return Vec::new();
        }
        let (order_id, buyer_id) = self.ids();
        vec![Event::Closed(OrderClosed { order_id, buyer_id })]
    }
}
