//! Migrations.

use db::{Db, DbResult, Migration, Migrations, sea_orm::ConnectionTrait};
use futures::future::join_all;

use crate::store::*;

const SECOND: Migration = Migration {
    name: "0002_saucer",
    sql: "CREATE TABLE saucer (id TEXT PRIMARY KEY); INSERT INTO saucer VALUES ('one');",
};

fn set(list: Vec<Migration>) -> Migrations {
    Migrations(Vec::leak(list))
}

fn first() -> Migration {
    Migration { name: CUPS.0[0].name, sql: CUPS.0[0].sql }
}

async fn migrate(store: &Store, set: Migrations) -> jangteo_core::Result<Vec<String>> {
    Db::open("shop", &store.cfg, &[set]).await?.migrate().await
}

pub async fn starters_may_come_together(store: Store) {
    let both = set(vec![first(), SECOND]);
    let ran = join_all((0..8).map(|_| {
        let cfg = store.cfg.clone();
        tokio::spawn(async move { Db::open("shop", &cfg, &[both]).await.unwrap().migrate().await.unwrap() })
    }))
    .await;
    let mut ran: Vec<String> = ran.into_iter().flat_map(|r| r.unwrap()).collect();
    ran.sort();
    assert_eq!(ran, ["0001_cup", "0002_saucer", "system_0001", "system_0002", "system_0003"]);
    let db = Db::open("shop", &store.cfg, &[both]).await.unwrap();
    assert_eq!(db.pending_migrations().await.unwrap(), Vec::<String>::new());
    assert_eq!(count(db.primary(), "saucer").await, 1);
}

pub async fn edited_migration_stops_the_start(store: Store) {
    let db = Db::open("shop", &store.cfg, &[CUPS]).await.unwrap();
    assert_eq!(db.pending_migrations().await.unwrap(), ["system_0001", "system_0002", "system_0003", "0001_cup"]);
    assert_eq!(db.migrate().await.unwrap(), ["system_0001", "system_0002", "system_0003", "0001_cup"]);
    let edited = set(vec![Migration { name: "0001_cup", sql: "CREATE TABLE cup (id TEXT PRIMARY KEY)" }]);
    let e = migrate(&store, edited).await.unwrap_err();
    assert_eq!(e.reason(), "STORE_MISCONFIGURED");
    assert!(e.message().contains("0001_cup was edited"), "{e}");
    assert!(migrate(&store, CUPS).await.unwrap().is_empty());
}

pub async fn failed_migration_leaves_nothing(store: Store) {
    let bad = Migration {
        name: "0002_saucer",
        sql: "CREATE TABLE saucer (id TEXT PRIMARY KEY); INSERT INTO nowhere VALUES (1);",
    };
    let e = migrate(&store, set(vec![first(), bad])).await.unwrap_err();
    assert!(e.message().contains("0002_saucer"), "{e}");
    let db = Db::open("shop", &store.cfg, &[set(vec![first(), SECOND])]).await.unwrap();
    assert_eq!(db.pending_migrations().await.unwrap().len(), 5, "the failed run left something");
    assert_eq!(db.migrate().await.unwrap().len(), 5);
}

pub async fn order_is_kept(store: Store) {
    migrate(&store, set(vec![first(), SECOND])).await.unwrap();
    let e = migrate(&store, set(vec![SECOND, first()])).await.unwrap_err();
    assert!(e.message().contains("expected"), "{e}");
    let squeezed_in = Migration { name: "0001_b", sql: "CREATE TABLE spoon (id TEXT)" };
    assert!(migrate(&store, set(vec![first(), squeezed_in, SECOND])).await.is_err());
}

pub async fn newer_schema_is_tolerated(store: Store) {
    migrate(&store, set(vec![first(), SECOND])).await.unwrap();
    assert!(migrate(&store, CUPS).await.unwrap().is_empty());
}

/// A step of the platform's comes after steps that the service has taken long ago.
pub async fn the_platform_adds_steps_of_its_own(store: Store) {
    let db = store.open().await;
    let undo = "DELETE FROM migration WHERE name IN ('system_0002', 'system_0003'); DROP TABLE audit; DROP TABLE audit_head; \
         UPDATE migration SET id = 1 WHERE name = '0001_cup'";
    let function = if store.is_postgres() { "; DROP FUNCTION audit_insert_only" } else { "" };
    db.write(&cx(), async |tx| tx.execute_unprepared(&format!("{undo}{function}")).await.db().map(|_| ()))
        .await
        .unwrap();
    assert_eq!(
        migrate(&store, set(vec![first(), SECOND])).await.unwrap(),
        ["system_0002", "system_0003", "0002_saucer"]
    );
    assert!(migrate(&store, CUPS).await.unwrap().is_empty());
}
