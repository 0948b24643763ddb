//! Shared carts.

use crate::support::*;
use jangteo_core::Code;
use proto::jangteo::{
    cart::v1::{self as wire, cart_service::Api},
    catalog::v1::ProductStatus,
};
use std::time::Duration;

async fn share(w: &World, user: &str) -> wire::CartShare {
    w.carts.share_cart(by(user), wire::ShareCartRequest {}).await.unwrap()
}

fn look(share: &wire::CartShare) -> wire::GetSharedCartRequest {
    wire::GetSharedCartRequest { share_token: share.share_token.clone() }
}

fn copy(share: &wire::CartShare) -> wire::CopySharedCartRequest {
    wire::CopySharedCartRequest { share_token: share.share_token.clone(), ..Default::default() }
}

pub async fn a_shared_cart_is_a_copy(k: Kind) {
    let w = world(k).await;
    (1..=2).for_each(|n| _ = w.shop.offer(n, 10));
    w.add(MINSU, 1, 2).await.unwrap();
    let shared = share(&w, MINSU).await;
    assert_eq!(shared.path, format!("/v1/carts/shared/{}", shared.share_token));
    assert!(!w.stores.stored(&shared.share_token[4..]));
    w.add(MINSU, 2, 1).await.unwrap();
    let seen = w.carts.get_shared_cart(anonymous(), look(&shared)).await.unwrap();
    assert_eq!((lines(&seen), total(&seen), seen.expire_time), (vec![(1, 2)], 20, shared.expire_time));
    let late = anonymous().now + Duration::from_secs(31 * DAY);
    let e = w.carts.get_shared_cart(at(anonymous(), late), look(&shared)).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::NotFound, "SHARE_NOT_FOUND"));
}

pub async fn a_copy_is_priced_anew(k: Kind) {
    let w = world(k).await;
    (1..=4).for_each(|n| _ = w.shop.offer(n, 10));
    w.shop.put(4, |o| o.seller_id = EMMA.into());
    for n in 1..=4 {
        w.add(MINSU, n, 2).await.unwrap();
    }
    let shared = share(&w, MINSU).await;
    w.shop.offer(1, 15);
    w.shop.put(2, |o| o.status = ProductStatus::Sold.into());
    w.shop.withdraw(3);
    w.add(EMMA, 1, 98).await.unwrap();
    let copied = w.carts.copy_shared_cart(by(EMMA), copy(&shared)).await.unwrap();
    let cart = copied.cart.unwrap();
    assert_eq!((lines(&cart), total(&cart)), (vec![(1, 99)], 99 * 15));
    assert!(cart.sellers[0].lines[0].changes.is_empty());
    let mut left: Vec<_> = copied.left_out.iter().map(|l| (l.product_id.clone(), l.quantity)).collect();
    left.sort();
    assert_eq!(left, [(prd(1), 1), (prd(2), 2), (prd(3), 2), (prd(4), 2)]);
    let guest = w.carts.copy_shared_cart(anonymous(), copy(&shared)).await.unwrap().cart.unwrap();
    assert_eq!(lines(&w.guest_cart(&guest.guest_token).await.unwrap()), [(1, 2), (4, 2)]);
    let once = keyed(by(SELLER), "key", 1);
    for _ in 0..2 {
        let copied = w.carts.copy_shared_cart(once.clone(), copy(&shared)).await.unwrap();
        assert_eq!((lines(&copied.cart.unwrap()), copied.left_out.len()), (vec![(4, 2)], 3));
    }
}

pub async fn only_its_owner_ends_a_share(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    w.add(MINSU, 1, 1).await.unwrap();
    let shared = share(&w, MINSU).await;
    let end = wire::DeleteSharedCartRequest { share_token: shared.share_token.clone() };
    assert_eq!(w.carts.delete_shared_cart(by(EMMA), end.clone()).await.unwrap_err().reason(), "NOT_YOURS");
    w.carts.delete_shared_cart(by(MINSU), end.clone()).await.unwrap();
    assert_eq!(w.carts.delete_shared_cart(by(MINSU), end).await.unwrap_err().reason(), "SHARE_NOT_FOUND");
    assert!(w.carts.get_shared_cart(by(MINSU), look(&shared)).await.is_err());
    assert_eq!(lines(&w.cart(MINSU).await), [(1, 1)]);
}

pub async fn of_too_many_shares_the_oldest_end(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    w.add(MINSU, 1, 1).await.unwrap();
    let mut shares = Vec::new();
    for _ in 0..22 {
        shares.push(share(&w, MINSU).await);
    }
    for (n, shared) in shares.iter().enumerate() {
        assert_eq!(w.carts.get_shared_cart(anonymous(), look(shared)).await.is_ok(), n >= 2, "{n}");
    }
}

pub async fn nothing_can_not_be_shared(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    let e = w.carts.share_cart(by(MINSU), wire::ShareCartRequest {}).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::FailedPrecondition, "CART_EMPTY"));
    w.add(MINSU, 1, 1).await.unwrap();
    w.carts.clear_cart(by(MINSU), Default::default()).await.unwrap();
    assert_eq!(w.carts.share_cart(by(MINSU), wire::ShareCartRequest {}).await.unwrap_err().reason(), "CART_EMPTY");
}
