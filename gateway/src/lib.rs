//! The edge: REST and JSON, server-sent events, WebSocket, gRPC-Web, Connect and plain gRPC in; gRPC out.
//!
//! It knows no service. Routes, types, policies and the API page all come from descriptors
//! ([`Site`]), and a channel per service leads to whoever answers, in this process or far away.
//! One request runs through: `edge` (who, whence, what is said of it), `rest`, `grpc`, `connect`
//! or `websocket` (the protocol), `admit` (token, limits, policy), `upstream` (the call), and `problem` when it fails.

mod admit;
mod body;
mod client;
mod coding;
mod config;
mod connect;
mod cors;
mod edge;
mod frames;
mod greet;
mod grpc;
mod http_reply;
mod idempotency;
mod negotiate;
mod observe;
mod openapi;
mod pages;
mod problem;
mod reflect;
mod reply;
mod rest;
mod serve;
mod site;
mod stall;
mod standalone;
mod stream;
mod upload;
mod upstream;
mod web;
mod websocket;

pub use client::PeerAddr;
pub use config::{CorsConfig, EdgeConfig, HttpConfig, JsonConfig, Limits};
pub use edge::{Backing, Edge, Probes};
pub use site::{Site, Upstreams, policies};
pub use standalone::{StandaloneConfig, standalone, standalone_on};
