//! HTTP/JSON to gRPC and back, from descriptors alone: `google.api.http` routes, strict proto3 JSON.
//!
//! `Api::load` compiles routes, bindings and message plans once; a mistake in the descriptors is an error there, never
//! at run time. What it returns is immutable and shared between threads without a lock. The crate knows no HTTP server,
//! no service and no generated type.

mod api;
mod binding;
mod error;
mod json_to_wire;
mod names;
mod plan;
mod routes;
mod scan;
mod template;
mod text;
mod wire;
mod wire_to_json;
mod wkt;

pub use api::{Api, Match, Method, RouteError};
pub use binding::{Binding, Body, BodyType, HttpBody, Variable, message_field};
pub use error::{Error, Kind, LoadError, Place};
pub use plan::{MessageId, Options, Types};
pub use template::{Capture, Segment, Template};
pub use text::write_json_string;
