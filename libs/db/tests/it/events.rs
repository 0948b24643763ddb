//! The event table as store and as log.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use db::{Aggregate, Db, DbResult, Envelope, Upcaster, sea_orm::ConnectionTrait};
use futures::future::join_all;
use jangteo_core::{Code, Error, Principal, Result, Trace};
use prost::{Message, Name};

use crate::store::*;

async fn emit(db: &Db, shop: &str, cups: i64) -> i64 {
    let version = std::sync::atomic::AtomicI64::new(0);
    db.write(&cx(), async |tx| {
        version.store(tx.emit(&sold(shop, cups)).await?, Relaxed);
        Ok(())
    })
    .await
    .unwrap();
    version.into_inner()
}

/// Writers emit for five shops, some roll back after their insert; a reader follows the log meanwhile.
pub async fn parallel_emits_are_gap_free_and_arrive_in_order(store: Store) {
    let db = store.open().await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (db, done) = (db.clone(), done.clone());
        async move {
            let (mut seen, mut cursor): (Vec<Envelope>, i64) = (Vec::new(), 0);
            loop {
                let finished = done.load(Relaxed);
                let batch = db.log_after(cursor, 7).await.unwrap();
                if batch.is_empty() && finished {
                    return seen;
                }
                for (seq, envelope) in batch {
                    assert!(seq > cursor);
                    cursor = seq;
                    seen.push(envelope);
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let mut versions: HashMap<String, Vec<i64>> = HashMap::new();
    let written = join_all((0..100).map(|n| {
        let db = db.clone();
        tokio::spawn(async move {
            let shop = format!("shp_{}", n % 5);
            if n % 10 == 0 {
                let lost: Result<()> = db
                    .write(&cx(), async |tx| {
                        tx.emit(&sold(&shop, n)).await?;
                        Err(Error::not_found("shelf", "top"))
                    })
                    .await;
                assert_eq!(lost.unwrap_err().reason(), "SHELF_NOT_FOUND");
                return (shop, None);
            }
            let version = emit(&db, &shop, n).await;
            (shop, Some(version))
        })
    }))
    .await;
    for written in written {
        let (shop, version) = written.unwrap();
        versions.entry(shop).or_default().extend(version);
    }
    done.store(true, Relaxed);
    let seen = reader.await.unwrap();
    assert_eq!(seen.len(), 90);
    assert_eq!(seen.len() as i64, count(db.primary(), "event").await);
    for (shop, mut given) in versions {
        given.sort_unstable();
        let arrived: Vec<i64> = seen.iter().filter(|e| e.aggregate_id == shop).map(|e| e.version).collect();
        assert_eq!(arrived, (1..=given.len() as i64).collect::<Vec<_>>(), "{shop} in the log");
        assert_eq!(given, arrived, "{shop} as the writers were told");
    }
}

pub async fn append_refuses_a_wrong_version(store: Store) {
    let db = store.open().await;
    let append = async |expected| {
        let last = std::sync::atomic::AtomicI64::new(0);
        let result = db
            .write(&cx(), async |tx| {
                last.store(tx.append("shp_1", expected, &[sold("shp_1", 1), sold("shp_1", 2)]).await?, Relaxed);
                Ok(())
            })
            .await;
        result.map(|()| last.into_inner())
    };
    assert_eq!(append(0).await.unwrap(), 2);
    for wrong in [0, 1, 3] {
        let e = append(wrong).await.unwrap_err();
        assert_eq!((e.code(), e.reason()), (Code::Aborted, "VERSION_CONFLICT"), "{wrong}");
    }
    assert_eq!(append(2).await.unwrap(), 4);
    assert_eq!(db.history("shop", "shp_1", 1, 2).await.unwrap().iter().map(|e| e.version).collect::<Vec<_>>(), [2, 3]);
}

/// The first run decides on what it had read too early.
pub async fn stale_version_gets_another_chance(store: Store) {
    let db = store.open().await;
    emit(&db, "shp_1", 1).await;
    let known = std::sync::atomic::AtomicI64::new(0);
    db.write(&cx(), async |tx| tx.append("shp_1", known.swap(1, Relaxed), &[sold("shp_1", 1)]).await.map(|_| ()))
        .await
        .unwrap();
    assert_eq!(count(db.primary(), "event").await, 2);
}

db::events! { pub enum ShopEvent { Opened(Opened), Sold(Sold) } }

/// How many cups a shop has.
#[derive(Default, Debug, PartialEq)]
struct Shop {
    cups: i64,
    folded: u32,
}

impl Aggregate for Shop {
    const AGGREGATE: &'static str = "shop";
    type Event = ShopEvent;
    const SCHEMA: &'static str = "cups";
    const SNAPSHOT_EVERY: i64 = 4;
    fn apply(&mut self, event: ShopEvent, _meta: &Envelope) {
        self.folded += 1;
        match event {
            ShopEvent::Opened(e) => self.cups += e.cups,
            ShopEvent::Sold(e) => self.cups -= e.cups,
        }
    }
    fn save(&self) -> Option<Vec<u8>> {
        Some(self.cups.to_be_bytes().to_vec())
    }
    fn restore(state: &[u8]) -> Option<Self> {
        Some(Shop { cups: i64::from_be_bytes(state.try_into().ok()?), folded: 0 })
    }
}

/// Each closure loads the shop and sells only what is there.
pub async fn parallel_decisions_all_win_in_turn(store: Store) {
    let db = store.open().await;
    db.write(&cx(), async |tx| tx.append("shp_1", 0, &[opened("shp_1", 10)]).await.map(|_| ())).await.unwrap();
    let sales = join_all((0..20).map(|_| {
        let db = db.clone();
        tokio::spawn(async move {
            db.write(&cx(), async |tx| {
                let (shop, version) = tx.load::<Shop>("shp_1").await?;
                if shop.cups == 0 {
                    return Err(Error::new(Code::FailedPrecondition, "SOLD_OUT", "no cups left"));
                }
                tx.append("shp_1", version, &[sold("shp_1", 1)]).await.map(|_| ())
            })
            .await
        })
    }))
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = sales.into_iter().map(|r| r.unwrap()).partition(Result::is_ok);
    assert_eq!(won.len(), 10);
    assert!(lost.into_iter().all(|e| e.unwrap_err().reason() == "SOLD_OUT"));
    let (shop, version) = db.load::<Shop>("shp_1").await.unwrap();
    assert_eq!((shop.cups, version), (0, 11));
}

pub async fn events_are_insert_only(store: Store) {
    let db = store.open().await;
    emit(&db, "shp_1", 1).await;
    let mut attacks = vec!["UPDATE event SET actor = 'nobody'", "DELETE FROM event"];
    if store.is_postgres() {
        attacks.push("TRUNCATE event");
    }
    for attack in attacks {
        let e = db.write(&cx(), async |tx| tx.execute_unprepared(attack).await.db().map(|_| ())).await.unwrap_err();
        assert!(format!("{e:?}").contains("insert only"), "{attack}: {e:?}");
    }
    assert_eq!(count(db.primary(), "event WHERE actor = 'system:shop'").await, 1);
}

pub async fn envelopes_say_who_when_and_why(store: Store) {
    let db = store.open().await;
    let mut cx = cx();
    cx.principal = Principal::System("elves".into());
    cx.trace = Trace { traceparent: Some("00-1-2-01".into()), tracestate: None };
    db.write(&cx, async |tx| tx.emit(&opened("shp_1", 3)).await.map(|_| ())).await.unwrap();
    let (seq, e) = db.log_after(0, 10).await.unwrap().remove(0);
    assert_eq!(db.head().await.unwrap(), seq);
    assert_eq!(
        (e.r#type.as_str(), e.source.as_str(), e.aggregate.as_str()),
        (Opened::full_name().as_str(), "shop", "shop")
    );
    assert_eq!((e.aggregate_id.as_str(), e.version, e.actor.as_str()), ("shp_1", 1, "system:elves"));
    assert_eq!((e.traceparent.as_str(), e.event_id.len()), ("00-1-2-01", 32));
    assert_eq!(proto::time(&e.time.unwrap()), cx.now);
    assert_eq!(Opened::decode(e.payload.as_slice()).unwrap(), opened("shp_1", 3));
}

pub async fn snapshots_save_folding_and_are_keyed_by_schema(store: Store) {
    let db = store.open().await;
    db.write(&cx(), async |tx| tx.emit(&opened("shp_1", 10)).await.map(|_| ())).await.unwrap();
    for _ in 0..3 {
        emit(&db, "shp_1", 1).await;
    }
    let load = async || {
        let found = std::sync::Mutex::default();
        db.write(&cx(), async |tx| {
            *found.lock().unwrap() = tx.load::<Shop>("shp_1").await?;
            Ok(())
        })
        .await
        .unwrap();
        found.into_inner().unwrap()
    };
    assert_eq!(load().await, (Shop { cups: 7, folded: 4 }, 4));
    emit(&db, "shp_1", 2).await;
    assert_eq!(load().await, (Shop { cups: 5, folded: 1 }, 5), "the snapshot at 4 was not used");
    assert_eq!(db.load::<Shop>("shp_1").await.unwrap(), (Shop { cups: 5, folded: 1 }, 5));
    let other_schema = "UPDATE snapshot SET schema_hash = 'of an older release'";
    db.write(&cx(), async |tx| tx.execute_unprepared(other_schema).await.db().map(|_| ())).await.unwrap();
    assert_eq!(load().await, (Shop { cups: 5, folded: 5 }, 5), "another schema's snapshot was used");
    assert_eq!(db.load::<Shop>("shp_2").await.unwrap(), (Shop::default(), 0));
}

/// What became of `Sold` in a later release: cups in dozens.
#[derive(Default, Debug, PartialEq)]
struct Dozens(Vec<i64>);

#[derive(Clone, PartialEq, Message)]
struct DozensSold {
    #[prost(int64, tag = "1")]
    dozens: i64,
}
impl Name for DozensSold {
    const NAME: &'static str = "DozensSold";
    const PACKAGE: &'static str = "test.v2";
}

db::events! { enum DozensEvent { Sold(DozensSold) } }

impl Aggregate for Dozens {
    const AGGREGATE: &'static str = "shop";
    type Event = DozensEvent;
    const UPCASTERS: &'static [Upcaster] = &[Upcaster {
        from: "test.v1.Sold",
        up: |mut e| {
            let old = Sold::decode(e.payload.as_slice()).map_err(Error::internal)?;
            e.r#type = DozensSold::full_name();
            e.payload = DozensSold { dozens: old.cups / 12 }.encode_to_vec();
            Ok(e)
        },
    }];
    fn apply(&mut self, DozensEvent::Sold(e): DozensEvent, _meta: &Envelope) {
        self.0.push(e.dozens);
    }
}

pub async fn old_events_are_upcast(store: Store) {
    let db = store.open().await;
    db.write(&cx(), async |tx| tx.emit(&opened("shp_1", 1)).await.map(|_| ())).await.unwrap();
    emit(&db, "shp_1", 24).await;
    emit(&db, "shp_1", 36).await;
    let (state, version) = db.load::<Dozens>("shp_1").await.unwrap();
    assert_eq!((state, version), (Dozens(vec![2, 3]), 3), "the unknown Opened is passed over");
    assert_eq!(
        db.history("shop", "shp_1", 1, 1).await.unwrap()[0].r#type,
        "test.v1.Sold",
        "stored events stay as they are"
    );
}
