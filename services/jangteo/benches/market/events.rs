//! Products created, and the time until every event of them has left the outbox.

use crate::{
    common::load::{self, Connection},
    market::{self, Market},
};
use std::time::{Duration, Instant};

const WRITERS: usize = 8;
const WRITING: Duration = Duration::from_secs(5);

pub async fn measure() {
    println!(
        "\nproducts created through the edge, {WRITERS} writers; each is a row, an event and an outbox entry in one commit"
    );
    println!(
        "{:<38} {:>10} {:>10} {:>12} {:>12} {:>9}",
        "stores", "writes/s", "events/s", "drained ms", "CPU-us/write", "peak MiB"
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    line("embedded (SQLite, synchronous=FULL)", &Market::start(folder.path(), &[]).await).await;
    match market::servers() {
        Some(env) => {
            let folder = tempfile::tempdir().expect("a temporary folder");
            line("PostgreSQL + NATS JetStream", &Market::start(folder.path(), &env).await).await;
        }
        None => println!("PostgreSQL and NATS are left out: run `make bench`, which starts them"),
    }
}

/// Creates products through the edge for a while, then waits until the outbox is empty.
async fn line(name: &str, market: &Market) {
    let port = market.server.http;
    let token = sign_in(port).await;
    let (started, cpu) = (Instant::now(), market.server.cpu());
    let until = started + WRITING;
    let counts = futures::future::join_all((0..WRITERS).map(|_| writer(port, &token, until))).await;
    let created: usize = counts.iter().sum();
    let written = started.elapsed();
    while pending(port).await > 0.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let carried = started.elapsed();
    let cpu = (market.server.cpu() - cpu).as_micros() as f64 / created.max(1) as f64;
    println!(
        "{name:<38} {:>10.0} {:>10.0} {:>12.0} {cpu:>12.0} {:>9}",
        created as f64 / written.as_secs_f64(),
        created as f64 / carried.as_secs_f64(),
        (carried - written).as_secs_f64() * 1e3,
        market.server.peak_memory()
    );
}

async fn sign_in(port: u16) -> String {
    let body = r#"{"email":"minsu@jangteo.example","password":"jangteo-demo-2026"}"#;
    market::field(&load::answer(port, &load::post("/v1/auth/login", "", body)).await, "accessToken")
}

async fn writer(port: u16, token: &str, until: Instant) -> usize {
    let mut connection = Connection::open(port).await;
    let body = r#"{"title":"bench","description":"a thing","price":{"currencyCode":"KRW","units":"1000"},"categoryId":"cameras","regionId":"seoul","condition":"CONDITION_GOOD","stock":1}"#;
    let request = load::post("/v1/products", &format!("authorization: Bearer {token}\r\n"), body);
    let mut created = 0;
    while Instant::now() < until {
        let status = connection.call(&request).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&connection.body()));
        created += 1;
    }
    created
}

/// Events that have not left the outbox yet, over all services; the embedded bus has no outbox.
async fn pending(port: u16) -> f64 {
    let text = load::answer(port, &load::get("/metrics")).await;
    let text = String::from_utf8_lossy(&text);
    let gauges = text.lines().filter(|l| l.starts_with("bus_outbox_pending"));
    gauges.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
