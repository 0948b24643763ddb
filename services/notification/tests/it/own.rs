//! What is a person's own: their notices, preferences and devices.

use crate::support::*;
use chrono::TimeDelta;
use futures::StreamExt;
use jangteo_core::{Call, Clock, Code, Principal, SystemClock};
use proto::jangteo::notification::v1::{self as wire, notification_service::Api};
use std::time::Duration;
use testbed::Kind;

pub async fn pages_and_unread_counts(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    for n in 0..7 {
        w.paid(&a, &format!("ord_{n}")).await;
    }
    let page = async |token: String, unread| {
        let req = wire::ListNotificationsRequest { page_size: 3, page_token: token, unread, ..Default::default() };
        w.service.list_notifications(w.by(&a), req).await.unwrap()
    };
    let (mut token, mut links) = (String::new(), Vec::new());
    loop {
        let found = page(token, false).await;
        assert_eq!(found.unread_count, Some(7));
        links.extend(found.notifications.into_iter().map(|n| n.link));
        token = found.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(links, (0..7).rev().map(|n| format!("/orders/ord_{n}")).collect::<Vec<_>>());

    let first = w.list(&a).await.remove(0);
    let read = async || {
        let req = wire::ReadNotificationRequest { notification_id: first.notification_id.clone() };
        w.service.read_notification(w.by(&a), req).await.unwrap()
    };
    let once = read().await;
    w.advance(TimeDelta::hours(1));
    assert_eq!(read().await, once, "the first time counts");
    assert!(once.read);
    assert_eq!(page(String::new(), true).await.unread_count, Some(6));
    let all = async |category| {
        let req = wire::ReadAllNotificationsRequest { category };
        w.service.read_all_notifications(w.by(&a), req).await.unwrap().read_count()
    };
    assert_eq!(all(wire::Category::Payment.into()).await, 0);
    assert_eq!([all(0).await, all(0).await], [6, 0]);
    assert!(page(String::new(), true).await.notifications.is_empty());
}

pub async fn nobody_reads_what_is_anothers(kind: Kind) {
    let w = world(kind).await;
    let (a, b) = (w.person(1).await, w.person(2).await);
    w.paid(&a, "ord_1").await;
    let device = w.device(&a, "token-of-a-0123456789").await;
    let own = w.list(&a).await.remove(0);
    assert!(w.list(&b).await.is_empty());
    let read = wire::ReadNotificationRequest { notification_id: own.notification_id };
    for cx in [w.by(&b), w.admin()] {
        let e = w.service.read_notification(cx, read.clone()).await.unwrap_err();
        assert_eq!((e.code(), e.reason()), (Code::NotFound, "NOTIFICATION_NOT_FOUND"));
    }
    assert!(!w.list(&a).await[0].read);
    let delete = wire::DeleteDeviceRequest { device_id: device.device_id };
    assert_eq!(w.service.delete_device(w.by(&b), delete.clone()).await.unwrap_err().code(), Code::NotFound);
    let list = w.service.list_devices(w.by(&b), wire::ListDevicesRequest::default()).await.unwrap();
    assert!(list.devices.is_empty());
    let b_reads = w.service.read_all_notifications(w.by(&b), wire::ReadAllNotificationsRequest::default()).await;
    assert_eq!(b_reads.unwrap().read_count, Some(0));
    w.service.delete_device(w.by(&a), delete).await.unwrap();
    let e = w.service.list_devices(testbed::anonymous(), wire::ListDevicesRequest::default()).await.unwrap_err();
    assert_eq!(e.code(), Code::Unauthenticated);
}

pub async fn preferences_change_by_patch_and_etag(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    let get = async |user: &str| w.service.get_preferences(w.by(user), wire::GetPreferencesRequest {}).await.unwrap();
    let before = get(&a).await;
    assert_eq!((before.etag.as_str(), before.time_zone.as_str(), before.choices.len()), ("0", "Asia/Seoul", 28));
    assert!(before.choices.iter().all(|c| c.enabled) && before.update_time.is_none());
    let choice =
        wire::Choice { category: wire::Category::Order.into(), channel: wire::Channel::Email.into(), enabled: false };
    let quiet_hours = Some(wire::QuietHours { start: "23:30".into(), end: "07:00".into() });
    let req = wire::UpdatePreferencesRequest {
        choices: vec![choice],
        quiet_hours: quiet_hours.clone(),
        time_zone: Some("America/New_York".into()),
        etag: "0".into(),
        ..Default::default()
    };
    let after = w.prefer(&a, req.clone()).await.unwrap();
    assert_eq!(after, get(&a).await);
    assert_eq!((after.etag.as_str(), &after.quiet_hours), ("1", &quiet_hours));
    assert_eq!(after.choices.iter().filter(|c| !c.enabled).collect::<Vec<_>>(), [&choice]);
    let e = w.prefer(&a, req.clone()).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Aborted, "ETAG_MISMATCH"));
    let again = wire::UpdatePreferencesRequest { etag: String::new(), ..req };
    assert_eq!(w.prefer(&a, again).await.unwrap().etag, "1", "no change is no version");
    assert_eq!(get(&user(2)).await, before, "others' are their own");
    let zone = wire::UpdatePreferencesRequest { time_zone: Some("Asia/Atlantis".into()), ..Default::default() };
    assert_eq!(w.prefer(&a, zone).await.unwrap_err().field_violations()[0].field, "time_zone");
    // Ten at once: each change is whole, and none is lost.
    let changes = wire::Category::Order as i32..=wire::Category::Marketing as i32;
    let all = changes.map(|category| {
        let choice = wire::Choice { category, channel: wire::Channel::Sms.into(), enabled: false };
        let req = wire::UpdatePreferencesRequest { choices: vec![choice], ..Default::default() };
        let (service, cx) = (w.service.clone(), w.by(&a));
        async move {
            while let Err(e) = service.update_preferences(cx.clone(), req.clone()).await {
                assert_eq!(e.code(), Code::Aborted, "{e:?}");
            }
        }
    });
    futures::future::join_all(all).await;
    assert_eq!(get(&a).await.choices.iter().filter(|c| !c.enabled).count(), 7);
}

pub async fn devices_are_their_last_owners(kind: Kind) {
    let w = world(kind).await;
    let (a, b) = (w.person(1).await, w.person(2).await);
    let first = w.device(&a, "shared-phone-token-1").await;
    w.advance(TimeDelta::minutes(1));
    let again = w.device(&a, "shared-phone-token-1").await;
    assert_eq!(again.device_id, first.device_id);
    let moved = w.device(&b, "shared-phone-token-1").await;
    assert_ne!(moved.device_id, first.device_id);
    let of = async |user: &str| {
        let req = wire::ListDevicesRequest { page_size: 100, ..Default::default() };
        w.service.list_devices(w.by(user), req).await.unwrap().devices
    };
    assert!(of(&a).await.is_empty());
    assert_eq!(of(&b).await, [moved]);
    for n in 0..25 {
        w.advance(TimeDelta::minutes(1));
        w.device(&b, &format!("phone-token-number-{n:02}")).await;
    }
    assert_eq!(of(&b).await.len(), 20, "the oldest ones go");
    assert!(!w.stores.stored("phone-token-number"));
}

pub async fn a_stream_brings_what_is_new_and_what_was_missed(kind: Kind) {
    let w = world(kind).await;
    let (a, b) = (w.person(1).await, w.person(2).await);
    // Ids have the machine's time, so the clock of this one does.
    w.advance(SystemClock.now() - w.now());
    w.paid(&a, "ord_before").await;
    let watch = async |after_id: String| {
        let mut cx: Call = w.by(&a);
        if let Principal::User(u) = &mut cx.principal {
            u.expires = w.now() + TimeDelta::hours(1);
        }
        w.service.watch_notifications(cx, wire::WatchNotificationsRequest { after_id }).await.unwrap()
    };
    tokio::time::sleep(Duration::from_millis(5)).await;
    w.advance(SystemClock.now() - w.now());
    let mut stream = watch(String::new()).await;
    let within = Duration::from_secs(20);
    let next = async |s: &mut proto::Streaming<wire::Notification>| {
        tokio::time::timeout(within, s.next()).await.expect("in time").expect("goes on").unwrap()
    };
    w.paid(&b, "ord_others").await;
    for n in 0..3 {
        w.paid(&a, &format!("ord_{n}")).await;
        assert_eq!(next(&mut stream).await.link, format!("/orders/ord_{n}"));
    }
    let quiet = tokio::time::timeout(Duration::from_millis(1500), stream.next()).await;
    assert!(quiet.is_err(), "nothing comes twice");
    let seen = w.list(&a).await;
    let mut again = watch(seen[3].notification_id.clone()).await;
    for n in 0..3 {
        assert_eq!(next(&mut again).await.link, format!("/orders/ord_{n}"), "what was missed");
    }
    w.advance(TimeDelta::hours(2));
    let end = tokio::time::timeout(within, stream.next()).await.expect("in time");
    assert!(end.is_none(), "the stream ends with the token");
}

pub async fn an_erased_person_is_told_nothing_and_leaves_nothing(kind: Kind) {
    let w = world(kind).await;
    let (a, b) = (w.person(1).await, w.person(2).await);
    for user in [&a, &b] {
        w.paid(user, "ord_1").await;
        w.device(user, &format!("token-of-{user}")).await;
        let marketing = wire::UpdatePreferencesRequest { time_zone: Some("Asia/Tokyo".into()), ..Default::default() };
        w.prefer(user, marketing).await.unwrap();
    }
    let sealer = kit::db::crypt::Sealer::new(w.stores.keyring());
    for _ in 0..2 {
        let forget = async |tx: kit::db::Tx| {
            sealer.erase(&tx, &a).await?;
            w.service.clone().forget(tx, a.clone()).await
        };
        w.db().write(&w.job(), forget).await.unwrap();
    }
    // What comes late is for nobody.
    w.paid(&a, "ord_2").await;
    w.deliver().await;
    for table in ["notification", "delivery", "device", "preference", "recipient"] {
        let left = w.rows(&format!("SELECT DISTINCT user_id FROM {table}")).await;
        assert_eq!(left, [b.as_str()], "{table}");
    }
    assert!(w.mail.take().iter().all(|mail| mail.to == "p2@example.kr"));
    assert_eq!(w.check().await, Vec::<String>::new());
}
