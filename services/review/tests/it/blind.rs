//! Nobody writes in answer to the other.

use crate::support::*;
use jangteo_core::Code;
use proto::jangteo::review::v1::{self as wire, ReviewDirection, ReviewStatus, review_service::Api};
use tokio::task::JoinSet;

pub async fn nobody_but_its_author_sees_what_waits(k: Kind) {
    let w = world(k).await;
    w.confirm(1).await;
    let review = w.write(&buyer(), say(1, 1, "늦었어요")).await.unwrap();
    let id = &*review.review_id;
    for cx in [anonymous(), by(&seller())] {
        let e = w.get(cx, id).await.unwrap_err();
        assert_eq!((e.code(), e.reason()), (Code::NotFound, "REVIEW_NOT_FOUND"));
    }
    assert_eq!(
        (w.get(by(&buyer()), id).await.unwrap(), w.get(moderator(), id).await.unwrap()),
        (review.clone(), review)
    );
    assert!(w.received(&seller()).await.is_empty());
    let written = async |cx| {
        let direction = ReviewDirection::Written.into();
        let req = wire::ListUserReviewsRequest { user_id: buyer(), direction, ..Default::default() };
        w.reviews.list_user_reviews(cx, req).await.unwrap().reviews.len()
    };
    assert_eq!((written(by(&buyer())).await, written(by(&seller())).await), (1, 0));
    let product = wire::ListProductReviewsRequest { product_id: prd(1), ..Default::default() };
    assert!(w.reviews.list_product_reviews(by(&seller()), product).await.unwrap().reviews.is_empty());
    assert_eq!(w.temperature(&seller()).await, (36.5, vec![]), "its effect would tell the rating");
    let statistics = wire::GetReviewStatisticsRequest { user_id: seller() };
    let statistics = w.reviews.get_review_statistics(anonymous(), statistics).await.unwrap();
    assert_eq!((statistics.received.unwrap().count(), statistics.sold_count), (0, Some(1)));
}

pub async fn both_sides_at_the_same_moment_reveal_both(k: Kind) {
    let w = world(k).await;
    for n in 1..=8 {
        w.confirm_of(n, &person(n * 2 + 10, 400), &person(n * 2 + 11, 400), system("order").now).await;
    }
    let mut writes = JoinSet::new();
    for n in 1..=8 {
        for side in [10, 11] {
            let reviews = w.reviews.clone();
            let user = person(n * 2 + side, 400);
            writes.spawn(async move { reviews.write_review(by(&user), say(n, 5, "")).await.unwrap() });
        }
    }
    writes.join_all().await;
    for n in 1..=8 {
        for side in [10, 11] {
            let user = person(n * 2 + side, 400);
            assert_eq!(w.received(&user).await.len(), 1, "{n} {side}");
            assert_eq!(w.temperature(&user).await.1.len(), 1);
        }
    }
    assert!(w.check().await.is_empty());
}

pub async fn after_a_week_the_job_reveals(k: Kind) {
    let w = world(k).await;
    w.confirm(1).await;
    let review = w.write(&buyer(), say(1, 5, "")).await.unwrap();
    w.reviews.clone().reveal_due(at(system("review"), in_days(6))).await.unwrap();
    assert!(w.get(anonymous(), &review.review_id).await.is_err());
    w.reviews.clone().reveal_due(at(system("review"), in_days(8))).await.unwrap();
    let seen = w.get(anonymous(), &review.review_id).await.unwrap();
    assert_eq!((seen.status(), seen.reveal_time.is_some()), (ReviewStatus::Revealed, true));
    let (degrees, changes) = w.temperature(&seller()).await;
    assert_eq!((changes.len(), &*changes[0].review_id), (1, &*review.review_id));
    assert!(degrees > 36.5);
    w.reviews.clone().reveal_due(at(system("review"), in_days(9))).await.unwrap();
    assert_eq!(w.temperature(&seller()).await.1.len(), 1);
    let events = w.stores.db().history("review", &review.review_id, 0, 10).await.unwrap();
    assert_eq!(events.len(), 2);
}

pub async fn what_comes_after_a_week_is_seen_at_once(k: Kind) {
    let w = world(k).await;
    w.confirm(1).await;
    let late = at(by(&buyer()), in_days(10));
    let review = w.reviews.write_review(late, say(1, 5, "")).await.unwrap();
    assert_eq!(review.status(), ReviewStatus::Revealed);
}

pub async fn two_jobs_at_once_reveal_once(k: Kind) {
    let w = world(k).await;
    for n in 1..=5 {
        w.confirm_of(n, &person(20 + n, 400), &seller(), system("order").now).await;
        w.write(&person(20 + n, 400), say(n, 4, "")).await.unwrap();
    }
    let mut jobs = JoinSet::new();
    for _ in 0..3 {
        let reviews = w.reviews.clone();
        jobs.spawn(async move { reviews.reveal_due(at(system("review"), in_days(8))).await.unwrap() });
    }
    jobs.join_all().await;
    assert_eq!((w.received(&seller()).await.len(), w.temperature(&seller()).await.1.len()), (5, 5));
    assert!(w.check().await.is_empty());
}
