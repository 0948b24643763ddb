//! The edge alone before a foreign gRPC server: descriptors from a file or by reflection.

use crate::{
    library::{Library, SERVICE},
    world::{clients, descriptor_bytes, json_of},
};
use gateway::{Probes, StandaloneConfig, standalone_on};
use serde_json::json;
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::transport::{Server, server::TcpIncoming};

async fn server(tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let set = descriptor_bytes();
    tasks.spawn(async move {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(&set)
            .build_v1()
            .unwrap();
        let server = Server::builder().add_service(Library::default()).add_service(reflection);
        server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    });
    format!("http://{address}")
}

async fn edge(tasks: &mut JoinSet<()>, config: StandaloneConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move { standalone_on(listener, config, std::future::pending()).await.unwrap() });
    address
}

#[tokio::test]
async fn descriptors_by_reflection_and_from_a_file() {
    let mut tasks = JoinSet::new();
    let url = server(&mut tasks).await;
    let upstreams = vec![(SERVICE.to_owned(), url)];
    let file = std::env::temp_dir().join(format!("edge-{}.binpb", std::process::id()));
    std::fs::write(&file, descriptor_bytes()).unwrap();
    let (http, _) = clients();
    for descriptors in [None, Some(file.clone())] {
        let probes = Probes { metrics: Some(Arc::new(|| "up 1\n".to_owned())), ..Probes::default() };
        let config =
            StandaloneConfig { descriptors, upstreams: upstreams.clone(), probes, ..StandaloneConfig::default() };
        let address = edge(&mut tasks, config).await;
        let (status, book) = json_of(http.get(format!("http://{address}/v1/books/b1"))).await;
        assert_eq!((status, &book["title"]), (200, &json!("A title")));
        let (status, error) = json_of(http.get(format!("http://{address}/v1/books/missing"))).await;
        assert_eq!((status, &error["details"][0]["reason"]), (404, &json!("BOOK_NOT_FOUND")));
        let (status, books) = json_of(http.get(format!("http://{address}/v1/books:watch?count=2"))).await;
        assert_eq!((status, books.as_array().unwrap().len()), (200, 2));
        let (status, _) = json_of(http.get(format!("http://{address}/v1/internal/b1"))).await;
        assert_eq!(status, 404);
        let metrics = http.get(format!("http://{address}/metrics")).send().await.unwrap();
        assert_eq!(metrics.text().await.unwrap(), "up 1\n");
        // Without a verifier the token is the server's business.
        let seen = http.get(format!("http://{address}/v1/books/headers")).header("authorization", "Basic eA==");
        assert_eq!(json_of(seen).await.1["labels"]["authorization"], "Basic eA==");
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn what_can_not_be_served_is_said_at_the_start() {
    let config = |upstream: (&str, &str)| StandaloneConfig {
        upstreams: vec![(upstream.0.to_owned(), upstream.1.to_owned())],
        ..StandaloneConfig::default()
    };
    let start = async |config| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        standalone_on(listener, config, std::future::pending()).await.unwrap_err()
    };
    let mut tasks = JoinSet::new();
    let url = server(&mut tasks).await;
    assert_eq!(start(config(("no.such.Service", &url))).await.code(), jangteo_core::Code::NotFound);
    let nobody = start(config((SERVICE, "http://127.0.0.1:1"))).await;
    assert_eq!(nobody.code(), jangteo_core::Code::Unavailable);
}
