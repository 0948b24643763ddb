//! A child process that a test may kill, freeze and start again.

use std::{
    collections::hash_map::RandomState,
    fs::{File, OpenOptions},
    hash::BuildHasher,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

/// A port of 127.0.0.1 that nobody listens on. It lies below the range from which the system takes
/// ports for outgoing connections, so that it stays free while its server is down. A process counts
/// up from a random start: asking twice before binding gives two ports.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(std::process::id()) >> 1));
    (0..20_000)
        .map(|_| 12_000 + u16::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % 20_000).expect("below 20,000"))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("none of 20,000 ports is free")
}

/// A program with its arguments, environment and log file. Dropping it kills the process.
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    folder: Option<PathBuf>,
    child: Option<Child>,
}

impl Process {
    /// Describes the process; [`Process::start`] starts it. Standard output and error go to `log`, appended.
    pub fn new(name: &str, program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Process {
        Process {
            name: name.to_owned(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            log: log.into(),
            folder: None,
            child: None,
        }
    }

    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Process {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The working folder, from which a configuration file may be read.
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Process {
        self.folder = Some(folder.into());
        self
    }

    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Process {
        self.set_env(key, value);
        self
    }

    /// Counts from the next start on.
    pub fn set_env(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let key = key.into();
        self.env.retain(|(k, _)| *k != key);
        self.env.push((key, value.into()));
    }

    /// Counts from the next start on.
    pub fn unset_env(&mut self, key: &str) {
        self.env.retain(|(k, _)| k != key);
    }

    /// The same program with the same environment and other arguments, not running.
    pub fn sibling<S: Into<String>>(&self, name: &str, args: impl IntoIterator<Item = S>) -> Process {
        Process {
            name: name.to_owned(),
            program: self.program.clone(),
            args: args.into_iter().map(Into::into).collect(),
            env: self.env.clone(),
            log: self.log.with_file_name(format!("{name}.log")),
            folder: self.folder.clone(),
            child: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path of the log file.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// All that the process and its earlier lives printed.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Starts the process when it isn't running. Nothing of the caller's JANGTEO_ environment reaches it.
    pub fn start(&mut self) {
        if self.is_running() {
            return;
        }
        let out = self.open_log();
        let mut command = Command::new(&self.program);
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("JANGTEO_") {
                command.env_remove(key);
            }
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let child = command
            .args(&self.args)
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stderr(out.try_clone().expect("clone the log's handle"))
            .stdout(out)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {}: {error}", self.name, self.program.display()));
        self.child = Some(child);
    }

    fn open_log(&self) -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap_or_else(|error| panic!("{}: {error}", self.log.display()))
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn is_running(&mut self) -> bool {
        self.exited().is_none() && self.child.is_some()
    }

    /// The exit status, once the process has ended by itself or by a signal.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().expect("wait for a child"))
    }

    /// Waits until the process has ended, as after a crash point.
    pub async fn wait(&mut self, within: Duration) -> ExitStatus {
        eventually(within, async || self.exited()).await
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill(); // it may have ended already
            let _ = child.wait();
        }
    }

    /// SIGTERM; waits for the end.
    pub async fn stop(&mut self, within: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(within).await
    }

    /// SIGSTOP: the process hangs with its sockets open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid().unwrap_or_else(|| panic!("{} is not running", self.name));
        let pid = Pid::from_raw(pid.cast_signed()).expect("a process has an id");
        kill_process(pid, signal).unwrap_or_else(|e| panic!("{signal:?} to {}: {e}", self.name));
    }

    /// Waits until somebody listens on `address`; panics with the log when the process ends before.
    pub async fn listens(&mut self, address: SocketAddr, within: Duration) {
        eventually(within, async || {
            if let Some(status) = self.exited() {
                panic!("{} ended with {status}:\n{}", self.name, self.log());
            }
            tokio::net::TcpStream::connect(address).await.map(drop)
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}
