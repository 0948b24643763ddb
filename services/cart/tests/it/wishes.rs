//! Wishlists.

use crate::support::*;
use proto::jangteo::cart::v1::{self as wire, LineChange, cart_service::Api};
use std::sync::atomic::Ordering;
use tokio::task::JoinSet;

fn put(n: u32) -> wire::PutWishRequest {
    wire::PutWishRequest { product_id: prd(n) }
}

async fn wished(w: &World, user: &str, n: u32) -> bool {
    w.carts.get_wish(by(user), wire::GetWishRequest { product_id: prd(n) }).await.unwrap().wished()
}

pub async fn wishing_twice_is_wishing_once(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 10);
    assert!(!wished(&w, MINSU, 1).await);
    let mut puts = JoinSet::new();
    for _ in 0..10 {
        let carts = w.carts.clone();
        puts.spawn(async move { carts.put_wish(by(MINSU), put(1)).await.unwrap() });
    }
    let wishes = puts.join_all().await;
    assert!(wishes.iter().all(|wish| *wish == wishes[0] && wish.wished()));
    let list = w.carts.list_wishes(by(MINSU), Default::default()).await.unwrap();
    assert_eq!(list.wishes.len(), 1);
    for _ in 0..2 {
        let gone = w.carts.delete_wish(by(MINSU), wire::DeleteWishRequest { product_id: prd(1) }).await.unwrap();
        assert!(!gone.wished());
    }
    assert!(!wished(&w, MINSU, 1).await);
    for n in [1, 2] {
        w.shop.withdraw(n);
        assert_eq!(w.carts.put_wish(by(MINSU), put(n)).await.unwrap_err().reason(), "PRODUCT_NOT_FOUND");
        let delete = wire::DeleteWishRequest { product_id: prd(n) };
        assert_eq!(w.carts.delete_wish(by(MINSU), delete).await.unwrap_err().reason(), "PRODUCT_NOT_FOUND");
    }
}

pub async fn wishes_come_in_pages_and_say_what_changed(k: Kind) {
    let w = world(k).await;
    for n in 1..=7 {
        w.shop.offer(n, 100);
        w.carts.put_wish(by(MINSU), put(n)).await.unwrap();
    }
    w.shop.offer(7, 80);
    w.shop.withdraw(1);
    let mut req = wire::ListWishesRequest { page_size: 3, ..Default::default() };
    let mut all = Vec::new();
    loop {
        let page = w.carts.list_wishes(by(MINSU), req.clone()).await.unwrap();
        all.extend(page.wishes);
        if page.next_page_token.is_empty() {
            break;
        }
        req.page_token = page.next_page_token;
    }
    assert_eq!(
        all.iter().map(|wish| wish.product_id.clone()).collect::<Vec<_>>(),
        (1..=7).rev().map(prd).collect::<Vec<_>>()
    );
    assert_eq!(all[0].changes().collect::<Vec<_>>(), [LineChange::PriceChanged]);
    assert_eq!((all[0].added_price.as_ref().unwrap().units, all[0].price.as_ref().unwrap().units), (100, 80));
    assert_eq!(all[6].changes().collect::<Vec<_>>(), [LineChange::Gone]);
    w.shop.away.store(true, Ordering::Relaxed);
    let stale = w.carts.list_wishes(by(MINSU), Default::default()).await.unwrap();
    assert!(stale.stale && stale.wishes[0].changes.is_empty());
}

pub async fn a_wishlist_is_the_wisher_s_own(k: Kind) {
    let w = world(k).await;
    w.shop.offer(1, 100);
    w.carts.put_wish(by(MINSU), put(1)).await.unwrap();
    assert!(!wished(&w, EMMA, 1).await && wished(&w, MINSU, 1).await);
    let page = w.carts.list_wishes(by(MINSU), wire::ListWishesRequest { page_size: 1, ..Default::default() }).await;
    assert_eq!(page.unwrap().next_page_token, "");
    assert!(w.carts.list_wishes(anonymous(), Default::default()).await.is_err());
}

pub async fn an_erased_person_leaves_nothing(kind: Kind) {
    use kit::db::sea_orm::{ConnectionTrait, Statement};
    let w = world(kind).await;
    w.shop.offer(1, 100);
    for user in [MINSU, EMMA] {
        w.add(user, 1, 1).await.unwrap();
        w.carts.share_cart(by(user), Default::default()).await.unwrap();
        w.carts.put_wish(by(user), put(1)).await.unwrap();
    }
    for _ in 0..2 {
        let forget = async |tx: kit::db::Tx| w.carts.clone().forget(tx, MINSU.to_owned()).await;
        w.stores.db().write(&system("cart"), forget).await.unwrap();
    }
    let db = w.stores.db();
    let conn = db.primary();
    for (table, left) in [("cart", 2), ("cart_line", 2), ("wish", 1)] {
        let sql = format!("SELECT COUNT(*) AS n FROM {table}");
        let row = conn.query_one_raw(Statement::from_string(conn.get_database_backend(), sql)).await.unwrap();
        assert_eq!(row.unwrap().try_get::<i64>("", "n").unwrap(), left, "{table}");
    }
}
