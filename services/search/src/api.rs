//! The RPCs.

mod analytics;
mod find;
mod products;
mod suggest;
mod words;

use crate::Search;
use jangteo_core::{Call, Result};
use proto::jangteo::search::v1::{self as wire, search_service::Api};

impl Api for Search {
    async fn search_products(
        &self,
        cx: Call,
        req: wire::SearchProductsRequest,
    ) -> Result<wire::SearchProductsResponse> {
        self.products(&cx, req).await
    }

    async fn suggest(&self, _cx: Call, req: wire::SuggestRequest) -> Result<wire::SuggestResponse> {
        self.completions(req).await
    }

    async fn record_click(&self, _cx: Call, req: wire::RecordClickRequest) -> Result<wire::RecordClickResponse> {
        self.clicked(req).await
    }

    async fn get_analytics(&self, cx: Call, req: wire::GetAnalyticsRequest) -> Result<wire::Analytics> {
        self.analytics(&cx, req).await
    }

    async fn get_synonyms(&self, _cx: Call, _req: wire::GetSynonymsRequest) -> Result<wire::Synonyms> {
        self.all_synonyms().await
    }

    async fn update_synonyms(&self, cx: Call, req: wire::UpdateSynonymsRequest) -> Result<wire::Synonyms> {
        self.replace_synonyms(&cx, req).await
    }
}
