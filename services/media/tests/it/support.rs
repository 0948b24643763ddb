//! A media service of its own for each test, and pictures to feed it.

use bytes::Bytes;
use futures::{StreamExt, stream};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use jangteo_core::{Call, Result, SystemClock};
use kit::db::Db;
use media::{Config, MIGRATIONS, Media, objects::Objects};
use proto::{
    google::api::HttpBody,
    jangteo::{
        media::v1::{self as wire, media_service::Api},
        options::v1::HttpReply,
    },
};
use std::{collections::BTreeMap, io::Cursor, sync::Arc};
use testbed::{Kind, Stores, by, system};

pub const OWNER: &str = "usr_00000000000000000000000000000001";
pub const OTHER: &str = "usr_00000000000000000000000000000002";

pub struct World {
    pub media: Arc<Media>,
    pub objects: Objects,
    pub stores: Stores,
}

impl World {
    pub async fn new(kind: Kind) -> World {
        Self::with(kind, |_| {}).await
    }

    /// On a folder, unless the configuration says otherwise.
    pub async fn with(kind: Kind, change: impl FnOnce(&mut Config)) -> World {
        let stores = Stores::open(kind, "media", MIGRATIONS).await;
        let mut config = Config::default();
        change(&mut config);
        let open = || Objects::open(&config, Some(stores.folder())).unwrap();
        let media = Media::new(stores.db(), open(), stores.pages(), Arc::new(SystemClock), config.clone());
        World { media: Arc::new(media), objects: open(), stores }
    }

    pub fn db(&self) -> Db {
        self.stores.db()
    }

    pub async fn upload(&self, cx: Call, bytes: &[u8]) -> Result<wire::Media> {
        self.send(cx, "image/png", pieces(bytes, 40_000).map(Ok).collect()).await
    }

    pub async fn send(&self, cx: Call, content_type: &str, pieces: Vec<Result<Bytes>>) -> Result<wire::Media> {
        self.send_keyed(cx, content_type, "", pieces).await
    }

    /// As the edge sends it: what the head says first, then the data.
    pub async fn send_keyed(
        &self,
        cx: Call,
        content_type: &str,
        key: &str,
        pieces: Vec<Result<Bytes>>,
    ) -> Result<wire::Media> {
        let file = |content_type: &str, data: Vec<u8>| {
            Some(HttpBody { content_type: content_type.to_owned(), data, extensions: vec![] })
        };
        let head = wire::UploadMediaRequest { file: file(content_type, vec![]), request_id: key.to_owned() };
        let rest = pieces.into_iter().map(move |piece| {
            piece.map(|data| wire::UploadMediaRequest { file: file("", data.into()), request_id: String::new() })
        });
        let all = stream::iter([Ok(head)]).chain(stream::iter(rest.collect::<Vec<_>>()));
        let reply = self.media.upload_media(cx, Box::pin(all)).await?;
        let (media, http) = (reply.media.unwrap(), reply.http.unwrap());
        assert_eq!((http.status, &http.headers["location"]), (201, &format!("/v1/media/{}", media.media_id)));
        Ok(media)
    }

    /// All variants are made and all garbage is gone.
    pub async fn settle(&self) {
        while self.media.round(&system("media")).await.unwrap() > 0 {}
    }

    pub async fn get(&self, cx: Call, media_id: &str) -> Result<wire::Media> {
        self.media.get_media(cx, wire::GetMediaRequest { media_id: media_id.into() }).await
    }

    /// Uploaded and READY.
    pub async fn ready(&self, bytes: &[u8]) -> wire::Media {
        let media = self.upload(by(OWNER), bytes).await.unwrap();
        self.settle().await;
        let media = self.get(by(OWNER), &media.media_id).await.unwrap();
        assert_eq!(media.status(), wire::MediaStatus::Ready, "{media:?}");
        media
    }

    /// A variant as it is answered: what it says as HTTP, its type, its bytes.
    pub async fn content(
        &self,
        media_id: &str,
        variant: &str,
        headers: &[(&str, &str)],
    ) -> Result<(HttpReply, String, Vec<u8>)> {
        let mut cx = testbed::anonymous();
        cx.headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        let req = wire::GetMediaContentRequest { media_id: media_id.into(), variant: variant.into() };
        let mut stream = self.media.get_media_content(cx, req).await?;
        let first = stream.next().await.unwrap()?;
        let reply = prost::Message::decode(first.extensions[0].value.as_slice()).unwrap();
        let mut data = first.data;
        while let Some(piece) = stream.next().await {
            data.extend(piece?.data);
        }
        Ok((reply, first.content_type, data))
    }

    pub async fn delete(&self, cx: Call, media_id: &str) -> Result<()> {
        self.media.delete_media(cx, wire::DeleteMediaRequest { media_id: media_id.into(), ..Default::default() }).await
    }

    /// The names of all objects.
    pub async fn keys(&self) -> Vec<String> {
        let found: Vec<_> = self.objects.list().map(|o| o.unwrap().location.to_string()).collect().await;
        found
    }

    pub async fn check(&self) -> Vec<String> {
        self.media.clone().check_objects(later()).await.unwrap()
    }

    /// The names of a medium's events.
    pub async fn events(&self, media_id: &str) -> Vec<String> {
        let history = self.db().history("media", media_id, 0, 100).await.unwrap();
        history.into_iter().map(|e| e.r#type.rsplit('.').next().unwrap().to_owned()).collect()
    }
}

/// A call of the service's own, long after everything that the test did.
pub fn later() -> Call {
    use jangteo_core::Clock;
    testbed::at(system("media"), SystemClock.now() + std::time::Duration::from_secs(100_000))
}

pub fn pieces(bytes: &[u8], size: usize) -> impl Iterator<Item = Bytes> + use<'_> {
    bytes.chunks(size).map(Bytes::copy_from_slice)
}

/// No two numbers give the same picture.
pub fn picture(n: u32, width: u32, height: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| {
        let shade = |m: u32, of: u32| (m * 255 / of.max(1)) as u8;
        Rgb([shade(x, width), shade(y, height), (n * 37 + (x / 16 + y / 16) * 8) as u8])
    };
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, pixel))
}

pub fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

pub fn png(n: u32) -> Vec<u8> {
    encoded(&picture(n, 400, 300), ImageFormat::Png)
}
