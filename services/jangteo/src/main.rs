//! The market's one program. Which roles a process plays is its command: see `jangteo --help`.

mod cli;
mod demo;
mod operate;
mod sagas;
mod seed;
mod serve;
mod services;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// In one process a call to another service is polled within the caller's: an order is four services deep, which in a
/// build without optimisation needs more than the 2 MiB that threads have by default. Only what is used is taken.
const STACK: usize = 16 << 20;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build();
    let run = |runtime: tokio::runtime::Runtime| runtime.block_on(cli.run());
    match runtime.map_err(jangteo_core::Error::internal).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jangteo: {error:?}");
            ExitCode::FAILURE
        }
    }
}
