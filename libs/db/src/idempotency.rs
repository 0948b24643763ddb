//! One effect for one key. The row is inserted before the effect and in its transaction, so a twin that runs at
//! the same time waits on the row and then finds the answer.
//!
//! A key belongs to whoever sent it. Anonymous callers can't be told apart, so theirs belongs to the request itself:
//! the same key with another body is another request, not a refusal, since the first one may be a stranger's.

use chrono::TimeDelta;
use jangteo_core::{Call, Code, Error, Principal, Result, Time, micros};
use sea_orm::ConnectionTrait;

use crate::{Db, DbResult, Tx, error::contention, sql, write::Retry};

/// How long an answer is kept.
const KEEP: TimeDelta = TimeDelta::hours(48);

/// The stored answer to this call, or `None` when the call is the first with its key.
pub(crate) async fn open(tx: &Tx) -> Result<Option<Vec<u8>>> {
    let (cx, backend) = (tx.call(), tx.get_database_backend());
    let request_id = cx.request_id.as_deref().unwrap_or_default();
    let (principal, fingerprint) = (owner(cx), cx.fingerprint.as_slice());
    let insert = sql::statement(
        backend,
        "INSERT INTO idempotency (principal, method, request_id, fingerprint, time) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (principal, method, request_id) DO NOTHING RETURNING time",
        [
            principal.clone().into(),
            (*cx.method).into(),
            request_id.into(),
            fingerprint.to_vec().into(),
            micros(cx.now).into(),
        ],
    );
    if tx.query_one_raw(insert).await.db()?.is_some() {
        return Ok(None);
    }
    let select = sql::statement(
        backend,
        "SELECT fingerprint, response FROM idempotency WHERE principal = $1 AND method = $2 AND request_id = $3",
        [principal.into(), (*cx.method).into(), request_id.into()],
    );
    let Some(row) = tx.query_one_raw(select).await.db()? else {
        // The row that stood in the way is outside our snapshot.
        tx.retry(Retry::Contention);
        return Err(contention());
    };
    if sql::column::<Vec<u8>>(&row, "fingerprint")? != fingerprint {
        let message = "this request id was used before, for another request";
        return Err(Error::new(Code::InvalidArgument, "REQUEST_ID_REUSED", message).with("request_id", request_id));
    }
    metrics::counter!("db_write_replays_total", "service" => tx.db().service()).increment(1);
    sql::column(&row, "response").map(Some)
}

pub(crate) async fn close(tx: &Tx, reply: Vec<u8>) -> Result<()> {
    let cx = tx.call();
    let request_id = cx.request_id.as_deref().unwrap_or_default();
    let update = sql::statement(
        tx.get_database_backend(),
        "UPDATE idempotency SET response = $1 WHERE principal = $2 AND method = $3 AND request_id = $4",
        [reply.into(), owner(cx).into(), (*cx.method).into(), request_id.into()],
    );
    tx.execute_raw(update).await.db()?;
    Ok(())
}

/// In whose name a key is kept.
fn owner(cx: &Call) -> String {
    match &cx.principal {
        Principal::Anonymous => {
            cx.fingerprint[..16].iter().fold("anonymous:".to_owned(), |s, b| s + &format!("{b:02x}"))
        }
        somebody => somebody.key(),
    }
}

impl Db {
    /// Forgets answers older than two days, which is longer than any client repeats a request.
    pub async fn sweep(&self, now: Time) -> Result<u64> {
        let before = micros(now - KEEP);
        self.bulk(&[sql::statement(self.backend(), "DELETE FROM idempotency WHERE time < $1", [before.into()])]).await
    }
}
