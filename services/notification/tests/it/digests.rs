//! One e-mail of many.

use crate::support::*;
use chrono::TimeDelta;
use proto::jangteo::notification::v1::{self as wire, notification_service::Api};
use testbed::Kind;

async fn wants(w: &World, user_id: &str, digest: wire::Digest) {
    let req = wire::UpdatePreferencesRequest { digest: Some(digest.into()), ..Default::default() };
    w.prefer(user_id, req).await.unwrap();
}

/// Both jobs, by three replicas.
async fn work(w: &World) {
    for outcome in futures::future::join_all((0..3).map(|_| w.service.clone().digest(w.job()))).await {
        // Who loses a race tries again with the next run.
        if let Err(e) = outcome {
            assert_eq!(e.code(), jangteo_core::Code::Unavailable, "{e:?}");
        }
    }
    w.service.clone().digest(w.job()).await.unwrap();
    w.deliver().await;
}

pub async fn a_digest_is_one_mail_of_many(kind: Kind) {
    let w = world(kind).await;
    let (a, b) = (w.person(1).await, w.person(2).await);
    w.device(&a, "device-of-a-0123456").await;
    wants(&w, &a, wire::Digest::Daily).await;
    wants(&w, &b, wire::Digest::Weekly).await;
    for n in 0..4 {
        w.placed(&a, &format!("ord_{n}"), &[&format!("상품{n}")]).await;
        w.paid(&a, &format!("ord_{n}")).await;
        w.paid(&b, &format!("ord_{n}")).await;
    }
    work(&w).await;
    assert_eq!((w.fcm.take().len(), w.mail.take().len()), (4, 0), "push does not wait");
    // Sunday, nine in the morning.
    w.advance("2026-11-22T00:00:00Z".parse::<jangteo_core::Time>().unwrap() - w.now());
    work(&w).await;
    work(&w).await;
    let mails = w.mail.take();
    assert_eq!(mails.len(), 1);
    assert_eq!((mails[0].to.as_str(), mails[0].title.as_str()), ("p1@example.kr", "[장터] 모아 보는 알림 4건"));
    assert_eq!(
        mails[0].body.lines().collect::<Vec<_>>(),
        (0..4).map(|n| format!("• 결제가 완료되었습니다: 상품{n}")).collect::<Vec<_>>()
    );
    assert_eq!(w.list(&a).await.len(), 8, "the list shows no digest");
    // Monday.
    w.advance(TimeDelta::days(1));
    work(&w).await;
    let mails = w.mail.take();
    assert_eq!(mails.iter().map(|m| m.to.as_str()).collect::<Vec<_>>(), ["p2@example.kr"]);
    assert_eq!(w.rows("SELECT DISTINCT state FROM delivery WHERE channels = '4' ORDER BY 1").await, ["merged", "sent"]);
    assert!(w.check().await.is_empty());
}

pub async fn a_digest_leaves_out_what_was_read_or_is_not_wanted(kind: Kind) {
    let w = world(kind).await;
    let a = w.person(1).await;
    wants(&w, &a, wire::Digest::Daily).await;
    w.paid(&a, "ord_1").await;
    w.paid(&a, "ord_2").await;
    let read = wire::ReadNotificationRequest { notification_id: w.list(&a).await.remove(0).notification_id };
    w.service.read_notification(w.by(&a), read).await.unwrap();
    w.advance(TimeDelta::days(1));
    work(&w).await;
    assert_eq!(w.mail.take()[0].title, "[장터] 모아 보는 알림 1건");
    // Nothing left to say: nothing is said.
    w.paid(&a, "ord_3").await;
    w.service.read_all_notifications(w.by(&a), wire::ReadAllNotificationsRequest::default()).await.unwrap();
    w.advance(TimeDelta::days(1));
    work(&w).await;
    assert!(w.mail.take().is_empty());
}
