//! Lists, in pages.

use super::{is_moderator, is_user};
use crate::{
    Reviews,
    domain::{
        standing::{Facts, small},
        temperature::degrees,
    },
    store::{self, rating, review::List},
};
use jangteo_core::{Call, Result};
use proto::jangteo::review::v1::{self as wire, ReviewDirection};

impl Reviews {
    fn next(&self, bound: &str, next: Option<Vec<String>>) -> String {
        next.map_or_else(String::new, |last| self.pages.next(bound, &last))
    }

    pub(super) async fn of_user(
        &self,
        cx: Call,
        req: wire::ListUserReviewsRequest,
    ) -> Result<wire::ListUserReviewsResponse> {
        let all = is_user(&cx, &req.user_id) || is_moderator(&cx);
        let list = match req.direction() {
            ReviewDirection::Written => List::Written { by: &req.user_id, all },
            _ => List::Received(&req.user_id),
        };
        let bound = format!("{list:?}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = list.page(&self.db, &page).await?;
        let reviews = store::review::wire(self.db.primary(), &self.sealer, found.rows).await?;
        Ok(wire::ListUserReviewsResponse { reviews, next_page_token: self.next(&bound, found.next) })
    }

    pub(super) async fn of_product(
        &self,
        req: wire::ListProductReviewsRequest,
    ) -> Result<wire::ListProductReviewsResponse> {
        let bound = format!("product {}", req.product_id);
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = rating::page(&self.db, &req.product_id, &page).await?;
        let ids: Vec<String> = found.rows.into_iter().map(|row| row.review_id).collect();
        let mut rows = store::review::some(self.db.primary(), &ids).await?;
        rows.sort_by_key(|row| ids.iter().position(|id| *id == row.review_id));
        let ratings = rating::of_product(self.db.primary(), &req.product_id).await?;
        Ok(wire::ListProductReviewsResponse {
            reviews: store::review::wire(self.db.primary(), &self.sealer, rows).await?,
            summary: Some(Facts { ratings, ..Facts::default() }.summary()),
            next_page_token: self.next(&bound, found.next),
        })
    }

    pub(super) async fn temperature(
        &self,
        req: wire::ListTemperatureChangesRequest,
    ) -> Result<wire::ListTemperatureChangesResponse> {
        let bound = format!("temperature {}", req.user_id);
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let now = store::temperature::milli(self.db.primary(), &req.user_id).await?;
        let found = store::temperature::page(&self.db, &req.user_id, &page).await?;
        Ok(wire::ListTemperatureChangesResponse {
            degrees: degrees(now),
            changes: found.rows.into_iter().map(store::temperature::Model::into_wire).collect(),
            next_page_token: self.next(&bound, found.next),
        })
    }

    pub(super) async fn held(&self, req: wire::ListPendingReviewsRequest) -> Result<wire::ListPendingReviewsResponse> {
        let page = self.pages.open(req.page_size, &req.page_token, "held")?;
        let found = List::Held.page(&self.db, &page).await?;
        let judged = found.rows.iter().map(|row| Ok((small(row.score), row.findings()?)));
        let judged = judged.collect::<Result<Vec<_>>>()?;
        let reviews = store::review::wire(self.db.primary(), &self.sealer, found.rows).await?;
        let held = reviews.into_iter().zip(judged);
        Ok(wire::ListPendingReviewsResponse {
            reviews: held
                .map(|(review, (score, findings))| wire::HeldReview { review: Some(review), score, findings })
                .collect(),
            next_page_token: self.next("held", found.next),
        })
    }
}
