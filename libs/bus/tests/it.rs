//! One suite for both buses: `conformance` runs over each; `embedded` and `nats` hold what only one of them can show.

#[path = "it/conformance.rs"]
mod conformance;
#[path = "it/embedded.rs"]
mod embedded;
#[path = "it/memory.rs"]
mod memory;
#[path = "it/nats.rs"]
mod nats;
