//! The market as one process under load.

use crate::common::process::{Server, free_port, pinned};
use std::{
    path::Path,
    time::{Duration, Instant},
};

pub struct Market {
    pub server: Server,
    pub grpc: u16,
}

impl Market {
    /// With its demo data, limits off.
    pub async fn start(data: &Path, env: &[(String, String)]) -> Market {
        let (http, grpc) = (free_port(), free_port());
        let mut command = pinned(Path::new(env!("CARGO_BIN_EXE_jangteo")));
        command.args(["serve", "all", "--demo", "--data"]).arg(data);
        command.args(["--http", &format!("127.0.0.1:{http}")]).env("JANGTEO_GRPC", format!("127.0.0.1:{grpc}"));
        command.env("JANGTEO_RPC__TRUST_CALLER_HEADER", "true").env("JANGTEO_TELEMETRY__LOG", "warn");
        // Nobody else reaches it.
        command.env("JANGTEO_DEMO_ACCOUNTS", "true").env("JANGTEO_AUTH__MAIL__FOLDER", data.join("mail"));
        for limit in ["ANONYMOUS_PER_MINUTE", "SIGNED_IN_PER_MINUTE", "LOGIN_PER_MINUTE", "COSTLY_PER_HOUR"] {
            command.env(format!("JANGTEO_EDGE__LIMITS__{limit}"), "0");
        }
        command.envs(env.iter().cloned());
        let (out, said) = (data.join("out"), "demo login");
        command.stdout(std::fs::File::create(&out).expect("create the output file"));
        let server = Server::spawn(command, http);
        let deadline = Instant::now() + Duration::from_secs(120);
        while !std::fs::read_to_string(&out).unwrap_or_default().contains(said) {
            assert!(Instant::now() < deadline, "the market does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Market { server, grpc }
    }
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

/// The first string of that name in a JSON text.
pub fn field(json: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(json);
    let from = text.find(&format!("\"{name}\":\"")).expect("the field is there") + name.len() + 4;
    text[from..].split('"').next().expect("a string").to_owned()
}
