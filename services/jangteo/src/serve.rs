//! Running roles: services, the edge before them, the edge before foreign servers.

use crate::{
    seed,
    services::{SERVICES, select},
};
use clap::Args;
use gateway::{Backing, Edge, EdgeConfig, Probes, Site, StandaloneConfig, Upstreams};
use jangteo_core::{Code, Error, Result, SystemClock};
use kit::{Config, Entry, Market, Readiness, Running, telemetry};
use rpc::{LocalService, Peer, UpstreamTls};
use std::{path::PathBuf, sync::Arc, time::Instant};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Options of the edge alone; without them it serves the market's own services.
#[derive(Args)]
pub struct GatewayArgs {
    /// A FileDescriptorSet (`buf build -o set.binpb`); without it the upstreams are asked by server reflection
    #[arg(long)]
    descriptors: Option<PathBuf>,
    /// A service to serve and where it is: package.Service=http://host:port, or https://, several separated by commas
    #[arg(long = "upstream", value_name = "SERVICE=URL")]
    upstreams: Vec<String>,
    /// PEM of the authorities that https:// upstreams are checked against, instead of Mozilla's
    #[arg(long)]
    upstream_ca: Option<PathBuf>,
    /// PEM of a certificate to show to upstreams
    #[arg(long, requires = "upstream_key")]
    upstream_cert: Option<PathBuf>,
    /// PEM of its key
    #[arg(long, requires = "upstream_cert")]
    upstream_key: Option<PathBuf>,
    /// The name that upstreams' certificates carry, where it isn't the URL's
    #[arg(long)]
    upstream_name: Option<String>,
}

/// `all` brings the edge along; services by name listen for gRPC instead.
pub async fn serve(config: Config, services: &str, demo: bool) -> Result<()> {
    let selected = select(services)?;
    if services == "all" {
        return market(config, &selected, "gateway", demo).await;
    }
    let name = selected[0].name;
    if config.grpc.is_none() {
        return Err(Error::invalid(
            "grpc",
            "REQUIRED",
            "services on their own need an address: JANGTEO_GRPC=0.0.0.0:50051",
        ));
    }
    let telemetry = telemetry::init(&config, name)?;
    let mut running = build(config, &selected).await?.start(name, &telemetry).await?;
    tracing::info!(services, "serving");
    let outcome = tokio::select! {
        error = running.broken() => Err(error),
        () = stop_signal() => Ok(()),
    };
    running.stop(std::future::ready(())).await;
    telemetry.flush().await;
    outcome
}

/// The edge of the market, or of the servers that `args` names.
pub async fn gateway(config: Config, args: GatewayArgs) -> Result<()> {
    if args.upstreams.is_empty() && args.descriptors.is_none() {
        return market(config, &[], "gateway", false).await;
    }
    let telemetry = telemetry::init(&config, "gateway")?;
    let (defaults, metrics) = (StandaloneConfig::default(), telemetry.metrics());
    let standalone = StandaloneConfig {
        descriptors: args.descriptors,
        upstreams: args.upstreams.iter().map(|u| upstream(u)).collect::<Result<_>>()?,
        tls: UpstreamTls {
            ca: args.upstream_ca,
            cert: args.upstream_cert,
            key: args.upstream_key,
            name: args.upstream_name,
        },
        http: config.http,
        edge: config.section_over("edge", &defaults.edge)?,
        peer: config.rpc.peer(),
        probes: Probes { metrics: Some(Arc::new(move || metrics.render())), ..Probes::default() },
    };
    let served = gateway::standalone(standalone, stop_signal()).await;
    telemetry.flush().await;
    served
}

async fn market(config: Config, services: &[Entry], name: &'static str, demo: bool) -> Result<()> {
    let started = Instant::now();
    if demo {
        seed::check(&config)?;
    }
    let telemetry = telemetry::init(&config, name)?;
    let listener = listen(&config).await?;
    let mut running = build(config, services).await?.start(name, &telemetry).await?;
    let edge = edge(&running)?;
    let address = listener.local_addr().map_err(Error::internal)?;
    let mut served = std::pin::pin!(edge.serve(listener, running.accept.clone().cancelled_owned()));
    let (market, readiness) = (running.market.clone(), running.probe.readiness.clone());
    let opened = async {
        ready(readiness).await;
        tracing::info!(ms = started.elapsed().as_millis() as u64, "ready");
        println!("jangteo listens on http://{address}");
        println!("  the API page   http://{address}/docs");
        if demo {
            println!("  demo data      being loaded; the first time takes some seconds");
            if let Err(error) = seed::run(&market).await {
                tracing::error!(?error, "the demo data is incomplete; the next start with --demo goes on with it");
            }
            println!("  demo login     {} / {}", seed::EMAIL, seed::PASSWORD);
        }
        std::future::pending::<Result<()>>().await
    };
    let outcome = tokio::select! {
        served = &mut served => return served,
        failed = opened => failed,
        error = running.broken() => Err(error),
        () = stop_signal() => Ok(()),
    };
    running
        .stop(async {
            if let Err(error) = served.await {
                tracing::error!(error = ?error, "the edge did not end well");
            }
        })
        .await;
    telemetry.flush().await;
    outcome
}

async fn build(config: Config, services: &[Entry]) -> Result<Market> {
    Market::build(config, Arc::new(SystemClock), services, SERVICES).await
}

/// The edge before every service of the market, in this process or elsewhere.
fn edge(running: &Running) -> Result<Edge> {
    let market = &running.market;
    let config: EdgeConfig = market.config().section("edge")?;
    let mut upstreams = Upstreams::new();
    for (service, name) in served_services() {
        upstreams.insert(name, market.channel("gateway", service)?);
    }
    let site = Site::load(proto::pool(), &upstreams, config.json.options())?;
    let (readiness, metrics) = (running.probe.readiness.clone(), running.probe.metrics.clone());
    let probes = Probes {
        ready: Arc::new(move || readiness.borrow().clone()),
        // Where operators have a port of their own, the public one does not tell.
        metrics: if market.config().admin.is_some() { None } else { Some(Arc::new(move || metrics.render())) },
    };
    let backing = Backing { verifier: Some(market.verifier()), cache: market.cache(), clock: market.clock(), probes };
    Ok(Edge::new(config, site, backing))
}

/// Every gRPC service of every listed service: `("auth", "jangteo.auth.v1.AuthService")`.
fn served_services() -> impl Iterator<Item = (&'static str, String)> {
    proto::pool().services().filter_map(|s| {
        let owner = s.package_name().strip_prefix("jangteo.")?.split('.').next()?.to_owned();
        let entry = SERVICES.iter().find(|e| e.name == owner)?;
        Some((entry.name, s.full_name().to_owned()))
    })
}

/// The OpenAPI description of the market, or a Postman collection made of it, without running it.
pub fn openapi(config: &Config, postman: bool) -> Result<String> {
    let config: EdgeConfig = config.section("edge")?;
    let policies = Arc::new(proto::policy::policies(proto::pool()).map_err(Error::internal)?);
    // Nothing is called, so the channels may lead nowhere.
    let nowhere =
        Peer { caller: "gateway".into(), policies, config: Default::default() }.local(LocalService::default());
    let upstreams = served_services().map(|(_, name)| (name, nowhere.clone())).collect();
    let site = Site::load(proto::pool(), &upstreams, config.json.options())?;
    let bytes = if postman { site.postman(&config.title) } else { site.openapi(&config.title) };
    String::from_utf8(bytes.to_vec()).map_err(Error::internal)
}

fn upstream(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((service, url)) if !service.is_empty() && url.contains("://") => Ok((service.to_owned(), url.to_owned())),
        _ => Err(Error::invalid(
            "upstream",
            "INVALID_UPSTREAM",
            format!("{text} is not package.Service=http://host:port"),
        )),
    }
}

async fn listen(config: &Config) -> Result<TcpListener> {
    TcpListener::bind(config.http).await.map_err(|e| {
        let hint = "is something else listening there? choose another with --http";
        Error::new(Code::Unavailable, "ADDRESS_UNAVAILABLE", format!("{}: {e}; {hint}", config.http))
    })
}

async fn ready(mut readiness: watch::Receiver<Readiness>) {
    // An error means that the watch is over, and so is the process.
    let _ = readiness.wait_for(Readiness::is_ok).await;
}

async fn stop_signal() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be handled");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
