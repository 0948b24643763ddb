//! Giving payments up.

use crate::support::*;
use futures::future::join_all;
use proto::jangteo::payment::v1::{
    self as wire, PaymentStatus as Status, payment_service::Api, payment_source::Kind as Source,
};
use testbed::Kind;

pub async fn a_void_leaves_a_tombstone(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    assert_eq!(w.void(&order).await.unwrap().status(), Status::Voided);
    let card = w.card(&buyer, GOOD).await;
    assert_eq!(
        w.authorise(&order, 1, &buyer, 500, card).await.status(),
        Status::Voided,
        "a late authorisation is refused"
    );
    assert_eq!(w.void(&order).await.unwrap().status(), Status::Voided);
    assert_eq!(w.capture(&order).await.unwrap_err().reason(), "NOT_AUTHORISED");
    assert_eq!((w.count("sandbox_charge", "1 = 1").await, w.events("PaymentVoided").await), (0, 1));
    w.sound().await;
}

pub async fn a_void_gives_everything_up(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    w.points.give(&buyer, 100);
    let card = w.card(&buyer, GOOD).await;
    w.payments.authorise(order_calls(), asked(&order, 1, &buyer, 500, 100, card)).await.unwrap();
    assert_eq!(w.points.of(&buyer), 0);
    w.void(&order).await.unwrap();
    assert_eq!((w.points.of(&buyer), w.count("sandbox_charge", "state = 'VOIDED'").await), (100, 1));

    let seller = user_id();
    w.earn(&seller, 1_000).await;
    let (order, before) = (order_id(), w.wallet(&seller).await);
    w.authorise(&order, 1, &seller, 900, Source::Wallet(wire::WalletSource {})).await;
    assert_eq!(w.wallet(&seller).await, before - 900);
    w.void(&order).await.unwrap();
    assert_eq!(w.wallet(&seller).await, before);

    let order = order_id();
    let confirm = w.card(&buyer, CONFIRM).await;
    let waiting = w.authorise(&order, 1, &buyer, 500, confirm).await;
    w.void(&order).await.unwrap();
    let token = waiting.redirect_url.rsplit('/').next().unwrap().to_owned();
    let body = Some(proto::google::api::HttpBody { data: b"decision=approve".to_vec(), ..Default::default() });
    let late =
        w.payments.decide_sandbox_checkout(testbed::anonymous(), wire::DecideSandboxCheckoutRequest { token, body });
    assert_eq!(late.await.unwrap_err().reason(), "ALREADY_DECIDED");
    w.sound().await;
}

pub async fn a_captured_payment_can_not_be_voided(kind: Kind) {
    let w = World::new(kind).await;
    let order = w.paid(&user_id(), 500).await;
    assert_eq!(w.void(&order).await.unwrap_err().reason(), "ALREADY_CAPTURED");
}

/// Whoever is first, there is no charge without a payment afterwards, and no payment without a charge.
pub async fn void_and_authorise_race_to_one_end(kind: Kind) {
    let (w, buyer) = (World::new(kind).await, user_id());
    w.points.give(&buyer, 1_000);
    let card = w.card(&buyer, GOOD).await;
    let orders: Vec<_> = (0..12).map(|_| order_id()).collect();
    let races = orders.iter().map(async |order| {
        let authorise = w.payments.authorise(order_calls(), asked(order, 1, &buyer, 500, 10, card.clone()));
        let (authorised, voided) = tokio::join!(authorise, w.void(order));
        assert_eq!(voided.unwrap().status(), Status::Voided);
        authorised.unwrap();
    });
    join_all(races).await;
    for order in &orders {
        w.becomes(order, Status::Voided).await;
    }
    for _ in 0..20 {
        w.jobs().await;
    }
    assert_eq!(w.count("sandbox_charge", "state IN ('AUTHORISED', 'CAPTURED')").await, 0);
    assert_eq!(w.points.of(&buyer), 1_000);
    w.sound().await;
}
