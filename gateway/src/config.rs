//! What an operator may set. Every value has a default that is safe on the open internet.

use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeConfig {
    /// Of a request body, after decompression.
    pub max_body_bytes: usize,
    /// Of a raw body that is streamed to a service as it comes, and so never lies here whole.
    pub max_upload_bytes: usize,
    /// Of one message from upstream.
    pub max_reply_bytes: usize,
    pub max_uri_bytes: usize,
    /// How long a client may take to send a body; of one that is streamed, for its next byte.
    pub body_timeout_ms: u64,
    /// Of methods whose policy says none, streams excepted.
    pub default_timeout_ms: u64,
    /// How many proxies in front of the edge write `X-Forwarded-For`; 0: the peer's address counts.
    pub trusted_hops: usize,
    /// Request headers that reach services beside the usual ones; a trailing `*` matches the rest of a name.
    pub forward_headers: Vec<String>,
    /// `Strict-Transport-Security`, where TLS ends before the edge; 0: not sent.
    pub hsts_seconds: u64,
    /// Silence after which an event stream gets a comment, so that proxies keep it open.
    pub sse_keep_alive_ms: u64,
    /// How often a WebSocket client is asked whether it is there, and its token looked at again; one that
    /// answers none of three is given up.
    pub websocket_ping_ms: u64,
    /// Answer `Accept-Encoding` with gzip, br or zstd.
    pub compress: bool,
    /// Serve `/docs` and `/openapi.json`.
    pub docs: bool,
    /// The title of the API page.
    pub title: String,
    pub cors: CorsConfig,
    pub limits: Limits,
    pub json: JsonConfig,
    pub http: HttpConfig,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        EdgeConfig {
            max_body_bytes: 1 << 20,
            max_upload_bytes: 50 << 20,
            max_reply_bytes: 16 << 20,
            max_uri_bytes: 8 << 10,
            body_timeout_ms: 15_000,
            default_timeout_ms: 30_000,
            trusted_hops: 0,
            forward_headers: Vec::new(),
            hsts_seconds: 0,
            sse_keep_alive_ms: 15_000,
            websocket_ping_ms: 20_000,
            compress: true,
            docs: true,
            title: "Jangteo".to_owned(),
            cors: CorsConfig::default(),
            limits: Limits::default(),
            json: JsonConfig::default(),
            http: HttpConfig::default(),
        }
    }
}

/// Which web pages may call. The default is none.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorsConfig {
    /// `https://shop.example`, or `*` for any.
    pub origins: Vec<String>,
    pub max_age_seconds: u64,
}

impl Default for CorsConfig {
    fn default() -> Self {
        CorsConfig { origins: Vec::new(), max_age_seconds: 3600 }
    }
}

/// Requests in a window; 0 turns a limit off.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub anonymous_per_minute: u64,
    pub signed_in_per_minute: u64,
    /// RATE_CLASS_LOGIN, by address and by person.
    pub login_per_minute: u64,
    /// RATE_CLASS_COSTLY, by address and by person.
    pub costly_per_hour: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { anonymous_per_minute: 100, signed_in_per_minute: 600, login_per_minute: 10, costly_per_hour: 20 }
    }
}

impl Limits {
    pub const OFF: Limits =
        Limits { anonymous_per_minute: 0, signed_in_per_minute: 0, login_per_minute: 0, costly_per_hour: 0 };
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonConfig {
    pub ignore_unknown: bool,
    pub always_print_defaults: bool,
    pub enums_as_numbers: bool,
}

impl JsonConfig {
    pub fn options(&self) -> transcode::Options {
        transcode::Options {
            ignore_unknown: self.ignore_unknown,
            always_print_defaults: self.always_print_defaults,
            enums_as_numbers: self.enums_as_numbers,
            ..transcode::Options::default()
        }
    }
}

/// Connections.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    pub max_connections: usize,
    pub max_headers: usize,
    pub max_header_bytes: u32,
    /// At once on one HTTP/2 connection.
    pub max_streams: u32,
    /// From the first byte of a request's head to the last.
    pub header_timeout_ms: u64,
    /// A client that takes no byte of its answer for so long is cut off.
    pub stall_timeout_ms: u64,
    /// After so long a connection is asked to go, so that load spreads anew; 0: never.
    pub max_connection_age_ms: u64,
    /// How long what is in flight may take after that, and when the process stops.
    pub drain_ms: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            max_connections: 20_000,
            max_headers: 100,
            max_header_bytes: 32 << 10,
            max_streams: 128,
            header_timeout_ms: 10_000,
            stall_timeout_ms: 30_000,
            max_connection_age_ms: 30 * 60_000,
            drain_ms: 20_000,
        }
    }
}

/// Milliseconds of a configuration.
pub(crate) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
