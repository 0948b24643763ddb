//! The timed jobs: views and likes reach the product's row in batches, away from the readers.

use crate::{Catalog, domain::ProductId, store};
use jangteo_core::{Call, Result};
use std::{collections::BTreeMap, sync::Arc};

/// Products whose likes are summed up in one transaction.
const FOLD: u64 = 500;

impl Catalog {
    /// Writes what all replicas counted. The batch's id is the key of the write, so a batch that comes again after a
    /// crash counts once.
    pub async fn flush_views(self: Arc<Self>, cx: Call) -> Result<()> {
        while let Some(batch) = self.views.drain().await? {
            for (n, db) in self.shards.dbs().iter().enumerate() {
                let mut by_count: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
                for (id, count) in &batch.counts {
                    let shard = id.parse::<ProductId>().and_then(|id| self.shards.region(&id));
                    if shard.is_ok_and(|s| usize::from(s) % self.shards.dbs().len() == n) {
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
}
