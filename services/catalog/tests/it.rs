//! The catalogue over SQLite, called as its gRPC adapter calls it.

#[path = "it/changes.rs"]
mod changes;
#[path = "it/lists.rs"]
mod lists;
#[path = "it/support.rs"]
mod support;
#[path = "it/traffic.rs"]
mod traffic;
