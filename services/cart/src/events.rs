//! What happens elsewhere and is of interest here, and what happens by the clock.

use crate::{Carts, store};
use jangteo_core::{Call, Result};
use kit::{Received, db::Tx};
use proto::jangteo::order::v1::OrderPlaced;
use std::{collections::BTreeMap, sync::Arc};

/// Carts that are deleted in one transaction.
const BATCH: u64 = 200;

impl Carts {
    /// What was ordered is meant to be bought no more, as far as it was in the buyer's cart.
    pub async fn order_placed(self: Arc<Self>, ev: Received<OrderPlaced>) -> Result<()> {
        let mut units: BTreeMap<&str, i64> = BTreeMap::new();
        for line in ev.parts.iter().flat_map(|p| &p.lines) {
            *units.entry(&line.product_id).or_default() += i64::from(line.quantity);
        }
        let (buyer_id, units) = (&ev.buyer_id, &units);
        let write = async |tx: Tx| match store::cart::lock(&tx, buyer_id).await? {
            Some(cart_id) => store::line::take(&tx, &cart_id, units).await,
            None => Ok(()),
        };
        ev.apply(&self.db, write).await
    }

    /// All carts of an erased person, shared copies too, and what they wished for.
    pub async fn forget(self: Arc<Self>, tx: Tx, user_id: String) -> Result<()> {
        store::cart::forget(&tx, &user_id).await?;
        store::wish::forget(&tx, &user_id).await
    }

    /// Guests' carts and shared copies whose time is over.
    pub async fn expire(self: Arc<Self>, cx: Call) -> Result<()> {
        loop {
            let write = async |tx: Tx| {
                let expired = store::cart::expired(&tx, BATCH).await?;
                let count = expired.len() as u64;
                store::cart::delete(&tx, expired).await?;
                Ok(count)
            };
            if self.db.write(&cx, write).await? < BATCH {
                return Ok(());
            }
        }
    }

    pub async fn check_carts(self: Arc<Self>, _cx: Call) -> Result<Vec<String>> {
        store::cart::check(self.db.primary()).await
    }
}
