//! Lost connections. A proxy stands between the program and PostgreSQL and can cut the line at the COMMIT.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use db::{DbConfig, DbResult, sea_orm::ConnectionTrait};
use jangteo_core::Code;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::store::*;

/// What the proxy is to do at the next COMMIT.
#[derive(Default)]
struct Switch {
    /// The COMMIT arrives at the server, its answer does not come back.
    cut: AtomicBool,
    /// And from then on nobody gets through.
    stay_away: AtomicBool,
    away: AtomicBool,
}

async fn behind_a_proxy() -> (Store, Arc<Switch>) {
    let mut store = Store::postgres();
    let (head, rest) = store.cfg.url.split_once('@').expect("postgres://user@host:port/database");
    let (server, database) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{head}@{}/{database}?sslmode=disable", listener.local_addr().unwrap());
    let (server, switch) = (server.to_owned(), Arc::new(Switch::default()));
    tokio::spawn({
        let switch = switch.clone();
        async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if !switch.away.load(Relaxed) {
                    let server = TcpStream::connect(&server).await.unwrap();
                    tokio::spawn(relay(client, server, switch.clone()));
                }
            }
        }
    });
    store.cfg = DbConfig { url, acquire_timeout_ms: 2_000, ..store.cfg };
    (store, switch)
}

async fn relay(client: TcpStream, server: TcpStream, switch: Arc<Switch>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let down = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
        if switch.away.load(Relaxed) {
            return down.abort();
        }
        let commit = buffer[..n].windows(6).any(|w| w == b"COMMIT") && switch.cut.swap(false, Relaxed);
        if commit {
            down.abort();
            switch.away.store(switch.stay_away.load(Relaxed), Relaxed);
        }
        if to_server.write_all(&buffer[..n]).await.is_err() {
            break;
        }
        if commit {
            // The server gets time to commit before it learns that nobody listens.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_commit_is_found_again_by_its_key() {
    let (store, switch) = behind_a_proxy().await;
    let db = store.open().await;
    let runs = AtomicU32::new(0);
    switch.cut.store(true, Relaxed);
    let reply = db
        .write(&keyed("k", 1), async |tx| {
            runs.fetch_add(1, Relaxed);
            put_and_tell(&tx).await
        })
        .await
        .unwrap();
    assert!(!switch.cut.load(Relaxed), "the line was never cut");
    assert_eq!(runs.load(Relaxed), 1, "the effect ran twice");
    assert_eq!(count(db.primary(), &format!("cup WHERE id = '{}'", reply.shop_id)).await, 1);
    assert_eq!(count(db.primary(), "event").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_the_unknown_is_said() {
    let (store, switch) = behind_a_proxy().await;
    let db = store.open().await;
    switch.cut.store(true, Relaxed);
    let runs = AtomicU32::new(0);
    let e = db
        .write(&cx(), async |tx| {
            runs.fetch_add(1, Relaxed);
            put_and_tell(&tx).await
        })
        .await
        .unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Unknown, "OUTCOME_UNKNOWN"));
    assert_eq!(runs.load(Relaxed), 1, "it may have happened, so it must not run again");
    while count(db.primary(), "cup").await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_commit_stays_unknown_while_the_store_is_away() {
    let (store, switch) = behind_a_proxy().await;
    let db = store.open().await;
    switch.stay_away.store(true, Relaxed);
    switch.cut.store(true, Relaxed);
    let e = db.write(&keyed("k", 1), async |tx| put_and_tell(&tx).await).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Unknown, "OUTCOME_UNKNOWN"), "{e:?}");
    let e = db.write(&keyed("l", 1), async |tx| put_and_tell(&tx).await).await.unwrap_err();
    assert_eq!(e.code(), Code::Unavailable, "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_before_the_commit_is_opened_again() {
    let store = Store::postgres();
    let db = store.open().await;
    let runs = AtomicU32::new(0);
    db.write(&cx(), async |tx| {
        put_cup(&tx, "cup_1", "top", 1).await?;
        if runs.fetch_add(1, Relaxed) == 0 {
            tx.execute_unprepared("SELECT pg_terminate_backend(pg_backend_pid())").await.db()?;
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!((runs.load(Relaxed), count(db.primary(), "cup").await), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_serve_reads_and_may_be_away_at_the_start() {
    let store = Store::postgres();
    let db = store.open().await;
    db.write(&cx(), async |tx| put_cup(&tx, "cup_1", "top", 1).await).await.unwrap();
    let nobody = "postgres://postgres@127.0.0.1:1/postgres".to_owned();
    let replicas = vec![store.cfg.url.clone(), nobody];
    let cfg = DbConfig { replicas, acquire_timeout_ms: 300, ..store.cfg.clone() };
    let db = db::Db::open("shop", &cfg, &[CUPS]).await.unwrap();
    assert_eq!(count(db.read(), "cup").await, 1, "the first replica, in the service's schema");
    let e = db.read().execute_unprepared("SELECT 1").await.map_err(db::fail).unwrap_err();
    assert_eq!(e.code(), Code::Unavailable, "the second replica is away");
    assert!(put_cup(db.read(), "cup_2", "top", 1).await.is_err(), "a replica took a write");
    assert_eq!(count(db.primary(), "cup").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_idle_transactions_have_a_limit() {
    let mut store = Store::postgres();
    (store.cfg.statement_timeout_ms, store.cfg.idle_transaction_timeout_ms) = (300, 500);
    let slow = db::Migration { name: "0002_slow", sql: "SELECT pg_sleep(0.7);" };
    let slow = db::Migrations(Vec::leak(vec![slow]));
    let db = db::Db::open("shop", &store.cfg, &[CUPS, slow]).await.unwrap();
    db.migrate().await.expect("migrations have no limit");

    for conn in [db.primary(), db.read()] {
        let begun = std::time::Instant::now();
        let e = conn.execute_unprepared("SELECT pg_sleep(30)").await.map_err(db::fail).unwrap_err();
        assert_eq!((e.code(), e.reason()), (Code::DeadlineExceeded, "STATEMENT_TIMEOUT"));
        assert!(begun.elapsed().as_secs() < 5);
    }
    let e = db.write(&cx(), async |tx| tx.execute_unprepared("SELECT pg_sleep(30)").await.db().map(|_| ())).await;
    assert_eq!(e.unwrap_err().code(), Code::DeadlineExceeded);

    // A call that was given up leaves nothing running.
    let dropped = db.primary().execute_unprepared("SELECT pg_sleep(31)");
    assert!(tokio::time::timeout(std::time::Duration::from_millis(100), dropped).await.is_err());
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let running = "pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(31)'";
    assert_eq!(count(db.primary(), running).await, 0);

    let runs = AtomicU32::new(0);
    db.write(&cx(), async |tx| {
        put_cup(&tx, "cup_1", "top", 1).await?;
        if runs.fetch_add(1, Relaxed) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1000)).await;
        }
        Ok(())
    })
    .await
    .unwrap_err();
    assert_eq!(count(db.primary(), "cup").await, 0, "the server ended the transaction that did nothing");
}

/// Under a weaker isolation PostgreSQL reports lost races as a broken UNIQUE.
#[tokio::test(flavor = "multi_thread")]
async fn repeatable_read_keeps_versions_and_keys_single() {
    let weaker = || {
        let mut store = Store::postgres();
        store.cfg.isolation = db::Isolation::RepeatableRead;
        store
    };
    crate::events::parallel_emits_are_gap_free_and_arrive_in_order(weaker()).await;
    crate::crypt::first_use_in_parallel_makes_one_key(weaker()).await;
}

const VICTIM: &str = "JANGTEO_DB_TEST_VICTIM";

/// Writes and tells until it is killed; does nothing as a test of its own.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(place) = std::env::var(VICTIM) else { return };
    let (url, schema) = place.split_once(' ').unwrap();
    let schema = Some(schema.to_owned()).filter(|s| !s.is_empty());
    let cfg = DbConfig { url: url.to_owned(), schema, ..Default::default() };
    let db = db::Db::open("shop", &cfg, &[CUPS]).await.unwrap();
    futures::future::join_all((0..4).map(|writer| {
        let db = db.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let (id, shop) = (format!("w{writer}_{n}"), format!("shp_{writer}"));
                db.write(&keyed(&id, 1), async |tx| {
                    put_cup(&tx, &id, "top", n).await?;
                    tx.emit(&sold(&shop, n)).await.map(|_| ())
                })
                .await
                .unwrap();
                println!("\nacknowledged {id}");
            }
        })
    }))
    .await;
}

/// SIGKILL in the middle of everything: what was acknowledged is there, and every row has its event and its answer.
pub async fn killed_writer_leaves_whole_writes(store: Store) {
    let db = store.open().await;
    let place = format!("{} {}", store.cfg.url, store.cfg.schema.as_deref().unwrap_or_default());
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::victim", "--nocapture"])
        .env(VICTIM, place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let is_ack = |line: &String| line.starts_with("acknowledged ");
    let mut acks: Vec<String> = lines.by_ref().filter(is_ack).take(80).collect();
    victim.kill().unwrap();
    acks.extend(lines.filter(is_ack));
    victim.wait().unwrap();
    assert!(acks.len() >= 80);
    for ack in &acks {
        let id = ack.trim_start_matches("acknowledged ");
        assert_eq!(count(db.primary(), &format!("cup WHERE id = '{id}'")).await, 1, "{id} is lost");
    }
    // In one statement: the last COMMIT may be on its way still.
    let whole = "(SELECT 1 AS one WHERE (SELECT COUNT(*) FROM cup) = (SELECT COUNT(*) FROM event) \
         AND (SELECT COUNT(*) FROM cup) = (SELECT COUNT(*) FROM idempotency WHERE response IS NOT NULL)) AS whole";
    assert_eq!(count(db.primary(), whole).await, 1, "a row without its event or its answer");
    assert!(count(db.primary(), "event").await >= acks.len() as i64);
}
