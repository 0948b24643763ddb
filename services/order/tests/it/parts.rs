//! What becomes of parts once an order is paid: cancelled, returned, confirmed, disputed; and who gets the money.

use crate::{
    peers::{Trouble::*, won},
    world::*,
};
use jangteo_core::{Code, Result};
use proto::jangteo::order::v1::{self as wire, DisputeReason, OrderStatus, order_service::Api};
use std::time::{Duration, Instant};
use testbed::{Kind, with_roles};

async fn two_parts(w: &World) -> wire::Order {
    w.place("k", &[(LAMP, 2), (CHAIR, 1)]).await.unwrap()
}

async fn cancel(w: &World, user: &str, order_id: &str, part: i32) -> Result<wire::Order> {
    let req = wire::CancelOrderRequest { order_id: order_id.into(), part, request_id: String::new() };
    w.orders.cancel_order(w.by(user), req).await
}

async fn confirm(w: &World, order_id: &str, part: i32) -> Result<wire::Order> {
    let req = wire::ConfirmOrderRequest { order_id: order_id.into(), part, request_id: String::new() };
    w.orders.confirm_order(w.by(BUYER), req).await
}

async fn dispute(w: &World, user: &str, order_id: &str, text: &str) -> Result<wire::Order> {
    let reason_code = DisputeReason::Damaged.into();
    let (order_id, text) = (order_id.to_owned(), text.to_owned());
    let req = wire::DisputeOrderRequest { order_id, part: 1, reason_code, text, request_id: String::new() };
    w.orders.dispute_order(w.by(user), req).await
}

async fn resolve(w: &World, order_id: &str, refund: i64) -> Result<wire::Order> {
    let cx = w.at_now(with_roles(STRANGER, &["user", "moderator"]));
    let req = wire::ResolveDisputeRequest {
        order_id: order_id.into(),
        part: 1,
        refund: Some(won(refund)),
        request_id: String::new(),
    };
    w.orders.resolve_dispute(cx, req).await
}

pub async fn a_part_is_cancelled_and_the_other_goes_on(kind: Kind) {
    let w = World::new(kind).await;
    let o = two_parts(&w).await;
    let id = o.order_id.as_str();
    assert_eq!(cancel(&w, OTHER_SELLER, id, 1).await.unwrap_err().reason(), "NOT_YOURS");
    let seen = cancel(&w, SELLER, id, 0).await.unwrap();
    assert_eq!((statuses(&seen), seen.payment), (vec![OrderStatus::Cancelled], None), "a seller sees the own part");
    w.settle_down(id).await;
    let o = w.get(id).await;
    assert_eq!((o.status(), statuses(&o)), (OrderStatus::Paid, vec![OrderStatus::Cancelled, OrderStatus::Paid]));
    assert_eq!((o.parts[0].cancel_reason.as_str(), is(&o.refunded, 23_000)), ("BY_SELLER", true));
    assert_eq!((w.market.left(LAMP), w.market.left(CHAIR)), (10, 4));
    assert_eq!(w.market.escrow(id), 28_000);
    cancel(&w, BUYER, id, 1).await.unwrap();
    assert_eq!(w.market.calls("RefundOrder"), 1, "cancelling twice changes nothing");
    w.deliver(id, 2).await;
    confirm(&w, id, 0).await.unwrap();
    let o = w.get(id).await;
    assert_eq!((o.status(), o.closed), (OrderStatus::Confirmed, Some(true)));
    assert_eq!((w.market.escrow(id), w.market.earned(SELLER), w.market.earned(OTHER_SELLER)), (0, 0, 28_000));
    w.sound().await;
}

pub async fn what_is_under_way_is_not_cancelled(kind: Kind) {
    let w = World::new(kind).await;
    let o = two_parts(&w).await;
    let id = o.order_id.as_str();
    // Shipping knows, and its event has still to come.
    w.market.state().shipments.insert((id.to_owned(), 1), "underway");
    let e = cancel(&w, BUYER, id, 1).await.unwrap_err();
    assert_eq!((reason(&e), e.metadata()["part"].as_str()), (("SHIPMENT_UNDERWAY", Some(id)), "1"));
    assert!(order::store::saga::of(w.db().primary(), id).await.unwrap().is_empty());
    w.ship(id, 1).await;
    assert_eq!(cancel(&w, BUYER, id, 1).await.unwrap_err().reason(), "SHIPMENT_UNDERWAY");
    let o = cancel(&w, BUYER, id, 0).await.unwrap();
    assert_eq!(statuses(&o), [OrderStatus::Shipping, OrderStatus::Cancelled], "what can be");
    assert_eq!(cancel(&w, SELLER, id, 0).await.unwrap_err().reason(), "WRONG_STATUS");
    assert_eq!(cancel(&w, BUYER, id, 3).await.unwrap_err().code(), Code::NotFound);
    w.settle_down(id).await;
    w.sound().await;
}

pub async fn an_order_that_is_not_paid_is_cancelled_as_a_whole(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().outcomes.push_back(proto::jangteo::payment::v1::PaymentStatus::Declined);
    w.place("k", &[(LAMP, 2), (CHAIR, 1)]).await.unwrap_err();
    let id = w.only().await.order_id;
    let o = cancel(&w, BUYER, &id, 0).await.unwrap();
    assert_eq!((o.status(), o.cancel_reason.as_str()), (OrderStatus::Cancelled, "BY_BUYER"));
    assert_eq!((w.market.left(LAMP), w.market.left(CHAIR)), (10, 5));
    let req = wire::PayOrderRequest { order_id: id.clone(), source: wallet(), request_id: String::new() };
    assert_eq!(w.orders.pay_order(w.by(BUYER), req).await.unwrap_err().reason(), "ORDER_CANCELLED");
    cancel(&w, BUYER, &id, 0).await.unwrap();
    w.settle_down(&id).await;
    assert_eq!(w.kinds(&id).await, ["OrderPlaced", "OrderPaymentDeclined", "OrderCancelled", "OrderClosed"]);
    w.sound().await;
}

pub async fn refunds_and_settlements_happen_once_whatever_fails(kind: Kind) {
    for method in ["CancelShipments", "RefundOrder", "ReturnStock", "Settle"] {
        for trouble in [Down, Lost] {
            let w = World::new(kind).await;
            let o = two_parts(&w).await;
            w.deliver(&o.order_id, 2).await;
            w.market.fail(method, &vec![trouble.clone(); 3]);
            cancel(&w, BUYER, &o.order_id, 1).await.unwrap();
            confirm(&w, &o.order_id, 2).await.unwrap();
            w.settle_down(&o.order_id).await;
            let o = w.get(&o.order_id).await;
            assert_eq!(o.closed, Some(true), "{method} {trouble:?}");
            let went = (w.market.back(&o.order_id), w.market.earned(OTHER_SELLER), w.market.escrow(&o.order_id));
            assert_eq!(went, (23_000, 28_000, 0), "{method} {trouble:?}");
            w.sound().await;
        }
    }
}

pub async fn only_what_was_delivered_is_confirmed_by_the_buyer_alone(kind: Kind) {
    let w = World::new(kind).await;
    let o = two_parts(&w).await;
    let id = o.order_id.as_str();
    assert_eq!(confirm(&w, id, 0).await.unwrap_err().reason(), "WRONG_STATUS");
    w.deliver(id, 1).await;
    assert!(w.get(id).await.parts[0].confirm_by_time.is_some());
    let req = wire::ConfirmOrderRequest { order_id: id.into(), ..Default::default() };
    assert_eq!(w.orders.confirm_order(w.by(SELLER), req.clone()).await.unwrap_err().reason(), "NOT_YOURS");
    assert_eq!(confirm(&w, id, 2).await.unwrap_err().reason(), "WRONG_STATUS");
    let key = |n| testbed::keyed(w.by(BUYER), "c", n);
    let first = w.orders.confirm_order(key(1), req.clone()).await.unwrap();
    assert_eq!(statuses(&first), [OrderStatus::Confirmed, OrderStatus::Paid]);
    assert_eq!(w.orders.confirm_order(key(1), req).await.unwrap(), first, "the same key, the same answer");
    assert_eq!(w.market.earned(SELLER), 23_000);
    assert_eq!(confirm(&w, id, 1).await.unwrap().closed, Some(false), "twice is once");
    assert_eq!(w.market.calls("Settle"), 1);
    w.sound().await;
}

pub async fn who_says_nothing_for_seven_days_is_content(kind: Kind) {
    let w = World::new(kind).await;
    let o = two_parts(&w).await;
    w.deliver(&o.order_id, 1).await;
    w.deliver(&o.order_id, 2).await;
    w.pass(Duration::from_secs(7 * 24 * 3600 - 60));
    w.resume().await;
    assert_eq!(w.get(&o.order_id).await.status(), OrderStatus::Delivered);
    w.pass(Duration::from_secs(61));
    w.resume().await;
    let o = w.get(&o.order_id).await;
    assert_eq!((o.status(), o.closed), (OrderStatus::Confirmed, Some(true)));
    assert_eq!(w.market.escrow(&o.order_id), 0);
    w.sound().await;
}

pub async fn a_dispute_stops_the_clock_until_somebody_decides(kind: Kind) {
    for (refund, status) in
        [(0, OrderStatus::Confirmed), (5_000, OrderStatus::Confirmed), (13_000, OrderStatus::Refunded)]
    {
        let w = World::new(kind).await;
        let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
        let id = o.order_id.as_str();
        assert_eq!(dispute(&w, BUYER, id, "").await.unwrap_err().reason(), "WRONG_STATUS");
        w.deliver(id, 1).await;
        assert_eq!(dispute(&w, SELLER, id, "").await.unwrap_err().reason(), "NOT_YOURS");
        dispute(&w, BUYER, id, "유리갓이깨졌어요").await.unwrap();
        assert_eq!(confirm(&w, id, 1).await.unwrap_err().reason(), "WRONG_STATUS");
        w.pass(Duration::from_secs(30 * 24 * 3600));
        w.resume().await;
        let seen = w.get(id).await;
        let complaint = seen.parts[0].dispute.clone().unwrap();
        assert_eq!(
            (seen.status(), complaint.text.as_str(), complaint.open),
            (OrderStatus::Disputed, "유리갓이깨졌어요", Some(true))
        );
        assert!(!w.stores.stored("유리갓이깨졌어요"), "sealed");
        assert_eq!(resolve(&w, id, 13_001).await.unwrap_err().reason(), "REFUND_TOO_LARGE");
        resolve(&w, id, refund).await.unwrap();
        assert_eq!(resolve(&w, id, refund).await.unwrap_err().reason(), "WRONG_STATUS", "once");
        w.settle_down(id).await;
        let o = w.get(id).await;
        assert_eq!((o.status(), o.closed, is(&o.refunded, refund)), (status, Some(true), true));
        assert!(is(&o.parts[0].settled, 13_000 - refund));
        assert_eq!((w.market.escrow(id), w.market.left(LAMP)), (0, 9));
        w.sound().await;
    }
}

pub async fn a_parcel_that_comes_back_is_refunded_and_on_sale_again(kind: Kind) {
    let w = World::new(kind).await;
    let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
    w.ship(&o.order_id, 1).await;
    let this = &w.orders;
    for _ in 0..2 {
        w.db().write(&w.system(), async |tx| this.part_returned(&tx, &o.order_id, 1).await).await.unwrap();
    }
    w.settle_down(&o.order_id).await;
    let o = w.get(&o.order_id).await;
    assert_eq!((o.status(), o.parts[0].cancel_reason.as_str()), (OrderStatus::Refunded, "RETURNED"));
    assert_eq!((w.market.back(&o.order_id), w.market.left(LAMP)), (13_000, 10));
    w.sound().await;
}

pub async fn what_staff_gave_back_is_not_settled(kind: Kind) {
    let w = World::new(kind).await;
    let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
    {
        let mut state = w.market.state();
        state.direct.insert((o.order_id.clone(), 1), 4_000);
        *state.escrow.get_mut(&o.order_id).unwrap() -= 4_000;
    }
    w.deliver(&o.order_id, 1).await;
    confirm(&w, &o.order_id, 0).await.unwrap();
    let o = w.get(&o.order_id).await;
    assert!(is(&o.parts[0].settled, 9_000) && is(&o.refunded, 4_000));
    w.sound().await;
}

/// The sellers may ship as soon as the money is taken; a driver that died then has still to say that it is.
pub async fn a_shipment_that_is_ahead_of_the_order_waits_for_it(kind: Kind) {
    let w = World::new(kind).await;
    w.market.fail("ReadyShipments", &vec![Lost; 1000]);
    let mut cx = testbed::keyed(w.by(BUYER), "k", 1);
    cx.deadline = Some(Instant::now() + Duration::from_millis(400));
    w.orders.place_order(cx, basket(&[(LAMP, 1)])).await.unwrap_err();
    let (this, id) = (&w.orders, w.only().await.order_id);
    let shipped = async |tx| this.part_shipped(&tx, &id, 1, "shp_1").await;
    let e = w.db().write(&w.system(), shipped).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Unavailable, "NOT_PAID_YET"));
    w.market.state().trouble.clear();
    w.settle_down(&id).await;
    w.ship(&id, 1).await;
    assert_eq!(w.get(&id).await.status(), OrderStatus::Shipping);
}
