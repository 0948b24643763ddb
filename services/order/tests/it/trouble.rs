//! Peers that are away, slow or silent, processes that die, two drivers of one order: in the end an order is paid
//! once or given up as a whole.

use crate::{
    peers::{Trouble, Trouble::*},
    world::*,
};
use futures::future::join_all;
use jangteo_core::Code;
use kit::db::Db;
use order::store::saga::{Model as Saga, Step};
use proto::jangteo::{
    order::v1::{self as wire, OrderStatus, order_service::Api},
    payment::v1::PaymentStatus,
};
use std::time::{Duration, Instant};
use testbed::{Kind, keyed};

const FORWARD: [&str; 6] = ["HoldStock", "PrepareShipments", "Authorise", "ConfirmStock", "Capture", "ReadyShipments"];

pub async fn a_step_that_fails_for_a_moment_is_taken_again_within_the_request(kind: Kind) {
    for method in FORWARD {
        for trouble in [Down, Lost, Hangs] {
            let w = World::new(kind).await;
            w.market.fail(method, std::slice::from_ref(&trouble));
            let o = w.place("k", &[(LAMP, 1), (CHAIR, 1)]).await.unwrap();
            assert_eq!(o.status(), OrderStatus::Paid, "{method} {trouble:?}");
            assert_eq!(w.kinds(&o.order_id).await, ["OrderPlaced", "OrderPaid"], "{method} {trouble:?}");
            assert_eq!(w.market.left(LAMP), 9, "{method} {trouble:?}");
            w.sound().await;
        }
    }
}

pub async fn a_peer_that_stays_away_leaves_the_order_to_the_job(kind: Kind) {
    for method in FORWARD {
        let w = World::new(kind).await;
        w.market.fail(method, &vec![Trouble::Down; 1000]);
        let mut cx = keyed(w.by(BUYER), "k", 1);
        cx.deadline = Some(Instant::now() + Duration::from_millis(400));
        let e = w.orders.place_order(cx, basket(&[(LAMP, 1)])).await.unwrap_err();
        let o = w.only().await;
        assert_eq!((e.code(), reason(&e)), (Code::DeadlineExceeded, ("ORDER_PENDING", Some(o.order_id.as_str()))));
        assert!(e.retry_after().is_some());
        assert_eq!((o.status(), w.market.calls("Void")), (OrderStatus::Received, 0), "{method}: nothing is undone");
        let stuck = w.orders.list_sagas(w.system(), Default::default()).await.unwrap();
        assert!(stuck.sagas.iter().all(|s| s.step == "PAY" && s.attempts > 0 && !s.last_error.is_empty()));
        w.market.state().trouble.clear();
        w.settle_down(&o.order_id).await;
        let again = w.place("k", &[(LAMP, 1)]).await.unwrap();
        assert_eq!((again.status(), again.order_id), (OrderStatus::Paid, o.order_id), "{method}");
        w.sound().await;
    }
}

pub async fn compensation_goes_on_until_it_is_done(kind: Kind) {
    for method in ["Void", "ReleaseStock", "CancelShipments"] {
        for trouble in [Down, Lost] {
            let w = World::new(kind).await;
            w.market.fail("ConfirmStock", &[Refused("OUT_OF_STOCK")]);
            w.market.fail(method, &vec![trouble.clone(); 5]);
            let e = w.place("k", &[(LAMP, 1)]).await.unwrap_err();
            assert_eq!(e.reason(), "OUT_OF_STOCK", "{method} {trouble:?}");
            let id = w.only().await.order_id;
            w.settle_down(&id).await;
            assert_eq!(w.get(&id).await.closed, Some(true), "{method} {trouble:?}");
            assert_eq!(w.market.left(LAMP), 10, "{method} {trouble:?}");
            assert_eq!(w.market.state().payments[&id].status(), PaymentStatus::Voided);
            assert_eq!(w.market.state().shipments[&(id.clone(), 1)], "cancelled");
            w.sound().await;
        }
    }
}

pub async fn what_takes_too_long_is_given_up_at_the_deadline(kind: Kind) {
    let w = World::new(kind).await;
    w.market.fail("Authorise", &vec![Lost; 1000]);
    let mut cx = keyed(w.by(BUYER), "k", 1);
    cx.deadline = Some(Instant::now() + Duration::from_millis(400));
    w.orders.place_order(cx, basket(&[(LAMP, 1)])).await.unwrap_err();
    let id = w.only().await.order_id;
    assert_eq!(w.market.state().payments[&id].status(), PaymentStatus::Authorised, "nobody here knows");
    w.pass(Duration::from_secs(901));
    w.settle_down(&id).await;
    let o = w.get(&id).await;
    assert_eq!((o.status(), o.cancel_reason.as_str()), (OrderStatus::Cancelled, "UNPAID"));
    assert_eq!(w.market.state().payments[&id].status(), PaymentStatus::Voided);
    assert_eq!((w.market.calls("Capture"), w.market.left(LAMP)), (0, 10));
    w.sound().await;
}

/// Nobody knows of the capture when the deadline comes: the attempt to void finds it out, and the order goes forward.
pub async fn money_that_was_taken_is_never_given_up(kind: Kind) {
    let w = World::new(kind).await;
    w.market.fail("Capture", &vec![Lost; 1000]);
    let mut cx = keyed(w.by(BUYER), "k", 1);
    cx.deadline = Some(Instant::now() + Duration::from_millis(400));
    w.orders.place_order(cx, basket(&[(LAMP, 1)])).await.unwrap_err();
    let id = w.only().await.order_id;
    w.pass(Duration::from_secs(901));
    w.resume().await;
    w.market.state().trouble.clear();
    w.settle_down(&id).await;
    assert_eq!(w.get(&id).await.status(), OrderStatus::Paid);
    assert_eq!((w.market.calls("ReleaseStock"), w.market.left(LAMP)), (0, 9));
    w.sound().await;
}

/// The process died behind each transaction: what is written says how it goes on.
pub async fn an_order_whose_driver_died_is_taken_over(kind: Kind) {
    let w = World::new(kind).await;
    w.market.fail("HoldStock", &[Hangs]);
    let mut cx = keyed(w.by(BUYER), "k", 1);
    cx.deadline = None;
    let placing = w.orders.place_order(cx, basket(&[(LAMP, 1)]));
    // Dropped in the middle, as a process that is killed drops it.
    tokio::time::timeout(Duration::from_millis(150), placing).await.unwrap_err();
    let id = w.only().await.order_id;
    w.resume().await;
    assert_eq!(w.get(&id).await.status(), OrderStatus::Received, "it is still the first driver's");
    w.pass(Duration::from_secs(2));
    w.resume().await;
    assert_eq!(w.get(&id).await.status(), OrderStatus::Paid);
    w.sound().await;
}

pub async fn a_thousand_twins_place_one_order(kind: Kind) {
    let w = World::new(kind).await;
    let twins = join_all((0..200).map(|_| w.place("k", &[(LAMP, 1)]))).await;
    let first = twins[0].as_ref().unwrap();
    assert!(twins.iter().all(|t| t.as_ref().is_ok_and(|o| o == first)), "{twins:?}");
    assert_eq!((w.market.left(LAMP), w.only().await.status()), (9, OrderStatus::Paid));
    assert_eq!(w.kinds(&first.order_id).await, ["OrderPlaced", "OrderPaid"]);
    let other = w.orders.place_order(keyed(w.by(BUYER), "k", 2), basket(&[(LAMP, 2)])).await.unwrap_err();
    assert_eq!(other.reason(), "REQUEST_ID_REUSED");
    w.sound().await;
}

pub async fn ten_lamps_are_sold_to_ten_of_forty(kind: Kind) {
    let w = World::new(kind).await;
    let keys: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    let all = join_all(keys.iter().map(|key| w.place(key, &[(LAMP, 1)]))).await;
    let sold = all.iter().filter(|o| o.is_ok()).count();
    assert!(all.iter().flat_map(|o| o.as_ref().err()).all(|e| e.reason() == "OUT_OF_STOCK"), "{all:?}");
    assert_eq!((sold, w.market.left(LAMP)), (10, 0));
    w.resume().await;
    w.sound().await;
}

async fn put(db: &Db, w: &World, saga: Saga) {
    db.write(&w.system(), async |tx| order::store::saga::put(&tx, saga.clone()).await.map(drop)).await.unwrap();
}

/// Both go through every step; one of them records.
pub async fn two_drivers_of_an_order_do_no_harm(kind: Kind) {
    for _ in 0..5 {
        let w = World::new(kind).await;
        w.market.state().outcomes.push_back(PaymentStatus::ActionRequired);
        let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
        w.market.state().payments.get_mut(&o.order_id).unwrap().set_status(PaymentStatus::Authorised);
        let saga = order::store::saga::find(w.db().primary(), &o.order_id, 0).await.unwrap().unwrap();
        let resume = async || {
            // Claims it whoever is at it, as when a lease has run out.
            put(&w.db(), &w, Saga { step: Step::Pay.name().to_owned(), due: 0, ..saga.clone() }).await;
            w.orders.clone().resume_sagas(w.system()).await.unwrap();
        };
        tokio::join!(resume(), resume(), resume());
        w.settle_down(&o.order_id).await;
        assert_eq!(w.kinds(&o.order_id).await, ["OrderPlaced", "OrderPaymentPending", "OrderPaid"]);
        assert_eq!(w.market.left(LAMP), 9);
        w.sound().await;
    }
}

/// The news comes between the answer and the note that it is awaited.
pub async fn news_that_overtakes_the_answer_is_not_lost(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().outcomes.push_back(PaymentStatus::ActionRequired);
    w.market.fail("Authorise", &[Slow]);
    let placing = w.place("k", &[(LAMP, 1)]);
    let news = async {
        // It has been asked, and has not answered yet.
        while w.market.state().payments.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let id = w.only().await.order_id;
        w.market.state().payments.get_mut(&id).unwrap().set_status(PaymentStatus::Authorised);
        let this = &w.orders;
        w.db().write(&w.system(), async |tx| this.payment_moved(&tx, &id, true).await).await.unwrap();
        id
    };
    let (placed, id) = tokio::join!(placing, news);
    assert_eq!(placed.unwrap().order_id, id);
    w.settle_down(&id).await;
    assert_eq!(w.get(&id).await.status(), OrderStatus::Paid);
}

pub async fn a_buyer_who_cancels_while_it_is_paid_gets_one_or_the_other(kind: Kind) {
    let (mut paid, mut cancelled) = (0, 0);
    for pause in 0..12 {
        let w = World::new(kind).await;
        w.market.fail("Capture", &[Down]);
        let placing = w.place("k", &[(LAMP, 1)]);
        let cancelling = async {
            tokio::time::sleep(Duration::from_millis(pause * 2)).await;
            let found = w.orders.list_orders(w.by(BUYER), Default::default()).await.unwrap().orders;
            let o = found.into_iter().next()?;
            let req = wire::CancelOrderRequest { order_id: o.order_id, ..Default::default() };
            Some(w.orders.cancel_order(w.by(BUYER), req).await)
        };
        let (placed, wish) = tokio::join!(placing, cancelling);
        let o = w.only().await;
        w.settle_down(&o.order_id).await;
        let o = w.get(&o.order_id).await;
        let taken: i64 = w.market.state().escrow.values().sum();
        match o.status() {
            OrderStatus::Paid => {
                paid += 1;
                assert_eq!((taken, w.market.left(LAMP)), (13_000, 9), "{placed:?} {wish:?}");
            }
            OrderStatus::Cancelled => {
                cancelled += 1;
                assert_eq!((taken, w.market.left(LAMP)), (0, 10), "{placed:?} {wish:?}");
            }
            other => panic!("{other:?}"),
        }
        w.sound().await;
    }
    println!("{paid} paid, {cancelled} cancelled");
}

pub async fn an_operator_sees_what_is_stuck_and_pushes_it(kind: Kind) {
    let w = World::new(kind).await;
    let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
    w.market.fail("CancelShipments", &vec![Down; 1000]);
    let mut cx = w.by(BUYER);
    cx.deadline = Some(Instant::now() + Duration::from_millis(350));
    let req = wire::CancelOrderRequest { order_id: o.order_id.clone(), ..Default::default() };
    assert_eq!(w.orders.cancel_order(cx, req).await.unwrap_err().reason(), "ORDER_PENDING");
    while order::store::saga::of(w.db().primary(), &o.order_id).await.unwrap()[0].attempts < 12 {
        w.resume().await;
    }
    // It is put off again and again, and never overdue.
    assert_eq!(w.orders.clone().check_sagas(w.system()).await.unwrap().len(), 1);
    w.pass(Duration::from_secs(61));
    let wrong = w.orders.clone().check_sagas(w.system()).await.unwrap();
    assert!(wrong[0].contains("CANCEL does not get on"), "{wrong:?}");
    let stuck = w.orders.list_sagas(w.system(), wire::ListSagasRequest { overdue_secs: 60, ..Default::default() });
    let stuck = stuck.await.unwrap().sagas;
    assert_eq!(stuck.iter().map(|s| (s.step.as_str(), s.part)).collect::<Vec<_>>(), [("CANCEL", 1)]);
    w.market.state().trouble.clear();
    let retry = wire::RetrySagasRequest { order_id: o.order_id.clone() };
    assert!(w.orders.retry_sagas(w.system(), retry).await.unwrap().sagas.is_empty());
    assert_eq!(w.get(&o.order_id).await.status(), OrderStatus::Cancelled);
    let unknown = wire::RetrySagasRequest { order_id: format!("ord_{}", "0".repeat(32)) };
    assert_eq!(w.orders.retry_sagas(w.system(), unknown).await.unwrap_err().code(), Code::NotFound);
    w.sound().await;
}
