//! A time line: an order's events for people.

use super::{Event, Order, units};
use jangteo_core::{Result, upper_snake};
use kit::db::{Envelope, EventSet};
use proto::{google::r#type::Money, jangteo::order::v1::TimelineEntry};

/// What an entry says, in Korean and in English.
struct Words {
    kind: &'static str,
    ko: &'static str,
    en: &'static str,
}

fn words(event: &Event) -> Words {
    let (kind, ko, en) = match event {
        Event::Placed(_) => ("PLACED", "주문 접수", "Order placed"),
        Event::PaymentPending(_) => ("PAYMENT_PENDING", "결제 확인 대기", "Waiting for the payment"),
        Event::PaymentDeclined(_) => ("PAYMENT_DECLINED", "결제 거절", "Payment declined"),
        Event::Paid(_) => ("PAID", "결제 완료", "Paid"),
        Event::Cancelled(_) => ("CANCELLED", "주문 취소", "Order cancelled"),
        Event::PartShipped(_) => ("PART_SHIPPED", "배송 시작", "Shipped"),
        Event::PartDelivered(_) => ("PART_DELIVERED", "배송 완료", "Delivered"),
        Event::PartConfirmed(_) => ("PART_CONFIRMED", "구매 확정", "Purchase confirmed"),
        Event::PartCancelled(_) => ("PART_CANCELLED", "부분 취소", "Part cancelled"),
        Event::PartDisputed(_) => ("PART_DISPUTED", "분쟁 접수", "Disputed"),
        Event::DisputeResolved(_) => ("DISPUTE_RESOLVED", "분쟁 종결", "Dispute decided"),
        Event::PartSettled(_) => ("PART_SETTLED", "정산 완료", "Settled"),
        Event::Closed(_) => ("CLOSED", "거래 종료", "Closed"),
    };
    Words { kind, ko, en }
}

/// To which part (0: to the whole order), why, and how much.
fn facts(event: &Event) -> (i32, String, Option<Money>) {
    let none = String::new;
    match event {
        Event::Placed(e) => (0, none(), e.total.clone()),
        Event::PaymentPending(_) | Event::Paid(_) | Event::Closed(_) => (0, none(), None),
        Event::PaymentDeclined(e) => (0, e.decline_reason.clone(), None),
        Event::Cancelled(e) => (0, e.reason.clone(), None),
        Event::PartShipped(e) => (e.part, none(), None),
        Event::PartDelivered(e) => (e.part, none(), None),
        Event::PartConfirmed(e) => {
            (e.part, if e.by_deadline { "DEADLINE".to_owned() } else { none() }, e.amount.clone())
        }
        Event::PartCancelled(e) => (e.part, e.reason.clone(), e.refund.clone()),
        Event::PartDisputed(e) => (e.part, upper_snake(&format!("{:?}", e.reason_code())), None),
        Event::DisputeResolved(e) => (e.part, none(), e.refund.clone()),
        Event::PartSettled(e) => (e.part, none(), e.settled.clone()),
    }
}

/// An event as an entry; `None` for a type that this release doesn't know. `korean` chooses the words.
pub fn entry(order: &Order, envelope: &Envelope, korean: bool) -> Result<Option<TimelineEntry>> {
    let Some(event) = Event::decode(envelope)? else { return Ok(None) };
    let (part, reason, amount) = facts(&event);
    let words = words(&event);
    Ok(Some(TimelineEntry {
        version: i32::try_from(envelope.version).unwrap_or(i32::MAX),
        time: envelope.time,
        kind: words.kind.to_owned(),
        part,
        actor: actor(order, &envelope.actor).to_owned(),
        reason,
        amount,
        text: if korean { words.ko } else { words.en }.to_owned(),
    }))
}

/// Never who, only on which side.
fn actor(order: &Order, actor: &str) -> &'static str {
    match actor.strip_prefix("user:") {
        None => "PLATFORM",
        Some(user) if user == order.buyer_id => "BUYER",
        Some(user) if order.parts.iter().any(|p| p.seller_id == user) => "SELLER",
        Some(_) => "STAFF",
    }
}

/// Whether a seller sees the entry: what concerns the order's payment is the buyer's, and other parts are others'.
/// The total is the whole order's, so it is left out.
pub fn for_seller(order: &Order, seller_id: &str, mut entry: TimelineEntry) -> Option<TimelineEntry> {
    if entry.part != 0 {
        return order.part(entry.part).is_some_and(|p| p.seller_id == seller_id).then_some(entry);
    }
    if entry.kind.starts_with("PAYMENT_") {
        return None;
    }
    if entry.kind == "PLACED" {
        entry.amount = order.parts.iter().find(|p| p.seller_id == seller_id).map(|p| super::won(p.gross()));
    }
    debug_assert!(units(&entry.amount) >= 0);
    Some(entry)
}
