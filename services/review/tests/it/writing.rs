//! Who may write, when, and how often.

use crate::support::*;
use jangteo_core::Code;
use kit::db::{Tx, crypt::Sealer};
use proto::jangteo::{
    order::v1::OrderStatus,
    review::v1::{MannerTag, ProductRating, ReviewStatus},
};
use tokio::task::JoinSet;

pub async fn only_the_sides_of_a_completed_trade_write(k: Kind) {
    let w = world(k).await;
    assert_eq!(w.write(&buyer(), say(1, 5, "")).await.unwrap_err().reason(), "ORDER_NOT_FOUND");
    for status in [OrderStatus::Paid, OrderStatus::Delivered, OrderStatus::Refunded, OrderStatus::Disputed] {
        w.orders.lock().unwrap().insert(ord(1), trade(1, status));
        let e = w.write(&buyer(), say(1, 5, "")).await.unwrap_err();
        assert_eq!((e.code(), e.reason()), (Code::FailedPrecondition, "TRADE_NOT_COMPLETED"));
    }
    w.confirm(1).await;
    let e = w.write(&person(9, 1), say(1, 5, "")).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::PermissionDenied, "NOT_YOURS"));
    let mut req = say(1, 5, "빠르고 친절해요");
    req.tags = vec![MannerTag::WellPacked.into(), MannerTag::Kind.into()];
    req.product_ratings = vec![ProductRating { product_id: prd(2), rating: 4 }];
    let review = w.write(&buyer(), req.clone()).await.unwrap();
    assert_eq!(
        (review.status(), &*review.subject_id, &*review.text),
        (ReviewStatus::Waiting, &*seller(), "빠르고 친절해요")
    );
    assert_eq!(review.tags().collect::<Vec<_>>(), [MannerTag::Kind, MannerTag::WellPacked]);
    assert_eq!(review.product_ratings, req.product_ratings);
    assert_eq!(w.write(&seller(), req).await.unwrap_err().code(), Code::InvalidArgument);
}

pub async fn who_is_faster_than_the_event_is_not_refused(k: Kind) {
    let w = world(k).await;
    w.orders.lock().unwrap().insert(ord(1), trade(1, OrderStatus::Confirmed));
    w.write(&buyer(), say(1, 5, "")).await.unwrap();
    w.confirm(1).await;
    assert_eq!(w.write(&buyer(), say(1, 5, "")).await.unwrap_err().reason(), "ALREADY_REVIEWED");
    let second = w.write(&seller(), say(1, 4, "")).await.unwrap();
    assert_eq!(second.status(), ReviewStatus::Revealed, "the event did not forget that the buyer wrote");
    assert!(w.check().await.is_empty());
}

pub async fn of_fifty_parallel_writes_of_one_side_one_counts(k: Kind) {
    let w = world(k).await;
    w.orders.lock().unwrap().insert(ord(1), trade(1, OrderStatus::Confirmed));
    let mut writes = JoinSet::new();
    for n in 0..50 {
        let reviews = w.reviews.clone();
        writes.spawn(async move {
            use proto::jangteo::review::v1::review_service::Api;
            reviews.write_review(by(&buyer()), say(1, 1 + n % 5, "")).await
        });
    }
    let outcomes = writes.join_all().await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    let refused: Vec<_> = outcomes.iter().flat_map(|o| o.as_ref().err()).map(|e| e.reason().to_owned()).collect();
    assert!(refused.iter().all(|reason| reason == "ALREADY_REVIEWED"), "{refused:?}");
    w.write(&seller(), say(1, 5, "")).await.unwrap();
    assert_eq!(w.received(&seller()).await.len(), 1);
    assert!(w.check().await.is_empty());
}

pub async fn after_two_weeks_it_is_too_late(k: Kind) {
    use proto::jangteo::review::v1::review_service::Api;
    let w = world(k).await;
    w.confirm(1).await;
    let late = at(by(&buyer()), in_days(15));
    assert_eq!(w.reviews.write_review(late, say(1, 5, "")).await.unwrap_err().reason(), "WINDOW_CLOSED");
    let just = at(by(&buyer()), in_days(13));
    assert!(w.reviews.write_review(just, say(1, 5, "")).await.is_ok());
}

pub async fn the_same_key_gives_the_same_review(k: Kind) {
    use proto::jangteo::review::v1::review_service::Api;
    let w = world(k).await;
    w.confirm(1).await;
    let call = keyed(by(&buyer()), "key-1", 1);
    let first = w.reviews.write_review(call.clone(), say(1, 5, "고맙습니다")).await.unwrap();
    assert_eq!(w.reviews.write_review(call, say(1, 5, "고맙습니다")).await.unwrap(), first);
    let written = w.stores.db().history("review", &first.review_id, 0, 10).await.unwrap();
    assert_eq!(written.iter().map(|e| &*e.r#type).collect::<Vec<_>>(), ["jangteo.review.v1.ReviewWritten"]);
    assert!(!w.stores.stored("고맙습니다"));
}

pub async fn texts_are_sealed_and_go_with_their_author(k: Kind) {
    let w = world(k).await;
    w.confirm(1).await;
    let text = "정말 친절하셨습니다 unmistakable";
    let review = w.write(&buyer(), say(1, 5, text)).await.unwrap();
    w.write(&seller(), say(1, 5, "")).await.unwrap();
    assert!(!w.stores.stored("unmistakable") && !format!("{review:?}").contains("unmistakable"));
    assert_eq!(w.received(&seller()).await[0].text, text);
    let sealer = &Sealer::new(w.stores.keyring());
    let erase = async |tx: Tx| sealer.erase(&tx, &buyer()).await;
    assert!(w.stores.db().write(&system("test"), erase).await.unwrap());
    let erased = &w.received(&seller()).await[0];
    assert_eq!((&*erased.text, erased.rating), ("", 5));
}

pub async fn an_erased_author_s_words_can_not_be_found_again(kind: Kind) {
    use kit::db::sea_orm::{ConnectionTrait, Statement};
    let w = world(kind).await;
    w.confirm(1).await;
    w.write(&seller(), say(1, 4, "a pleasant and punctual buyer, thank you")).await.unwrap();
    let own = w.write(&buyer(), say(1, 5, "a lamp that shines as it was described")).await.unwrap();
    for _ in 0..2 {
        let forget = async |tx: kit::db::Tx| w.reviews.clone().forget(tx, buyer()).await;
        w.stores.db().write(&system("review"), forget).await.unwrap();
    }
    let db = w.stores.db();
    let sql = format!("SELECT COUNT(*) AS n FROM review WHERE author_id = '{}' AND text_hash <> ''", buyer());
    let row = db.primary().query_one_raw(Statement::from_string(db.backend(), sql)).await.unwrap().unwrap();
    assert_eq!(row.try_get::<i64>("", "n").unwrap(), 0);
    let left = w.get(anonymous(), &own.review_id).await.unwrap();
    assert_eq!((left.rating, left.text.as_str()), (5, ""));
    assert_eq!(w.received(&buyer()).await[0].text, "a pleasant and punctual buyer, thank you");
    assert_eq!(w.check().await, Vec::<String>::new());
}
