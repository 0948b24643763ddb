//! The edge through real sockets, before a server that misbehaves on request.

mod connect;
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
mod world;
