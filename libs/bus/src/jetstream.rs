//! The bus on NATS JetStream: streams, and the parts that `relay`, `consumer` and `replay` share.
//!
//! One stream a source, `EVT_<SOURCE>`, subjects `evt.<source>.<aggregate>.<id>`; file storage, limits retention
//! (the other kinds forget deduplication ids), discard new, so that a full stream stops the relay and loses nothing.
//! The stream is transport: the services' event tables are the truth. Nothing here relies on the
//! server's deduplication or acknowledgements for "once": the inbox alone ensures that.

mod consumer;
mod relay;
mod replay;

use crate::{ConsumerSpec, Delivery, Envelope, EventBus, Inbox, Lag, Outbox, Replay, Replayed, Stop, worker::Source};
use async_nats::{
    Client, ConnectOptions,
    connection::State,
    jetstream::{self, ErrorCode, context::ConsumerInfoErrorKind, stream},
};
use async_trait::async_trait;
use jangteo_core::{Error, Result};
use prost::Message as _;
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc, time::Duration};

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JetStreamConfig {
    /// `nats://host:4222`; several for a cluster.
    pub urls: Vec<String>,
    /// How this client calls itself to the server.
    pub name: String,
    pub user: Option<String>,
    pub password: Option<String>,
    pub token: Option<String>,
    /// A `.creds` file.
    pub credentials_file: Option<PathBuf>,
    pub tls: bool,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// Copies of each stream: 3 in a cluster.
    pub replicas: usize,
    /// Of each stream; keep the sum below the disk. Unset: the server's own limit.
    pub max_bytes: Option<i64>,
    /// Older messages leave the stream; 0 keeps all. The event tables keep all.
    pub max_age_secs: u64,
    /// How long the server recognises an event id that it has had, and drops the copy.
    pub duplicate_window_secs: u64,
    /// How long a relay that has gone silent keeps its partition.
    pub lease_secs: u64,
    /// Rows that a relay reads at once.
    pub relay_batch: usize,
}

impl Default for JetStreamConfig {
    fn default() -> Self {
        JetStreamConfig {
            urls: vec!["nats://127.0.0.1:4222".into()],
            name: "jangteo".into(),
            user: None,
            password: None,
            token: None,
            credentials_file: None,
            tls: false,
            ca_file: None,
            cert_file: None,
            key_file: None,
            replicas: 1,
            max_bytes: None,
            max_age_secs: 30 * 24 * 3600,
            duplicate_window_secs: 600,
            lease_secs: 10,
            relay_batch: 256,
        }
    }
}

/// A cheap handle.
#[derive(Clone)]
pub struct JetStream {
    client: Client,
    context: jetstream::Context,
    cfg: Arc<JetStreamConfig>,
    backlog: Arc<relay::Backlog>,
}

impl JetStream {
    /// Doesn't wait for the server: what needs it waits, for as long as it takes. Fails on unreadable settings.
    pub async fn connect(cfg: &JetStreamConfig) -> Result<Self> {
        let mut options = ConnectOptions::new()
            .name(&cfg.name)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(Duration::from_secs(3))
            .request_timeout(Some(Duration::from_secs(5)))
            .ping_interval(Duration::from_secs(5))
            .reconnect_delay_callback(|n| Duration::from_millis((50u64 << n.min(4)).min(500)))
            .event_callback(async |event| tracing::info!(%event, "nats"));
        if let (Some(user), Some(password)) = (&cfg.user, &cfg.password) {
            options = options.user_and_password(user.clone(), password.clone());
        }
        if let Some(token) = &cfg.token {
            options = options.token(token.clone());
        }
        if let Some(file) = &cfg.credentials_file {
            let text = std::fs::read_to_string(file).map_err(Error::internal)?;
            options = options.credentials(&text).map_err(Error::internal)?;
        }
        if let Some(file) = &cfg.ca_file {
            options = options.add_root_certificates(file.clone());
        }
        if let (Some(cert), Some(key)) = (&cfg.cert_file, &cfg.key_file) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        let client = options.require_tls(cfg.tls).connect(cfg.urls.as_slice()).await.map_err(Error::internal)?;
        let context = jetstream::context::ContextBuilder::new().timeout(Duration::from_secs(5)).build(client.clone());
        Ok(JetStream { client, context, cfg: Arc::new(cfg.clone()), backlog: Arc::default() })
    }

    fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    async fn until_connected(&self, connected: bool) {
        while self.connected() != connected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The stream of `source`, made when it isn't there. The relay, who owns it, also brings its limits up to date.
    async fn stream(&self, source: &str, owner: bool) -> Result<stream::Stream> {
        let name = stream_name(source);
        if !owner {
            match self.context.get_stream(&name).await {
                Ok(stream) => return Ok(stream),
                Err(e) if is_not_found(&e) => {}
                Err(e) => return Err(away(e)),
            }
        }
        let config = stream::Config {
            name: name.clone(),
            subjects: vec![format!("evt.{}.>", token(source))],
            retention: stream::RetentionPolicy::Limits,
            storage: stream::StorageType::File,
            discard: stream::DiscardPolicy::New,
            max_bytes: self.cfg.max_bytes.unwrap_or(-1),
            max_age: Duration::from_secs(self.cfg.max_age_secs),
            duplicate_window: Duration::from_secs(self.cfg.duplicate_window_secs),
            num_replicas: self.cfg.replicas,
            deny_delete: true,
            deny_purge: true,
            ..Default::default()
        };
        if owner {
            self.context.create_or_update_stream(config).await.map_err(away)?;
            return self.context.get_stream(&name).await.map_err(away);
        }
        self.context.get_or_create_stream(config).await.map_err(away)
    }
}

#[async_trait]
impl EventBus for JetStream {
    async fn consume(&self, spec: ConsumerSpec, inbox: Arc<dyn Inbox>, stop: Stop) -> Result<()> {
        consumer::run(self.clone(), spec, inbox, stop).await;
        Ok(())
    }

    async fn relay(&self, outbox: Arc<dyn Outbox>, stop: Stop) -> Result<()> {
        relay::run(self, outbox, stop).await;
        Ok(())
    }

    async fn replay(&self, spec: ConsumerSpec, replay: Replay, inbox: Arc<dyn Inbox>, stop: Stop) -> Result<Replayed> {
        replay::run(self.clone(), spec, replay, inbox, stop).await
    }

    async fn lag(&self, spec: &ConsumerSpec, _inbox: &dyn Inbox) -> Result<Lag> {
        let stream = self.stream(&spec.source, false).await?;
        match stream.consumer_info(durable_name(&spec.name)).await {
            Ok(info) => {
                let in_flight = info.num_ack_pending as u64;
                Ok(Lag { pending: info.num_pending + in_flight, in_flight })
            }
            // Nobody has consumed yet: the whole stream is before it.
            Err(e) if e.kind() == ConsumerInfoErrorKind::NotFound => {
                let info = stream.get_info().await.map_err(away)?;
                Ok(Lag { pending: info.state.messages, in_flight: 0 })
            }
            Err(e) => Err(away(e)),
        }
    }

    fn healthy(&self) -> bool {
        self.connected()
    }
}

/// Asks the stream itself what it still has.
struct Stored {
    js: JetStream,
    source: String,
}

#[async_trait]
impl Source for Stored {
    async fn begins_with(&self, d: &Delivery) -> bool {
        let Ok(stream) = self.js.stream(&self.source, false).await else { return false };
        match stream.get_first_raw_message_by_subject(subject(&d.envelope), 1).await {
            Ok(first) => i64::try_from(first.sequence).is_ok_and(|s| s == d.position),
            Err(_) => false,
        }
    }
}

/// A message of the stream as a delivery; version 0 when its bytes are no envelope.
fn delivery(source: &str, position: i64, subject: &str, payload: &[u8]) -> Delivery {
    let envelope = match Envelope::decode(payload) {
        Ok(e) if e.version > 0 && !e.event_id.is_empty() => e,
        _ => Envelope {
            event_id: format!("{}:{position}", stream_name(source)),
            r#type: "undecodable".into(),
            source: source.to_owned(),
            aggregate_id: subject.to_owned(),
            payload: payload.to_vec(),
            ..Default::default()
        },
    };
    Delivery { envelope, position, attempt: 1, accept_gap: false, fresh: false }
}

fn stream_name(source: &str) -> String {
    format!("EVT_{}", token(source).to_uppercase())
}

fn durable_name(consumer: &str) -> String {
    token(consumer)
}

fn subject(e: &Envelope) -> String {
    format!("evt.{}.{}.{}", token(&e.source), token(&e.aggregate), token(&e.aggregate_id))
}

fn filter(spec: &ConsumerSpec) -> String {
    match spec.aggregate.as_str() {
        "*" => format!("evt.{}.>", token(&spec.source)),
        aggregate => format!("evt.{}.{}.*", token(&spec.source), token(aggregate)),
    }
}

/// One token of a subject or name: what NATS reserves there becomes `=2E` and the like.
fn token(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(b as char),
            _ => out.push_str(&format!("={b:02X}")),
        }
    }
    if out.is_empty() { "=".into() } else { out }
}

fn away(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable("nats").with_source(e)
}

/// Whether the server says that there is no such stream or consumer.
fn is_not_found(e: &(dyn std::error::Error + 'static)) -> bool {
    let mut at = Some(e);
    while let Some(e) = at {
        if let Some(js) = e.downcast_ref::<jetstream::Error>() {
            return matches!(js.error_code(), ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND);
        }
        at = e.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_nothing_that_nats_reserves() {
        let e = Envelope {
            source: "catalog".into(),
            aggregate: "product".into(),
            aggregate_id: "prd.*> x".into(),
            ..Default::default()
        };
        assert_eq!(subject(&e), "evt.catalog.product.prd=2E=2A=3E=20x");
        assert_eq!(durable_name("user.auth-events"), "user=2Eauth-events");
        assert_eq!(stream_name("catalog"), "EVT_CATALOG");
    }

    #[test]
    fn bytes_that_are_no_envelope_keep_their_place_and_content() {
        let d = delivery("catalog", 7, "evt.catalog.product.x", b"\xff\xff");
        assert_eq!((d.envelope.version, d.envelope.event_id.as_str()), (0, "EVT_CATALOG:7"));
        assert_eq!(&d.envelope.payload[..], b"\xff\xff");
    }
}
