//! The trail of audited calls beyond the transactions that write it: the outcomes of calls that had no effect, and signed
//! checkpoints outside the databases, by which `jangteo verify` finds what somebody with all rights on them has changed.
//!
//! A checkpoint says where a chain ended at some time, signed with a key derived from the master secret, which no database
//! holds. It is a line of a file, and of the log. What was changed behind the last checkpoint, seconds ago, is found only
//! as far as the hashes don't fit.

use crate::{
    Config,
    secrets::{hex, unhex},
};
use bus::Stop;
use db::{AuditHead, Audited, Db};
use jangteo_core::{Call, Clock, Error, Result, micros};
use ring::hmac;
use rpc::Outcome;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

/// Outcomes that wait to be written; more are counted and logged, and lost to the trail.
pub(crate) const QUEUE: usize = 10_000;
/// Outcomes in one transaction.
const BATCH: usize = 100;

/// A line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Checkpoint {
    service: String,
    /// Which of the service's databases.
    database: usize,
    chain: i64,
    seq: i64,
    hash: String,
    /// Microseconds since 1970.
    time: i64,
    mac: String,
}

impl Checkpoint {
    fn signed(&self) -> Vec<u8> {
        let Checkpoint { service, database, chain, seq, hash, time, mac: _ } = self;
        format!("{service} {database} {chain} {seq} {hash} {time}").into_bytes()
    }
}

/// Writes and reads checkpoints.
pub(crate) struct Checkpoints {
    key: hmac::Key,
    folder: Option<PathBuf>,
    every: Duration,
}

impl Checkpoints {
    pub fn new(config: &Config, key: &[u8; 32]) -> Checkpoints {
        let embedded = config.is_embedded().then(|| config.data.join("audit"));
        Checkpoints {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            folder: config.audit.folder.clone().or(embedded),
            every: Duration::from_millis(config.audit.checkpoint_ms.max(1)),
        }
    }

    fn file(&self, service: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{service}.jsonl")))
    }

    /// Writes where the chains of a database end, those that went on since `seen`.
    fn write(
        &self,
        db: &Db,
        database: usize,
        heads: &[AuditHead],
        seen: &mut HashMap<i64, i64>,
        now: i64,
    ) -> Result<()> {
        let mut lines = String::new();
        for head in heads.iter().filter(|h| seen.get(&h.chain) != Some(&h.seq)) {
            let AuditHead { chain, seq, hash } = head.clone();
            let service = db.service().to_owned();
            let mut point = Checkpoint { service, database, chain, seq, hash, time: now, mac: String::new() };
            point.mac = hex(hmac::sign(&self.key, &point.signed()).as_ref());
            let Checkpoint { service, hash, mac, .. } = &point;
            tracing::info!(target: "audit", service, database, chain, seq, hash, time = now, mac, "audit checkpoint");
            lines.push_str(&serde_json::to_string(&point).map_err(Error::internal)?);
            lines.push('\n');
        }
        if let (Some(path), false) = (self.file(db.service()), lines.is_empty()) {
            append(&path, &lines).map_err(Error::internal)?;
        }
        seen.extend(heads.iter().map(|h| (h.chain, h.seq)));
        Ok(())
    }

    /// What is wrong with the trail of a service.
    pub async fn check(&self, service: &str, dbs: &[Db]) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut known: BTreeMap<usize, Vec<AuditHead>> = BTreeMap::new();
        let text = match self.file(service).map(fs::read_to_string) {
            Some(Ok(text)) => text,
            // Nothing was audited yet, or the checkpoints are in the log alone.
            Some(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Some(Err(e)) => return Err(Error::internal(e)),
            None => String::new(),
        };
        // A line that is being written ends in nothing.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (n, line) in whole.lines().enumerate() {
            match self.read(line) {
                Some(p) if p.service == service => {
                    known.entry(p.database).or_default().push(AuditHead { chain: p.chain, seq: p.seq, hash: p.hash });
                }
                _ => wrong.push(format!("checkpoint {} of {service} is not signed by us", n + 1)),
            }
        }
        for (n, db) in dbs.iter().enumerate() {
            let known = known.remove(&n).unwrap_or_default();
            let found = db.check_audit(&known).await?;
            wrong.extend(
                found.into_iter().map(|what| if dbs.len() > 1 { format!("database {n}, {what}") } else { what }),
            );
        }
        Ok(wrong)
    }

    fn read(&self, line: &str) -> Option<Checkpoint> {
        let point: Checkpoint = serde_json::from_str(line).ok()?;
        hmac::verify(&self.key, &point.signed(), &unhex(&point.mac)?).ok()?;
        Some(point)
    }

    /// Writes checkpoints of these databases until the stop, and once more then.
    pub async fn keep(self: Arc<Self>, databases: Vec<(usize, Db)>, clock: Arc<dyn Clock>, stop: Stop) {
        let mut seen: Vec<HashMap<i64, i64>> = vec![HashMap::new(); databases.len()];
        loop {
            let last = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(self.every) => false,
            };
            for ((n, db), seen) in databases.iter().zip(&mut seen) {
                let done = match db.audit_heads().await {
                    Ok(heads) => self.write(db, *n, &heads, seen, micros(clock.now())),
                    Err(e) => Err(e),
                };
                if let Err(error) = done {
                    tracing::warn!(service = db.service(), error = ?error, "no audit checkpoint; tried again");
                }
            }
            if last {
                return;
            }
        }
    }
}

/// Writes outcomes into the trails of the services that they are of, until the stop, and those that wait then.
pub(crate) async fn follow(
    mut outcomes: mpsc::Receiver<Outcome>,
    trails: HashMap<&'static str, Db>,
    clock: Arc<dyn Clock>,
    stop: Stop,
) {
    let mut waiting = Vec::with_capacity(BATCH);
    loop {
        let stopped = tokio::select! {
            biased;
            n = outcomes.recv_many(&mut waiting, BATCH) => n == 0,
            () = stop.cancelled() => true,
        };
        let mut by_service: HashMap<&str, Vec<Audited>> = HashMap::new();
        for outcome in waiting.drain(..) {
            if let Some((name, _)) = trails.get_key_value(service(&outcome.method)) {
                by_service.entry(name).or_default().push(row(&outcome));
            }
        }
        for (name, rows) in by_service {
            let cx = Call::system(name, "audit", clock.now());
            if let Err(error) = trails[name].audit(&cx, &rows).await {
                tracing::error!(target: "audit", service = name, rows = rows.len(), error = ?error, "calls are not in the trail");
            }
        }
        if stopped && outcomes.is_empty() {
            return;
        }
    }
}

/// `payment` of `/jangteo.payment.v1.PaymentService/Settle`.
fn service(method: &str) -> &str {
    method.split('.').nth(1).unwrap_or_default()
}

fn row(o: &Outcome) -> Audited {
    Audited {
        time: micros(o.now),
        actor: o.audit.actor().to_owned(),
        method: o.method.to_string(),
        subject: o.audit.subject().to_owned(),
        code: o.code.name().to_owned(),
        trace: Audited::trace(&o.trace),
    }
}

fn append(path: &Path, lines: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(lines.as_bytes())?;
    file.sync_data()
}
