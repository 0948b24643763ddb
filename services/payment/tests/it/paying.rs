//! Authorising and capturing.

use crate::support::*;
use payment::provider::{Provider, sandbox::Sandbox};
use proto::jangteo::payment::v1::{
    self as wire, PaymentStatus as Status, payment_service::Api, payment_source::Kind as Source,
};
use std::sync::Arc;
use testbed::Kind;

pub async fn a_card_pays_into_escrow(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let card = w.card(&buyer, GOOD).await;
    let payment = w.authorise(&order, 1, &buyer, 30_000, card.clone()).await;
    assert_eq!((payment.status(), payment.method_label.as_str()), (Status::Authorised, "VISA ····4242"));
    assert_eq!(w.escrow(&order).await, 0);
    let again = w.authorise(&order, 1, &buyer, 30_000, card).await;
    assert_eq!(again, payment, "the same attempt is answered, not made");
    for _ in 0..2 {
        let captured = w.capture(&order).await.unwrap();
        assert_eq!((captured.status(), captured.captured.unwrap().units), (Status::Captured, 30_000));
    }
    assert_eq!(w.escrow(&order).await, 30_000);
    assert_eq!((w.events("PaymentAuthorised").await, w.events("PaymentCaptured").await), (1, 1));
    let mine = w.payments.list_payments(by(&buyer), wire::ListPaymentsRequest::default()).await.unwrap();
    assert_eq!(mine.payments.len(), 1);
    let stranger = w.payments.get_payment(by(&user_id()), wire::GetPaymentRequest { payment_id: payment.payment_id });
    assert_eq!(stranger.await.unwrap_err().reason(), "NOT_YOURS");
    w.sound().await;
}

pub async fn declines_are_answers_and_another_attempt_may_follow(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let declines = [
        (POOR, "INSUFFICIENT_FUNDS"),
        ("4000000000000002", "CARD_DECLINED"),
        ("4000000000000069", "EXPIRED_CARD"),
        ("4000000000006975", "LIMIT_EXCEEDED"),
        ("4100000000000019", "SUSPECTED_FRAUD"),
    ];
    for (attempt, (number, reason)) in (1..).zip(declines) {
        let card = w.card(&buyer, number).await;
        let payment = w.authorise(&order, attempt, &buyer, 5_000, card).await;
        assert_eq!(
            (payment.status(), payment.decline_reason.as_str(), payment.attempt),
            (Status::Declined, reason, attempt)
        );
    }
    let good = w.card(&buyer, GOOD).await;
    let old = w.authorise(&order, 3, &buyer, 5_000, good.clone()).await;
    assert_eq!(old.status(), Status::Declined, "an attempt that was made is answered");
    assert_eq!(w.authorise(&order, 6, &buyer, 5_000, good).await.status(), Status::Authorised);
    assert_eq!(w.events("PaymentDeclined").await, 5);
    w.sound().await;
}

pub async fn nothing_to_pay_needs_no_provider(kind: Kind) {
    let (w, buyer, order) = (World::with(kind, config(), |_, _| Vec::new()).await, user_id(), order_id());
    let mut req = asked(&order, 1, &buyer, 0, 0, Source::Wallet(wire::WalletSource {}));
    req.source = None;
    assert_eq!(w.payments.authorise(order_calls(), req).await.unwrap().status(), Status::Authorised);
    assert_eq!(w.capture(&order).await.unwrap().status(), Status::Captured);
    w.sound().await;
}

pub async fn points_pay_first_and_come_back_with_a_decline(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    w.points.give(&buyer, 1_000);
    let poor = w.card(&buyer, POOR).await;
    let declined = w.payments.authorise(order_calls(), asked(&order, 1, &buyer, 9_000, 800, poor)).await.unwrap();
    assert_eq!(declined.status(), Status::Declined);
    w.jobs().await;
    assert_eq!(w.points.of(&buyer), 1_000);
    let good = w.card(&buyer, GOOD).await;
    let paid = w.payments.authorise(order_calls(), asked(&order, 2, &buyer, 9_000, 800, good)).await.unwrap();
    assert_eq!((paid.status(), paid.points, w.points.of(&buyer)), (Status::Authorised, 800, 200));
    w.capture(&order).await.unwrap();
    assert_eq!(w.escrow(&order).await, 9_000);
    assert_eq!(w.count("sandbox_charge", "state = 'CAPTURED' AND amount = 8200").await, 1);
    w.sound().await;
}

pub async fn points_that_are_not_there_decline(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let card = w.card(&buyer, GOOD).await;
    let declined = w.payments.authorise(order_calls(), asked(&order, 1, &buyer, 900, 500, card)).await.unwrap();
    assert_eq!((declined.status(), declined.decline_reason.as_str()), (Status::Declined, "INSUFFICIENT_FUNDS"));
    w.jobs().await;
    assert_eq!(w.points.of(&buyer), 0, "nothing was taken, so nothing comes back");
    assert_eq!(w.count("sandbox_charge", "1 = 1").await, 0, "the provider was not asked");
    w.sound().await;
}

pub async fn a_confirmed_payment_is_authorised_by_webhook(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let card = w.card(&buyer, CONFIRM).await;
    let waiting = w.authorise(&order, 1, &buyer, 700, card).await;
    assert_eq!(waiting.status(), Status::ActionRequired);
    assert_eq!(w.capture(&order).await.unwrap_err().reason(), "NOT_AUTHORISED");
    w.decide(&waiting, "approve").await;
    w.payments.clone().send_sandbox_webhooks(order_calls()).await.unwrap();
    assert_eq!(w.status(&order).await, Status::Authorised);
    assert_eq!((w.events("PaymentActionRequired").await, w.events("PaymentAuthorised").await), (1, 1));
    w.capture(&order).await.unwrap();
    w.sound().await;
}

pub async fn a_refused_confirmation_is_declined(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let pay = Source::EasyPay(wire::EasyPaySource { service: "kakaopay".into() });
    let waiting = w.authorise(&order, 1, &buyer, 700, pay).await;
    assert_eq!((waiting.status(), waiting.method_label.as_str()), (Status::ActionRequired, "kakaopay"));
    w.decide(&waiting, "decline").await;
    w.becomes(&order, Status::Declined).await;
    w.sound().await;
}

pub async fn another_source_replaces_a_confirmation(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let bank = Source::BankTransfer(wire::BankTransferSource { bank: "kb".into() });
    let waiting = w.authorise(&order, 1, &buyer, 700, bank).await;
    let card = w.card(&buyer, GOOD).await;
    assert_eq!(w.authorise(&order, 2, &buyer, 700, card).await.status(), Status::Authorised);
    w.decide(&waiting, "approve").await;
    w.jobs().await;
    w.jobs().await;
    w.capture(&order).await.unwrap();
    assert_eq!(w.count("sandbox_charge", "state = 'CAPTURED'").await, 1);
    assert_eq!(w.count("sandbox_charge", "state = 'VOIDED'").await, 1, "the late confirmation is given up");
    w.sound().await;
}

pub async fn the_wallet_pays_what_it_has(kind: Kind) {
    let (w, buyer) = (World::new(kind).await, user_id());
    w.earn(&buyer, 10_000).await;
    let (first, second) = (order_id(), order_id());
    let wallet = || Source::Wallet(wire::WalletSource {});
    assert_eq!(w.authorise(&first, 1, &buyer, 9_000, wallet()).await.status(), Status::Authorised);
    assert_eq!(w.wallet(&buyer).await, 650, "10,000 less the commission, and what is reserved");
    let short = w.authorise(&second, 1, &buyer, 651, wallet()).await;
    assert_eq!((short.status(), short.decline_reason.as_str()), (Status::Declined, "INSUFFICIENT_FUNDS"));
    w.capture(&first).await.unwrap();
    assert_eq!(w.escrow(&first).await, 9_000);
    w.sound().await;
}

pub async fn what_is_gone_at_the_capture_is_declined(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let card = w.card(&buyer, CAPTURE_REFUSED).await;
    assert_eq!(w.authorise(&order, 1, &buyer, 700, card).await.status(), Status::Authorised);
    let lost = w.capture(&order).await.unwrap();
    assert_eq!((lost.status(), lost.decline_reason.as_str()), (Status::Declined, "CARD_DECLINED"));
    let good = w.card(&buyer, GOOD).await;
    assert_eq!(w.authorise(&order, 2, &buyer, 700, good).await.status(), Status::Authorised);
    assert_eq!(w.capture(&order).await.unwrap().status(), Status::Captured);
    w.jobs().await;
    w.sound().await;
}

pub async fn another_amount_or_buyer_is_refused(kind: Kind) {
    let (w, buyer) = (World::new(kind).await, user_id());
    let order = w.paid(&buyer, 500).await;
    let wallet = || Source::Wallet(wire::WalletSource {});
    let other = w.payments.authorise(order_calls(), asked(&order, 1, &buyer, 501, 0, wallet())).await;
    assert_eq!(other.unwrap_err().reason(), "PAYMENT_MISMATCH");
    let other = w.payments.authorise(order_calls(), asked(&order, 2, &user_id(), 500, 0, wallet())).await;
    assert_eq!(other.unwrap_err().reason(), "PAYMENT_MISMATCH");
    let stranger = w.card(&user_id(), GOOD).await;
    let theirs = w.payments.authorise(order_calls(), asked(&order_id(), 1, &buyer, 500, 0, stranger)).await;
    assert_eq!(theirs.unwrap_err().reason(), "PAYMENT_METHOD_NOT_FOUND");
}

pub async fn a_service_nobody_offers_is_refused(kind: Kind) {
    let w = World::with(kind, config(), |_, _| Vec::new()).await;
    let pay = Source::EasyPay(wire::EasyPaySource { service: "kakaopay".into() });
    let refused = w.payments.authorise(order_calls(), asked(&order_id(), 1, &user_id(), 500, 0, pay)).await;
    assert_eq!(refused.unwrap_err().reason(), "METHOD_NOT_OFFERED");
}

pub async fn the_cheaper_provider_is_asked_first(kind: Kind) {
    let two = |cheap: Arc<Sandbox>, db| -> Vec<Arc<dyn Provider>> { vec![Arc::new(another("dear", db, 900)), cheap] };
    let (w, buyer) = (World::with(kind, config(), two).await, user_id());
    let card = w.card(&buyer, GOOD).await;
    assert_eq!(w.authorise(&order_id(), 1, &buyer, 700, card).await.provider, "sandbox");
    assert_eq!(w.count("method_token", "1 = 1").await, 2, "either could be asked");
    w.sound().await;
}
