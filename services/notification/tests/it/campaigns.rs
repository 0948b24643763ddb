//! What is told to many people at once.

use crate::support::*;
use chrono::TimeDelta;
use jangteo_core::{Code, Result};
use proto::jangteo::{
    notification::v1::{self as wire, broadcast_request::Audience, notification_service::Api},
    user::v1::{ConsentDecided, ConsentPurpose},
};
use std::collections::BTreeSet;
use testbed::Kind;

fn variant(name: &str) -> wire::Variant {
    let wording =
        |title: &str| wire::Wording { title: title.into(), body: "본문".into(), link: "/events/spring".into() };
    let (ko, en) = (Some(wording(&format!("봄맞이 {name}"))), Some(wording(&format!("Spring {name}"))));
    wire::Variant { name: name.into(), weight: 1, ko, en }
}

fn order(category: wire::Category) -> wire::BroadcastRequest {
    wire::BroadcastRequest {
        category: category.into(),
        channels: vec![wire::Channel::Email.into()],
        audience: Some(Audience::Filter(wire::AudienceFilter::default())),
        variants: vec![variant("a")],
        request_id: "key".into(),
        ..Default::default()
    }
}

async fn begin(w: &World, req: wire::BroadcastRequest) -> Result<wire::Campaign> {
    w.service.broadcast(testbed::keyed(w.admin(), &req.request_id, 1), req.clone()).await
}

async fn report(w: &World, campaign_id: &str) -> wire::Campaign {
    let req = wire::GetCampaignRequest { campaign_id: campaign_id.into() };
    w.service.get_campaign(w.admin(), req).await.unwrap()
}

/// People who are known and nothing more.
async fn people(w: &World, n: usize) {
    let rows: Vec<_> = (1..=n).map(|n| format!("('{}', 'ko', {n})", user(n))).collect();
    w.sql(&format!("INSERT INTO recipient (user_id, locale, register_time) VALUES {}", rows.join(", "))).await;
    for n in 1..=n {
        let (display_name, email) = (format!("p{n}"), format!("p{n}@example.kr"));
        let contact = proto::jangteo::user::v1::Contact { user_id: user(n), display_name, email, ..Default::default() };
        w.contacts.lock().unwrap().insert(user(n), contact);
    }
}

pub async fn a_thousand_people_are_told_once(kind: Kind) {
    let w = world(kind).await;
    people(&w, 1000).await;
    let campaign = begin(&w, order(wire::Category::Notice)).await.unwrap();
    let again = begin(&w, order(wire::Category::Notice)).await.unwrap();
    assert_eq!(campaign.campaign_id, again.campaign_id, "the key stands for one campaign");
    assert_eq!(campaign.status(), wire::CampaignStatus::Scheduled);
    // Four replicas, of which some die on the way.
    let replicas = (0..4).map(|_| w.service.clone().broadcast_due(w.job()));
    for outcome in futures::future::join_all(replicas).await {
        outcome.unwrap();
    }
    w.service.clone().broadcast_due(w.job()).await.unwrap();
    let done = report(&w, &campaign.campaign_id).await;
    assert_eq!((done.status(), done.variants[0].recipients), (wire::CampaignStatus::Done, 1000));
    for _ in 0..3 {
        w.deliver().await;
    }
    let to: BTreeSet<String> = w.mail.left.lock().unwrap().iter().map(|l| l.to.clone()).collect();
    assert_eq!((to.len(), w.mail.take().len()), (1000, 1000));
    assert_eq!(w.list(&user(500)).await[0].title, "봄맞이 a");
    assert_eq!(report(&w, &campaign.campaign_id).await.variants[0].sent, 1000);
    assert!(w.check().await.is_empty());
}

pub async fn wordings_are_compared(kind: Kind) {
    let w = world(kind).await;
    people(&w, 200).await;
    let listed = (1..=150).chain([7777]).map(user).collect();
    let req = wire::BroadcastRequest {
        audience: Some(Audience::Users(wire::UserList { user_ids: listed })),
        variants: vec![variant("a"), variant("b")],
        ..order(wire::Category::Notice)
    };
    let campaign = begin(&w, req).await.unwrap();
    w.service.clone().broadcast_due(w.job()).await.unwrap();
    w.mail.answer((0..10).map(|_| notification::Outcome::Never { why: "MAIL_REFUSED" }));
    w.deliver().await;
    let mut opened = 0;
    for n in 1..=20 {
        let own = w.list(&user(n)).await.remove(0);
        let read = wire::ReadNotificationRequest { notification_id: own.notification_id };
        w.service.read_notification(w.by(&user(n)), read).await.unwrap();
        opened += i32::from(own.title == "봄맞이 b");
    }
    let [a, b] = report(&w, &campaign.campaign_id).await.variants.try_into().unwrap();
    assert_eq!((a.name.as_str(), b.name.as_str()), ("a", "b"));
    assert_eq!(a.recipients + b.recipients, 150, "those of the list who are known");
    assert!((45..=105).contains(&a.recipients), "{a:?}");
    assert_eq!((a.opened, b.opened), (20 - opened, opened));
    assert_eq!((a.sent + b.sent, a.failed + b.failed), (140, 10));
    assert!((10..=20).contains(&(a.delivered + b.delivered)), "what was opened has arrived: {a:?} {b:?}");
    assert!(w.list(&user(151)).await.is_empty());
}

pub async fn advertising_needs_a_consent_and_daylight(kind: Kind) {
    let w = world(kind).await;
    let (a, b) = (w.person(1).await, w.person(2).await);
    for (n, id) in [&a, &b].into_iter().enumerate() {
        w.device(id, &format!("device-number-{n}-abc")).await;
    }
    for purpose in [ConsentPurpose::MarketingPush, ConsentPurpose::MarketingEmail] {
        let decided =
            ConsentDecided { user_id: a.clone(), purpose: purpose.into(), granted: true, document_version: 1 };
        w.service.clone().consent_decided(w.event(decided)).await.unwrap();
    }
    // 21:30 in Seoul.
    w.advance(TimeDelta::minutes(570));
    let channels = vec![wire::Channel::Push.into(), wire::Channel::Email.into(), wire::Channel::Sms.into()];
    let req = wire::BroadcastRequest { channels, ..order(wire::Category::Marketing) };
    begin(&w, req).await.unwrap();
    w.service.clone().broadcast_due(w.job()).await.unwrap();
    w.deliver().await;
    assert!(w.fcm.take().is_empty(), "not at night");
    let mails = w.mail.take();
    assert_eq!(mails.iter().map(|m| m.to.as_str()).collect::<Vec<_>>(), ["p1@example.kr"]);
    assert!(mails[0].title.starts_with("(광고)") && mails[0].body.contains("수신 거부"));
    assert_eq!(w.list(&b).await.len(), 1, "the list in the app needs no consent");
    // 08:00.
    w.advance(TimeDelta::minutes(630));
    w.deliver().await;
    assert_eq!(w.fcm.take().len(), 1);
    assert!(w.sms[0].take().is_empty());
    // Withdrawn is withdrawn.
    let withdrawn = ConsentDecided {
        user_id: a.clone(),
        purpose: ConsentPurpose::MarketingEmail.into(),
        granted: false,
        document_version: 1,
    };
    w.service.clone().consent_decided(w.event(withdrawn)).await.unwrap();
    let req = wire::BroadcastRequest { request_id: "second".into(), ..order(wire::Category::Marketing) };
    begin(&w, req).await.unwrap();
    w.service.clone().broadcast_due(w.job()).await.unwrap();
    w.deliver().await;
    assert!(w.mail.take().is_empty());
    assert!(w.check().await.is_empty());
}

pub async fn a_campaign_waits_for_its_time_and_can_be_stopped(kind: Kind) {
    let w = world(kind).await;
    people(&w, 30).await;
    let send_time = Some(proto::timestamp(w.now() + TimeDelta::hours(1)));
    let campaign = begin(&w, wire::BroadcastRequest { send_time, ..order(wire::Category::Notice) }).await.unwrap();
    w.service.clone().broadcast_due(w.job()).await.unwrap();
    assert_eq!(report(&w, &campaign.campaign_id).await.status(), wire::CampaignStatus::Scheduled);
    let cancel = async |campaign_id: &str| {
        let req = wire::CancelCampaignRequest { campaign_id: campaign_id.into() };
        w.service.cancel_campaign(w.admin(), req).await
    };
    for _ in 0..2 {
        assert_eq!(cancel(&campaign.campaign_id).await.unwrap().status(), wire::CampaignStatus::Cancelled);
    }
    w.advance(TimeDelta::hours(2));
    w.service.clone().broadcast_due(w.job()).await.unwrap();
    assert!(w.rows("SELECT notification_id FROM notification").await.is_empty());

    let second = wire::BroadcastRequest { request_id: "second".into(), ..order(wire::Category::Notice) };
    let second = begin(&w, second).await.unwrap().campaign_id;
    w.service.clone().broadcast_due(w.job()).await.unwrap();
    assert_eq!(cancel(&second).await.unwrap_err().reason(), "CAMPAIGN_OVER");
    assert_eq!(cancel("cmp_0").await.unwrap_err().code(), Code::NotFound);
}

pub async fn orders_that_make_no_sense_are_refused(kind: Kind) {
    let w = world(kind).await;
    let two = wire::BroadcastRequest {
        variants: vec![variant("a"), variant("a")],
        send_time: Some(proto::timestamp(w.now() + TimeDelta::days(400))),
        ..order(wire::Category::Notice)
    };
    let e = begin(&w, two).await.unwrap_err();
    let fields: Vec<_> = e.field_violations().iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["variants", "send_time"]);
}
