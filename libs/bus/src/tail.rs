//! The end of a log in memory, for all the consumers of a process: each event is read once, however many listen.

use crate::{Envelope, Log};
use async_trait::async_trait;
use jangteo_core::Result;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, watch};

/// Events that are kept.
const KEEP: usize = 512;
/// Rows that are read at once.
const PAGE: usize = 128;
/// Commits of other processes wake nobody, so nothing that was read counts as the end for longer.
const TRUSTED: Duration = Duration::from_millis(500);

/// A log, read once for all. Who is further behind than what is kept reads for itself.
pub(crate) struct Tail {
    log: Arc<dyn Log>,
    end: Mutex<End>,
}

/// Every row behind `floor` up to `head`.
struct End {
    rows: VecDeque<(i64, Envelope)>,
    floor: i64,
    head: i64,
    changed: watch::Receiver<u64>,
    /// When a read last came to the end of the log.
    reached: Option<Instant>,
}

impl Tail {
    pub fn new(log: Arc<dyn Log>) -> Tail {
        let changed = log.changed();
        let end = End { rows: VecDeque::new(), floor: 0, head: 0, changed, reached: None };
        Tail { log, end: Mutex::new(end) }
    }
}

impl End {
    fn is_known(&self) -> bool {
        self.reached.is_some_and(|at| at.elapsed() < TRUSTED) && matches!(self.changed.has_changed(), Ok(false))
    }

    async fn read(&mut self, log: &dyn Log) -> Result<()> {
        self.changed.borrow_and_update();
        let rows = log.after(self.head, PAGE).await?;
        self.reached = (rows.len() < PAGE).then(Instant::now);
        for (seq, envelope) in rows {
            self.head = seq;
            self.rows.push_back((seq, envelope));
        }
        while self.rows.len() > KEEP {
            self.floor = self.rows.pop_front().map_or(self.floor, |(seq, _)| seq);
        }
        Ok(())
    }

    fn after(&self, seq: i64, limit: usize) -> Vec<(i64, Envelope)> {
        let from = self.rows.partition_point(|(s, _)| *s <= seq);
        self.rows.range(from..).take(limit).cloned().collect()
    }
}

#[async_trait]
impl Log for Tail {
    fn source(&self) -> &str {
        self.log.source()
    }

    async fn after(&self, seq: i64, limit: usize) -> Result<Vec<(i64, Envelope)>> {
        let mut end = self.end.lock().await;
        if seq < end.floor {
            drop(end);
            return self.log.after(seq, limit).await;
        }
        if seq > end.head {
            // The furthest reader of all: what is kept begins with what it has not seen.
            end.rows.clear();
            (end.floor, end.head, end.reached) = (seq, seq, None);
        }
        if seq == end.head && !end.is_known() {
            end.read(&*self.log).await?;
        }
        Ok(end.after(seq, limit))
    }

    async fn head(&self) -> Result<i64> {
        self.log.head().await
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.log.changed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Mutex as Shared,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    /// Rows by number, and how often it was asked.
    struct Rows {
        rows: Shared<Vec<i64>>,
        asked: AtomicUsize,
        changed: watch::Sender<u64>,
    }

    impl Rows {
        fn new(rows: impl IntoIterator<Item = i64>) -> Arc<Rows> {
            let rows = Shared::new(rows.into_iter().collect());
            Arc::new(Rows { rows, asked: AtomicUsize::new(0), changed: watch::Sender::new(0) })
        }

        fn commit(&self, seq: i64) {
            self.commit_elsewhere(seq);
            self.changed.send_modify(|n| *n += 1);
        }

        /// As another process does.
        fn commit_elsewhere(&self, seq: i64) {
            self.rows.lock().unwrap().push(seq);
        }

        fn asked(&self) -> usize {
            self.asked.swap(0, Relaxed)
        }
    }

    #[async_trait]
    impl Log for Rows {
        fn source(&self) -> &str {
            "rows"
        }
        async fn after(&self, seq: i64, limit: usize) -> Result<Vec<(i64, Envelope)>> {
            self.asked.fetch_add(1, Relaxed);
            let rows = self.rows.lock().unwrap();
            Ok(rows.iter().filter(|s| **s > seq).take(limit).map(|s| (*s, Envelope::default())).collect())
        }
        async fn head(&self) -> Result<i64> {
            Ok(self.rows.lock().unwrap().last().copied().unwrap_or(0))
        }
        fn changed(&self) -> watch::Receiver<u64> {
            self.changed.subscribe()
        }
    }

    async fn after(tail: &Tail, seq: i64) -> Vec<i64> {
        tail.after(seq, 100).await.unwrap().into_iter().map(|(s, _)| s).collect()
    }

    #[tokio::test]
    async fn many_consumers_read_once() {
        let rows = Rows::new([3, 5]);
        let tail = Tail::new(rows.clone());
        for _ in 0..4 {
            assert_eq!(after(&tail, 0).await, [3, 5]);
            assert_eq!(after(&tail, 3).await, [5]);
        }
        rows.asked();
        for _ in 0..4 {
            assert!(after(&tail, 5).await.is_empty());
        }
        assert!(rows.asked() <= 1, "the end was known");
        rows.commit(6);
        for _ in 0..4 {
            assert_eq!(after(&tail, 5).await, [6]);
        }
        assert_eq!(rows.asked(), 1);
    }

    #[tokio::test]
    async fn what_another_process_commits_is_found() {
        let rows = Rows::new([1]);
        let tail = Tail::new(rows.clone());
        assert_eq!(after(&tail, 0).await, [1]);
        assert!(after(&tail, 1).await.is_empty());
        rows.commit_elsewhere(2);
        tail.end.lock().await.reached = Instant::now().checked_sub(TRUSTED);
        assert_eq!(after(&tail, 1).await, [2]);
    }

    #[tokio::test]
    async fn nobody_misses_a_row_wherever_they_begin() {
        let last = 3 * KEEP as i64;
        let rows = Rows::new(1..=last);
        let tail = Tail::new(rows.clone());
        let ahead = last - 10;
        assert_eq!(after(&tail, ahead).await, (ahead + 1..=last).collect::<Vec<_>>());
        for start in [0, 1, ahead - 1, ahead, last - 1] {
            let (mut at, mut seen) = (start, Vec::new());
            loop {
                let page = after(&tail, at).await;
                let Some(newest) = page.last() else { break };
                at = *newest;
                seen.extend(page);
            }
            assert_eq!(seen, (start + 1..=last).collect::<Vec<_>>(), "from {start}");
        }
        for seq in last + 1..=last + 2 * KEEP as i64 {
            rows.commit(seq);
        }
        let mut at = last;
        while at < last + 2 * KEEP as i64 {
            let page = after(&tail, at).await;
            assert_eq!(page.first(), Some(&(at + 1)));
            at = *page.last().unwrap();
        }
    }
}
