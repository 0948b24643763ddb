//! What moderators do.

use super::reveal::occasion;
use crate::{
    Reviews,
    domain::{self, Verb, temperature},
    store::{self, review::Model, temperature::Cause},
};
use jangteo_core::{Call, Result};
use kit::db::Tx;
use proto::jangteo::review::v1::{Review, ReviewApproved, ReviewRejected, TemperatureReason};

impl Reviews {
    pub(super) async fn approve(&self, cx: Call, review_id: &str) -> Result<Review> {
        let moderator = cx.user_id()?;
        let write = async |tx: Tx| {
            let (trade, row) = locked(&tx, review_id).await?;
            let status = domain::decide(review_id, row.status(), Verb::Approve)?;
            store::review::turn(&tx, review_id, status, None, "").await?;
            let event = ReviewApproved {
                review_id: review_id.to_owned(),
                author_id: row.author_id,
                moderator_id: moderator.to_owned(),
            };
            tx.emit(&event).await?;
            self.reveal(&tx, &trade).await
        };
        self.db.write(&cx, write).await?;
        self.read(review_id).await
    }

    pub(super) async fn reject(&self, cx: Call, review_id: &str, reason: &str) -> Result<Review> {
        let moderator = cx.user_id()?;
        let write = async |tx: Tx| {
            let (_, row) = locked(&tx, review_id).await?;
            let status = domain::decide(review_id, row.status(), Verb::Reject)?;
            store::review::turn(&tx, review_id, status, None, reason).await?;
            take_back(&tx, &row).await?;
            let event = ReviewRejected {
                review_id: review_id.to_owned(),
                author_id: row.author_id,
                subject_id: row.subject_id,
                moderator_id: moderator.to_owned(),
                reason: reason.to_owned(),
            };
            tx.emit(&event).await?;
            Ok(())
        };
        self.db.write(&cx, write).await?;
        self.read(review_id).await
    }
}

/// The review as it is behind the lock of its trade.
async fn locked(tx: &Tx, review_id: &str) -> Result<(domain::Trade, Model)> {
    let row = store::review::find(tx, review_id).await?;
    let trade = store::trade::lock(tx, &row.order_id, row.part).await?;
    Ok((trade, store::review::find(tx, review_id).await?))
}

/// Undoes what the review did to its subject's temperature.
async fn take_back(tx: &Tx, row: &Model) -> Result<()> {
    let done = store::temperature::booked(tx, &row.subject_id, &occasion(&row.review_id)).await?;
    let Some(step) = done else { return Ok(()) };
    let cause = Cause {
        reason: TemperatureReason::ReviewRejected,
        occasion: &format!("reject:{}", row.review_id),
        review_id: &row.review_id,
        rater_id: &row.author_id,
    };
    store::temperature::record(tx, &row.subject_id, cause, |now| temperature::take_back(now, step)).await
}
