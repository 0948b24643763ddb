//! Messages of providers: signed, once, in any order.

use crate::support::*;
use jangteo_core::{Clock, SystemClock};
use payment::provider::sandbox::webhook::HEADER;
use proto::{
    google::api::HttpBody,
    jangteo::payment::v1::{self as wire, PaymentStatus as Status, payment_service::Api},
};
use testbed::Kind;

/// As the edge hands it on: no principal, the header that the policy names.
async fn send(w: &World, body: &str, signature: Option<String>) -> jangteo_core::Result<()> {
    let mut cx = testbed::at(testbed::anonymous(), SystemClock.now());
    cx.headers.extend(signature.map(|s| (HEADER.to_owned(), s)));
    let body = Some(HttpBody { data: body.as_bytes().to_vec(), ..HttpBody::default() });
    w.payments.receive_webhook(cx, wire::ReceiveWebhookRequest { provider: "sandbox".into(), body }).await
}

async fn signed(w: &World, body: &str) -> jangteo_core::Result<()> {
    send(w, body, Some(w.sandbox.sign(body.as_bytes(), SystemClock.now()))).await
}

fn message(event: &str, order: &str, standing: &str) -> String {
    format!(
        r#"{{"eventId":"{event}","key":"{order}:1","providerRef":"sbx_1","standing":"{standing}","declineReason":"CARD_DECLINED"}}"#
    )
}

pub async fn doubled_and_shuffled_messages_change_nothing_more(kind: Kind) {
    let (w, buyer) = (World::new(kind).await, user_id());
    for number in ["4000000000000473", "4000000000000481"] {
        let (order, card) = (order_id(), w.card(&buyer, number).await);
        let waiting = w.authorise(&order, 1, &buyer, 700, card).await;
        w.decide(&waiting, "approve").await;
        w.becomes(&order, Status::Authorised).await;
        w.capture(&order).await.unwrap();
        // Old news after the fact, each message three times, the newest first.
        for (event, standing) in
            [("e3", "CAPTURED"), ("e2", "AUTHORISED"), ("e1", "ACTION_REQUIRED"), ("e0", "DECLINED")]
        {
            for _ in 0..3 {
                signed(&w, &message(&format!("{event}-{order}"), &order, standing)).await.unwrap();
            }
        }
        for _ in 0..20 {
            w.jobs().await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(w.status(&order).await, Status::Captured);
    }
    assert_eq!((w.events("PaymentAuthorised").await, w.events("PaymentCaptured").await), (2, 2));
    assert_eq!((w.count("sandbox_webhook", "1 = 1").await, w.count("webhook", "outcome = 'APPLIED'").await), (0, 2));
    w.sound().await;
}

pub async fn forged_messages_are_refused(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let card = w.card(&buyer, CONFIRM).await;
    w.authorise(&order, 1, &buyer, 700, card).await;
    let body = message("e1", &order, "AUTHORISED");
    let good = w.sandbox.sign(body.as_bytes(), SystemClock.now());
    let other = w.sandbox.sign(b"{}", SystemClock.now());
    let old = w.sandbox.sign(body.as_bytes(), jangteo_core::from_micros(1));
    for bad in [None, Some(String::new()), Some(other), Some(old), Some(format!("{good}0"))] {
        assert_eq!(send(&w, &body, bad).await.unwrap_err().reason(), "WEBHOOK_FORGED");
    }
    assert_eq!((w.status(&order).await, w.count("webhook", "1 = 1").await), (Status::ActionRequired, 0));
    let mut cx = testbed::anonymous();
    cx.headers.insert(HEADER.to_owned(), good);
    let unknown = wire::ReceiveWebhookRequest { provider: "nobody".into(), body: Some(HttpBody::default()) };
    assert_eq!(w.payments.receive_webhook(cx, unknown).await.unwrap_err().reason(), "PROVIDER_NOT_FOUND");
}

pub async fn messages_about_strangers_are_kept_aside(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let body = message("e1", &order, "AUTHORISED");
    signed(&w, &body).await.unwrap();
    assert_eq!(w.count("webhook", "outcome = 'UNKNOWN'").await, 1);
    let card = w.card(&buyer, CONFIRM).await;
    w.authorise(&order, 1, &buyer, 700, card).await;
    signed(&w, &body).await.unwrap();
    assert_eq!(w.status(&order).await, Status::Authorised, "it is known now");
    assert_eq!(w.count("webhook", "outcome = 'APPLIED'").await, 1);
}

pub async fn a_late_message_settles_an_unknown_outcome(kind: Kind) {
    let (w, buyer, order) = (World::new(kind).await, user_id(), order_id());
    let card = w.card(&buyer, LATE).await;
    assert_eq!(w.authorise(&order, 1, &buyer, 700, card).await.status(), Status::Pending);
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    w.payments.clone().send_sandbox_webhooks(order_calls()).await.unwrap();
    assert_eq!(w.status(&order).await, Status::Authorised);
    // Another one, given up before its message comes: the authorisation goes back.
    let (order, card) = (order_id(), w.card(&buyer, LATE).await);
    w.authorise(&order, 1, &buyer, 700, card).await;
    w.void(&order).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    for _ in 0..3 {
        w.jobs().await;
    }
    assert_eq!(w.count("sandbox_charge", "state = 'VOIDED'").await, 1);
    w.sound().await;
}
