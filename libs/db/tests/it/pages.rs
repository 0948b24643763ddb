//! Keyset pages, over one database and over shards.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
};

use db::{
    Db, Key, Paged, Shards, page,
    sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter},
};
use jangteo_core::{Code, Entity as _, Id, Page, Result};

use crate::store::*;

mod cup {
    use db::sea_orm::{self, entity::prelude::*};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "cup")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub shelf: String,
        pub place: i64,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

fn keys(c: &cup::Model) -> Vec<String> {
    vec![c.place.to_string(), c.id.clone()]
}

async fn newest_first(conn: &DatabaseConnection, p: &Page) -> Result<Paged<cup::Model>> {
    let select = cup::Entity::find().filter(cup::Column::Shelf.eq("top"));
    page(conn, select, p, &[Key::desc(cup::Column::Place), Key::desc(cup::Column::Id)], keys).await
}

async fn put(db: &Db, id: &str, shelf: &str, place: i64) {
    db.write(&cx(), async |tx| put_cup(&tx, id, shelf, place).await).await.unwrap();
}

/// Walks all pages, newest first, while a writer adds rows before, amid and behind: each row that was there at the start comes
/// exactly once, none comes twice. Many rows share a place, so the order needs its second key.
pub async fn pages_are_complete_while_rows_come_in(store: Store) {
    let db = store.open().await;
    db.write(&cx(), async |tx| {
        for n in 0..60 {
            put_cup(&tx, &format!("old_{n:03}"), "top", n / 4).await?;
            put_cup(&tx, &format!("else_{n}"), "bottom", n).await?;
        }
        Ok(())
    })
    .await
    .unwrap();
    let (stop, added) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
    let writer = tokio::spawn({
        let (db, stop, added) = (db.clone(), stop.clone(), added.clone());
        async move {
            while !stop.load(Relaxed) {
                let n = added.fetch_add(1, Relaxed);
                put(&db, &format!("new_{n:05}"), "top", n % 17).await;
            }
        }
    });
    let (mut seen, mut p) = (Vec::new(), Page { size: 7, after: vec![] });
    while added.load(Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    loop {
        let found = newest_first(db.read(), &p).await.unwrap();
        assert!(found.next.is_none() || found.rows.len() == 7);
        seen.extend(found.rows);
        match found.next {
            Some(after) => p.after = after,
            None => break,
        }
    }
    stop.store(true, Relaxed);
    writer.await.unwrap();
    assert!(seen.windows(2).all(|w| (w[0].place, &w[0].id) > (w[1].place, &w[1].id)), "not in order, or twice");
    assert_eq!(seen.iter().filter(|c| c.id.starts_with("old_")).count(), 60);
    assert!(seen.iter().all(|c| c.shelf == "top"));
}

pub async fn orders_may_be_mixed(store: Store) {
    let db = store.open().await;
    for (id, shelf, place) in
        [("a", "x", 2), ("b", "x", 1), ("c", "y", 9), ("d", "y", 10), ("e", "x", 2), ("f", "z", 1)]
    {
        put(&db, id, shelf, place).await;
    }
    let order = [Key::asc(cup::Column::Shelf), Key::desc(cup::Column::Place), Key::asc(cup::Column::Id)];
    let of = |c: &cup::Model| vec![c.shelf.clone(), c.place.to_string(), c.id.clone()];
    for size in 1..=6 {
        let (mut seen, mut p) = (String::new(), Page { size, after: vec![] });
        loop {
            let found = page(db.primary(), cup::Entity::find(), &p, &order, of).await.unwrap();
            seen.extend(found.rows.iter().map(|c| c.id.as_str()));
            match found.next {
                Some(after) => p.after = after,
                None => break,
            }
        }
        assert_eq!(seen, "aebdcf", "pages of {size}");
    }
}

pub async fn strange_tokens_are_refused(store: Store) {
    let db = store.open().await;
    for after in [vec!["1"], vec!["one", "a"], vec!["1", "a", "b"]] {
        let after = after.into_iter().map(str::to_owned).collect();
        let e = newest_first(db.primary(), &Page { size: 5, after }).await.unwrap_err();
        assert_eq!((e.code(), e.field_violations()[0].field.as_str()), (Code::InvalidArgument, "page_token"));
    }
}

struct Cup;
impl jangteo_core::Entity for Cup {
    const NAME: &'static str = "cup";
    const PREFIX: &'static str = "cup";
}

async fn shards(store: &Store) -> (Shards, [Store; 2]) {
    let siblings = [store.sibling(), store.sibling()];
    (Shards::new(6, vec![siblings[0].open().await, siblings[1].open().await]).unwrap(), siblings)
}

pub async fn shards_page_as_one(store: Store) {
    let (shards, _stores) = shards(&store).await;
    let mut ids = BTreeSet::new();
    for n in 0..40 {
        let shard = shards.of(&format!("region {n}"));
        let id = shards.new_id::<Cup>(shard).to_string();
        put(shards.db(shard), &id, "top", i64::from(n % 5)).await;
        ids.insert(id);
    }
    let sizes = shards.for_each(|db| async move { Ok(count(db.primary(), "cup").await) }).await.unwrap();
    assert!(sizes.iter().all(|n| *n > 0) && sizes.iter().sum::<i64>() == 40, "{sizes:?}");
    for size in [1, 7, 40, 100] {
        let (mut seen, mut p) = (Vec::new(), Page { size, after: vec![] });
        loop {
            let found = shards
                .page(
                    &p,
                    |db| {
                        let p = p.clone();
                        async move { newest_first(db.read(), &p).await }
                    },
                    |a, b| (b.place, &b.id).cmp(&(a.place, &a.id)),
                    keys,
                )
                .await
                .unwrap();
            assert!(found.rows.len() as u64 <= size);
            seen.extend(found.rows);
            match found.next {
                Some(after) => p.after = after,
                None => break,
            }
        }
        assert!(seen.windows(2).all(|w| (w[0].place, &w[0].id) > (w[1].place, &w[1].id)), "pages of {size}");
        assert_eq!(seen.into_iter().map(|c| c.id).collect::<BTreeSet<_>>(), ids, "pages of {size}");
    }
}

pub async fn ids_lead_to_their_shard(store: Store) {
    let (shards, stores) = shards(&store).await;
    for shard in 0..6 {
        let id = shards.new_id::<Cup>(shard);
        let read: Id<Cup> = id.to_string().parse().unwrap();
        assert_eq!(shards.region(&read).unwrap(), shard);
        put(shards.db_of(&read).unwrap(), &read.to_string(), "top", 1).await;
        let home = stores[usize::from(shard) % 2].open().await;
        assert_eq!(count(home.primary(), &format!("cup WHERE id = '{read}'")).await, 1, "shard {shard}");
    }
    let foreign: Id<Cup> = format!("{}_0192f1c2e4b87c3a9d5e6f70819200f0", Cup::PREFIX).parse().unwrap();
    assert_eq!(shards.region(&foreign).unwrap_err().reason(), "CUP_NOT_FOUND");
    let one = stores[0].open().await;
    assert!(Shards::new(0, vec![one.clone()]).is_err());
    assert!(Shards::new(1, vec![one.clone(), one.clone()]).is_err());
    assert!(Shards::new(6, vec![]).is_err());
}
