//! Cards: tokens stay, numbers don't.

use crate::support::*;
use jangteo_core::Call;
use proto::jangteo::payment::v1::{self as wire, payment_service::Api, payment_source::Kind as Source};
use std::{
    io,
    sync::{Arc, Mutex},
};
use testbed::Kind;

fn request(number: &str) -> wire::CreatePaymentMethodRequest {
    let card = wire::CardInput { number: number.into(), expiry_month: 12, expiry_year: 2031 };
    wire::CreatePaymentMethodRequest { card: Some(card), request_id: String::new() }
}

pub async fn a_card_is_kept_as_a_token(kind: Kind) {
    let (w, owner) = (World::new(kind).await, user_id());
    let keyed = || testbed::keyed(by(&owner), "card", 1);
    let call = keyed();
    let card = w.payments.create_payment_method(call.clone(), request(GOOD)).await.unwrap();
    assert_eq!((card.brand.as_str(), card.last4.as_str(), card.expiry_year), ("VISA", "4242", 2031));
    assert_eq!(w.payments.create_payment_method(call, request(GOOD)).await.unwrap(), card, "the same request");
    assert_eq!(w.payments.create_payment_method(by(&owner), request(GOOD)).await.unwrap(), card, "the same card");
    let kept = w.line("SELECT 'x' FROM idempotency WHERE fingerprint = response OR response IS NULL").await;
    assert_eq!(kept, None);
    let listed = w.payments.list_payment_methods(by(&owner), wire::ListPaymentMethodsRequest {}).await.unwrap();
    assert_eq!(listed.payment_methods, std::slice::from_ref(&card));
    assert_eq!(w.count("sandbox_card", "1 = 1").await, 1, "tokens that nobody needs are forgotten");
    let forget = || wire::DeletePaymentMethodRequest { payment_method_id: card.payment_method_id.clone() };
    w.payments.delete_payment_method(by(&owner), forget()).await.unwrap();
    assert!(w.payments.delete_payment_method(by(&owner), forget()).await.is_err());
    assert_eq!(w.count("sandbox_card", "1 = 1").await, 0);
    let used = asked(&order_id(), 1, &owner, 500, 0, Source::PaymentMethodId(card.payment_method_id.clone()));
    assert_eq!(w.payments.authorise(order_calls(), used).await.unwrap_err().reason(), "PAYMENT_METHOD_NOT_FOUND");
}

/// Everything that is logged, of every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub async fn no_number_reaches_a_store_or_a_log(kind: Kind) {
    use tracing::instrument::WithSubscriber;
    let (log, owner) = (Log::default(), user_id());
    let to = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || to.clone());
    let work = async {
        let w = World::new(kind).await;
        for number in [GOOD, POOR, CONFIRM, "378282246310005", "4242424242424241", "4111111111111111"] {
            let req = request(number);
            tracing::info!(?req, "asked");
            if let Err(error) = w.payments.create_payment_method(by(&owner), req).await {
                tracing::warn!(?error, "refused");
            }
        }
        let order = w.paid(&owner, 900).await;
        w.refund(&order, &refund_id(), 1, 100).await.unwrap();
        w.sound().await;
        for number in [GOOD, POOR, CONFIRM, "378282246310005", "4242424242424241", "4111111111111111"] {
            assert!(!w.stores.stored(number), "{number} is in a file");
        }
    };
    work.with_subscriber(subscriber.finish()).await;
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("[redacted]"), "the log was captured: {text:.200}");
    for line in text.lines() {
        assert_eq!(payment::domain::luhn::find(line), None, "{line}");
    }
}

pub async fn cards_belong_to_one_person(kind: Kind) {
    let (w, owner, other) = (World::new(kind).await, user_id(), user_id());
    let Source::PaymentMethodId(payment_method_id) = w.card(&owner, GOOD).await else { unreachable!() };
    let Source::PaymentMethodId(theirs) = w.card(&other, GOOD).await else { unreachable!() };
    assert_ne!(payment_method_id, theirs, "the same card may be two people's");
    let stolen =
        w.payments.delete_payment_method(by(&other), wire::DeletePaymentMethodRequest { payment_method_id }).await;
    assert_eq!(stolen.unwrap_err().reason(), "PAYMENT_METHOD_NOT_FOUND");
}

pub async fn bad_cards_are_refused(kind: Kind) {
    let (w, owner) = (World::new(kind).await, user_id());
    let refused = async |req| w.payments.create_payment_method(by(&owner), req).await.unwrap_err();
    for (req, reason) in [
        (request("4242424242424241"), "INVALID_CARD"),
        (request("4111111111111111"), "INVALID_CARD"),
        (
            wire::CreatePaymentMethodRequest {
                card: Some(wire::CardInput { number: GOOD.into(), expiry_month: 1, expiry_year: 2020 }),
                request_id: String::new(),
            },
            "EXPIRED_CARD",
        ),
    ] {
        let e = refused(req).await;
        assert_eq!((e.reason(), e.metadata()["decline_reason"].as_str()), ("CARD_REFUSED", reason));
        assert!(!format!("{e:?}").contains("4242"), "{e:?}");
    }
    let nobody = World::with(kind, config(), |_, _| Vec::new()).await;
    let cx: Call = by(&owner);
    let e = nobody.payments.create_payment_method(cx, request(GOOD)).await.unwrap_err();
    assert_eq!(e.reason(), "METHOD_NOT_OFFERED");
}

pub async fn an_erased_person_s_cards_and_accounts_go(kind: Kind) {
    let (w, owner, other) = (World::new(kind).await, user_id(), user_id());
    for user in [&owner, &other] {
        w.card(user, GOOD).await;
        let account = wire::PutPayoutAccountRequest {
            bank: "kb".into(),
            account_number: "99170012345678".into(),
            holder: "김민수".into(),
            ..Default::default()
        };
        w.payments.put_payout_account(by(user), account).await.unwrap();
    }
    w.earn(&owner, 10_000).await;
    let of = wire::GetWalletOfRequest { user_id: owner.clone() };
    let wallet = w.payments.get_wallet_of(testbed::system("auth"), of.clone()).await.unwrap();
    assert!(wallet.balance.unwrap().units > 0);
    for _ in 0..2 {
        let forget = async |tx: kit::db::Tx| w.payments.clone().forget_person(tx, owner.clone()).await;
        w.stores.db().write(&order_calls(), forget).await.unwrap();
    }
    assert_eq!(w.count("method", &format!("user_id = '{owner}'")).await, 0);
    assert_eq!(w.count("method_token", "1 = 1").await, w.count("method", "1 = 1").await);
    assert_eq!(w.count("payout_account", "1 = 1").await, 1);
    assert!(w.payments.get_wallet_of(testbed::system("auth"), of).await.unwrap().payout_account.is_none());
    assert_eq!(w.findings().await, Vec::<String>::new());
}
