//! A check that never fails is a defect: each finds what is planted for it.

use crate::support::*;
use testbed::Kind;

pub async fn planted_errors_are_found(kind: Kind) {
    let plants = [
        ("UPDATE account SET credits_posted = credits_posted + 1 WHERE kind = 'ESCROW'", "is not the fold"),
        (
            "UPDATE account SET credits_posted = credits_posted + 1 WHERE kind = 'ESCROW'",
            "debits and credits in KRW differ",
        ),
        ("DELETE FROM account WHERE kind = 'COMMISSION'", "is not the fold"),
        ("DELETE FROM account_delta", "is not the fold"),
        (
            "INSERT INTO transfer SELECT 'tfr_planted', 'VOID', transfer_id, debit_account, credit_account, amount, currency, \
             reason, reference, 0 FROM transfer WHERE reason = 'COMMISSION'",
            "which it does not match",
        ),
        ("UPDATE settlement SET amount = amount + 1", "escrow of"),
        ("UPDATE payment SET refunded = refunded + 1 WHERE captured > refunded", "escrow of"),
        ("UPDATE account SET owner = 'ord_strange' WHERE kind = 'ESCROW'", "belongs to no payment"),
        ("UPDATE payment SET status = 3", "has status 3"),
        ("UPDATE charge SET state = 'VOIDED'", "the sandbox says"),
        ("UPDATE sandbox_charge SET state = 'VOIDED'", "the sandbox says"),
        (
            "INSERT INTO sandbox_charge SELECT provider, key || '2', provider_ref, order_id, amount, scenario, state, \
             decline_reason, checkout_token, return_url, capture_time, create_time FROM sandbox_charge",
            "was captured 2 times",
        ),
        ("UPDATE sandbox_refund SET amount = amount - 1", "at the sandbox, and here"),
        ("UPDATE charge SET provider_ref = '4242 4242 4242 4242'", "charge.provider_ref"),
    ];
    for (plant, finding) in plants {
        let w = World::new(kind).await;
        let order = w.paid(&user_id(), 1_000).await;
        w.settle(&order, 1, &user_id(), 600).await.unwrap();
        w.refund(&order, &refund_id(), 2, 100).await.unwrap();
        w.sound().await;
        if plant.contains("account_delta") {
            w.paid(&user_id(), 500).await;
        }
        w.plant(plant).await.unwrap();
        let found = w.findings().await;
        assert!(found.iter().any(|line| line.contains(finding)), "{plant}: {found:?}");
    }
}

pub async fn transfers_can_not_be_changed(kind: Kind) {
    let w = World::new(kind).await;
    w.paid(&user_id(), 1_000).await;
    for forbidden in [
        "UPDATE transfer SET amount = 1",
        "DELETE FROM transfer",
        "UPDATE account SET debits_posted = credits_posted + 1 WHERE kind = 'ESCROW'",
    ] {
        assert!(w.plant(forbidden).await.is_err(), "{forbidden}");
    }
    w.sound().await;
}
