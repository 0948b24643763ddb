//! One hold at a time: what may become of it.

use crate::support::*;
use proto::jangteo::catalog::v1::{
    self as wire, ProductStatus, StockHoldStatus, catalog_service::Api, product_event::Event,
};

pub async fn a_hold_is_seen_at_once_and_sold_once(kind: Kind) {
    let w = world(kind).await;
    let p = w.list_one(|r| r.stock = Some(10)).await;
    assert_eq!(w.units(&p).await, (10, 10));
    let held = w.hold(1, &[(&p, 3)]).await.unwrap();
    assert_eq!((held.hold_id, held.expire_time.is_some()), (order(1), true));
    assert_eq!(w.units(&p).await, (10, 7));
    assert_eq!(w.get(&p.product_id).await.unwrap().etag, p.etag, "holding is no change of the product's");
    for _ in 0..2 {
        assert_eq!(w.confirm(1, &[(&p, 3)]).await.unwrap().status(), StockHoldStatus::Confirmed);
        assert_eq!(w.units(&p).await, (7, 7));
    }
    let events = w.history(&p.product_id).await;
    assert!(matches!(&events[1..], [wire::ProductEvent { event: Some(Event::StockChanged(e)), .. }] if e.stock == 7));
    assert_eq!(w.release(1, &[(&p, 3)]).await.unwrap_err().reason(), "HOLD_CONFIRMED");
    assert_eq!(w.confirm(2, &[(&p, 3)]).await.unwrap_err().reason(), "HOLD_NOT_FOUND");
    let listed = w.catalog.list_products(anonymous(), Default::default()).await.unwrap().products;
    assert_eq!((listed[0].stock(), listed[0].available()), (7, 7));
    w.assert_row_is_its_history(&p.product_id).await;
    w.assert_all_is_well().await;
}

pub async fn holding_twice_holds_once(kind: Kind) {
    let w = world(kind).await;
    let p = w.list_one(|r| r.stock = Some(10)).await;
    let first = w.hold(1, &[(&p, 3)]).await.unwrap();
    assert_eq!(w.hold(1, &[(&p, 3)]).await.unwrap(), first);
    assert_eq!(w.units(&p).await, (10, 7));
    let e = w.hold(1, &[(&p, 4)]).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["held"].as_str()), ("HOLD_DIFFERS", "3"));
    assert_eq!(w.confirm(1, &[(&p, 2)]).await.unwrap_err().reason(), "HOLD_DIFFERS");
    let twice = w.hold(2, &[(&p, 1), (&p, 1)]).await.unwrap_err();
    assert_eq!(fields(&twice), ["lines[1].product_id"]);
    w.assert_all_is_well().await;
}

pub async fn a_release_refuses_the_hold_that_comes_late(kind: Kind) {
    let w = world(kind).await;
    let p = w.list_one(|r| r.stock = Some(10)).await;
    let gone = w.release(1, &[(&p, 3)]).await.unwrap();
    assert_eq!((gone.status(), gone.expire_time), (StockHoldStatus::Released, None));
    assert_eq!(w.hold(1, &[(&p, 3)]).await.unwrap_err().reason(), "HOLD_RELEASED");
    w.hold(2, &[(&p, 3)]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(w.release(2, &[(&p, 3)]).await.unwrap().status(), StockHoldStatus::Released);
        assert_eq!(w.units(&p).await, (10, 10));
    }
    assert_eq!(w.confirm(2, &[(&p, 3)]).await.unwrap_err().reason(), "HOLD_RELEASED");
    w.assert_all_is_well().await;
}

pub async fn what_is_not_on_sale_can_not_be_held(kind: Kind) {
    let w = world(kind).await;
    let p = w.list_one(|r| r.stock = Some(2)).await;
    let e = w.hold(1, &[(&p, 3)]).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["left"].as_str()), ("OUT_OF_STOCK", "2"));
    let reserve = wire::ReserveProductRequest { product_id: p.product_id.clone(), ..Default::default() };
    w.catalog.reserve_product(by(SELLER), reserve).await.unwrap();
    let e = w.hold(1, &[(&p, 1)]).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["status"].as_str()), ("NOT_ON_SALE", "reserved"));
    let delete = wire::DeleteProductRequest { product_id: p.product_id.clone(), ..Default::default() };
    w.catalog.delete_product(by(SELLER), delete).await.unwrap();
    assert_eq!(w.hold(1, &[(&p, 1)]).await.unwrap_err().reason(), "PRODUCT_NOT_FOUND");
    w.assert_all_is_well().await;
}

pub async fn what_is_not_confirmed_in_time_is_free_again_and_may_be_held_again(kind: Kind) {
    let w = world(kind).await;
    let (p, q) = (w.list_one(|r| r.stock = Some(5)).await, w.list_one(|_| {}).await);
    let first = w.hold(1, &[(&p, 5), (&q, 1)]).await.unwrap();
    w.catalog.clone().expire_holds(system("catalog")).await.unwrap();
    assert_eq!(w.units(&p).await, (5, 0), "not yet");
    w.expire().await;
    assert_eq!((w.units(&p).await, w.units(&q).await), ((5, 5), (1, 1)));
    assert_eq!(w.confirm(1, &[(&p, 5), (&q, 1)]).await.unwrap_err().reason(), "HOLD_EXPIRED");
    let again = w.hold(1, &[(&p, 5), (&q, 1)]).await.unwrap();
    assert_ne!(again.expire_time, first.expire_time);
    w.confirm(1, &[(&p, 5), (&q, 1)]).await.unwrap();
    w.expire().await;
    assert_eq!((w.units(&p).await, w.units(&q).await), ((0, 0), (0, 0)));
    w.assert_all_is_well().await;
}

pub async fn what_is_held_is_neither_taken_from_the_stock_nor_withdrawn(kind: Kind) {
    let w = world(kind).await;
    let p = w.list_one(|r| r.stock = Some(5)).await;
    w.hold(1, &[(&p, 3)]).await.unwrap();
    let set = |stock| wire::UpdateProductRequest { stock: Some(stock), ..update(&p) };
    let e = w.catalog.update_product(by(SELLER), set(2)).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["held"].as_str()), ("STOCK_HELD", "3"));
    let add = |delta| wire::AdjustStockRequest { product_id: p.product_id.clone(), delta, ..Default::default() };
    let e = w.catalog.adjust_stock(by(SELLER), add(-3)).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["left"].as_str()), ("OUT_OF_STOCK", "2"));
    let delete = || wire::DeleteProductRequest { product_id: p.product_id.clone(), ..Default::default() };
    assert_eq!(w.catalog.delete_product(by(SELLER), delete()).await.unwrap_err().reason(), "STOCK_HELD");
    assert_eq!(w.history(&p.product_id).await.len(), 1, "what is refused leaves no event");
    assert_eq!(w.catalog.update_product(by(SELLER), set(3)).await.unwrap().available(), 0);
    assert_eq!(w.catalog.adjust_stock(by(SELLER), add(4)).await.unwrap().available(), 4);
    assert_eq!(w.units(&p).await, (7, 4));
    w.release(1, &[(&p, 3)]).await.unwrap();
    w.assert_row_is_its_history(&p.product_id).await;
    w.assert_all_is_well().await;
    w.catalog.delete_product(by(SELLER), delete()).await.unwrap();
    w.assert_all_is_well().await;
}

pub async fn what_was_sold_comes_back_once(kind: Kind) {
    let w = world(kind).await;
    let (p, q) = (w.list_one(|r| r.stock = Some(5)).await, w.list_one(|r| r.stock = Some(5)).await);
    w.hold(1, &[(&p, 2), (&q, 3)]).await.unwrap();
    assert_eq!(w.take_back(1, &[(&p, 2)]).await.unwrap_err().reason(), "NOT_SOLD");
    w.confirm(1, &[(&p, 2), (&q, 3)]).await.unwrap();
    for _ in 0..3 {
        w.take_back(1, &[(&p, 2)]).await.unwrap();
        assert_eq!((w.units(&p).await, w.units(&q).await), ((5, 5), (2, 2)));
    }
    assert_eq!(w.take_back(1, &[(&q, 2)]).await.unwrap_err().reason(), "HOLD_DIFFERS");
    assert_eq!(w.take_back(9, &[(&q, 3)]).await.unwrap_err().reason(), "NOT_SOLD");
    assert_eq!(w.release(1, &[(&p, 2), (&q, 3)]).await.unwrap_err().reason(), "HOLD_CONFIRMED");
    assert_eq!(w.confirm(1, &[(&p, 2), (&q, 3)]).await.unwrap().status(), StockHoldStatus::Confirmed);
    assert_eq!(w.units(&p).await, (5, 5), "confirming again sells nothing again");
    // Nothing follows a withdrawal, but the return is done all the same.
    let delete = wire::DeleteProductRequest { product_id: q.product_id.clone(), ..Default::default() };
    w.catalog.delete_product(by(SELLER), delete).await.unwrap();
    w.take_back(1, &[(&q, 3)]).await.unwrap();
    w.assert_all_is_well().await;
}

pub async fn the_last_one_sold_is_gone_and_its_return_is_on_sale(kind: Kind) {
    let w = world(kind).await;
    let p = w.list_one(|_| {}).await;
    let status = async || w.get(&p.product_id).await.unwrap().status();
    w.hold(1, &[(&p, 1)]).await.unwrap();
    assert_eq!(status().await, ProductStatus::OnSale);
    w.confirm(1, &[(&p, 1)]).await.unwrap();
    assert_eq!(status().await, ProductStatus::Sold);
    assert_eq!(w.hold(2, &[(&p, 1)]).await.unwrap_err().metadata()["status"], "sold");
    w.take_back(1, &[(&p, 1)]).await.unwrap();
    assert_eq!((status().await, w.units(&p).await), (ProductStatus::OnSale, (1, 1)));
    w.assert_row_is_its_history(&p.product_id).await;
    // What the seller says is gone stays gone.
    w.hold(2, &[(&p, 1)]).await.unwrap();
    let sell = wire::SellProductRequest { product_id: p.product_id.clone(), ..Default::default() };
    w.catalog.sell_product(by(SELLER), sell).await.unwrap();
    w.confirm(2, &[(&p, 1)]).await.unwrap();
    w.take_back(2, &[(&p, 1)]).await.unwrap();
    assert_eq!((status().await, w.units(&p).await), (ProductStatus::Sold, (1, 1)));
    w.assert_row_is_its_history(&p.product_id).await;
    w.assert_all_is_well().await;
}

pub async fn all_databases_or_none(kind: Kind) {
    let w = over(kind, 2).await;
    let here = w.list_one(|r| r.stock = Some(5)).await;
    let there = w.list_one(|r| (r.region_id, r.stock) = ("gyeonggi".into(), Some(1))).await;
    let e = w.hold(1, &[(&there, 2), (&here, 2)]).await.unwrap_err();
    assert_eq!(e.metadata()["product_id"], there.product_id);
    assert_eq!((w.units(&here).await, w.units(&there).await), ((5, 5), (1, 1)));
    w.assert_all_is_well().await;
    // Nothing stands in the way of another try.
    let both = [(&there, 1), (&here, 2)];
    w.hold(2, &both).await.unwrap();
    assert_eq!((w.units(&here).await, w.units(&there).await), ((5, 3), (1, 0)));
    assert_eq!(w.confirm(2, &both).await.unwrap().status(), StockHoldStatus::Confirmed);
    assert_eq!((w.units(&here).await, w.units(&there).await), ((3, 3), (0, 0)));
    w.take_back(2, &both).await.unwrap();
    // The release that overtakes leaves its mark in both.
    w.release(3, &both).await.unwrap();
    for part in [&both[..1], &both[1..], &both] {
        assert_eq!(w.hold(3, part).await.unwrap_err().reason(), "HOLD_RELEASED");
    }
    w.assert_all_is_well().await;
}

pub async fn an_interrupted_sale_is_undone_by_the_release(kind: Kind) {
    let w = over(kind, 2).await;
    let here = w.list_one(|_| {}).await;
    let there = w.list_one(|r| r.region_id = "gyeonggi".into()).await;
    let both = [(&here, 1), (&there, 1)];
    w.hold(1, &both).await.unwrap();
    // The process died between the two databases, and the time of the rest ran out.
    w.confirm(1, &both[..1]).await.unwrap();
    w.expire().await;
    assert_eq!((w.units(&here).await, w.units(&there).await), ((0, 0), (1, 1)));
    assert_eq!(w.confirm(1, &both).await.unwrap_err().reason(), "HOLD_EXPIRED");
    w.release(1, &both).await.unwrap();
    assert_eq!((w.units(&here).await, w.units(&there).await), ((1, 1), (1, 1)));
    assert_eq!(w.get(&here.product_id).await.unwrap().status(), ProductStatus::OnSale);
    assert_eq!(w.confirm(1, &both).await.unwrap_err().reason(), "HOLD_RELEASED");
    // Held again instead, the sale is completed.
    w.hold(2, &both).await.unwrap();
    w.confirm(2, &both[..1]).await.unwrap();
    w.expire().await;
    w.hold(2, &both).await.unwrap();
    w.confirm(2, &both).await.unwrap();
    assert_eq!((w.units(&here).await, w.units(&there).await), ((0, 0), (0, 0)));
    w.assert_all_is_well().await;
}

pub async fn offers_come_in_the_order_asked(kind: Kind) {
    let w = over(kind, 2).await;
    let here = w.list_one(|r| (r.stock, r.image_ids) = (Some(5), vec![PICTURE.into()])).await;
    let there = w.list_one(|r| r.region_id = "gyeonggi".into()).await;
    let gone = w.list_one(|_| {}).await;
    let delete = wire::DeleteProductRequest { product_id: gone.product_id.clone(), ..Default::default() };
    w.catalog.delete_product(by(SELLER), delete).await.unwrap();
    w.hold(1, &[(&here, 2)]).await.unwrap();
    let nobody = "prd_0192f1c2e4b87c3a9d5e6f70819200ff".to_owned();
    let product_ids = vec![there.product_id.clone(), nobody, gone.product_id, here.product_id.clone()];
    let req = wire::GetOffersRequest { product_ids };
    let offers = w.catalog.get_offers(system("order"), req).await.unwrap().offers;
    let ids: Vec<_> = offers.iter().map(|o| (o.product_id.as_str(), o.available(), o.image_id.as_str())).collect();
    assert_eq!(ids, [(there.product_id.as_str(), 1, ""), (here.product_id.as_str(), 3, PICTURE)]);
    assert_eq!((offers[0].status(), offers[0].price.clone()), (ProductStatus::OnSale, there.price));
    assert_eq!((offers[0].seller_id.as_str(), offers[0].region_id.as_str()), (SELLER, "gyeonggi"));
}

/// A row changed behind the service's back is not seen until something evicts it: holding does not.
pub async fn holding_leaves_the_product_in_the_cache(kind: Kind) {
    use kit::db::{DbResult, sea_orm::ConnectionTrait};
    let w = world(kind).await;
    let p = w.list_one(|r| r.stock = Some(5)).await;
    w.get(&p.product_id).await.unwrap();
    let rename = async |tx: kit::db::Tx| {
        tx.execute_unprepared("UPDATE product SET title = 'behind the back'").await.db()?;
        Ok(())
    };
    w.db(&p.product_id).write(&system("test"), rename).await.unwrap();
    w.hold(1, &[(&p, 2)]).await.unwrap();
    let seen = w.get(&p.product_id).await.unwrap();
    assert_eq!((seen.title.as_str(), seen.available()), (p.title.as_str(), 3));
    w.confirm(1, &[(&p, 2)]).await.unwrap();
    assert_eq!(w.get(&p.product_id).await.unwrap().title, "behind the back");
}
