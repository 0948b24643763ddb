//! structured-proxy: axum and prost-reflect, the other edge of this kind in Rust.

use crate::common::process::{Server, free_port, pinned};
use serde_json::json;
use std::path::Path;

/// `program`: what `benches/structured-proxy` builds.
pub async fn start(program: &Path, folder: &Path, descriptors: &Path, upstream: u16) -> Server {
    let http = free_port();
    let file = folder.join("structured-proxy.yaml");
    // Every JSON is YAML.
    let configuration = json!({
        "listen": {"http": format!("127.0.0.1:{http}")},
        "upstream": {"default": format!("http://127.0.0.1:{upstream}")},
        "descriptors": [{"file": descriptors}],
        "service": {"name": "edge"},
    });
    std::fs::write(&file, configuration.to_string()).expect("write structured-proxy's configuration");
    let mut command = pinned(program);
    command.arg(file);
    let server = Server::spawn(command, http);
    server.listening().await;
    server
}
