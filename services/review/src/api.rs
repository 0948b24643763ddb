//! The RPCs: authorise, load, decide, write, reply.

mod lists;
mod moderation;
mod reveal;
mod writing;

pub(crate) use writing::completed;

use crate::{
    Reviews,
    domain::{self, standing},
    store,
};
use jangteo_core::{Call, Error, Result};
use proto::jangteo::review::v1::{self as wire, ReviewStatus, review_service::Api};

impl Api for Reviews {
    async fn write_review(&self, cx: Call, req: wire::WriteReviewRequest) -> Result<wire::Review> {
        self.write(cx, req).await
    }

    async fn get_review(&self, cx: Call, req: wire::GetReviewRequest) -> Result<wire::Review> {
        let row = store::review::find(self.db.primary(), &req.review_id).await?;
        let seen = row.status() == ReviewStatus::Revealed || is_user(&cx, &row.author_id) || is_moderator(&cx);
        match seen {
            true => self.shown(row).await,
            false => Err(Error::not_found("review", req.review_id)),
        }
    }

    async fn list_user_reviews(
        &self,
        cx: Call,
        req: wire::ListUserReviewsRequest,
    ) -> Result<wire::ListUserReviewsResponse> {
        self.of_user(cx, req).await
    }

    async fn get_review_statistics(
        &self,
        cx: Call,
        req: wire::GetReviewStatisticsRequest,
    ) -> Result<wire::ReviewStatistics> {
        let facts = self.facts(&cx, &req.user_id).await?;
        Ok(wire::ReviewStatistics {
            received: Some(facts.summary()),
            written_count: Some(standing::small(facts.written)),
            tags: store::facts::tags(self.db.primary(), &req.user_id).await?,
            sold_count: Some(standing::small(facts.sold)),
            bought_count: Some(standing::small(facts.bought)),
            user_id: req.user_id,
        })
    }

    async fn list_product_reviews(
        &self,
        _cx: Call,
        req: wire::ListProductReviewsRequest,
    ) -> Result<wire::ListProductReviewsResponse> {
        self.of_product(req).await
    }

    async fn get_trust(&self, cx: Call, req: wire::GetTrustRequest) -> Result<wire::Trust> {
        Ok(standing::trust(&req.user_id, &self.facts(&cx, &req.user_id).await?))
    }

    async fn list_temperature_changes(
        &self,
        _cx: Call,
        req: wire::ListTemperatureChangesRequest,
    ) -> Result<wire::ListTemperatureChangesResponse> {
        self.temperature(req).await
    }

    async fn list_pending_reviews(
        &self,
        _cx: Call,
        req: wire::ListPendingReviewsRequest,
    ) -> Result<wire::ListPendingReviewsResponse> {
        self.held(req).await
    }

    async fn approve_review(&self, cx: Call, req: wire::ApproveReviewRequest) -> Result<wire::Review> {
        self.approve(cx, &req.review_id).await
    }

    async fn reject_review(&self, cx: Call, req: wire::RejectReviewRequest) -> Result<wire::Review> {
        self.reject(cx, &req.review_id, &req.reason).await
    }
}

fn is_user(cx: &Call, user_id: &str) -> bool {
    cx.user_id().is_ok_and(|id| id == user_id)
}

fn is_moderator(cx: &Call) -> bool {
    cx.has_role("moderator") || cx.has_role("admin")
}

impl Reviews {
    /// Whether there is such a person is not known here: of nobody there is nothing.
    async fn facts(&self, cx: &Call, user_id: &str) -> Result<standing::Facts> {
        let registered = domain::registered(user_id).unwrap_or(cx.now);
        store::facts::of(self.db.primary(), user_id, registered, cx.now).await
    }

    async fn shown(&self, row: store::review::Model) -> Result<wire::Review> {
        let mut reviews = store::review::wire(self.db.primary(), &self.sealer, vec![row]).await?;
        reviews.pop().ok_or_else(|| Error::internal("a review for each row"))
    }

    /// As it is after a write. The text is opened here and not in the write, whose answer is kept unsealed.
    async fn read(&self, review_id: &str) -> Result<wire::Review> {
        self.shown(store::review::find(self.db.primary(), review_id).await?).await
    }
}
