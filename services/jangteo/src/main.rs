//! The market's one program. Which roles a process plays is its command: see `jangteo --help`.

mod cli;
mod operate;
mod seed;
mod serve;
mod services;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::Cli::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jangteo: {error:?}");
            ExitCode::FAILURE
        }
    }
}
