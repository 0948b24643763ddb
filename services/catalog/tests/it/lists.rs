//! Lists, pages and history.

use crate::support::*;
use proto::jangteo::catalog::v1::{self as wire, Condition, ProductSort, ProductStatus, catalog_service::Api};
use std::collections::BTreeSet;

/// Follows the pages to the end; `between` runs after each.
async fn all(w: &World, req: wire::ListProductsRequest, mut between: impl AsyncFnMut()) -> Vec<wire::Product> {
    let mut req = req;
    let mut found = Vec::new();
    loop {
        let page = w.catalog.list_products(anonymous(), req.clone()).await.unwrap();
        assert!(page.products.len() <= req.page_size as usize);
        found.extend(page.products);
        if page.next_page_token.is_empty() {
            return found;
        }
        req.page_token = page.next_page_token;
        between().await;
    }
}

const REGIONS: [&str; 6] = ["seoul", "gyeonggi", "gangwon", "chungcheong", "jeolla", "gyeongsang"];

pub async fn every_order_is_whole_and_right_while_others_list_new_products(kind: Kind) {
    for databases in [1, 4] {
        let w = over(kind, databases).await;
        let mut first = BTreeSet::new();
        for n in 0..40usize {
            // Few prices, so that many rows share one.
            let price = [1000, 2000, 3000][n % 3];
            let made = w.list_one(|r| {
                r.price = won(price);
                r.region_id = REGIONS[n % 6].into();
            });
            first.insert(made.await.product_id);
        }
        for sort in
            [ProductSort::Newest, ProductSort::PriceAscending, ProductSort::PriceDescending, ProductSort::MostLiked]
        {
            let req = wire::ListProductsRequest { page_size: 7, sort: sort.into(), ..Default::default() };
            let found = all(&w, req, async || {
                w.list_one(|r| r.price = won(2000)).await;
            })
            .await;
            let ids: Vec<_> = found.iter().map(|p| p.product_id.clone()).collect();
            let unique: BTreeSet<_> = ids.iter().cloned().collect();
            assert_eq!(unique.len(), ids.len(), "{sort:?}: a product came twice");
            assert!(first.is_subset(&unique), "{sort:?}: a product was missed");
            let key = |p: &wire::Product| match sort {
                ProductSort::PriceAscending => p.price.as_ref().unwrap().units,
                ProductSort::PriceDescending => -p.price.as_ref().unwrap().units,
                ProductSort::MostLiked => -i64::from(p.like_count()),
                _ => -proto::time(p.create_time.as_ref().unwrap()).timestamp_micros(),
            };
            assert!(found.is_sorted_by_key(key), "{sort:?}");
        }
    }
}

pub async fn filters_hold_together(kind: Kind) {
    let w = over(kind, 2).await;
    let wanted = w.list_one(|r| {
        r.price = won(50_000);
        r.region_id = "jeolla".into();
        r.category_id = "novels".into();
        r.condition = Condition::LikeNew.into();
    });
    let wanted = wanted.await;
    w.list_one(|r| r.price = won(50_000)).await;
    w.list_one(|r| r.category_id = "novels".into()).await;
    let mut theirs = bicycle();
    theirs.region_id = "jeolla".into();
    w.catalog.create_product(by(OTHER), theirs).await.unwrap();
    let sell = wire::SellProductRequest { product_id: wanted.product_id.clone(), ..Default::default() };
    w.catalog.sell_product(by(SELLER), sell).await.unwrap();

    type Filter = fn(&mut wire::ListProductsRequest);
    let filters: [(&str, Filter, usize); 8] = [
        ("all", |_| {}, 4),
        ("category", |r| r.category_id = "books".into(), 2),
        ("region", |r| r.region_id = "jeolla".into(), 2),
        ("price", |r| (r.min_price, r.max_price) = (Some(50_000), Some(50_000)), 2),
        ("condition", |r| r.condition = vec![Condition::LikeNew.into(), Condition::New.into()], 1),
        ("status", |r| r.status = vec![ProductStatus::Sold.into()], 1),
        ("seller", |r| r.seller_id = OTHER.into(), 1),
        (
            "together",
            |r| {
                r.category_id = "novels".into();
                r.region_id = "jeolla".into();
                r.seller_id = SELLER.into();
                r.status = vec![ProductStatus::Sold.into()];
            },
            1,
        ),
    ];
    for (name, filter, count) in filters {
        let mut req = wire::ListProductsRequest { page_size: 10, ..Default::default() };
        filter(&mut req);
        let found = w.catalog.list_products(anonymous(), req).await.unwrap().products;
        assert_eq!(found.len(), count, "{name}");
    }
    let backwards = wire::ListProductsRequest { min_price: Some(2), max_price: Some(1), ..Default::default() };
    assert_eq!(fields(&w.catalog.list_products(anonymous(), backwards).await.unwrap_err()), ["max_price"]);
}

pub async fn a_page_token_is_of_one_filter_and_order(kind: Kind) {
    let w = world(kind).await;
    for _ in 0..3 {
        w.list_one(|_| {}).await;
    }
    let req = wire::ListProductsRequest { page_size: 1, ..Default::default() };
    let page_token = w.catalog.list_products(anonymous(), req.clone()).await.unwrap().next_page_token;
    let other = wire::ListProductsRequest { page_token: page_token.clone(), region_id: "seoul".into(), ..req.clone() };
    assert_eq!(fields(&w.catalog.list_products(anonymous(), other).await.unwrap_err()), ["page_token"]);
    let larger = wire::ListProductsRequest { page_token, page_size: 2, ..req };
    assert_eq!(w.catalog.list_products(anonymous(), larger).await.unwrap().products.len(), 2);
}

pub async fn the_history_is_the_events_in_pages(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    for n in 0..9 {
        let req = wire::UpdateProductRequest { price: won(1000 + n), ..update(&made) };
        w.catalog.update_product(by(SELLER), req).await.unwrap();
    }
    let mut req =
        wire::ListProductHistoryRequest { product_id: made.product_id.clone(), page_size: 4, ..Default::default() };
    let mut shown = Vec::new();
    loop {
        let page = w.catalog.list_product_history(anonymous(), req.clone()).await.unwrap();
        shown.extend(page.events);
        if page.next_page_token.is_empty() {
            break;
        }
        req.page_token = page.next_page_token;
    }
    let stored = w.db(&made.product_id).history("product", &made.product_id, 0, 100).await.unwrap();
    assert_eq!(shown.len(), 10);
    assert_eq!(
        shown.iter().map(|e| (i64::from(e.version), e.time)).collect::<Vec<_>>(),
        stored.iter().map(|e| (e.version, e.time)).collect::<Vec<_>>(),
    );
    w.assert_row_is_its_history(&made.product_id).await;
}

pub async fn regions_are_six(kind: Kind) {
    let w = world(kind).await;
    let regions = w.catalog.list_regions(anonymous(), Default::default()).await.unwrap().regions;
    assert_eq!(regions.iter().map(|r| r.region_id.as_str()).collect::<Vec<_>>(), REGIONS);
}
