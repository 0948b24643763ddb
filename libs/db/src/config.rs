//! Where a service's rows are.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbConfig {
    /// `sqlite://data/catalog.db?mode=rwc` or `postgres://user:password@host/database`.
    pub url: String,
    /// PostgreSQL: the schema, made when it is missing. One for each service.
    pub schema: Option<String>,
    /// PostgreSQL: streaming replicas that serve [`crate::Db::read`].
    pub replicas: Vec<String>,
    /// Of each pool: writers and readers on PostgreSQL, readers on SQLite, which has one writer.
    pub max_connections: u32,
    /// How long a call waits for a connection before it is answered UNAVAILABLE.
    pub acquire_timeout_ms: u64,
    /// PostgreSQL: a statement that takes longer is cancelled by the server and answered DEADLINE_EXCEEDED. Bounds what
    /// a call that was given up leaves running. Migrations have no such limit; 0 lifts it altogether.
    pub statement_timeout_ms: u64,
    /// PostgreSQL: a transaction that does nothing for longer is ended by the server, so that an abandoned one doesn't
    /// hold its locks. 0 lifts the limit.
    pub idle_transaction_timeout_ms: u64,
    pub isolation: Isolation,
    /// A relay publishes this service's events, so each one also gets an outbox row.
    pub relay: bool,
}

impl Default for DbConfig {
    fn default() -> Self {
        DbConfig {
            url: String::new(),
            schema: None,
            replicas: Vec::new(),
            max_connections: 8,
            acquire_timeout_ms: 10_000,
            statement_timeout_ms: 15_000,
            idle_transaction_timeout_ms: 30_000,
            isolation: Isolation::default(),
            relay: false,
        }
    }
}

/// Without the passwords.
impl fmt::Debug for DbConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbConfig")
            .field("url", &without_password(&self.url))
            .field("schema", &self.schema)
            .field("replicas", &self.replicas.iter().map(|url| without_password(url)).collect::<Vec<_>>())
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout_ms", &self.acquire_timeout_ms)
            .field("statement_timeout_ms", &self.statement_timeout_ms)
            .field("idle_transaction_timeout_ms", &self.idle_transaction_timeout_ms)
            .field("isolation", &self.isolation)
            .field("relay", &self.relay)
            .finish()
    }
}

/// `postgres://host/database`: neither the user nor the password belongs in a log.
fn without_password(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        _ => url.to_owned(),
    }
}

/// How far PostgreSQL keeps writes apart. SQLite has one writer and is always serializable, so anything
/// weaker lets a closure that is right on one store be wrong on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    #[default]
    Serializable,
    /// Cheaper on hot rows; allows write skew, so only for services whose checks are constraints or row locks.
    RepeatableRead,
}

impl Isolation {
    pub(crate) fn as_sql(self) -> &'static str {
        match self {
            Isolation::Serializable => "serializable",
            Isolation::RepeatableRead => "repeatable read",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_password() {
        let replicas = vec!["postgres://u@h:1/d?password=hunter2".to_owned()];
        let cfg = DbConfig { url: "postgres://u:hunt@er2@h/d".to_owned(), replicas, ..Default::default() };
        let shown = format!("{cfg:?}");
        assert!(shown.contains("postgres://h/d") && shown.contains("postgres://h:1/d"), "{shown}");
        assert!(!shown.contains("er2"), "{shown}");
    }
}
