//! The command line.

use crate::{demo, operate, sagas, serve, services::select};
use clap::{Args, Parser, Subcommand};
use jangteo_core::Result;
use kit::Config;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

#[derive(Parser)]
#[command(name = "jangteo", version, about = "A marketplace back end: one program, any shape.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// Settings of every command. All others: a file (`JANGTEO_CONFIG`, default `jangteo.toml`) or
/// the environment (`JANGTEO_DATABASE__URL`); see docs/configuration.md.
#[derive(Args)]
struct Common {
    /// Where the embedded market keeps its files [default: data]
    #[arg(long, global = true, env = "JANGTEO_DATA")]
    data: Option<PathBuf>,
    /// Where the edge listens [default: 127.0.0.1:8080]
    #[arg(long, global = true, env = "JANGTEO_HTTP")]
    http: Option<SocketAddr>,
}

#[derive(Subcommand)]
enum Command {
    /// Run services: `all` (with the edge), or some by name, each listening for gRPC
    Serve {
        /// `all`, or names separated by commas
        #[arg(default_value = "all")]
        services: String,
        /// Load what is missing of the demo data
        #[arg(long)]
        demo: bool,
    },
    /// Run the edge: before the market's services, or before any gRPC server
    Gateway(serve::GatewayArgs),
    /// Bring the databases up to date
    Migrate {
        /// `all`, or names separated by commas
        #[arg(default_value = "all")]
        services: String,
    },
    /// Load the demo data; running it again changes nothing
    Seed,
    /// Check the stored data of every service: ledger, stock, orders … Fails when anything is wrong
    Verify {
        /// `all`, or names separated by commas
        #[arg(default_value = "all")]
        services: String,
    },
    /// Show what the market does under pressure
    #[command(subcommand)]
    Demo(demo::Demo),
    /// Inspect and repair event delivery
    #[command(subcommand)]
    Events(operate::Events),
    /// List orders that do not get on, or push one
    Sagas(sagas::Sagas),
    /// Print the OpenAPI description of the market
    Openapi {
        /// As a Postman collection instead
        #[arg(long)]
        postman: bool,
    },
    /// Render what runs the market on Kubernetes and Istio, from the proto and k8s/sizing.toml
    Manifests {
        /// Write nothing; fail when a file is not what would be rendered, or something in the tree is wrong
        #[arg(long)]
        check: bool,
        /// The folder with k8s/ and istio/
        #[arg(long, default_value = ".")]
        root: PathBuf,
    },
}

impl Cli {
    pub async fn run(self) -> Result<()> {
        let config = self.common.config()?;
        match self.command {
            Command::Serve { services, demo } => serve::serve(config, &services, demo).await,
            Command::Gateway(args) => serve::gateway(config, args).await,
            Command::Migrate { services } => operate::migrate(config, &select(&services)?).await,
            Command::Seed => operate::seed(config).await,
            Command::Verify { services } => operate::verify(config, &select(&services)?).await,
            Command::Demo(demo) => demo::run(demo).await,
            Command::Events(command) => operate::events(config, command).await,
            Command::Sagas(args) => sagas::run(config, args).await,
            Command::Openapi { postman } => operate::openapi(config, postman),
            Command::Manifests { check, root } => operate::manifests(&root, check),
        }
    }
}

impl Common {
    fn config(&self) -> Result<Config> {
        let mut overrides = BTreeMap::new();
        if let Some(data) = &self.data {
            overrides.insert("data", data.display().to_string());
        }
        if let Some(http) = &self.http {
            overrides.insert("http", http.to_string());
        }
        Config::load(&overrides)
    }
}
