//! From the basket to being paid, when all goes well and when somebody refuses.

use crate::{
    peers::{Trouble, won},
    world::*,
};
use proto::jangteo::{
    catalog::v1::ProductStatus,
    order::v1::{self as wire, OrderStatus, order_service::Api},
    payment::v1::PaymentStatus,
    shipping::v1::ShippingOption,
};
use std::time::Duration;
use testbed::{Kind, keyed};

pub async fn a_basket_becomes_a_paid_order_split_by_seller(kind: Kind) {
    let w = World::new(kind).await;
    let o = w.place("k", &[(LAMP, 1), (CHAIR, 2), (LAMP, 2)]).await.unwrap();
    assert_eq!((o.status(), total(&o)), (OrderStatus::Paid, 3 * 10_000 + 2 * 25_000 + 2 * 3_000));
    assert_eq!(
        o.parts.iter().map(|p| (p.part, p.seller_id.as_str())).collect::<Vec<_>>(),
        [(1, SELLER), (2, OTHER_SELLER)]
    );
    assert_eq!(o.parts[0].lines.iter().map(|l| l.quantity).collect::<Vec<_>>(), [3], "one line a product");
    let payment = o.payment.as_ref().unwrap();
    assert_eq!((payment.status(), payment.attempt), (PaymentStatus::Captured, 1));
    let calls = w.market.state().calls.clone();
    assert_eq!(
        calls,
        [
            "GetOffers",
            "QuoteShipping",
            "HoldStock",
            "PrepareShipments",
            "Authorise",
            "ConfirmStock",
            "Capture",
            "ReadyShipments"
        ]
    );
    assert_eq!(w.kinds(&o.order_id).await, ["OrderPlaced", "OrderPaid"]);
    assert_eq!((w.market.left(LAMP), w.market.left(CHAIR)), (7, 3));
    assert_eq!(w.get(&o.order_id).await, o);
    assert!(order::store::saga::of(w.db().primary(), &o.order_id).await.unwrap().is_empty());
    w.sound().await;
}

pub async fn what_can_not_be_ordered_leaves_no_order(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().offer("prd_0000000000000000000000000000000c", BUYER, 1, 1);
    w.market.state().offer("prd_0000000000000000000000000000000d", SELLER, 1, 1);
    let sold = "prd_0000000000000000000000000000000d";
    w.market.state().offers.get_mut(sold).unwrap().set_status(ProductStatus::Sold);
    let refusals = [
        (LAMP, 11, "OUT_OF_STOCK"),
        ("prd_0000000000000000000000000000000c", 1, "OWN_PRODUCT"),
        (sold, 1, "NOT_ON_SALE"),
        ("prd_0000000000000000000000000000000e", 1, "NOT_ON_SALE"),
    ];
    for (n, (id, quantity, why)) in refusals.into_iter().enumerate() {
        let e = w.place(&n.to_string(), &[(id, quantity)]).await.unwrap_err();
        assert_eq!((reason(&e), e.metadata()["product_id"].as_str()), ((why, None), id));
    }
    let place = async |change: fn(&mut wire::PlaceOrderRequest), key: &str| {
        let mut req = basket(&[(LAMP, 1)]);
        change(&mut req);
        w.orders.place_order(keyed(w.by(BUYER), key, 1), req).await.unwrap_err()
    };
    let e = place(|r| r.items[0].expected_price = Some(won(9_000)), "price").await;
    assert_eq!((e.reason(), e.metadata()["price"].as_str()), ("PRICE_CHANGED", "10000"));
    let e = place(|r| r.points = 13_001, "points").await;
    assert_eq!((e.reason(), e.metadata()["total"].as_str()), ("TOO_MANY_POINTS", "13000"));
    assert_eq!(
        place(|r| r.set_shipping_option(ShippingOption::International), "abroad").await.reason(),
        "OPTION_UNAVAILABLE"
    );
    let list = w.orders.list_orders(w.by(BUYER), Default::default()).await.unwrap();
    assert!(list.orders.is_empty());
    assert_eq!(w.market.calls("HoldStock"), 0);
}

pub async fn stock_that_goes_meanwhile_cancels_the_order(kind: Kind) {
    let w = World::new(kind).await;
    w.market.fail("HoldStock", &[Trouble::Refused("OUT_OF_STOCK")]);
    let e = w.place("k", &[(LAMP, 1)]).await.unwrap_err();
    let o = w.only().await;
    assert_eq!(reason(&e), ("OUT_OF_STOCK", Some(o.order_id.as_str())));
    assert_eq!((o.status(), o.cancel_reason.as_str()), (OrderStatus::Cancelled, "OUT_OF_STOCK"));
    w.settle_down(&o.order_id).await;
    let calls = w.market.state().calls[3..].to_vec();
    assert_eq!(calls, ["Void", "ReleaseStock", "CancelShipments"], "nothing was authorised");
    assert_eq!(w.kinds(&o.order_id).await, ["OrderPlaced", "OrderCancelled", "OrderClosed"]);
    let again = w.place("k", &[(LAMP, 1)]).await.unwrap_err();
    assert_eq!((again.reason(), again.metadata()), (e.reason(), e.metadata()), "the same key, the same fault");
    w.sound().await;
}

pub async fn an_address_that_goes_meanwhile_cancels_the_order(kind: Kind) {
    let w = World::new(kind).await;
    w.market.fail("PrepareShipments", &[Trouble::Refused("ADDRESS_NOT_FOUND")]);
    let e = w.place("k", &[(LAMP, 1)]).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["reason"].as_str()), ("ORDER_CANCELLED", "ADDRESS_NOT_FOUND"));
    w.settle_down(&w.only().await.order_id).await;
    assert_eq!(w.market.left(LAMP), 10);
    assert_eq!(w.market.calls("Authorise"), 0);
    w.sound().await;
}

pub async fn who_is_declined_may_pay_again(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().outcomes.push_back(PaymentStatus::Declined);
    let e = w.place("k", &[(LAMP, 1)]).await.unwrap_err();
    let o = w.only().await;
    assert_eq!(reason(&e), ("PAYMENT_DECLINED", Some(o.order_id.as_str())));
    assert_eq!(e.metadata()["decline_reason"], "INSUFFICIENT_FUNDS");
    assert_eq!((o.status(), w.market.left(LAMP)), (OrderStatus::Received, 9), "the goods are held");
    let pay = |key: &str| {
        let req = wire::PayOrderRequest { order_id: o.order_id.clone(), source: wallet(), request_id: key.into() };
        w.orders.pay_order(keyed(w.by(BUYER), key, 1), req)
    };
    w.market.state().outcomes.push_back(PaymentStatus::Declined);
    assert_eq!(pay("second").await.unwrap_err().reason(), "PAYMENT_DECLINED");
    let paid = pay("third").await.unwrap();
    assert_eq!((paid.status(), paid.payment.unwrap().attempt), (OrderStatus::Paid, 3));
    let answers = (pay("second").await.unwrap_err(), pay("third").await.unwrap());
    assert_eq!((answers.0.reason(), answers.1.status()), ("PAYMENT_DECLINED", OrderStatus::Paid), "the same answers");
    assert_eq!(w.place("k", &[(LAMP, 1)]).await.unwrap_err().reason(), "PAYMENT_DECLINED");
    assert_eq!(pay("fourth").await.unwrap_err().reason(), "ALREADY_PAID");
    assert_eq!(w.market.escrow(&o.order_id), 13_000);
    w.sound().await;
}

pub async fn nobody_else_pays_for_an_order(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().outcomes.push_back(PaymentStatus::Declined);
    w.place("k", &[(LAMP, 1)]).await.unwrap_err();
    let order_id = w.only().await.order_id;
    for user in [SELLER, STRANGER] {
        let req = wire::PayOrderRequest { order_id: order_id.clone(), source: wallet(), request_id: String::new() };
        assert_eq!(w.orders.pay_order(w.by(user), req).await.unwrap_err().reason(), "NOT_YOURS");
    }
}

pub async fn an_order_that_waits_for_the_bank_is_paid_when_the_bank_says_so(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().outcomes.push_back(PaymentStatus::ActionRequired);
    let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
    let payment = o.payment.clone().unwrap();
    assert_eq!((o.status(), payment.status()), (OrderStatus::Received, PaymentStatus::ActionRequired));
    assert_eq!(payment.redirect_url, "https://bank.example/3ds");
    w.market.state().payments.get_mut(&o.order_id).unwrap().set_status(PaymentStatus::Authorised);
    let this = &w.orders;
    w.db().write(&w.system(), async |tx| this.payment_moved(&tx, &o.order_id, true).await).await.unwrap();
    w.resume().await;
    assert_eq!(w.get(&o.order_id).await.status(), OrderStatus::Paid);
    assert_eq!(w.place("k", &[(LAMP, 1)]).await.unwrap(), o, "the same key, the same answer");
    w.sound().await;
}

pub async fn what_the_provider_does_not_say_is_found_out_either_way(kind: Kind) {
    for ends in [PaymentStatus::Authorised, PaymentStatus::Declined] {
        let w = World::new(kind).await;
        w.market.state().outcomes.push_back(PaymentStatus::Pending);
        let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
        assert_eq!(o.payment.as_ref().unwrap().status(), PaymentStatus::Pending);
        let req = wire::PayOrderRequest { order_id: o.order_id.clone(), source: wallet(), request_id: String::new() };
        assert_eq!(w.orders.pay_order(w.by(BUYER), req).await.unwrap_err().reason(), "PAYMENT_UNDERWAY");
        assert_eq!((w.market.calls("Void"), w.market.calls("ReleaseStock")), (0, 0), "the unknown is not undone");
        w.market.state().payments.get_mut(&o.order_id).unwrap().set_status(ends);
        let (this, id) = (&w.orders, o.order_id.as_str());
        let told = async |tx| match ends {
            PaymentStatus::Declined => this.attempt_declined(&tx, id, 1, "CARD_DECLINED").await,
            _ => this.payment_moved(&tx, id, true).await,
        };
        w.db().write(&w.system(), told).await.unwrap();
        w.resume().await;
        let o = w.get(&o.order_id).await;
        match ends {
            PaymentStatus::Declined => assert_eq!(o.payment.unwrap().decline_reason, "CARD_DECLINED"),
            _ => assert_eq!(o.status(), OrderStatus::Paid),
        }
        w.sound().await;
    }
}

pub async fn what_is_not_paid_in_time_is_given_back(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().outcomes.push_back(PaymentStatus::ActionRequired);
    let o = w.place("k", &[(LAMP, 2)]).await.unwrap();
    w.pass(Duration::from_secs(899));
    w.resume().await;
    assert_eq!(w.get(&o.order_id).await.status(), OrderStatus::Received);
    w.pass(Duration::from_secs(2));
    w.resume().await;
    let late = w.get(&o.order_id).await;
    assert_eq!(
        (late.status(), late.cancel_reason.as_str(), late.closed),
        (OrderStatus::Cancelled, "UNPAID", Some(true))
    );
    assert_eq!(w.market.left(LAMP), 10);
    // The bank says yes, too late: the payment's own tombstone stands, and the order voids it once more.
    let this = &w.orders;
    w.db().write(&w.system(), async |tx| this.payment_moved(&tx, &o.order_id, true).await).await.unwrap();
    w.resume().await;
    assert_eq!((w.market.calls("Void"), w.market.calls("Capture")), (2, 0));
    assert_eq!(w.kinds(&o.order_id).await, ["OrderPlaced", "OrderPaymentPending", "OrderCancelled", "OrderClosed"]);
    w.sound().await;
}

pub async fn a_hold_that_ran_out_is_held_again_or_the_payment_voided(kind: Kind) {
    for left in [true, false] {
        let w = World::new(kind).await;
        w.market.state().outcomes.push_back(PaymentStatus::ActionRequired);
        let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
        w.market.state().run_out(&o.order_id);
        if !left {
            w.market.state().offers.get_mut(LAMP).unwrap().available = Some(0);
        }
        w.market.state().payments.get_mut(&o.order_id).unwrap().set_status(PaymentStatus::Authorised);
        let this = &w.orders;
        w.db().write(&w.system(), async |tx| this.payment_moved(&tx, &o.order_id, true).await).await.unwrap();
        w.resume().await;
        w.settle_down(&o.order_id).await;
        let status = w.get(&o.order_id).await.status();
        assert_eq!(status, if left { OrderStatus::Paid } else { OrderStatus::Cancelled });
        let payment = w.market.state().payments[&o.order_id].status();
        assert_eq!(payment, if left { PaymentStatus::Captured } else { PaymentStatus::Voided });
        w.sound().await;
    }
}

pub async fn a_hold_that_runs_out_in_the_last_moment_is_held_again(kind: Kind) {
    let w = World::new(kind).await;
    w.market.fail("ConfirmStock", &[Trouble::Refused("HOLD_EXPIRED")]);
    let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
    assert_eq!((o.status(), w.market.calls("HoldStock"), w.market.calls("ConfirmStock")), (OrderStatus::Paid, 2, 2));
    w.sound().await;
}

/// The goods are sold by then: they stay so until somebody pays, or come back.
pub async fn money_that_the_provider_let_go_is_a_decline(kind: Kind) {
    for pays in [true, false] {
        let w = World::new(kind).await;
        w.market.state().let_go = true;
        let e = w.place("k", &[(LAMP, 1)]).await.unwrap_err();
        assert_eq!((e.reason(), e.metadata()["decline_reason"].as_str()), ("PAYMENT_DECLINED", "CARD_DECLINED"));
        let id = w.only().await.order_id;
        if pays {
            let req = wire::PayOrderRequest { order_id: id.clone(), source: wallet(), request_id: String::new() };
            assert_eq!(w.orders.pay_order(w.by(BUYER), req).await.unwrap().status(), OrderStatus::Paid);
        } else {
            w.pass(Duration::from_secs(901));
            w.resume().await;
            assert_eq!(w.get(&id).await.status(), OrderStatus::Cancelled);
        }
        assert_eq!(w.market.left(LAMP), if pays { 9 } else { 10 });
        w.sound().await;
    }
}

/// The buyer pays in another way while the bank is still at the first.
pub async fn an_attempt_waits_for_the_one_before(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().outcomes.push_back(PaymentStatus::ActionRequired);
    let id = w.place("k", &[(LAMP, 1)]).await.unwrap().order_id;
    w.market.state().payments.get_mut(&id).unwrap().set_status(PaymentStatus::Pending);
    let req = wire::PayOrderRequest { order_id: id.clone(), source: wallet(), request_id: String::new() };
    let paying = w.orders.pay_order(w.by(BUYER), req);
    let bank = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        w.market.state().payments.get_mut(&id).unwrap().set_status(PaymentStatus::Declined);
    };
    let (paid, ()) = tokio::join!(paying, bank);
    let paid = paid.unwrap();
    assert_eq!((paid.status(), paid.payment.unwrap().attempt), (OrderStatus::Paid, 2));
    w.sound().await;
}

pub async fn a_payment_that_is_void_cancels_and_the_goods_come_back(kind: Kind) {
    let w = World::new(kind).await;
    w.market.fail("Capture", &[Trouble::Refused("PAYMENT_VOIDED")]);
    let e = w.place("k", &[(LAMP, 1)]).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["reason"].as_str()), ("ORDER_CANCELLED", "PAYMENT_VOIDED"));
    w.settle_down(&w.only().await.order_id).await;
    assert_eq!((w.market.calls("ReturnStock"), w.market.left(LAMP)), (1, 10), "what was sold already");
    w.sound().await;
}

pub async fn gifts_by_meet_up_cost_nothing(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().offer(LAMP, SELLER, 0, 1);
    let mut req = basket(&[(LAMP, 1)]);
    req.set_shipping_option(ShippingOption::MeetUp);
    req.address_id.clear();
    let o = w.orders.place_order(keyed(w.by(BUYER), "k", 1), req).await.unwrap();
    assert_eq!((o.status(), total(&o)), (OrderStatus::Paid, 0));
    w.deliver(&o.order_id, 1).await;
    let req = wire::ConfirmOrderRequest { order_id: o.order_id.clone(), ..Default::default() };
    w.orders.confirm_order(w.by(BUYER), req).await.unwrap();
    assert_eq!(w.get(&o.order_id).await.closed, Some(true));
    assert_eq!((w.market.calls("Settle"), w.market.calls("RefundOrder")), (0, 0));
    w.sound().await;
}

pub async fn a_source_is_needed_for_what_is_left_to_pay(kind: Kind) {
    let w = World::new(kind).await;
    let bare = wire::PlaceOrderRequest { source: None, ..basket(&[(LAMP, 1)]) };
    let place = async |key: &str, req| w.orders.place_order(testbed::keyed(w.by(BUYER), key, 1), req).await;
    let e = place("1", bare.clone()).await.unwrap_err();
    let v = &e.field_violations()[0];
    assert_eq!((v.field.as_str(), v.reason.as_str()), ("source", "SOURCE_REQUIRED"));
    let whole = total(&w.place("2", &[(LAMP, 1)]).await.unwrap());
    let most = wire::PlaceOrderRequest { points: whole - 1, ..bare.clone() };
    assert_eq!(place("3", most).await.unwrap_err().field_violations()[0].reason, "SOURCE_REQUIRED");
    let all = wire::PlaceOrderRequest { points: whole, ..bare.clone() };
    assert_eq!(place("4", all).await.unwrap().status(), OrderStatus::Paid);
    // A gift that is handed over.
    w.market.state().offer(CHAIR, OTHER_SELLER, 0, 5);
    let gift = wire::PlaceOrderRequest {
        items: basket(&[(CHAIR, 1)]).items,
        shipping_option: ShippingOption::MeetUp.into(),
        address_id: String::new(),
        ..bare
    };
    assert_eq!(total(&place("5", gift).await.unwrap()), 0);
}
