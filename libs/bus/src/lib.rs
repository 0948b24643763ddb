//! The event bus: one contract, [`EventBus`], and two implementations.
//!
//! - [`JetStream`]: a relay carries a service's outbox into a NATS stream, durable pull consumers take it out.
//! - [`Embedded`]: nothing but the event tables; a consumer reads the other service's own [`Log`] and keeps a cursor.
//!
//! Both promise the same: every event reaches every consumer at least once and its effect happens once (the
//! [`Inbox`] sees to that, in the transaction of the effect), in order for each aggregate, many aggregates at
//! once. What fails is tried again with growing pauses; a poison event ends in a dead-letter row and the flow goes
//! on behind it. An outage of the consumer's own store makes no dead letters, however long it lasts. The bus knows no
//! database: `kit` gives it an [`Inbox`], a [`Log`] or an [`Outbox`].
//!
//! # Metrics
//!
//! | name | labels | counts |
//! | --- | --- | --- |
//! | `bus_published_total` | `source` | events that the server has acknowledged |
//! | `bus_outbox_pending` | `source` | rows not published yet, over all databases of the service |
//! | `bus_outbox_oldest_seconds` | `source` | age of the oldest of them |
//! | `bus_delivered_total` | `consumer`, `outcome` | events brought to their end: `done`, `duplicate`, `dead` |
//! | `bus_delivery_seconds` | `consumer` | single tries |
//! | `bus_retries_total` | `consumer` | tries that came to nothing and are repeated |
//! | `bus_dead_letters_total` | `consumer` | dead letters written |
//! | `bus_consumer_pending` | `consumer` | events stored and not finished |
//! | `bus_consumer_in_flight` | `consumer` | of these, in hand |

mod api;
mod embedded;
mod jetstream;
mod lanes;
mod tail;
mod worker;

pub use api::{
    Applied, Backoff, ConsumerSpec, Delivery, EventBus, Inbox, Lag, Log, Outbox, OutboxLag, Position, Replay, Replayed,
};
pub use embedded::Embedded;
pub use jetstream::{JetStream, JetStreamConfig};
pub use proto::jangteo::event::v1::Envelope;
/// Ends what runs: fetching stops, what is in hand is finished.
pub use tokio_util::sync::CancellationToken as Stop;
