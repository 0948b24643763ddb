//! The trail of audited calls, as chains in which each row holds the hash of the one before it.
//!
//! A call that writes leaves its row in the transaction of its effect, so that one is never without the other; what was
//! refused, failed or only read is written afterwards ([`Db::audit`]). Whoever appends to a chain locks its end until the
//! commit, so on PostgreSQL, where writers are many, each connection has a chain nearly to itself. Hashes alone don't stop
//! somebody who can write everything: what was known of the ends of the chains at some time has to be kept elsewhere, signed, and be compared ([`Db::check_audit`]).

use jangteo_core::{Call, Error, Result, Trace, micros};
use ring::digest::{Context, SHA256};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult};
use std::{collections::HashMap, sync::Arc};

use crate::{Db, DbResult, Tx, sql};

/// Chains of a database with many writers, by connection: two that share one would lose serialisable transactions to each
/// other.
const CHAINS: i64 = 64;
/// Rows that are looked at at once.
const PAGE: i64 = 1_000;

/// A call, for the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Microseconds since 1970.
    pub time: i64,
    pub actor: String,
    pub method: String,
    pub subject: String,
    /// Of gRPC, as a name.
    pub code: String,
    pub trace: String,
}

impl Audited {
    /// The trace's id alone.
    pub fn trace(trace: &Trace) -> String {
        trace.traceparent.as_deref().and_then(|t| t.split('-').nth(1)).unwrap_or_default().to_owned()
    }
}

/// Where a chain ended at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    pub chain: i64,
    /// The number of its last row.
    pub seq: i64,
    /// In hexadecimal.
    pub hash: String,
}

/// In the transaction of a call that succeeds: its row, unless an earlier transaction of it left one.
pub(crate) async fn append_own(tx: &Tx) -> Result<()> {
    let call = tx.call();
    let Some(audit) = call.audit.clone().filter(|audit| !audit.is_noted()) else { return Ok(()) };
    let row = Audited {
        time: micros(call.now),
        actor: audit.actor().to_owned(),
        method: call.method.to_string(),
        subject: audit.subject().to_owned(),
        code: "OK".to_owned(),
        trace: Audited::trace(&call.trace),
    };
    append(tx, &row).await?;
    tx.after_commit(move || audit.note());
    Ok(())
}

async fn append(tx: &Tx, row: &Audited) -> Result<()> {
    let backend = tx.get_database_backend();
    let chain = match backend {
        DbBackend::Postgres => format!("pg_backend_pid() % {CHAINS}"),
        _ => "0".to_owned(),
    };
    let next = format!(
        "INSERT INTO audit_head (chain, seq, hash) VALUES ({chain}, 1, $1) \
         ON CONFLICT (chain) DO UPDATE SET seq = audit_head.seq + 1 RETURNING chain, seq, hash"
    );
    let head = tx.query_one_raw(sql::statement(backend, next, [Vec::<u8>::new().into()])).await.db()?;
    let head = head.ok_or_else(|| Error::internal("a chain without an end"))?;
    let (chain, seq): (i64, i64) = (sql::column(&head, "chain")?, sql::column(&head, "seq")?);
    let prev: Vec<u8> = sql::column(&head, "hash")?;
    let hash = hash(tx.db().service(), chain, seq, row, &prev);
    let insert = "INSERT INTO audit (chain, seq, time, actor, method, subject, code, trace, prev_hash, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let values = [
        chain.into(),
        seq.into(),
        row.time.into(),
        row.actor.as_str().into(),
        row.method.as_str().into(),
        row.subject.as_str().into(),
        row.code.as_str().into(),
        row.trace.as_str().into(),
        prev.into(),
        hash.into(),
    ];
    let end = "UPDATE audit_head SET hash = $10 WHERE chain = $1";
    // One round trip for both.
    let both = match backend {
        DbBackend::Postgres => format!("WITH a AS ({insert}) {end}"),
        _ => format!("{insert}; {end}"),
    };
    tx.execute_raw(sql::statement(backend, both, values)).await.db()?;
    Ok(())
}

/// SHA-256 over the row: each field's length before it, so that no two rows give the same bytes.
fn hash(service: &str, chain: i64, seq: i64, row: &Audited, prev: &[u8]) -> Vec<u8> {
    let mut sum = Context::new(&SHA256);
    let (chain, seq, time) = (chain.to_be_bytes(), seq.to_be_bytes(), row.time.to_be_bytes());
    let texts = [&row.actor, &row.method, &row.subject, &row.code, &row.trace].map(|t| t.as_bytes());
    for part in [service.as_bytes(), &chain, &seq, &time].into_iter().chain(texts).chain([prev]) {
        sum.update(&(part.len() as u64).to_be_bytes());
        sum.update(part);
    }
    sum.finish().as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Db {
    /// Writes calls that left no row with their effect.
    pub async fn audit(&self, cx: &Call, rows: &[Audited]) -> Result<()> {
        let cx = Call { audit: None, request_id: None, ..cx.clone() };
        let rows = Arc::<[Audited]>::from(rows);
        self.transact(&cx, false, |tx| {
            let rows = rows.clone();
            async move {
                for row in rows.iter() {
                    append(&tx, row).await?;
                }
                Ok(())
            }
        })
        .await
    }

    /// Where the chains end now.
    pub async fn audit_heads(&self) -> Result<Vec<AuditHead>> {
        let stmt = sql::statement(self.backend(), "SELECT chain, seq, hash FROM audit_head ORDER BY chain", []);
        self.primary().query_all_raw(stmt).await.db()?.iter().map(head).collect()
    }

    /// Reads every chain and says what is wrong with it, by the number of the row. `known`: where chains ended at earlier
    /// times, by somebody who can be believed.
    pub async fn check_audit(&self, known: &[AuditHead]) -> Result<Vec<String>> {
        let heads = self.audit_heads().await?;
        let mut chains: Vec<i64> = known.iter().chain(&heads).map(|h| h.chain).collect();
        let stmt = sql::statement(self.backend(), "SELECT DISTINCT chain FROM audit", []);
        for row in self.primary().query_all_raw(stmt).await.db()? {
            chains.push(sql::column(&row, "chain")?);
        }
        chains.sort_unstable();
        chains.dedup();
        let mut wrong = Vec::new();
        for chain in chains {
            let known: HashMap<i64, &str> =
                known.iter().filter(|h| h.chain == chain).map(|h| (h.seq, h.hash.as_str())).collect();
            let end = heads.iter().find(|h| h.chain == chain);
            wrong.extend(self.check_chain(chain, end, known).await?.map(|what| format!("chain {chain}: {what}")));
        }
        Ok(wrong)
    }

    /// The first thing that is wrong with a chain: what follows it can't be trusted either way.
    async fn check_chain(
        &self,
        chain: i64,
        end: Option<&AuditHead>,
        mut known: HashMap<i64, &str>,
    ) -> Result<Option<String>> {
        // Rows behind the end that was read are being appended now.
        let last = end.map_or(0, |h| h.seq);
        let (mut seq, mut prev) = (0, Vec::new());
        loop {
            let select = "SELECT seq, time, actor, method, subject, code, trace, prev_hash, hash FROM audit \
                 WHERE chain = $1 AND seq > $2 AND (CAST($3 AS BIGINT) = 0 OR seq <= $3) ORDER BY seq LIMIT $4";
            let values = [chain.into(), seq.into(), last.into(), PAGE.into()];
            let rows = self.primary().query_all_raw(sql::statement(self.backend(), select, values)).await.db()?;
            let done = (rows.len() as i64) < PAGE;
            for row in &rows {
                let at: i64 = sql::column(row, "seq")?;
                if at != seq + 1 {
                    return Ok(Some(format!("row {} is missing", seq + 1)));
                }
                let (before, stored): (Vec<u8>, Vec<u8>) = (sql::column(row, "prev_hash")?, sql::column(row, "hash")?);
                if before != prev {
                    return Ok(Some(format!("row {at} doesn't follow on row {seq}")));
                }
                if hash(self.service(), chain, at, &audited(row)?, &before) != stored {
                    return Ok(Some(format!("row {at} was changed")));
                }
                if known.remove(&at).is_some_and(|hash| hash != hex(&stored)) {
                    return Ok(Some(format!("row {at} is not the one that was signed")));
                }
                (seq, prev) = (at, stored);
            }
            if done {
                break;
            }
        }
        if let Some(signed) = known.keys().max() {
            return Ok(Some(format!("it ends at row {seq}, and row {signed} was signed")));
        }
        Ok(match end {
            Some(end) if end.seq == seq && end.hash == hex(&prev) => None,
            Some(end) => Some(format!("it ends at row {seq}, and its end says row {}", end.seq)),
            None => Some(format!("it ends at row {seq}, and nothing says so")),
        })
    }
}

fn head(row: &QueryResult) -> Result<AuditHead> {
    let hash: Vec<u8> = sql::column(row, "hash")?;
    Ok(AuditHead { chain: sql::column(row, "chain")?, seq: sql::column(row, "seq")?, hash: hex(&hash) })
}

fn audited(row: &QueryResult) -> Result<Audited> {
    Ok(Audited {
        time: sql::column(row, "time")?,
        actor: sql::column(row, "actor")?,
        method: sql::column(row, "method")?,
        subject: sql::column(row, "subject")?,
        code: sql::column(row, "code")?,
        trace: sql::column(row, "trace")?,
    })
}
