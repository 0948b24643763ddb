//! The trail of audited calls.

use db::{AuditHead, Audited, Db, DbResult, sea_orm::ConnectionTrait};
use futures::future::join_all;
use jangteo_core::{Audit, Call, Code, Error};
use std::sync::Arc;

use crate::store::*;

fn audited() -> Call {
    let audit = Arc::new(Audit::default());
    audit.by("user:usr_1");
    audit.about("cup_id=cup_1".to_owned());
    Call { audit: Some(audit), ..cx() }
}

async fn put(db: &Db, cx: &Call, id: &str) {
    db.write(cx, async |tx| put_cup(&tx, id, "top", 1).await).await.unwrap();
}

async fn rows(db: &Db) -> i64 {
    count(db.primary(), "audit").await
}

async fn check(db: &Db, known: &[AuditHead]) -> Vec<String> {
    db.check_audit(known).await.unwrap()
}

/// Past the triggers, as somebody does who owns the database.
async fn tamper(db: &Db, postgres: bool, sql: &str) {
    let triggers = match postgres {
        true => "ALTER TABLE audit DISABLE TRIGGER audit_insert_only",
        false => "DROP TRIGGER IF EXISTS audit_no_update; DROP TRIGGER IF EXISTS audit_no_delete",
    };
    db.write(&cx(), async |tx| {
        tx.execute_unprepared(triggers).await.db()?;
        tx.execute_unprepared(sql).await.db()?;
        Ok(())
    })
    .await
    .unwrap();
}

pub async fn an_audited_write_and_its_row_are_one(store: Store) {
    let db = store.open().await;
    put(&db, &cx(), "unaudited").await;
    assert_eq!(rows(&db).await, 0);
    put(&db, &audited(), "one").await;
    let call = audited();
    let failed = db.write(&call, async |tx| {
        put_cup(&tx, "two", "top", 2).await?;
        Err::<(), _>(Error::new(Code::FailedPrecondition, "NO", "no"))
    });
    assert!(failed.await.is_err());
    assert_eq!((rows(&db).await, count(db.primary(), "cup").await), (1, 2));
    let same =
        "audit WHERE actor = 'user:usr_1' AND method = '/test.v1.Shop/Do' AND subject = 'cup_id=cup_1' AND code = 'OK'";
    assert_eq!(count(db.primary(), same).await, 1);
    assert_eq!(check(&db, &[]).await, Vec::<String>::new());
}

pub async fn a_call_leaves_one_row(store: Store) {
    let db = store.open().await;
    let call = Call { request_id: Some("k".into()), ..audited() };
    for _ in 0..3 {
        db.write(&call, async |tx| put_and_tell(&tx).await).await.unwrap();
    }
    let later = Call { request_id: None, ..call.clone() };
    put(&db, &later, "another write of it").await;
    assert_eq!(rows(&db).await, 1);
    assert!(call.audit.unwrap().is_noted());
    // The same request again, as another call: an answer without an effect leaves nothing here.
    let again = Call { request_id: Some("k".into()), ..audited() };
    db.write(&again, async |tx| put_and_tell(&tx).await).await.unwrap();
    assert_eq!((rows(&db).await, again.audit.unwrap().is_noted()), (1, false));
    let refused = Audited {
        time: 1,
        actor: "anonymous".into(),
        method: "/test.v1.Shop/Do".into(),
        subject: String::new(),
        code: "PERMISSION_DENIED".into(),
        trace: String::new(),
    };
    db.audit(&cx(), &[refused.clone(), refused]).await.unwrap();
    assert_eq!(rows(&db).await, 3);
    assert_eq!(check(&db, &[]).await, Vec::<String>::new());
}

pub async fn parallel_calls_make_whole_chains(store: Store) {
    let db = store.open().await;
    let calls = (0..200).map(|n| {
        let db = db.clone();
        tokio::spawn(async move { put(&db, &audited(), &format!("cup {n}")).await })
    });
    join_all(calls).await.into_iter().for_each(|done| done.unwrap());
    assert_eq!(rows(&db).await, 200);
    assert_eq!(check(&db, &db.audit_heads().await.unwrap()).await, Vec::<String>::new());
}

pub async fn the_trail_is_insert_only(store: Store) {
    let db = store.open().await;
    put(&db, &audited(), "one").await;
    for sql in ["UPDATE audit SET actor = 'user:usr_2'", "DELETE FROM audit"] {
        let e = db.write(&cx(), async |tx| tx.execute_unprepared(sql).await.db().map(|_| ())).await.unwrap_err();
        assert_eq!(e.code(), Code::Internal, "{sql}");
    }
    assert_eq!(check(&db, &[]).await, Vec::<String>::new());
}

/// Every row of a chain, every column of it, and every way to make it disappear.
pub async fn whatever_is_done_to_a_row_is_found(store: Store) {
    const ROWS: i64 = 6;
    let postgres = store.is_postgres();
    let db = store.open().await;
    let chain = fill(&db, ROWS).await;
    tamper(&db, postgres, "CREATE TABLE saved AS SELECT * FROM audit").await;
    for seq in 1..=ROWS {
        let at = format!("chain = {chain} AND seq = {seq}");
        let other = if seq == ROWS { 1 } else { seq + 1 };
        let zero = if postgres { "'\\x00'::bytea" } else { "X'00'" };
        let mut changes: Vec<String> = ["actor", "method", "subject", "code", "trace"]
            .iter()
            .map(|column| format!("UPDATE audit SET {column} = {column} || 'x' WHERE {at}"))
            .collect();
        changes.push(format!("UPDATE audit SET time = time + 1 WHERE {at}"));
        changes.push(format!("UPDATE audit SET hash = {zero} WHERE {at}"));
        changes.push(format!("UPDATE audit SET prev_hash = {zero} WHERE {at}"));
        changes.push(format!("DELETE FROM audit WHERE {at}"));
        changes.push(format!("DELETE FROM audit WHERE chain = {chain} AND seq >= {seq}"));
        changes.push(format!(
            "UPDATE audit SET seq = 1000 WHERE {at}; UPDATE audit SET seq = {seq} WHERE chain = {chain} AND seq = {other}; \
             UPDATE audit SET seq = {other} WHERE chain = {chain} AND seq = 1000"
        ));
        for change in changes {
            assert_eq!(check(&db, &[]).await, Vec::<String>::new());
            tamper(&db, postgres, &change).await;
            let found = check(&db, &[]).await;
            let [what] = found.as_slice() else { panic!("{change}: {found:?}") };
            assert!(what.starts_with(&format!("chain {chain}: ")) && what.contains("row "), "{change}: {what}");
            tamper(&db, postgres, "DELETE FROM audit; INSERT INTO audit SELECT * FROM saved").await;
        }
    }
}

pub async fn what_is_rewritten_behind_the_hashes_is_found_by_the_signed_ends(store: Store) {
    let postgres = store.is_postgres();
    let db = store.open().await;
    fill(&db, 6).await;
    let known = db.audit_heads().await.unwrap();
    let longest = known.iter().max_by_key(|h| h.seq).unwrap();
    let chain = longest.chain;
    assert_eq!(longest.seq, 6);
    // Somebody who knows how hashes are made cuts the end off and writes another one, which fits.
    let second = format!("chain = {chain} AND seq = 2");
    let cut = format!(
        "DELETE FROM audit WHERE chain = {chain} AND seq > 2; \
         UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit WHERE {second}) WHERE chain = {chain}"
    );
    tamper(&db, postgres, &cut).await;
    assert_eq!(check(&db, &[]).await, Vec::<String>::new());
    assert_eq!(check(&db, &known).await, [format!("chain {chain}: it ends at row 2, and row 6 was signed")]);
    while seq(&db, chain).await < 7 {
        one(&db).await;
    }
    assert_eq!(check(&db, &[]).await, Vec::<String>::new());
    assert_eq!(check(&db, &known).await, [format!("chain {chain}: row 6 is not the one that was signed")]);
    tamper(&db, postgres, "DELETE FROM audit; DELETE FROM audit_head").await;
    assert!(check(&db, &known).await.contains(&format!("chain {chain}: it ends at row 0, and row 6 was signed")));
}

/// Until a chain has so many rows: its number.
async fn fill(db: &Db, rows: i64) -> i64 {
    loop {
        one(db).await;
        if let Some(full) = db.audit_heads().await.unwrap().iter().find(|h| h.seq == rows) {
            return full.chain;
        }
    }
}

async fn one(db: &Db) {
    let row = Audited {
        time: 1_000,
        actor: format!("user:usr_{}", uuid::Uuid::now_v7().simple()),
        method: "/test.v1.Shop/Do".into(),
        subject: "cup_id=cup_1".into(),
        code: "OK".into(),
        trace: String::new(),
    };
    db.audit(&cx(), &[row]).await.unwrap();
}

async fn seq(db: &Db, chain: i64) -> i64 {
    db.audit_heads().await.unwrap().iter().find(|h| h.chain == chain).map_or(0, |h| h.seq)
}
