//! The edge through real sockets, before a server that misbehaves on request.

mod abuse;
mod abuse_floods;
mod binding;
mod browser;
mod codings;
mod connect;
mod files;
mod foreign;
mod grpc;
mod guard;
mod library;
mod pages;
mod rest;
mod sockets;
mod standalone;
mod streams;
mod told;
mod uploads;
mod upstreams;
mod websocket;
mod world;
