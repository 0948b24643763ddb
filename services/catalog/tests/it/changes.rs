//! What sellers do to their products.

use crate::support::*;
use jangteo_core::Code;
use prost_types::FieldMask;
use proto::jangteo::catalog::v1::{self as wire, ProductStatus, catalog_service::Api, product_event::Event};

pub async fn a_product_is_listed_as_it_was_described(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    assert_eq!(made.tags, ["자전거", "hybrid"]);
    assert_eq!((made.status(), made.stock(), made.seller_id.as_str()), (ProductStatus::OnSale, 1, SELLER));
    assert_eq!(w.get(&made.product_id).await.unwrap(), made);
    let events = w.history(&made.product_id).await;
    assert!(
        matches!(&events[..], [wire::ProductEvent { version: 1, event: Some(Event::Created(e)), .. }] if e.product_id == made.product_id)
    );
    w.assert_row_is_its_history(&made.product_id).await;
}

pub async fn the_shard_of_the_region_is_in_the_id(kind: Kind) {
    let w = over(kind, 3).await;
    for (n, region) in ["seoul", "gyeonggi", "gangwon", "chungcheong", "jeolla", "gyeongsang"].into_iter().enumerate() {
        let made = w.list_one(|r| r.region_id = region.into()).await;
        assert!(made.product_id.ends_with(&format!("{n:02x}")), "{region}: {}", made.product_id);
        assert_eq!(w.get(&made.product_id).await.unwrap().region_id, region);
    }
}

pub async fn strangers_to_the_tree_and_the_map_are_refused(kind: Kind) {
    let w = world(kind).await;
    let mut req = bicycle();
    req.category_id = "time-machines".into();
    let e = w.catalog.create_product(by(SELLER), req).await.unwrap_err();
    assert_eq!(fields(&e), ["category_id"]);
    let mut req = bicycle();
    req.region_id = "atlantis".into();
    let e = w.catalog.create_product(by(SELLER), req).await.unwrap_err();
    assert_eq!(fields(&e), ["region_id"]);
    let e = w.catalog.create_product(anonymous(), bicycle()).await.unwrap_err();
    assert_eq!(e.code(), Code::Unauthenticated);
}

pub async fn an_id_of_no_shard_is_not_found(kind: Kind) {
    let w = over(kind, 2).await;
    for id in ["prd_0192f1c2e4b87c3a9d5e6f7081920000", "prd_0192f1c2e4b87c3a9d5e6f70819200ff"] {
        assert_eq!(w.get(id).await.unwrap_err().code(), Code::NotFound, "{id}");
    }
}

pub async fn a_key_makes_one_product_and_no_other_request_may_use_it(kind: Kind) {
    let w = over(kind, 2).await;
    let first = w.catalog.create_product(keyed(by(SELLER), "k1", 1), bicycle()).await.unwrap();
    let again = w.catalog.create_product(keyed(by(SELLER), "k1", 1), bicycle()).await.unwrap();
    assert_eq!(first, again);
    // Gyeonggi is kept in the other database.
    for region in ["seoul", "gyeonggi"] {
        let mut other = bicycle();
        other.region_id = region.into();
        let e = w.catalog.create_product(keyed(by(SELLER), "k1", 2), other).await.unwrap_err();
        assert_eq!(e.reason(), "REQUEST_ID_REUSED", "{region}");
    }
    assert!(w.catalog.create_product(keyed(by(OTHER), "k1", 2), bicycle()).await.is_ok());
    let all = w.catalog.list_products(anonymous(), Default::default()).await.unwrap();
    assert_eq!(all.products.len(), 2);
}

pub async fn an_update_without_a_mask_changes_what_is_there(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    let req = wire::UpdateProductRequest { price: won(99_000), stock: Some(3), ..update(&made) };
    let changed = w.catalog.update_product(by(SELLER), req).await.unwrap();
    assert_eq!((changed.price.as_ref().unwrap().units, changed.stock(), &changed.title), (99_000, 3, &made.title));
    let events = w.history(&made.product_id).await;
    let [_, updated, stock] = &events[..] else { panic!("{events:?}") };
    assert!(matches!(&updated.event, Some(Event::Updated(e)) if e.changed == ["price"]));
    assert!(matches!(&stock.event, Some(Event::StockChanged(e)) if (e.delta, e.stock) == (2, 3)));
    assert_eq!(changed.etag, "3");
    w.assert_row_is_its_history(&made.product_id).await;
}

pub async fn an_update_with_a_mask_changes_what_it_names(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    let req = wire::UpdateProductRequest {
        title: Some("접이식 자전거".into()),
        price: won(1),
        update_mask: Some(FieldMask { paths: vec!["title".into(), "tags".into(), "description".into()] }),
        ..update(&made)
    };
    let changed = w.catalog.update_product(by(SELLER), req).await.unwrap();
    assert_eq!((changed.title.as_str(), &changed.price), ("접이식 자전거", &made.price));
    assert_eq!((changed.description.as_str(), changed.tags.len()), ("", 0));
    let bad = wire::UpdateProductRequest {
        update_mask: Some(FieldMask { paths: vec!["seller_id".into()] }),
        ..update(&made)
    };
    let e = w.catalog.update_product(by(SELLER), bad).await.unwrap_err();
    assert_eq!(fields(&e), ["update_mask"]);
    w.assert_row_is_its_history(&made.product_id).await;
}

pub async fn an_old_etag_is_refused_and_nothing_is_written(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    let to = |title: &str, etag: &str| wire::UpdateProductRequest {
        title: Some(title.into()),
        etag: etag.into(),
        ..update(&made)
    };
    let second = w.catalog.update_product(by(SELLER), to("둘째", &made.etag)).await.unwrap();
    let e = w.catalog.update_product(by(SELLER), to("셋째", &made.etag)).await.unwrap_err();
    assert_eq!((e.code(), e.reason(), &e.metadata()["etag"]), (Code::Aborted, "ETAG_MISMATCH", &second.etag));
    let now = w.get(&made.product_id).await.unwrap();
    assert_eq!((now.title.as_str(), &now.etag), ("둘째", &second.etag));
    let sell = wire::SellProductRequest { product_id: made.product_id, etag: "1".into(), ..Default::default() };
    assert_eq!(w.catalog.sell_product(by(SELLER), sell).await.unwrap_err().code(), Code::Aborted);
}

pub async fn saying_the_same_again_is_no_change(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    let req = wire::UpdateProductRequest { title: Some(made.title.clone()), ..update(&made) };
    assert_eq!(w.catalog.update_product(by(SELLER), req).await.unwrap().etag, made.etag);
    assert_eq!(w.history(&made.product_id).await.len(), 1);
}

pub async fn only_the_owner_and_administrators_change_a_product(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    let id = || made.product_id.clone();
    for (cx, code) in [(by(OTHER), Code::PermissionDenied), (anonymous(), Code::Unauthenticated)] {
        let c = &w.catalog;
        let refused = [
            c.update_product(cx.clone(), wire::UpdateProductRequest { title: Some("내 것".into()), ..update(&made) })
                .await
                .unwrap_err(),
            c.delete_product(cx.clone(), wire::DeleteProductRequest { product_id: id(), ..Default::default() })
                .await
                .unwrap_err(),
            c.reserve_product(cx.clone(), wire::ReserveProductRequest { product_id: id(), ..Default::default() })
                .await
                .unwrap_err(),
            c.sell_product(cx.clone(), wire::SellProductRequest { product_id: id(), ..Default::default() })
                .await
                .unwrap_err(),
            c.relist_product(cx.clone(), wire::RelistProductRequest { product_id: id(), ..Default::default() })
                .await
                .unwrap_err(),
            c.adjust_stock(cx.clone(), wire::AdjustStockRequest { product_id: id(), delta: 1, ..Default::default() })
                .await
                .unwrap_err(),
        ];
        assert!(refused.iter().all(|e| e.code() == code), "{refused:?}");
    }
    assert_eq!(w.get(&made.product_id).await.unwrap(), made);
    let admin = with_roles(OTHER, &["user", "admin"]);
    let req = wire::DeleteProductRequest { product_id: id(), ..Default::default() };
    w.catalog.delete_product(admin, req).await.unwrap();
}

pub async fn status_goes_by_its_table(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    let id = || made.product_id.clone();
    let reserve = || {
        w.catalog.reserve_product(by(SELLER), wire::ReserveProductRequest { product_id: id(), ..Default::default() })
    };
    let sell =
        || w.catalog.sell_product(by(SELLER), wire::SellProductRequest { product_id: id(), ..Default::default() });
    let relist =
        || w.catalog.relist_product(by(SELLER), wire::RelistProductRequest { product_id: id(), ..Default::default() });
    assert_eq!(relist().await.unwrap_err().reason(), "WRONG_STATUS");
    assert_eq!(reserve().await.unwrap().status(), ProductStatus::Reserved);
    assert_eq!(reserve().await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(sell().await.unwrap().status(), ProductStatus::Sold);
    assert_eq!(sell().await.unwrap_err().metadata()["status"], "sold");
    assert_eq!(relist().await.unwrap().status(), ProductStatus::OnSale);
    let turns: Vec<_> = w
        .history(&made.product_id)
        .await
        .into_iter()
        .skip(1)
        .map(|e| match e.event {
            Some(Event::StatusChanged(e)) => (e.from(), e.to()),
            other => panic!("{other:?}"),
        })
        .collect();
    use ProductStatus::{OnSale, Reserved, Sold};
    assert_eq!(turns, [(OnSale, Reserved), (Reserved, Sold), (Sold, OnSale)]);
    w.assert_row_is_its_history(&made.product_id).await;
}

pub async fn what_is_deleted_is_gone_for_everybody_and_at_once(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    w.get(&made.product_id).await.unwrap();
    let req = || wire::DeleteProductRequest { product_id: made.product_id.clone(), ..Default::default() };
    w.catalog.delete_product(by(SELLER), req()).await.unwrap();
    assert_eq!(w.get(&made.product_id).await.unwrap_err().reason(), "PRODUCT_NOT_FOUND");
    assert_eq!(w.catalog.delete_product(by(SELLER), req()).await.unwrap_err().code(), Code::NotFound);
    let like = wire::LikeProductRequest { product_id: made.product_id.clone() };
    assert_eq!(w.catalog.like_product(by(OTHER), like).await.unwrap_err().code(), Code::NotFound);
    let history = wire::ListProductHistoryRequest { product_id: made.product_id.clone(), ..Default::default() };
    assert_eq!(w.catalog.list_product_history(by(SELLER), history).await.unwrap_err().code(), Code::NotFound);
    assert!(w.catalog.list_products(anonymous(), Default::default()).await.unwrap().products.is_empty());
}

pub async fn administrators_let_the_tree_grow(kind: Kind) {
    let w = world(kind).await;
    let admin = || with_roles(OTHER, &["user", "admin"]);
    let names = Some(wire::Names { ko: "전기자전거".into(), en: "E-bikes".into() });
    let req = |id: &str, parent: &str| wire::CreateCategoryRequest {
        category_id: id.into(),
        parent_id: parent.into(),
        names: names.clone(),
        ..Default::default()
    };
    let tree = || async { w.catalog.list_categories(anonymous(), Default::default()).await.unwrap().categories };
    assert!(tree().await.len() >= 10);
    w.catalog.create_category(admin(), req("e-bikes", "cycling")).await.unwrap();
    let sports = tree().await.into_iter().find(|c| c.category_id == "sports").unwrap();
    let cycling = sports.children.iter().find(|c| c.category_id == "cycling").unwrap();
    assert_eq!(cycling.children[0].category_id, "e-bikes");
    let again = w.catalog.create_category(admin(), req("e-bikes", "")).await.unwrap_err();
    assert_eq!((again.code(), again.reason()), (Code::AlreadyExists, "CATEGORY_EXISTS"));
    w.catalog.create_category(admin(), req("cargo-bikes", "e-bikes")).await.unwrap();
    let deep = w.catalog.create_category(admin(), req("long-cargo-bikes", "cargo-bikes")).await.unwrap_err();
    assert_eq!(deep.reason(), "CATEGORY_TOO_DEEP");
    // A product far below is found from the top.
    let made = w.list_one(|r| r.category_id = "cargo-bikes".into()).await;
    let list = wire::ListProductsRequest { category_id: "sports".into(), ..Default::default() };
    let found = w.catalog.list_products(anonymous(), list).await.unwrap().products;
    assert_eq!(found[0].product_id, made.product_id);
}

pub async fn an_erased_seller_s_products_are_withdrawn(kind: Kind) {
    let w = over(kind, 2).await;
    let seoul = w.list_one(|_| {}).await;
    let jeju = w.list_one(|p| p.region_id = "jeolla".into()).await;
    let held = w.list_one(|p| p.stock = Some(2)).await;
    let theirs = w.catalog.create_product(by(OTHER), bicycle()).await.unwrap();
    let like = wire::LikeProductRequest { product_id: theirs.product_id.clone() };
    w.catalog.like_product(by(SELLER), like).await.unwrap();
    w.hold(1, &[(&held, 1)]).await.unwrap();
    for _ in 0..2 {
        for db in [w.db(&seoul.product_id), w.db(&jeju.product_id)] {
            let forget = async |tx: kit::db::Tx| w.catalog.clone().forget(tx, SELLER.to_owned()).await;
            db.write(&system("catalog"), forget).await.unwrap();
        }
    }
    for gone in [&seoul, &jeju] {
        assert_eq!(w.get(&gone.product_id).await.unwrap_err().reason(), "PRODUCT_NOT_FOUND");
    }
    assert_eq!(w.get(&held.product_id).await.unwrap().status(), wire::ProductStatus::Sold, "an order holds it");
    let left = w.get(&theirs.product_id).await.unwrap();
    assert_eq!((left.status(), left.like_count()), (wire::ProductStatus::OnSale, 0));
    w.release(1, &[(&held, 1)]).await.unwrap();
    w.assert_all_is_well().await;
}
