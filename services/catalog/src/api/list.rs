//! Lists: products by filter and order, and a product's history.

use crate::{
    Catalog,
    domain::region,
    store::{self, product::query::Query},
};
use jangteo_core::{Error, Result};
use proto::jangteo::catalog::v1 as wire;

impl Catalog {
    pub(super) async fn list(&self, req: wire::ListProductsRequest) -> Result<wire::ListProductsResponse> {
        let query = &self.query(&req).await?;
        // What must stay the same from page to page; the tree below a category may grow meanwhile.
        let filter = wire::ListProductsRequest { page_size: 0, page_token: String::new(), ..req.clone() };
        let bound = format!("products {filter:?}");
        let page = &self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = match query.region_id.as_str() {
            "" => {
                let fetch = |db: kit::db::Db| async move { query.page(&db, page).await };
                self.shards.page(page, fetch, |a, b| query.cmp(a, b), |row| query.keys_of(row)).await?
            }
            region_id => query.page(self.shards.db(region::shard(region_id)?), page).await?,
        };
        Ok(wire::ListProductsResponse {
            products: found.rows.into_iter().map(|row| row.into_wire()).collect::<Result<_>>()?,
            next_page_token: found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last)),
        })
    }

    async fn query(&self, req: &wire::ListProductsRequest) -> Result<Query> {
        if let (Some(min), Some(max)) = (req.min_price, req.max_price)
            && min > max
        {
            return Err(Error::invalid("max_price", "OUT_OF_RANGE", "must not be below min_price"));
        }
        let categories = match req.category_id.as_str() {
            "" => Vec::new(),
            id => self.tree().await?.with_descendants(id)?,
        };
        Ok(Query {
            categories,
            region_id: req.region_id.clone(),
            min_price: req.min_price,
            max_price: req.max_price,
            conditions: req.condition.clone(),
            statuses: req.status.clone(),
            seller_id: req.seller_id.clone(),
            sort: req.sort(),
        })
    }

    pub(super) async fn history(
        &self,
        req: wire::ListProductHistoryRequest,
    ) -> Result<wire::ListProductHistoryResponse> {
        let id = &req.product_id;
        self.product(id).await?;
        let bound = format!("history {id}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let after = page.after.first().and_then(|v| v.parse().ok()).unwrap_or(0);
        let mut found = self.db_of(id)?.history("product", id, after, page.size + 1).await?;
        let more = found.len() as u64 > page.size;
        found.truncate(page.size as usize);
        let last = found.last().filter(|_| more).map(|e| e.version.to_string());
        let events = found.iter().filter_map(|e| store::product::event(e).transpose()).collect::<Result<_>>()?;
        let next_page_token = last.map_or_else(String::new, |v| self.pages.next(&bound, &[v]));
        Ok(wire::ListProductHistoryResponse { events, next_page_token })
    }
}
