//! Many buyers at once.

use crate::support::*;
use catalog::Catalog;
use jangteo_core::{Code, Error};
use kit::db::{DbResult, sea_orm::ConnectionTrait};
use proto::jangteo::catalog::v1::{self as wire, ProductStatus, StockLine, catalog_service::Api};
use std::sync::Arc;
use tokio::task::JoinSet;

pub async fn of_two_hundred_takers_of_the_last_one_exactly_one_gets_it(kind: Kind) {
    let w = world(kind).await;
    let p = w.list_one(|_| {}).await;
    let mut takers = JoinSet::new();
    for n in 0..200 {
        let (catalog, lines) = (w.catalog.clone(), lines(&[(&p, 1)]));
        takers.spawn(async move { hold(&catalog, n, lines).await });
    }
    let outcomes = takers.join_all().await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    let refused: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err()).map(Error::reason).collect();
    assert!(refused.iter().all(|r| *r == "OUT_OF_STOCK"), "{refused:?}");
    assert_eq!(w.units(&p).await, (1, 0));
    w.assert_all_is_well().await;
}

/// What a buyer does, and whether they bought.
async fn buy(catalog: &Arc<Catalog>, n: usize, lines: Vec<StockLine>) -> bool {
    if n.is_multiple_of(97) {
        expire(catalog).await;
    }
    // Some only try; one in five gives up before the hold has come, one in seven afterwards.
    if n.is_multiple_of(5) {
        let late = hold(catalog, n, lines.clone());
        let (released, _) = tokio::join!(release(catalog, n, lines.clone()), late);
        released.unwrap();
        assert_eq!(confirm(catalog, n, lines).await.unwrap_err().reason(), "HOLD_RELEASED");
        return false;
    }
    loop {
        match hold(catalog, n, lines.clone()).await {
            Ok(_) if n.is_multiple_of(7) => {
                release(catalog, n, lines).await.unwrap();
                return false;
            }
            Ok(_) => match confirm(catalog, n, lines.clone()).await {
                Ok(_) => return true,
                // The time was over; once more.
                Err(e) if e.reason() == "HOLD_EXPIRED" => {}
                Err(e) => panic!("{e:?}"),
            },
            Err(e) if ["OUT_OF_STOCK", "NOT_ON_SALE"].contains(&e.reason()) => return false,
            Err(e) => panic!("{e:?}"),
        }
    }
}

pub async fn two_thousand_buyers_of_a_hundred_units_buy_exactly_a_hundred(kind: Kind) {
    const BUYERS: usize = 2000;
    const AT_ONCE: usize = 40;
    let w = world(kind).await;
    let p = w.list_one(|r| r.stock = Some(100)).await;
    let mut crowd = JoinSet::new();
    for first in 0..AT_ONCE {
        let (catalog, lines) = (w.catalog.clone(), lines(&[(&p, 1)]));
        crowd.spawn(async move {
            let mut bought = 0;
            for n in (first..BUYERS).step_by(AT_ONCE) {
                bought += usize::from(buy(&catalog, n, lines.clone()).await);
            }
            bought
        });
    }
    // Meanwhile it is never otherwise.
    let (catalog, db, id) = (w.catalog.clone(), w.db(&p.product_id).clone(), p.product_id.clone());
    let mut watch = JoinSet::new();
    watch.spawn(async move {
        loop {
            let row = catalog::store::product::find(db.primary(), &id).await.unwrap();
            assert!((0..=row.stock).contains(&row.reserved) && row.stock <= 100, "{row:?}");
            let wrong = catalog.clone().check_stock(system("catalog")).await.unwrap();
            assert!(wrong.is_empty(), "{wrong:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let bought: usize = crowd.join_all().await.into_iter().sum();
    assert!(watch.try_join_next().is_none(), "the watcher saw something else");
    watch.abort_all();
    // What the last to give up left over is bought now: all of it, and no more.
    let mut late = 0;
    for n in 0..100 {
        late += usize::from(buy(&w.catalog, (BUYERS + n) * 35 + 1, lines(&[(&p, 1)])).await);
    }
    assert_eq!(bought + late, 100, "{bought} in the crowd");
    assert_eq!(w.units(&p).await, (0, 0));
    assert_eq!(w.get(&p.product_id).await.unwrap().status(), ProductStatus::Sold);
    w.assert_row_is_its_history(&p.product_id).await;
    w.assert_all_is_well().await;
}

pub async fn of_confirming_and_expiring_one_wins(kind: Kind) {
    let w = world(kind).await;
    let p = w.list_one(|r| r.stock = Some(100)).await;
    let mut sold = 0;
    for n in 0..40 {
        w.hold(n, &[(&p, 1)]).await.unwrap();
        let of = [(&p, 1)];
        let (confirmed, ()) = tokio::join!(w.confirm(n, &of), w.expire());
        match confirmed {
            Ok(_) => sold += 1,
            Err(e) => assert_eq!((e.code(), e.reason()), (Code::FailedPrecondition, "HOLD_EXPIRED")),
        }
        assert_eq!(w.units(&p).await, (100 - sold, 100 - sold));
    }
    w.assert_all_is_well().await;
}

pub async fn of_confirming_and_releasing_over_two_databases_one_wins(kind: Kind) {
    let w = over(kind, 2).await;
    let here = w.list_one(|r| r.stock = Some(100)).await;
    let there = w.list_one(|r| (r.region_id, r.stock) = ("gyeonggi".into(), Some(100))).await;
    let of = [(&here, 1), (&there, 2)];
    let mut sold = 0;
    for n in 0..40 {
        if n % 3 == 0 {
            // The hold is overtaken as well.
            let (_, released) = tokio::join!(w.hold(n, &of), w.release(n, &of));
            released.unwrap();
            assert_eq!(w.confirm(n, &of).await.unwrap_err().reason(), "HOLD_RELEASED");
        } else {
            w.hold(n, &of).await.unwrap();
            match tokio::join!(w.confirm(n, &of), w.release(n, &of)) {
                (Ok(_), Err(e)) => {
                    assert_eq!(e.reason(), "HOLD_CONFIRMED");
                    sold += 1;
                }
                (Err(e), Ok(_)) => assert_eq!(e.reason(), "HOLD_RELEASED"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(w.units(&here).await, (100 - sold, 100 - sold));
        assert_eq!(w.units(&there).await, (100 - 2 * sold, 100 - 2 * sold));
    }
    w.assert_all_is_well().await;
}

pub async fn baskets_in_any_order_do_not_wait_for_each_other(kind: Kind) {
    let w = over(kind, 2).await;
    let mut products = Vec::new();
    for region in ["seoul", "seoul", "gyeonggi", "gyeonggi"] {
        products.push(w.list_one(|r| (r.region_id, r.stock) = (region.into(), Some(60))).await);
    }
    let mut crowd = JoinSet::new();
    for n in 0..40 {
        let catalog = w.catalog.clone();
        let mut basket = lines(&products.iter().map(|p| (p, 2)).collect::<Vec<_>>());
        basket.rotate_left(n % 4);
        crowd.spawn(async move {
            match hold(&catalog, n, basket.clone()).await {
                Ok(_) => confirm(&catalog, n, basket).await.map(|_| true),
                Err(e) if ["OUT_OF_STOCK", "NOT_ON_SALE"].contains(&e.reason()) => Ok(false),
                Err(e) => Err(e),
            }
        });
    }
    let bought = crowd.join_all().await.into_iter().filter(|o| *o.as_ref().unwrap()).count();
    // A refused basket may have stood in the way of another for a moment; a second try finds what is left.
    for n in 100..130 {
        let basket: Vec<_> = products.iter().map(|p| (p, 2)).collect();
        if w.hold(n, &basket).await.is_ok() {
            w.confirm(n, &basket).await.unwrap();
        }
    }
    assert!(bought > 0);
    for p in &products {
        assert_eq!(w.units(p).await, (0, 0));
    }
    w.assert_all_is_well().await;
}

pub async fn a_planted_error_is_found(kind: Kind) {
    let w = world(kind).await;
    let p = w.list_one(|r| r.stock = Some(5)).await;
    w.hold(1, &[(&p, 2)]).await.unwrap();
    w.assert_all_is_well().await;
    let plants = [
        ("UPDATE product SET reserved = 3", "UPDATE product SET reserved = 2", "its holds hold 2"),
        ("UPDATE stock_hold SET status = 4", "UPDATE stock_hold SET status = 1", "its holds hold 0"),
        ("UPDATE product SET stock = 4", "UPDATE product SET stock = 5", "its events make"),
        ("UPDATE product SET status = 3", "UPDATE product SET status = 1", "its events make"),
        ("UPDATE product SET version = 7", "UPDATE product SET version = 1", "its events make"),
    ];
    for (plant, mend, said) in plants {
        let run = async |sql: &str| {
            let write = async |tx: kit::db::Tx| {
                tx.execute_unprepared(sql).await.db()?;
                Ok(())
            };
            w.db(&p.product_id).write(&system("test"), write).await.unwrap();
        };
        run(plant).await;
        let wrong = w.catalog.clone().check_stock(system("catalog")).await.unwrap();
        assert!(matches!(&wrong[..], [one] if one.contains(said)), "{plant}: {wrong:?}");
        run(mend).await;
    }
    w.assert_all_is_well().await;
    // What can't even be planted.
    let write = async |tx: kit::db::Tx| {
        tx.execute_unprepared("UPDATE product SET reserved = 6").await.db()?;
        Ok(())
    };
    assert!(w.db(&p.product_id).write(&system("test"), write).await.is_err());
    let req = wire::GetOffersRequest { product_ids: vec![p.product_id.clone()] };
    assert_eq!(w.catalog.get_offers(system("cart"), req).await.unwrap().offers[0].available(), 3);
}
