//! What is peculiar to KG Inicis: a window that the buyer's browser opens and comes back from, and refunds without a key.

#[path = "inicis/server.rs"]
pub mod server;

use super::{GOOD, NOW, Rig, at, charge, fake::Trouble, reference, refund};
use chrono::TimeDelta;
use jangteo_core::ManualClock;
use payment::provider::{
    Charge, ChargeRef, Decline, Instrument, Method, Outcome, Provider, Standing,
    inicis::{Config, Inicis},
};
use server::{MID, Server, config, form, form_of, only, provider, rig_with, window};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use testbed::{Kind, Stores};

pub use server::rig;

const OID: &str = "0123456789abcdef0123456789abcdef-1";
const SECOND: Duration = Duration::from_secs(1);

/// As the service sees a charge whose confirmation was begun so long ago and never answered.
fn unanswered(charge: &Charge, age: Duration) -> ChargeRef {
    ChargeRef { confirmed: Some(age), ..reference(charge, None) }
}

fn slip(rig: &Rig, charge: &Charge) -> String {
    let form = server::come_back(&mut rig.fake.books(), charge);
    rig.provider.returned(charge, &form).unwrap()
}

async fn captured(rig: &Rig, amount: i64) -> ChargeRef {
    let taken = rig.taken(&rig.charge(amount).await).await;
    assert_eq!(rig.provider.capture(&taken).await, Outcome::Done(()));
    taken
}

fn is_unknown<T>(said: &Outcome<T>) -> bool {
    matches!(said, Outcome::Unknown(_))
}

#[tokio::test]
async fn its_window_is_opened_by_a_signed_form() {
    let rig = rig().await;
    let page = |instrument| rig.provider.page(&charge(instrument, 10_000), at(NOW)).unwrap();
    let cards = page(window());
    assert_eq!((cards.url, cards.charset), (format!("{}smart/payment/", rig.fake.url), "euc-kr"));
    let field = |page: &[(&str, String)], name: &str| page.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    let said = |name: &str| field(&cards.fields, name).unwrap_or_default();
    assert_eq!([said("P_INI_PAYMENT"), said("P_MID"), said("P_OID"), said("P_AMT")], ["CARD", MID, OID, "10000"]);
    assert_eq!(said("P_NEXT_URL"), "https://market.example/v1/payments/checkout/0123:return");
    assert_eq!(said("P_TIMESTAMP"), format!("{NOW}000"));
    assert!(said("P_RESERVED").starts_with("centerCd=Y&amt_hash=Y"), "{}", said("P_RESERVED"));
    let dearer = rig.provider.page(&charge(window(), 10_001), at(NOW)).unwrap();
    assert_ne!(field(&dearer.fields, "P_CHKFAKE").unwrap(), said("P_CHKFAKE"));
    assert_eq!(field(&page(Instrument::BankTransfer("kb".into())).fields, "P_INI_PAYMENT").unwrap(), "BANK");
    let kakao = page(Instrument::EasyPay("kakaopay".into()));
    assert!(field(&kakao.fields, "P_RESERVED").unwrap().ends_with("&d_kakaopay=Y"));
    assert!(rig.provider.page(&charge(Instrument::EasyPay("paypal".into()), 1), at(NOW)).is_none());
    let can = |method| rig.provider.can(&method);
    assert!(can(Method::EasyPay("inicis".into())) && can(Method::EasyPay("toss".into())));
    assert!(!can(Method::Card) && !can(Method::EasyPay("paypal".into())) && can(Method::BankTransfer("kb".into())));
    let homeless = Charge { checkout_url: String::new(), ..charge(window(), 500) };
    for odd in [homeless, charge(Instrument::Card(GOOD.into()), 500)] {
        assert!(matches!(rig.provider.authorise(&odd).await, Outcome::NotTaken(_)));
    }
    // What it does not say is not taken for an empty day.
    assert!(!rig.provider.has_statement() && rig.provider.statement(at(NOW), at(NOW + 1)).await.is_err());
}

#[tokio::test]
async fn forms_that_are_plainly_wrong_go_nowhere() {
    let rig = rig().await;
    let charge = charge(window(), 10_000);
    let (tid, there) = (format!("INIMX_AUTH{MID}20270115170000000001"), format!("{}smart/payReq.ini", rig.fake.url));
    let good = [("P_STATUS", "00"), ("P_TID", &tid), ("P_AMT", "10000"), ("P_REQ_URL", &there), ("idc_name", "ks")];
    let read = |fields: &[(&str, &str)]| rig.provider.returned(&charge, &form_of(fields));
    assert_eq!(read(&good), Some(format!("ks {tid}")));
    let other = tid.replace(MID, "somebody99");
    for (name, value) in [
        ("P_STATUS", "01"),
        ("P_TID", &other),
        ("P_TID", "INIMX_AUTHjangteo001 20270115170000000001"),
        ("P_TID", ""),
        ("P_AMT", "9999"),
        ("P_REQ_URL", "https://evil.example/smart/payReq.ini"),
        ("idc_name", "stg"),
        ("idc_name", "evil.example/"),
    ] {
        let lie = good.map(|(n, v)| if n == name { (n, value) } else { (n, v) });
        assert_eq!(read(&lie), None, "{name}={value}");
    }
    assert_eq!(rig.provider.returned(&charge, b"P_STATUS=00&P_STATUS=01"), None);
    assert_eq!(rig.provider.returned(&charge, &[0xff; 64]), None);
    // Away from tests there is no address but Inicis' own, and staging proves nothing.
    let stores = Stores::open(Kind::Sqlite, "payment", payment::MIGRATIONS).await;
    let own = |test| provider(stores.db(), &ManualClock::at(at(NOW)), Config { test, ..config("", "api_key_1") });
    let (live, staging) = (own(false), own(true));
    for (inicis, centre, url, known) in [
        (&live, "fc", "https://fcmobile.inicis.com/smart/payReq.ini", true),
        (&live, "ks", "https://ksmobile.inicis.com/smart/payReq.ini", true),
        (&live, "ks", "https://fcmobile.inicis.com/smart/payReq.ini", false),
        (&live, "fc", "https://fcmobile.inicis.com.evil.example/smart/payReq.ini", false),
        (&live, "stg", "https://stgmobile.inicis.com/smart/payReq.ini", false),
        (&staging, "stg", "https://stgmobile.inicis.com/smart/payReq.ini", true),
    ] {
        let back = good.map(|(n, v)| match n {
            "P_REQ_URL" => (n, url),
            "idc_name" => (n, centre),
            _ => (n, v),
        });
        assert_eq!(inicis.returned(&charge, &form_of(&back)).is_some(), known, "{centre} {url}");
    }
}

#[tokio::test]
async fn what_inicis_refuses_is_declined_and_taken_never() {
    let rig = rig().await;
    let bad = charge(rig.card("4000000000009995").await, 10_000);
    assert_eq!(rig.authorise(&bad).await, Outcome::Declined(Decline::CardDeclined));
    let unheard = format!("fc INIMX_AUTH{MID}20270115170000999999");
    assert_eq!(rig.provider.confirm(&bad, &unheard).await, Outcome::Declined(Decline::CardDeclined));
    rig.books_say(0, 0);
}

#[tokio::test]
async fn a_proof_of_another_payment_pays_for_nothing() {
    for (oid, amount) in [("fedcba9876543210fedcba9876543210-1", 10_000), (OID, 100)] {
        let rig = rig().await;
        let dear = rig.charge(10_000).await;
        let form = form(&mut rig.fake.books(), oid, amount);
        // What the browser says of the amount is no proof of it.
        let form = String::from_utf8(form).unwrap().replace("P_AMT=100&", "P_AMT=10000&");
        let slip = rig.provider.returned(&dear, form.as_bytes()).unwrap();
        assert_eq!(rig.provider.confirm(&dear, &slip).await, Outcome::Declined(Decline::SuspectedFraud), "{amount}");
        rig.books_say(0, 0);
    }
    // The same, found out later.
    let rig = rig().await;
    let dear = rig.charge(10_000).await;
    let cheap = Charge { amount: super::won(100), ..dear.clone() };
    rig.lose(rig.provider.confirm(&cheap, &slip(&rig, &cheap))).await;
    let seen = unanswered(&dear, SECOND);
    assert!(rig.provider.look_up(&seen).await.is_err(), "it goes back first");
    assert_eq!(rig.provider.look_up(&seen).await, Ok(Standing::Voided));
    rig.books_say(0, 0);
}

#[tokio::test]
async fn a_lost_approval_is_found_by_order_number() {
    let rig = rig().await;
    let charge = rig.charge(10_000).await;
    assert_eq!(rig.provider.look_up(&reference(&charge, None)).await, Ok(Standing::Absent), "nobody came back yet");
    rig.lose(rig.provider.confirm(&charge, &slip(&rig, &charge))).await;
    let asked = unanswered(&charge, SECOND);
    let Ok(Standing::Captured { provider_ref }) = rig.provider.look_up(&asked).await else { panic!("not found") };
    assert_eq!(rig.provider.capture(&asked).await, Outcome::Done(()));
    assert_eq!(rig.provider.void(&asked).await, Outcome::Done(()));
    assert_eq!(rig.provider.look_up(&reference(&charge, Some(provider_ref))).await, Ok(Standing::Voided));
    rig.books_say(0, 0);
}

#[tokio::test]
async fn an_approval_on_its_way_is_waited_for_before_it_is_given_up() {
    let rig = rig().await;
    let charge = rig.charge(10_000).await;
    assert_eq!(rig.provider.void(&reference(&charge, None)).await, Outcome::Done(()), "nobody came back");
    assert!(rig.fake.books().asked.is_empty());
    let (fresh, old) = (unanswered(&charge, 119 * SECOND), unanswered(&charge, 120 * SECOND));
    assert_eq!(rig.provider.look_up(&fresh).await, Ok(Standing::Pending));
    assert!(is_unknown(&rig.provider.void(&fresh).await));
    assert_eq!(rig.provider.look_up(&old).await, Ok(Standing::Declined(Decline::ProviderUnavailable)));
    assert_eq!(rig.provider.void(&old).await, Outcome::Done(()), "it had time enough to come");
    rig.lose(rig.provider.confirm(&charge, &slip(&rig, &charge))).await;
    assert_eq!(rig.provider.void(&fresh).await, Outcome::Done(()), "it came, and goes back");
    rig.books_say(0, 0);
}

#[tokio::test]
async fn what_inicis_does_not_say_is_unknown() {
    let rig = rig().await;
    let charge = rig.charge(10_000).await;
    let proof = slip(&rig, &charge);
    for status in [500, 502, 400, 409, 429] {
        rig.fake.next(Trouble::Say(status));
        assert!(is_unknown(&rig.provider.confirm(&charge, &proof).await), "{status}");
    }
    assert!(matches!(rig.nowhere.confirm(&charge, &proof).await, Outcome::NotTaken(_)), "it was not sent");
    rig.books_say(0, 0);
    let taken = captured(&rig, 10_000).await;
    for nobody in [&rig.stranger, &rig.nowhere] {
        for charge in [&taken, &unanswered(&charge, 500 * SECOND)] {
            assert!(nobody.look_up(charge).await.is_err(), "that it can't be asked does not mean that it is not there");
            assert!(!matches!(nobody.void(charge).await, Outcome::Done(())));
            let said = nobody.capture(charge).await;
            assert!(!matches!(said, Outcome::Done(()) | Outcome::Declined(_)), "{said:?}");
        }
        assert!(!matches!(
            nobody.refund(&taken, &refund("rfd_0", 0, 1)).await,
            Outcome::Done(()) | Outcome::Declined(_)
        ));
    }
    for status in [500, 400, 200] {
        rig.fake.next(Trouble::Say(status));
        assert!(is_unknown(&rig.provider.void(&taken).await), "{status}");
    }
    rig.books_say(1, 10_000);
    let forgotten = ChargeRef { provider_ref: Some(format!("INIMX_CARD{MID}20270115170000999999")), ..taken };
    assert!(rig.provider.look_up(&forgotten).await.is_err());
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_found_by_what_is_left() {
    let (rig, clock) = rig_with(Server::default()).await;
    let taken = captured(&rig, 10_000).await;
    rig.lose(rig.provider.refund(&taken, &refund("rfd_1", 0, 3_000))).await;
    // Another one waits, however small.
    assert!(is_unknown(&rig.provider.refund(&taken, &refund("rfd_2", 3_000, 500)).await));
    rig.books_say(1, 7_000);
    clock.advance(TimeDelta::seconds(600));
    for _ in 0..2 {
        assert_eq!(rig.provider.refund(&taken, &refund("rfd_1", 0, 3_000)).await, Outcome::Done(()));
    }
    assert_eq!(rig.provider.refund(&taken, &refund("rfd_2", 3_000, 500)).await, Outcome::Done(()));
    rig.books_say(1, 6_500);
    assert_eq!(only(&mut rig.fake.books())["promised"], serde_json::json!(["7000", "6500"]));
}

#[tokio::test]
async fn a_refund_that_never_arrived_is_sent_again_when_it_no_longer_can() {
    let (rig, clock) = rig_with(Server::default()).await;
    let taken = captured(&rig, 10_000).await;
    let wanted = refund("rfd_1", 0, 3_000);
    rig.fake.next(Trouble::Say(502));
    assert!(is_unknown(&rig.provider.refund(&taken, &wanted).await));
    clock.advance(TimeDelta::seconds(119));
    assert!(is_unknown(&rig.provider.refund(&taken, &wanted).await));
    assert_eq!(rig.fake.posts("/partialRefund"), 1);
    clock.advance(TimeDelta::seconds(1));
    rig.lose(rig.provider.refund(&taken, &wanted)).await;
    assert_eq!(rig.fake.posts("/partialRefund"), 2);
    assert_eq!(rig.provider.refund(&taken, &wanted).await, Outcome::Done(()));
    rig.books_say(1, 7_000);
}

#[tokio::test]
async fn a_refund_that_takes_its_time_is_given_once() {
    let server = Server::default();
    let (rig, clock) = rig_with(server.clone()).await;
    let taken = captured(&rig, 10_000).await;
    let wanted = refund("rfd_1", 0, 3_000);
    server.slow.store(true, Ordering::Relaxed);
    rig.lose(rig.provider.refund(&taken, &wanted)).await;
    for _ in 0..3 {
        clock.advance(TimeDelta::seconds(30));
        assert!(is_unknown(&rig.provider.refund(&taken, &wanted).await), "nothing is to be seen yet");
    }
    server.slow.store(false, Ordering::Relaxed);
    Server::arrive(only(&mut rig.fake.books()));
    clock.advance(TimeDelta::seconds(600));
    assert_eq!(rig.provider.refund(&taken, &wanted).await, Outcome::Done(()));
    assert_eq!(rig.fake.posts("/partialRefund"), 1);
    rig.books_say(1, 7_000);
}

#[tokio::test]
async fn a_refund_that_inicis_keeps_refusing_is_declined() {
    let server = Server::default();
    let (rig, clock) = rig_with(server.clone()).await;
    let taken = captured(&rig, 10_000).await;
    let wanted = refund("rfd_1", 0, 3_000);
    server.strict.store(true, Ordering::Relaxed);
    for sent in 1..=7 {
        // Troubles are no refusals.
        if sent == 2 || sent == 4 {
            rig.fake.next(Trouble::Say(502));
        }
        assert!(is_unknown(&rig.provider.refund(&taken, &wanted).await), "{sent}");
        assert!(is_unknown(&rig.provider.refund(&taken, &wanted).await), "at once it proves nothing");
        assert_eq!(rig.fake.posts("/partialRefund"), sent);
        clock.advance(TimeDelta::seconds(120));
    }
    for _ in 0..2 {
        assert_eq!(rig.provider.refund(&taken, &wanted).await, Outcome::Declined(Decline::CardDeclined));
    }
    server.strict.store(false, Ordering::Relaxed);
    assert_eq!(rig.provider.refund(&taken, &wanted).await, Outcome::Declined(Decline::CardDeclined), "for ever");
    assert_eq!(rig.provider.refund(&taken, &refund("rfd_2", 3_000, 500)).await, Outcome::Done(()), "others go on");
    rig.books_say(1, 9_500);
}

#[tokio::test]
async fn what_is_left_is_believed_only_where_it_can_be() {
    let (rig, clock) = rig_with(Server::default()).await;
    let taken = captured(&rig, 10_000).await;
    assert_eq!(rig.provider.refund(&taken, &refund("rfd_1", 0, 3_000)).await, Outcome::Done(()));
    // Inicis shows less than it has done.
    only(&mut rig.fake.books())["left"] = 10_000.into();
    assert!(is_unknown(&rig.provider.refund(&taken, &refund("rfd_2", 3_000, 1_000)).await));
    only(&mut rig.fake.books())["left"] = 7_000.into();
    rig.fake.next(Trouble::Say(502));
    assert!(is_unknown(&rig.provider.refund(&taken, &refund("rfd_2", 3_000, 1_000)).await));
    // Somebody gives 200 back by hand: whether ours has arrived as well, can't be told.
    only(&mut rig.fake.books())["left"] = 6_800.into();
    clock.advance(TimeDelta::seconds(600));
    assert!(is_unknown(&rig.provider.refund(&taken, &refund("rfd_2", 3_000, 1_000)).await));
    assert_eq!(rig.fake.posts("/partialRefund"), 2);
}

#[tokio::test]
async fn refunds_of_one_payment_go_one_by_one() {
    let rig = rig().await;
    let taken = captured(&rig, 10_000).await;
    let keys = ["rfd_1", "rfd_2", "rfd_3", "rfd_4"];
    for _ in 0..keys.len() {
        // All of them, each twice at once.
        let ask = |key: &'static str| {
            let (inicis, taken) = (rig.provider.clone(), taken.clone());
            async move { inicis.refund(&taken, &refund(key, 0, 1_000)).await }
        };
        futures::future::join_all(keys.iter().chain(&keys).map(|key| ask(key))).await;
    }
    rig.books_say(1, 6_000);
    assert_eq!(rig.fake.posts("/partialRefund"), 4);
}

#[tokio::test]
async fn all_of_it_goes_back_at_once() {
    let rig = rig().await;
    let taken = captured(&rig, 10_000).await;
    rig.lose(rig.provider.refund(&taken, &refund("rfd_1", 0, 10_000))).await;
    for _ in 0..2 {
        assert_eq!(rig.provider.refund(&taken, &refund("rfd_1", 0, 10_000)).await, Outcome::Done(()));
    }
    assert_eq!((rig.fake.posts("/refund"), rig.fake.posts("/partialRefund")), (1, 0));
    rig.books_say(1, 0);
    let more = rig.provider.refund(&taken, &refund("rfd_2", 10_000, 1)).await;
    assert!(matches!(more, Outcome::Declined(_)), "{more:?}");
}

#[tokio::test]
async fn settings_are_checked_and_secrets_never_shown() {
    let stores = Stores::open(Kind::Sqlite, "payment", payment::MIGRATIONS).await;
    let good = || config("http://inicis.example", "api_key_1");
    let shown = format!("{:?}", good());
    assert!(["hash_key_1", "api_key_1"].iter().all(|secret| !shown.contains(secret)), "{shown}");
    let empty = || String::new().into();
    for (bad, field) in [
        (Config { mid: "short".into(), ..good() }, "mid"),
        (Config { mid: "jangteo/01".into(), ..good() }, "mid"),
        (Config { hash_key: empty(), ..good() }, "hash_key"),
        (Config { api_key: empty(), ..good() }, "api_key"),
        (Config { url: "inicis.example".into(), ..good() }, "url"),
    ] {
        let refused = Inicis::new(bad, stores.db(), Arc::new(ManualClock::at(at(NOW)))).err().unwrap();
        assert_eq!(refused.field_violations()[0].field, format!("payment.providers.inicis.{field}"));
    }
}
