//! One suite for both buses: `conformance` runs over each, `nats` holds what only JetStream can show.

#[path = "it/conformance.rs"]
mod conformance;
#[path = "it/memory.rs"]
mod memory;
#[path = "it/nats.rs"]
mod nats;
