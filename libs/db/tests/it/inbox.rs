//! The consumer's side.

use db::{Applied, Db, DeadLetter, Envelope};
use futures::future::join_all;
use jangteo_core::{Error, Page, Result};

use crate::store::*;

fn event(shop: &str, version: i64) -> Envelope {
    Envelope {
        event_id: format!("{shop}_{version}"),
        r#type: "test.v1.Sold".into(),
        source: "shop".into(),
        aggregate: "shop".into(),
        aggregate_id: shop.into(),
        version,
        ..Default::default()
    }
}

async fn apply(db: &Db, e: &Envelope) -> Result<Applied> {
    db.apply(&cx(), "stock", e, async |tx| put_cup(&tx, &e.event_id, "top", e.version).await).await
}

pub async fn effects_happen_once_and_in_order(store: Store) {
    let db = store.open().await;
    let (one, two, three) = (event("a", 1), event("a", 2), event("a", 3));
    assert_eq!(apply(&db, &two).await.unwrap(), Applied::Gap { expected: 1 });
    assert_eq!(db.peek("stock", &one).await.unwrap(), None);
    assert_eq!(apply(&db, &one).await.unwrap(), Applied::Done);
    assert_eq!(apply(&db, &three).await.unwrap(), Applied::Gap { expected: 2 });
    assert_eq!(db.peek("stock", &three).await.unwrap(), Some(Applied::Gap { expected: 2 }));
    assert_eq!(apply(&db, &two).await.unwrap(), Applied::Done);
    for seen in [&one, &two] {
        assert_eq!(apply(&db, seen).await.unwrap(), Applied::Duplicate);
        assert_eq!(db.peek("stock", seen).await.unwrap(), Some(Applied::Duplicate));
    }
    assert_eq!(apply(&db, &three).await.unwrap(), Applied::Done);
    assert_eq!(apply(&db, &event("b", 1)).await.unwrap(), Applied::Done, "another aggregate counts for itself");
    let other = db.apply(&cx(), "search", &one, async |_| Ok(())).await.unwrap();
    assert_eq!(other, Applied::Done, "another consumer counts for itself");
    assert_eq!(count(db.primary(), "cup").await, 4);
}

pub async fn failing_effect_is_not_noted(store: Store) {
    let db = store.open().await;
    let one = event("a", 1);
    let failed = db
        .apply(&cx(), "stock", &one, async |tx| {
            put_cup(&tx, "half", "top", 1).await?;
            Err(Error::not_found("shelf", "top"))
        })
        .await;
    assert_eq!(failed.unwrap_err().reason(), "SHELF_NOT_FOUND");
    assert_eq!(count(db.primary(), "cup").await, 0);
    assert_eq!(apply(&db, &one).await.unwrap(), Applied::Done);
    assert_eq!(count(db.primary(), "cup").await, 1);
}

pub async fn parallel_deliveries_have_one_effect(store: Store) {
    let db = store.open().await;
    for version in 1..=5 {
        let outcomes = join_all((0..20).map(|_| {
            let db = db.clone();
            tokio::spawn(async move {
                let e = event("a", version);
                // Without a key of its own, so that only the inbox stands between two effects.
                db.apply(&cx(), "stock", &e, async |tx| {
                    put_cup(&tx, &uuid::Uuid::new_v4().to_string(), "top", version).await
                })
                .await
                .unwrap()
            })
        }))
        .await;
        let done = outcomes.into_iter().filter(|o| *o.as_ref().unwrap() == Applied::Done).count();
        assert_eq!((done, count(db.primary(), "cup").await), (1, version));
    }
}

pub async fn cursor_only_moves_forwards(store: Store) {
    let db = store.open().await;
    assert_eq!(db.cursor("stock", "shop").await.unwrap(), 0);
    for (to, then) in [(3, 3), (7, 7), (3, 7), (8, 8)] {
        db.advance_cursor("stock", "shop", to).await.unwrap();
        assert_eq!(db.cursor("stock", "shop").await.unwrap(), then);
    }
    db.set_cursor("stock", "shop", 2).await.unwrap();
    assert_eq!(db.cursor("stock", "shop").await.unwrap(), 2);
    assert_eq!(db.cursor("stock", "other").await.unwrap(), 0);
}

pub async fn an_aggregate_may_begin_late_but_not_again(store: Store) {
    let db = store.open().await;
    let (four, five, nine) = (event("a", 4), event("a", 5), event("a", 9));
    db.begin_at("stock", &four).await.unwrap();
    assert_eq!(apply(&db, &four).await.unwrap(), Applied::Done);
    db.begin_at("stock", &nine).await.unwrap();
    assert_eq!(apply(&db, &nine).await.unwrap(), Applied::Gap { expected: 5 });
    assert_eq!(apply(&db, &five).await.unwrap(), Applied::Done);
}

pub async fn reset_starts_again(store: Store) {
    let db = store.open().await;
    apply(&db, &event("a", 1)).await.unwrap();
    db.apply(&cx(), "search", &event("a", 1), async |_| Ok(())).await.unwrap();
    db.advance_cursor("stock", "shop", 3).await.unwrap();
    db.advance_cursor("search", "shop", 3).await.unwrap();
    db.reset_consumer("stock").await.unwrap();
    assert_eq!((db.cursor("stock", "shop").await.unwrap(), db.cursor("search", "shop").await.unwrap()), (0, 3));
    assert_eq!(db.peek("stock", &event("a", 1)).await.unwrap(), None);
    assert_eq!(db.peek("search", &event("a", 1)).await.unwrap(), Some(Applied::Duplicate));
}

/// A reset is not refused because deliveries go on, and what it leaves is whole: each aggregate goes on where the
/// inbox says, or begins again.
pub async fn reset_works_beside_deliveries(store: Store) {
    let db = store.open().await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let consumers: Vec<_> = (0..6)
        .map(|n| {
            let (db, stop, shop) = (db.clone(), stop.clone(), format!("s{n}"));
            tokio::spawn(async move {
                let (mut next, mut resets) = (1, 0);
                loop {
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    let e = event(&shop, next);
                    match db.apply(&cx(), "stock", &e, async |_| Ok(())).await.unwrap() {
                        Applied::Done => next += 1,
                        Applied::Gap { expected } => {
                            assert_eq!(expected, 1, "forgotten in part");
                            (next, resets) = (1, resets + 1);
                        }
                        Applied::Duplicate => panic!("{shop} {next} was not applied before"),
                    }
                }
                resets
            })
        })
        .collect();
    for _ in 0..15 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        db.reset_consumer("stock").await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let resets: Vec<i32> = join_all(consumers).await.into_iter().map(|r| r.unwrap()).collect();
    assert!(resets.iter().sum::<i32>() > 0, "{resets:?}");
    db.reset_consumer("stock").await.unwrap();
    assert_eq!(count(db.primary(), "inbox WHERE consumer = 'stock'").await, 0);
    assert_eq!(db.cursor("stock", "shop").await.unwrap(), 0);
}

pub async fn dead_letters_stand_aside_and_replay_once(store: Store) {
    let db = store.open().await;
    let letter = |envelope: Envelope, at| DeadLetter {
        consumer: "stock".into(),
        position: at,
        envelope,
        error: "poison".into(),
        attempts: 5,
        time: cx().now + chrono::TimeDelta::seconds(at),
        replayed_at: None,
    };
    let poison = letter(event("a", 1), 1);
    db.dead_letter_put(&poison).await.unwrap();
    db.dead_letter_put(&poison).await.unwrap();
    assert_eq!(apply(&db, &event("a", 2)).await.unwrap(), Applied::Done, "the healthy flow goes on");
    // One that waits for a missing version must not make that version a duplicate.
    db.dead_letter_put(&letter(event("b", 2), 2)).await.unwrap();
    assert_eq!(apply(&db, &event("b", 1)).await.unwrap(), Applied::Done);

    assert_eq!(db.dead_letter("stock", "a_1").await.unwrap(), poison);
    assert_eq!(db.dead_letter("stock", "a_2").await.unwrap_err().reason(), "DEAD_LETTER_NOT_FOUND");
    let first = db.dead_letters(Some("stock"), &Page { size: 1, after: vec![] }).await.unwrap();
    assert_eq!(first.rows, [poison]);
    let second = db.dead_letters(None, &Page { size: 1, after: first.next.unwrap() }).await.unwrap();
    assert_eq!((second.rows[0].envelope.event_id.as_str(), second.next), ("b_2", None));

    let replay = async |fail: bool| {
        db.dead_letter_replay(&cx(), "stock", "a_1", async |tx| {
            put_cup(&tx, "replayed", "top", 1).await?;
            if fail { Err(Error::not_found("shelf", "top")) } else { Ok(()) }
        })
        .await
    };
    assert!(replay(true).await.is_err());
    assert!(replay(false).await.unwrap(), "a failed replay counted");
    assert!(!replay(false).await.unwrap(), "the second replay ran");
    assert_eq!(count(db.primary(), "cup WHERE id = 'replayed'").await, 1);
    assert_eq!(db.dead_letter("stock", "a_1").await.unwrap().replayed_at, Some(cx().now));
    assert_eq!(db.dead_letters(None, &Page { size: 10, after: vec![] }).await.unwrap().rows.len(), 1);
}
