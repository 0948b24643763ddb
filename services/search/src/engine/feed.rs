//! Keeps a kind's index behind its rows, on every replica for itself, and builds new ones beside it.

use super::{
    kind::Row,
    live::Live,
    shelf::{Shelf, Writer},
};
use crate::store::document;
use jangteo_core::{Clock, Error, Result, micros};
use kit::db::Db;
use std::{collections::HashMap, sync::Arc};

/// Rows that are indexed between two looks at what else there is to do.
const SLICE: u64 = 1000;

/// Works one step at a time; its caller decides when.
pub struct Feed {
    shelf: Arc<Shelf>,
    db: Db,
    clock: Arc<dyn Clock>,
    /// Of the index that serves.
    live: Option<Follower>,
    building: Option<Building>,
}

/// What was done in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Idle,
    /// Changes were indexed.
    Fed,
    /// A new index is being built.
    Building,
}

/// An index and how far it has followed the rows.
struct Follower {
    live: Arc<Live>,
    writer: Option<Writer>,
    /// Rows at or behind the position that were seen already: on PostgreSQL they are read again as long as an older
    /// transaction is open.
    seen: HashMap<String, i64>,
    /// Under way, when there is more than a slice.
    sweep: Option<Sweep>,
}

/// One pass over what changed since the position, slice by slice.
struct Sweep {
    /// The position when it is done.
    bound: i64,
    /// Place and id of the last row that was looked at.
    after: (i64, String),
}

/// A new index: all rows in the order of their ids, then what changed meanwhile.
struct Building {
    follower: Follower,
    from: i64,
    after: String,
    scanned: bool,
    begun: std::time::Instant,
}

impl Feed {
    pub fn new(shelf: Arc<Shelf>, db: Db, clock: Arc<dyn Clock>) -> Feed {
        Feed { shelf, db, clock, live: None, building: None }
    }

    /// Brings the index that serves up to date, and a new one a slice further.
    pub async fn step(&mut self) -> Result<Step> {
        let fed = self.follow().await;
        if fed.is_err() {
            // The next step begins at what the last commit left.
            self.live = None;
        }
        let built = self.build().await;
        if built.is_err() {
            self.building = None;
            self.shelf.rebuild();
        }
        Ok(fed?.max(built?))
    }

    async fn follow(&mut self) -> Result<Step> {
        let Some(live) = self.shelf.serving() else { return Ok(Step::Idle) };
        if self.live.as_ref().is_none_or(|f| !Arc::ptr_eq(&f.live, &live)) {
            if live.position() > document::bound(&self.db, self.shelf.kind.name).await? {
                tracing::warn!(
                    kind = self.shelf.kind.name,
                    "the index is ahead of the rows: another database; it is built anew"
                );
                self.shelf.rebuild();
            }
            if !live.folder.exists() {
                self.shelf.rebuild();
            }
            self.live = Some(Follower::open(live).await?);
        }
        let follower = self.live.as_mut().expect("just opened");
        let before = std::time::Instant::now();
        let (rows, step) = follower.follow(&self.db).await?;
        let (kind, now) = (self.shelf.kind.name, micros(self.clock.now()));
        for row in &rows {
            let lag = (now - row.event_time).max(0) as f64 / 1e6;
            metrics::histogram!("search_index_lag_seconds", "kind" => kind).record(lag);
        }
        if !rows.is_empty() {
            metrics::histogram!("search_index_commit_seconds", "kind" => kind).record(before.elapsed());
            metrics::gauge!("search_documents", "kind" => kind).set(follower.live.documents() as f64);
        }
        Ok(step)
    }

    async fn build(&mut self) -> Result<Step> {
        if self.building.is_none() {
            if !self.shelf.wants_building() {
                return Ok(Step::Idle);
            }
            // What is committed before is found by the scan; what comes after, by following from here.
            let from = document::bound(&self.db, self.shelf.kind.name).await?;
            let follower = Follower::open(Arc::new(self.shelf.create()?)).await?;
            let begun = std::time::Instant::now();
            self.building = Some(Building { follower, from, after: String::new(), scanned: false, begun });
        }
        let building = self.building.as_mut().expect("just begun");
        if !building.scanned {
            building.scan(self.shelf.kind.name, &self.db).await?;
            return Ok(Step::Building);
        }
        building.follower.follow(&self.db).await?;
        if building.follower.sweep.is_some() {
            return Ok(Step::Building);
        }
        // It has seen all that the other one has, and what came since is for it to follow.
        let done = self.building.take().expect("looked at above");
        let (kind, documents) = (self.shelf.kind.name, done.follower.live.documents());
        self.shelf.put(done.follower.live.clone())?;
        self.live = Some(done.follower);
        metrics::counter!("search_rebuilds_total", "kind" => kind).increment(1);
        metrics::gauge!("search_documents", "kind" => kind).set(documents as f64);
        tracing::info!(kind, documents, seconds = done.begun.elapsed().as_secs_f64(), "an index was built");
        Ok(Step::Fed)
    }
}

impl Building {
    async fn scan(&mut self, kind: &str, db: &Db) -> Result<()> {
        let rows = document::scan(db, kind, &self.after, SLICE).await?;
        self.scanned = (rows.len() as u64) < SLICE;
        if let Some(last) = rows.last() {
            self.after.clone_from(&last.id);
        }
        let commit = self.scanned.then_some(self.from);
        self.follower.write(rows, commit).await?;
        Ok(())
    }
}

impl Follower {
    async fn open(live: Arc<Live>) -> Result<Follower> {
        let writer = blocking({
            let live = live.clone();
            move || Writer::new(live)
        });
        Ok(Follower { writer: Some(writer.await?), live, seen: HashMap::new(), sweep: None })
    }

    /// Indexes a slice of what changed since the position, which moves when there is nothing behind the slice. Gives the rows.
    async fn follow(&mut self, db: &Db) -> Result<(Vec<Row>, Step)> {
        let (kind, from) = (self.live.kind.name, self.live.position());
        let sweep = match self.sweep.take() {
            Some(sweep) => sweep,
            None => Sweep { bound: document::bound(db, kind).await?, after: (from, String::new()) },
        };
        let changed = document::changed(db, kind, &sweep.after, SLICE).await?;
        let next = changed.last().filter(|_| changed.len() as u64 == SLICE).cloned();
        let position = if next.is_some() { from } else { sweep.bound };
        let fresh = changed.into_iter().filter(|(seq, id)| self.seen.get(id) != Some(seq)).map(|(_, id)| id);
        let rows = document::by_ids(db, kind, &fresh.collect::<Vec<_>>()).await?;
        if rows.is_empty() {
            // The next commit says so on disk; until then the same nothing is read again after a restart.
            self.live.advance(position);
        } else {
            self.seen.extend(rows.iter().map(|r| (r.id.clone(), r.seq)));
            self.write(rows.clone(), Some(position)).await?;
        }
        let step = if next.is_some() || !rows.is_empty() { Step::Fed } else { Step::Idle };
        match next {
            Some(after) => self.sweep = Some(Sweep { after, ..sweep }),
            None => self.seen.retain(|_, seq| *seq >= position),
        }
        Ok((rows, step))
    }

    async fn write(&mut self, rows: Vec<Row>, commit: Option<i64>) -> Result<()> {
        let mut writer = self.writer.take().ok_or_else(|| Error::internal("an index writer was lost in a failure"))?;
        let done = blocking(move || {
            writer.write(&rows)?;
            if let Some(position) = commit {
                writer.commit(position)?;
            }
            Ok(writer)
        });
        self.writer = Some(done.await?);
        Ok(())
    }
}

/// Off the threads that answer calls.
pub async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f).await.map_err(Error::internal)?
}
