//! Guests, and what becomes of their carts.

use crate::support::*;
use jangteo_core::Code;
use proto::jangteo::cart::v1::{self as wire, cart_service::Api};
use std::time::Duration;
use tokio::task::JoinSet;

pub async fn a_guest_gets_a_token_and_nobody_keeps_it(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    let empty = w.guest_cart("").await.unwrap();
    assert_eq!((lines(&empty), total(&empty), &*empty.guest_token), (vec![], 0, ""));
    let first = w.carts.add_cart_item(keyed(anonymous(), "key", 1), add(1, 2)).await.unwrap();
    let token = first.guest_token.clone();
    assert!(token.starts_with("jtg_") && first.expire_time.is_some() && lines(&first) == [(1, 2)]);
    let again = w.carts.add_cart_item(keyed(anonymous(), "key", 1), add(1, 2)).await.unwrap();
    assert_ne!(again.guest_token, token, "an answer that holds a token is kept for nobody");
    let more = w.carts.add_cart_item(anonymous(), guest_add(&token, 1, 1)).await.unwrap();
    assert_eq!((lines(&more), &*more.guest_token), (vec![(1, 3)], ""));
    assert!(!w.stores.stored(&token) && !w.stores.stored(&token[4..]));
    assert!(!format!("{first:?}").contains(&token));
}

pub async fn a_foreign_token_opens_nothing(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    let token = w.guest(1, 1).await;
    let stranger = format!("jtg_{}", "A".repeat(43));
    for bad in [&*stranger, "jtg_", "x", &format!("{token}A"), &token.replace("jtg_", "jts_")] {
        let e = w.guest_cart(bad).await.unwrap_err();
        assert_eq!((e.code(), e.reason()), (Code::NotFound, "CART_NOT_FOUND"), "{bad}");
        assert_eq!(w.merge(MINSU, bad).await.unwrap_err().reason(), "CART_NOT_FOUND");
        let e = w.carts.add_cart_item(anonymous(), guest_add(bad, 1, 1)).await.unwrap_err();
        assert_eq!(e.reason(), "CART_NOT_FOUND");
    }
    let none = w.carts.clear_cart(anonymous(), Default::default()).await.unwrap_err();
    assert_eq!(none.reason(), "GUEST_TOKEN_REQUIRED");
    assert_eq!(lines(&w.guest_cart(&token).await.unwrap()), [(1, 1)]);
}

pub async fn an_expired_cart_is_gone_and_swept(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    let token = w.guest(1, 1).await;
    w.add(MINSU, 1, 1).await.unwrap();
    let later = anonymous().now + Duration::from_secs(31 * DAY);
    let get = wire::GetCartRequest { guest_token: token.clone() };
    assert_eq!(w.carts.get_cart(at(anonymous(), later), get).await.unwrap_err().reason(), "CART_NOT_FOUND");
    let merge = wire::MergeCartRequest { guest_token: token.clone() };
    assert_eq!(w.carts.merge_cart(at(by(MINSU), later), merge).await.unwrap_err().reason(), "CART_NOT_FOUND");
    w.carts.clone().expire(system("cart")).await.unwrap();
    assert_eq!(lines(&w.guest_cart(&token).await.unwrap()), [(1, 1)], "not yet");
    w.carts.clone().expire(at(system("cart"), later)).await.unwrap();
    assert_eq!(w.guest_cart(&token).await.unwrap_err().reason(), "CART_NOT_FOUND");
    assert_eq!(lines(&w.cart(MINSU).await), [(1, 1)], "people's carts stay");
}

pub async fn using_a_cart_keeps_it_alive(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    let token = w.guest(1, 1).await;
    let get = wire::GetCartRequest { guest_token: token };
    let mut now = anonymous().now;
    let first = w.carts.get_cart(at(anonymous(), now), get.clone()).await.unwrap().expire_time.unwrap();
    for _ in 0..3 {
        now += Duration::from_secs(20 * DAY);
        w.carts.get_cart(at(anonymous(), now), get.clone()).await.unwrap();
    }
    let last = w.carts.get_cart(at(anonymous(), now), get).await.unwrap().expire_time.unwrap();
    assert_eq!(((last.seconds - first.seconds) as u64).div_ceil(DAY), 60);
}

pub async fn merging_twice_merges_once(k: Kind) {
    let w = world(k).await;
    (1..=3).for_each(|n| _ = w.shop.offer(n, 10));
    let token = w.guest(1, 3).await;
    w.carts.add_cart_item(anonymous(), guest_add(&token, 2, 1)).await.unwrap();
    w.add(MINSU, 1, 2).await.unwrap();
    w.add(MINSU, 3, 1).await.unwrap();
    let mut merges = JoinSet::new();
    for _ in 0..5 {
        let (carts, guest_token) = (w.carts.clone(), token.clone());
        merges.spawn(async move { carts.merge_cart(by(MINSU), wire::MergeCartRequest { guest_token }).await.unwrap() });
    }
    for merged in merges.join_all().await {
        let mut got = lines(merged.cart.as_ref().unwrap());
        got.sort_unstable();
        assert_eq!((got, merged.left_out.len()), (vec![(1, 5), (2, 1), (3, 1)], 0));
    }
    assert_eq!(w.guest_cart(&token).await.unwrap_err().reason(), "CART_NOT_FOUND");
    assert_eq!(w.merge(EMMA, &token).await.unwrap_err().reason(), "CART_NOT_FOUND");
    assert!(w.check().await.is_empty());
}

pub async fn a_merge_fills_up_to_the_limit(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    w.shop.put(2, |o| o.seller_id = MINSU.into());
    let token = w.guest(1, 60).await;
    w.carts.add_cart_item(anonymous(), guest_add(&token, 2, 4)).await.unwrap();
    w.add(MINSU, 1, 50).await.unwrap();
    let merged = w.merge(MINSU, &token).await.unwrap();
    assert_eq!(lines(merged.cart.as_ref().unwrap()), [(1, 99)]);
    let left: Vec<_> = merged.left_out.iter().map(|l| (l.product_id.clone(), l.quantity)).collect();
    assert_eq!(left, [(prd(1), 11), (prd(2), 4)]);
}

pub async fn of_two_people_who_merge_one_guest_one_gets_it(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    for _ in 0..5 {
        let token = w.guest(1, 1).await;
        let mut merges = JoinSet::new();
        for user in [MINSU, EMMA] {
            let (carts, guest_token) = (w.carts.clone(), token.clone());
            merges.spawn(async move { carts.merge_cart(by(user), wire::MergeCartRequest { guest_token }).await });
        }
        assert_eq!(merges.join_all().await.iter().filter(|m| m.is_ok()).count(), 1);
    }
    let (minsu, emma) = (w.cart(MINSU).await, w.cart(EMMA).await);
    assert_eq!(minsu.buyable() + emma.buyable(), 5);
}

pub async fn adds_during_a_merge_are_merged_or_refused(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    let token = w.guest(1, 1).await;
    let mut adds = JoinSet::new();
    for n in 0..20 {
        let (carts, guest_token) = (w.carts.clone(), token.clone());
        adds.spawn(async move {
            if n == 10 {
                carts.merge_cart(by(MINSU), wire::MergeCartRequest { guest_token }).await.unwrap();
                return 0;
            }
            i32::from(carts.add_cart_item(anonymous(), guest_add(&guest_token, 1, 1)).await.is_ok())
        });
    }
    let acknowledged: i32 = adds.join_all().await.into_iter().sum();
    // An add whose line was merged before it was read back is acknowledged as gone: counted in the cart alone.
    let merged = w.cart(MINSU).await.buyable();
    assert!((acknowledged + 1..=20).contains(&merged), "{acknowledged} acknowledged, {merged} in the cart");
}
