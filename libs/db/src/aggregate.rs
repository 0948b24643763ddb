//! State as the fold of events: loading with snapshots, and upcasting old events on the way.

use jangteo_core::{Error, Result};
use proto::jangteo::event::v1::Envelope;
use ring::digest;
use sea_orm::ConnectionTrait;

use crate::{Db, DbResult, Tx, event, sql};

/// How many events are read at a time.
const BATCH: u64 = 500;

/// The events that an aggregate is made of; declared with [`crate::events!`].
pub trait EventSet: Sized + Send {
    /// `None` for a type that it doesn't know: events are only ever added to, and old code must read new ones.
    fn decode(envelope: &Envelope) -> Result<Option<Self>>;
}

/// What an aggregate is, as the fold of its events.
pub trait Aggregate: Default + Send + Sync {
    /// The noun in the events' proto option: `product`.
    const AGGREGATE: &'static str;
    type Event: EventSet;

    fn apply(&mut self, event: Self::Event, meta: &Envelope);

    /// Turn old events into new ones, by type; applied in turn until none fits.
    const UPCASTERS: &'static [Upcaster] = &[];
    /// What [`Aggregate::save`] writes: any text that changes whenever that, or the fold, does. Its hash keys the snapshots.
    const SCHEMA: &'static str = "";
    /// A load inside a write that folds this many events leaves a snapshot.
    const SNAPSHOT_EVERY: i64 = 100;
    /// `None`: no snapshots.
    fn save(&self) -> Option<Vec<u8>> {
        None
    }
    fn restore(_state: &[u8]) -> Option<Self> {
        None
    }
}

/// Pure: the same envelope gives the same one. The stored event stays as it is.
#[derive(Debug, Clone, Copy)]
pub struct Upcaster {
    /// The full type name that it takes. What it returns must have another.
    pub from: &'static str,
    pub up: fn(Envelope) -> Result<Envelope>,
}

/// Declares the events of an aggregate:
///
/// ```ignore
/// db::events! { pub enum ProductEvent { Created(ProductCreated), Sold(ProductSold) } }
/// ```
#[macro_export]
macro_rules! events {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($variant:ident($event:ty)),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        $vis enum $name { $($variant($event)),* }

        impl $crate::EventSet for $name {
            fn decode(envelope: &$crate::Envelope) -> ::jangteo_core::Result<Option<Self>> {
                use $crate::macros::prost::{Message, Name};
                $(if envelope.r#type == <$event>::full_name() {
                    return <$event>::decode(envelope.payload.as_slice())
                        .map(|e| Some(Self::$variant(e)))
                        .map_err(::jangteo_core::Error::internal);
                })*
                Ok(None)
            }
        }
    };
}

impl Db {
    /// The aggregate and its version; version 0 means that it has no events.
    pub async fn load<A: Aggregate>(&self, aggregate_id: &str) -> Result<(A, i64)> {
        let (state, version, _) = load(self.primary(), aggregate_id).await?;
        Ok((state, version))
    }
}

impl Tx {
    /// As [`Db::load`], inside the write, where [`Tx::append`] can rely on it. Leaves a snapshot when one is due.
    pub async fn load<A: Aggregate>(&self, aggregate_id: &str) -> Result<(A, i64)> {
        let (state, version, folded) = load::<A, _>(self, aggregate_id).await?;
        if folded >= A::SNAPSHOT_EVERY
            && let Some(bytes) = state.save()
        {
            let upsert = "INSERT INTO snapshot (aggregate, aggregate_id, schema_hash, version, state) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (aggregate, aggregate_id, schema_hash) DO UPDATE SET version = excluded.version, state = excluded.state";
            let values =
                [A::AGGREGATE.into(), aggregate_id.into(), schema_hash::<A>().into(), version.into(), bytes.into()];
            self.execute_raw(sql::statement(self.get_database_backend(), upsert, values)).await.db()?;
        }
        Ok((state, version))
    }
}

async fn load<A: Aggregate, C: ConnectionTrait>(conn: &C, aggregate_id: &str) -> Result<(A, i64, i64)> {
    let (mut state, start) = snapshot::<A, C>(conn, aggregate_id).await?.unwrap_or_default();
    let mut version = start;
    loop {
        let events = event::history(conn, A::AGGREGATE, aggregate_id, version, BATCH).await?;
        let full = events.len() as u64 == BATCH;
        for envelope in events {
            version += 1;
            if envelope.version != version {
                return Err(Error::internal(format!("{} {aggregate_id} has no version {version}", A::AGGREGATE)));
            }
            let envelope = upcast::<A>(envelope)?;
            if let Some(event) = A::Event::decode(&envelope)? {
                state.apply(event, &envelope);
            }
        }
        if !full {
            return Ok((state, version, version - start));
        }
    }
}

async fn snapshot<A: Aggregate, C: ConnectionTrait>(conn: &C, aggregate_id: &str) -> Result<Option<(A, i64)>> {
    if A::SCHEMA.is_empty() {
        return Ok(None);
    }
    let select = "SELECT version, state FROM snapshot WHERE aggregate = $1 AND aggregate_id = $2 AND schema_hash = $3";
    let values = [A::AGGREGATE.into(), aggregate_id.into(), schema_hash::<A>().into()];
    let Some(row) = conn.query_one_raw(sql::statement(conn.get_database_backend(), select, values)).await.db()? else {
        return Ok(None);
    };
    let version = sql::column(&row, "version")?;
    // A snapshot that can't be read is one that isn't there.
    Ok(A::restore(&sql::column::<Vec<u8>>(&row, "state")?).map(|state| (state, version)))
}

fn upcast<A: Aggregate>(mut envelope: Envelope) -> Result<Envelope> {
    while let Some(step) = A::UPCASTERS.iter().find(|u| u.from == envelope.r#type) {
        envelope = (step.up)(envelope)?;
        if envelope.r#type == step.from {
            return Err(Error::internal(format!("the upcaster of {} returns its own type", step.from)));
        }
    }
    Ok(envelope)
}

fn schema_hash<A: Aggregate>() -> String {
    let hash = digest::digest(&digest::SHA256, A::SCHEMA.as_bytes());
    hash.as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect()
}
