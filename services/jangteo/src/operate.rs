//! Commands for operators: migrations, demo data, event consumers.

use crate::{seed, services::SERVICES};
use bus::{Position, Replay, Stop};
use clap::Subcommand;
use jangteo_core::{Code, Error, Page, Result, SystemClock, from_micros};
use kit::{Config, Entry, Market, telemetry};
use std::{
    io::{ErrorKind, Write},
    path::Path,
    sync::Arc,
};

#[derive(Subcommand)]
pub enum Events {
    /// List consumers and what each has still to do
    Consumers,
    /// List the events that a consumer gave up on
    DeadLetters {
        /// As `events consumers` names it: `user.auth-user`
        consumer: String,
    },
    /// Publish a service's stored events again, for a broker that lost them
    Refill {
        service: String,
        /// Only those behind this position of its event table
        #[arg(long, default_value_t = 0)]
        after: i64,
    },
    /// Deliver events again: one dead letter, or all stored events from a point
    Replay {
        consumer: String,
        /// One event of `events dead-letters`, or `all` of them
        #[arg(long, conflicts_with = "from")]
        dead_letter: Option<String>,
        /// `start`, a position, or a time such as 2026-11-21T00:00:00Z
        #[arg(long)]
        from: Option<String>,
    },
}

async fn market(config: Config) -> Result<Market> {
    Market::build(config, Arc::new(SystemClock), SERVICES, SERVICES).await
}

pub async fn migrate(config: Config, services: &[Entry]) -> Result<()> {
    let telemetry = telemetry::init(&config, "migrate")?;
    Market::migrate(config, Arc::new(SystemClock), services).await?;
    telemetry.flush().await;
    Ok(())
}

pub async fn seed(config: Config) -> Result<()> {
    seed::check(&config)?;
    let telemetry = telemetry::init(&config, "seed")?;
    let running = market(config).await?.start("gateway", &telemetry).await?;
    let loaded = seed::run(&running.market).await;
    running.stop(std::future::ready(())).await;
    telemetry.flush().await;
    loaded
}

/// Reads the stores beside a running market; calls of one service to another stay inside this process.
pub async fn verify(config: Config, services: &[Entry]) -> Result<()> {
    let telemetry = telemetry::init(&config, "verify")?;
    let market = Market::build(config, Arc::new(SystemClock), services, SERVICES).await?;
    let mut wrong = 0;
    for found in market.verify().await? {
        println!("{}\t{}\t{}", found.service, found.check, if found.wrong.is_empty() { "ok" } else { "WRONG" });
        found.wrong.iter().for_each(|line| println!("  {line}"));
        wrong += found.wrong.len();
    }
    telemetry.flush().await;
    match wrong {
        0 => Ok(()),
        n => Err(Error::new(Code::DataLoss, "CHECKS_FAILED", format!("{n} things are wrong with the stored data"))),
    }
}

pub async fn events(config: Config, command: Events) -> Result<()> {
    let telemetry = telemetry::init(&config, "events")?;
    let market = market(config).await?;
    match command {
        Events::Consumers => {
            for consumer in market.consumers() {
                let lag = market.lag(&consumer).await?;
                println!("{consumer}\tpending {}\tin flight {}", lag.pending, lag.in_flight);
            }
        }
        Events::DeadLetters { consumer } => {
            let letters = dead_letters(&market, &consumer).await?;
            for letter in &letters {
                let e = &letter.envelope;
                let (time, id, version) = (letter.time, &e.aggregate_id, e.version);
                println!(
                    "{}\t{time}\t{}\t{id} v{version}\t{} attempts\t{}",
                    e.event_id, e.r#type, letter.attempts, letter.error
                );
            }
            println!("{} dead letters", letters.len());
        }
        Events::Refill { service, after } => {
            let events = market.refill(&service, after).await?;
            println!("{events} events will be published again by the running market");
        }
        Events::Replay { consumer, dead_letter: Some(id), .. } if id == "all" => {
            for letter in dead_letters(&market, &consumer).await? {
                replay_one(&market, &consumer, &letter.envelope.event_id).await?;
            }
        }
        Events::Replay { consumer, dead_letter: Some(id), .. } => replay_one(&market, &consumer, &id).await?,
        Events::Replay { consumer, from, .. } => {
            let replay = Replay { from: position(from.as_deref().unwrap_or("start"))?, baseline: false };
            let done = market.replay(&consumer, replay, Stop::new()).await?;
            println!(
                "applied {}, known before {}, dead letters {}",
                done.delivered, done.duplicates, done.dead_letters
            );
        }
    }
    telemetry.flush().await;
    Ok(())
}

async fn dead_letters(market: &Market, consumer: &str) -> Result<Vec<kit::db::DeadLetter>> {
    let mut all = Vec::new();
    let mut page = Page { size: 100, after: Vec::new() };
    loop {
        let letters = market.dead_letters(consumer, &page).await?;
        all.extend(letters.rows);
        match letters.next {
            Some(after) => page.after = after,
            None => return Ok(all),
        }
    }
}

async fn replay_one(market: &Market, consumer: &str, event_id: &str) -> Result<()> {
    match market.replay_dead_letter(consumer, event_id).await? {
        true => println!("{event_id}\tapplied"),
        false => println!("{event_id}\thad been replayed before"),
    }
    Ok(())
}

fn position(text: &str) -> Result<Position> {
    if text == "start" {
        return Ok(Position::Start);
    }
    if let Ok(n) = text.parse() {
        return Ok(Position::At(n));
    }
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(t) => Ok(Position::Time(from_micros(t.timestamp_micros()))),
        Err(_) => Err(Error::invalid("from", "INVALID_POSITION", "must be start, a position or an RFC 3339 time")),
    }
}

pub fn openapi(config: Config, postman: bool) -> Result<()> {
    let text = crate::serve::openapi(&config, postman)?;
    match writeln!(std::io::stdout(), "{text}") {
        // Whoever reads has read enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(Error::internal),
    }
}

/// Renders the manifests below `root`, or says what of them is not as rendered; either way says what is wrong with the tree.
pub fn manifests(root: &Path, check: bool) -> Result<()> {
    let services: Vec<&str> = SERVICES.iter().map(|e| e.name).collect();
    let unusable = |text| Error::invalid("root", "UNUSABLE", text);
    let render = if check { manifests::check } else { manifests::write };
    let differences = render(root, &services, env!("CARGO_PKG_VERSION")).map_err(unusable)?;
    let findings = manifests::lint(root, &services).map_err(unusable)?;
    for difference in &differences {
        println!("{}{}", difference.path, if check { format!(" {}", difference.what) } else { String::new() });
    }
    findings.iter().for_each(|f| println!("{f}"));
    if findings.is_empty() && (differences.is_empty() || !check) {
        return Ok(());
    }
    let text = format!("{} files are not as rendered, {} things are wrong", differences.len(), findings.len());
    Err(Error::new(Code::FailedPrecondition, "MANIFESTS_DIFFER", text))
}
