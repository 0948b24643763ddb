//! What leaves the app, when, and by which way.

use crate::support::*;
use chrono::TimeDelta;
use jangteo_core::Time;
use notification::{Outcome, ports::Receipt};
use proto::jangteo::{
    notification::v1::{self as wire, notification_service::Api},
    order::v1::OrderPaymentDeclined,
    shipping::v1::ShipmentReady,
};
use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex, atomic::Ordering},
};
use testbed::Kind;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

const LATER: Outcome = Outcome::Later { after: None, why: "BUSY" };
const ELSEWHERE: Outcome = Outcome::Elsewhere { why: "NOT_ADMITTED" };
const UNKNOWN: Outcome = Outcome::Unknown { why: "NO_ANSWER" };
const GONE: Outcome = Outcome::Never { why: notification::ports::GONE };

/// The seller is told by push or, where there is no device, SMS; and by e-mail.
async fn sold(w: &World, seller_id: &str, order: &str) {
    let ready = ShipmentReady {
        shipment_id: format!("shp_of_{order}"),
        order_id: order.into(),
        part: 1,
        seller_id: seller_id.into(),
        ..Default::default()
    };
    w.service.clone().told(w.event(ready)).await.unwrap();
}

async fn declined(w: &World, buyer_id: &str, order: &str) {
    let declined = OrderPaymentDeclined {
        order_id: order.into(),
        buyer_id: buyer_id.into(),
        attempt: 1,
        decline_reason: "INSUFFICIENT_FUNDS".into(),
    };
    w.service.clone().told(w.event(declined)).await.unwrap();
}

fn quiet(start: &str, end: &str, zone: &str) -> wire::UpdatePreferencesRequest {
    let quiet_hours = Some(wire::QuietHours { start: start.into(), end: end.into() });
    wire::UpdatePreferencesRequest { quiet_hours, time_zone: Some(zone.into()), ..Default::default() }
}

pub async fn what_is_due_is_sent_once_by_many_replicas(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    for n in 0..30 {
        w.paid(&a, &format!("ord_{n}")).await;
    }
    let replicas = (0..8).map(|_| w.service.clone().deliver(w.job()));
    for outcome in futures::future::join_all(replicas).await {
        outcome.unwrap();
    }
    let left = w.mail.take();
    assert_eq!(left.len(), 30);
    assert!(left.iter().all(|l| l.to == "p1@example.kr" && l.kind == "order_paid"));
    let reasons = w.rows("SELECT DISTINCT state || ' ' || reason FROM delivery ORDER BY 1").await;
    assert_eq!(reasons, ["sent ", "skipped NO_DEVICE"]);
    assert!(w.check().await.is_empty());
}

pub async fn quiet_hours_put_off_what_is_not_urgent(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    w.device(&a, "device-of-a-0123456").await;
    // Over midnight, and over the hour that comes twice in New York on 1 November.
    for (zone, evening, morning) in [
        ("Asia/Seoul", "2026-11-22T14:59:00Z", "2026-11-22T23:00:00Z"),
        ("America/New_York", "2027-11-07T03:00:00Z", "2027-11-07T13:00:00Z"),
        ("America/New_York", "2028-03-12T06:30:00Z", "2028-03-12T12:00:00Z"),
    ] {
        w.prefer(&a, quiet("22:00", "08:00", zone)).await.unwrap();
        let (evening, morning): (Time, Time) = (evening.parse().unwrap(), morning.parse().unwrap());
        w.advance(evening - w.now());
        w.paid(&a, &format!("ord_{evening}")).await;
        declined(&w, &a, &format!("ord_{evening}")).await;
        w.deliver().await;
        let kinds: Vec<_> = w.fcm.take().into_iter().chain(w.mail.take()).map(|l| l.kind).collect();
        assert_eq!(kinds, ["payment_declined", "payment_declined"], "{zone}");
        w.advance(morning - TimeDelta::seconds(1) - w.now());
        w.deliver().await;
        assert!(w.fcm.take().is_empty() && w.mail.take().is_empty(), "{zone}");
        w.advance(TimeDelta::seconds(1));
        w.deliver().await;
        assert_eq!((w.fcm.take().len(), w.mail.take().len()), (1, 1), "{zone}");
    }
    assert!(w.check().await.is_empty());
}

pub async fn what_is_not_wanted_is_not_sent(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    w.device(&a, "device-of-a-0123456").await;
    w.paid(&a, "ord_1").await;
    // Between the writing and the sending they change their mind.
    let no = |channel: wire::Channel| wire::Choice {
        category: wire::Category::Order.into(),
        channel: channel.into(),
        enabled: false,
    };
    let req = wire::UpdatePreferencesRequest {
        choices: vec![no(wire::Channel::Push), no(wire::Channel::InApp)],
        ..Default::default()
    };
    w.prefer(&a, req).await.unwrap();
    w.deliver().await;
    assert_eq!((w.fcm.take().len(), w.mail.take().len()), (0, 1));
    assert_eq!(w.states().await, ["skipped NOT_WANTED", "sent "]);
    assert_eq!(w.list(&a).await.len(), 1, "what is in the list stays");
    w.paid(&a, "ord_2").await;
    assert_eq!(w.list(&a).await.len(), 1, "what is new does not come");
}

pub async fn another_provider_takes_over(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    w.sms[0].answer([ELSEWHERE, ELSEWHERE]);
    w.sms[1].answer([LATER]);
    sold(&w, &a, "ord_1").await;
    w.deliver().await;
    let (first, second) = (w.sms[0].take(), w.sms[1].take());
    assert_eq!((first.len(), second.len()), (1, 1), "both at once");
    assert_eq!(first[0].key, second[0].key);
    assert_eq!(second[0].to, phone(1));
    w.advance(TimeDelta::seconds(9));
    w.deliver().await;
    assert!(w.sms[0].take().is_empty(), "not yet");
    w.advance(TimeDelta::seconds(1));
    w.deliver().await;
    assert_eq!((w.sms[0].take().len(), w.sms[1].take().len()), (1, 1));
    assert_eq!(w.rows("SELECT state || ' ' || provider FROM delivery WHERE provider <> 'mail'").await, ["sent sms-b"]);
    let log = w.rows("SELECT provider || ' ' || outcome FROM attempt WHERE provider <> 'mail' ORDER BY attempt").await;
    assert_eq!(log, ["sms-a elsewhere", "sms-b later", "sms-a elsewhere", "sms-b sent"]);
    assert!(w.check().await.is_empty());
}

pub async fn another_channel_takes_over_and_dead_devices_go(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    w.device(&a, "dead-device-0123456").await;
    w.advance(TimeDelta::seconds(1));
    w.device(&a, "live-device-0123456").await;
    w.fcm.answer([Outcome::Sent("1".into()), GONE]);
    sold(&w, &a, "ord_1").await;
    w.deliver().await;
    let tokens: Vec<_> = w.fcm.take().into_iter().map(|l| l.to).collect();
    assert_eq!(tokens, ["live-device-0123456", "dead-device-0123456"]);
    assert!(w.sms[0].take().is_empty(), "one device has it");
    let devices = w.service.list_devices(w.by(&a), wire::ListDevicesRequest::default()).await.unwrap().devices;
    assert_eq!(devices.len(), 1);
    w.mail.take();
    // The last one goes too: the next way is tried at once.
    w.fcm.answer([GONE]);
    declined(&w, &a, "ord_1").await;
    w.deliver().await;
    assert_eq!((w.fcm.take().len(), w.sms[0].take().len(), w.mail.take().len()), (1, 1, 1));
    let devices = w.service.list_devices(w.by(&a), wire::ListDevicesRequest::default()).await.unwrap().devices;
    assert!(devices.is_empty());
    // A push service that stays away is not waited for longer than two rounds.
    w.device(&a, "live-device-0123456").await;
    w.fcm.answer([LATER, LATER]);
    declined(&w, &a, "ord_2").await;
    w.deliver().await;
    assert!(w.sms[0].take().is_empty());
    w.advance(TimeDelta::seconds(10));
    w.deliver().await;
    assert_eq!((w.fcm.take().len(), w.sms[0].take().len()), (2, 1));
    assert!(w.check().await.is_empty());
}

pub async fn a_crash_sends_at_most_twice(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    w.paid(&a, "ord_1").await;
    let die = async || {
        // As a process leaves it that dies after sending.
        w.deliver().await;
        let lease = jangteo_core::micros(w.now() + TimeDelta::seconds(60));
        w.sql(&format!("UPDATE delivery SET state = 'sending', due_time = {lease} WHERE state = 'sent'")).await;
        w.sql("UPDATE attempt SET outcome = '' WHERE outcome = 'sent'").await;
    };
    die().await;
    w.advance(TimeDelta::seconds(59));
    w.deliver().await;
    assert_eq!(w.mail.left.lock().unwrap().len(), 1, "it may still be under way");
    w.advance(TimeDelta::seconds(1));
    w.deliver().await;
    w.advance(TimeDelta::seconds(10));
    die().await;
    for _ in 0..5 {
        w.advance(TimeDelta::hours(1));
        w.deliver().await;
    }
    let left = w.mail.take();
    assert_eq!(left.len(), 2);
    assert_eq!(left[0].key, left[1].key, "under the same key");
    assert_eq!(w.states().await, ["skipped NO_DEVICE", "failed CRASHED"]);
    assert!(w.check().await.is_empty());
}

/// The ways before it are passed without being written down, and are not begun anew.
pub async fn a_crash_on_a_later_way_is_counted_there(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    declined(&w, &a, "ord_1").await;
    w.sms[0].hangs.store(true, Ordering::Relaxed);
    for round in 1..=2 {
        let taken = async {
            while w.sms[0].left.lock().unwrap().len() < round {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = w.deliver() => panic!("the provider answered"),
            () = taken => {}
        }
        // The lease is over, the one that died is counted, and then it is due once more.
        w.advance(TimeDelta::seconds(60));
        w.deliver().await;
        w.advance(TimeDelta::seconds(10));
    }
    w.sms[0].hangs.store(false, Ordering::Relaxed);
    for _ in 0..3 {
        w.deliver().await;
        w.advance(TimeDelta::hours(1));
    }
    assert_eq!(w.sms[0].take().len(), 2, "nobody gets anything three times");
    assert!(w.states().await.contains(&"failed CRASHED".to_owned()), "{:?}", w.states().await);
    assert!(w.check().await.is_empty());
}

pub async fn an_answer_that_is_lost_twice_ends_it(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    w.sms[0].answer([UNKNOWN, UNKNOWN]);
    sold(&w, &a, "ord_1").await;
    for _ in 0..5 {
        w.deliver().await;
        w.advance(TimeDelta::minutes(10));
    }
    assert_eq!((w.sms[0].take().len(), w.sms[1].take().len()), (2, 0), "and nobody else is asked");
    assert_eq!(w.states().await, ["failed NO_ANSWER", "sent "]);
}

pub async fn contacts_that_cannot_be_had_are_waited_for(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    w.away.store(true, Ordering::Relaxed);
    w.paid(&a, "ord_1").await;
    w.deliver().await;
    assert!(w.mail.take().is_empty());
    assert_eq!(w.list(&a).await.len(), 1, "the app needs nobody");
    w.away.store(false, Ordering::Relaxed);
    w.advance(TimeDelta::seconds(10));
    w.deliver().await;
    assert_eq!(w.mail.take().len(), 1);
    assert_eq!(w.rows("SELECT delivery_id FROM attempt").await.len(), 1, "waiting is no attempt");
}

pub async fn receipts_are_asked_for(kind: Kind) {
    let w = world(kind).await;
    let (a, b) = (w.person(1).await, w.person(2).await);
    let ask = async || w.service.clone().ask_for_receipts(w.job()).await.unwrap();
    let sms = async || w.rows("SELECT state || ' ' || reason FROM delivery WHERE provider = 'sms-a'").await;
    sold(&w, &a, "ord_1").await;
    w.deliver().await;
    for _ in 0..4 {
        w.advance(TimeDelta::seconds(40));
        ask().await;
    }
    assert_eq!(sms().await, ["sent "]);
    *w.sms[0].receipt.lock().unwrap() = Receipt::Arrived;
    w.advance(TimeDelta::hours(1));
    ask().await;
    assert_eq!(sms().await, ["delivered "]);
    declined(&w, &b, "ord_1").await;
    w.deliver().await;
    *w.sms[0].receipt.lock().unwrap() = Receipt::Lost("UNDELIVERED");
    w.advance(TimeDelta::hours(1));
    ask().await;
    let mut states = sms().await;
    states.sort();
    assert_eq!(states, ["delivered ", "failed UNDELIVERED"]);
}

pub async fn no_secret_is_stored_or_logged(kind: Kind) {
    let w = world(kind).await;
    let log = Log::default();
    let listening = tracing::subscriber::set_default(log.clone());
    let a = w.person(4242).await;
    w.device(&a, "canary-token-0123456").await;
    w.fcm.answer([LATER, GONE]);
    w.sms[0].answer([ELSEWHERE, UNKNOWN]);
    w.sms[1].answer([LATER]);
    w.mail.answer([LATER, Outcome::Never { why: "MAIL_REFUSED" }]);
    declined(&w, &a, "ord_1").await;
    for _ in 0..6 {
        w.deliver().await;
        w.advance(TimeDelta::hours(2));
    }
    drop(listening);
    assert_eq!((w.fcm.take().len(), w.mail.take().len()), (2, 2));
    assert!(w.sms[0].take().iter().all(|l| l.to == phone(4242)));
    let log = log.0.lock().unwrap().clone();
    assert!(log.contains("could not be sent") && log.contains("is not taken"), "{log}");
    for canary in [phone(4242).as_str(), "p4242@", "canary-token", "사람4242"] {
        assert!(!log.contains(canary) && !w.stores.stored(canary), "{canary}");
    }
}

pub async fn the_check_finds_what_is_wrong(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    w.prefer(&a, quiet("02:00", "03:00", "Asia/Seoul")).await.unwrap();
    w.paid(&a, "ord_1").await;
    w.deliver().await;
    assert!(w.check().await.is_empty());
    // At 02:30 in Seoul.
    w.sql("UPDATE attempt SET start_time = 1800552600000000").await;
    let line = "INSERT INTO attempt SELECT delivery_id, 9, channel, provider, '', 0, 'sent', '' FROM attempt";
    w.sql(line).await;
    w.sql("DELETE FROM notification").await;
    let found = w.check().await;
    for text in ["has no notification", "was sent twice", "in the quiet hours 120-180 Asia/Seoul"] {
        assert!(found.iter().any(|line| line.contains(text)), "{text}: {found:?}");
    }
}

/// All events of this thread, with their fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(&mut self.0.lock().unwrap()));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0, "{field}={value:?}").unwrap();
    }
}
