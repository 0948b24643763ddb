//! Statements against the books.

use crate::support::*;
use jangteo_core::micros;
use proto::jangteo::payment::v1::{self as wire, payment_service::Api};
use testbed::Kind;

const DAY: i64 = 86_400_000_000;

async fn busy(w: &World) -> Vec<String> {
    let mut orders = Vec::new();
    for won in [1_000, 2_000, 3_000] {
        let order = w.paid(&user_id(), won).await;
        w.refund(&order, &refund_id(), 1, 100).await.unwrap();
        orders.push(order);
    }
    orders
}

async fn compare(w: &World) -> usize {
    let cx = order_calls();
    let day = micros(cx.now).div_euclid(DAY);
    w.payments.reconcile_day(&cx, &*w.sandbox, day).await.unwrap()
}

pub async fn books_that_agree_show_nothing(kind: Kind) {
    let w = World::new(kind).await;
    busy(&w).await;
    assert_eq!(compare(&w).await, 0);
    for _ in 0..2 {
        w.payments.clone().reconcile(order_calls()).await.unwrap();
    }
    assert_eq!(w.count("progress", "name = 'statement:sandbox'").await, 1);
}

pub async fn every_difference_is_noted_once(kind: Kind) {
    let w = World::new(kind).await;
    let orders = busy(&w).await;
    w.plant(&format!("UPDATE sandbox_charge SET amount = amount + 1 WHERE key = '{}:1'", orders[0])).await.unwrap();
    w.plant(&format!("DELETE FROM sandbox_charge WHERE key = '{}:1'", orders[1])).await.unwrap();
    w.plant(&format!("UPDATE sandbox_refund SET key = 'rfd_strange' WHERE charge_key = '{}:1'", orders[2]))
        .await
        .unwrap();
    assert_eq!(compare(&w).await, 4, "an amount, a missing charge, a refund here and one there");
    assert_eq!(compare(&w).await, 0);
    let admin = testbed::with_roles(&user_id(), &["admin"]);
    let listed = w.payments.list_reconciliations(admin, wire::ListReconciliationsRequest::default()).await.unwrap();
    assert_eq!(listed.discrepancies.len(), 4);
    let wrong = listed.discrepancies.iter().find(|d| d.key == format!("{}:1", orders[0])).unwrap();
    assert_eq!((wrong.ours.as_ref().unwrap().units, wrong.theirs.as_ref().unwrap().units), (1_000, 1_001));
    assert_eq!((wrong.kind.as_str(), wrong.day.as_ref().unwrap().year >= 2026), ("CHARGE", true));
}
