//! Consents and points: what is only ever added to.

use crate::support::*;
use jangteo_core::{Call, Code};
use kit::db::{DbResult, sea_orm::ConnectionTrait};
use proto::jangteo::user::v1::{self as wire, ConsentPurpose, user_service::Api};
use tokio::task::JoinSet;

fn payment() -> Call {
    system("payment")
}

fn adjust(delta: i64, key: &str) -> wire::AdjustPointsRequest {
    wire::AdjustPointsRequest { user_id: MINSU.into(), delta, key: key.into(), reason: "PURCHASE".into() }
}

async fn balance(w: &World) -> i64 {
    w.users.get_points(by(MINSU), Default::default()).await.unwrap().balance()
}

pub async fn consents_are_versioned(kind: Kind) {
    let w = world(kind).await;
    let choice = |purpose: ConsentPurpose, granted, document_version| wire::ConsentChoice {
        purpose: purpose.into(),
        granted,
        document_version,
    };
    let put = |consents: Vec<wire::ConsentChoice>| {
        w.users.put_consents(by(MINSU), wire::PutConsentsRequest { consents, ..Default::default() })
    };
    put(vec![choice(ConsentPurpose::Terms, true, 1), choice(ConsentPurpose::MarketingEmail, true, 1)]).await.unwrap();
    put(vec![choice(ConsentPurpose::MarketingEmail, true, 1)]).await.unwrap();
    let now = put(vec![choice(ConsentPurpose::MarketingEmail, false, 2)]).await.unwrap();
    let shown: Vec<_> = now.consents.iter().map(|c| (c.purpose(), c.granted, c.document_version, c.version)).collect();
    assert_eq!(shown, [(ConsentPurpose::Terms, true, 1, 1), (ConsentPurpose::MarketingEmail, false, 2, 2)]);
    assert!(now.consents.iter().all(|c| c.decide_time.is_some()));
    assert_eq!(w.users.get_consents(by(MINSU), Default::default()).await.unwrap(), now);
    assert!(w.users.get_consents(by(EMMA), Default::default()).await.unwrap().consents.is_empty());
    let e = put(vec![choice(ConsentPurpose::Terms, false, 1)]).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::FailedPrecondition, "CONSENT_REQUIRED"));
    assert_eq!(w.db.history("consent", MINSU, 0, 10).await.unwrap().len(), 3);
}

pub async fn of_fifty_spenders_of_a_hundred_ten_fit_into_a_thousand(kind: Kind) {
    let w = world(kind).await;
    w.users.adjust_points(payment(), adjust(1000, "welcome")).await.unwrap();
    let mut spenders = JoinSet::new();
    for n in 0..50 {
        let users = w.users.clone();
        spenders.spawn(async move { users.adjust_points(payment(), adjust(-100, &format!("order-{n}"))).await });
    }
    let outcomes = spenders.join_all().await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 10);
    assert!(outcomes.iter().flat_map(|o| o.as_ref().err()).all(|e| e.reason() == "NOT_ENOUGH_POINTS"));
    let points =
        w.users.get_points(by(MINSU), wire::GetPointsRequest { page_size: 100, ..Default::default() }).await.unwrap();
    assert_eq!((points.balance(), points.entries.len()), (0, 11));
    assert_eq!(points.entries.iter().map(|e| e.delta).sum::<i64>(), 0);
    assert!(
        points.entries.windows(2).all(|w| w[0].balance() == w[1].balance() + w[0].delta),
        "each line follows the one before"
    );
    assert_eq!(w.db.history("points", MINSU, 0, 100).await.unwrap().len(), 11);
}

pub async fn an_occasion_is_booked_once(kind: Kind) {
    let w = world(kind).await;
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let users = w.users.clone();
        callers.spawn(async move { users.adjust_points(payment(), adjust(30, "order-1")).await.unwrap() });
    }
    let lines = callers.join_all().await;
    assert!(lines.iter().all(|l| *l == lines[0]));
    assert_eq!(balance(&w).await, 30);
    let e = w.users.adjust_points(payment(), adjust(31, "order-1")).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::AlreadyExists, "POINTS_KEY_REUSED"));
}

pub async fn what_was_added_stays(kind: Kind) {
    let w = world(kind).await;
    w.users.adjust_points(payment(), adjust(30, "order-1")).await.unwrap();
    for sql in
        ["UPDATE points_entry SET delta = 31", "DELETE FROM points_entry", "UPDATE points_balance SET balance = -1"]
    {
        let write = async |tx: kit::db::Tx| {
            tx.execute_unprepared(sql).await.db()?;
            Ok(())
        };
        assert!(w.db.write(&payment(), write).await.is_err(), "{sql}");
    }
    assert_eq!(balance(&w).await, 30);
}

pub async fn the_account_comes_in_pages_the_newest_first(kind: Kind) {
    let w = world(kind).await;
    for n in 1..=12 {
        w.users.adjust_points(payment(), adjust(n, &format!("o{n}"))).await.unwrap();
    }
    let mut req = wire::GetPointsRequest { page_size: 5, ..Default::default() };
    let mut deltas = Vec::new();
    loop {
        let page = w.users.get_points(by(MINSU), req.clone()).await.unwrap();
        assert_eq!(page.balance(), 78);
        deltas.extend(page.entries.iter().map(|e| e.delta));
        if page.next_page_token.is_empty() {
            break;
        }
        req.page_token = page.next_page_token;
    }
    assert_eq!(deltas, (1..=12).rev().collect::<Vec<_>>());
    let nobody = w.users.get_points(by(EMMA), Default::default()).await.unwrap();
    assert_eq!((nobody.balance(), nobody.entries.len()), (0, 0));
}
