//! The same bytes once; and whatever is cut off goes on or goes away.

use crate::support::{OTHER, OWNER, World, later, png};
use bytes::Bytes;
use futures::future::join_all;
use jangteo_core::from_micros;
use kit::db::{DbResult, Tx, sea_orm::ConnectionTrait};
use media::store::content::{self, Claim};
use proto::jangteo::media::v1::{MediaStatus, RejectReason};
use testbed::{Kind, at, by, system};

pub async fn the_same_bytes_are_kept_once(kind: Kind) {
    let w = World::new(kind).await;
    let first = w.upload(by(OWNER), &png(1)).await.unwrap();
    let second = w.upload(by(OTHER), &png(1)).await.unwrap();
    assert_ne!(first.media_id, second.media_id);
    w.settle().await;
    assert_eq!(w.keys().await.len(), 6);
    // What is ready already is ready at once.
    let third = w.upload(by(OTHER), &png(1)).await.unwrap();
    assert_eq!((third.status(), third.variants.len()), (MediaStatus::Ready, 3));
    assert_eq!(w.events(&third.media_id).await, ["MediaUploaded", "MediaReady"]);
    for id in [&first.media_id, &second.media_id, &third.media_id] {
        assert_eq!(w.get(by(OWNER), id).await.unwrap().status(), MediaStatus::Ready);
    }
    w.settle().await;
    assert_eq!(w.keys().await.len(), 6);
    assert_eq!(w.check().await, Vec::<String>::new());
}

pub async fn the_last_one_takes_the_objects_along(kind: Kind) {
    let w = World::new(kind).await;
    let first = w.ready(&png(1)).await.media_id;
    let second = w.upload(by(OTHER), &png(1)).await.unwrap().media_id;
    w.delete(by(OWNER), &first).await.unwrap();
    w.settle().await;
    assert_eq!(w.keys().await.len(), 6);
    assert!(w.content(&second, "card", &[]).await.is_ok());
    w.delete(by(OTHER), &second).await.unwrap();
    // The crash point: nothing is deleted yet, and the same bytes come again.
    let again = w.upload(by(OWNER), &png(1)).await.unwrap().media_id;
    w.settle().await;
    assert_eq!(w.keys().await.len(), 6, "the new one's own");
    assert!(w.content(&again, "card", &[]).await.is_ok());
    assert_eq!(w.check().await, Vec::<String>::new());
    w.delete(by(OWNER), &again).await.unwrap();
    w.settle().await;
    assert!(w.keys().await.is_empty());
    // Before its variants were made.
    let early = w.upload(by(OWNER), &png(1)).await.unwrap().media_id;
    w.delete(by(OWNER), &early).await.unwrap();
    w.settle().await;
    assert!(w.keys().await.is_empty());
}

pub async fn many_at_once_are_one_content(kind: Kind) {
    let w = World::new(kind).await;
    let bytes = png(1);
    let owners: Vec<String> = (0..16).map(|n| format!("usr_{n:032x}")).collect();
    let ids: Vec<String> = join_all(owners.iter().map(|o| w.upload(by(o), &bytes)))
        .await
        .into_iter()
        .map(|m| m.unwrap().media_id)
        .collect();
    let (a, b) = (system("media"), system("media"));
    let (a, b) = tokio::join!(w.media.round(&a), w.media.round(&b));
    a.unwrap();
    b.unwrap();
    w.settle().await;
    assert_eq!(w.keys().await.len(), 6);
    assert_eq!(w.check().await, Vec::<String>::new());
    // Half of them go while others come.
    let gone = join_all(owners.iter().zip(&ids).take(8).map(|(o, id)| w.delete(by(o), id)));
    let come = join_all((0..4).map(|_| w.upload(by(OTHER), &bytes)));
    let (gone, come) = tokio::join!(gone, come);
    gone.into_iter().for_each(|g| g.unwrap());
    let come: Vec<String> = come.into_iter().map(|m| m.unwrap().media_id).collect();
    assert_eq!(w.check().await, Vec::<String>::new());
    let rest = owners.iter().zip(&ids).skip(8).map(|(o, id)| (o.as_str(), id));
    let rest = rest.chain(come.iter().map(|id| (OTHER, id)));
    join_all(rest.map(|(o, id)| w.delete(by(o), id))).await.into_iter().for_each(|g| g.unwrap());
    w.settle().await;
    assert!(w.keys().await.is_empty());
}

/// Takes on what there is, as a worker that dies at once.
async fn claimed(w: &World) -> Vec<Claim> {
    let cx = system("media");
    let until = cx.now + std::time::Duration::from_secs(60);
    w.db().write(&cx, async |tx: Tx| content::claim(&tx, until, 10).await).await.unwrap().claims
}

pub async fn a_worker_that_died_is_followed_by_another(kind: Kind) {
    let w = World::new(kind).await;
    let id = w.upload(by(OWNER), &png(1)).await.unwrap().media_id;
    let claim = claimed(&w).await.remove(0);
    assert_eq!(w.media.round(&system("media")).await.unwrap(), 0, "somebody has it");
    // media.variants.after_objects: some objects are there, and nobody is told.
    let key = media::domain::object_key(&claim.content_hash, &claim.generation, "card", "image/webp");
    w.objects.put(&key, Bytes::from_static(b"half a picture of a worker that died")).await.unwrap();
    assert_eq!(w.get(by(OWNER), &id).await.unwrap().status(), MediaStatus::Processing);
    let next = at(system("media"), system("media").now + std::time::Duration::from_secs(61));
    assert_eq!(w.media.round(&next).await.unwrap(), 1 + 1);
    assert_eq!(w.get(by(OWNER), &id).await.unwrap().status(), MediaStatus::Ready);
    assert_eq!(w.check().await, Vec::<String>::new());
    assert_eq!(w.events(&id).await, ["MediaUploaded", "MediaReady"]);
}

pub async fn who_lost_the_lease_makes_nothing_known(kind: Kind) {
    let w = World::new(kind).await;
    let id = w.upload(by(OWNER), &png(1)).await.unwrap().media_id;
    let stale = claimed(&w).await.remove(0);
    let next = at(system("media"), system("media").now + std::time::Duration::from_secs(61));
    w.media.round(&next).await.unwrap();
    let cx = system("media");
    let late = async |tx: Tx| {
        assert!(!content::is_held(&tx, &stale).await?);
        assert!(!content::complete(&tx, &stale, 1, 1, "x").await?);
        content::put_back(&tx, &stale, from_micros(0), true).await
    };
    w.db().write(&cx, late).await.unwrap();
    assert_eq!(w.get(by(OWNER), &id).await.unwrap().width, 400);
    assert_eq!(w.check().await, Vec::<String>::new());
}

pub async fn a_picture_that_kills_workers_is_given_up(kind: Kind) {
    let w = World::new(kind).await;
    let id = w.upload(by(OWNER), &png(1)).await.unwrap().media_id;
    for n in 1..=5 {
        let claim = claimed(&w).await.remove(0);
        assert_eq!(claim.attempt, n);
        let cx = system("media");
        w.db().write(&cx, async |tx: Tx| content::put_back(&tx, &claim, from_micros(0), true).await).await.unwrap();
    }
    w.settle().await;
    let media = w.get(by(OWNER), &id).await.unwrap();
    assert_eq!((media.status(), media.reject_reason()), (MediaStatus::Rejected, RejectReason::ProcessingFailed));
    // The same bytes may be tried again.
    w.ready(&png(1)).await;
}

pub async fn what_a_crash_leaves_behind_is_swept(kind: Kind) {
    let w = World::new(kind).await;
    let id = w.ready(&png(1)).await.media_id;
    w.upload(by(OWNER), &png(2)).await.unwrap();
    // media.upload.after_object, and variants of a content that was deleted meanwhile.
    for key in ["uploads/0199", "media/ab/abcd-1-card.webp"] {
        w.objects.put(key, Bytes::from_static(b"nobody's")).await.unwrap();
    }
    let staged = w.stores.folder().join("media/uploads/0200#1");
    std::fs::write(&staged, b"cut off").unwrap();
    w.media.clone().sweep(system("media")).await.unwrap();
    assert_eq!(w.keys().await.len(), 6 + 1 + 2, "too young to be nobody's");
    assert!(staged.exists());
    w.media.clone().sweep(later()).await.unwrap();
    assert_eq!(w.keys().await.len(), 6 + 1);
    assert!(!staged.exists());
    assert!(w.content(&id, "full", &[]).await.is_ok());
    w.settle().await;
    assert_eq!(w.keys().await.len(), 6 + 6);
    assert_eq!(w.check().await, Vec::<String>::new());
}

pub async fn the_check_finds_what_is_wrong(kind: Kind) {
    let w = World::new(kind).await;
    w.ready(&png(1)).await;
    let key = w.keys().await.remove(0);
    let bytes = w.objects.read(&key, None).await.unwrap().unwrap();
    w.objects.put(&key, bytes.slice(1..)).await.unwrap();
    assert_eq!(w.check().await.len(), 1, "too short");
    w.objects.delete(&key).await.unwrap();
    assert_eq!(w.check().await.len(), 1, "gone");
    w.objects.put(&key, bytes).await.unwrap();
    w.objects.put("uploads/1", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(w.check().await, ["no row names the object uploads/1"]);
    w.objects.delete("uploads/1").await.unwrap();
    let waiting = w.upload(by(OWNER), &png(2)).await.unwrap();
    for key in w.keys().await.into_iter().filter(|k| k.starts_with("uploads/")) {
        w.objects.delete(&key).await.unwrap();
    }
    assert_eq!(w.check().await.len(), 1, "the upload is gone");
    w.settle().await;
    let media = w.get(by(OWNER), &waiting.media_id).await.unwrap();
    assert_eq!(media.reject_reason(), RejectReason::UploadLost);
    let cx = system("media");
    let miscount = async |tx: Tx| {
        tx.execute_unprepared("UPDATE content SET refs = 7").await.db()?;
        Ok(())
    };
    w.db().write(&cx, miscount).await.unwrap();
    assert_eq!(w.check().await.len(), 1, "miscounted");
}
