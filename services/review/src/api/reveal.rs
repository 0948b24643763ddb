//! Letting everybody see what was written, and what that does to temperatures.

use crate::{
    Reviews,
    domain::{self, Trade, standing, temperature},
    store::{self, review::Model, temperature::Cause},
};
use jangteo_core::{Result, Time};
use kit::db::Tx;
use proto::jangteo::review::v1::{ReviewRevealed, ReviewStatus, TemperatureReason};
use std::time::Duration;

/// The line that a review makes in its subject's account.
pub(super) fn occasion(review_id: &str) -> String {
    format!("review:{review_id}")
}

impl Reviews {
    /// Reveals what waits, if the trade, which is locked, is open by now.
    pub(crate) async fn reveal(&self, tx: &Tx, trade: &Trade) -> Result<()> {
        if !trade.is_open(tx.now()) {
            return Ok(());
        }
        let mut reviews = store::review::waiting(tx, &trade.order_id, trade.part).await?;
        // Accounts are locked in one order, whoever reveals.
        reviews.sort_by(|a, b| a.subject_id.cmp(&b.subject_id));
        for review in &reviews {
            store::review::turn(tx, &review.review_id, ReviewStatus::Revealed, Some(tx.now()), "").await?;
            self.warm(tx, review).await?;
            let event = ReviewRevealed {
                review_id: review.review_id.clone(),
                order_id: review.order_id.clone(),
                part: standing::small(review.part),
                author_id: review.author_id.clone(),
                subject_id: review.subject_id.clone(),
                rating: standing::small(review.rating),
            };
            tx.emit(&event).await?;
        }
        Ok(())
    }

    async fn warm(&self, tx: &Tx, review: &Model) -> Result<()> {
        let (subject, author) = (&review.subject_id, &review.author_id);
        let since = tx.now() - Duration::from_secs(self.config.recount_secs);
        if store::temperature::counted(tx, subject, author, since).await? {
            return Ok(());
        }
        let weight = self.weight(tx, author).await?;
        let full = temperature::of_rating(review.rating);
        let cause = Cause {
            reason: TemperatureReason::Review,
            occasion: &occasion(&review.review_id),
            review_id: &review.review_id,
            rater_id: author,
        };
        store::temperature::record(tx, subject, cause, |now| temperature::step(now, full, weight)).await
    }

    /// How much a person's word weighs. Whose age nobody knows is as young as can be.
    async fn weight(&self, tx: &Tx, user_id: &str) -> Result<i64> {
        let registered: Time = domain::registered(user_id).unwrap_or(tx.now());
        let facts = store::facts::of(tx, user_id, registered, tx.now()).await?;
        Ok(temperature::weight(registered, tx.now(), standing::score(&facts)))
    }
}
