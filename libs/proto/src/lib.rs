//! What `proto/` says, as Rust: messages, clients and handler traits, the checks of their
//! inputs, and the descriptor set from which everything else (edge, policy, OpenAPI, manifests)
//! is derived.
//!
//! The modules follow the packages: `proto::jangteo::catalog::v1::Product`. Beside tonic's own
//! server and client each service has a module such as `catalog_service` with the trait `Api`,
//! `routes` and `Client`; see `build/handlers.rs`.

pub mod client;
mod convert;
pub mod metadata;
pub mod policy;
pub mod rules;
pub mod serve;
pub mod status;
mod subject;

pub use convert::{money, time, timestamp};
pub use rules::Checked;

use std::{pin::Pin, sync::LazyLock};

/// A stream of messages, in or out.
pub type Streaming<T> = Pin<Box<dyn futures::Stream<Item = jangteo_core::Result<T>> + Send>>;

/// What every client calls through: a service in this process or one far away. It does not fail: what
/// went wrong on the way is a gRPC status like any other.
pub type Channel = tower::util::BoxCloneSyncService<
    http::Request<tonic::body::Body>,
    http::Response<tonic::body::Body>,
    std::convert::Infallible,
>;

/// A generated client, for those who make clients without knowing which.
pub trait Client: Clone + Send + Sync + 'static {
    /// The service that answers, as in the package: `catalog`.
    const SERVICE: &'static str;
    fn new(channel: Channel) -> Self;
}

/// A message with `option (jangteo.options.v1.event)`.
pub trait Event: prost::Message + prost::Name + Default + Clone + 'static {
    /// The service that owns the fact: `catalog`.
    const SOURCE: &'static str;
    /// The noun whose history it belongs to: `product`.
    const AGGREGATE: &'static str;
    fn aggregate_id(&self) -> &str;
}

/// The whole descriptor set, comments and custom options included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// The descriptor set, parsed once.
pub fn pool() -> &'static prost_reflect::DescriptorPool {
    static POOL: LazyLock<prost_reflect::DescriptorPool> =
        LazyLock::new(|| prost_reflect::DescriptorPool::decode(DESCRIPTORS).expect("protox wrote the set"));
    &POOL
}

mod generated {
    #![expect(clippy::all, clippy::allow_attributes, reason = "written by prost, by tonic and by build/")]
    #![expect(rustdoc::all, reason = "comments are written for the proto's reader")]
    include!(concat!(env!("OUT_DIR"), "/modules.rs"));
}
pub use generated::{google, jangteo};

mod impls {
    #![expect(clippy::all, reason = "written by build/")]
    use crate::rules::{self, Checked, Path};
    use jangteo_core::Violation;
    include!(concat!(env!("OUT_DIR"), "/impls.rs"));
}
