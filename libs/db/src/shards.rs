//! One table over several databases. A service counts in logical shards, a number that never changes; they are
//! dealt out to as many databases as there are. An id carries its shard in the low byte of its UUID, so a row is
//! found from its id alone.

use std::{cmp::Ordering, sync::Arc};

use futures::future::try_join_all;
use jangteo_core::{Entity, Error, Id, Page, Result};
use uuid::Uuid;

use crate::{Db, Paged, connect::misconfigured, event::fnv1a};

#[derive(Clone)]
pub struct Shards {
    count: u8,
    dbs: Arc<[Db]>,
}

impl Shards {
    /// 1 to 255 logical shards over 1 to `n` databases.
    pub fn new(n: usize, dbs: Vec<Db>) -> Result<Shards> {
        match u8::try_from(n) {
            Ok(count) if count > 0 && !dbs.is_empty() && dbs.len() <= n => Ok(Shards { count, dbs: dbs.into() }),
            _ => Err(misconfigured(format!("{n} shards can't be dealt out to {} databases", dbs.len()))),
        }
    }

    pub fn count(&self) -> u8 {
        self.count
    }

    /// The databases, each once.
    pub fn dbs(&self) -> &[Db] {
        &self.dbs
    }

    /// The shard of a key that has no place of its own.
    pub fn of(&self, key: &str) -> u8 {
        (fnv1a(key.as_bytes()) % u64::from(self.count)) as u8
    }

    /// The database of a shard. A shard outside the count has the place of one inside it.
    pub fn db(&self, shard: u8) -> &Db {
        &self.dbs[usize::from(shard % self.count) % self.dbs.len()]
    }

    /// A fresh id of a row in `shard`. It still sorts by time.
    pub fn new_id<T: Entity>(&self, shard: u8) -> Id<T> {
        Id::from_uuid(place(Uuid::now_v7(), shard))
    }

    /// The shard that an id names; an id of which this service made no shard is NOT_FOUND.
    pub fn region<T: Entity>(&self, id: &Id<T>) -> Result<u8> {
        match shard_of(id.uuid()) {
            shard if shard < self.count => Ok(shard),
            _ => Err(Error::not_found(T::NAME, id)),
        }
    }

    pub fn db_of<T: Entity>(&self, id: &Id<T>) -> Result<&Db> {
        Ok(self.db(self.region(id)?))
    }

    /// Asks every database at once; the answers come in the order of [`Shards::dbs`].
    pub async fn for_each<R, F, Fut>(&self, f: F) -> Result<Vec<R>>
    where
        F: Fn(Db) -> Fut,
        Fut: Future<Output = Result<R>>,
    {
        try_join_all(self.dbs.iter().map(|db| f(db.clone()))).await
    }

    /// One keyset page over all databases: each one's page behind the same keys, merged by `cmp`, which is the order
    /// of the pages. `of` gives a row's keys.
    pub async fn page<M, F, Fut>(
        &self,
        page: &Page,
        fetch: F,
        cmp: impl Fn(&M, &M) -> Ordering,
        of: impl Fn(&M) -> Vec<String>,
    ) -> Result<Paged<M>>
    where
        F: Fn(Db) -> Fut,
        Fut: Future<Output = Result<Paged<M>>>,
    {
        let pages = self.for_each(fetch).await?;
        let more = pages.iter().any(|p| p.next.is_some());
        let mut rows: Vec<M> = pages.into_iter().flat_map(|p| p.rows).collect();
        rows.sort_by(cmp);
        let mut merged = Paged::cut(rows, page.size, &of);
        if merged.next.is_none() && more {
            merged.next = merged.rows.last().map(of);
        }
        Ok(merged)
    }
}

/// Puts `shard` into the low byte of a UUIDv7, which is random otherwise.
fn place(uuid: Uuid, shard: u8) -> Uuid {
    let mut bytes = uuid.into_bytes();
    bytes[15] = shard;
    Uuid::from_bytes(bytes)
}

fn shard_of(uuid: Uuid) -> u8 {
    uuid.into_bytes()[15]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_shard_its_time_and_its_version() {
        let before = Uuid::now_v7();
        for shard in [0, 5, 255] {
            let id = place(Uuid::now_v7(), shard);
            assert_eq!((shard_of(id), id.get_version_num(), id > before), (shard, 7, true));
        }
    }
}
