//! The table.

use super::load::Slice;
use std::time::Duration;

/// One target under one kind of work, over all rounds.
pub struct Row {
    target: String,
    all: Slice,
}

impl Row {
    pub fn new(target: &str) -> Row {
        Row { target: target.to_owned(), all: Slice::default() }
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

pub fn head(title: &str) {
    println!("\n{title}");
    println!(
        "{:<22} {:<16} {:>8} {:>8} {:>8} {:>8} {:>6} {:>10} {:>9} {:>7} {:>7}",
        "work",
        "target",
        "bytes",
        "req/s",
        "p50 ms",
        "p99 ms",
        "errors",
        "CPU-us/req",
        "req/CPU-s",
        "x edge",
        "x floor"
    );
}

/// The rows of one kind of work. The first is the edge, the last the floor; the ratios are those of
/// CPU time a request.
pub fn print(work: &str, bytes: usize, rows: Vec<Row>) {
    let (edge, floor) = (rows[0].cpu_micros(), rows[rows.len() - 1].cpu_micros());
    for mut row in rows {
        row.all.latencies.sort_unstable();
        let (cpu, all) = (row.cpu_micros(), &row.all);
        println!(
            "{work:<22} {:<16} {bytes:>8} {:>8.0} {:>8.2} {:>8.2} {:>6} {cpu:>10.1} {:>9.0} {:>7.2} {:>7.2}",
            row.target,
            all.latencies.len() as f64 / all.elapsed.as_secs_f64(),
            millis(&all.latencies, 50),
            millis(&all.latencies, 99),
            all.errors,
            1e6 / cpu,
            cpu / edge,
            cpu / floor
        );
    }
}

fn millis(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, Duration::as_secs_f64) * 1e3
}
