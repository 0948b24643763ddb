//! Many at once: stock, likes, views.

use crate::support::*;
use jangteo_core::Result;
use proto::jangteo::catalog::v1::{self as wire, ProductSort, catalog_service::Api, product_event::Event};
use tokio::task::JoinSet;

pub async fn of_a_hundred_takers_of_ten_exactly_ten_get_one(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|r| r.stock = Some(10)).await;
    let mut takers = JoinSet::new();
    for _ in 0..100 {
        let (catalog, product_id) = (w.catalog.clone(), made.product_id.clone());
        takers.spawn(async move {
            let req = wire::AdjustStockRequest { product_id, delta: -1, ..Default::default() };
            catalog.adjust_stock(by(SELLER), req).await
        });
    }
    let outcomes: Vec<Result<wire::Product>> = takers.join_all().await;
    let left: std::collections::BTreeSet<_> = outcomes.iter().flatten().map(|p| p.stock()).collect();
    assert_eq!(left, (0..10).collect(), "each taker saw another rest");
    let refused: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
    assert_eq!(refused.len(), 90);
    assert!(refused.iter().all(|e| e.reason() == "OUT_OF_STOCK"), "{refused:?}");
    assert_eq!(w.get(&made.product_id).await.unwrap().stock(), 0);
    let events = w.history(&made.product_id).await;
    let taken = events.iter().filter(|e| matches!(&e.event, Some(Event::StockChanged(e)) if e.delta == -1)).count();
    assert_eq!((taken, events.len()), (10, 11));
    w.assert_row_is_its_history(&made.product_id).await;
}

pub async fn stock_has_a_ceiling(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|r| r.stock = Some(99_999)).await;
    let add = |delta| wire::AdjustStockRequest { product_id: made.product_id.clone(), delta, ..Default::default() };
    assert_eq!(w.catalog.adjust_stock(by(SELLER), add(1)).await.unwrap().stock(), 100_000);
    assert_eq!(w.catalog.adjust_stock(by(SELLER), add(1)).await.unwrap_err().reason(), "STOCK_TOO_LARGE");
}

async fn like(w: &World, product_id: &str, people: impl Iterator<Item = usize>, liked: bool) -> Vec<wire::Like> {
    let mut set = JoinSet::new();
    for n in people {
        let (catalog, product_id) = (w.catalog.clone(), product_id.to_owned());
        set.spawn(async move {
            let cx = by(&format!("usr_{n:032x}"));
            match liked {
                true => catalog.like_product(cx, wire::LikeProductRequest { product_id }).await,
                false => catalog.unlike_product(cx, wire::UnlikeProductRequest { product_id }).await,
            }
            .unwrap()
        });
    }
    set.join_all().await
}

pub async fn a_like_counts_once_however_often_it_is_given(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    let id = &made.product_id;
    assert_eq!(w.get(id).await.unwrap().like_count(), 0);
    like(&w, id, std::iter::repeat_n(7, 100), true).await;
    assert_eq!(w.get(id).await.unwrap().like_count(), 1, "one person, a hundred times");
    like(&w, id, 0..100, true).await;
    assert_eq!(w.get(id).await.unwrap().like_count(), 100, "a hundred people");
    like(&w, id, (0..30).chain(0..30), false).await;
    assert_eq!(w.get(id).await.unwrap().like_count(), 70, "thirty of them no longer");
    let seen_by = |n: usize| {
        w.catalog.get_product(by(&format!("usr_{n:032x}")), wire::GetProductRequest { product_id: id.clone() })
    };
    assert_eq!(seen_by(1).await.unwrap().liked, Some(false));
    assert_eq!(seen_by(99).await.unwrap().liked, Some(true));
    assert_eq!(w.get(id).await.unwrap().liked, None);
    assert_eq!(w.get(id).await.unwrap().etag, made.etag, "likes are no change of the seller's");
}

pub async fn lists_learn_of_likes_by_the_job(kind: Kind) {
    let w = over(kind, 2).await;
    let (a, b) = (w.list_one(|_| {}).await, w.list_one(|r| r.region_id = "gyeonggi".into()).await);
    like(&w, &a.product_id, 0..5, true).await;
    like(&w, &b.product_id, 0..9, true).await;
    like(&w, &b.product_id, 0..1, false).await;
    w.catalog.clone().fold_likes(system("catalog")).await.unwrap();
    let req = wire::ListProductsRequest { sort: ProductSort::MostLiked.into(), ..Default::default() };
    let found = w.catalog.list_products(anonymous(), req).await.unwrap().products;
    let shown: Vec<_> = found.iter().map(|p| (p.product_id.as_str(), p.like_count())).collect();
    assert_eq!(shown, [(b.product_id.as_str(), 8), (a.product_id.as_str(), 5)]);
    w.catalog.clone().fold_likes(system("catalog")).await.unwrap();
}

pub async fn views_are_written_by_the_job_and_not_by_the_reader(kind: Kind) {
    let w = over(kind, 2).await;
    let (a, b) = (w.list_one(|_| {}).await, w.list_one(|r| r.region_id = "gyeonggi".into()).await);
    for _ in 0..5 {
        w.get(&a.product_id).await.unwrap();
    }
    w.get(&b.product_id).await.unwrap();
    let row = |id: String| {
        let db = w.db(&id).clone();
        async move { catalog::store::product::find(db.primary(), &id).await.unwrap() }
    };
    let before = row(a.product_id.clone()).await;
    assert_eq!(before.view_count, 0);
    w.catalog.clone().flush_views(system("catalog")).await.unwrap();
    w.catalog.clone().flush_views(system("catalog")).await.unwrap();
    let after = row(a.product_id.clone()).await;
    assert_eq!((after.view_count, after.version), (5, before.version));
    assert_eq!(row(b.product_id.clone()).await.view_count, 1);
    // A reader sees it when the cached count is a second old.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    assert_eq!(w.get(&a.product_id).await.unwrap().view_count(), 5);
}
