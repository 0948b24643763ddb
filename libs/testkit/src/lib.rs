//! What the tests stand on: real servers, the real program in every topology, and a client for
//! scenarios. A dev-dependency only; it knows no service.
//!
//! - [`servers`]: the PostgreSQL, Redis and NATS that `scripts/with-servers` started, a fresh
//!   database per test, and private servers that a test may kill.
//! - [`Market`]: the `jangteo` program in a [`Topology`], with logs, crash points and kill -9.
//! - [`Client`]: JSON requests whose failed expectations print the whole answer.
//! - [`eventually`]: polls, so that no test sleeps for a fixed time.

pub mod certs;
mod client;
mod eventually;
pub mod jwt;
mod market;
mod process;
pub mod servers;

pub use client::{Client, Lines, Reply, Request};
pub use eventually::{Outcome, eventually};
pub use market::{Market, Setup, Topology};
pub use process::{Process, free_port};
