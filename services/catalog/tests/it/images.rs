//! Pictures and parcels.

use crate::support::*;
use prost_types::FieldMask;
use proto::jangteo::catalog::v1::{self as wire, ParcelSize, catalog_service::Api, product_event::Event};
use std::sync::atomic::Ordering;

const STRANGE: &str = "med_00000000000000000000000000000002";

pub async fn only_one_s_own_pictures_are_shown(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|r| r.image_ids = vec![PICTURE.into()]).await;
    assert_eq!(w.get(&made.product_id).await.unwrap().image_ids, [PICTURE]);
    assert!(matches!(&w.history(&made.product_id).await[0].event, Some(Event::Created(e)) if e.image_ids == [PICTURE]));
    let req = wire::CreateProductRequest { image_ids: vec![PICTURE.into(), STRANGE.into()], ..bicycle() };
    let e = w.catalog.create_product(by(SELLER), req).await.unwrap_err();
    assert_eq!(fields(&e), ["image_ids[1]"]);
    let req = wire::CreateProductRequest { image_ids: vec![PICTURE.into()], ..bicycle() };
    assert_eq!(fields(&w.catalog.create_product(by(OTHER), req).await.unwrap_err()), ["image_ids[0]"]);
    let req = wire::UpdateProductRequest { image_ids: vec![STRANGE.into()], ..update(&made) };
    assert_eq!(fields(&w.catalog.update_product(by(SELLER), req).await.unwrap_err()), ["image_ids[0]"]);
    // An administrator attaches the seller's pictures, not their own.
    let admin = with_roles(OTHER, &["user", "admin"]);
    let req = wire::UpdateProductRequest { image_ids: vec![PICTURE.into()], ..update(&made) };
    assert_eq!(w.catalog.update_product(admin, req).await.unwrap().image_ids, [PICTURE]);
    w.assert_row_is_its_history(&made.product_id).await;
}

pub async fn a_product_without_pictures_asks_nobody(kind: Kind) {
    let w = world(kind).await;
    let made = w.list_one(|_| {}).await;
    let req = wire::UpdateProductRequest { price: won(1), ..update(&made) };
    w.catalog.update_product(by(SELLER), req).await.unwrap();
    assert_eq!(w.asked.load(Ordering::Relaxed), 0);
    let req = wire::UpdateProductRequest { image_ids: vec![PICTURE.into()], ..update(&made) };
    w.catalog.update_product(by(SELLER), req).await.unwrap();
    let update_mask = Some(FieldMask { paths: vec!["image_ids".into()] });
    let req = wire::UpdateProductRequest { update_mask, ..update(&made) };
    assert!(w.catalog.update_product(by(SELLER), req).await.unwrap().image_ids.is_empty());
    assert_eq!(w.asked.load(Ordering::Relaxed), 1);
    w.assert_row_is_its_history(&made.product_id).await;
}

pub async fn a_parcel_is_said_changed_and_cleared(kind: Kind) {
    let w = world(kind).await;
    let parcel = |weight_grams, sum_cm| Some(ParcelSize { weight_grams, sum_cm });
    let made = w.list_one(|r| r.parcel = parcel(1200, 60)).await;
    assert_eq!(w.get(&made.product_id).await.unwrap().parcel, parcel(1200, 60));
    let req = wire::UpdateProductRequest { parcel: parcel(900, 50), ..update(&made) };
    assert_eq!(w.catalog.update_product(by(SELLER), req).await.unwrap().parcel, parcel(900, 50));
    w.assert_row_is_its_history(&made.product_id).await;
    let update_mask = Some(FieldMask { paths: vec!["parcel".into()] });
    let req = wire::UpdateProductRequest { update_mask, ..update(&made) };
    assert_eq!(w.catalog.update_product(by(SELLER), req).await.unwrap().parcel, None);
    w.assert_row_is_its_history(&made.product_id).await;
}
