//! An order as people see it: the buyer all of it, a seller the own part, staff everything.

use super::{Order, Part, units, won};
use jangteo_core::{Call, Error, Result, from_micros};
use proto::jangteo::order::v1::{self as wire, OrderStatus};

/// From where somebody looks at an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Buyer,
    Seller,
    Staff,
}

/// As what the caller may see an order; NOT_YOURS for whom it does not concern.
pub fn view(cx: &Call, buyer_id: &str, mut seller_ids: impl Iterator<Item = impl AsRef<str>>) -> Result<View> {
    let user = cx.user_id()?;
    if user == buyer_id {
        return Ok(View::Buyer);
    }
    if seller_ids.any(|s| s.as_ref() == user) {
        return Ok(View::Seller);
    }
    if cx.has_role("admin") || cx.has_role("moderator") {
        return Ok(View::Staff);
    }
    Err(Error::denied("NOT_YOURS", "this order is between other people"))
}

impl Order {
    pub fn wire(&self) -> wire::Order {
        let refunded: i64 = self.parts.iter().map(|p| p.refunded).sum();
        let waits = !self.paid && self.cancelled.is_none();
        wire::Order {
            order_id: self.order_id.clone(),
            buyer_id: self.buyer_id.clone(),
            status: self.status().into(),
            parts: self.parts.iter().map(Part::wire).collect(),
            total: Some(won(self.total)),
            refunded: Some(won(refunded)),
            payment: Some(wire::OrderPayment {
                payment_id: self.payment.payment_id.clone(),
                status: self.payment.status.into(),
                attempt: self.payment.attempt,
                redirect_url: self.payment.redirect_url.clone(),
                decline_reason: self.payment.decline_reason.clone(),
                points: self.points,
                method_label: self.payment.method_label.clone(),
            }),
            cancel_reason: self.cancelled.as_ref().map_or_else(String::new, |v| v.reason.clone()),
            create_time: time(self.create_time),
            update_time: time(self.update_time),
            pay_by_time: if waits { time(self.pay_by) } else { None },
            closed: Some(self.closed),
            etag: self.version.to_string(),
        }
    }
}

fn time(micros: i64) -> Option<prost_types::Timestamp> {
    (micros > 0).then(|| proto::timestamp(from_micros(micros)))
}

impl Part {
    fn wire(&self) -> wire::OrderPart {
        let line = |l: &wire::PlacedLine| wire::OrderLine {
            product_id: l.product_id.clone(),
            title: l.title.clone(),
            quantity: l.quantity,
            unit_price: l.unit_price.clone(),
        };
        wire::OrderPart {
            part: self.part,
            seller_id: self.seller_id.clone(),
            status: self.status.into(),
            lines: self.lines.iter().map(line).collect(),
            goods: Some(won(self.goods)),
            shipping_fee: Some(won(self.fee)),
            shipping_option: self.option.into(),
            shipment_id: self.shipment_id.clone(),
            refunded: Some(won(self.refunded)),
            settled: Some(won(self.to_seller)),
            cancel_reason: self.cancel_reason.clone(),
            confirm_by_time: time(self.confirm_by),
            dispute: self.dispute.map(|d| wire::Dispute {
                reason_code: d.reason.into(),
                text: String::new(),
                open: Some(d.open),
            }),
        }
    }
}

/// What the caller may see of an order.
pub fn seen(cx: &Call, mut order: wire::Order) -> Result<wire::Order> {
    if view(cx, &order.buyer_id, order.parts.iter().map(|p| &p.seller_id))? != View::Seller {
        return Ok(order);
    }
    let user = cx.user_id()?;
    order.parts.retain(|p| p.seller_id == user);
    let sum = |f: fn(&wire::OrderPart) -> i64| order.parts.iter().map(f).sum::<i64>();
    let total = sum(|p| units(&p.goods) + units(&p.shipping_fee));
    let refunded = sum(|p| units(&p.refunded));
    let status = order.parts.iter().map(|p| p.status()).next().unwrap_or(OrderStatus::Unspecified);
    Ok(wire::Order {
        total: Some(won(total)),
        refunded: Some(won(refunded)),
        status: status.into(),
        payment: None,
        ..order
    })
}
