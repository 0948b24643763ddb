//! How services are called and how they answer, the same in one process and across machines.
//!
//! - [`Guarded`] wraps a service's `Routes`: it builds the [`jangteo_core::Call`] from a request's
//!   metadata, enforces the method's policy and deadline, and turns panics into INTERNAL.
//! - [`Peer`] makes the channel that generated clients call through: `Local` (the mounted routes,
//!   no socket) or `Remote` (HTTP/2 connections to one address or several), with retries, hedges, health checks, a
//!   circuit breaker and a limit.
//! - [`Verifier`] verifies access tokens offline, revocations included.
//! - [`serve`] accepts connections, with mutual TLS and SPIFFE ids where no mesh gives them.

mod breaker;
mod caller;
mod gather;
mod guard;
mod health;
mod link;
mod peer;
mod remote;
mod serve;
mod tls;
mod token;
pub mod trace;
mod watch;

/// Most bytes of headers or trailers that either side takes: an access token one way, the details of an
/// error the other, with room to spare. HTTP/2's own default here is 16 KiB.
const MAX_HEADERS: u32 = 64 * 1024;

pub use breaker::{Breaker, BreakerConfig};
pub use caller::{Caller, CallerTrust};
pub use guard::{Guard, Guarded, Outcome, Trail};
pub use health::HealthConfig;
pub use peer::{LocalService, Peer, PeerConfig};
pub use serve::serve;
pub use tls::{TlsConfig, TlsFiles, UpstreamTls};
pub use token::{AUDIENCE, Claims, ISSUER, TOKEN_TYPE, Verifier};
