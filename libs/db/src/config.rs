//! Where a service's rows are.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbConfig {
    /// `sqlite://data/catalog.db?mode=rwc` or `postgres://user:password@host/database`.
    pub url: String,
    /// PostgreSQL: the schema, made when it is missing. One a service.
    pub schema: Option<String>,
    /// PostgreSQL: streaming replicas that serve [`crate::Db::read`].
    pub replicas: Vec<String>,
    /// Of each pool: writers and readers on PostgreSQL, readers on SQLite, which has one writer.
    pub max_connections: u32,
    /// How long a call waits for a connection before it is answered UNAVAILABLE.
    pub acquire_timeout_ms: u64,
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
            isolation: Isolation::default(),
            relay: false,
        }
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
