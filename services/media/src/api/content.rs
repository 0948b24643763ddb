//! A variant's bytes: in the format that the client likes, from where it wants them, unless it has them.

use crate::{
    Media,
    domain::{Fault, serving},
    store,
};
use futures::{StreamExt, stream};
use jangteo_core::{Call, Error, Result};
use prost::{Message, Name};
use prost_types::Any;
use proto::{
    Streaming,
    google::api::HttpBody,
    jangteo::{
        media::v1::{self as wire, MediaStatus},
        options::v1::HttpReply,
    },
};
use std::{collections::BTreeMap, ops::Range, time::Duration};

/// So much is read and sent at a time; most variants are smaller.
const PIECE: u64 = 256 << 10;

impl Media {
    pub(super) async fn content(&self, cx: Call, req: wire::GetMediaContentRequest) -> Result<Streaming<HttpBody>> {
        let object = self.object(&req, cx.headers.get("accept").map(String::as_str)).await?;
        let header = |name: &str| cx.headers.get(name).map(String::as_str);
        let size = u64::try_from(object.byte_size).map_err(Error::internal)?;
        if serving::is_known(header("if-none-match"), &object.etag) {
            let reply = reply(304, &object, []);
            return Ok(Box::pin(stream::iter([Ok(HttpBody { extensions: vec![reply], ..HttpBody::default() })])));
        }
        let part = serving::part(header("range"), header("if-range"), &object.etag, size)?;
        let (status, range) = match part {
            Some(range) => (206, range),
            None => (200, 0..size),
        };
        let mut headers =
            vec![("content-length", (range.end - range.start).to_string()), ("accept-ranges", "bytes".into())];
        if status == 206 {
            headers.push(("content-range", format!("bytes {}-{}/{size}", range.start, range.end - 1)));
        }
        let first = range.start..range.end.min(range.start + PIECE);
        let data = self.piece(&object.object_key, first.clone()).await?;
        let extensions = vec![reply(status, &object, headers)];
        let head = HttpBody { content_type: object.content_type, data, extensions };
        let rest = self.rest(object.object_key, first.end..range.end);
        Ok(Box::pin(stream::iter([Ok(head)]).chain(rest)))
    }

    async fn object(&self, req: &wire::GetMediaContentRequest, accept: Option<&str>) -> Result<store::object::Model> {
        let conn = self.db.primary();
        let media = store::media::find(conn, &req.media_id).await?;
        let absent = || Error::not_found("media", &req.media_id);
        match media.status() {
            MediaStatus::Ready => {
                let format = serving::format(accept);
                let found = store::object::find(conn, &media.content_hash, &req.variant, format).await?;
                found.ok_or_else(absent)
            }
            MediaStatus::Processing => {
                let refused: Error = Fault::MediaNotReady { media_id: media.media_id }.into();
                Err(refused.with_retry_after(Duration::from_secs(1)))
            }
            _ => Err(absent()),
        }
    }

    async fn piece(&self, key: &str, range: Range<u64>) -> Result<Vec<u8>> {
        match self.objects.read(key, Some(range)).await? {
            Some(bytes) => Ok(bytes.into()),
            // Deleted since the row was read, or lost.
            None => Err(Error::not_found("object", key)),
        }
    }

    fn rest(&self, key: String, range: Range<u64>) -> Streaming<HttpBody> {
        let objects = self.objects.clone();
        Box::pin(stream::try_unfold((objects, key, range), |(objects, key, range)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let piece = range.start..range.end.min(range.start + PIECE);
            let bytes = objects.read(&key, Some(piece.clone())).await?;
            let bytes = bytes.ok_or_else(|| Error::not_found("object", &key))?;
            let body = HttpBody { data: bytes.into(), ..HttpBody::default() };
            Ok(Some((body, (objects, key, piece.end..range.end))))
        }))
    }
}

fn reply<'a>(status: i32, object: &store::object::Model, more: impl IntoIterator<Item = (&'a str, String)>) -> Any {
    let mut headers = BTreeMap::from([
        ("etag".to_owned(), object.etag.clone()),
        ("cache-control".to_owned(), serving::CACHE_CONTROL.to_owned()),
        ("vary".to_owned(), "accept".to_owned()),
    ]);
    headers.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let value = HttpReply { status, headers }.encode_to_vec();
    Any { type_url: format!("type.googleapis.com/{}", HttpReply::full_name()), value }
}
