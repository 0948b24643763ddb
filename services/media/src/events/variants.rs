//! From what was uploaded to what is shown. A picture is taken on by a lease, decoded away from the threads that serve
//! others, written, and made known in one transaction; whoever lost the lease meanwhile makes nothing known.

use super::ready;
use crate::{
    Media,
    domain::{hex, object_key, picture},
    store::{self, content::Claim},
};
use bytes::Bytes;
use futures::future::join_all;
use jangteo_core::{Call, Error, Result};
use kit::{crash_point, db::Tx};
use picture::{Made, Refusal};
use proto::jangteo::media::v1::{self as wire, MediaStatus, RejectReason};
use ring::digest;
use std::time::Duration;

/// A picture on which so many workers died is given up.
const MAX_ATTEMPTS: i64 = 5;
/// How long one waits that failed.
const PAUSE: Duration = Duration::from_secs(5);

impl Media {
    /// Takes on as many pictures as there are decoders, and makes their variants; how many there were.
    pub(super) async fn make_variants(&self, cx: &Call) -> Result<usize> {
        if !store::content::is_idle(self.db.primary(), cx.now).await? {
            return Ok(0);
        }
        let until = cx.now + Duration::from_secs(self.config.lease_secs);
        let limit = self.config.decoders.max(1) as u64;
        let claims = self.db.write(cx, async |tx: Tx| store::content::claim(&tx, until, limit).await).await?.claims;
        let outcomes = join_all(claims.iter().map(|claim| self.make(cx, claim))).await;
        for outcome in outcomes {
            outcome?;
        }
        Ok(claims.len())
    }

    async fn make(&self, cx: &Call, claim: &Claim) -> Result<()> {
        if claim.attempt > MAX_ATTEMPTS {
            return self.reject(cx, claim, RejectReason::ProcessingFailed).await;
        }
        match self.try_make(cx, claim).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => self.reject(cx, claim, reason).await,
            Err(error) => {
                // A store that is away is not the picture's fault; a decoder that panics is.
                let to_blame = error.code() == jangteo_core::Code::Internal;
                tracing::warn!(content_hash = claim.content_hash, attempt = claim.attempt, error = ?error, "no variants yet");
                let until = cx.now + PAUSE;
                let write = async |tx: Tx| store::content::put_back(&tx, claim, until, to_blame).await;
                self.db.write(cx, write).await
            }
        }
    }

    async fn try_make(&self, cx: &Call, claim: &Claim) -> Result<Result<(), RejectReason>> {
        let Some(bytes) = self.objects.read(&claim.upload_key, None).await? else {
            return Ok(Err(RejectReason::UploadLost));
        };
        if hex(digest::digest(&digest::SHA256, &bytes).as_ref()) != claim.content_hash {
            return Ok(Err(RejectReason::UploadLost));
        }
        let made = match self.decoded(bytes).await? {
            Ok(made) => made,
            Err(Refusal::Unreadable) => return Ok(Err(RejectReason::Unreadable)),
            Err(Refusal::TooManyPixels) => return Ok(Err(RejectReason::TooManyPixels)),
        };
        let mut objects = Vec::with_capacity(made.files.len());
        for file in &made.files {
            let object = object(claim, file);
            self.objects.put(&object.object_key, Bytes::copy_from_slice(&file.bytes)).await?;
            objects.push(object);
        }
        crash_point!("media.variants.after_objects");
        self.show(cx, claim, &made, &objects).await?;
        crash_point!("media.variants.after_commit");
        Ok(Ok(()))
    }

    async fn decoded(&self, bytes: Bytes) -> Result<Result<Made, Refusal>> {
        let max_pixels = self.config.max_pixels;
        let permit = self.decoders.clone().acquire_owned().await.map_err(Error::internal)?;
        let work = tokio::task::spawn_blocking(move || {
            let made = picture::make(&bytes, max_pixels);
            drop(permit);
            made
        });
        work.await.map_err(Error::internal)
    }

    /// All media of the content become READY with it.
    async fn show(&self, cx: &Call, claim: &Claim, made: &Made, objects: &[store::object::Model]) -> Result<()> {
        let perceptual_hash = &format!("{:016x}", made.perceptual_hash);
        let write = async |tx: Tx| {
            if !store::content::complete(&tx, claim, made.width, made.height, perceptual_hash).await? {
                // Deleted meanwhile, or made by somebody else: then these objects are theirs. Else the sweeper finds them.
                return Ok(());
            }
            store::object::insert(&tx, objects.to_vec()).await?;
            store::object::discard(&tx, std::slice::from_ref(&claim.upload_key)).await?;
            let Some(content) = store::content::find(&tx, &claim.content_hash).await? else { return Ok(()) };
            for row in store::media::waiting(&tx, &claim.content_hash).await? {
                let row = store::media::Model { status: MediaStatus::Ready as i64, ..row };
                tx.emit(&ready(&row, &content)).await?;
                store::media::update(&tx, row).await?;
            }
            Ok(())
        };
        self.db.write(cx, write).await
    }

    /// All media of the content are rejected with it, and the content goes: the same bytes may be tried again.
    async fn reject(&self, cx: &Call, claim: &Claim, reason: RejectReason) -> Result<()> {
        let write = async |tx: Tx| {
            if !store::content::is_held(&tx, claim).await? {
                return Ok(());
            }
            for row in store::media::waiting(&tx, &claim.content_hash).await? {
                let (media_id, owner_id) = (row.media_id.clone(), row.owner_id.clone());
                tx.emit(&wire::MediaRejected { media_id, owner_id, reason: reason as i32 }).await?;
                let rejected = store::media::Model {
                    status: MediaStatus::Rejected as i64,
                    reject_reason: reason as i64,
                    content_hash: String::new(),
                    ..row
                };
                store::media::update(&tx, rejected).await?;
            }
            store::content::remove(&tx, &claim.content_hash).await
        };
        self.db.write(cx, write).await
    }
}

fn object(claim: &Claim, file: &picture::File) -> store::object::Model {
    let digest = digest::digest(&digest::SHA256, &file.bytes);
    store::object::Model {
        object_key: object_key(&claim.content_hash, &claim.generation, file.variant, file.content_type),
        content_hash: claim.content_hash.clone(),
        variant: file.variant.to_owned(),
        content_type: file.content_type.to_owned(),
        width: file.width.into(),
        height: file.height.into(),
        byte_size: file.bytes.len() as i64,
        etag: format!("\"{}\"", hex(&digest.as_ref()[..16])),
    }
}
