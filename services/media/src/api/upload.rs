//! Uploads: a stream of bytes, raw or out of a form, checked while it flows into a temporary object, and then made known in
//! one transaction. Variants are made of it later.

use super::fresh;
use crate::{
    Media,
    domain::{Fault, hex, picture, sniff},
    store,
};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use jangteo_core::{Call, Error, Result, micros};
use kit::{crash_point, db::Tx};
use proto::{
    Streaming,
    jangteo::media::v1::{self as wire, MediaStatus},
};
use ring::digest;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

const MAX_KEY: usize = 128;

/// A picture that lies in the object store and that no row names yet.
#[derive(Clone)]
struct Received {
    key: String,
    /// Its generation, if its content is new.
    generation: String,
    content_hash: String,
    digest: [u8; 32],
    size: u64,
    kind: sniff::Kind,
}

pub(super) fn fresh_key() -> String {
    format!("uploads/{}", Uuid::now_v7().simple())
}

impl Media {
    pub(super) async fn upload(&self, cx: Call, mut req: Streaming<wire::UploadMediaRequest>) -> Result<wire::Media> {
        cx.user_id()?;
        let first = req.next().await.transpose()?.ok_or(Fault::EmptyUpload)?;
        let cx = keyed(cx, &first.request_id)?;
        let file = first.file.unwrap_or_default();
        let rest = req.map_ok(|piece| Bytes::from(piece.file.unwrap_or_default().data));
        let body = stream::iter([Ok(Bytes::from(file.data))]).chain(rest);
        let received = match multer::parse_boundary(&file.content_type) {
            Ok(boundary) => self.receive_form(body, boundary).await?,
            Err(_) => self.receive(body).await?,
        };
        crash_point!("media.upload.after_object");
        let row = fresh(cx.user_id()?, &cx, MediaStatus::Processing);
        let media = self.keep(cx, &received, row, true).await?;
        crash_point!("media.upload.after_commit");
        Ok(media)
    }

    /// What lies where the address pointed that was given out may still change; what is kept is a copy that can't.
    pub(super) async fn complete(&self, cx: Call, row: store::media::Model) -> Result<wire::Media> {
        let limit = self.config.max_bytes;
        match self.objects.size(&row.upload_key).await? {
            None => return Err(Fault::NotUploaded { media_id: row.media_id }.into()),
            Some(size) if size > limit => return Err(Fault::PayloadTooLarge { limit }.into()),
            Some(_) => {}
        }
        let Some(bytes) = self.objects.stream(&row.upload_key).await? else {
            return Err(Fault::NotUploaded { media_id: row.media_id }.into());
        };
        let received = self.receive(bytes).await?;
        crash_point!("media.upload.after_object");
        let media = self.keep(cx, &received, row, false).await?;
        crash_point!("media.upload.after_commit");
        Ok(media)
    }

    /// The one file of a form. Its name and what it calls itself don't matter.
    async fn receive_form(
        &self,
        body: impl Stream<Item = Result<Bytes>> + Send + 'static,
        boundary: String,
    ) -> Result<Received> {
        let mut form = multer::Multipart::new(body, boundary);
        let mut received = None;
        while let Some(field) = form.next_field().await.map_err(broken)? {
            if field.file_name().is_none() {
                continue;
            }
            if received.is_some() {
                return Err(Fault::OneFileOnly.into());
            }
            received = Some(self.receive(field.map_err(broken)).await?);
        }
        received.ok_or_else(|| Fault::EmptyUpload.into())
    }

    async fn receive(&self, body: impl Stream<Item = Result<Bytes>> + Send) -> Result<Received> {
        let key = fresh_key();
        let mut sink = self.objects.create(&key);
        let mut body = std::pin::pin!(body);
        let mut seen = Seen::new(self.config.max_bytes, self.config.max_pixels);
        let flowed = async {
            while let Some(piece) = body.next().await.transpose()? {
                seen.see(&piece)?;
                sink.write(&piece).await?;
            }
            seen.end()
        };
        let (kind, size, hash) = match flowed.await {
            Ok(seen) => seen,
            Err(e) => {
                sink.abort().await;
                return Err(e);
            }
        };
        sink.finish().await?;
        let generation = Uuid::now_v7().simple().to_string();
        Ok(Received { key, generation, content_hash: hex(&hash), digest: hash, size, kind })
    }

    /// Makes it known. Content that is there already is not kept twice.
    async fn keep(&self, cx: Call, received: &Received, row: store::media::Model, new: bool) -> Result<wire::Media> {
        let cx = Call { fingerprint: received.digest, ..cx };
        let (ran, row) = (&AtomicBool::new(false), &row);
        let write = async |tx: Tx| {
            ran.store(true, Ordering::Relaxed);
            let row = match new {
                true => row.clone(),
                // Whoever else completed it meanwhile was faster.
                false => store::media::find(&tx, &row.media_id).await?,
            };
            if !new && row.status() != MediaStatus::AwaitingUpload {
                store::object::discard(&tx, std::slice::from_ref(&received.key)).await?;
                return store::media::tell(&tx, row).await;
            }
            record(&tx, received, row, new).await
        };
        let media = self.db.write(&cx, write).await?;
        if !ran.load(Ordering::Relaxed) {
            // A repeated request: the first one's picture counts.
            self.objects.delete(&received.key).await?;
        }
        self.wake.notify_one();
        Ok(media)
    }
}

async fn record(tx: &Tx, received: &Received, row: store::media::Model, new: bool) -> Result<wire::Media> {
    let content = store::content::Model {
        content_hash: received.content_hash.clone(),
        generation: received.generation.clone(),
        ready: false,
        upload_key: received.key.clone(),
        width: 0,
        height: 0,
        perceptual_hash: String::new(),
        refs: 1,
        attempts: 0,
        lease_until: 0,
        create_time: micros(tx.now()),
    };
    let content = store::content::refer(tx, content).await?;
    let mut garbage = vec![row.upload_key.clone()];
    if content.generation != received.generation {
        garbage.push(received.key.clone());
    }
    garbage.retain(|key| !key.is_empty());
    store::object::discard(tx, &garbage).await?;
    let status = if content.ready { MediaStatus::Ready } else { MediaStatus::Processing };
    let row = store::media::Model {
        status: status as i64,
        content_hash: received.content_hash.clone(),
        content_type: received.kind.content_type().to_owned(),
        byte_size: i64::try_from(received.size).map_err(Error::internal)?,
        upload_key: String::new(),
        expire_time: 0,
        ..row
    };
    match new {
        true => store::media::insert(tx, row.clone()).await?,
        false => store::media::update(tx, row.clone()).await?,
    }
    let event = wire::MediaUploaded {
        media_id: row.media_id.clone(),
        owner_id: row.owner_id.clone(),
        content_type: row.content_type.clone(),
        byte_size: row.byte_size,
        create_time: Some(proto::timestamp(tx.now())),
    };
    tx.emit(&event).await?;
    if content.ready {
        tx.emit(&crate::events::ready(&row, &content)).await?;
    }
    store::media::tell(tx, row).await
}

/// What is known of the bytes so far.
struct Seen {
    max_bytes: u64,
    max_pixels: u64,
    head: Vec<u8>,
    kind: Option<sniff::Kind>,
    measured: bool,
    size: u64,
    digest: digest::Context,
}

impl Seen {
    fn new(max_bytes: u64, max_pixels: u64) -> Self {
        let digest = digest::Context::new(&digest::SHA256);
        Seen { max_bytes, max_pixels, head: Vec::new(), kind: None, measured: false, size: 0, digest }
    }

    /// Refuses as soon as it can be known.
    fn see(&mut self, piece: &[u8]) -> Result<()> {
        self.size += piece.len() as u64;
        if self.size > self.max_bytes {
            return Err(Fault::PayloadTooLarge { limit: self.max_bytes }.into());
        }
        self.digest.update(piece);
        if self.measured || self.head.len() == sniff::HEAD {
            return Ok(());
        }
        let room = sniff::HEAD - self.head.len();
        self.head.extend_from_slice(&piece[..piece.len().min(room)]);
        if self.head.len() >= sniff::MAGIC { self.judge() } else { Ok(()) }
    }

    fn judge(&mut self) -> Result<()> {
        let kind = sniff::kind(&self.head).ok_or(Fault::UnsupportedMediaType)?;
        self.kind = Some(kind);
        // Not there yet: it comes later, or the worker finds it, before it decodes anything.
        let Some((width, height)) = sniff::dimensions(kind, &self.head) else { return Ok(()) };
        self.measured = true;
        match picture::fits(width, height, self.max_pixels) {
            true => Ok(()),
            false => Err(Fault::TooManyPixels { width, height, limit: self.max_pixels }.into()),
        }
    }

    fn end(self) -> Result<(sniff::Kind, u64, [u8; 32])> {
        let kind = match (self.kind, self.size) {
            (Some(kind), _) => kind,
            (None, 0) => return Err(Fault::EmptyUpload.into()),
            (None, _) => return Err(Fault::UnsupportedMediaType.into()),
        };
        let hash = self.digest.finish();
        Ok((kind, self.size, hash.as_ref().try_into().map_err(Error::internal)?))
    }
}

/// The key of a streamed request, which is bound to the picture's bytes.
fn keyed(cx: Call, key: &str) -> Result<Call> {
    if key.len() > MAX_KEY || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::invalid("request_id", "INVALID_KEY", "must be 1 to 128 printable ASCII characters"));
    }
    Ok(Call { request_id: Some(key.to_owned()).filter(|k| !k.is_empty()), ..cx })
}

/// A form that can't be read; what went wrong beneath it, on the way from the client, is told as itself.
fn broken(e: multer::Error) -> Error {
    match e {
        multer::Error::StreamReadFailed(source) => match source.downcast::<Error>() {
            Ok(e) => *e,
            Err(source) => Error::internal(source),
        },
        e => Fault::BrokenForm { why: e.to_string() }.into(),
    }
}
