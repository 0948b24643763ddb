//! Temperatures, trust, statistics, lists.

use crate::support::*;
use kit::db::{DbResult, Tx, sea_orm::ConnectionTrait};
use proto::{
    google::r#type::Money,
    jangteo::{
        order::v1::{OrderClosed, OrderDisputeResolved, OrderPaid, OrderPartCancelled, OrderPartShipped, OrderStatus},
        review::v1::{
            self as wire, Badge, MannerTag, ProductRating, TemperatureReason, TrustAspect, TrustLevel,
            review_service::Api,
        },
    },
};
use review::Reviews;
use tokio::task::JoinSet;

pub async fn one_word_counts_once_a_month(k: Kind) {
    let w = world(k).await;
    w.rate(1, &buyer(), &seller(), 5).await;
    w.rate(2, &buyer(), &seller(), 5).await;
    assert_eq!((w.received(&seller()).await.len(), w.temperature(&seller()).await.1.len()), (2, 1));
    w.rate(3, &person(31, 400), &seller(), 5).await;
    assert_eq!(w.temperature(&seller()).await.1.len(), 2, "somebody else's word counts");
    w.confirm_of(4, &buyer(), &seller(), in_days(31)).await;
    w.write(&seller(), say(4, 3, "")).await.unwrap();
    w.reviews.write_review(at(by(&buyer()), in_days(31)), say(4, 5, "")).await.unwrap();
    assert_eq!(w.temperature(&seller()).await.1.len(), 3);
}

pub async fn the_young_weigh_less_than_the_old(k: Kind) {
    let w = world(k).await;
    let mut steps = Vec::new();
    for (n, days) in [(1, 0), (2, 8), (3, 400)] {
        let subject = person(50 + n, 400);
        w.rate(n, &person(60 + n, days), &subject, 5).await;
        steps.push(w.temperature(&subject).await.0 - 36.5);
    }
    assert!(steps[0] > 0.0 && steps[0] < steps[1] && steps[1] < steps[2], "{steps:?}");
}

pub async fn who_cancels_or_loses_cools(k: Kind) {
    let w = world(k).await;
    let cancelled = |n, reason: &str| OrderPartCancelled {
        order_id: ord(n),
        part: 1,
        seller_id: seller(),
        reason: reason.into(),
        ..Default::default()
    };
    for event in [&cancelled(1, "BY_BUYER"), &cancelled(2, "RETURNED"), &cancelled(3, "BY_SELLER")] {
        w.hear(event, in_days(0), Reviews::part_cancelled).await;
    }
    w.orders.lock().unwrap().extend([4, 5].map(|n| (ord(n), trade(n, OrderStatus::Confirmed))));
    for event in [&resolved(4, 0, 10), &resolved(5, 5, 5), &resolved(6, 10, 0)] {
        w.hear(event, in_days(0), Reviews::dispute_resolved).await;
    }
    let (degrees, changes) = w.temperature(&seller()).await;
    let reasons: Vec<_> = changes.iter().map(|c| c.reason()).collect();
    use TemperatureReason::{DisputeLost, SellerCancelled};
    assert_eq!(reasons, [DisputeLost, DisputeLost, SellerCancelled]);
    assert!((degrees - (36.5 - 0.3 - 0.495 - 0.978)).abs() < 0.002, "{degrees}");
    let trust = w.trust(&seller()).await;
    let record = trust.parts.iter().find(|p| p.aspect() == TrustAspect::Record).unwrap();
    assert_eq!((record.points(), record.measure), (0, 3.0));
    assert!(w.check().await.is_empty());
}

pub async fn a_dispute_with_money_for_the_seller_is_a_trade(k: Kind) {
    let w = world(k).await;
    for (n, to_seller) in [(1, 5), (2, 0)] {
        w.orders.lock().unwrap().insert(ord(n), trade(n, OrderStatus::Disputed));
        w.hear(&resolved(n, 5, to_seller), system("order").now, Reviews::dispute_resolved).await;
    }
    assert!(w.write(&buyer(), say(1, 2, "")).await.is_ok());
    assert_eq!(w.write(&buyer(), say(2, 2, "")).await.unwrap_err().reason(), "TRADE_NOT_COMPLETED");
}

fn resolved(n: u64, refund: i64, to_seller: i64) -> OrderDisputeResolved {
    let krw = |units| Some(Money { currency_code: "KRW".into(), units, nanos: 0 });
    OrderDisputeResolved {
        order_id: ord(n),
        part: 1,
        seller_id: seller(),
        refund: krw(refund),
        to_seller: krw(to_seller),
        ..Default::default()
    }
}

pub async fn trust_is_made_of_its_parts(k: Kind) {
    let w = world(k).await;
    let stranger = w.trust(&person(77, 0)).await;
    assert_eq!((stranger.score(), stranger.level(), stranger.degrees), (39, TrustLevel::New, 36.5));
    for n in 1..=12 {
        let paid = &OrderPaid { order_id: ord(n), ..Default::default() };
        let shipped = &OrderPartShipped { order_id: ord(n), part: 1, seller_id: seller(), ..Default::default() };
        w.hear(paid, in_days(0), Reviews::order_paid).await;
        w.hear(shipped, in_days(2), Reviews::part_shipped).await;
        w.rate(n, &person(100 + n, 400), &seller(), 5).await;
    }
    let trust = w.trust(&seller()).await;
    assert_eq!(trust.score(), trust.parts.iter().map(|p| p.points()).sum::<i32>());
    assert!(trust.score() > 70 && trust.degrees > 37.0, "{trust:?}");
    assert_eq!(trust.level(), TrustLevel::Trusted);
    let badges: Vec<_> = trust.badges().collect();
    assert_eq!(badges, [Badge::FirstTrade, Badge::TenTrades, Badge::QuickSender, Badge::WellLiked]);
    let late = &OrderPartShipped { order_id: ord(12), part: 2, seller_id: seller(), ..Default::default() };
    w.hear(late, in_days(4), Reviews::part_shipped).await;
    let on_time = w.trust(&seller()).await.parts[3].measure;
    assert!((on_time - 13.0 / 15.0).abs() < 0.001, "{on_time}");
    let order_id = ord(12);
    w.hear(&OrderClosed { order_id: order_id.clone(), ..Default::default() }, in_days(5), Reviews::order_closed).await;
    let never = &OrderPartShipped { order_id, part: 3, seller_id: seller(), ..Default::default() };
    w.hear(never, in_days(6), Reviews::part_shipped).await;
    assert_eq!(w.trust(&seller()).await.parts[3].measure, on_time, "nothing ships after an order is closed");
}

pub async fn products_have_ratings_of_their_own(k: Kind) {
    let w = world(k).await;
    for (n, rating) in [(1, 5), (2, 2)] {
        let author = person(200 + n, 400);
        w.confirm_of(n, &author, &seller(), system("order").now).await;
        w.write(&seller(), say(n, 3, "")).await.unwrap();
        let product_ratings = vec![ProductRating { product_id: prd(1), rating }];
        let tags = vec![MannerTag::Punctual.into()];
        w.write(&author, wire::WriteReviewRequest { product_ratings, tags, ..say(n, 4, "") }).await.unwrap();
    }
    let of = async |n| {
        let req = wire::ListProductReviewsRequest { product_id: prd(n), ..Default::default() };
        w.reviews.list_product_reviews(anonymous(), req).await.unwrap()
    };
    let first = of(1).await;
    assert_eq!(first.reviews.iter().map(|r| r.product_ratings[0].rating).collect::<Vec<_>>(), [2, 5]);
    let summary = first.summary.unwrap();
    assert_eq!((summary.count(), summary.average, summary.counts), (2, Some(3.5), vec![0, 1, 0, 0, 1]));
    assert!(of(2).await.reviews.is_empty());
    let statistics = wire::GetReviewStatisticsRequest { user_id: seller() };
    let statistics = w.reviews.get_review_statistics(anonymous(), statistics).await.unwrap();
    assert_eq!(statistics.tags, [wire::TagCount { tag: MannerTag::Punctual.into(), count: 2 }]);
    assert_eq!((statistics.written_count(), statistics.sold_count()), (2, 2));
    let reject = wire::RejectReviewRequest {
        review_id: first.reviews[0].review_id.clone(),
        reason: "SPAM".into(),
        ..Default::default()
    };
    w.reviews.reject_review(moderator(), reject).await.unwrap();
    assert_eq!(of(1).await.summary.unwrap().counts, [0, 0, 0, 0, 1]);
}

pub async fn lists_come_in_pages(k: Kind) {
    let w = world(k).await;
    for n in 1..=7 {
        w.rate(n, &person(300 + n, 400), &seller(), 5).await;
    }
    let mut req = wire::ListUserReviewsRequest { user_id: seller(), page_size: 3, ..Default::default() };
    let mut orders = Vec::new();
    loop {
        let page = w.reviews.list_user_reviews(anonymous(), req.clone()).await.unwrap();
        orders.extend(page.reviews.into_iter().map(|r| r.order_id));
        if page.next_page_token.is_empty() {
            break;
        }
        req.page_token = page.next_page_token;
    }
    assert_eq!(orders, (1..=7).rev().map(ord).collect::<Vec<_>>());
    let mut req = wire::ListTemperatureChangesRequest { user_id: seller(), page_size: 5, ..Default::default() };
    let first = w.reviews.list_temperature_changes(anonymous(), req.clone()).await.unwrap();
    req.page_token = first.next_page_token;
    let second = w.reviews.list_temperature_changes(anonymous(), req).await.unwrap();
    let all: Vec<_> = first.changes.into_iter().chain(second.changes).collect();
    assert!(all.windows(2).all(|w| w[0].before == w[1].after) && all.len() == 7 && all[0].after == first.degrees);
}

pub async fn of_nobody_there_is_nothing(k: Kind) {
    let w = world(k).await;
    let nobody = format!("usr_{:032x}", 0);
    assert_eq!((w.trust(&nobody).await.score(), w.received(&nobody).await.len()), (39, 0));
    assert_eq!(w.temperature(&nobody).await, (36.5, vec![]));
}

pub async fn parallel_reviews_of_one_person_fold(k: Kind) {
    let w = world(k).await;
    for n in 1..=20 {
        w.confirm_of(n, &person(400 + n, 400), &seller(), system("order").now).await;
        w.write(&seller(), say(n, 3, "")).await.unwrap();
    }
    let mut writes = JoinSet::new();
    for n in 1..=20 {
        let reviews = w.reviews.clone();
        let author = person(400 + n, 400);
        let rating = if n % 3 == 0 { 1 } else { 5 };
        writes.spawn(async move { reviews.write_review(by(&author), say(n, rating, "")).await.unwrap() });
    }
    writes.join_all().await;
    let (degrees, changes) = w.temperature(&seller()).await;
    assert_eq!((changes.len(), changes[0].after), (20, degrees));
    assert_eq!(w.stores.db().history("temperature", &seller(), 0, 100).await.unwrap().len(), 20);
    assert!(w.check().await.is_empty());
}

pub async fn the_checks_find_what_must_not_be(k: Kind) {
    let w = world(k).await;
    w.rate(1, &buyer(), &seller(), 5).await;
    w.confirm(2).await;
    w.write(&buyer(), say(2, 5, "")).await.unwrap();
    assert!(w.check().await.is_empty());
    let entry = format!("UPDATE temperature_entry SET delta = delta WHERE user_id = '{}'", seller());
    let plant = async |sql: String| {
        let sql = &*sql;
        let write = async |tx: Tx| tx.execute_unprepared(sql).await.db().map(|_| ());
        w.stores.db().write(&system("test"), write).await
    };
    assert!(plant(entry).await.is_err(), "what was added stays");
    for (bug, mend) in [
        ("UPDATE temperature SET milli = milli + 1".to_owned(), "UPDATE temperature SET milli = milli - 1".to_owned()),
        ("UPDATE temperature SET entries = entries + 1".into(), "UPDATE temperature SET entries = entries - 1".into()),
        (
            format!("UPDATE review SET status = 3, reveal_time = 5 WHERE order_id = '{}'", ord(2)),
            format!("UPDATE review SET status = 1, reveal_time = 0 WHERE order_id = '{}'", ord(2)),
        ),
        (
            format!("UPDATE trade SET buyer_wrote = FALSE WHERE order_id = '{}'", ord(2)),
            format!("UPDATE trade SET buyer_wrote = TRUE WHERE order_id = '{}'", ord(2)),
        ),
        (
            format!("UPDATE trade SET seller_id = 'usr_x' WHERE order_id = '{}'", ord(2)),
            format!("UPDATE trade SET seller_id = '{}' WHERE order_id = '{}'", seller(), ord(2)),
        ),
    ] {
        plant(bug.clone()).await.unwrap();
        assert!(!w.check().await.is_empty(), "{bug}");
        plant(mend).await.unwrap();
        assert!(w.check().await.is_empty(), "{bug}");
    }
}
