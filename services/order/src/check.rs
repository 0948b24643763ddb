//! What must be true of the stored orders, whatever happened before.

use crate::{Orders, domain::Order, store};
use jangteo_core::{Call, Result, from_micros};
use proto::jangteo::payment::v1::GetEscrowsRequest;
use std::{collections::BTreeSet, sync::Arc};

const BATCH: u64 = 200;
/// A saga may be late by so many seconds: a driver died and another one has to take over.
const GRACE: i64 = 60;
/// So many wrong things are told; more say no more.
const MOST: usize = 100;

impl Orders {
    /// Rows are the fold of their events, and amounts add up.
    pub async fn check_orders(self: Arc<Self>, _cx: Call) -> Result<Vec<String>> {
        let (mut wrong, mut after) = (Vec::new(), String::new());
        loop {
            let rows = store::order::walk(self.db.primary(), &after, BATCH).await?;
            let Some(last) = rows.last() else { return Ok(wrong) };
            after = last.order_id.clone();
            for row in rows {
                // Read again, since it may have changed between the row and its events.
                if let Some(why) = self.check_order(&row).await?
                    && self.check_order(&store::order::find(self.db.primary(), &row.order_id).await?).await?.is_some()
                {
                    wrong.push(format!("order {}: {why}", row.order_id));
                }
                if wrong.len() >= MOST {
                    return Ok(wrong);
                }
            }
        }
    }

    async fn check_order(&self, row: &store::order::Model) -> Result<Option<String>> {
        let (order, version) = self.db.load::<Order>(&row.order_id).await?;
        if version != row.version {
            return Ok(Some(format!("the row is at version {}, its events at {version}", row.version)));
        }
        let wire = order.wire();
        if wire != row.wire()? || i64::from(wire.status) != row.status || order.closed != row.closed {
            return Ok(Some("the row is not what its events make".to_owned()));
        }
        if !store::part::agrees(&order, &store::part::of(self.db.primary(), &row.order_id).await?) {
            return Ok(Some("the rows of its parts are not what its events make".to_owned()));
        }
        Ok(order.unsound())
    }

    /// Every order gets on: what is due is done in time, and what has an end has nothing left to do.
    pub async fn check_sagas(self: Arc<Self>, cx: Call) -> Result<Vec<String>> {
        let before = jangteo_core::micros(cx.now) - GRACE * 1_000_000;
        let late = store::saga::stuck(self.db.primary(), before, MOST as u64).await?;
        let mut wrong: Vec<_> = late
            .iter()
            .map(|s| {
                let (id, part, step, due) = (&s.order_id, s.part, &s.step, from_micros(s.due));
                let (n, last) = (s.attempts, &s.last_error);
                format!("order {id} part {part}: {step} does not get on; due {due}, {n} failures, {last}")
            })
            .collect();
        for order_id in store::order::stranded(self.db.primary(), MOST as u64).await? {
            wrong.push(format!("order {order_id}: it is neither paid nor cancelled, and nobody is at it"));
        }
        Ok(wrong)
    }

    /// The escrow of a closed order is empty, and who is paid by has a payment.
    pub async fn check_escrows(self: Arc<Self>, cx: Call) -> Result<Vec<String>> {
        let (mut wrong, mut after) = (Vec::new(), String::new());
        loop {
            let rows = store::order::walk(self.db.primary(), &after, BATCH).await?;
            let Some(last) = rows.last() else { return Ok(wrong) };
            after = last.order_id.clone();
            let closed: BTreeSet<_> = rows.iter().filter(|r| r.closed).map(|r| r.order_id.clone()).collect();
            if closed.is_empty() {
                continue;
            }
            let order_ids = closed.into_iter().collect();
            let peer = self.peer(&cx);
            let escrows = self.peers.payment.get_escrows(&peer, GetEscrowsRequest { order_ids }).await?.escrows;
            for e in escrows {
                let balance = e.balance.map_or(0, |m| m.units);
                if balance != 0 {
                    wrong.push(format!("order {}: closed, with {balance} won in escrow", e.order_id));
                }
            }
            if wrong.len() >= MOST {
                return Ok(wrong);
            }
        }
    }
}

impl Order {
    /// What can't be of a sound order, if it is so.
    fn unsound(&self) -> Option<String> {
        let sum: i64 = self.parts.iter().map(|p| p.gross()).sum();
        if sum != self.total {
            return Some(format!("its parts cost {sum} won, not {}", self.total));
        }
        if self.paid && self.payment.payment_id.is_empty() {
            return Some("it is paid without a payment".to_owned());
        }
        for p in &self.parts {
            if p.settled && p.refunded + p.to_seller != p.gross() {
                return Some(format!(
                    "part {} is settled with {} + {} won of {}",
                    p.part,
                    p.refunded,
                    p.to_seller,
                    p.gross()
                ));
            }
        }
        let ended = self.parts.iter().all(|p| p.settled) || self.cancelled.is_some();
        (self.closed && !ended).then(|| "it is closed, and a part of it is not settled".to_owned())
    }
}
