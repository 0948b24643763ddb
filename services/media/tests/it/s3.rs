//! Pictures in a bucket: a small S3 that knows what the object store asks of it.

use crate::support::{OTHER, OWNER, World, encoded, later, picture, png};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, Response, StatusCode, header},
};
use image::ImageFormat;
use media::S3Config;
use proto::jangteo::media::v1::{self as wire, MediaStatus, media_service::Api};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use testbed::{Kind, at, by, system};
use tokio::{net::TcpListener, task::JoinSet};

#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Bytes>>,
    parts: Mutex<BTreeMap<(String, u32), Bytes>>,
    most_parts: AtomicUsize,
    away: AtomicBool,
    _tasks: Mutex<JoinSet<()>>,
}

async fn bucket() -> (Arc<Bucket>, String) {
    let bucket = Arc::new(Bucket::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(bucket.clone());
    bucket._tasks.lock().unwrap().spawn(async move { axum::serve(listener, app).await.unwrap() });
    (bucket, url)
}

fn told(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).body(body.into()).unwrap()
}

async fn answer(State(bucket): State<Arc<Bucket>>, request: Request) -> Response<Body> {
    if bucket.away.load(Ordering::SeqCst) {
        return told(StatusCode::SERVICE_UNAVAILABLE, "away");
    }
    let (parts, body) = request.into_parts();
    let query: BTreeMap<String, String> = parts
        .uri
        .query()
        .unwrap_or("")
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (k.to_owned(), v.replace("%2F", "/")))
        .collect();
    let signed = query.contains_key("X-Amz-Signature") || parts.headers.contains_key(header::AUTHORIZATION);
    if !signed {
        return told(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>");
    }
    let key = parts.uri.path().strip_prefix("/pictures").unwrap().trim_start_matches('/').to_owned();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    match parts.method {
        Method::GET if key.is_empty() => bucket.list(&query["prefix"]),
        Method::GET | Method::HEAD => bucket.get(&key, parts.headers.get(header::RANGE).map(|r| r.to_str().unwrap())),
        Method::PUT => bucket.put(key, &query, body),
        Method::POST => bucket.post(key, &query, &body),
        Method::DELETE => {
            bucket.objects.lock().unwrap().remove(&key);
            bucket.parts.lock().unwrap().retain(|(k, _), _| *k != key);
            told(StatusCode::NO_CONTENT, "")
        }
        _ => told(StatusCode::METHOD_NOT_ALLOWED, ""),
    }
}

impl Bucket {
    fn list(&self, prefix: &str) -> Response<Body> {
        let objects = self.objects.lock().unwrap();
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, bytes)| {
            let size = bytes.len();
            format!("<Contents><Key>{key}</Key><LastModified>2025-10-09T08:53:20.000Z</LastModified><ETag>\"x\"</ETag><Size>{size}</Size></Contents>")
        });
        let found: String = found.collect();
        told(StatusCode::OK, format!("<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"))
    }

    fn get(&self, key: &str, range: Option<&str>) -> Response<Body> {
        let Some(bytes) = self.objects.lock().unwrap().get(key).cloned() else {
            return told(StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>");
        };
        let answer =
            Response::builder().header("etag", "\"x\"").header("last-modified", "Thu, 09 Oct 2025 08:53:20 GMT");
        let Some((from, to)) = range.and_then(|r| r.strip_prefix("bytes=")?.split_once('-')) else {
            return answer.body(Body::from(bytes)).unwrap();
        };
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        let range = format!("bytes {from}-{to}/{}", bytes.len());
        answer.status(206).header("content-range", range).body(Body::from(bytes.slice(from..=to))).unwrap()
    }

    fn put(&self, key: String, query: &BTreeMap<String, String>, body: Bytes) -> Response<Body> {
        match query.get("partNumber") {
            Some(part) => {
                self.parts.lock().unwrap().insert((key, part.parse().unwrap()), body);
            }
            None => {
                self.objects.lock().unwrap().insert(key, body);
            }
        }
        Response::builder().header("etag", "\"x\"").body(Body::empty()).unwrap()
    }

    fn post(&self, key: String, query: &BTreeMap<String, String>, body: &Bytes) -> Response<Body> {
        if query.contains_key("uploads") {
            let text = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>";
            return told(StatusCode::OK, text);
        }
        if query.contains_key("uploadId") {
            let mut parts = self.parts.lock().unwrap();
            let whole: Vec<u8> = parts.iter().filter(|((k, _), _)| *k == key).flat_map(|(_, b)| b.to_vec()).collect();
            self.most_parts.fetch_max(parts.len(), Ordering::SeqCst);
            parts.retain(|(k, _), _| *k != key);
            self.objects.lock().unwrap().insert(key, whole.into());
            let text = "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>";
            return told(StatusCode::OK, text);
        }
        let text = String::from_utf8(body.to_vec()).unwrap();
        for key in text.split("<Key>").skip(1) {
            self.objects.lock().unwrap().remove(key.split("</Key>").next().unwrap());
        }
        let deleted = text
            .split("<Object>")
            .skip(1)
            .map(|o| format!("<Deleted>{}</Deleted>", o.split("</Object>").next().unwrap()));
        told(StatusCode::OK, format!("<DeleteResult>{}</DeleteResult>", deleted.collect::<String>()))
    }

    fn keys(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }
}

async fn world(kind: Kind) -> (World, Arc<Bucket>) {
    let (bucket, url) = bucket().await;
    let s3 = S3Config {
        bucket: "pictures".into(),
        region: "ap-northeast-2".into(),
        endpoint: Some(url),
        access_key_id: "AKIATEST".into(),
        secret_access_key: "a-secret".into(),
    };
    assert!(!format!("{s3:?}").contains("a-secret"));
    (World::with(kind, |c| c.s3 = Some(s3)).await, bucket)
}

pub async fn pictures_live_in_a_bucket(kind: Kind) {
    let (w, bucket) = world(kind).await;
    // Large enough to go up in parts.
    let mut noise = picture(1, 1600, 1200).to_rgb8();
    let mut state = 1u32;
    noise.pixels_mut().for_each(|p| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        p.0 = [(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8];
    });
    let large = encoded(&noise.into(), ImageFormat::Png);
    assert!(large.len() > 5 << 20);
    let media = w.ready(&large).await;
    assert_eq!(bucket.keys().len(), 6);
    assert_eq!(bucket.most_parts.load(Ordering::SeqCst), 2);
    assert!(bucket.parts.lock().unwrap().is_empty());
    let (_, _, whole) = w.content(&media.media_id, "full", &[]).await.unwrap();
    let (reply, _, part) = w.content(&media.media_id, "full", &[("range", "bytes=10-19")]).await.unwrap();
    assert_eq!((reply.status, &part[..]), (206, &whole[10..20]));
    assert_eq!(w.check().await, Vec::<String>::new());
    bucket.objects.lock().unwrap().insert("uploads/nobody".into(), Bytes::from_static(b"x"));
    w.media.clone().sweep(later()).await.unwrap();
    assert_eq!(bucket.keys().len(), 6);
    w.delete(by(OWNER), &media.media_id).await.unwrap();
    w.settle().await;
    assert!(bucket.keys().is_empty());
}

async fn presigned(w: &World, key: &str) -> wire::PresignMediaResponse {
    let cx = testbed::keyed(by(OWNER), key, 1);
    w.media.presign_media(cx, wire::PresignMediaRequest { request_id: key.into() }).await.unwrap()
}

async fn complete(w: &World, cx: jangteo_core::Call, media_id: &str) -> jangteo_core::Result<wire::Media> {
    w.media.complete_media(cx, wire::CompleteMediaRequest { media_id: media_id.into() }).await
}

async fn put(url: &str, bytes: Vec<u8>) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.put(url).body(bytes).send().await.unwrap().status().as_u16()
}

pub async fn a_presigned_upload(kind: Kind) {
    let (w, bucket) = world(kind).await;
    let given = presigned(&w, "key-1").await;
    let media = given.media.unwrap();
    assert_eq!(media.status(), MediaStatus::AwaitingUpload);
    let again = presigned(&w, "key-1").await;
    assert_eq!(again.media.unwrap().media_id, media.media_id);
    assert!(w.get(by(OTHER), &media.media_id).await.is_err());
    assert_eq!(complete(&w, by(OWNER), &media.media_id).await.unwrap_err().reason(), "NOT_UPLOADED");
    let plain = given.upload_url.split('?').next().unwrap();
    assert_eq!(put(plain, png(1)).await, 403, "the signature lets in");
    assert_eq!(put(&given.upload_url, b"no picture at all".to_vec()).await, 200);
    assert_eq!(complete(&w, by(OWNER), &media.media_id).await.unwrap_err().reason(), "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(put(&given.upload_url, vec![0; (20 << 20) + 1]).await, 200);
    assert_eq!(complete(&w, by(OWNER), &media.media_id).await.unwrap_err().reason(), "PAYLOAD_TOO_LARGE");
    assert_eq!(put(&given.upload_url, png(1)).await, 200);
    assert_eq!(complete(&w, by(OTHER), &media.media_id).await.unwrap_err().reason(), "MEDIA_NOT_FOUND");
    let done = complete(&w, by(OWNER), &media.media_id).await.unwrap();
    assert_eq!((done.status(), done.byte_size), (MediaStatus::Processing, png(1).len() as i64));
    // The address still works, and what lies there now is nobody's: what was completed is what is shown.
    assert_eq!(put(&given.upload_url, png(2)).await, 200);
    w.settle().await;
    let shown = complete(&w, by(OWNER), &media.media_id).await.unwrap();
    assert_eq!(shown.status(), MediaStatus::Ready, "completing again changes nothing");
    let same = w.upload(by(OWNER), &png(1)).await.unwrap();
    assert_eq!(same.status(), MediaStatus::Ready);
    w.settle().await;
    assert_eq!(w.events(&media.media_id).await, ["MediaUploaded", "MediaReady"]);
    // Announced and never uploaded.
    let idle = presigned(&w, "key-2").await.media.unwrap();
    let late = at(by(OWNER), system("media").now + std::time::Duration::from_secs(901));
    assert_eq!(complete(&w, late, &idle.media_id).await.unwrap_err().reason(), "UPLOAD_EXPIRED");
    w.media.clone().sweep(later()).await.unwrap();
    assert_eq!(w.get(by(OWNER), &idle.media_id).await.unwrap_err().reason(), "MEDIA_NOT_FOUND");
    w.settle().await;
    assert_eq!(bucket.keys().len(), 6);
    // A folder has no addresses.
    let folder = World::new(kind).await;
    let refused = folder.media.presign_media(by(OWNER), wire::PresignMediaRequest::default()).await;
    assert_eq!(refused.unwrap_err().reason(), "PRESIGN_UNAVAILABLE");
}

pub async fn a_bucket_that_is_away_is_not_the_pictures_fault(kind: Kind) {
    let (w, bucket) = world(kind).await;
    let id = w.upload(by(OWNER), &png(1)).await.unwrap().media_id;
    bucket.away.store(true, Ordering::SeqCst);
    let refused = w.upload(by(OWNER), &png(2)).await.unwrap_err();
    assert_eq!((refused.reason(), refused.metadata()["dependency"].as_str()), ("UNAVAILABLE", "object store"));
    let start = system("media").now;
    for n in 0..2 {
        w.media.round(&at(system("media"), start + std::time::Duration::from_secs(n * 100))).await.unwrap();
    }
    assert_eq!(w.get(by(OWNER), &id).await.unwrap().status(), MediaStatus::Processing);
    bucket.away.store(false, Ordering::SeqCst);
    w.media.round(&at(system("media"), start + std::time::Duration::from_secs(700))).await.unwrap();
    assert_eq!(w.get(by(OWNER), &id).await.unwrap().status(), MediaStatus::Ready);
    let claimed = media::store::content::after(w.db().primary(), "", 10).await.unwrap();
    assert_eq!(claimed[0].attempts, 1, "the failures don't count");
}
