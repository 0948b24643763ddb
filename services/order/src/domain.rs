//! What an order is: the fold of its events. Decisions (`decide`) give events, events make the next state, and the
//! rows in the store are that state. Amounts are whole won.

pub mod basket;
pub mod decide;
pub mod timeline;
pub mod view;

use jangteo_core::{Currency, Entity, Id, Money, faults};
use proto::{
    google::r#type::Money as WireMoney,
    jangteo::{
        order::v1::{
            DisputeReason, OrderCancelled, OrderClosed, OrderDisputeResolved, OrderPaid, OrderPartCancelled,
            OrderPartConfirmed, OrderPartDelivered, OrderPartDisputed, OrderPartSettled, OrderPartShipped,
            OrderPaymentDeclined, OrderPaymentPending, OrderPlaced, OrderStatus, PlacedLine, PlacedPart,
        },
        payment::v1::PaymentStatus,
        shipping::v1::ShippingOption,
    },
};
use std::collections::BTreeMap;

/// Why a seller's or a buyer's part was given up; also in `OrderCancelled.reason`.
pub const BY_BUYER: &str = "BY_BUYER";
pub const BY_SELLER: &str = "BY_SELLER";
/// The parcel went back to the seller.
pub const RETURNED: &str = "RETURNED";
/// Nobody paid in time.
pub const UNPAID: &str = "UNPAID";
/// The payment was given up, so that it can't be paid any more.
pub const PAYMENT_VOIDED: &str = "PAYMENT_VOIDED";

kit::db::events! {
    /// What happens to an order.
    pub enum Event {
        Placed(OrderPlaced),
        PaymentPending(OrderPaymentPending),
        PaymentDeclined(OrderPaymentDeclined),
        Paid(OrderPaid),
        Cancelled(OrderCancelled),
        PartShipped(OrderPartShipped),
        PartDelivered(OrderPartDelivered),
        PartConfirmed(OrderPartConfirmed),
        PartCancelled(OrderPartCancelled),
        PartDisputed(OrderPartDisputed),
        DisputeResolved(OrderDisputeResolved),
        PartSettled(OrderPartSettled),
        Closed(OrderClosed),
    }
}

faults! {
    /// Why the order service refuses. Each says what to do next.
    pub enum Fault in "order.jangteo" {
        OutOfStock { product_id: String, left: i64 } = FailedPrecondition
            "only {left} of {product_id} are left; order fewer or leave it out",
        NotOnSale { product_id: String, status: String } = FailedPrecondition
            "{product_id} is {status}; leave it out",
        PriceChanged { product_id: String, price: i64 } = FailedPrecondition
            "{product_id} costs {price} won by now; order again if that is all right",
        OwnProduct { product_id: String } = FailedPrecondition
            "{product_id} is your own, and nobody buys from themselves; leave it out",
        TooManyPoints { total: i64 } = FailedPrecondition "the order costs {total} won in all; use no more points",
        TotalTooLarge { limit: i64 } = FailedPrecondition "an order can't cost more than {limit} won; split it",
        PaymentDeclined { order_id: String, decline_reason: String } = FailedPrecondition
            "the payment was declined ({decline_reason}); pay order {order_id} with another source",
        /// The answer takes longer than the caller waits. Nothing failed.
        OrderPending { order_id: String } = DeadlineExceeded
            "order {order_id} is not decided yet; repeat the same request, or read the order",
        AlreadyPaid { order_id: String } = FailedPrecondition "order {order_id} is paid already",
        OrderCancelled { order_id: String, reason: String } = FailedPrecondition
            "order {order_id} was cancelled ({reason}); place a new one",
        PaymentUnderway { order_id: String } = Aborted
            "a payment of order {order_id} is under way; wait for its outcome",
        ShipmentUnderway { order_id: String, part: i32 } = FailedPrecondition
            "part {part} of order {order_id} is on its way already; dispute it if something is wrong",
        WrongStatus { order_id: String, part: i32, status: &'static str, verb: &'static str } = FailedPrecondition
            "part {part} of order {order_id} is {status} and can't be {verb}",
        RefundTooLarge { order_id: String, part: i32, most: i64 } = FailedPrecondition
            "part {part} of order {order_id} has {most} won in escrow; refund no more",
    }
}

pub enum OrderNoun {}

impl Entity for OrderNoun {
    const NAME: &'static str = "order";
    const PREFIX: &'static str = "ord";
}

pub type OrderId = Id<OrderNoun>;

pub fn won(amount: i64) -> WireMoney {
    Money::new(amount, Currency::KRW).into()
}

/// An amount of an event of our own.
pub(crate) fn units(m: &Option<WireMoney>) -> i64 {
    m.as_ref().map_or(0, |m| m.units)
}

/// An order as its events made it. Times are microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Order {
    pub order_id: String,
    pub buyer_id: String,
    /// Part `n` is at `n - 1`.
    pub parts: Vec<Part>,
    pub total: i64,
    /// Won of the total that are paid with points.
    pub points: i64,
    pub payment: Payment,
    pub paid: bool,
    pub cancelled: Option<Verdict>,
    pub closed: bool,
    pub pay_by: i64,
    pub create_time: i64,
    pub update_time: i64,
    /// Of the last event.
    pub version: i64,
}

/// How the last attempt to pay stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Payment {
    pub payment_id: String,
    /// 0 while no attempt has an outcome.
    pub attempt: i32,
    pub status: PaymentStatus,
    pub redirect_url: String,
    pub decline_reason: String,
    pub method_label: String,
}

/// Why an order ended before it was paid.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    pub reason: String,
    pub details: BTreeMap<String, String>,
}

/// What one seller sells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    pub part: i32,
    pub seller_id: String,
    pub lines: Vec<PlacedLine>,
    pub goods: i64,
    pub fee: i64,
    pub option: ShippingOption,
    pub status: OrderStatus,
    pub shipment_id: String,
    /// What is to go back to the buyer once the part is settled, and the rest to the seller.
    pub refund: i64,
    pub cancel_reason: String,
    pub confirm_by: i64,
    pub dispute: Option<Complaint>,
    /// The escrow holds nothing of it any more; then these say where it went.
    pub settled: bool,
    pub refunded: i64,
    pub to_seller: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Complaint {
    pub reason: DisputeReason,
    pub open: bool,
}

impl Part {
    fn placed(p: PlacedPart) -> Part {
        Part {
            part: p.part,
            goods: units(&p.goods),
            fee: units(&p.shipping_fee),
            option: p.shipping_option(),
            seller_id: p.seller_id,
            lines: p.lines,
            status: OrderStatus::Received,
            ..Part::default()
        }
    }

    /// All that the buyer pays for it.
    pub fn gross(&self) -> i64 {
        self.goods + self.fee
    }

    /// What of it the escrow holds, once the order is paid.
    pub fn held(&self) -> i64 {
        if self.settled { 0 } else { self.gross() }
    }

    /// The goods are with the seller, who may sell them again.
    pub fn restocks(&self) -> bool {
        !self.cancel_reason.is_empty()
    }

    pub fn product_ids(&self) -> Vec<String> {
        self.lines.iter().map(|l| l.product_id.clone()).collect()
    }

    /// Nothing can happen to the goods any more; the money may still be on its way.
    pub fn terminal(&self) -> bool {
        matches!(self.status, OrderStatus::Confirmed | OrderStatus::Cancelled | OrderStatus::Refunded)
    }
}

impl Order {
    pub fn part(&self, part: i32) -> Option<&Part> {
        usize::try_from(part).ok()?.checked_sub(1).and_then(|n| self.parts.get(n))
    }

    fn part_mut(&mut self, part: i32) -> Option<&mut Part> {
        usize::try_from(part).ok()?.checked_sub(1).and_then(|n| self.parts.get_mut(n))
    }

    /// As its least advanced part that is still of interest; a dispute shows above all.
    pub fn status(&self) -> OrderStatus {
        use OrderStatus::{Cancelled, Disputed, Refunded};
        if self.cancelled.is_some() {
            return Cancelled;
        }
        let all = || self.parts.iter().map(|p| p.status);
        if all().any(|s| s == Disputed) {
            return Disputed;
        }
        let live = all().filter(|s| !matches!(s, Cancelled | Refunded)).min_by_key(|s| *s as i32);
        live.unwrap_or_else(|| if all().all(|s| s == Cancelled) { Cancelled } else { Refunded })
    }

    /// Whether it is known what became of the attempt to pay with this number: the answer to who asked for it.
    pub fn outcome(&self, attempt: i32) -> bool {
        self.paid || self.cancelled.is_some() || self.payment.attempt >= attempt
    }

    pub fn apply(&mut self, event: Event, at: i64) {
        match event {
            Event::Placed(e) => self.placed(e, at),
            Event::PaymentPending(e) => {
                let redirect = !e.redirect_url.is_empty();
                self.payment = Payment {
                    payment_id: e.payment_id,
                    attempt: e.attempt,
                    status: if redirect { PaymentStatus::ActionRequired } else { PaymentStatus::Pending },
                    redirect_url: e.redirect_url,
                    ..Payment::default()
                };
            }
            Event::PaymentDeclined(e) => {
                let payment_id = std::mem::take(&mut self.payment.payment_id);
                let (attempt, decline_reason) = (e.attempt, e.decline_reason);
                let status = PaymentStatus::Declined;
                self.payment = Payment { payment_id, attempt, status, decline_reason, ..Payment::default() };
            }
            Event::Paid(e) => {
                self.paid = true;
                let (payment_id, attempt, method_label) = (e.payment_id, e.attempt, e.method_label);
                let status = PaymentStatus::Captured;
                self.payment = Payment { payment_id, attempt, status, method_label, ..Payment::default() };
                self.parts.iter_mut().for_each(|p| p.status = OrderStatus::Paid);
            }
            Event::Cancelled(e) => {
                self.payment.status = PaymentStatus::Voided;
                self.payment.redirect_url.clear();
                self.cancelled = Some(Verdict { reason: e.reason, details: e.details.into_iter().collect() });
                self.parts.iter_mut().for_each(|p| p.status = OrderStatus::Cancelled);
            }
            Event::Closed(_) => self.closed = true,
            of_part => self.apply_part(of_part),
        }
        self.version += 1;
        self.update_time = at;
    }

    fn placed(&mut self, e: OrderPlaced, at: i64) {
        *self = Order {
            order_id: e.order_id,
            buyer_id: e.buyer_id,
            parts: e.parts.into_iter().map(Part::placed).collect(),
            total: units(&e.total),
            points: e.points,
            pay_by: e.pay_by_time.as_ref().map_or(0, |t| jangteo_core::micros(proto::time(t))),
            create_time: at,
            ..Order::default()
        };
    }

    fn apply_part(&mut self, event: Event) {
        let part = match &event {
            Event::PartShipped(e) => e.part,
            Event::PartDelivered(e) => e.part,
            Event::PartConfirmed(e) => e.part,
            Event::PartCancelled(e) => e.part,
            Event::PartDisputed(e) => e.part,
            Event::DisputeResolved(e) => e.part,
            Event::PartSettled(e) => e.part,
            _ => return,
        };
        let Some(p) = self.part_mut(part) else { return };
        match event {
            Event::PartShipped(e) => {
                p.status = OrderStatus::Shipping;
                p.shipment_id = e.shipment_id;
            }
            Event::PartDelivered(e) => {
                p.status = OrderStatus::Delivered;
                p.confirm_by = e.confirm_by_time.as_ref().map_or(0, |t| jangteo_core::micros(proto::time(t)));
            }
            Event::PartConfirmed(_) => {
                p.status = OrderStatus::Confirmed;
                p.confirm_by = 0;
            }
            Event::PartCancelled(e) => {
                let back = e.reason == RETURNED;
                p.status = if back { OrderStatus::Refunded } else { OrderStatus::Cancelled };
                p.refund = units(&e.refund);
                p.cancel_reason = e.reason;
                p.confirm_by = 0;
            }
            Event::PartDisputed(e) => {
                p.status = OrderStatus::Disputed;
                p.confirm_by = 0;
                p.dispute = Some(Complaint { reason: e.reason_code(), open: true });
            }
            Event::DisputeResolved(e) => {
                p.refund = units(&e.refund);
                let whole = p.refund > 0 && p.refund == p.gross();
                p.status = if whole { OrderStatus::Refunded } else { OrderStatus::Confirmed };
                if let Some(complaint) = &mut p.dispute {
                    complaint.open = false;
                }
            }
            Event::PartSettled(e) => {
                p.settled = true;
                p.refunded = units(&e.refunded);
                p.to_seller = units(&e.settled);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
