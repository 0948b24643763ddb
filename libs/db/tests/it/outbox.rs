//! The relay's side.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use db::{PARTITIONS, partition};
use futures::future::join_all;

use crate::store::*;

pub async fn batches_are_ordered_and_partitioned(store: Store) {
    let db = store.open_with_relay().await;
    join_all((0..60).map(|n| {
        let db = db.clone();
        tokio::spawn(async move {
            let shop = format!("shp_{}", n % 12);
            db.write(&cx(), async |tx| tx.emit(&sold(&shop, n)).await.map(|_| ())).await.unwrap();
        })
    }))
    .await;
    assert_eq!(db.outbox_lag().await.unwrap().pending, 60);
    assert_eq!(db.outbox_lag().await.unwrap().oldest, Some(cx().now));
    let mut published = 0;
    for part in 0..PARTITIONS {
        let mut last = std::collections::HashMap::new();
        loop {
            let batch = db.outbox_batch(part, 4).await.unwrap();
            if batch.is_empty() {
                break;
            }
            assert!(batch.len() <= 4);
            assert_eq!(batch, db.outbox_batch(part, 4).await.unwrap(), "until it is done the same batch comes again");
            for e in &batch {
                assert_eq!(partition(&e.aggregate_id), part);
                let before = last.insert(e.aggregate_id.clone(), e.version).unwrap_or(0);
                assert_eq!(e.version, before + 1, "{}", e.aggregate_id);
            }
            published += batch.len();
            db.outbox_done(&batch.into_iter().map(|e| e.event_id).collect::<Vec<_>>()).await.unwrap();
        }
    }
    assert_eq!(published, 60);
    let lag = db.outbox_lag().await.unwrap();
    assert_eq!((lag.pending, lag.oldest), (0, None));
    assert_eq!(count(db.primary(), "event").await, 60, "what is published stays");
}

pub async fn without_a_relay_nothing_waits(store: Store) {
    let db = store.open().await;
    db.write(&cx(), async |tx| tx.emit(&sold("shp_1", 1)).await.map(|_| ())).await.unwrap();
    assert_eq!((count(db.primary(), "event").await, count(db.primary(), "outbox").await), (1, 0));
}

pub async fn refill_publishes_again(store: Store) {
    let db = store.open_with_relay().await;
    for n in 0..3 {
        db.write(&cx(), async |tx| tx.emit(&sold("shp_1", n)).await.map(|_| ())).await.unwrap();
    }
    let part = partition("shp_1");
    let all = db.outbox_batch(part, 10).await.unwrap();
    db.outbox_done(&[all[0].event_id.clone(), all[1].event_id.clone()]).await.unwrap();
    let (first, _) = db.log_after(0, 1).await.unwrap()[0];
    assert_eq!(db.outbox_refill(first).await.unwrap(), 1, "the second; the third still waits");
    assert_eq!(db.outbox_batch(part, 10).await.unwrap(), all[1..]);
    assert_eq!(db.outbox_refill(0).await.unwrap(), 1);
    assert_eq!(db.outbox_batch(part, 10).await.unwrap(), all);
}

/// Whatever is published and written meanwhile, a refill is not refused, loses nothing, and shows no aggregate in part.
pub async fn refill_works_beside_writes_and_a_relay(store: Store) {
    let db = store.open_with_relay().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let (db, stop) = (db.clone(), stop.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    if stop.load(Relaxed) && n > 10 {
                        break;
                    }
                    let shop = format!("shp_{w}_{}", n % 3);
                    db.write(&cx(), async |tx| tx.emit(&sold(&shop, n)).await.map(|_| ())).await.unwrap();
                }
            })
        })
        .collect();
    let relay = {
        let (db, stop) = (db.clone(), stop.clone());
        tokio::spawn(async move {
            let mut last: HashMap<String, i64> = HashMap::new();
            loop {
                let stopped = stop.load(Relaxed);
                let mut published = 0;
                for part in 0..PARTITIONS {
                    let batch = db.outbox_batch(part, 1000).await.unwrap();
                    let mut at: HashMap<&str, i64> = HashMap::new();
                    for e in &batch {
                        if let Some(before) = at.insert(&e.aggregate_id, e.version) {
                            // Not always the next one: what this relay was publishing during a refill is gone by now.
                            assert!(e.version > before, "{} goes back", e.aggregate_id);
                        }
                    }
                    for (id, version) in at {
                        let last = last.entry(id.to_owned()).or_default();
                        *last = version.max(*last);
                    }
                    published += batch.len();
                    db.outbox_done(&batch.into_iter().map(|e| e.event_id).collect::<Vec<_>>()).await.unwrap();
                }
                if stopped && published == 0 {
                    return last;
                }
            }
        })
    };
    for _ in 0..10 {
        db.outbox_refill(0).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stop.store(true, Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let last = relay.await.unwrap();
    assert_eq!(db.outbox_lag().await.unwrap().pending, 0);
    let total = count(db.primary(), "event").await;
    assert_eq!(last.values().sum::<i64>(), total, "the relay saw every aggregate to its end");
    assert_eq!(db.outbox_refill(0).await.unwrap() as i64, total, "what was published is put up again, all of it");
}
