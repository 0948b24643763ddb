//! The tables.

use crate::{
    load::{self, Connection, Slice},
    process::Server,
};
use std::time::{Duration, Instant};

/// One target under one kind of work, over all rounds.
pub struct Row {
    work: &'static str,
    target: &'static str,
    all: Slice,
}

impl Row {
    pub fn new(work: &'static str, target: &'static str) -> Row {
        Row { work, target, all: Slice::default() }
    }

    pub fn add(&mut self, slice: Slice) {
        self.all.latencies.extend(slice.latencies);
        self.all.errors += slice.errors;
        self.all.elapsed += slice.elapsed;
        self.all.cpu += slice.cpu;
    }

    fn cpu_micros(&self) -> f64 {
        self.all.cpu.as_micros() as f64 / self.all.latencies.len().max(1) as f64
    }
}

#[derive(Default)]
pub struct Table(Vec<(usize, [Row; 3])>);

impl Table {
    pub fn add(&mut self, bytes: usize, rows: [Row; 3]) {
        self.0.push((bytes, rows));
    }

    pub fn print(mut self, title: &str) {
        println!("\n{title}");
        println!(
            "{:<14} {:<14} {:>8} {:>9} {:>8} {:>8} {:>8} {:>10} {:>7}",
            "work", "target", "bytes", "req/s", "p50 ms", "p99 ms", "errors", "CPU-us/req", "x floor"
        );
        for (bytes, rows) in &mut self.0 {
            let floor = rows[2].cpu_micros();
            for row in rows {
                row.all.latencies.sort_unstable();
                let (cpu, all) = (row.cpu_micros(), &row.all);
                println!(
                    "{:<14} {:<14} {bytes:>8} {:>9.0} {:>8.2} {:>8.2} {:>8} {cpu:>10.1} {:>7.1}",
                    row.work,
                    row.target,
                    all.latencies.len() as f64 / all.elapsed.as_secs_f64(),
                    millis(&all.latencies, 50),
                    millis(&all.latencies, 99),
                    all.errors,
                    cpu / floor
                );
            }
        }
    }
}

fn millis(sorted: &[Duration], percent: usize) -> f64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).map_or(0.0, Duration::as_secs_f64)
        * 1e3
}

#[derive(Default)]
pub struct Events(Vec<String>);

const WRITERS: usize = 8;
const WRITING: Duration = Duration::from_secs(5);

impl Events {
    /// Creates products through the edge for a while, then waits until the outbox is empty.
    pub async fn add(&mut self, name: &str, market: &Server) {
        let token = sign_in(market.http).await;
        let (started, cpu) = (Instant::now(), market.cpu());
        let until = started + WRITING;
        let counts = futures::future::join_all((0..WRITERS).map(|_| writer(market.http, &token, until))).await;
        let created: usize = counts.iter().sum();
        let written = started.elapsed();
        while pending(market.http).await > 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let carried = started.elapsed();
        let cpu = (market.cpu() - cpu).as_micros() as f64 / created.max(1) as f64;
        self.0.push(format!(
            "{name:<38} {:>10.0} {:>10.0} {:>12.0} {cpu:>12.0} {:>8}",
            created as f64 / written.as_secs_f64(),
            created as f64 / carried.as_secs_f64(),
            (carried - written).as_secs_f64() * 1e3,
            market.memory()
        ));
    }

    pub fn print(self) {
        println!(
            "\nproducts created through the edge, {WRITERS} writers; each is a row, an event and an outbox entry in one commit"
        );
        println!(
            "{:<38} {:>10} {:>10} {:>12} {:>12} {:>8}",
            "stores", "writes/s", "events/s", "drained ms", "CPU-us/write", "RSS MiB"
        );
        self.0.iter().for_each(|line| println!("{line}"));
    }
}

async fn sign_in(port: u16) -> String {
    let body = format!(r#"{{"email":"{}","password":"{}"}}"#, "minsu@jangteo.example", "jangteo-demo-2026");
    let (status, reply) = Connection::open(port).await.call(post("/v1/auth/login", "", &body).as_bytes()).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&reply));
    load::field(&reply, "accessToken")
}

async fn writer(port: u16, token: &str, until: Instant) -> usize {
    let mut connection = Connection::open(port).await;
    let body = r#"{"title":"bench","description":"a thing","price":{"currencyCode":"KRW","units":"1000"},"categoryId":"cameras","regionId":"seoul","condition":"CONDITION_GOOD","stock":1}"#;
    let request = post("/v1/products", &format!("authorization: Bearer {token}\r\n"), body);
    let mut created = 0;
    while Instant::now() < until {
        let (status, reply) = connection.call(request.as_bytes()).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&reply));
        created += 1;
    }
    created
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Events that have not left the outbox yet, over all services; the embedded bus has no outbox.
async fn pending(port: u16) -> f64 {
    let text = load::get(port, "/metrics").await;
    let text = String::from_utf8_lossy(&text);
    let gauges = text.lines().filter(|l| l.starts_with("bus_outbox_pending"));
    gauges.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
