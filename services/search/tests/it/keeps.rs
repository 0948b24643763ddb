//! The index behind its rows: in time, rebuilt beside itself, the same in the end.

use crate::support::{World, ask, build, deleted, id, listing, turned};
use proto::jangteo::catalog::v1::ProductStatus;
use search::{MIGRATIONS, events::project, kinds::product::Event};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use testbed::{Kind, Stores, system};

pub async fn a_change_is_found(kind: Kind) {
    let w = World::new(kind).await;
    for n in 0..30 {
        let title = format!("물건{n}");
        w.list(listing(n, &title)).await;
        w.until("it is found", async || w.found(&title).await == [title.clone()]).await;
    }
}

/// Under load: sellers list, change and delete while people search, and a new index is built twice.
pub async fn an_index_is_rebuilt_while_it_serves(kind: Kind) {
    let w = Arc::new(World::new(kind).await);
    for n in 0..300 {
        w.list(listing(n, "의자")).await;
    }
    w.settled().await;
    let (done, searches) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (w, done, searches) = (w.clone(), done.clone(), searches.clone());
        tasks.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let found = w.find(ask("의자")).await.expect("no search fails");
                assert!(found.hit_count() >= 250, "{}", found.hit_count());
                searches.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    {
        let (w, done) = (w.clone(), done.clone());
        tasks.spawn(async move {
            let mut n = 0;
            while !done.load(Ordering::Relaxed) {
                n += 1;
                let changed = listing(n % 300, "의자 changed");
                w.tell(&changed.updated(), i64::try_from(n).unwrap() + 1).await;
                if n % 10 == 0 && n < 500 {
                    w.tell(&deleted(&id(n / 10 - 1)), i64::try_from(n).unwrap() + 2).await;
                }
                w.list(listing(1000 + n, "의자 새것")).await;
            }
        });
    }
    for _ in 0..2 {
        let shelf = w.search.shelf("product");
        let before = shelf.serving().unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        shelf.rebuild();
        w.until("a new index serves", async || !Arc::ptr_eq(&shelf.serving().unwrap(), &before)).await;
        w.until("the old files are gone", async || !before.folder.exists()).await;
    }
    done.store(true, Ordering::Relaxed);
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    assert!(searches.load(Ordering::Relaxed) > 10);
    w.settled().await;
    assert_eq!(w.search.clone().check_indexes(system("search")).await.unwrap(), Vec::<String>::new());
}

pub async fn a_lost_index_comes_back(kind: Kind) {
    let mut w = World::new(kind).await;
    for n in 0..20 {
        w.list(listing(n, "의자")).await;
    }
    w.settled().await;
    let before = w.contents();
    // Deleted while nobody runs.
    w.halt().await;
    std::fs::remove_dir_all(w.stores.folder().join("search")).unwrap();
    w.restart().await;
    w.settled().await;
    assert_eq!(w.contents(), before);
    // Cut off in the middle: half of its files are gone.
    w.halt().await;
    let folder = w.search.shelf("product").serving().unwrap().folder.clone();
    for file in std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|f| f.ok())
        .filter(|f| f.path().extension().is_some_and(|e| e == "store" || e == "idx"))
    {
        std::fs::remove_file(file.path()).unwrap();
    }
    w.restart().await;
    w.until("it is whole again", async || w.search.shelf("product").live().is_ok_and(|l| l.documents() == 20)).await;
    assert_eq!(w.contents(), before);
    assert_eq!(w.found("의자").await.len(), 20);
}

/// Invariant 13: the rows and the index made from all events again, in another order, are the live ones.
pub async fn a_rebuilt_projection_is_the_live_one(kind: Kind) {
    let live = Arc::new(World::new(kind).await);
    let mut histories = Vec::new();
    for n in 0..40 {
        let l = listing(n, &format!("물건 {n}"));
        let mut events = vec![Event::Created(l.created())];
        for version in 2..2 + n % 5 {
            events.push(match version % 3 {
                0 => turned(&l.id, ProductStatus::Reserved),
                1 => turned(&l.id, ProductStatus::OnSale),
                _ => listing(n, &format!("물건 {n} 판 {version}")).updated(),
            });
        }
        if n % 7 == 0 {
            events.push(deleted(&l.id));
        }
        histories.push(events);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for events in histories.clone() {
        let live = live.clone();
        tasks.spawn(async move {
            for (version, event) in (1..).zip(&events) {
                live.tell(event, version).await;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let rebuilt = World::new(kind).await;
    for (n, events) in histories.iter().enumerate().rev() {
        let mut told: Vec<_> = (1..).zip(events).collect();
        // A dead letter that is tried again comes last.
        let late = n % told.len();
        told.rotate_left(late);
        for (version, event) in told {
            rebuilt.tell(event, version).await;
            rebuilt.tell(event, version).await;
        }
    }
    live.settled().await;
    rebuilt.settled().await;
    assert_eq!(rows(&live).await, rows(&rebuilt).await);
    assert_eq!(live.contents(), rebuilt.contents());
    assert_eq!(live.contents().len(), 34);
    for w in [&live, &rebuilt] {
        assert_eq!(w.search.clone().check_indexes(system("search")).await.unwrap(), Vec::<String>::new());
    }
}

/// All that a row says but its place in the order of changes.
async fn rows(w: &World) -> Vec<(String, i64, u64, Option<Vec<u8>>)> {
    let rows = search::store::document::scan(&w.db(), "product", "", 1000).await.unwrap();
    rows.into_iter().map(|r| (r.id, r.version, r.wanted, r.body)).collect()
}

pub async fn an_index_that_differs_is_noticed_and_built_anew(kind: Kind) {
    let w = World::new(kind).await;
    for n in 0..3 {
        w.list(listing(n, "의자")).await;
    }
    w.settled().await;
    let check = async || w.search.clone().check_indexes(system("search")).await.unwrap();
    assert_eq!(check().await, Vec::<String>::new());
    // A row that goes back behind the index, as after a restored backup.
    use kit::db::{DbResult, sea_orm::ConnectionTrait};
    let planted = async |tx: kit::db::Tx| {
        let sql = "UPDATE document SET version = 7 WHERE document_id LIKE '%1'";
        tx.execute_unprepared(sql).await.db()?;
        Ok(())
    };
    w.db().write(&system("search"), planted).await.unwrap();
    let wrong = check().await;
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains(&id(1)), "{wrong:?}");
    let before = w.search.shelf("product").serving().unwrap();
    w.search.audit().await;
    w.until("a new index serves", async || !Arc::ptr_eq(&w.search.shelf("product").serving().unwrap(), &before)).await;
    assert_eq!(check().await, Vec::<String>::new());
}

/// Its place in the order of changes is given out before others' that commit earlier.
pub async fn a_transaction_that_commits_late_is_not_missed(kind: Kind) {
    let w = Arc::new(World::new(kind).await);
    let slow = {
        let w = w.clone();
        async move {
            let event = Event::Created(listing(1, "늦은 의자").created());
            let write = async |tx: kit::db::Tx| {
                project(&tx, &event, 1, tx.now()).await?;
                tokio::time::sleep(Duration::from_millis(600)).await;
                Ok(())
            };
            w.db().write(&system("search"), write).await.unwrap();
        }
    };
    let quick = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        for n in 2..20 {
            w.list(listing(n, "빠른 의자")).await;
        }
    };
    tokio::join!(slow, quick);
    w.until("all are found", async || w.found("의자").await.len() == 19).await;
    w.settled().await;
    assert_eq!(w.search.clone().check_indexes(system("search")).await.unwrap(), Vec::<String>::new());
}

/// The folder of one market in front of the rows of another.
pub async fn an_index_of_another_database_is_not_believed(kind: Kind) {
    let mut w = World::new(kind).await;
    for n in 0..30 {
        w.list(listing(n, "의자")).await;
    }
    w.settled().await;
    w.halt().await;
    let stores = Stores::open(kind, "search", MIGRATIONS).await;
    let folder = w.stores.folder().to_owned();
    let old = std::mem::replace(&mut w.stores, stores);
    w.search = build(&w.stores, &folder);
    if kind == Kind::Postgres {
        // Transactions of one server are counted together, so the index does not look newer; the audit sees it.
        w.start().await;
        w.search.audit().await;
    } else {
        w.start().await;
    }
    w.list(listing(99, "책상")).await;
    w.until("the other's products are gone", async || {
        w.search.shelf("product").live().is_ok_and(|l| l.documents() == 1)
    })
    .await;
    assert_eq!((w.found("의자").await.len(), w.found("책상").await.len()), (0, 1));
    drop(old);
}
