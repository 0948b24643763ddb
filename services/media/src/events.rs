//! The workers: variants are made, what nobody needs is deleted, what a crash left behind is swept.

mod sweep;
mod variants;

use crate::{Media, api, store};
use jangteo_core::{Call, Result};
use kit::{Stop, db::Tx};
use proto::jangteo::media::v1 as wire;
use std::{sync::Arc, time::Duration};

/// Objects deleted at a time.
const BATCH: u64 = 200;

impl Media {
    /// On every replica: pictures are shared out by leases.
    pub async fn work(self: Arc<Self>, stop: Stop) {
        loop {
            let cx = Call::system("media", "variants", self.clock.now());
            let busy = match self.round(&cx).await {
                Ok(done) => done > 0,
                Err(error) => {
                    tracing::warn!(error = ?error, "making variants failed; tried again");
                    false
                }
            };
            if busy && !stop.is_cancelled() {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(self.config.poll_ms)) => {}
            }
        }
    }

    /// Works once on what there is to do; how much it was.
    pub async fn round(&self, cx: &Call) -> Result<usize> {
        Ok(self.make_variants(cx).await? + self.collect(cx).await?)
    }

    /// All that an erased person uploaded.
    pub async fn forget(self: Arc<Self>, tx: Tx, user_id: String) -> Result<()> {
        for row in store::media::of(&tx, &user_id).await? {
            api::remove(&tx, row).await?;
        }
        tx.after_commit(move || self.wake.notify_one());
        Ok(())
    }

    /// Deletes objects that no row needs any more.
    async fn collect(&self, cx: &Call) -> Result<usize> {
        let keys = &store::object::discarded(self.db.primary(), BATCH).await?;
        for key in keys {
            self.objects.delete(key).await?;
        }
        if !keys.is_empty() {
            self.db.write(cx, async |tx: Tx| store::object::forget(&tx, keys).await).await?;
        }
        Ok(keys.len())
    }
}

/// What is told of a medium whose content is ready.
pub(crate) fn ready(row: &store::media::Model, content: &store::content::Model) -> wire::MediaReady {
    let size = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
    wire::MediaReady {
        media_id: row.media_id.clone(),
        owner_id: row.owner_id.clone(),
        width: size(content.width),
        height: size(content.height),
        perceptual_hash: content.perceptual_hash.clone(),
    }
}
