//! The processes under load, and what they cost.

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const SERVER_CORE: usize = 0;

pub struct Server {
    child: Child,
    pub http: u16,
    pub grpc: u16,
}

impl Server {
    /// The market with its demo data, limits off.
    pub async fn market(data: &Path, env: &[(String, String)]) -> Server {
        let (http, grpc) = (free_port(), free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_jangteo"));
        command.args(["serve", "all", "--demo", "--data"]).arg(data);
        command.args(["--http", &format!("127.0.0.1:{http}")]).env("JANGTEO_GRPC", format!("127.0.0.1:{grpc}"));
        command.env("JANGTEO_RPC__TRUST_CALLER_HEADER", "true").env("JANGTEO_TELEMETRY__LOG", "warn");
        for limit in ["ANONYMOUS_PER_MINUTE", "SIGNED_IN_PER_MINUTE", "LOGIN_PER_MINUTE", "COSTLY_PER_HOUR"] {
            command.env(format!("JANGTEO_EDGE__LIMITS__{limit}"), "0");
        }
        command.envs(env.iter().cloned());
        let (out, said) = (data.join("out"), "demo login");
        command.stdout(std::fs::File::create(&out).expect("create the output file"));
        let server = Server { child: command.spawn().expect("start the market"), http, grpc };
        pin(server.pid(), SERVER_CORE);
        let deadline = Instant::now() + Duration::from_secs(120);
        while !std::fs::read_to_string(&out).unwrap_or_default().contains(said) {
            assert!(Instant::now() < deadline, "the market does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    /// Bare hyper that answers the bytes of `file` to everything.
    pub async fn floor(file: &Path) -> Server {
        let http = free_port();
        let this = std::env::current_exe().expect("this program");
        let mut command = Command::new(this);
        command.args(["--floor", &http.to_string()]).arg(file).stdout(Stdio::null());
        let server = Server { child: command.spawn().expect("start the floor"), http, grpc: 0 };
        pin(server.pid(), SERVER_CORE);
        while tokio::net::TcpStream::connect(("127.0.0.1", http)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// User and system time so far, of all its threads.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("Linux's /proc");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory in MiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("Linux's /proc");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kB") / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves `file` until killed.
#[expect(clippy::disallowed_methods, reason = "the floor has nothing to drain")]
pub fn floor(port: u16, file: &Path) {
    let body = Bytes::from(std::fs::read(file).expect("the floor's answer"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("bind");
        loop {
            let (stream, _) = listener.accept().await.expect("accept");
            let _ = stream.set_nodelay(true);
            let body = body.clone();
            let service = hyper::service::service_fn(move |_| {
                let response =
                    http::Response::builder().header("content-type", "application/json").body(Full::new(body.clone()));
                std::future::ready(response)
            });
            tokio::task::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
}

/// Keeps a process on one core; without taskset, or with one core, it goes where it likes.
pub fn pin(pid: u32, core: usize) {
    let _ = Command::new("taskset")
        .args(["-a", "-cp", &core.to_string(), &pid.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Settings for a market on the servers that `scripts/with-servers` started.
#[expect(clippy::disallowed_methods, reason = "a benchmark has no kit to read the environment for it")]
pub fn servers() -> Option<Vec<(String, String)>> {
    let of = |name: &str| std::env::var(name).ok();
    let set = |name: &str, value: String| (name.to_owned(), value);
    Some(vec![
        set("JANGTEO_DATABASE__URL", of("JANGTEO_TEST_POSTGRES")?),
        set("JANGTEO_NATS__URL", of("JANGTEO_TEST_NATS")?),
        set("JANGTEO_REDIS__URL", of("JANGTEO_TEST_REDIS")?),
        set("JANGTEO_SECRET", "5ec4e7".repeat(11)[..64].to_owned()),
    ])
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}
