//! What becomes of orders, and what happens by the clock.

use crate::{
    Reviews,
    api::completed,
    domain::{
        Trade,
        temperature::{CANCELLED, DISPUTE_LOST, DISPUTE_SHARED, step},
    },
    store::{self, temperature::Cause},
};
use jangteo_core::{Call, Result, Time};
use kit::{Received, crash_point, db::Tx};
use proto::{
    google::r#type::Money,
    jangteo::{
        order::v1::{
            self as order, GetTradeRequest, OrderClosed, OrderDisputeResolved, OrderPaid, OrderPartCancelled,
            OrderPartConfirmed, OrderPartShipped,
        },
        review::v1::TemperatureReason,
    },
};
use std::{sync::Arc, time::Duration};

/// Trades that are looked for at once.
const BATCH: u64 = 100;

fn won(amount: &Option<Money>) -> i64 {
    amount.as_ref().map_or(0, |m| m.units)
}

/// When the fact of an event was written.
fn time<E>(ev: &Received<E>) -> Time {
    ev.envelope().time.as_ref().map_or(ev.call().now, proto::time)
}

impl Reviews {
    pub async fn order_paid(self: Arc<Self>, ev: Received<OrderPaid>) -> Result<()> {
        let at = time(&ev);
        ev.apply(&self.db, async |tx: Tx| store::facts::paid(&tx, &ev.order_id, at).await).await
    }

    /// An erased author's reviews keep their rating, which is the other side's, and lose their words.
    pub async fn forget(self: Arc<Self>, tx: Tx, user_id: String) -> Result<()> {
        store::review::forget(&tx, &user_id).await
    }

    pub async fn order_closed(self: Arc<Self>, ev: Received<OrderClosed>) -> Result<()> {
        ev.apply(&self.db, async |tx: Tx| store::facts::closed(&tx, &ev.order_id).await).await
    }

    pub async fn part_shipped(self: Arc<Self>, ev: Received<OrderPartShipped>) -> Result<()> {
        let (at, grace) = (time(&ev), Duration::from_secs(self.config.on_time_secs));
        let write =
            async |tx: Tx| store::facts::shipped(&tx, &ev.order_id, ev.part.into(), &ev.seller_id, at, grace).await;
        ev.apply(&self.db, write).await
    }

    /// Both sides may write from now on.
    pub async fn part_confirmed(self: Arc<Self>, ev: Received<OrderPartConfirmed>) -> Result<()> {
        let found = order::Trade {
            order_id: ev.order_id.clone(),
            part: ev.part,
            buyer_id: ev.buyer_id.clone(),
            seller_id: ev.seller_id.clone(),
            product_ids: ev.product_ids.clone(),
            ..order::Trade::default()
        };
        let trade = Trade { by_deadline: ev.by_deadline, ..completed(&found) }.begin(time(&ev), self.terms());
        let trade = &trade;
        ev.apply(&self.db, async |tx: Tx| store::trade::open(&tx, trade).await).await
    }

    /// Who sells and then doesn't cools down; a buyer who changes their mind does not.
    pub async fn part_cancelled(self: Arc<Self>, ev: Received<OrderPartCancelled>) -> Result<()> {
        let occasion = &format!("cancel:{}:{}", ev.order_id, ev.part);
        let write = async |tx: Tx| match ev.reason.as_str() {
            "BY_SELLER" => cool(&tx, &ev.seller_id, TemperatureReason::SellerCancelled, occasion, CANCELLED).await,
            _ => Ok(()),
        };
        ev.apply(&self.db, write).await
    }

    /// Cools the seller by how much of the money went back. Where any went to the seller it is a completed trade too;
    /// the event names no products, so order is asked for them.
    pub async fn dispute_resolved(self: Arc<Self>, ev: Received<OrderDisputeResolved>) -> Result<()> {
        let (refund, to_seller) = (won(&ev.refund), won(&ev.to_seller));
        let mut trade = None;
        if to_seller > 0 {
            let ask = GetTradeRequest { order_id: ev.order_id.clone(), part: ev.part };
            let found = self.orders.get_trade(ev.call(), ask).await?;
            trade = Some(completed(&found).begin(time(&ev), self.terms()));
        }
        let full = match (refund, to_seller) {
            (0, _) => 0,
            (_, 0) => DISPUTE_LOST,
            _ => DISPUTE_SHARED,
        };
        let (trade, occasion) = (&trade, &format!("dispute:{}:{}", ev.order_id, ev.part));
        let write = async |tx: Tx| {
            if let Some(trade) = trade {
                store::trade::open(&tx, trade).await?;
            }
            cool(&tx, &ev.seller_id, TemperatureReason::DisputeLost, occasion, full).await
        };
        ev.apply(&self.db, write).await
    }

    /// Reveals what one side wrote when the other said nothing for a week.
    pub async fn reveal_due(self: Arc<Self>, cx: Call) -> Result<()> {
        loop {
            let due = store::trade::due(self.db.primary(), cx.now, BATCH).await?;
            for (order_id, part) in &due {
                let write = async |tx: Tx| {
                    let trade = store::trade::lock(&tx, order_id, *part).await?;
                    self.reveal(&tx, &trade).await
                };
                self.db.write(&cx, write).await?;
                crash_point!("review.reveal.after_commit");
            }
            if (due.len() as u64) < BATCH {
                return Ok(());
            }
        }
    }

    pub async fn check_reviews(self: Arc<Self>, _cx: Call) -> Result<Vec<String>> {
        store::facts::check(self.db.primary()).await
    }

    pub async fn check_temperatures(self: Arc<Self>, _cx: Call) -> Result<Vec<String>> {
        store::temperature::check(self.db.primary()).await
    }
}

async fn cool(tx: &Tx, user_id: &str, reason: TemperatureReason, occasion: &str, full: i64) -> Result<()> {
    let cause = Cause { reason, occasion, review_id: "", rater_id: "" };
    store::temperature::record(tx, user_id, cause, |now| step(now, full, 100)).await
}
