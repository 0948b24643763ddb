//! `make bench`: what a request through the edge costs, beside raw floors in the same run, and how
//! many events a second go through the outbox.
//!
//! Servers run on one core and the load on another, target after target in several rounds, so that
//! a noisy machine disturbs all alike. Absolute figures differ between machines; the ratios are the
//! result.

mod load;
mod process;
mod rows;

use process::Server;
use std::{path::Path, time::Duration};

const ROUNDS: usize = 3;
const SLICE: Duration = Duration::from_secs(3);

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
    process::pin(std::process::id(), 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        reads().await;
        events().await;
    });
}

/// Catalogue reads: through the edge, straight to the gRPC service, and the same bytes from bare hyper.
async fn reads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let market = Server::market(folder.path(), &[]).await;
    let listed = load::get(market.http, "/v1/products?pageSize=20").await;
    let id = load::field(&listed, "productId");
    let mut table = rows::Table::default();
    for (name, path, call) in [
        ("one product", format!("/v1/products/{id}"), load::Grpc::GetProduct { product_id: id.clone() }),
        ("list of 20", "/v1/products?pageSize=20".to_owned(), load::Grpc::ListProducts { page_size: 20 }),
        ("list of 100", "/v1/products?pageSize=100".to_owned(), load::Grpc::ListProducts { page_size: 100 }),
        ("category tree", "/v1/categories".to_owned(), load::Grpc::ListCategories),
    ] {
        let body = load::get(market.http, &path).await;
        let file = folder.path().join("floor");
        std::fs::write(&file, &body).expect("write the floor's answer");
        let floor = Server::floor(&file).await;
        let mut targets =
            [rows::Row::new(name, "edge"), rows::Row::new(name, "grpc, no edge"), rows::Row::new(name, "floor: hyper")];
        for _ in 0..ROUNDS {
            targets[0].add(load::http(&market, market.http, &path, SLICE).await);
            targets[1].add(load::grpc(&market, &call, SLICE).await);
            targets[2].add(load::http(&floor, floor.http, "/", SLICE).await);
        }
        table.add(body.len(), targets);
    }
    table.print("catalogue reads, 32 connections, servers on one core");
}

/// Products created, and the time until every event of them has left the outbox.
async fn events() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut table = rows::Events::default();
    table.add("embedded (SQLite, synchronous=FULL)", &Server::market(folder.path(), &[]).await).await;
    match process::servers() {
        Some(env) => {
            let folder = tempfile::tempdir().expect("a temporary folder");
            table.add("PostgreSQL + NATS JetStream", &Server::market(folder.path(), &env).await).await;
        }
        None => println!("PostgreSQL and NATS are left out: run `make bench`, which starts them"),
    }
    table.print();
}
