//! The RPCs: authorise, load, decide, write, reply.

mod content;
mod upload;

use crate::{
    Media,
    domain::{Fault, MediaId},
    store,
};
use jangteo_core::{Call, Error, Result, micros};
use kit::{crash_point, db::Tx};
use proto::{
    Streaming,
    google::api::HttpBody,
    jangteo::{
        media::v1::{self as wire, MediaStatus, media_service::Api},
        options::v1::HttpReply,
    },
};
use std::{collections::BTreeMap, time::Duration};

impl Api for Media {
    async fn upload_media(
        &self,
        cx: Call,
        req: Streaming<wire::UploadMediaRequest>,
    ) -> Result<wire::UploadMediaResponse> {
        let media = self.upload(cx, req).await?;
        let headers = BTreeMap::from([("location".to_owned(), format!("/v1/media/{}", media.media_id))]);
        Ok(wire::UploadMediaResponse { media: Some(media), http: Some(HttpReply { status: 201, headers }) })
    }

    async fn presign_media(&self, cx: Call, _req: wire::PresignMediaRequest) -> Result<wire::PresignMediaResponse> {
        self.objects.presigns()?;
        let ttl = Duration::from_secs(self.config.presign_secs);
        let row = &store::media::Model {
            upload_key: upload::fresh_key(),
            expire_time: micros(cx.now + ttl),
            ..fresh(cx.user_id()?, &cx, MediaStatus::AwaitingUpload)
        };
        let write = async |tx: Tx| {
            store::media::insert(&tx, row.clone()).await?;
            store::media::tell(&tx, row.clone()).await
        };
        let media = self.db.write(&cx, write).await?;
        // A repeated request gets the address of the first one's medium, signed anew: the answer that is kept holds no secret.
        let row = store::media::find(self.db.primary(), &media.media_id).await?;
        let expire_time = jangteo_core::from_micros(row.expire_time);
        let left = (expire_time - cx.now).to_std().map_err(|_| expired(&row.media_id))?;
        let upload_url = self.objects.presign(&row.upload_key, left).await?;
        Ok(wire::PresignMediaResponse {
            media: Some(media),
            upload_url,
            expire_time: Some(proto::timestamp(expire_time)),
        })
    }

    async fn complete_media(&self, cx: Call, req: wire::CompleteMediaRequest) -> Result<wire::Media> {
        let row = store::media::find(self.db.primary(), &req.media_id).await?;
        self.visible(&cx, &row)?;
        cx.owns(&row.owner_id)?;
        if row.status() != MediaStatus::AwaitingUpload {
            return self.told(&cx, row).await;
        }
        if row.expire_time <= micros(cx.now) {
            return Err(expired(&row.media_id));
        }
        self.complete(cx, row).await
    }

    async fn get_media(&self, cx: Call, req: wire::GetMediaRequest) -> Result<wire::Media> {
        let row = store::media::find(self.db.primary(), &req.media_id).await?;
        self.visible(&cx, &row)?;
        self.told(&cx, row).await
    }

    async fn get_media_content(&self, cx: Call, req: wire::GetMediaContentRequest) -> Result<Streaming<HttpBody>> {
        self.content(cx, req).await
    }

    async fn list_media(&self, cx: Call, req: wire::ListMediaRequest) -> Result<wire::ListMediaResponse> {
        let owner = cx.user_id()?;
        let bound = format!("media {owner}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = store::media::page(&self.db, owner, &page).await?;
        let mut media = store::media::told(self.db.primary(), found.rows).await?;
        media.iter_mut().for_each(|m| for_eyes_of(&cx, m));
        let next_page_token = found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last));
        Ok(wire::ListMediaResponse { media, next_page_token })
    }

    async fn delete_media(&self, cx: Call, req: wire::DeleteMediaRequest) -> Result<()> {
        let id = &req.media_id;
        let write = async |tx: Tx| {
            let row = store::media::find(&tx, id).await?;
            self.visible(tx.call(), &row)?;
            tx.call().owns(&row.owner_id)?;
            remove(&tx, row).await
        };
        self.db.write(&cx, write).await?;
        crash_point!("media.delete.after_commit");
        self.wake.notify_one();
        Ok(())
    }

    async fn check_media(&self, _cx: Call, req: wire::CheckMediaRequest) -> Result<wire::CheckMediaResponse> {
        let found = store::media::attachable(self.db.primary(), &req.owner_id, &req.media_ids).await?;
        let missing = req.media_ids.into_iter().filter(|id| !found.contains(id)).collect();
        Ok(wire::CheckMediaResponse { missing })
    }
}

/// A medium goes; its objects do when nobody else has the same content.
pub(crate) async fn remove(tx: &Tx, row: store::media::Model) -> Result<()> {
    store::media::delete(tx, &row.media_id).await?;
    if !row.content_hash.is_empty() {
        store::content::release(tx, &row.content_hash).await?;
    }
    if !row.upload_key.is_empty() {
        store::object::discard(tx, &[row.upload_key]).await?;
    }
    tx.emit(&wire::MediaDeleted { media_id: row.media_id, owner_id: row.owner_id }).await.map(drop)
}

fn expired(media_id: &str) -> Error {
    Fault::UploadExpired { media_id: media_id.to_owned() }.into()
}

/// A medium to be, of nothing yet.
fn fresh(owner_id: &str, cx: &Call, status: MediaStatus) -> store::media::Model {
    store::media::Model {
        media_id: MediaId::new().to_string(),
        owner_id: owner_id.to_owned(),
        status: status as i64,
        content_hash: String::new(),
        content_type: String::new(),
        byte_size: 0,
        reject_reason: 0,
        upload_key: String::new(),
        expire_time: 0,
        create_time: micros(cx.now),
        update_time: micros(cx.now),
    }
}

fn is_moderator(cx: &Call) -> bool {
    cx.has_role("moderator") || cx.has_role("admin")
}

fn for_eyes_of(cx: &Call, media: &mut wire::Media) {
    if !is_moderator(cx) {
        media.perceptual_hash.clear();
    }
}

impl Media {
    /// What isn't shown exists for its owner and for moderators alone.
    fn visible(&self, cx: &Call, row: &store::media::Model) -> Result<()> {
        if row.status() == MediaStatus::Ready || is_moderator(cx) || cx.user_id().is_ok_and(|u| u == row.owner_id) {
            return Ok(());
        }
        Err(Error::not_found("media", &row.media_id))
    }

    async fn told(&self, cx: &Call, row: store::media::Model) -> Result<wire::Media> {
        let mut media = store::media::tell(self.db.primary(), row).await?;
        for_eyes_of(cx, &mut media);
        Ok(media)
    }
}
