//! A search of any kind: the words as strictly as something has them, one page behind a token.

use crate::{
    Search,
    domain::{
        counted::counted,
        hangul,
        query::{self, Wanted},
    },
    engine::{Found, Live, Shelf, ask::Strictness, blocking, collect::Wish},
    events::loops::{SEARCHES, ZERO_HITS},
};
use jangteo_core::{Call, Error, Result, micros};
use proto::jangteo::search::v1::Matching;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What somebody asks of a kind.
pub struct Asked<'a> {
    pub q: &'a str,
    pub page_size: i32,
    pub page_token: &'a str,
    /// Whatever must stay the same from page to page.
    pub bound: String,
    pub wish: Wish,
}

pub struct Answer {
    pub found: Found,
    pub wanted: Vec<Wanted>,
    pub matching: Matching,
    /// Empty when the words were taken as they are.
    pub corrected_q: String,
    pub next_page_token: String,
    pub query_id: String,
    pub first_page: bool,
}

/// What a page token carries: how the first page took the words, so that later ones take them likewise, and the last hit.
struct Carried {
    strictness: Strictness,
    keyboard: Option<usize>,
    now: i64,
    rarity: Vec<f32>,
    /// Tells one asking of a query from another.
    nonce: String,
}

impl Search {
    pub(super) async fn find(&self, cx: &Call, shelf: &Shelf, asked: Asked<'_>) -> Result<Answer> {
        let begun = Instant::now();
        let page = self.pages.open(asked.page_size, asked.page_token, &asked.bound)?;
        let mut wish = Wish { limit: page.size as usize, now: micros(cx.now), ..asked.wish };
        let carried = Carried::of(&page.after, &mut wish)?;
        let (live, now, first_page) = (shelf.soon().await?, wish.now, carried.is_none());
        let readings = self.readings(asked.q);
        let (ranking, last) =
            (self.ranking.clone(), carried.as_ref().map(|c| (c.keyboard, c.strictness, c.rarity.clone())));
        let looked = blocking(move || match last {
            None => first(&live, &ranking, readings, wish),
            Some((keyboard, strictness, rarity)) => {
                let (corrected, wanted) = readings.into_iter().nth(keyboard.map_or(0, |n| n + 1)).ok_or_else(gone)?;
                let found = live.search(&ranking, &wanted, wish, &[strictness], Some(rarity))?;
                Ok(Looked { found, wanted, corrected, keyboard })
            }
        });
        let Looked { found, wanted, corrected, keyboard } = looked.await?;
        let nonce = carried.map_or_else(|| uuid::Uuid::now_v7().simple().to_string(), |c| c.nonce);
        let carried = Carried { strictness: found.strictness, keyboard, now, rarity: found.rarity.clone(), nonce };
        let next_page_token = match found.hits.last() {
            Some(last) if found.more => self.pages.next(&asked.bound, &carried.keys(last.key)),
            _ => String::new(),
        };
        let (kind, query) = (shelf.kind.name, counted(asked.q));
        if first_page {
            self.tally(SEARCHES, kind, &query, 1);
            self.tally(ZERO_HITS, kind, &query, i64::from(found.total == 0));
        }
        let matching = matching(&found, keyboard);
        let labels = [("kind", kind), ("matching", matching.as_str_name())];
        metrics::histogram!("search_seconds", &labels).record(begun.elapsed());
        let query_id = self.query_id(kind, &carried.nonce, &query);
        Ok(Answer { corrected_q: corrected, matching, next_page_token, query_id, first_page, wanted, found })
    }

    /// The query as it is, and as it would read with the keyboard in the other language.
    fn readings(&self, q: &str) -> Vec<(String, Vec<Wanted>)> {
        let synonyms = self.synonyms.load();
        let other = [hangul::from_latin(q), hangul::to_latin(q)].into_iter().flatten();
        let mut readings = vec![(String::new(), query::parse(q, &synonyms))];
        readings.extend(other.map(|q| {
            let wanted = query::parse(&q, &synonyms);
            (q, wanted)
        }));
        readings
    }

    fn query_id(&self, kind: &str, nonce: &str, query: &str) -> String {
        self.pages.next(QUERY_ID, &[kind, nonce, query])
    }

    /// Kind, nonce and counted words of a query that was answered here.
    pub(super) fn asked(&self, query_id: &str) -> Result<[String; 3]> {
        let bad = || Error::invalid("query_id", "UNKNOWN_QUERY", "is not one that a search gave out");
        let page = self.pages.open(0, query_id, QUERY_ID).map_err(|_| bad())?;
        page.after.try_into().map_err(|_| bad())
    }

    /// Whether something of a query happens for the first time, as far as this is remembered: for a day.
    pub(super) async fn once(&self, nonce: &str, what: &str) -> bool {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        self.cache.incr(&format!("click:{nonce}:{what}"), 1, DAY).await == 1
    }
}

/// What a query id is signed for.
const QUERY_ID: &str = "query id";

struct Looked {
    found: Found,
    wanted: Vec<Wanted>,
    corrected: String,
    keyboard: Option<usize>,
}

/// All words; all words as another keyboard would have them; mistyped words; most of them.
fn first(
    live: &Live,
    ranking: &Arc<crate::domain::ranking::Ranking>,
    readings: Vec<(String, Vec<Wanted>)>,
    wish: Wish,
) -> Result<Looked> {
    for (n, (corrected, wanted)) in readings.iter().enumerate() {
        let found = live.search(ranking, wanted, wish.clone(), &[Strictness::All], None)?;
        if found.matched > 0 || wanted.is_empty() {
            let (corrected, wanted) = (corrected.clone(), wanted.clone());
            return Ok(Looked { found, wanted, corrected, keyboard: n.checked_sub(1) });
        }
    }
    let (corrected, wanted) = readings.into_iter().next().unwrap_or_default();
    let ladder: &[Strictness] =
        if wanted.len() > 1 { &[Strictness::Mistyped, Strictness::Most] } else { &[Strictness::Mistyped] };
    let found = live.search(ranking, &wanted, wish, ladder, None)?;
    Ok(Looked { found, wanted, corrected, keyboard: None })
}

fn matching(found: &Found, keyboard: Option<usize>) -> Matching {
    match (found.matched, keyboard, found.strictness) {
        (0, ..) => Matching::Unspecified,
        (_, Some(_), _) => Matching::Keyboard,
        (_, None, Strictness::All) => Matching::Exact,
        (_, None, Strictness::Mistyped) => Matching::Typo,
        (_, None, Strictness::Most) => Matching::Partial,
    }
}

fn gone() -> Error {
    Error::invalid("page_token", "INVALID_PAGE_TOKEN", "is not one that this list gave out")
}

impl Carried {
    fn keys(&self, (a, b, tie): (u64, u64, u64)) -> Vec<String> {
        let strictness = match self.strictness {
            Strictness::All => "all",
            Strictness::Mistyped => "mistyped",
            Strictness::Most => "most",
        };
        let keyboard = self.keyboard.map_or_else(String::new, |n| n.to_string());
        let rarity = self.rarity.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        let numbers = [a, b, tie].map(|n| n.to_string());
        let head = [strictness.to_owned(), keyboard, self.now.to_string(), rarity, self.nonce.clone()];
        head.into_iter().chain(numbers).collect()
    }

    /// `None` on the first page.
    fn of(keys: &[String], wish: &mut Wish) -> Result<Option<Carried>> {
        let [strictness, keyboard, now, rarity, nonce, a, b, tie] = match keys {
            [] => return Ok(None),
            keys => <&[String; 8]>::try_from(keys).map_err(|_| gone())?,
        };
        let number = |text: &String| text.parse::<u64>().map_err(|_| gone());
        wish.after = Some((number(a)?, number(b)?, number(tie)?));
        wish.now = now.parse().map_err(|_| gone())?;
        wish.facets = false;
        Ok(Some(Carried {
            strictness: match strictness.as_str() {
                "all" => Strictness::All,
                "mistyped" => Strictness::Mistyped,
                _ => Strictness::Most,
            },
            keyboard: if keyboard.is_empty() { None } else { Some(keyboard.parse().map_err(|_| gone())?) },
            now: wish.now,
            rarity: rarity.split(',').filter_map(|r| r.parse().ok()).collect(),
            nonce: nonce.clone(),
        }))
    }
}
