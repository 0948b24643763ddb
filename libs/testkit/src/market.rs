//! The real program, in every shape that it runs in.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use tempfile::TempDir;

use crate::{
    Client, Process,
    certs::{Authority, Identity},
    eventually, free_port,
    servers::{self, Database, NatsServer, RedisServer},
};

/// A dev build on a busy machine with two cores; a warm start takes well under a second.
const READY: Duration = Duration::from_secs(60);

/// The master secret of every test market: 32 bytes, hexadecimal.
const SECRET: &str = "6a616e6774656f206d6172b65740000102030405060708090a0b0c0d0e0f1011";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// One process on embedded stores.
    Embedded,
    /// One process on PostgreSQL, Redis and NATS.
    OneProcess,
    /// A process per service and the gateway, mutual TLS between them, on PostgreSQL, Redis and NATS.
    Mesh,
}

impl Topology {
    pub const ALL: [Topology; 3] = [Topology::Embedded, Topology::OneProcess, Topology::Mesh];
}

/// What a [`Market`] is made of; [`Setup::start`] starts it.
pub struct Setup {
    program: String,
    topology: Topology,
    services: Vec<String>,
    env: Vec<(String, String)>,
}

impl Setup {
    /// An environment variable for every process of the market; `{folder}` in it is [`Market::folder`].
    pub fn env(mut self, key: &str, value: impl Into<String>) -> Setup {
        self.env.push((key.to_owned(), value.into()));
        self
    }

    /// The process kills itself at the named crash point, or at its nth visit: `name` or `name:3`.
    pub fn crash_at(self, point: &str) -> Setup {
        self.env("JANGTEO_CRASH_AT", point)
    }

    /// Starts every process and waits until all are ready.
    pub async fn start(self) -> Market {
        let folder = tempfile::Builder::new().prefix("jangteo-test-").tempdir().expect("create a temporary folder");
        let backing = if self.topology == Topology::Embedded { None } else { Some(Backing::start().await) };
        let http = free_port();
        let members = match self.topology {
            Topology::Embedded => vec![self.whole(folder.path(), http)],
            Topology::OneProcess => vec![self.whole(folder.path(), http).using(backing.as_ref(), true)],
            Topology::Mesh => self.mesh(folder.path(), http, backing.as_ref()),
        };
        let mut market = Market { members, http, backing, topology: self.topology, folder };
        market.restart().await;
        market
    }

    /// All roles in one process; its data lie in the test's folder.
    fn whole(&self, folder: &Path, http: u16) -> Member {
        let data = folder.join("data").display().to_string();
        self.member("jangteo", &["serve", "all"], folder)
            .env("JANGTEO_DATA", data)
            .env("JANGTEO_HTTP", local(http))
            .ready_at(http)
    }

    fn mesh(&self, folder: &Path, http: u16, backing: Option<&Backing>) -> Vec<Member> {
        let authority = Authority::new(&folder.join("certs"));
        let peers: Vec<_> = self.services.iter().map(|service| (service.as_str(), free_port())).collect();
        let services = peers.iter().map(|(service, port)| {
            let admin = free_port();
            self.member(service, &["serve", service], folder)
                .env("JANGTEO_GRPC", local(*port))
                .env("JANGTEO_ADMIN", local(admin))
                .ready_at(admin)
                .using(backing, true)
        });
        let gateway = self.member("gateway", &["gateway"], folder).env("JANGTEO_HTTP", local(http)).ready_at(http);
        let members = services.chain([gateway.using(backing, false)]);
        members.map(|member| member.meeting(&peers, &authority)).collect()
    }

    fn member(&self, name: &str, args: &[&str], folder: &Path) -> Member {
        let log = folder.join(format!("{name}.log"));
        let mut process = Process::new(name, &self.program, log).args(args.to_vec()).in_folder(folder);
        process.set_env("JANGTEO_SECRET", SECRET);
        for (key, value) in &self.env {
            process.set_env(key, value.replace("{folder}", &folder.display().to_string()));
        }
        Member { process, admin: 0 }
    }
}

/// One process of a market, and the port whose `/readyz` tells when it is up.
struct Member {
    process: Process,
    admin: u16,
}

impl Member {
    fn env(mut self, key: &str, value: String) -> Member {
        self.process.set_env(key, value);
        self
    }

    fn ready_at(mut self, port: u16) -> Member {
        self.admin = port;
        self
    }

    /// The gateway has no rows and no events, only limits.
    fn using(self, backing: Option<&Backing>, rows: bool) -> Member {
        let Some(backing) = backing else { return self };
        let member = self.env("JANGTEO_REDIS__URL", backing.redis.url());
        if !rows {
            return member;
        }
        member
            .env("JANGTEO_DATABASE__URL", backing.database.url().to_owned())
            .env("JANGTEO_NATS__URL", backing.nats.url())
    }

    /// Where its peers are, and the certificate by which they know it.
    fn meeting(mut self, peers: &[(&str, u16)], authority: &Authority) -> Member {
        let name = self.process.name().to_owned();
        for (peer, port) in peers.iter().filter(|(peer, _)| *peer != name) {
            let key = format!("JANGTEO_PEERS__{}", peer.to_uppercase());
            self.process.set_env(key, format!("https://{}", local(*port)));
        }
        let Identity { cert, key, ca } = authority.issue(&name);
        self.env("JANGTEO_TLS__CERT", cert.display().to_string())
            .env("JANGTEO_TLS__KEY", key.display().to_string())
            .env("JANGTEO_TLS__CA", ca.display().to_string())
    }

    async fn ready(&mut self) {
        let admin = Client::new(format!("http://{}", local(self.admin)));
        eventually(READY, async || {
            if let Some(status) = self.process.exited() {
                panic!("{} ended with {status}:\n{}", self.process.name(), self.process.log());
            }
            match admin.get("/readyz").try_send().await {
                Ok(reply) if reply.status == 200 => Ok(()),
                Ok(reply) => Err(format!("{reply:?}")),
                Err(error) => Err(format!("{error:?}\n{}", self.process.log())),
            }
        })
        .await;
    }
}

/// The servers of one market. NATS and Redis are its own, so that streams and rate limits of two
/// markets never meet, and so that a test may kill them.
struct Backing {
    database: Database,
    nats: NatsServer,
    redis: RedisServer,
}

impl Backing {
    async fn start() -> Backing {
        Backing {
            database: servers::fresh_database().await,
            nats: NatsServer::start().await,
            redis: RedisServer::start().await,
        }
    }
}

/// A running market. Dropping it kills its processes, and prints their logs when the test failed.
pub struct Market {
    // In the order in which they must go: the processes before their stores.
    members: Vec<Member>,
    backing: Option<Backing>,
    http: u16,
    topology: Topology,
    folder: TempDir,
}

impl Market {
    /// `program` is `env!("CARGO_BIN_EXE_jangteo")`; `services` are those that a mesh runs one process of each.
    pub fn of(program: &str, topology: Topology, services: impl IntoIterator<Item = String>) -> Setup {
        Setup { program: program.to_owned(), topology, services: services.into_iter().collect(), env: Vec::new() }
    }

    /// The address of the edge: `http://127.0.0.1:12345`.
    pub fn url(&self) -> String {
        format!("http://{}", local(self.http))
    }

    pub fn client(&self) -> Client {
        Client::new(self.url())
    }

    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// Holds the market's data (`data`), its logs and its certificates.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SIGKILL to every process.
    pub fn kill9(&mut self) {
        for member in &mut self.members {
            member.process.kill9();
        }
    }

    /// SIGTERM to every process, the edge first; each must end by itself and without an error.
    pub async fn stop(&mut self) {
        for member in self.members.iter_mut().rev() {
            let status = member.process.stop(READY).await;
            assert!(status.success(), "{}: {status}\n{}", member.process.name(), member.process.log());
        }
    }

    /// Starts the processes that are not running, on the same ports and data, and waits until all are ready.
    pub async fn restart(&mut self) {
        for member in &mut self.members {
            member.process.start();
        }
        for member in &mut self.members {
            member.ready().await;
        }
    }

    /// One process: the name of a service or `gateway` in a mesh, else `jangteo`.
    #[track_caller]
    pub fn process(&mut self, name: &str) -> &mut Process {
        let found = self.members.iter_mut().map(|member| &mut member.process).find(|process| process.name() == name);
        found.unwrap_or_else(|| panic!("no process {name} in this market"))
    }

    /// Runs a command of the program beside the market, in the environment of its first process; gives
    /// what it printed, and panics when it fails.
    pub async fn command(&self, args: &[&str]) -> String {
        self.try_command(args).await.unwrap_or_else(|printed| panic!("{args:?} failed\n{printed}"))
    }

    /// The same; what a failed one printed is the error.
    pub async fn try_command(&self, args: &[&str]) -> Result<String, String> {
        let mut process = self.members[0].process.sibling("command", args.to_vec());
        let earlier = process.log().len();
        process.start();
        let status = process.wait(READY).await;
        let printed = process.log().split_off(earlier);
        if status.success() { Ok(printed) } else { Err(format!("{status}\n{printed}")) }
    }

    /// The process that runs a service: its own in a mesh, else the one there is.
    #[track_caller]
    pub fn host_of(&mut self, service: &str) -> &mut Process {
        let name = if self.topology == Topology::Mesh { service } else { "jangteo" };
        self.process(name)
    }

    /// The market's Redis; panics on embedded stores.
    #[track_caller]
    pub fn redis(&mut self) -> &mut RedisServer {
        &mut self.backing.as_mut().expect("an embedded market has no redis").redis
    }

    /// The market's NATS; panics on embedded stores.
    #[track_caller]
    pub fn nats(&mut self) -> &mut NatsServer {
        &mut self.backing.as_mut().expect("an embedded market has no nats").nats
    }

    /// The market's PostgreSQL database; panics on embedded stores.
    #[track_caller]
    pub fn postgres(&self) -> &Database {
        &self.backing.as_ref().expect("an embedded market has no postgres").database
    }

    /// The URL of its PostgreSQL database, unless it runs on embedded stores.
    pub fn database(&self) -> Option<&str> {
        self.backing.as_ref().map(|backing| backing.database.url())
    }

    /// An environment variable for every process, from its next start on; `None` takes it away.
    pub fn set_env(&mut self, key: &str, value: Option<&str>) {
        for member in &mut self.members {
            match value {
                Some(value) => member.process.set_env(key, value),
                None => member.process.unset_env(key),
            }
        }
    }

    /// All that its processes printed.
    pub fn logs(&self) -> String {
        self.members.iter().map(|member| member.process.log()).collect()
    }
}

impl Drop for Market {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            for member in &self.members {
                let log = member.process.log();
                let lines: Vec<_> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(60)..].join("\n");
                eprintln!("---- last lines of {}\n{tail}", member.process.name());
            }
        }
    }
}

fn local(port: u16) -> String {
    format!("{}:{port}", Ipv4Addr::LOCALHOST)
}
