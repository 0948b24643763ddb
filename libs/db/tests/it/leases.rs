//! Leases and fencing.

use std::time::Duration;

use db::{Db, Lease};
use futures::future::join_all;
use jangteo_core::{Code, Result};

use crate::store::*;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(150);

async fn fenced(db: &Db, lease: &Lease, cup: &str) -> Result<()> {
    db.write(&cx(), async |tx| {
        tx.fence(lease).await?;
        put_cup(&tx, cup, "top", 1).await
    })
    .await
}

pub async fn one_holder_at_a_time(store: Store) {
    let db = store.open().await;
    let taken = join_all((0..16).map(|n| {
        let db = db.clone();
        tokio::spawn(async move { db.lease("relay/3", &format!("task-{n}"), LONG).await.unwrap() })
    }))
    .await;
    assert_eq!(taken.into_iter().filter_map(|t| t.unwrap()).map(|l| l.epoch).collect::<Vec<_>>(), [1]);
    assert!(db.lease("relay/4", "task-0", LONG).await.unwrap().is_some(), "another name is another lease");
}

pub async fn epoch_fences_the_former_holder(store: Store) {
    let db = store.open().await;
    let first = db.lease("relay", "a", SHORT).await.unwrap().unwrap();
    fenced(&db, &first, "cup_1").await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    fenced(&db, &first, "cup_2").await.expect("nobody took it over");
    let second = db.lease("relay", "b", LONG).await.unwrap().unwrap();
    assert_eq!(second.epoch, first.epoch + 1);
    let e = fenced(&db, &first, "cup_3").await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Aborted, "LEASE_LOST"));
    assert!(!db.renew(&first, LONG).await.unwrap());
    db.release(&first).await.unwrap();
    fenced(&db, &second, "cup_4").await.expect("the former holder released what was not its own");
    assert_eq!(count(db.primary(), "cup").await, 3);
}

pub async fn renewing_keeps_and_releasing_frees(store: Store) {
    let db = store.open().await;
    let lease = db.lease("relay", "a", SHORT).await.unwrap().unwrap();
    assert!(db.renew(&lease, LONG).await.unwrap());
    tokio::time::sleep(SHORT * 2).await;
    assert!(db.lease("relay", "b", LONG).await.unwrap().is_none());
    db.release(&lease).await.unwrap();
    assert_eq!(db.lease("relay", "b", LONG).await.unwrap().unwrap().epoch, 2);
}

/// Between the fence and the commit nobody can take the lease over, though it has run out.
pub async fn fence_holds_until_the_commit(store: Store) {
    let db = store.open().await;
    let first = db.lease("relay", "a", SHORT).await.unwrap().unwrap();
    tokio::time::sleep(SHORT * 2).await;
    let take_over = || {
        let db = db.clone();
        tokio::spawn(async move { db.lease("relay", "b", LONG).await.unwrap() })
    };
    let pending = std::sync::Mutex::new(None);
    db.write(&cx(), async |tx| {
        tx.fence(&first).await?;
        let mut rival = take_over();
        let early = tokio::time::timeout(SHORT, &mut rival).await;
        assert!(early.is_err(), "taken over before the commit: {early:?}");
        *pending.lock().unwrap() = Some(rival);
        put_cup(&tx, "cup_1", "top", 1).await
    })
    .await
    .unwrap();
    let rival = pending.into_inner().unwrap().unwrap();
    assert_eq!(rival.await.unwrap().unwrap().epoch, 2);
}
