//! What turns a crate into a service of the platform: configuration, stores, peers, events, jobs,
//! telemetry, start and stop. A service implements [`Service`]; the binary lists its services as
//! [`Entry`] values; [`Market`] builds and runs any selection of them in one process.

mod admin;
mod audit;
pub mod config;
pub mod crash;
mod erasure;
mod events;
mod feed;
mod health;
mod inbox;
mod jobs;
mod market;
mod mount;
pub mod patch;
mod process;
mod secrets;
mod service;
pub mod telemetry;

pub use admin::{Probe, Readiness};
pub use bus::Stop;
pub use config::Config;
pub use events::Received;
pub use market::{Finding, Market, Running};
pub use mount::Mount;
pub use service::{Boot, Entry, Service, entry};

pub use cache;
pub use db;
pub use rpc;
