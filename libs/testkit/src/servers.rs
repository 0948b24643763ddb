//! Real PostgreSQL, Redis and NATS: the ones that `scripts/with-servers` started for the whole run,
//! and private ones that a test may kill, freeze and restart.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;

use crate::{Process, free_port};

/// How long a server may take until it answers.
const READY: Duration = Duration::from_secs(20);

/// `postgres://…` of the run's PostgreSQL; the user may create databases.
pub fn postgres() -> String {
    variable("JANGTEO_TEST_POSTGRES")
}

/// `redis://…` of the run's Redis. Shared: use keys of your own, and never FLUSHALL.
pub fn redis() -> String {
    variable("JANGTEO_TEST_REDIS")
}

/// `nats://…` of the run's NATS with JetStream. Shared: use stream names of your own.
pub fn nats() -> String {
    variable("JANGTEO_TEST_NATS")
}

#[expect(clippy::disallowed_methods, reason = "the test kit is configured by scripts/with-servers, not by kit")]
fn variable(name: &str) -> String {
    std::env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| {
        panic!("{name} is not set: run the tests with `make test`, or one of them with `scripts/with-servers cargo …`")
    })
}

/// A PostgreSQL database of one test's own, dropped at its end.
pub struct Database {
    url: String,
    name: String,
}

impl Database {
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cuts every connection and refuses new ones, as clients see a server that restarts; until [`Database::reopen`].
    pub async fn shut(&self) {
        let refuse = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.name);
        let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", self.name);
        for sql in [refuse, cut] {
            administer(sql).await.expect("shut a database");
        }
    }

    pub async fn reopen(&self) {
        administer(format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name)).await.expect("reopen a database");
    }

    /// SIGSTOP to whoever serves its connections: they hang, open. SIGCONT when the guard goes.
    pub async fn freeze(&self) -> Frozen {
        let sql = format!("SELECT pid FROM pg_stat_activity WHERE datname = '{}'", self.name);
        let server = administrator().await.expect("reach the server");
        let rows = server.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("list backends");
        server.close().await.expect("leave the server");
        let pids = rows.iter().filter_map(|row| Pid::from_raw(row.try_get_by_index(0).ok()?)).collect();
        let frozen = Frozen(pids);
        frozen.signal(Signal::STOP);
        frozen
    }
}

/// Backends that stand still.
pub struct Frozen(Vec<Pid>);

impl Frozen {
    fn signal(&self, signal: Signal) {
        for pid in &self.0 {
            let _ = kill_process(*pid, signal); // it may have ended meanwhile
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
    }
}

/// Creates an empty database in the run's PostgreSQL.
pub async fn fresh_database() -> Database {
    let name = format!("test_{}_{:x}", std::process::id(), unique());
    administer(format!("CREATE DATABASE {name}")).await.expect("create a database");
    let server = postgres();
    let (host, _) = server.rsplit_once('/').expect("postgres://user@host:port/database");
    Database { url: format!("{host}/{name}"), name }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A thread of its own: drop runs inside a runtime, and that one may be shutting down.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("build a runtime").block_on(administer(sql))
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("database {} was left behind", self.name);
        }
    }
}

async fn administrator() -> Result<DatabaseConnection, sea_orm::DbErr> {
    let mut options = ConnectOptions::new(postgres());
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await
}

async fn administer(sql: String) -> Result<(), sea_orm::DbErr> {
    let connection = administrator().await?;
    let result = connection.execute_unprepared(&sql).await.map(drop);
    connection.close().await?;
    result
}

/// Distinct within this process and, nearly surely, between runs.
fn unique() -> u64 {
    use std::hash::BuildHasher;
    std::collections::hash_map::RandomState::new().hash_one(std::thread::current().id())
}

/// What the private servers have in common.
macro_rules! private_server {
    ($server:ident, $scheme:literal) => {
        impl $server {
            pub fn url(&self) -> String {
                format!(concat!($scheme, "://{}"), self.address)
            }

            /// SIGKILL; what was acknowledged is on disk.
            pub fn kill9(&mut self) {
                self.process.kill9();
            }

            /// Starts it again on the same port, after [`Self::kill9`].
            pub async fn restart(&mut self) {
                self.process.start();
                self.process.listens(self.address, READY).await;
            }

            /// SIGSTOP: it hangs with its connections open.
            pub fn freeze(&self) {
                self.process.freeze();
            }

            /// SIGCONT.
            pub fn thaw(&self) {
                self.process.thaw();
            }

            pub fn log(&self) -> String {
                self.process.log()
            }
        }
    };
}

/// A NATS server with JetStream of one test's own. What it acknowledged survives [`NatsServer::kill9`].
pub struct NatsServer {
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

private_server!(NatsServer, "nats");

impl NatsServer {
    pub async fn start() -> NatsServer {
        let folder = folder();
        let address = address();
        let config = folder.path().join("nats.conf");
        let store = folder.path().join("store");
        let text = format!(
            "listen: \"{address}\"\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n",
            store.display()
        );
        std::fs::write(&config, text).expect("write nats.conf");
        let process = Process::new("nats", variable("JANGTEO_TEST_NATS_SERVER"), folder.path().join("log"))
            .args(["-c", config.to_str().expect("a readable path")]);
        let mut server = NatsServer { process, address, _folder: folder };
        server.restart().await;
        server
    }
}

/// A Redis of one test's own. It forgets everything when it is killed.
pub struct RedisServer {
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

private_server!(RedisServer, "redis");

impl RedisServer {
    pub async fn start() -> RedisServer {
        let folder = folder();
        let address = address();
        let process = Process::new("redis", variable("JANGTEO_TEST_REDIS_SERVER"), folder.path().join("log"))
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port".to_owned(), address.port().to_string()])
            .args(["--dir".to_owned(), folder.path().display().to_string()]);
        let mut server = RedisServer { process, address, _folder: folder };
        server.restart().await;
        server
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("jangteo-test-").tempdir().expect("create a temporary folder")
}

fn address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fresh_database_answers_and_goes_away() {
        let database = fresh_database().await;
        let name = database.name().to_owned();
        let connection = sea_orm::Database::connect(database.url()).await.unwrap();
        connection.execute_unprepared("CREATE TABLE t (id BIGINT)").await.unwrap();
        drop(database);
        let again = administer(format!("DROP DATABASE {name}")).await;
        assert!(again.unwrap_err().to_string().contains("does not exist"));
    }

    #[tokio::test]
    async fn a_database_may_be_shut_and_frozen() {
        let database = fresh_database().await;
        let connection = sea_orm::Database::connect(database.url()).await.unwrap();
        let answers = async || connection.execute_unprepared("SELECT 1").await;
        let frozen = database.freeze().await;
        assert!(tokio::time::timeout(Duration::from_millis(300), answers()).await.is_err());
        drop(frozen);
        crate::eventually(READY, async || answers().await.is_ok()).await;
        database.shut().await;
        assert!(sea_orm::Database::connect(database.url()).await.is_err());
        database.reopen().await;
        crate::eventually(READY, async || answers().await.is_ok()).await;
    }

    #[tokio::test]
    async fn private_servers_come_back_on_their_port() {
        let (mut nats, mut redis) = (NatsServer::start().await, RedisServer::start().await);
        let urls = (nats.url(), redis.url());
        nats.kill9();
        redis.kill9();
        assert!(tokio::net::TcpStream::connect(nats.address).await.is_err());
        assert!(tokio::net::TcpStream::connect(redis.address).await.is_err());
        nats.restart().await;
        redis.restart().await;
        nats.freeze();
        nats.thaw();
        assert_eq!(urls, (nats.url(), redis.url()));
    }
}
