//! Completions while typing.

use crate::{
    Search,
    domain::suggest::Typed,
    engine::{
        blocking,
        collect::{Order, Wish},
    },
    kinds::product,
};
use jangteo_core::{Result, micros};
use proto::jangteo::search::v1::{SuggestRequest, SuggestResponse, Suggestion, SuggestionSource};
use std::time::Instant;

const DEFAULT: usize = 10;
/// Titles that completions are taken from.
const TITLES: usize = 64;

impl Search {
    /// What others searched for first, for half of the places at most; then what products on sale are called.
    pub(super) async fn completions(&self, req: SuggestRequest) -> Result<SuggestResponse> {
        let begun = Instant::now();
        let Some(typed) = Typed::of(&req.q) else { return Ok(SuggestResponse::default()) };
        let limit = usize::try_from(req.limit).ok().filter(|n| *n > 0).unwrap_or(DEFAULT);
        let (popular, live, ranking) =
            (self.popular.load_full(), self.shelf(product::NAME).soon().await?, self.ranking.clone());
        let wish = Wish {
            checks: Vec::new(),
            order: Order::Relevance,
            near: None,
            radius: None,
            on_sale: true,
            after: None,
            limit: TITLES,
            facets: false,
            now: micros(self.clock.now()),
        };
        let suggestions = blocking(move || {
            let asked = popular.iter().filter(|q| typed.begins(q)).take(limit.div_ceil(2)).cloned();
            let asked: Vec<String> = asked.collect();
            let bodies = live.beginning(&ranking, &typed.spelt, typed.initials, wish)?;
            let mut titles = Vec::with_capacity(bodies.len());
            for body in bodies {
                let body = product::decode(&body)?;
                titles.push(body.title);
                titles.extend(body.tags);
            }
            let called = typed.complete(&titles, limit).into_iter().filter(|t| !asked.contains(t));
            let mut out: Vec<Suggestion> = called.map(|t| suggestion(t, SuggestionSource::Title)).collect();
            out.splice(0..0, asked.iter().map(|q| suggestion(q.clone(), SuggestionSource::Query)));
            out.truncate(limit);
            Ok(out)
        });
        let suggestions = suggestions.await?;
        metrics::histogram!("search_suggest_seconds", "kind" => product::NAME).record(begun.elapsed());
        Ok(SuggestResponse { suggestions })
    }
}

fn suggestion(text: String, source: SuggestionSource) -> Suggestion {
    Suggestion { text, source: source.into() }
}
