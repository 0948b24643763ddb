//! A person is erased: every service that keeps something about them destroys their key, and what it keeps unsealed.
//!
//! The effect is that of any event: the inbox, the key and the service's own rows in one transaction. What comes late for
//! an erased person is skipped (`inbox.rs`), since a key that is destroyed is never made again.

use crate::{
    events::{Delivered, Handler},
    jobs::Job,
};
use db::{Db, Tx, crypt::Sealer};
use futures::future::BoxFuture;
use jangteo_core::{Call, Error, Result};
use proto::{Event, jangteo::auth::v1::AccountErased};
use std::{sync::Arc, time::Duration};

/// What a service does beside.
pub(crate) type Forget = Arc<dyn Fn(Tx, String) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// Whose event it is, of which aggregate, and its name.
pub(crate) fn event() -> (&'static str, &'static str, String) {
    named::<AccountErased>()
}

fn named<E: Event>() -> (&'static str, &'static str, String) {
    (E::SOURCE, E::AGGREGATE, E::full_name())
}

pub(crate) fn handler(sealer: Sealer, dbs: Vec<Db>, forget: Option<Forget>) -> Handler {
    let (sealer, dbs) = (Arc::new(sealer), Arc::new(dbs));
    Arc::new(move |delivered| Box::pin(erase(sealer.clone(), dbs.clone(), forget.clone(), delivered)))
}

async fn erase(sealer: Arc<Sealer>, dbs: Arc<Vec<Db>>, forget: Option<Forget>, delivered: Delivered) -> Result<()> {
    let event: AccountErased = decode(&delivered.envelope.payload)?;
    let (sealer, forget, person) = (&sealer, &forget, &event.user_id);
    let write = async |tx: Tx| {
        sealer.erase(&tx, person).await?;
        match forget {
            Some(forget) => forget(tx, person.clone()).await,
            None => Ok(()),
        }
    };
    // The inbox is in the first database: when it says that the event is done, the others are.
    let Some((first, others)) = dbs.split_first() else { return Ok(()) };
    for db in others {
        db.write(&delivered.cx, &write).await?;
    }
    delivered.apply(first, write).await
}

/// People whose keys are wrapped again in one transaction.
const REWRAPPED: u64 = 500;

/// Wraps the keys of people with the current master key, so that an older one can be dropped.
pub(crate) fn rewrap(sealer: Sealer, dbs: Vec<Db>) -> Job {
    let (sealer, dbs) = (Arc::new(sealer), Arc::new(dbs));
    let run = move |cx: Call| -> BoxFuture<'static, Result<()>> {
        let (sealer, dbs) = (sealer.clone(), dbs.clone());
        Box::pin(async move {
            for db in dbs.iter() {
                while db.write(&cx, async |tx| sealer.rewrap(&tx, REWRAPPED).await).await? > 0 {}
            }
            Ok(())
        })
    };
    Job { name: "rewrap-keys", period: Duration::from_secs(3600), run: Arc::new(run) }
}

fn decode<E: Event>(payload: &[u8]) -> Result<E> {
    E::decode(payload).map_err(Error::internal)
}
