//! A person's cart.

use crate::support::*;
use jangteo_core::Code;
use kit::{
    Received,
    db::{DbResult, Tx, sea_orm::ConnectionTrait},
};
use proto::jangteo::{
    cart::v1::{self as wire, LineChange, cart_service::Api},
    catalog::v1::ProductStatus,
    order::v1::{OrderPlaced, PlacedLine, PlacedPart},
};
use std::sync::atomic::Ordering;
use tokio::task::JoinSet;

pub async fn ten_parallel_adds_keep_ten(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 500);
    let mut adds = JoinSet::new();
    for _ in 0..10 {
        let carts = w.carts.clone();
        adds.spawn(async move { carts.add_cart_item(by(MINSU), add(1, 1)).await.unwrap() });
    }
    adds.join_all().await;
    let cart = w.cart(MINSU).await;
    assert_eq!((lines(&cart), total(&cart), cart.buyable()), (vec![(1, 10)], 5000, 10));
    assert_eq!(cart.expire_time, None);
}

pub async fn of_parallel_adds_beyond_the_limit_none_breaks_it(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 500);
    let mut adds = JoinSet::new();
    for _ in 0..12 {
        let carts = w.carts.clone();
        adds.spawn(async move { carts.add_cart_item(by(MINSU), add(1, 9)).await });
    }
    let outcomes = adds.join_all().await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 11);
    let refused = outcomes.into_iter().find_map(Result::err).unwrap();
    assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "QUANTITY_TOO_LARGE"));
    assert_eq!(lines(&w.cart(MINSU).await), [(1, 99)]);
}

pub async fn a_cart_holds_a_hundred_products(k: Kind) {
    let w = world(k).await;
    (1..=101).for_each(|n| _ = w.shop.offer(n, 1));
    for n in 1..=99 {
        w.add(MINSU, n, 1).await.unwrap();
    }
    let mut adds = JoinSet::new();
    for n in [100, 101] {
        let carts = w.carts.clone();
        adds.spawn(async move { carts.add_cart_item(by(MINSU), add(n, 1)).await });
    }
    let outcomes = adds.join_all().await;
    assert_eq!(
        outcomes.into_iter().filter_map(Result::err).map(|e| e.reason().to_owned()).collect::<Vec<_>>(),
        ["CART_FULL"]
    );
    assert_eq!(w.add(MINSU, 1, 1).await.unwrap().buyable(), 101);
    assert!(w.check().await.is_empty());
}

pub async fn prices_and_stock_are_those_of_now(k: Kind) {
    let w = world(k).await;
    (1..=3).for_each(|n| _ = w.shop.offer(n, 1000));
    w.shop.put(3, |o| o.seller_id = EMMA.into());
    for n in 1..=3 {
        w.add(MINSU, n, 2).await.unwrap();
    }
    assert_eq!(total(&w.cart(MINSU).await), 6000);
    w.shop.offer(1, 700);
    w.shop.put(2, |o| o.available = Some(1));
    w.shop.withdraw(3);
    let cart = w.cart(MINSU).await;
    assert_eq!((total(&cart), cart.buyable(), cart.stale), (2400, 3, false));
    let changes: Vec<_> = cart.sellers.iter().flat_map(|s| &s.lines).flat_map(|l| l.changes()).collect();
    assert_eq!(changes, [LineChange::PriceChanged, LineChange::InsufficientStock, LineChange::Gone]);
    assert_eq!(cart.sellers.iter().map(|s| s.subtotal.as_ref().unwrap().units).collect::<Vec<_>>(), [2400, 0]);
    let line = &w.add(MINSU, 1, 1).await.unwrap().sellers[0].lines[0];
    assert!(line.changes.is_empty(), "whoever puts it in again has seen the new price");
}

pub async fn without_the_catalogue_the_cart_is_answered_as_it_is_known(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 300);
    w.add(MINSU, 1, 2).await.unwrap();
    w.shop.away.store(true, Ordering::Relaxed);
    let cart = w.cart(MINSU).await;
    assert_eq!((cart.stale, total(&cart), &*cart.sellers[0].lines[0].title), (true, 600, "thing 1"));
    assert_eq!(w.add(MINSU, 1, 1).await.unwrap_err().code(), Code::Unavailable);
    let less = wire::UpdateCartItemRequest { product_id: prd(1), quantity: 1, ..Default::default() };
    assert_eq!(lines(&w.carts.update_cart_item(by(MINSU), less).await.unwrap()), [(1, 1)]);
}

pub async fn own_sold_and_absent_products_are_refused(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 300);
    w.shop.put(2, |o| o.status = ProductStatus::Sold.into());
    for (user, n, reason) in [(SELLER, 1, "OWN_PRODUCT"), (MINSU, 2, "NOT_ON_SALE"), (MINSU, 3, "PRODUCT_NOT_FOUND")] {
        assert_eq!(w.add(user, n, 1).await.unwrap_err().reason(), reason);
    }
    assert_eq!(w.cart(MINSU).await.cart_id, "");
}

pub async fn lines_change_and_go(k: Kind) {
    let w = world(k).await;
    (1..=3).for_each(|n| _ = w.shop.offer(n, 1));
    for n in 1..=3 {
        w.add(MINSU, n, 2).await.unwrap();
    }
    let set = |n, quantity| wire::UpdateCartItemRequest { product_id: prd(n), quantity, ..Default::default() };
    assert_eq!(lines(&w.carts.update_cart_item(by(MINSU), set(2, 7)).await.unwrap()), [(1, 2), (2, 7), (3, 2)]);
    let e = w.carts.update_cart_item(by(MINSU), set(4, 7)).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::NotFound, "NOT_IN_CART"));
    let remove = wire::RemoveCartItemRequest { product_id: prd(2), ..Default::default() };
    for _ in 0..2 {
        assert_eq!(lines(&w.carts.remove_cart_item(by(MINSU), remove.clone()).await.unwrap()), [(1, 2), (3, 2)]);
    }
    assert!(lines(&w.carts.clear_cart(by(MINSU), Default::default()).await.unwrap()).is_empty());
}

pub async fn the_same_key_adds_once(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 1);
    let call = keyed(by(MINSU), "key-1", 1);
    for _ in 0..3 {
        let cart = w.carts.add_cart_item(call.clone(), add(1, 2)).await.unwrap();
        assert_eq!(lines(&cart), [(1, 2)]);
    }
}

fn placed(buyer: &str, bought: &[(u32, i32)]) -> OrderPlaced {
    let line =
        |(n, quantity): &(u32, i32)| PlacedLine { product_id: prd(*n), quantity: *quantity, ..Default::default() };
    let part = |b: &(u32, i32)| PlacedPart { lines: vec![line(b)], ..Default::default() };
    OrderPlaced {
        order_id: "ord_1".into(),
        buyer_id: buyer.into(),
        parts: bought.iter().map(part).collect(),
        ..Default::default()
    }
}

pub async fn what_was_ordered_leaves_the_cart_once(k: Kind) {
    let w = world(k).await;
    (1..=3).for_each(|n| _ = w.shop.offer(n, 1));
    for n in 1..=3 {
        w.add(MINSU, n, 5).await.unwrap();
    }
    let event = placed(MINSU, &[(1, 2), (2, 3), (2, 2), (9, 1)]);
    for _ in 0..2 {
        let ev = Received::deliver("cart", "cart.order", event.clone(), 1, system("cart").now);
        w.carts.clone().order_placed(ev).await.unwrap();
        assert_eq!(lines(&w.cart(MINSU).await), [(1, 3), (3, 5)]);
    }
    let other = OrderPlaced { order_id: "ord_2".into(), ..placed(EMMA, &[(1, 1)]) };
    w.carts.clone().order_placed(Received::deliver("cart", "cart.order", other, 1, system("cart").now)).await.unwrap();
    assert_eq!(w.cart(EMMA).await.cart_id, "", "who has no cart gets none by ordering");
}

pub async fn the_check_finds_what_must_not_be(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 1);
    w.add(MINSU, 1, 1).await.unwrap();
    let guest = w.guest(1, 1).await;
    w.merge(EMMA, &guest).await.unwrap();
    assert!(w.check().await.is_empty());
    let line = |cart: &str, n: u32| {
        format!(
            "INSERT INTO cart_line (cart_id, product_id, seller_id, title, image_id, quantity, added_price, add_time) \
             SELECT cart_id, 'prd_x{n}', 's', 't', '', 1, 1, 1 FROM cart WHERE {cart}"
        )
    };
    let plant = async |sql: String| {
        let sql = &*sql;
        let write = async |tx: Tx| tx.execute_unprepared(sql).await.db().map(|_| ());
        w.stores.db().write(&system("test"), write).await.unwrap();
    };
    for n in 0..100 {
        plant(line(&format!("user_id = '{MINSU}'"), n)).await;
    }
    plant(line("merged_by IS NOT NULL", 0)).await;
    let found = w.check().await;
    assert!(found.len() == 2 && found[0].contains("101 lines") && found[1].contains("was merged"), "{found:?}");
}
