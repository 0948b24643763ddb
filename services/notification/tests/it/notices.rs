//! What events make people read.

use crate::support::*;
use chrono::TimeDelta;
use jangteo_core::Code;
use kit::{Received, db::crypt::Sealer};
use proto::{
    google::r#type::Money,
    jangteo::{
        notification::v1::{self as wire, notification_service::Api},
        order::v1::{OrderPaid, OrderPartCancelled, OrderPartConfirmed},
        payment::v1::SettlementMade,
    },
};
use testbed::Kind;

fn won(units: i64) -> Option<Money> {
    Some(Money { currency_code: "KRW".into(), units, nanos: 0 })
}

pub async fn an_event_that_comes_three_times_tells_once(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    let paid = OrderPaid { order_id: "ord_1".into(), buyer_id: a.clone(), ..Default::default() };
    let event = |consumer: &str| Received::deliver("notification", consumer, paid.clone(), 1, w.now());
    // As one consumer, for which the inbox stands; and as others, for which the notice itself does.
    for consumer in ["c", "c", "c", "d", "e"] {
        w.service.clone().told(event(consumer)).await.unwrap();
    }
    assert_eq!(w.list(&a).await.len(), 1);
    assert_eq!(w.rows("SELECT delivery_id FROM delivery").await.len(), 2, "push and e-mail");
    w.deliver().await;
    w.deliver().await;
    assert_eq!(w.mail.take().len(), 1);
}

pub async fn buyer_and_seller_are_told_what_concerns_them(kind: Kind) {
    let w = world(kind).await;
    let (buyer, seller) = (w.person(1).await, w.person(2).await);
    w.placed(&buyer, "ord_1", &["원목 의자", "책상"]).await;
    w.paid(&buyer, "ord_1").await;
    let confirmed = OrderPartConfirmed {
        order_id: "ord_1".into(),
        buyer_id: buyer.clone(),
        part: 1,
        seller_id: seller.clone(),
        amount: won(12_000),
        ..Default::default()
    };
    w.service.clone().told(w.event(confirmed)).await.unwrap();
    let settled = SettlementMade {
        order_id: "ord_1".into(),
        part: 1,
        seller_id: seller.clone(),
        amount: won(12_000),
        commission: won(600),
        net: won(11_400),
    };
    w.service.clone().told(w.event(settled)).await.unwrap();
    let told = |list: Vec<wire::Notification>| list.into_iter().map(|n| n.template).collect::<Vec<_>>();
    assert_eq!(told(w.list(&buyer).await), ["review_requested", "order_paid", "order_placed"]);
    let sales = w.list(&seller).await;
    assert_eq!(sales[0].title, "판매 대금이 정산되었습니다: 원목 의자 외 1건");
    assert_eq!(sales[0].body, "수수료 600원을 제외한 11,400원이 지갑에 입금되었습니다.");
    assert_eq!((sales[0].link.as_str(), sales[1].link.as_str()), ("/wallet", "/sales/ord_1/1"));
    assert_eq!(told(sales), ["settled", "sale_confirmed"]);
}

pub async fn notices_read_in_the_language_of_the_reader(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    w.placed(&a, "ord_1", &["Chair"]).await;
    let read = async |locale: Option<&str>| {
        let mut cx = w.by(&a);
        cx.locale = locale.map(Into::into);
        let req = wire::ListNotificationsRequest::default();
        w.service.list_notifications(cx, req).await.unwrap().notifications.remove(0).title
    };
    assert_eq!(read(None).await, "주문이 접수되었습니다: Chair", "as registered");
    assert_eq!(read(Some("en-US")).await, "Order received: Chair", "as the browser says");
    w.prefer(&a, wire::UpdatePreferencesRequest { locale: Some("en".into()), ..Default::default() }).await.unwrap();
    assert_eq!(read(Some("ko")).await, "Order received: Chair", "as they chose");
    w.paid(&a, "ord_1").await;
    w.deliver().await;
    assert_eq!(w.mail.take()[0].title, "Payment complete: Chair");
}

pub async fn facts_are_sealed_and_gone_with_the_person(kind: Kind) {
    let w = world(kind).await;
    let (a, b) = (w.person(1).await, w.person(2).await);
    let cancelled = OrderPartCancelled {
        order_id: "ord_1".into(),
        buyer_id: a.clone(),
        part: 1,
        seller_id: b.clone(),
        refund: won(7_654_321),
        ..Default::default()
    };
    w.service.clone().told(w.event(cancelled)).await.unwrap();
    assert!(w.list(&a).await[0].body.contains("7,654,321원"));
    assert!(!w.stores.stored("7654321"));
    let sealer = Sealer::new(w.stores.keyring());
    let erased = w.db().write(&w.job(), async |tx| sealer.erase(&tx, &a).await).await.unwrap();
    assert!(erased);
    assert!(w.list(&a).await.is_empty());
    assert_eq!(w.list(&b).await.len(), 1);
    w.deliver().await;
    assert!(w.mail.take().iter().all(|l| l.to != "p1@example.kr"), "nothing leaves for the erased person");
    // What comes later is told to nobody, and stops nothing.
    w.paid(&a, "ord_2").await;
    assert!(w.check().await.is_empty());
}

pub async fn old_notices_go_with_all_that_hangs_on_them(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    w.placed(&a, "ord_0", &["의자"]).await;
    w.paid(&a, "ord_1").await;
    w.deliver().await;
    w.advance(TimeDelta::days(179));
    w.paid(&a, "ord_2").await;
    w.service.clone().sweep(w.job()).await.unwrap();
    assert_eq!(w.list(&a).await.len(), 3);
    w.advance(TimeDelta::days(2));
    w.service.clone().sweep(w.job()).await.unwrap();
    assert_eq!(w.list(&a).await.len(), 1);
    assert_eq!(w.rows("SELECT delivery_id FROM delivery").await.len(), 2);
    assert!(w.rows("SELECT delivery_id FROM attempt").await.is_empty());
    assert!(w.rows("SELECT title FROM goods").await.is_empty());
    let gone = wire::ReadNotificationRequest { notification_id: format!("ntf_{:032x}", 1) };
    assert_eq!(w.service.read_notification(w.by(&a), gone).await.unwrap_err().code(), Code::NotFound);
}
