//! The processes under load, and what they cost.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

/// Servers share one core, the load has the other.
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";

/// A server that listens for HTTP; killed when dropped.
pub struct Server {
    child: Child,
    pub http: u16,
}

impl Server {
    pub fn spawn(mut command: Command, http: u16) -> Server {
        Server { child: command.spawn().expect("start a server"), http }
    }

    /// This program again in another role, `--role port arguments`.
    pub async fn role(role: &str, arguments: &[&str]) -> Server {
        let http = free_port();
        let mut command = pinned(&std::env::current_exe().expect("this program"));
        command.args([role, &http.to_string()]).args(arguments);
        let server = Server::spawn(command, http);
        server.listening().await;
        server
    }

    /// Bare hyper that answers the bytes of `file` to everything.
    pub async fn floor(file: &Path) -> Server {
        Server::role("--floor", &[file.to_str().expect("a plain path")]).await
    }

    pub async fn listening(&self) {
        for _ in 0..1000 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.http)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("a server does not start");
    }

    /// User and system time so far, of all its threads.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux's /proc");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
        Duration::from_millis(ticks * 10)
    }

    /// The most memory it ever had resident, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux's /proc");
        let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("VmHWM");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kB") / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs on the servers' core.
pub fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", SERVER_CORE]).arg(program);
    command
}

/// Keeps this process, the load, on the other core.
pub fn pin_load() {
    let pid = std::process::id().to_string();
    let done = Command::new("taskset").args(["-a", "-cp", LOAD_CORE, &pid]).output();
    assert!(done.is_ok_and(|o| o.status.success()), "the benchmark needs taskset and two cores");
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// Serves `file` until killed.
pub fn floor(port: u16, file: &Path) {
    let body = Bytes::from(std::fs::read(file).expect("the floor's answer"));
    runtime().block_on(accept(port, move |request: hyper::Request<hyper::body::Incoming>| {
        let body = body.clone();
        async move {
            let _ = request.into_body().collect().await;
            http::Response::builder().header("content-type", "application/json").body(Full::new(body)).expect("a head")
        }
    }));
}

/// Plain hyper: answers every request of every connection with what `answer` makes of it.
#[expect(clippy::disallowed_methods, reason = "a benchmark's server has nothing to drain")]
pub async fn accept<F, A>(port: u16, answer: F)
where
    F: Fn(hyper::Request<hyper::body::Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = http::Response<Full<Bytes>>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("bind");
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        let service = hyper::service::service_fn(move |request| {
            let answered = answer(request);
            async move { Ok::<_, std::convert::Infallible>(answered.await) }
        });
        tokio::task::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}
