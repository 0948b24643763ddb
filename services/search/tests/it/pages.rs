//! Pages that fit together, whatever happens between them.

use crate::support::{World, ask, id, listing};
use proto::jangteo::search::v1::{Matching, SearchProductsRequest, SearchSort};
use std::collections::BTreeSet;
use testbed::Kind;

/// Between any two pages products are listed, changed and deleted, segments are merged, and the process starts anew; whatever
/// did not change is on exactly one page.
pub async fn every_order_is_whole_while_products_come_and_go(kind: Kind) {
    let mut w = World::new(kind).await;
    let words = ["아이폰", "아이폰 아이폰 케이스", "중고 아이폰 팝니다 아주 긴 제목의 물건", "케이스 아이폰", "iphone"];
    let regions = ["seoul", "gangwon", "jeolla", "gyeongsang"];
    for n in 0..60u64 {
        let mut l = listing(n, &format!("{} {n}", words[(n % 5) as usize]));
        l.price = i64::try_from(n % 7).unwrap() * 1000;
        l.region = regions[(n % 4) as usize].into();
        l.description = "중고 아이폰".repeat((n % 3) as usize);
        w.list(l).await;
    }
    w.settled().await;
    let stay: BTreeSet<String> = (0..60).filter(|n| n % 10 != 3).map(id).collect();
    let mut next = 1000;
    for sort in [
        SearchSort::Relevance,
        SearchSort::Newest,
        SearchSort::PriceAscending,
        SearchSort::PriceDescending,
        SearchSort::Distance,
    ] {
        let mut req = SearchProductsRequest {
            sort: sort.into(),
            lat: Some(37.5),
            lng: Some(127.0),
            page_size: 11,
            ..ask("중고 아이폰")
        };
        if sort != SearchSort::Relevance {
            req.q = "아이폰".into();
        }
        let mut seen = Vec::new();
        let mut ids = BTreeSet::new();
        loop {
            let page = w.find(req.clone()).await.unwrap();
            assert_eq!(page.facets.is_empty(), !req.page_token.is_empty());
            ids.insert(page.query_id);
            seen.extend(page.hits.into_iter().map(|h| h.product_id));
            if page.next_page_token.is_empty() {
                break;
            }
            req.page_token = page.next_page_token;
            // More of the searched words, which would change every score if scores knew how frequent words are.
            for _ in 0..3 {
                next += 1;
                w.list(listing(next, "중고 중고 아이폰")).await;
            }
            let mut changed = listing(3 + 10 * (next % 6), "아이폰 changed");
            changed.price = i64::try_from(next).unwrap();
            w.tell(&changed.updated(), i64::try_from(next).unwrap()).await;
            w.settled().await;
            if seen.len() == 22 {
                w.restart().await;
            }
        }
        let unique: BTreeSet<&String> = seen.iter().collect();
        let twice = seen.iter().filter(|id| stay.contains(*id)).count()
            - unique.iter().filter(|id| stay.contains(**id)).count();
        assert_eq!(twice, 0, "{sort:?} repeats");
        let wanted = if sort == SearchSort::Relevance {
            // Those that have both words.
            stay.iter().filter(|i| (0..60u64).any(|n| id(n) == **i && (n % 5 == 2 || n % 3 != 0))).count()
        } else {
            stay.len()
        };
        assert_eq!(unique.iter().filter(|id| stay.contains(**id)).count(), wanted, "{sort:?} misses");
        assert_eq!(ids.len(), 1, "one query, one id");
    }
}

pub async fn a_token_is_of_one_query(kind: Kind) {
    let w = World::new(kind).await;
    for n in 0..5 {
        w.list(listing(n, "의자")).await;
    }
    w.settled().await;
    let first = SearchProductsRequest { page_size: 2, ..ask("의자") };
    let token = w.find(first.clone()).await.unwrap().next_page_token;
    for change in [
        SearchProductsRequest { q: "책상".into(), ..first.clone() },
        SearchProductsRequest { min_price: Some(1), ..first.clone() },
        SearchProductsRequest { sort: SearchSort::Newest.into(), ..first.clone() },
    ] {
        let wrong = w.find(SearchProductsRequest { page_token: token.clone(), ..change }).await.unwrap_err();
        assert_eq!(wrong.field_violations()[0].field, "page_token");
    }
    let more = SearchProductsRequest { page_token: token, page_size: 100, ..first };
    assert_eq!(w.find(more).await.unwrap().hits.len(), 3);
}

/// Exact matches that turn up between two pages don't change how the later page takes the words.
pub async fn pages_take_the_words_as_the_first_one_did(kind: Kind) {
    let w = World::new(kind).await;
    for n in 0..4 {
        w.list(listing(n, "galaxy")).await;
    }
    for n in 10..14 {
        w.list(listing(n, "아이폰")).await;
    }
    w.settled().await;
    for (q, matching) in [("galxy", Matching::Typo), ("dkdlvhs", Matching::Keyboard)] {
        let req = SearchProductsRequest { page_size: 3, ..ask(q) };
        let first = w.find(req.clone()).await.unwrap();
        assert_eq!((first.matching(), first.hits.len()), (matching, 3), "{q}");
        w.list(listing(if q == "galxy" { 20 } else { 21 }, q)).await;
        w.settled().await;
        let second = w.find(SearchProductsRequest { page_token: first.next_page_token, ..req }).await.unwrap();
        assert_eq!(second.matching(), matching, "{q}");
        let seen: BTreeSet<_> = first.hits.iter().chain(&second.hits).map(|h| &h.product_id).collect();
        assert!(seen.len() >= 4 && second.next_page_token.is_empty(), "{q}: {}", seen.len());
    }
}
