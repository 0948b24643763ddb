//! What people search for: counted, never by whom.

use crate::{
    Search,
    events::loops::{CLICKS, POSITIONS, day},
    kinds::product,
    store::query_day::{self, Summed, Top},
};
use jangteo_core::{Call, Result};
use proto::jangteo::search::v1::{
    Analytics, GetAnalyticsRequest, QueryStatistics, RecordClickRequest, RecordClickResponse,
};

const DEFAULT_DAYS: i64 = 7;
const DEFAULT_LIMIT: u64 = 20;

impl Search {
    pub(super) async fn clicked(&self, req: RecordClickRequest) -> Result<RecordClickResponse> {
        let [kind, nonce, query] = self.asked(&req.query_id)?;
        if self.once(&nonce, &req.product_id).await {
            self.tally(CLICKS, &kind, &query, 1);
            self.tally(POSITIONS, &kind, &query, req.position.into());
        }
        Ok(RecordClickResponse {})
    }

    pub(super) async fn analytics(&self, cx: &Call, req: GetAnalyticsRequest) -> Result<Analytics> {
        let days = if req.days == 0 { DEFAULT_DAYS } else { req.days.into() };
        let limit = u64::try_from(req.limit).ok().filter(|n| *n > 0).unwrap_or(DEFAULT_LIMIT);
        let since = day(cx.now) + 1 - days;
        let top = async |which| {
            let found = query_day::top(&self.db, product::NAME, since, which, limit).await?;
            Ok::<_, jangteo_core::Error>(found.into_iter().map(statistics).collect())
        };
        Ok(Analytics {
            total: Some(statistics(query_day::total(&self.db, product::NAME, since).await?)),
            top_queries: top(Top::Searched).await?,
            zero_hit_queries: top(Top::Missed).await?,
        })
    }
}

fn statistics(s: Summed) -> QueryStatistics {
    let share = |part: i64, of: i64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    QueryStatistics {
        click_through: share(s.clicks, s.searches),
        mean_position: share(s.positions, s.clicks),
        query: s.query,
        searches: s.searches,
        zero_hits: s.zero_hits,
        clicks: s.clicks,
    }
}
