//! What a crash or a change of mind left behind, and the proof that nothing else is wrong.

use crate::{Media, domain::VARIANTS, store};
use futures::TryStreamExt;
use jangteo_core::{Call, Result, Time};
use kit::db::Tx;
use std::{sync::Arc, time::Duration};

/// Rows and objects looked at together.
const BATCH: usize = 200;

impl Media {
    /// Forgets uploads that were announced and never came, and deletes old objects that no row names.
    pub async fn sweep(self: Arc<Self>, cx: Call) -> Result<()> {
        let orphan_after = Duration::from_secs(self.config.orphan_after_secs);
        let late = &store::media::expired(self.db.primary(), cx.now - orphan_after, BATCH as u64).await?;
        let write = async |tx: Tx| {
            for row in late {
                if store::media::delete(&tx, &row.media_id).await? {
                    store::object::discard(&tx, std::slice::from_ref(&row.upload_key)).await?;
                }
            }
            Ok(())
        };
        if !late.is_empty() {
            self.db.write(&cx, write).await?;
        }
        let orphans = self.orphans(cx.now - orphan_after).await?;
        for key in &orphans {
            self.objects.delete(key).await?;
        }
        let unfinished = self.objects.sweep_unfinished((cx.now - orphan_after).into()).await?;
        if !late.is_empty() || !orphans.is_empty() || unfinished > 0 {
            tracing::info!(expired = late.len(), orphans = orphans.len(), unfinished, "swept what was left behind");
        }
        Ok(())
    }

    /// Objects that were there before then and that no row names.
    async fn orphans(&self, before: Time) -> Result<Vec<String>> {
        let old = self.objects.list().try_filter(|o| std::future::ready(o.last_modified < before));
        let mut batches = std::pin::pin!(old.map_ok(|o| o.location.to_string()).try_chunks(BATCH));
        let mut orphans = Vec::new();
        while let Some(keys) = batches.try_next().await.map_err(|e| e.1)? {
            let conn = self.db.primary();
            let mut named = store::object::naming(conn, &keys).await?;
            named.extend(store::content::naming(conn, &keys).await?);
            named.extend(store::object::waiting(conn, &keys).await?);
            orphans.extend(keys.into_iter().filter(|key| !named.contains(key)));
        }
        Ok(orphans)
    }

    /// Every READY content has all its objects, of the right length; it is counted as often as it is used; and no old
    /// object is without a row.
    pub async fn check_objects(self: Arc<Self>, cx: Call) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut references = store::media::references(self.db.primary()).await?;
        let mut last = String::new();
        loop {
            let contents = store::content::after(self.db.primary(), &last, BATCH as u64).await?;
            let Some(end) = contents.last() else { break };
            last.clone_from(&end.content_hash);
            for content in contents {
                let used = references.remove(&content.content_hash).unwrap_or(0);
                if used != content.refs {
                    wrong
                        .push(format!("content {} counts {} media and has {used}", content.content_hash, content.refs));
                }
                self.check_content(&content, &mut wrong).await?;
            }
        }
        wrong.extend(references.keys().map(|hash| format!("media are of content {hash}, which isn't there")));
        let before = cx.now - Duration::from_secs(2 * self.config.orphan_after_secs);
        let orphans = self.orphans(before).await?;
        wrong.extend(orphans.iter().map(|key| format!("no row names the object {key}")));
        Ok(wrong)
    }

    async fn check_content(&self, content: &store::content::Model, wrong: &mut Vec<String>) -> Result<()> {
        let hash = &content.content_hash;
        if !content.ready {
            if self.objects.size(&content.upload_key).await?.is_none() {
                wrong.push(format!("the upload of content {hash} is gone"));
            }
            return Ok(());
        }
        let objects = store::object::all(self.db.primary(), std::slice::from_ref(hash)).await?;
        if objects.len() != VARIANTS.len() * 2 {
            wrong.push(format!("content {hash} has {} objects", objects.len()));
        }
        for object in objects {
            let size = self.objects.size(&object.object_key).await?;
            if size != u64::try_from(object.byte_size).ok() {
                wrong.push(format!("the object {} has {size:?} bytes, not {}", object.object_key, object.byte_size));
            }
        }
        Ok(())
    }
}
