//! What is counted of queries.

use crate::support::{World, ask, id, listing};
use jangteo_core::{Clock, SystemClock};
use proto::jangteo::search::v1::{
    Analytics, GetAnalyticsRequest, QueryStatistics, RecordClickRequest, SearchProductsRequest, SuggestRequest,
    SuggestionSource, search_service::Api,
};
use search::domain::counted::WITHHELD;
use testbed::{Kind, anonymous, at, system, with_roles};

async fn flushed(w: &World) -> Analytics {
    // The job's day is the searches' day.
    let cx = at(system("search"), SystemClock.now());
    w.search.clone().flush_queries(cx).await.unwrap();
    let cx = at(with_roles("usr_1", &["user", "admin"]), SystemClock.now());
    w.search.get_analytics(cx, GetAnalyticsRequest::default()).await.unwrap()
}

fn of<'a>(list: &'a [QueryStatistics], query: &str) -> &'a QueryStatistics {
    list.iter().find(|q| q.query == query).unwrap_or_else(|| panic!("{query} is not in {list:?}"))
}

fn click(query_id: &str, n: u64, position: i32) -> RecordClickRequest {
    RecordClickRequest { query_id: query_id.into(), product_id: id(n), position }
}

pub async fn queries_misses_and_clicks_are_counted(kind: Kind) {
    let w = World::new(kind).await;
    for n in 0..5 {
        w.list(listing(n, "아이폰")).await;
    }
    w.settled().await;
    let first = w.find(SearchProductsRequest { page_size: 2, ..ask("  아이폰 ") }).await.unwrap();
    // A second page is no second search.
    let next = first.next_page_token;
    w.find(SearchProductsRequest { page_size: 2, page_token: next, ..ask("  아이폰 ") }).await.unwrap();
    let second = w.find(ask("아이폰")).await.unwrap();
    w.find(ask("없는물건")).await.unwrap();
    w.find(ask("")).await.unwrap();
    w.search.record_click(anonymous(), click(&first.query_id, 1, 2)).await.unwrap();
    w.search.record_click(anonymous(), click(&second.query_id, 1, 5)).await.unwrap();
    let a = flushed(&w).await;
    let top = of(&a.top_queries, "아이폰");
    assert_eq!((top.searches, top.zero_hits, top.clicks), (2, 0, 2));
    assert_eq!((top.click_through, top.mean_position), (1.0, 3.5));
    assert_eq!(a.zero_hit_queries.iter().map(|q| q.query.as_str()).collect::<Vec<_>>(), ["없는물건"]);
    let total = a.total.unwrap();
    assert_eq!((total.searches, total.zero_hits, total.clicks), (3, 1, 2));
    // Later counts are added.
    w.find(ask("아이폰")).await.unwrap();
    assert_eq!(of(&flushed(&w).await.top_queries, "아이폰").searches, 3);
    // Old days are forgotten.
    let later = at(system("search"), SystemClock.now() + std::time::Duration::from_secs(100 * 86_400));
    w.search.clone().forget_queries(later).await.unwrap();
    assert_eq!(flushed(&w).await.total.unwrap().searches, 0);
}

pub async fn a_click_counts_once(kind: Kind) {
    let w = World::new(kind).await;
    w.list(listing(1, "의자")).await;
    w.settled().await;
    let query_id = w.find(ask("의자")).await.unwrap().query_id;
    let clicks = (0..100).map(|_| w.search.record_click(anonymous(), click(&query_id, 1, 1)));
    for done in futures::future::join_all(clicks).await {
        done.unwrap();
    }
    w.search.record_click(anonymous(), click(&query_id, 2, 2)).await.unwrap();
    assert_eq!(of(&flushed(&w).await.top_queries, "의자").clicks, 2);
    for forged in ["x", &format!("A{}", &query_id[1..]), ""] {
        let e = w.search.record_click(anonymous(), click(forged, 1, 1)).await.unwrap_err();
        assert_eq!(e.field_violations()[0].field, "query_id");
    }
    // A page token is no query id, though the same key signs both.
    w.list(listing(2, "의자")).await;
    w.settled().await;
    let token = w.find(SearchProductsRequest { page_size: 1, ..ask("의자") }).await.unwrap().next_page_token;
    assert!(w.search.record_click(anonymous(), click(&token, 1, 1)).await.is_err());
}

pub async fn queries_are_suggested_when_several_asked_them(kind: Kind) {
    let w = World::new(kind).await;
    w.list(listing(1, "아이폰 15 프로")).await;
    w.settled().await;
    for _ in 0..3 {
        w.find(ask("아이폰 프로")).await.unwrap();
    }
    w.find(ask("아이폰 15 프로")).await.unwrap();
    for _ in 0..5 {
        w.find(ask("아이폰 없는거")).await.unwrap();
    }
    flushed(&w).await;
    w.search.read_popular().await.unwrap();
    let found =
        w.search.suggest(anonymous(), SuggestRequest { q: "아이ㅍ".into(), limit: 5 }).await.unwrap().suggestions;
    let queries: Vec<_> =
        found.iter().filter(|s| s.source() == SuggestionSource::Query).map(|s| s.text.as_str()).collect();
    assert_eq!(queries, ["아이폰 프로"], "{found:?}");
    assert!(found.len() > 1 && found.len() <= 5);
}

pub async fn nothing_of_a_person_is_kept(kind: Kind) {
    let w = World::new(kind).await;
    let found = w.find(ask("홍길동 010-9876-5432")).await.unwrap();
    w.search.record_click(anonymous(), click(&found.query_id, 1, 1)).await.unwrap();
    let a = flushed(&w).await;
    assert_eq!(of(&a.top_queries, WITHHELD).clicks, 1);
    w.db().close().await;
    assert!(!w.stores.stored("9876-5432") && !w.stores.stored("홍길동"));
}
