//! Giving money back.

use crate::support::*;
use proto::jangteo::payment::v1::{
    self as wire, PaymentStatus as Status, RefundStatus, payment_service::Api, payment_source::Kind as Source,
};
use testbed::Kind;

async fn direct(
    w: &World,
    cx: jangteo_core::Call,
    order: &str,
    part: i32,
    won: i64,
) -> jangteo_core::Result<wire::Refund> {
    let sql = format!("SELECT payment_id FROM payment WHERE order_id = '{order}'");
    let payment_id = w.line(&sql).await.unwrap();
    let reason = "GOODWILL".to_owned();
    let req =
        wire::RefundPaymentRequest { payment_id, part, amount: Some(krw(won)), reason, request_id: String::new() };
    w.payments.refund_payment(cx, req).await
}

fn staff() -> jangteo_core::Call {
    jangteo_core::Call { now: order_calls().now, ..testbed::with_roles(&user_id(), &["user", "moderator"]) }
}

pub async fn parts_of_it_come_back_once(kind: Kind) {
    let w = World::new(kind).await;
    let (order, first, second) = (w.paid(&user_id(), 1_000).await, refund_id(), refund_id());
    for _ in 0..3 {
        let refund = w.refund(&order, &first, 1, 300).await.unwrap();
        assert_eq!((refund.status(), refund.amount.unwrap().units), (RefundStatus::Done, 300));
    }
    assert_eq!((w.escrow(&order).await, w.status(&order).await), (700, Status::Captured));
    assert_eq!(w.refund(&order, &first, 1, 301).await.unwrap_err().reason(), "REFUND_ID_REUSED");
    w.refund(&order, &second, 2, 700).await.unwrap();
    assert_eq!((w.escrow(&order).await, w.status(&order).await), (0, Status::Refunded));
    assert_eq!((w.events("PaymentRefunded").await, w.count("sandbox_refund", "1 = 1").await), (2, 2));
    w.sound().await;
}

pub async fn never_more_than_was_captured(kind: Kind) {
    let w = World::new(kind).await;
    let order = w.paid(&user_id(), 1_000).await;
    let at_once = (0..20).map(async |_| w.refund(&order, &refund_id(), 1, 90).await);
    let done = futures::future::join_all(at_once).await.iter().filter(|r| r.is_ok()).count();
    assert_eq!((done, w.escrow(&order).await), (11, 10));
    assert_eq!(w.refund(&order, &refund_id(), 1, 11).await.unwrap_err().reason(), "ESCROW_SHORT");
    w.settle(&order, 2, &user_id(), 10).await.unwrap();
    assert_eq!(w.refund(&order, &refund_id(), 2, 1).await.unwrap_err().reason(), "PART_SETTLED");
    let never = w.refund(&order_id(), &refund_id(), 1, 1).await;
    assert_eq!(never.unwrap_err().reason(), "PAYMENT_NOT_FOUND");
    w.sound().await;
}

pub async fn money_comes_back_before_points(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    w.points.give(&buyer, 400);
    let card = w.card(&buyer, GOOD).await;
    w.payments.authorise(order_calls(), asked(&order, 1, &buyer, 1_000, 400, card)).await.unwrap();
    w.capture(&order).await.unwrap();
    let first = w.refund(&order, &refund_id(), 1, 500).await.unwrap();
    assert_eq!((first.points, w.points.of(&buyer)), (0, 0));
    let second = w.refund(&order, &refund_id(), 1, 300).await.unwrap();
    assert_eq!((second.points, w.points.of(&buyer)), (200, 200));
    let third = w.refund(&order, &refund_id(), 1, 200).await.unwrap();
    assert_eq!((third.points, w.points.of(&buyer), third.status()), (200, 400, RefundStatus::Done));
    assert_eq!(w.status(&order).await, Status::Refunded);
    w.sound().await;
}

pub async fn what_a_provider_can_not_give_back_goes_to_the_wallet(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let card = w.card(&buyer, REFUND_REFUSED).await;
    w.authorise(&order, 1, &buyer, 1_000, card).await;
    w.capture(&order).await.unwrap();
    let refund = w.refund(&order, &refund_id(), 1, 400).await.unwrap();
    assert_eq!((refund.status(), w.wallet(&buyer).await), (RefundStatus::InWallet, 400));
    w.sound().await;
}

pub async fn a_wallet_payment_comes_back_to_the_wallet(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    w.earn(&buyer, 1_000).await;
    let before = w.wallet(&buyer).await;
    w.authorise(&order, 1, &buyer, 600, Source::Wallet(wire::WalletSource {})).await;
    w.capture(&order).await.unwrap();
    w.refund(&order, &refund_id(), 1, 600).await.unwrap();
    assert_eq!((w.wallet(&buyer).await, w.status(&order).await), (before, Status::Refunded));
    w.sound().await;
}

pub async fn a_direct_refund_is_not_settled_as_well(kind: Kind) {
    let (w, seller) = (World::new(kind).await, user_id());
    let order = w.paid(&user_id(), 1_000).await;
    let request = |key: &str| testbed::keyed(staff(), key, 1);
    let first = direct(&w, request("a"), &order, 1, 200).await.unwrap();
    assert_eq!(direct(&w, request("b"), &order, 2, 50).await.unwrap().status(), RefundStatus::Done);
    assert_eq!((first.status(), w.escrow(&order).await), (RefundStatus::Done, 750));
    // The order knows of neither: part 1 cost 600, part 2 400.
    let settled = w.settle(&order, 1, &seller, 600).await.unwrap();
    assert_eq!(
        (settled.amount.unwrap().units, settled.commission.unwrap().units, settled.net.unwrap().units),
        (400, 14, 386)
    );
    let refund = w.refund(&order, &refund_id(), 2, 400).await.unwrap();
    assert_eq!((refund.amount.unwrap().units, w.escrow(&order).await), (350, 0));
    w.sound().await;
}

pub async fn a_seller_gives_back_from_the_wallet(kind: Kind) {
    let (w, seller) = (World::new(kind).await, user_id());
    let order = w.paid(&user_id(), 1_000).await;
    w.settle(&order, 1, &seller, 1_000).await.unwrap();
    assert_eq!(direct(&w, by(&user_id()), &order, 1, 100).await.unwrap_err().reason(), "NOT_YOURS");
    assert_eq!(direct(&w, by(&seller), &order, 0, 100).await.unwrap_err().reason(), "SETTLED_IN_PARTS");
    direct(&w, by(&seller), &order, 1, 300).await.unwrap();
    assert_eq!((w.wallet(&seller).await, w.escrow(&order).await), (665, 0));
    assert_eq!(direct(&w, staff(), &order, 1, 701).await.unwrap_err().reason(), "REFUND_TOO_LARGE");
    assert_eq!(direct(&w, by(&seller), &order, 1, 700).await.unwrap_err().reason(), "WALLET_SHORT");
    w.sound().await;
}

pub async fn only_staff_refunds_before_the_settlement(kind: Kind) {
    let (w, buyer) = (World::new(kind).await, user_id());
    let order = w.paid(&buyer, 1_000).await;
    assert_eq!(direct(&w, by(&buyer), &order, 1, 100).await.unwrap_err().reason(), "NOT_YOURS");
    let key = || testbed::keyed(staff(), "twice", 1);
    let (a, b) = (key(), key());
    let b = jangteo_core::Call { principal: a.principal.clone(), ..b };
    let (a, b) = (direct(&w, a, &order, 0, 1_000).await.unwrap(), direct(&w, b, &order, 0, 1_000).await.unwrap());
    assert_eq!((a.refund_id, w.status(&order).await), (b.refund_id, Status::Refunded));
    let settled = w.settle(&order, 1, &user_id(), 1_000).await.unwrap();
    assert_eq!(settled.amount.unwrap().units, 0, "the order settles what is left");
    w.sound().await;
}
