//! `make bench-edge`: JSON to gRPC by this edge alone, by Envoy's grpc_json_transcoder, by
//! structured-proxy, by a small proxy over prost-reflect, and the same bytes from bare hyper, all
//! before one tonic server.
//!
//! The proxies and the server share one core and the load has another; targets take turns in several
//! rounds, so that a noisy machine disturbs all alike. CPU time is that of the proxy alone. Absolute
//! figures differ between machines; the ratios are the result.

mod baseline;
#[path = "../common/common.rs"]
mod common;
mod edge;
mod envoy;
mod structured;
mod upstream;
mod work;

use common::{
    load,
    process::{self, Server},
    table::{self, Row},
};
use serde_json::Value;
use std::{path::Path, time::Duration};
use work::Work;

// As the market's program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 3;
const SLICE: Duration = Duration::from_secs(2);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let port = |text: &str| text.parse().expect("a port");
    match args.as_slice() {
        ["--floor", own, file] => process::floor(port(own), Path::new(file)),
        ["--upstream", own] => upstream::serve(port(own)),
        ["--edge", own, upstream, descriptors] => edge::serve(port(own), port(upstream), Path::new(descriptors)),
        ["--baseline", own, upstream] => baseline::serve(port(own), port(upstream)),
        // `cargo test --benches` runs this too; it is no test.
        args if args.contains(&"--bench") => {
            let after = |name| args.iter().skip_while(|a| **a != name).nth(1).copied();
            process::pin_load();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let path = |name| after(name).map(Path::new);
            runtime.block_on(measure(path("--envoy"), path("--structured"), after("--only")));
        }
        _ => {}
    }
}

/// `only`: work whose name contains it.
async fn measure(envoy: Option<&Path>, structured: Option<&Path>, only: Option<&str>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let descriptors = folder.path().join("descriptors.binpb");
    std::fs::write(&descriptors, work::descriptors()).expect("write the descriptors");
    let file = descriptors.to_str().expect("a plain path");
    let upstream = Server::role("--upstream", &[]).await;
    let port = upstream.http.to_string();

    let mut targets = vec![("this edge", Server::role("--edge", &[&port, file]).await)];
    match envoy {
        Some(venv) => targets.push(("Envoy", envoy::start(venv, folder.path(), &descriptors, upstream.http).await)),
        None => println!("Envoy is left out: `make bench-edge` fetches it"),
    }
    match structured {
        Some(program) => {
            let server = structured::start(program, folder.path(), &descriptors, upstream.http).await;
            targets.push(("structured-proxy", server));
        }
        None => println!("structured-proxy is left out: `make bench-edge` builds it"),
    }
    targets.push(("prost-reflect", Server::role("--baseline", &[&port]).await));

    table::head("JSON to gRPC, proxies and their upstream on one core");
    for work in work::all().into_iter().filter(|w| only.is_none_or(|o| w.name.contains(o))) {
        let (body, agreed) = agreed(&targets, &work).await;
        let answer = folder.path().join("floor");
        std::fs::write(&answer, &body).expect("write the floor's answer");
        let floor = Server::floor(&answer).await;
        let all: Vec<_> = agreed.into_iter().chain([("floor: hyper", &floor)]).collect();
        let mut rows: Vec<Row> = all.iter().map(|(name, _)| Row::new(name)).collect();
        for _ in 0..ROUNDS {
            for (row, (_, server)) in rows.iter_mut().zip(&all) {
                row.add(load::http(server, &work.request, work.connections, SLICE).await);
            }
        }
        table::print(&work.name, body.len().max(work.request.len()), rows);
    }
    for (name, server) in &targets {
        println!("peak memory of {name}: {} MiB", server.peak_memory());
    }
}

/// This edge's answer to some work, and who gives the same; of the others it is said.
async fn agreed<'t>(targets: &'t [(&'static str, Server)], work: &Work) -> (Vec<u8>, Vec<(&'static str, &'t Server)>) {
    let ours = load::answer(targets[0].1.http, &work.request).await;
    let wanted = messages(&ours).expect("JSON");
    let mut same = Vec::new();
    for (name, server) in targets {
        let (status, body) = load::reply(server.http, &work.request).await;
        if status == 200 && messages(&body).as_ref() == Some(&wanted) {
            same.push((*name, server));
        } else {
            let begin = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
            println!("{:<22} {name} answers otherwise and is left out: {status} {begin}", work.name);
        }
    }
    assert!(same.len() > 1, "nobody answers {} as this edge does", work.name);
    (ours, same)
}

/// What was answered: a JSON value, or one a line, which is how structured-proxy sends streams.
fn messages(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().or_else(|| {
        let lines = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
        lines.collect::<Result<Vec<_>, _>>().ok().map(Value::Array)
    })
}
