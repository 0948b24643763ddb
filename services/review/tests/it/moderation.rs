//! What a person looks at, and what they decide.

use crate::support::*;
use jangteo_core::Code;
use proto::jangteo::review::v1::{self as wire, ReviewStatus, TextFeature, review_service::Api};
use tokio::task::JoinSet;

async fn pending(w: &World) -> Vec<wire::HeldReview> {
    w.reviews.list_pending_reviews(moderator(), Default::default()).await.unwrap().reviews
}

async fn approve(w: &World, review_id: &str) -> jangteo_core::Result<wire::Review> {
    let req = wire::ApproveReviewRequest { review_id: review_id.into(), ..Default::default() };
    w.reviews.approve_review(moderator(), req).await
}

async fn reject(w: &World, review_id: &str) -> jangteo_core::Result<wire::Review> {
    let req = wire::RejectReviewRequest { review_id: review_id.into(), reason: "ABUSE".into(), ..Default::default() };
    w.reviews.reject_review(moderator(), req).await
}

pub async fn a_suspicious_text_waits_for_a_moderator(k: Kind) {
    let w = world(k).await;
    w.confirm(1).await;
    let review = w.write(&buyer(), say(1, 5, "010-1234-5678 로 카톡 주세요")).await.unwrap();
    assert_eq!(review.status(), ReviewStatus::Held);
    let held = pending(&w).await;
    let features: Vec<_> = held[0].findings.iter().map(|f| (f.feature(), f.points)).collect();
    assert_eq!(features, [(TextFeature::PhoneNumber, 60), (TextFeature::OffPlatform, 30)]);
    assert_eq!((held.len(), held[0].score, held[0].review.as_ref()), (1, 90, Some(&review)));
    let passed = approve(&w, &review.review_id).await.unwrap();
    assert_eq!(passed.status(), ReviewStatus::Waiting, "the other side has not written");
    let again = approve(&w, &review.review_id).await.unwrap_err();
    assert_eq!((again.code(), again.reason()), (Code::FailedPrecondition, "WRONG_STATUS"));
    assert!(pending(&w).await.is_empty());
    w.write(&seller(), say(1, 5, "")).await.unwrap();
    assert_eq!(w.received(&seller()).await.len(), 1);
}

pub async fn a_held_review_holds_nobody_else_back(k: Kind) {
    let w = world(k).await;
    w.confirm(1).await;
    let held = w.write(&buyer(), say(1, 1, "씨발")).await.unwrap();
    let other = w.write(&seller(), say(1, 5, "좋은 분")).await.unwrap();
    assert_eq!((held.status(), other.status()), (ReviewStatus::Held, ReviewStatus::Revealed));
    w.reviews.clone().reveal_due(at(system("review"), in_days(8))).await.unwrap();
    assert!(w.get(anonymous(), &held.review_id).await.is_err());
    let passed = approve(&w, &held.review_id).await.unwrap();
    assert_eq!(passed.status(), ReviewStatus::Revealed, "its trade is open");
    assert!(w.check().await.is_empty());
}

pub async fn a_rejected_review_takes_its_warmth_back(k: Kind) {
    let w = world(k).await;
    let review = w.rate(1, &buyer(), &seller(), 1).await;
    w.rate(2, &person(30, 400), &seller(), 5).await;
    let (cold, _) = w.temperature(&seller()).await;
    let rejected = reject(&w, &review.review_id).await.unwrap();
    assert_eq!((rejected.status(), &*rejected.reject_reason), (ReviewStatus::Rejected, "ABUSE"));
    let (warm, changes) = w.temperature(&seller()).await;
    assert!(warm > cold && warm > 36.5, "{cold} {warm}");
    let first = &changes[2];
    assert!((changes[0].after - changes[0].before + first.after - first.before).abs() < 1e-9);
    assert!(w.get(anonymous(), &review.review_id).await.is_err());
    assert_eq!(w.get(by(&buyer()), &review.review_id).await.unwrap(), rejected);
    assert_eq!(w.received(&seller()).await.len(), 1);
    assert_eq!(reject(&w, &review.review_id).await.unwrap_err().reason(), "WRONG_STATUS");
    assert!(w.check().await.is_empty());
    w.rate(3, &buyer(), &seller(), 5).await;
    assert_eq!(w.temperature(&seller()).await.1.len(), 4, "a word that was taken back does not stand in the way");
}

pub async fn the_same_text_again_is_noticed(k: Kind) {
    let w = world(k).await;
    let text = "믿을 수 있는 판매자입니다 텔레그램으로 연락 주세요 정말 좋아요";
    for n in 1..=2 {
        w.confirm_of(n, &buyer(), &person(40 + n, 400), system("order").now).await;
    }
    assert_eq!(w.write(&buyer(), say(1, 5, text)).await.unwrap().status(), ReviewStatus::Waiting);
    assert_eq!(w.write(&buyer(), say(2, 5, &format!("{text}!!"))).await.unwrap().status(), ReviewStatus::Held);
    let found: Vec<_> = pending(&w).await[0].findings.iter().map(|f| f.feature()).collect();
    assert_eq!(found, [TextFeature::OffPlatform, TextFeature::Duplicate]);
}

pub async fn of_parallel_decisions_one_counts(k: Kind) {
    let w = world(k).await;
    w.confirm(1).await;
    w.write(&seller(), say(1, 5, "")).await.unwrap();
    let review = w.write(&buyer(), say(1, 5, "병신")).await.unwrap();
    let mut decisions = JoinSet::new();
    for _ in 0..10 {
        let (reviews, review_id) = (w.reviews.clone(), review.review_id.clone());
        let req = wire::ApproveReviewRequest { review_id, ..Default::default() };
        decisions.spawn(async move { reviews.approve_review(moderator(), req).await.is_ok() });
    }
    assert_eq!(decisions.join_all().await.into_iter().filter(|ok| *ok).count(), 1);
    assert_eq!(w.temperature(&seller()).await.1.len(), 1);
    assert!(w.check().await.is_empty());
}
