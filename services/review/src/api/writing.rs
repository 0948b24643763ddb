//! Saying one's word.

use crate::{
    Reviews,
    domain::{self, Draft, Fault, Terms, Trade, text},
    store::{
        self,
        review::{Place, text_hash},
    },
};
use jangteo_core::{Call, Id, Result};
use kit::{crash_point, db::Tx};
use proto::jangteo::{
    order::v1::{self as order, GetTradeRequest, OrderStatus},
    review::v1::{Review, ReviewStatus, ReviewWritten, WriteReviewRequest},
};
use std::time::Duration;

impl Reviews {
    pub(super) async fn write(&self, cx: Call, req: WriteReviewRequest) -> Result<Review> {
        let trade = &self.trade(&cx, &req.order_id, req.part.max(1)).await?;
        trade.admits(cx.now)?;
        let draft = &domain::draft(trade, cx.user_id()?, &req)?;
        let review_id = &Id::<domain::Review>::new().to_string();
        let write = async |tx: Tx| {
            store::trade::open(&tx, trade).await?;
            let author = trade.role(&draft.author_id)?;
            let trade = store::trade::claim(&tx, &trade.order_id, trade.part, author).await?;
            self.add(&tx, &trade, review_id, draft).await?;
            self.reveal(&tx, &trade).await?;
            Ok(review_id.clone())
        };
        let written: String = self.db.write(&cx, write).await?;
        crash_point!("review.write.after_commit");
        self.read(&written).await
    }

    /// Adds a review whose trade is locked.
    async fn add(&self, tx: &Tx, trade: &Trade, review_id: &str, draft: &Draft) -> Result<()> {
        let hash = text::essence(&draft.text).map(|e| text_hash(&self.sealer, &draft.author_id, &e));
        let hash = &hash.unwrap_or_default();
        let duplicate = store::review::wrote_before(tx, &draft.author_id, hash).await?;
        let verdict = text::check(&draft.text, duplicate);
        let held = verdict.score >= self.config.hold_score;
        let status = if held { ReviewStatus::Held } else { ReviewStatus::Waiting };
        let place = Place { review_id, order_id: &trade.order_id, part: trade.part, text_hash: hash, status };
        store::review::insert(tx, &self.sealer, place, draft, &verdict).await?;
        let event = ReviewWritten {
            review_id: review_id.to_owned(),
            order_id: trade.order_id.clone(),
            part: domain::standing::small(trade.part),
            author_id: draft.author_id.clone(),
            subject_id: draft.subject_id.clone(),
            held,
            create_time: Some(proto::timestamp(tx.now())),
        };
        tx.append(review_id, 0, &[event]).await?;
        Ok(())
    }

    /// The trade, or what order says of it until the event of its confirmation has arrived.
    async fn trade(&self, cx: &Call, order_id: &str, part: i32) -> Result<Trade> {
        if let Some(trade) = store::trade::find(self.db.primary(), order_id, part.into()).await? {
            return Ok(trade);
        }
        let found = self.orders.get_trade(cx, GetTradeRequest { order_id: order_id.to_owned(), part }).await?;
        let trade = completed(&found);
        trade.role(cx.user_id()?)?;
        match found.status() {
            OrderStatus::Confirmed => Ok(trade.begin(cx.now, self.terms())),
            _ => Err(Fault::TradeNotCompleted { order_id: order_id.to_owned(), part: part.into() }.into()),
        }
    }

    pub(crate) fn terms(&self) -> Terms {
        let secs = Duration::from_secs;
        Terms { write: secs(self.config.write_secs), reveal: secs(self.config.reveal_secs) }
    }
}

/// A trade that has not begun to count.
pub(crate) fn completed(found: &order::Trade) -> Trade {
    Trade {
        order_id: found.order_id.clone(),
        part: found.part.into(),
        buyer_id: found.buyer_id.clone(),
        seller_id: found.seller_id.clone(),
        product_ids: found.product_ids.clone(),
        by_deadline: false,
        buyer_wrote: false,
        seller_wrote: false,
        reveal_time: 0,
        write_until: 0,
    }
}
