//! What orders make of products.

use crate::support::{World, ask, id, listing};
use kit::db::Tx;
use proto::jangteo::order::v1::{OrderPlaced, PlacedLine, PlacedPart};
use search::events::{order_cancelled, order_paid, order_placed};
use testbed::{Kind, system};

/// The same products in both parts, three of each.
async fn place(w: &World, order_id: &str, products: &[u64]) {
    let line = |n: &u64| PlacedLine { product_id: id(*n), quantity: 3, ..Default::default() };
    let part = PlacedPart { lines: products.iter().map(line).collect(), ..Default::default() };
    let event = OrderPlaced { order_id: order_id.into(), parts: vec![part.clone(), part], ..Default::default() };
    let write = async |tx: Tx| order_placed(&tx, &event).await;
    w.db().write(&system("search"), write).await.unwrap();
}

async fn pay(w: &World, order_id: &str) {
    let write = async |tx: Tx| order_paid(&tx, order_id).await;
    w.db().write(&system("search"), write).await.unwrap();
}

async fn cancel(w: &World, order_id: &str) {
    let write = async |tx: Tx| order_cancelled(&tx, order_id).await;
    w.db().write(&system("search"), write).await.unwrap();
}

fn wanted(w: &World, n: u64) -> u64 {
    w.contents()[&id(n)].1
}

pub async fn orders_make_products_wanted(kind: Kind) {
    let w = World::new(kind).await;
    // The second is newer, so that it would come first.
    for n in [1, 2] {
        w.list(listing(n, &format!("의자 {n}"))).await;
    }
    w.settled().await;
    assert_eq!(w.found("의자").await, ["의자 2", "의자 1"]);
    for order in ["ord_1", "ord_2"] {
        place(&w, order, &[1]).await;
    }
    w.settled().await;
    assert_eq!(wanted(&w, 1), 2, "an order counts once, whatever its parts and numbers");
    pay(&w, "ord_1").await;
    // The same events again.
    place(&w, "ord_2", &[1]).await;
    pay(&w, "ord_1").await;
    w.settled().await;
    assert_eq!((wanted(&w, 1), wanted(&w, 2)), (4, 0));
    assert_eq!(w.found("의자").await, ["의자 1", "의자 2"]);
    assert_eq!(w.search.clone().check_indexes(system("search")).await.unwrap(), Vec::<String>::new());
}

pub async fn an_order_before_its_product_counts(kind: Kind) {
    let w = World::new(kind).await;
    place(&w, "ord_1", &[5]).await;
    w.settled().await;
    assert_eq!(w.find(ask("")).await.unwrap().hit_count(), 0);
    w.list(listing(5, "의자")).await;
    w.settled().await;
    assert_eq!((wanted(&w, 5), w.found("의자").await.len()), (1, 1));
}

pub async fn what_is_cancelled_counts_nothing(kind: Kind) {
    let w = World::new(kind).await;
    w.list(listing(1, "의자")).await;
    for n in 0..3 {
        place(&w, &format!("ord_{n}"), &[1]).await;
    }
    cancel(&w, "ord_0").await;
    cancel(&w, "ord_0").await;
    // Paid is paid: what comes back later was wanted all the same.
    pay(&w, "ord_1").await;
    cancel(&w, "ord_1").await;
    w.settled().await;
    assert_eq!(wanted(&w, 1), 1 + 3);
}

pub async fn rows_that_no_event_made_are_named(kind: Kind) {
    let w = World::new(kind).await;
    let check = async || w.search.clone().check_rows(system("search")).await.unwrap();
    let plant = async |sql: &str| {
        use kit::db::{DbResult, sea_orm::ConnectionTrait};
        let write = async |tx: Tx| tx.execute_unprepared(sql).await.db().map(drop);
        w.db().write(&system("search"), write).await.unwrap();
    };
    assert_eq!(check().await, Vec::<String>::new());
    // Past the inbox, as no consumer writes.
    w.list(listing(1, "의자")).await;
    assert_eq!(check().await, [format!("product {} is at version 1, its last event was 0", id(1))]);
    plant(
        "INSERT INTO inbox (consumer, source, aggregate, aggregate_id, version) \
         SELECT 'search.catalog-product', 'catalog', 'product', document_id, version FROM document",
    )
    .await;
    place(&w, "ord_1", &[1]).await;
    assert_eq!(check().await, Vec::<String>::new());
    plant("UPDATE document SET placed = 0").await;
    assert_eq!(check().await, [format!("product {} counts 0 orders, and 1 are open", id(1))]);
}
