//! One lane for each aggregate: one event after the other by version within a lane, and the lanes in parallel.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
};
use tokio::task::JoinSet;

/// Aggregate and its id.
pub(crate) type Key = (String, String);

struct Lane<T> {
    /// Versions being handled: one, unless a late lower one overtook it.
    running: Vec<i64>,
    queue: VecDeque<(i64, T)>,
}

/// `T` waits in a lane, `O` is what handling it gives.
pub(crate) struct Lanes<T, O> {
    lanes: HashMap<Key, Lane<T>>,
    tasks: JoinSet<(Key, i64, O)>,
}

impl<T, O: Send + 'static> Lanes<T, O> {
    pub fn new() -> Self {
        Lanes { lanes: HashMap::new(), tasks: JoinSet::new() }
    }

    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    /// How many wait in the lane.
    pub fn waiting(&self, key: &Key) -> usize {
        self.lanes.get(key).map_or(0, |l| l.queue.len())
    }

    /// Puts `item` in its lane; gives it back when it is its turn, for the caller to [`start`](Self::start).
    ///
    /// A version below the running one doesn't queue: the running one may be waiting for exactly this.
    pub fn push(&mut self, key: &Key, version: i64, item: T) -> Option<T> {
        let lane = self.lanes.entry(key.clone()).or_insert_with(|| Lane { running: vec![], queue: VecDeque::new() });
        if lane.running.iter().all(|r| version < *r) {
            lane.running.push(version);
            return Some(item);
        }
        let at = lane.queue.partition_point(|(v, _)| *v <= version);
        lane.queue.insert(at, (version, item));
        None
    }

    pub fn start(&mut self, key: Key, version: i64, work: impl Future<Output = O> + Send + 'static) {
        self.tasks.spawn(async move { (key, version, work.await) });
    }

    /// What was finished, and what is next in that lane, for the caller to start. `None` when idle.
    pub async fn finished(&mut self) -> Option<(O, Option<(Key, i64, T)>)> {
        let (key, version, out) = self.tasks.join_next().await?.expect("work catches its panics");
        let lane = self.lanes.get_mut(&key).expect("a running lane exists");
        if let Some(i) = lane.running.iter().position(|v| *v == version) {
            lane.running.swap_remove(i);
        }
        let turn = lane.queue.front().is_some_and(|(v, _)| lane.running.iter().all(|r| v < r));
        let next = if turn { lane.queue.pop_front() } else { None };
        match next {
            Some((v, item)) => {
                lane.running.push(v);
                Some((out, Some((key, v, item))))
            }
            None => {
                if lane.running.is_empty() {
                    self.lanes.remove(&key);
                }
                Some((out, None))
            }
        }
    }

    /// Empties the queues; what runs goes on.
    pub fn give_up(&mut self) -> Vec<T> {
        self.lanes.values_mut().flat_map(|l| l.queue.drain(..)).map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        ("product".into(), "prd_1".into())
    }

    #[tokio::test]
    async fn one_at_a_time_by_version_and_a_lower_one_overtakes() {
        let mut lanes: Lanes<i64, i64> = Lanes::new();
        assert_eq!(lanes.push(&key(), 5, 5), Some(5));
        assert_eq!(lanes.push(&key(), 7, 7), None);
        assert_eq!(lanes.push(&key(), 6, 6), None);
        assert_eq!(lanes.push(&key(), 4, 4), Some(4));
        lanes.start(key(), 5, async { 5 });
        lanes.start(key(), 4, std::future::pending());
        assert!(lanes.finished().await.unwrap().1.is_none(), "6 must wait for 4");
        assert_eq!(lanes.waiting(&key()), 2);
        assert_eq!(lanes.give_up(), [6, 7]);
    }

    #[tokio::test]
    async fn the_lane_goes_on_in_order() {
        let mut lanes: Lanes<i64, i64> = Lanes::new();
        for v in [1, 3, 2] {
            if let Some(v) = lanes.push(&key(), v, v) {
                lanes.start(key(), v, async move { v });
            }
        }
        let mut seen = vec![];
        while let Some((out, next)) = lanes.finished().await {
            seen.push(out);
            if let Some((key, v, item)) = next {
                lanes.start(key, v, async move { item });
            }
        }
        assert_eq!(seen, [1, 2, 3]);
        assert!(lanes.is_idle() && lanes.lanes.is_empty());
    }
}
