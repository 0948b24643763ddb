//! This edge, as `jangteo gateway` runs it before a foreign server: metrics on, access log off.

use crate::{common::process, work};
use gateway::{StandaloneConfig, standalone};
use std::{net::SocketAddr, path::Path};

pub fn serve(port: u16, upstream: u16, descriptors: &Path) {
    metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().expect("the first recorder");
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).init();
    let mut config = StandaloneConfig {
        descriptors: Some(descriptors.to_owned()),
        upstreams: vec![(work::SERVICE.to_owned(), format!("http://127.0.0.1:{upstream}"))],
        http: SocketAddr::from(([127, 0, 0, 1], port)),
        ..StandaloneConfig::default()
    };
    config.edge.max_body_bytes = 8 << 20;
    // One worker, one connection upstream, as the others.
    config.peer.connections = 1;
    process::runtime().block_on(standalone(config, std::future::pending())).expect("serve");
}
