//! What is found, and how it is shown.

use crate::support::{World, ask, deleted, listing, titles, turned};
use jangteo_core::Code;
use proto::jangteo::{
    catalog::v1::{Condition, ProductStatus},
    search::v1::{
        GetSynonymsRequest, Matching, SearchProductsRequest, SearchSort, SuggestRequest, SynonymGroup,
        UpdateSynonymsRequest, search_service::Api,
    },
};
use testbed::{Kind, anonymous, with_roles};

const CORPUS: [(&str, &str, &str); 16] = [
    ("애플 아이폰 15 프로 256GB", "배터리 효율 98%, 케이스를 같이 드려요", "아이폰 애플"),
    ("아이폰15 실리콘케이스", "정품 새것", ""),
    ("Galaxy S24 Ultra black", "Samsung phone, lightly used", "galaxy"),
    ("갤럭시 버즈 프로", "노이즈캔슬링 무선 이어폰", "블루투스"),
    ("소니 무선 이어폰 WF-1000XM4", "소니코리아 정품", "sony"),
    ("후지필름 X100V 실버", "필름 카메라 감성", "카메라"),
    ("RTX 3080 그래픽카드", "채굴 안 함", ""),
    ("하이브리드 자전거", "체인을 갈았습니다", "자전거 hybrid"),
    ("동화책 30권", "아이들이 좋아해요", "책"),
    ("원목 책상", "서랍 있음", ""),
    ("Wooden chairs (2)", "Two wooden chairs", ""),
    ("플스5 디스크 에디션", "컨트롤러 두 개", ""),
    ("사과 자전거 바구니", "과자는 없어요", ""),
    ("블루투스 스피커", "방수", ""),
    ("맥북 프로 14", "M3, 배터리 사이클 30", "노트북"),
    ("접이식 의자", "캠핑 의자", ""),
];

async fn corpus(kind: Kind) -> World {
    let w = World::new(kind).await;
    for (n, (title, description, tags)) in (1..).zip(CORPUS) {
        let mut l = listing(n, title);
        l.description = description.into();
        l.tags = tags.split_whitespace().map(str::to_owned).collect();
        w.list(l).await;
    }
    w.settled().await;
    w
}

pub async fn the_corpus_is_found_as_people_mean_it(kind: Kind) {
    use Matching::{Exact, Keyboard, Partial, Typo, Unspecified};
    let w = corpus(kind).await;
    // A query; how its words are taken; what must be found, the best first; what must not.
    type Case = (&'static str, Matching, &'static [&'static str], &'static [&'static str]);
    let table: [Case; 33] = [
        ("아이폰", Exact, &["애플 아이폰 15 프로 256GB", "아이폰15 실리콘케이스"], &["맥북 프로 14"]),
        ("케이스", Exact, &["아이폰15 실리콘케이스", "애플 아이폰 15 프로 256GB"], &["갤럭시 버즈 프로"]),
        ("아이폰15", Exact, &["아이폰15 실리콘케이스", "애플 아이폰 15 프로 256GB"], &[]),
        ("아이폰을", Exact, &["애플 아이폰 15 프로 256GB"], &[]),
        ("iphone", Exact, &["애플 아이폰 15 프로 256GB"], &["Galaxy S24 Ultra black"]),
        ("무선이어폰", Exact, &["소니 무선 이어폰 WF-1000XM4"], &["블루투스 스피커"]),
        ("무선 이어폰", Exact, &["소니 무선 이어폰 WF-1000XM4", "갤럭시 버즈 프로"], &["블루투스 스피커"]),
        ("x100v", Exact, &["후지필름 X100V 실버"], &["RTX 3080 그래픽카드"]),
        ("X100", Exact, &["후지필름 X100V 실버"], &["소니 무선 이어폰 WF-1000XM4"]),
        ("rtx3080", Exact, &["RTX 3080 그래픽카드"], &[]),
        ("1000xm4", Exact, &["소니 무선 이어폰 WF-1000XM4"], &[]),
        ("chair", Exact, &["Wooden chairs (2)", "접이식 의자"], &["원목 책상"]),
        ("의자", Exact, &["접이식 의자", "Wooden chairs (2)"], &[]),
        ("책", Exact, &["동화책 30권"], &["원목 책상"]),
        ("책상", Exact, &["원목 책상"], &["동화책 30권"]),
        ("자전거", Exact, &["하이브리드 자전거", "사과 자전거 바구니"], &[]),
        ("과자", Exact, &["사과 자전거 바구니"], &["하이브리드 자전거"]),
        ("카메라", Exact, &["후지필름 X100V 실버"], &[]),
        ("배터리", Exact, &["맥북 프로 14", "애플 아이폰 15 프로 256GB"], &["블루투스 스피커"]),
        (
            "ㅇㅇㅍ",
            Exact,
            &["소니 무선 이어폰 WF-1000XM4", "아이폰15 실리콘케이스", "애플 아이폰 15 프로 256GB"],
            &["갤럭시 버즈 프로"],
        ),
        ("ㄱㄹㅅ ㅂㅈ", Exact, &["갤럭시 버즈 프로"], &["Galaxy S24 Ultra black"]),
        ("갤ㄹ", Exact, &["갤럭시 버즈 프로"], &["RTX 3080 그래픽카드"]),
        ("ＧＡＬＡＸＹ", Exact, &["Galaxy S24 Ultra black"], &[]),
        ("플레이스테이션", Exact, &["플스5 디스크 에디션"], &[]),
        ("dkdlvhs", Keyboard, &["애플 아이폰 15 프로 256GB"], &[]),
        ("ㅎ미ㅁ툐", Keyboard, &["Galaxy S24 Ultra black"], &[]),
        ("galxy", Typo, &["Galaxy S24 Ultra black"], &["RTX 3080 그래픽카드"]),
        ("자전겨", Typo, &["사과 자전거 바구니", "하이브리드 자전거"], &["원목 책상"]),
        ("블루투수 스피커", Typo, &["블루투스 스피커"], &["갤럭시 버즈 프로"]),
        ("3081", Unspecified, &[], &["RTX 3080 그래픽카드"]),
        ("맥북 프로 비행기", Partial, &["맥북 프로 14"], &["원목 책상"]),
        ("우주선", Unspecified, &[], &[]),
        ("the", Unspecified, &[], &[]),
    ];
    let mut wrong = Vec::new();
    for (q, matching, must, must_not) in table {
        let found = w.find(ask(q)).await.unwrap();
        let titles = titles(&found);
        let has = |title: &&&str| titles.iter().any(|t| t == *title);
        let right = found.matching() == matching
            && must.iter().all(|title| has(&title))
            && !must_not.iter().any(|title| has(&title))
            && titles.first().map(String::as_str) == must.first().copied();
        if !right {
            wrong.push(format!("{q} finds {titles:?} ({:?}), not {must:?} ({matching:?})", found.matching()));
        }
        assert_eq!(usize::try_from(found.hit_count()), Ok(titles.len()), "{q}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(w.find(ask("dkdlvhs")).await.unwrap().corrected_q, "아이폰");
    assert_eq!(w.found("").await.len(), CORPUS.len());
}

pub async fn words_are_completed(kind: Kind) {
    let w = corpus(kind).await;
    let suggest = async |q: &str| {
        let req = SuggestRequest { q: q.into(), limit: 0 };
        let found = w.search.suggest(anonymous(), req).await.unwrap().suggestions;
        found.into_iter().map(|s| s.text).collect::<Vec<_>>()
    };
    for (q, first) in [
        ("아이ㅍ", "아이폰"),
        ("ㅇㅇㅍ", "아이폰"),
        ("갤ㄹ", "갤럭시"),
        ("gal", "galaxy"),
        ("무선이", "무선 이어폰"),
        ("ㅈㅈㄱ", "자전거"),
    ] {
        assert_eq!(suggest(q).await.first().map(String::as_str), Some(first), "{q}: {:?}", suggest(q).await);
    }
    assert!(suggest("없는말").await.is_empty() && suggest("!").await.is_empty());
    // What can't be had is not suggested.
    w.tell(&turned(&crate::support::id(14), ProductStatus::Sold), 2).await;
    w.settled().await;
    assert!(suggest("스피").await.is_empty());
}

pub async fn filters_hold_together_and_facets_count_around_them(kind: Kind) {
    let w = World::new(kind).await;
    let regions = ["seoul", "gangwon", "jeolla"];
    for n in 0..24u64 {
        let mut l = listing(n, &format!("자전거 {n}"));
        l.price = i64::try_from(n).unwrap() * 10_000;
        l.region = regions[(n % 3) as usize].into();
        l.condition = if n % 2 == 0 { Condition::New } else { Condition::Fair };
        w.list(l).await;
    }
    w.tell(&turned(&crate::support::id(0), ProductStatus::Sold), 2).await;
    w.settled().await;
    let req = SearchProductsRequest {
        region_id: "seoul".into(),
        min_price: Some(50_000),
        max_price: Some(200_000),
        condition: vec![Condition::New.into()],
        status: vec![ProductStatus::OnSale.into()],
        ..ask("자전거")
    };
    let found = w.find(req).await.unwrap();
    let mut got = titles(&found);
    got.sort();
    assert_eq!(got, ["자전거 12", "자전거 18", "자전거 6"]);
    let facet = |name: &str| {
        let facet = found.facets.iter().find(|f| f.field == name).unwrap();
        facet.values.iter().map(|v| (v.value.as_str(), v.count, v.min(), v.max)).collect::<Vec<_>>()
    };
    // Each as if its own filter were not set: the other regions' new ones at the same prices.
    let mut region = facet("region_id");
    region.sort();
    assert_eq!(region, [("gangwon", 2, 0, None), ("jeolla", 3, 0, None), ("seoul", 3, 0, None)]);
    assert_eq!(facet("condition"), [("CONDITION_NEW", 3, 0, None), ("CONDITION_FAIR", 2, 0, None)]);
    assert_eq!(facet("status"), [("PRODUCT_STATUS_ON_SALE", 3, 0, None)]);
    assert_eq!(facet("price"), [("", 1, 50_000, Some(99_999)), ("", 2, 100_000, Some(299_999))]);
    let wrong = SearchProductsRequest { min_price: Some(2), max_price: Some(1), ..ask("") };
    assert_eq!(w.find(wrong).await.unwrap_err().field_violations()[0].field, "max_price");
}

pub async fn distance_sorts_and_limits(kind: Kind) {
    let w = World::new(kind).await;
    for (n, region) in (1..).zip(["gyeongsang", "seoul", "jeolla", "chungcheong"]) {
        let mut l = listing(n, region);
        l.region = region.into();
        w.list(l).await;
    }
    w.settled().await;
    // In Busan.
    let req =
        SearchProductsRequest { sort: SearchSort::Distance.into(), lat: Some(35.18), lng: Some(129.08), ..ask("") };
    let found = w.find(req.clone()).await.unwrap();
    assert_eq!(titles(&found), ["gyeongsang", "jeolla", "chungcheong", "seoul"]);
    assert!(found.hits.windows(2).all(|h| h[0].distance_km() < h[1].distance_km()));
    let near = w.find(SearchProductsRequest { radius_km: Some(200), ..req }).await.unwrap();
    assert_eq!((titles(&near), near.hit_count()), (vec!["gyeongsang".to_owned(), "jeolla".to_owned()], 2));
}

pub async fn a_place_is_whole_or_absent(kind: Kind) {
    let w = World::new(kind).await;
    for (req, field) in [
        (SearchProductsRequest { lat: Some(37.0), ..ask("") }, "lng"),
        (SearchProductsRequest { lng: Some(127.0), ..ask("") }, "lat"),
        (SearchProductsRequest { sort: SearchSort::Distance.into(), ..ask("") }, "lat"),
        (SearchProductsRequest { radius_km: Some(5), ..ask("") }, "lat"),
    ] {
        assert_eq!(w.find(req).await.unwrap_err().field_violations()[0].field, field);
    }
}

pub async fn what_is_sold_comes_last_and_what_is_deleted_not_at_all(kind: Kind) {
    let w = World::new(kind).await;
    for (n, title) in (1..).zip(["아이폰", "아이폰 케이스 투명", "아이폰 거치대 팝니다", "아이폰 필름"])
    {
        w.list(listing(n, title)).await;
    }
    let id = crate::support::id;
    w.tell(&turned(&id(1), ProductStatus::Sold), 2).await;
    w.tell(&turned(&id(2), ProductStatus::Reserved), 2).await;
    w.tell(&deleted(&id(4)), 2).await;
    w.settled().await;
    assert_eq!(w.found("아이폰").await, ["아이폰 거치대 팝니다", "아이폰 케이스 투명", "아이폰"]);
    w.tell(&turned(&id(1), ProductStatus::OnSale), 3).await;
    w.settled().await;
    assert_eq!(w.found("아이폰").await[0], "아이폰");
    assert_eq!(w.search.clone().check_indexes(testbed::system("search")).await.unwrap(), Vec::<String>::new());
}

pub async fn hits_are_marked(kind: Kind) {
    let w = corpus(kind).await;
    let found = w.find(ask("카메라 실버")).await.unwrap();
    let marked = |segments: &[proto::jangteo::search::v1::Segment]| {
        segments.iter().map(|s| if s.hit { format!("[{}]", s.text) } else { s.text.clone() }).collect::<String>()
    };
    assert_eq!(marked(&found.hits[0].title), "후지필름 X100V [실버]");
    assert_eq!(marked(&found.hits[0].snippet), "필름 [카메라] 감성");
    // Nothing that anybody can write breaks it.
    let mut odd = listing(99, "İ\u{1100}\u{1161}<b>ﬀ👨‍👩‍👧</b>\u{200d}ß가나");
    odd.description = "\u{0}\u{feff}가\u{11a8}".repeat(200);
    w.list(odd.clone()).await;
    w.settled().await;
    let found = w.find(ask("가나")).await.unwrap();
    assert_eq!(titles(&found), [odd.title]);
}

pub async fn synonyms_are_in_force_at_once(kind: Kind) {
    let w = corpus(kind).await;
    let admin = || with_roles("usr_1", &["user", "admin"]);
    let group = |words: &[&str]| SynonymGroup { words: words.iter().map(|w| (*w).to_owned()).collect() };
    let update = |groups: Vec<SynonymGroup>, etag: &str| UpdateSynonymsRequest { groups, etag: etag.into() };
    assert!(
        w.found("소니 헤드셋").await.is_empty()
            || w.find(ask("소니 헤드셋")).await.unwrap().matching() == Matching::Partial
    );
    let made = w.search.update_synonyms(admin(), update(vec![group(&["헤드셋", "무선 이어폰"])], "")).await.unwrap();
    assert_eq!(w.found("소니 헤드셋").await, ["소니 무선 이어폰 WF-1000XM4"]);
    assert_eq!(w.find(ask("소니 헤드셋")).await.unwrap().matching(), Matching::Exact);
    let old = w.search.update_synonyms(admin(), update(vec![], "0")).await.unwrap_err();
    assert_eq!(old.code(), Code::Aborted);
    let bad = w.search.update_synonyms(admin(), update(vec![group(&["a", "A"])], "")).await.unwrap_err();
    assert_eq!(bad.field_violations()[0].field, "groups[0].words");
    let read = w.search.get_synonyms(admin(), GetSynonymsRequest {}).await.unwrap();
    assert_eq!((&read.groups, &read.etag), (&made.groups, &made.etag));
    assert!(!read.built_in.is_empty());
    // Another replica learns of it.
    let other = crate::support::build(&w.stores, &w.stores.folder().join("other"));
    other.read_synonyms(&mut None).await.unwrap();
    w.search.update_synonyms(admin(), update(vec![], &made.etag)).await.unwrap();
    assert_ne!(w.find(ask("소니 헤드셋")).await.unwrap().matching(), Matching::Exact);
}

pub async fn a_category_holds_those_below_it(kind: Kind) {
    let w = World::new(kind).await;
    for (n, category) in (1..).zip(["phones", "cameras", "cycling", "furniture"]) {
        let mut l = listing(n, category);
        l.category = category.into();
        w.list(l).await;
    }
    w.settled().await;
    let within = async |category_id: &str| {
        let mut found = titles(&w.find(SearchProductsRequest { category_id: category_id.into(), ..ask("") }).await?);
        found.sort();
        Ok::<_, jangteo_core::Error>(found)
    };
    assert_eq!(within("digital").await.unwrap(), ["cameras", "phones"]);
    assert_eq!(within("cycling").await.unwrap(), ["cycling"]);
    assert_eq!(within("nowhere").await.unwrap_err().field_violations()[0].reason, "UNKNOWN_CATEGORY");
}
