//! Pictures come in: raw and in forms, refused as soon as it can be known.

use crate::support::{OTHER, OWNER, World, encoded, later, picture, pieces, png};
use bytes::Bytes;
use image::ImageFormat;
use jangteo_core::{Code, Error};
use proto::jangteo::media::v1::{self as wire, MediaStatus, media_service::Api};
use testbed::{Kind, anonymous, by, system, with_roles};

pub async fn a_picture_is_processed_and_ready(kind: Kind) {
    let w = World::new(kind).await;
    let bytes = encoded(&picture(1, 2200, 1100), ImageFormat::Jpeg);
    let media = w.upload(by(OWNER), &bytes).await.unwrap();
    assert_eq!((media.status(), media.owner_id.as_str()), (MediaStatus::Processing, OWNER));
    assert_eq!((media.content_type.as_str(), media.byte_size), ("image/jpeg", bytes.len() as i64));
    assert!(media.variants.is_empty());
    let early = w.content(&media.media_id, "card", &[]).await.unwrap_err();
    assert_eq!((early.reason(), early.retry_after().is_some()), ("MEDIA_NOT_READY", true));
    w.settle().await;
    let media = w.get(anonymous(), &media.media_id).await.unwrap();
    assert_eq!((media.status(), media.width, media.height), (MediaStatus::Ready, 2200, 1100));
    let sizes: Vec<_> = media.variants.iter().map(|v| (v.variant.as_str(), v.width, v.height)).collect();
    assert_eq!(sizes, [("thumbnail", 256, 128), ("card", 720, 360), ("full", 2048, 1024)]);
    assert_eq!(media.variants[1].path, format!("/v1/media/{}/card", media.media_id));
    assert!(media.perceptual_hash.is_empty(), "for moderators alone");
    let seen = w.get(with_roles(OTHER, &["user", "moderator"]), &media.media_id).await.unwrap();
    assert_eq!(seen.perceptual_hash.len(), 16);
    assert_eq!(w.events(&media.media_id).await, ["MediaUploaded", "MediaReady"]);
    assert_eq!(w.keys().await.len(), 6, "what was uploaded is gone");
    assert_eq!(w.check().await, Vec::<String>::new());
}

fn form(parts: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (disposition, data) in parts {
        body.extend(format!("--b0undary\r\ncontent-disposition: form-data; {disposition}\r\n\r\n").into_bytes());
        body.extend_from_slice(data);
        body.extend(b"\r\n");
    }
    body.extend(b"--b0undary--\r\n");
    ("multipart/form-data; boundary=b0undary".to_owned(), body)
}

pub async fn a_form_with_one_file(kind: Kind) {
    let w = World::new(kind).await;
    let bytes = png(1);
    let named: &[(&str, &[u8])] =
        &[("name=\"note\"", b"not a file"), ("name=\"file\"; filename=\"../../evil.exe\"", &bytes)];
    let (content_type, body) = form(named);
    for size in [7, 1000, 1 << 20] {
        let sent = pieces(&body, size).map(Ok).collect();
        let media = w.send(by(OWNER), &content_type, sent).await.unwrap();
        assert_eq!((media.content_type.as_str(), media.byte_size), ("image/png", bytes.len() as i64));
    }
    let file = ("name=\"file\"; filename=\"a\"", &bytes[..]);
    for (parts, reason) in [
        (vec![file, file], "ONE_FILE_ONLY"),
        (vec![("name=\"note\"", &b"x"[..])], "EMPTY_UPLOAD"),
        (vec![("name=\"file\"; filename=\"a\"", &b"#!/bin/sh"[..])], "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        let (content_type, body) = form(&parts);
        let e = w.send(by(OWNER), &content_type, vec![Ok(body.into())]).await.unwrap_err();
        assert_eq!(e.reason(), reason);
    }
    let cut = Bytes::copy_from_slice(&body[..body.len() - 30]);
    let e = w.send(by(OWNER), &content_type, vec![Ok(cut)]).await.unwrap_err();
    assert_eq!(e.reason(), "BROKEN_FORM");
    let broke = vec![Ok(Bytes::copy_from_slice(&body[..500])), Err(Error::unavailable("the client"))];
    assert_eq!(w.send(by(OWNER), &content_type, broke).await.unwrap_err().code(), Code::Unavailable);
}

pub async fn what_is_no_picture_is_refused(kind: Kind) {
    let w = World::new(kind).await;
    for bytes in [&b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..], b"hi", b"%PDF-1.7 and so on", &[0; 5000]] {
        let e = w.send(by(OWNER), "image/png", vec![Ok(Bytes::copy_from_slice(bytes))]).await.unwrap_err();
        assert_eq!(e.reason(), "UNSUPPORTED_MEDIA_TYPE");
    }
    assert_eq!(w.send(by(OWNER), "image/png", vec![]).await.unwrap_err().reason(), "EMPTY_UPLOAD");
    assert_eq!(w.upload(anonymous(), &png(1)).await.unwrap_err().code(), Code::Unauthenticated);
    assert!(w.keys().await.is_empty());
}

pub async fn too_large_in_bytes_or_pixels_is_refused_while_it_flows(kind: Kind) {
    let w = World::with(kind, |c| (c.max_bytes, c.max_pixels) = (300_000, 120_000)).await;
    let mut bytes = png(1);
    w.upload(by(OWNER), &bytes).await.unwrap();
    // What comes behind the limit is never asked for.
    bytes.resize(300_001, 0);
    let mut sent: Vec<_> = pieces(&bytes, 50_000).map(Ok).collect();
    sent.push(Err(Error::internal("asked for too much")));
    let e = w.send(by(OWNER), "", sent).await.unwrap_err();
    assert_eq!((e.reason(), e.metadata()["limit"].as_str()), ("PAYLOAD_TOO_LARGE", "300000"));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif] {
        let bytes = encoded(&picture(1, 401, 300), format);
        let sent = vec![Ok(Bytes::copy_from_slice(&bytes[..500])), Err(Error::internal("asked for too much"))];
        let e = w.send(by(OWNER), "", sent).await.unwrap_err();
        assert_eq!((e.reason(), e.metadata()["width"].as_str()), ("TOO_MANY_PIXELS", "401"), "{format:?}");
    }
    assert_eq!(w.keys().await.len(), 1);
}

pub async fn what_breaks_off_leaves_nothing(kind: Kind) {
    let w = World::new(kind).await;
    let long = vec![0; 12 << 20];
    let bytes = [png(1), long].concat();
    let mut sent: Vec<_> = pieces(&bytes, 1 << 20).map(Ok).collect();
    sent.push(Err(Error::unavailable("the client")));
    assert_eq!(w.send(by(OWNER), "", sent).await.unwrap_err().code(), Code::Unavailable);
    assert!(w.keys().await.is_empty());
    let left = walk(w.stores.folder().join("media"));
    assert!(left.is_empty(), "{left:?}");
}

fn walk(folder: std::path::PathBuf) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(path)) } else { files.push(path) }
    }
    files
}

pub async fn a_key_gives_the_same_picture(kind: Kind) {
    let w = World::new(kind).await;
    let send = |bytes: Vec<u8>| w.send_keyed(by(OWNER), "", "key-1", vec![Ok(bytes.into())]);
    let first = send(png(1)).await.unwrap();
    let again = send(png(1)).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(send(png(2)).await.unwrap_err().reason(), "REQUEST_ID_REUSED");
    w.settle().await;
    w.media.clone().sweep(later()).await.unwrap();
    assert_eq!(w.keys().await.len(), 6);
    assert_eq!(w.events(&first.media_id).await.len(), 2);
}

pub async fn what_can_be_attached(kind: Kind) {
    let w = World::new(kind).await;
    let processing = w.upload(by(OWNER), &png(1)).await.unwrap().media_id;
    let broken = w.upload(by(OWNER), &png(2)[..3000]).await.unwrap().media_id;
    let others = w.upload(by(OTHER), &png(3)).await.unwrap().media_id;
    let absent = "med_000000000000000000000000000000ff".to_owned();
    let check = async || {
        let media_ids = vec![processing.clone(), broken.clone(), others.clone(), absent.clone(), "nonsense".into()];
        let req = wire::CheckMediaRequest { owner_id: OWNER.into(), media_ids };
        w.media.check_media(system("catalog"), req).await.unwrap().missing
    };
    assert_eq!(check().await, [others.clone(), absent.clone(), "nonsense".into()]);
    w.settle().await;
    assert_eq!(check().await, [broken.clone(), others.clone(), absent.clone(), "nonsense".into()]);
    w.delete(by(OWNER), &processing).await.unwrap();
    assert_eq!(check().await.len(), 5);
}

pub async fn others_see_what_is_ready(kind: Kind) {
    let w = World::new(kind).await;
    let id = w.upload(by(OWNER), &png(1)).await.unwrap().media_id;
    for cx in [anonymous(), by(OTHER)] {
        assert_eq!(w.get(cx.clone(), &id).await.unwrap_err().reason(), "MEDIA_NOT_FOUND");
        assert_eq!(w.delete(cx, &id).await.unwrap_err().code(), Code::NotFound);
    }
    w.settle().await;
    assert_eq!(w.get(anonymous(), &id).await.unwrap().media_id, id);
    assert_eq!(w.delete(by(OTHER), &id).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(w.delete(anonymous(), &id).await.unwrap_err().code(), Code::Unauthenticated);
    w.delete(with_roles(OTHER, &["user", "admin"]), &id).await.unwrap();
    assert_eq!(w.get(by(OWNER), &id).await.unwrap_err().reason(), "MEDIA_NOT_FOUND");
    assert_eq!(w.delete(by(OWNER), &id).await.unwrap_err().reason(), "MEDIA_NOT_FOUND");
    assert_eq!(w.events(&id).await, ["MediaUploaded", "MediaReady", "MediaDeleted"]);
}

pub async fn lists_come_in_pages(kind: Kind) {
    let w = World::new(kind).await;
    let mut mine = Vec::new();
    for n in 0..5 {
        mine.push(w.upload(by(OWNER), &png(n)).await.unwrap().media_id);
    }
    w.upload(by(OTHER), &png(9)).await.unwrap();
    w.settle().await;
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let req = wire::ListMediaRequest { page_size: 2, page_token: token };
        let page = w.media.list_media(by(OWNER), req).await.unwrap();
        assert!(page.media.iter().all(|m| m.variants.len() == 3));
        seen.extend(page.media.into_iter().map(|m| m.media_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    mine.reverse();
    assert_eq!(seen, mine);
}

pub async fn an_erased_person_s_pictures_go(kind: Kind) {
    let w = World::new(kind).await;
    let own = w.ready(&png(1)).await;
    let shared = w.ready(&png(2)).await;
    let theirs = w.upload(by(OTHER), &png(2)).await.unwrap();
    w.settle().await;
    let before = w.keys().await.len();
    for _ in 0..2 {
        let forget = async |tx: kit::db::Tx| w.media.clone().forget(tx, OWNER.to_owned()).await;
        w.db().write(&testbed::system("media"), forget).await.unwrap();
    }
    w.settle().await;
    for gone in [&own, &shared] {
        assert!(w.get(by(OWNER), &gone.media_id).await.is_err());
        assert_eq!(w.events(&gone.media_id).await.last().unwrap(), "MediaDeleted");
    }
    assert_eq!(w.get(by(OTHER), &theirs.media_id).await.unwrap().status(), wire::MediaStatus::Ready);
    let after = w.keys().await.len();
    assert!(0 < after && after < before, "{before} objects, then {after}");
    assert_eq!(w.check().await, Vec::<String>::new());
}
