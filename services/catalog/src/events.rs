//! The timed jobs: views and likes reach the product's row in batches, away from the readers; holds end.

use crate::{
    Catalog,
    domain::{Verb, hold::Act},
    store,
};
use jangteo_core::{Call, Result};
use kit::{crash_point, db::Tx};
use std::{collections::BTreeMap, sync::Arc};

/// Products whose likes are summed up in one transaction.
const FOLD: u64 = 500;
/// Holds that are looked up at once; each ends in a transaction of its own, so that it never waits for two products
/// in an order that others don't keep.
const EXPIRE: u64 = 200;

impl Catalog {
    /// Writes what all replicas counted. The batch's id is the key of the write, so a batch that comes again after a
    /// crash counts once.
    pub async fn flush_views(self: Arc<Self>, cx: Call) -> Result<()> {
        while let Some(batch) = self.views.drain().await? {
            for (n, db) in self.shards.dbs().iter().enumerate() {
                let mut by_count: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
                for (id, count) in &batch.counts {
                    if self.place(id).is_ok_and(|at| at == n) {
                        by_count.entry(*count).or_default().push(id);
                    }
                }
                let mut cx = cx.clone();
                cx.request_id = Some(batch.id.clone());
                let by_count = &by_count;
                db.write(&cx, async |tx| store::product::add_views(&tx, by_count).await).await?;
            }
            self.views.settle(&batch).await?;
        }
        Ok(())
    }

    /// Sums up the likes that changed, for lists and their order.
    pub async fn fold_likes(self: Arc<Self>, cx: Call) -> Result<()> {
        for db in self.shards.dbs() {
            loop {
                let dirty = store::like::dirty(db.primary(), FOLD).await?;
                if dirty.is_empty() {
                    break;
                }
                let dirty = &dirty;
                db.write(&cx, async |tx| store::like::fold(&tx, dirty).await).await?;
            }
        }
        Ok(())
    }

    /// Withdraws what an erased person offers. What is held for an order at this moment stays readable, as sold, so that
    /// nobody else orders it. Their likes go.
    pub async fn forget(self: Arc<Self>, tx: Tx, user_id: String) -> Result<()> {
        for row in store::product::of_seller(&tx, &user_id).await? {
            let product = row.state()?;
            let events = match row.reserved {
                0 => product.delete(),
                _ => product.turn(Verb::Sell).unwrap_or_default(),
            };
            let row = store::product::record(&tx, row, &events).await?;
            self.evict_after(&tx, &row);
        }
        store::like::forget(&tx, &user_id).await
    }

    /// Gives back what was held and not confirmed in time.
    pub async fn expire_holds(self: Arc<Self>, cx: Call) -> Result<()> {
        for db in self.shards.dbs() {
            loop {
                let due = store::hold::due(db.primary(), cx.now, EXPIRE).await?;
                for hold_id in &due {
                    let lines = store::hold::lines(db.primary(), hold_id).await?;
                    self.act(&cx, db, Act::Expire, hold_id, &lines, 0).await?;
                    crash_point!("catalog.expire.after_commit");
                }
                if (due.len() as u64) < EXPIRE {
                    break;
                }
            }
        }
        Ok(())
    }
}
