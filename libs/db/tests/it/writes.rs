//! `Db::write`.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use db::{
    DbResult,
    sea_orm::{ConnectionTrait, TransactionTrait},
};
use futures::future::join_all;
use jangteo_core::{Code, Error, Principal, Result};
use tokio::sync::Notify;

use crate::store::*;

pub async fn two_hundred_identical_calls_have_one_effect(store: Store) {
    let db = store.open().await;
    let cx = keyed("once", 1);
    let replies: Vec<Opened> = join_all((0..200).map(|_| {
        let (db, cx) = (db.clone(), cx.clone());
        tokio::spawn(async move { db.write(&cx, async |tx| put_and_tell(&tx).await).await.unwrap() })
    }))
    .await
    .into_iter()
    .map(|r| r.unwrap())
    .collect();
    assert!(replies.iter().all(|r| *r == replies[0] && !r.shop_id.is_empty()), "{replies:?}");
    assert_eq!(count(db.primary(), &format!("cup WHERE id = '{}'", replies[0].shop_id)).await, 1);
    assert_eq!((count(db.primary(), "cup").await, count(db.primary(), "event").await), (1, 1));
}

pub async fn same_key_with_another_request_is_refused(store: Store) {
    let db = store.open().await;
    db.write(&keyed("k", 1), async |tx| put_and_tell(&tx).await).await.unwrap();
    let e = db.write(&keyed("k", 2), async |tx| put_and_tell(&tx).await).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
    assert_eq!(count(db.primary(), "cup").await, 1);
}

pub async fn keys_belong_to_a_principal_and_a_method(store: Store) {
    let db = store.open().await;
    let mut calls = [keyed("k", 1), keyed("k", 1), keyed("k", 1)];
    calls[1].principal = Principal::System("other".into());
    calls[2].method = "/test.v1.Shop/Other".into();
    for cx in &calls {
        db.write(cx, async |tx| put_and_tell(&tx).await).await.unwrap();
    }
    db.write(&cx(), async |tx| put_and_tell(&tx).await).await.unwrap();
    db.write(&keyed("", 1), async |tx| put_and_tell(&tx).await).await.unwrap();
    db.write(&keyed("", 2), async |tx| put_and_tell(&tx).await).await.expect("an empty key is none");
    assert_eq!(count(db.primary(), "cup").await, 6);
    assert_eq!(count(db.primary(), "idempotency").await, 3, "a call without a key leaves no row");
}

/// Strangers who happen to send one key don't get in each other's way, and a repetition is still found.
pub async fn anonymous_keys_belong_to_the_request(store: Store) {
    let db = store.open().await;
    let anonymous = |key: &str, body| {
        let mut cx = keyed(key, body);
        cx.principal = Principal::Anonymous;
        cx
    };
    let first = db.write(&anonymous("k", 1), async |tx| put_and_tell(&tx).await).await.unwrap();
    let other = db.write(&anonymous("k", 2), async |tx| put_and_tell(&tx).await).await.unwrap();
    let again = db.write(&anonymous("k", 1), async |tx| put_and_tell(&tx).await).await.unwrap();
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_eq!(count(db.primary(), "cup").await, 2);
    let owner = format!("anonymous:{}", "01".repeat(16));
    assert_eq!(
        count(db.primary(), &format!("idempotency WHERE principal = '{owner}' AND response IS NOT NULL")).await,
        1
    );
}

pub async fn failing_closure_leaves_nothing(store: Store) {
    let db = store.open().await;
    let cx = keyed("k", 1);
    let refused: Result<Opened> = db
        .write(&cx, async |tx| {
            put_and_tell(&tx).await?;
            Err(Error::not_found("shelf", "top"))
        })
        .await;
    assert_eq!(refused.unwrap_err().reason(), "SHELF_NOT_FOUND");
    for table in ["cup", "event", "idempotency"] {
        assert_eq!(count(db.primary(), table).await, 0, "{table}");
    }
    db.write(&cx, async |tx| put_and_tell(&tx).await).await.unwrap();
    assert_eq!(count(db.primary(), "cup").await, 1);
}

/// Sixteen closures look whether the shelf is empty and put a cup there if so. Unless a lost race runs again,
/// more than one succeeds (write skew), or some fail.
pub async fn lost_races_run_again(store: Store) {
    let db = store.open().await;
    let runs = Arc::new(AtomicU32::new(0));
    let winners = join_all((0..16).map(|n| {
        let (db, runs) = (db.clone(), runs.clone());
        tokio::spawn(async move {
            db.write(&cx(), async |tx| {
                runs.fetch_add(1, Relaxed);
                let empty = count(&tx, "cup").await == 0;
                tokio::time::sleep(Duration::from_millis(20)).await;
                if empty {
                    put_cup(&tx, &format!("cup_{n}"), "top", n).await?;
                }
                Ok(opened("shp_1", i64::from(empty)))
            })
            .await
            .unwrap()
        })
    }))
    .await;
    assert_eq!(winners.into_iter().map(|w| w.unwrap().cups).sum::<i64>(), 1);
    assert_eq!(count(db.primary(), "cup").await, 1);
    if store.is_postgres() {
        assert!(runs.load(Relaxed) > 16, "nothing ran again");
    }
}

pub async fn swallowed_failure_is_not_committed(store: Store) {
    let db = store.open().await;
    let e = db
        .write(&cx(), async |tx| {
            put_cup(&tx, "cup_1", "top", 1).await?;
            let _ = put_cup(&tx, "cup_1", "top", 2).await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(e.code(), Code::Internal);
    assert_eq!(count(db.primary(), "cup").await, 0);
}

pub async fn savepoint_may_fail(store: Store) {
    let db = store.open().await;
    db.write(&cx(), async |tx| {
        put_cup(&tx, "cup_1", "top", 1).await?;
        let attempt = tx.begin().await.db()?;
        let e = put_cup(&attempt, "cup_1", "top", 2).await.unwrap_err();
        assert!(db::is_unique_violation(&e), "{e:?}");
        attempt.rollback().await.db()?;
        put_cup(&tx, "cup_2", "top", 2).await
    })
    .await
    .unwrap();
    assert_eq!(count(db.primary(), "cup").await, 2);
}

pub async fn hooks_run_once_after_the_commit(store: Store) {
    let db = store.open().await;
    let ran = Arc::new(AtomicU32::new(0));
    let hook = |ran: &Arc<AtomicU32>| {
        let ran = ran.clone();
        move || {
            ran.fetch_add(1, Relaxed);
        }
    };
    let refused: Result<()> = db
        .write(&cx(), async |tx| {
            tx.after_commit(hook(&ran));
            Err(Error::not_found("shelf", "top"))
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(ran.load(Relaxed), 0);
    let mut changed = db.changed();
    db.write(&keyed("k", 1), async |tx| {
        tx.after_commit(hook(&ran));
        assert_eq!(ran.load(Relaxed), 0, "too early");
        put_and_tell(&tx).await
    })
    .await
    .unwrap();
    assert_eq!(ran.load(Relaxed), 1);
    assert!(changed.has_changed().unwrap(), "the bus was not woken");
    changed.mark_unchanged();
    db.write(&cx(), async |tx| put_cup(&tx, "quiet", "top", 1).await).await.unwrap();
    assert!(!changed.has_changed().unwrap(), "woken without an event");
}

pub async fn abandoned_write_leaves_nothing(store: Store) {
    let db = store.open().await;
    let cx = keyed("k", 1);
    let write = db.write(&cx, async |tx| {
        put_and_tell(&tx).await?;
        std::future::pending::<Result<Opened>>().await
    });
    assert!(tokio::time::timeout(Duration::from_millis(200), write).await.is_err());
    // The only writer of SQLite must be free again.
    let again = db.write(&cx, async |tx| put_and_tell(&tx).await);
    tokio::time::timeout(Duration::from_secs(5), again).await.unwrap().unwrap();
    assert_eq!((count(db.primary(), "cup").await, count(db.primary(), "event").await), (1, 1));
}

/// Whoever waits for SQLite's only writer goes on in the transaction of the one before, and nobody is answered before
/// all of it is committed.
pub async fn waiting_writes_share_a_commit(store: Store) {
    if store.is_postgres() {
        return;
    }
    let db = store.open().await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let (first_runs, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let writers = (0..10).map(|n| {
        let (db, log, first_runs, gate) = (db.clone(), log.clone(), first_runs.clone(), gate.clone());
        tokio::spawn(async move {
            if n > 0 {
                first_runs.notified().await;
                first_runs.notify_one();
            }
            let cx = cx();
            let written = db.write(&cx, async |tx| {
                if n == 0 {
                    first_runs.notify_one();
                    gate.notified().await;
                }
                put_cup(&tx, &format!("cup_{n}"), "top", n).await?;
                log.lock().unwrap().push("written");
                let log = log.clone();
                tx.after_commit(move || log.lock().unwrap().push("committed"));
                if n == 5 { Err(Error::not_found("cup", "cup_5")) } else { Ok(()) }
            });
            let answer = written.await.is_ok();
            assert_eq!(
                count(db.primary(), &format!("cup WHERE id = 'cup_{n}'")).await,
                i64::from(answer),
                "told too early"
            );
            answer
        })
    });
    let writers: Vec<_> = writers.collect();
    testkit::eventually(Duration::from_secs(5), async || db.writers_waiting() == 9).await;
    gate.notify_one();
    let answers: Vec<bool> = join_all(writers).await.into_iter().map(|r| r.unwrap()).collect();
    assert_eq!(answers, (0..10).map(|n| n != 5).collect::<Vec<_>>());
    assert_eq!(count(db.primary(), "cup").await, 9, "the refused one is undone, and only that");
    let log = log.lock().unwrap();
    assert_eq!(log[..10], ["written"; 10], "a hook ran before the last of them had written");
    assert_eq!(log[10..], ["committed"; 9]);
}

/// The one before leaves the commit to somebody who then goes away in the middle.
pub async fn who_leaves_takes_nobody_along(store: Store) {
    if store.is_postgres() {
        return;
    }
    let db = store.open().await;
    let (gate, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let first = tokio::spawn({
        let (db, gate, begun) = (db.clone(), gate.clone(), begun.clone());
        async move {
            let runs = AtomicU32::new(0);
            let written = db
                .write(&cx(), async |tx| {
                    if runs.fetch_add(1, Relaxed) == 0 {
                        begun.notify_one();
                        gate.notified().await;
                    }
                    put_cup(&tx, "first", "top", 1).await
                })
                .await;
            (written, runs.load(Relaxed))
        }
    });
    begun.notified().await;
    let leaver = tokio::spawn({
        let (db, begun) = (db.clone(), begun.clone());
        async move {
            let cx = cx();
            let write = db.write(&cx, async |tx| {
                put_cup(&tx, "leaver", "top", 2).await?;
                begun.notify_one();
                std::future::pending::<Result<()>>().await
            });
            write.await
        }
    });
    testkit::eventually(Duration::from_secs(5), async || db.writers_waiting() == 1).await;
    gate.notify_one();
    begun.notified().await;
    leaver.abort();
    let (written, runs) =
        tokio::time::timeout(Duration::from_secs(10), first).await.expect("it waits forever").unwrap();
    written.unwrap();
    assert_eq!((runs, count(db.primary(), "cup").await), (2, 1));
}

/// Callers that are refused, fail or leave in the middle: what was answered with success is there, and nothing else.
/// The next in the queue goes away after the commit was left to it.
pub async fn who_leaves_the_queue_leaves_no_commit_behind(store: Store) {
    let db = store.open().await;
    let (held, go, written) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let first = tokio::spawn({
        let (db, held, go, written) = (db.clone(), held.clone(), go.clone(), written.clone());
        async move {
            let write = async |tx| {
                put_cup(&tx, "first", "top", 1).await?;
                held.notify_one();
                go.notified().await;
                written.notify_one();
                Ok(())
            };
            db.write(&cx(), write).await
        }
    });
    held.notified().await;
    let call = cx();
    let mut next = Box::pin(db.write(&call, async |tx| put_cup(&tx, "next", "top", 1).await));
    assert!(futures::poll!(&mut next).is_pending());
    go.notify_one();
    written.notified().await;
    drop(next);
    tokio::time::timeout(Duration::from_secs(30), first).await.expect("nobody commits").unwrap().unwrap();
    assert_eq!(count(db.primary(), "cup WHERE id = 'first'").await, 1);
}

pub async fn crowded_writes_keep_what_they_promised(store: Store) {
    let db = store.open().await;
    db.write(&cx(), async |tx| put_cup(&tx, "taken", "top", 0).await).await.unwrap();
    let writers = (0..200_u64).map(|n| {
        let db = db.clone();
        tokio::spawn(async move {
            let cx = cx();
            let write = db.write(&cx, async |tx| {
                match n % 10 {
                    // One that only reads, and one whose first statement changes nothing.
                    1 if count(&tx, "cup WHERE id = 'taken'").await == 1 => {
                        return Err(Error::not_found("shelf", "top"));
                    }
                    9 => {
                        let none = tx.execute_unprepared("DELETE FROM cup WHERE id = 'nobody'").await.db()?;
                        assert_eq!(none.rows_affected(), 0, "another write's rows were counted");
                    }
                    _ => {}
                }
                put_cup(&tx, &format!("cup_{n}"), "top", n as i64).await?;
                match n % 10 {
                    3 => Err(Error::not_found("shelf", "top")),
                    5 => put_cup(&tx, "taken", "top", 1).await,
                    7 => {
                        tokio::time::sleep(Duration::from_micros(n * 10)).await;
                        put_cup(&tx, &format!("cup_{n}_2"), "top", 1).await
                    }
                    _ => Ok(()),
                }
            });
            let patience = if n % 10 == 7 { Duration::from_micros(n * 40) } else { Duration::from_secs(60) };
            (n, tokio::time::timeout(patience, write).await.ok())
        })
    });
    let mut unknown = 0;
    for answer in join_all(writers).await {
        let (n, answer) = answer.unwrap();
        let (one, two) = (format!("cup WHERE id = 'cup_{n}'"), format!("cup WHERE id = 'cup_{n}_2'"));
        let there = (count(db.primary(), &one).await, count(db.primary(), &two).await);
        let whole = (1, i64::from(n % 10 == 7));
        match answer {
            Some(Ok(())) => assert_eq!(there, whole, "{n}"),
            Some(Err(_)) => assert_eq!(there, (0, 0), "{n}"),
            None => {
                assert_eq!(n % 10, 7, "{n} was never answered");
                unknown += 1;
                assert!(there == whole || there == (0, 0), "{n}: {there:?}");
            }
        }
        assert!(answer.is_none_or(|a| a.is_ok() != [1, 3, 5].contains(&(n % 10))), "{n}");
    }
    assert!(unknown > 0, "nobody left");
}

/// Wherever a caller leaves, its connection is handed to the next one outside any transaction.
pub async fn callers_may_leave_at_any_moment(mut store: Store) {
    let name = format!("leavers_{}", uuid::Uuid::now_v7().simple());
    if store.is_postgres() {
        store.cfg.url = format!("{}?application_name={name}", store.cfg.url);
        store.cfg.max_connections = 2;
    }
    let (db, watcher) = (store.open().await, store.sibling().open().await);
    let open = format!("pg_stat_activity WHERE application_name = '{name}' AND state LIKE 'idle in transaction%'");
    for n in 0..600 {
        let cx = cx();
        let write = db.write(&cx, async |tx| put_cup(&tx, &format!("a{n}"), "top", n).await);
        let left = tokio::time::timeout(Duration::from_micros(20 * n as u64 % 3000), write).await.is_err();
        if left && store.is_postgres() {
            testkit::eventually(Duration::from_secs(5), async || count(watcher.primary(), &open).await == 0).await;
        }
    }
    db.write(&cx(), async |tx| put_cup(&tx, "last", "top", 1).await).await.unwrap();
    let seen = count(store.open().await.primary(), "cup WHERE id = 'last'").await;
    assert_eq!(seen, 1, "somebody else doesn't see what was committed");
}

/// Both ways to write a closure over references make a future that a server can spawn.
pub async fn write_futures_are_send(store: Store) {
    let db = store.open().await;
    tokio::spawn(async move {
        let (cx, id) = (cx(), "a".to_owned());
        let shelves = vec!["top".to_owned(), "bottom".to_owned()];
        db.write(&cx, async |tx| {
            for shelf in &shelves {
                put_cup(&tx, &format!("{id}_{shelf}"), shelf, 1).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let (id, shelves) = (&id, &shelves);
        db.write(&cx, |tx| async move {
            put_cup(&tx, id, &shelves[0], 1).await?;
            tx.emit(&opened(id, 1)).await.map(|_| ())
        })
        .await
        .unwrap();
        assert_eq!(count(db.primary(), "cup").await, 3);
    })
    .await
    .unwrap();
}

pub async fn readers_refuse_writes(store: Store) {
    let db = store.open().await;
    for conn in [db.read(), db.primary()] {
        assert!(put_cup(conn, "cup_1", "top", 1).await.is_err());
    }
    assert_eq!(count(db.primary(), "cup").await, 0);
}

pub async fn old_answers_are_swept(store: Store) {
    let db = store.open().await;
    for (key, hours) in [("old", 0), ("young", 30)] {
        let mut cx = keyed(key, 1);
        cx.now += chrono::TimeDelta::hours(hours);
        db.write(&cx, async |tx| put_and_tell(&tx).await).await.unwrap();
    }
    assert_eq!(db.sweep(cx().now + chrono::TimeDelta::hours(47)).await.unwrap(), 0);
    assert_eq!(db.sweep(cx().now + chrono::TimeDelta::hours(49)).await.unwrap(), 1);
    assert_eq!(count(db.primary(), "idempotency WHERE request_id = 'young'").await, 1);
}

pub async fn errors_keep_their_meaning(store: Store) {
    let db = store.open().await;
    let e = db.primary().execute_unprepared("SELECT * FROM nowhere").await.map_err(db::fail).unwrap_err();
    assert_eq!(e.code(), Code::Internal);
    assert!(!e.message().contains("nowhere"), "the caller must not learn about our tables");
    assert!(!db::is_unique_violation(&e));
    db.close().await;
    let e = db.write(&cx(), async |_| Ok(())).await.unwrap_err();
    assert_eq!(e.code(), Code::Unavailable, "{e:?}");
    assert_eq!(db.ping().await.unwrap_err().code(), Code::Unavailable);
}
