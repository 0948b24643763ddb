//! A service's own database: SQLite when embedded, PostgreSQL otherwise, behind one [`Db`].
//!
//! It owns the connections, the migrations, and every table that keeps the platform's promises:
//! `event` (event store and the truth behind the bus), `outbox`, `inbox`, `idempotency`, `lease`,
//! `dead_letter`, `snapshot`, `consumer_cursor`, `person_key`, `audit`. It knows no service and no bus.
//!
//! [`Db::write`] is the only way to write. It opens the transaction, answers a repeated request from
//! what the first one left, commits, and runs the closure again when the store asks for it:
//!
//! ```no_run
//! # use db::{Db, DbResult, sea_orm::ConnectionTrait};
//! # async fn place(db: &Db, cx: &jangteo_core::Call) -> jangteo_core::Result<()> {
//! let note = "a cup of tea".to_owned();
//! db.write(cx, async |tx| {
//!     tx.execute_unprepared("UPDATE shelf SET cups = cups - 1 WHERE cups > 0").await.db()?;
//!     tracing::debug!(note, at = %tx.now(), "one cup less");
//!     Ok(())
//! })
//! .await
//! # }
//! ```
//!
//! # Metrics
//!
//! | name | labels | counts |
//! | --- | --- | --- |
//! | `db_write_seconds` | `service`, `outcome` | writes, retries included; `outcome` is `ok` or `error` |
//! | `db_commits_total` | `service` | transactions of writes; on SQLite several writes may share one |
//! | `db_write_retries_total` | `service`, `cause` | runs of a closure after its first |
//! | `db_write_replays_total` | `service` | repeated requests answered from what the first one left |
//! | `db_events_total` | `service`, `type` | events written |
//!
//! All of them add up over the databases of a service. Outbox, inbox and dead letters are reported by the bus.

mod aggregate;
mod audit;
mod config;
mod connect;
pub mod crypt;
mod dead_letter;
mod error;
mod event;
mod group;
mod idempotency;
mod inbox;
mod lease;
mod migrate;
mod outbox;
mod page;
mod shards;
mod sql;
mod system;
mod tx;
mod write;

pub use aggregate::{Aggregate, EventSet, Upcaster};
pub use audit::{AuditHead, Audited};
pub use config::{DbConfig, Isolation};
pub use connect::Db;
pub use dead_letter::DeadLetter;
pub use error::{DbResult, fail, is_unique_violation};
pub use event::{PARTITIONS, partition};
pub use inbox::Applied;
pub use lease::Lease;
pub use migrate::{Migration, Migrations};
pub use outbox::OutboxLag;
pub use page::{Key, Paged, page};
pub use proto::jangteo::event::v1::Envelope;
pub use sea_orm;
pub use shards::Shards;
pub use tx::Tx;

#[doc(hidden)]
pub mod macros {
    pub use prost;
}
