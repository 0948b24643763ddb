//! `make bench`: what a request through the edge costs, beside raw floors in the same run, and how
//! many events a second go through the outbox.
//!
//! Servers run on one core and the load on another, target after target in several rounds, so that
//! a noisy machine disturbs all alike. Absolute figures differ between machines; the ratios are the
//! result.

#[path = "../../../../gateway/benches/common/common.rs"]
mod common;
mod events;
mod grpc;
mod market;

use common::{
    load,
    process::{self, Server},
    table::{self, Row},
};
use grpc::Grpc;
use market::Market;
use std::{path::Path, time::Duration};

const ROUNDS: usize = 3;
const SLICE: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 32;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, role, port, file] = args.as_slice()
        && role == "--floor"
    {
        return process::floor(port.parse().expect("a port"), Path::new(file));
    }
    // `cargo test --benches` runs this too; it is no test.
    if !args.iter().any(|a| a == "--bench") {
        return;
    }
    process::pin_load();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        reads().await;
        events::measure().await;
    });
}

/// Catalogue reads: through the edge, straight to the gRPC service, and the same bytes from bare hyper.
async fn reads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let market = Market::start(folder.path(), &[]).await;
    let port = market.server.http;
    let listed = load::answer(port, &load::get("/v1/products?pageSize=20")).await;
    let id = market::field(&listed, "productId");
    table::head(&format!("catalogue reads, {CONNECTIONS} connections, servers on one core"));
    for (work, path, call) in [
        ("one product", format!("/v1/products/{id}"), Grpc::GetProduct { product_id: id.clone() }),
        ("list of 20", "/v1/products?pageSize=20".to_owned(), Grpc::ListProducts { page_size: 20 }),
        ("list of 100", "/v1/products?pageSize=100".to_owned(), Grpc::ListProducts { page_size: 100 }),
        ("category tree", "/v1/categories".to_owned(), Grpc::ListCategories),
    ] {
        let request = load::get(&path);
        let body = load::answer(port, &request).await;
        let file = folder.path().join("floor");
        std::fs::write(&file, &body).expect("write the floor's answer");
        let floor = Server::floor(&file).await;
        let mut rows = vec![Row::new("edge"), Row::new("grpc, no edge"), Row::new("floor: hyper")];
        for _ in 0..ROUNDS {
            rows[0].add(load::http(&market.server, &request, CONNECTIONS, SLICE).await);
            rows[1].add(grpc::load(&market, &call, CONNECTIONS, SLICE).await);
            rows[2].add(load::http(&floor, &request, CONNECTIONS, SLICE).await);
        }
        table::print(work, body.len(), rows);
    }
}
