//! Orders for those whom they concern: lists, time lines, the past, sums.

use crate::{peers::Trouble, world::*};
use jangteo_core::Code;
use proto::jangteo::order::v1::{self as wire, OrderRole, OrderStatus, order_service::Api};
use std::time::Duration;
use testbed::{Kind, with_roles};

pub async fn an_order_is_between_its_people(kind: Kind) {
    let w = World::new(kind).await;
    let o = w.place("k", &[(LAMP, 2), (CHAIR, 1)]).await.unwrap();
    let get = |cx| w.orders.get_order(cx, wire::GetOrderRequest { order_id: o.order_id.clone(), as_of: None });
    let sold = get(w.by(OTHER_SELLER)).await.unwrap();
    assert_eq!((sold.parts.len(), sold.parts[0].part, total(&sold), sold.payment), (1, 2, 28_000, None));
    assert_eq!(get(w.by(STRANGER)).await.unwrap_err().reason(), "NOT_YOURS");
    assert_eq!(get(w.at_now(with_roles(STRANGER, &["user", "moderator"]))).await.unwrap(), o);
    assert_eq!(get(w.at_now(testbed::anonymous())).await.unwrap_err().code(), Code::Unauthenticated);
    let req = wire::GetOrderRequest { order_id: format!("ord_{}", "0".repeat(32)), as_of: None };
    assert_eq!(w.orders.get_order(w.by(BUYER), req).await.unwrap_err().reason(), "ORDER_NOT_FOUND");
    let trade = wire::GetTradeRequest { order_id: o.order_id.clone(), part: 2 };
    let trade = w.orders.get_trade(w.system(), trade).await.unwrap();
    assert_eq!((trade.buyer_id.as_str(), trade.seller_id.as_str()), (BUYER, OTHER_SELLER));
    assert_eq!((trade.product_ids, trade.status), (vec![CHAIR.to_owned()], OrderStatus::Paid.into()));
    let trade = wire::GetTradeRequest { order_id: o.order_id.clone(), part: 3 };
    assert_eq!(w.orders.get_trade(w.system(), trade).await.unwrap_err().reason(), "PART_NOT_FOUND");
}

pub async fn lists_come_in_pages_the_newest_first(kind: Kind) {
    let w = World::new(kind).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let items: &[_] = if n % 2 == 0 { &[(LAMP, 1)] } else { &[(LAMP, 1), (CHAIR, 1)] };
        ids.insert(0, w.place(&n.to_string(), items).await.unwrap().order_id);
    }
    let list = async |user: &str, role: OrderRole, token: &str, status: &[OrderStatus]| {
        let req = wire::ListOrdersRequest {
            page_size: 2,
            page_token: token.to_owned(),
            role: role.into(),
            status: status.iter().map(|s| (*s).into()).collect(),
        };
        w.orders.list_orders(w.by(user), req).await
    };
    for (user, role, expected) in [
        (BUYER, OrderRole::Unspecified, ids.clone()),
        (SELLER, OrderRole::Seller, ids.clone()),
        (OTHER_SELLER, OrderRole::Seller, vec![ids[1].clone(), ids[3].clone()]),
        (SELLER, OrderRole::Buyer, vec![]),
    ] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = list(user, role, &token, &[]).await.unwrap();
            assert!(role != OrderRole::Seller || page.orders.iter().all(|o| o.parts.len() == 1));
            found.extend(page.orders.into_iter().map(|o| o.order_id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "{user} {role:?}");
    }
    w.ship(&ids[1], 2).await;
    let shipping = list(OTHER_SELLER, OrderRole::Seller, "", &[OrderStatus::Shipping]).await.unwrap();
    assert_eq!(shipping.orders.iter().map(|o| o.order_id.as_str()).collect::<Vec<_>>(), [&ids[1]]);
    assert!(list(BUYER, OrderRole::Buyer, "", &[OrderStatus::Shipping]).await.unwrap().orders.is_empty());
    assert_eq!(list(BUYER, OrderRole::Platform, "", &[]).await.unwrap_err().code(), Code::PermissionDenied);
    let all = wire::ListOrdersRequest { role: OrderRole::Platform.into(), ..Default::default() };
    let all = w.orders.list_orders(w.at_now(with_roles(STRANGER, &["user", "admin"])), all).await.unwrap();
    assert_eq!(all.orders.len(), 5);
    let foreign = list(BUYER, OrderRole::Buyer, "", &[]).await.unwrap().next_page_token;
    assert_eq!(list(SELLER, OrderRole::Buyer, &foreign, &[]).await.unwrap_err().code(), Code::InvalidArgument);
}

pub async fn the_past_is_as_it_was(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().outcomes.push_back(proto::jangteo::payment::v1::PaymentStatus::ActionRequired);
    let before = w.clock_now();
    w.pass(Duration::from_secs(1));
    let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
    let then = w.clock_now();
    w.pass(Duration::from_secs(1));
    let req = wire::CancelOrderRequest { order_id: o.order_id.clone(), ..Default::default() };
    w.orders.cancel_order(w.by(BUYER), req).await.unwrap();
    let as_of = |time| {
        let req = wire::GetOrderRequest { order_id: o.order_id.clone(), as_of: Some(proto::timestamp(time)) };
        w.orders.get_order(w.by(BUYER), req)
    };
    assert_eq!(as_of(then).await.unwrap(), o);
    assert_eq!(as_of(w.clock_now()).await.unwrap().status(), OrderStatus::Cancelled);
    let e = as_of(before).await.unwrap_err();
    assert_eq!((e.code(), e.metadata().contains_key("as_of")), (Code::NotFound, true));
}

pub async fn a_time_line_tells_each_what_concerns_them(kind: Kind) {
    let w = World::new(kind).await;
    w.market.state().outcomes.push_back(proto::jangteo::payment::v1::PaymentStatus::Declined);
    w.place("k", &[(LAMP, 1), (CHAIR, 1)]).await.unwrap_err();
    let id = w.only().await.order_id;
    let pay = wire::PayOrderRequest { order_id: id.clone(), source: wallet(), request_id: String::new() };
    w.orders.pay_order(w.by(BUYER), pay).await.unwrap();
    let cancel = wire::CancelOrderRequest { order_id: id.clone(), ..Default::default() };
    w.orders.cancel_order(w.by(SELLER), cancel).await.unwrap();
    w.settle_down(&id).await;
    let page = async |user: &str, token: &str, locale: &str| {
        let req = wire::ListOrderTimelineRequest { order_id: id.clone(), page_size: 2, page_token: token.into() };
        let mut cx = w.by(user);
        cx.locale = Some(locale.into());
        w.orders.list_order_timeline(cx, req).await
    };
    let whole = async |user: &str| {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let found = page(user, &token, "en-US").await.unwrap();
            all.extend(found.entries.into_iter().map(|e| format!("{} {} {}", e.kind, e.actor, e.reason)));
            token = found.next_page_token;
            if token.is_empty() {
                return all;
            }
        }
    };
    let buyer = [
        "PLACED BUYER ",
        "PAYMENT_DECLINED PLATFORM INSUFFICIENT_FUNDS",
        "PAID PLATFORM ",
        "PART_CANCELLED PLATFORM BY_SELLER",
        "PART_SETTLED PLATFORM ",
    ];
    assert_eq!(whole(BUYER).await, buyer);
    assert_eq!(whole(OTHER_SELLER).await, ["PLACED BUYER ", "PAID PLATFORM "]);
    assert_eq!(page(BUYER, "", "ko").await.unwrap().entries[0].text, "주문 접수");
    assert_eq!(page(BUYER, "", "en").await.unwrap().entries[0].text, "Order placed");
    assert_eq!(page(STRANGER, "", "en").await.unwrap_err().reason(), "NOT_YOURS");
}

pub async fn months_are_summed_up_for_both_sides(kind: Kind) {
    let w = World::new(kind).await;
    w.place("1", &[(LAMP, 1), (CHAIR, 1)]).await.unwrap();
    w.place("2", &[(LAMP, 2)]).await.unwrap();
    w.market.fail("HoldStock", &[Trouble::Refused("OUT_OF_STOCK")]);
    w.place("3", &[(LAMP, 1)]).await.unwrap_err();
    let statistics = async |user: &str| {
        let s = w.orders.get_order_statistics(w.by(user), Default::default()).await.unwrap();
        let line = |c: wire::OrderCount| (c.status(), c.count, c.total.map_or(0, |m| m.units));
        (s.bought.into_iter().map(line).collect::<Vec<_>>(), s.sold.into_iter().map(line).collect::<Vec<_>>())
    };
    let bought = vec![(OrderStatus::Paid, 2, 41_000 + 23_000), (OrderStatus::Cancelled, 1, 13_000)];
    assert_eq!(statistics(BUYER).await, (bought, vec![]));
    let sold = vec![(OrderStatus::Paid, 2, 13_000 + 23_000), (OrderStatus::Cancelled, 1, 13_000)];
    assert_eq!(statistics(SELLER).await, (vec![], sold));
    assert_eq!(statistics(OTHER_SELLER).await, (vec![], vec![(OrderStatus::Paid, 1, 28_000)]));
    assert_eq!(statistics(STRANGER).await, (vec![], vec![]));
}

/// A check that never fails is worth nothing.
pub async fn the_checks_find_what_is_wrong(kind: Kind) {
    use kit::db::DbResult;
    use sea_orm::ConnectionTrait;
    let w = World::new(kind).await;
    let o = w.place("k", &[(LAMP, 1)]).await.unwrap();
    w.sound().await;
    let break_it = async |sql: &str| {
        w.db().write(&w.system(), async |tx| tx.execute_unprepared(sql).await.db().map(drop)).await.unwrap();
    };
    break_it("UPDATE order_part SET status = 1").await;
    assert_eq!(w.orders.clone().check_orders(w.system()).await.unwrap().len(), 1);
    break_it("UPDATE order_part SET status = 2; UPDATE orders SET version = 7").await;
    assert_eq!(w.orders.clone().check_orders(w.system()).await.unwrap().len(), 1);
    break_it("UPDATE orders SET version = 2, closed = TRUE").await;
    assert_eq!(w.orders.clone().check_orders(w.system()).await.unwrap().len(), 1);
    let left = w.orders.clone().check_escrows(w.system()).await.unwrap();
    assert_eq!(left, [format!("order {}: closed, with 13000 won in escrow", o.order_id)]);
    break_it("UPDATE orders SET status = 1, closed = FALSE").await;
    assert_eq!(w.orders.clone().check_sagas(w.system()).await.unwrap().len(), 1);
}

pub async fn what_is_open_is_counted_for_both_sides(kind: Kind) {
    let w = World::new(kind).await;
    let open = async |user: &str| {
        let req = wire::CountOpenPartsRequest { user_id: user.into() };
        let found = w.orders.count_open_parts(testbed::system("auth"), req).await.unwrap();
        (found.bought, found.sold)
    };
    assert_eq!(open(BUYER).await, (0, 0));
    let order = w.place("1", &[(LAMP, 1), (CHAIR, 1)]).await.unwrap();
    assert_eq!((open(BUYER).await, open(SELLER).await, open(OTHER_SELLER).await), ((2, 0), (0, 1), (0, 1)));
    assert_eq!(open(STRANGER).await, (0, 0));
    w.deliver(&order.order_id, 1).await;
    let part = |part| wire::ConfirmOrderRequest { order_id: order.order_id.clone(), part, ..Default::default() };
    w.orders.confirm_order(w.by(BUYER), part(1)).await.unwrap();
    w.settle_down(&order.order_id).await;
    assert_eq!((open(BUYER).await, open(SELLER).await), ((1, 0), (0, 0)));
    let cancel = wire::CancelOrderRequest { order_id: order.order_id.clone(), part: 2, ..Default::default() };
    w.orders.cancel_order(w.by(BUYER), cancel).await.unwrap();
    w.settle_down(&order.order_id).await;
    assert_eq!((open(BUYER).await, open(OTHER_SELLER).await), ((0, 0), (0, 0)));
}
