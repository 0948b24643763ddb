//! Demonstrations over HTTP, as any client would run them: `jangteo demo race`.
//!
//! Without `--url` a market of its own is started on embedded stores in a temporary folder, without limits by
//! address, and its stores are checked at the end as `jangteo verify` does.

mod race;
mod shopper;

use clap::Subcommand;
use jangteo_core::{Code, Error, Result};
use shopper::Shop;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, Command};

#[derive(Subcommand)]
pub enum Demo {
    /// 200 buyers for the last unit, ten adds at once, a double-clicked payment, one key a thousand times
    Race {
        /// A running market, whose limits by address must be off (`JANGTEO_EDGE__LIMITS__…=0`) [default: one of its own]
        #[arg(long)]
        url: Option<String>,
        /// Buyers of the last unit
        #[arg(long, default_value_t = 200)]
        buyers: usize,
    },
}

pub async fn run(demo: Demo) -> Result<()> {
    let Demo::Race { url, buyers } = demo;
    let own = if url.is_none() { Some(Own::start().await?) } else { None };
    let shop = Shop::at(url.or_else(|| own.as_ref().map(|o| o.url.clone())).unwrap_or_default())?;
    let mut outcome = race::run(&shop, buyers).await;
    if let Some(own) = own {
        let verified = own.verify().await;
        own.stop().await;
        outcome = outcome.and(verified);
    }
    outcome
}

/// A market of the demonstration's own.
struct Own {
    process: Child,
    program: PathBuf,
    folder: PathBuf,
    url: String,
}

const READY: Duration = Duration::from_secs(60);

impl Own {
    async fn start() -> Result<Own> {
        let program = std::env::current_exe().map_err(Error::internal)?;
        let folder = std::env::temp_dir().join(format!("jangteo-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(Error::internal)?;
        let http = free_address().await?;
        let log = std::fs::File::create(folder.join("log")).map_err(Error::internal)?;
        let mut command = Command::new(&program);
        ours(&mut command)
            .args(["serve", "all"])
            .env("JANGTEO_DATA", folder.join("data"))
            .env("JANGTEO_HTTP", http.to_string());
        for limit in ["ANONYMOUS_PER_MINUTE", "SIGNED_IN_PER_MINUTE", "LOGIN_PER_MINUTE", "COSTLY_PER_HOUR"] {
            command.env(format!("JANGTEO_EDGE__LIMITS__{limit}"), "0");
        }
        command.env("JANGTEO_AUTH__LIMITS__NETWORK", "100000");
        let log = Stdio::from(log);
        let process = command.current_dir(&folder).stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn();
        let own = Own { process: process.map_err(Error::internal)?, program, folder, url: format!("http://{http}") };
        let shop = Shop::at(own.url.clone())?;
        let ready = tokio::time::timeout(READY, async {
            while !shop.is_ready().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        ready.await.map_err(|_| Error::unavailable(format!("the market in {}", own.folder.display())))?;
        println!("a market of its own at {}, data in {}", own.url, own.folder.display());
        Ok(own)
    }

    /// The checks of every service over the stores, while the market runs.
    async fn verify(&self) -> Result<()> {
        let mut verify = Command::new(&self.program);
        let verify = ours(&mut verify).arg("verify").env("JANGTEO_DATA", self.folder.join("data"));
        match verify.current_dir(&self.folder).status().await.map_err(Error::internal)?.success() {
            true => Ok(()),
            false => Err(Error::new(Code::DataLoss, "CHECKS_FAILED", "the stores don't hold what they should")),
        }
    }

    async fn stop(mut self) {
        let _ = self.process.kill().await;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Without what the environment says of another market: its database, its keys.
fn ours(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("JANGTEO_")) {
        command.env_remove(name);
    }
    command
}

async fn free_address() -> Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::internal)?;
    listener.local_addr().map_err(Error::internal)
}
