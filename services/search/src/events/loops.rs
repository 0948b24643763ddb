//! What every replica does for itself (its indexes, its words), and what one does for all (query counts).

use crate::{
    Search,
    domain::synonym::Synonyms,
    engine::{Feed, Step},
    kinds::product,
    store::{
        self,
        query_day::{Counts, Top},
    },
};
use jangteo_core::{Call, Result, Time, micros};
use kit::Stop;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often other replicas' synonyms are looked for.
const WORDS: Duration = Duration::from_secs(2);
/// How often the popular queries are read.
const POPULAR: Duration = Duration::from_secs(60);
/// How many of them are kept.
const POPULAR_QUERIES: u64 = 2_000;
/// Days that count for them.
const POPULAR_DAYS: i64 = 30;
/// Commits take at most one part of so many of the time: each is a handful of files and as many waits for the disk.
const COMMIT_PARTS: u32 = 5;
/// The longest pause for that, so that a change is found within a second.
const LONGEST: Duration = Duration::from_millis(500);
/// The pause after a failure.
const FAILED: Duration = Duration::from_secs(1);

impl Search {
    /// Keeps this replica's indexes behind the rows: at once when they change in this process, by polling otherwise.
    pub async fn index(self: Arc<Self>, stop: Stop) {
        let mut feeds: Vec<_> =
            self.shelves.iter().map(|s| Feed::new(s.clone(), self.db.clone(), self.clock.clone())).collect();
        let mut audited = Instant::now();
        loop {
            let mut pause = Duration::from_millis(self.config.poll_ms);
            let (begun, mut fed) = (Instant::now(), false);
            for feed in &mut feeds {
                match feed.step().await {
                    Ok(Step::Idle) => {}
                    Ok(Step::Fed) => fed = true,
                    Ok(Step::Building) => pause = Duration::ZERO,
                    Err(error) => {
                        tracing::error!(error = ?error, "indexing failed and is tried again");
                        pause = FAILED;
                    }
                }
            }
            let took = begun.elapsed();
            if audited.elapsed() >= Duration::from_secs(self.config.audit_secs) {
                audited = Instant::now();
                self.audit().await;
            }
            // Between commits there is a pause in any case, so that a burst of changes is one commit.
            let mut rest = Duration::from_millis(self.config.commit_ms);
            if fed && !pause.is_zero() {
                rest = rest.max((took * (COMMIT_PARTS - 1)).min(LONGEST));
                pause = rest;
            }
            let least = rest.min(pause);
            let woken = async {
                tokio::time::sleep(least).await;
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep(pause - least) => {}
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = woken => {}
            }
        }
    }

    /// An index that is not what the rows say is built anew.
    pub async fn audit(&self) {
        for shelf in &self.shelves {
            match self.differences(shelf).await {
                Ok(wrong) if wrong.is_empty() => {}
                Ok(wrong) => {
                    tracing::error!(
                        kind = shelf.kind.name,
                        wrong = wrong.len(),
                        first = wrong[0],
                        "an index differs from its rows"
                    );
                    shelf.rebuild();
                }
                Err(error) => tracing::warn!(kind = shelf.kind.name, error = ?error, "an index was not compared"),
            }
        }
    }

    /// Follows the synonyms and the popular queries.
    pub async fn words(self: Arc<Self>, stop: Stop) {
        let (mut version, mut read) = (None, None::<Instant>);
        loop {
            if let Err(error) = self.read_synonyms(&mut version).await {
                tracing::warn!(error = ?error, "reading the synonyms failed");
            }
            if read.is_none_or(|at| at.elapsed() >= POPULAR) {
                match self.read_popular().await {
                    Ok(()) => read = Some(Instant::now()),
                    Err(error) => tracing::warn!(error = ?error, "reading the popular queries failed"),
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.reworded.notified() => {}
                () = tokio::time::sleep(WORDS) => {}
            }
        }
    }

    pub async fn read_synonyms(&self, known: &mut Option<i64>) -> Result<()> {
        let (groups, version) = store::synonym::load(self.db.primary()).await?;
        if *known != Some(version) {
            self.synonyms.store(Arc::new(Synonyms::with(&groups)));
            *known = Some(version);
        }
        Ok(())
    }

    /// Queries that several people asked and that found something.
    pub async fn read_popular(&self) -> Result<()> {
        let since = day(self.clock.now()) - POPULAR_DAYS;
        let top = Top::Found { at_least: self.config.suggest_min_searches };
        let found = store::query_day::top(&self.db, product::NAME, since, top, POPULAR_QUERIES).await?;
        self.popular.store(Arc::new(found.into_iter().map(|s| s.query).collect()));
        Ok(())
    }

    /// Writes what all replicas counted. The batch's id is the key of the write, so that a batch that comes again after a crash
    /// counts once.
    pub async fn flush_queries(self: Arc<Self>, cx: Call) -> Result<()> {
        while let Some(batch) = self.queries.drain().await? {
            let mut counts: BTreeMap<(String, String), Counts> = BTreeMap::new();
            for (key, n) in &batch.counts {
                let mut parts = key.splitn(3, SEPARATOR);
                let (Some(what), Some(kind), Some(query)) = (parts.next(), parts.next(), parts.next()) else {
                    continue;
                };
                let of = counts.entry((kind.to_owned(), query.to_owned())).or_default();
                match what {
                    SEARCHES => of.searches += n,
                    ZERO_HITS => of.zero_hits += n,
                    CLICKS => of.clicks += n,
                    POSITIONS => of.positions += n,
                    _ => {}
                }
            }
            let (mut cx, counts) = (cx.clone(), &counts);
            cx.request_id = Some(batch.id.clone());
            let day = day(cx.now);
            self.db.write(&cx, async |tx| store::query_day::add(&tx, day, counts).await).await?;
            self.queries.settle(&batch).await?;
        }
        Ok(())
    }

    pub async fn forget_queries(self: Arc<Self>, cx: Call) -> Result<()> {
        let before = day(cx.now) - self.config.analytics_days;
        self.db.write(&cx, async |tx| store::query_day::forget(&tx, before).await).await
    }

    /// Counts something of a query, without a write of its own.
    pub fn tally(&self, what: &str, kind: &str, query: &str, n: i64) {
        if !query.is_empty() {
            self.queries.add(&format!("{what}{SEPARATOR}{kind}{SEPARATOR}{query}"), n);
        }
    }
}

pub const SEARCHES: &str = "searches";
pub const ZERO_HITS: &str = "zero_hits";
pub const CLICKS: &str = "clicks";
pub const POSITIONS: &str = "positions";
/// No query has it: control characters are spaces by then.
const SEPARATOR: char = '\u{1f}';

/// Days since 1970, UTC.
pub fn day(now: Time) -> i64 {
    micros(now).div_euclid(86_400_000_000)
}
