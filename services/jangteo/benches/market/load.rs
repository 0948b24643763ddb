//! The load: keep-alive HTTP/1.1 connections written and read by hand, and gRPC by the generated
//! client, so that the load costs little beside what it measures.

use crate::process::Server;
use jangteo_core::{Call, Clock, SystemClock};
use proto::{Client as _, jangteo::catalog::v1::*};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

const CONNECTIONS: usize = 32;

/// What one slice of load showed.
#[derive(Default)]
pub struct Slice {
    pub latencies: Vec<Duration>,
    pub errors: usize,
    pub elapsed: Duration,
    pub cpu: Duration,
}

/// A gRPC method with its request.
#[derive(Clone)]
pub enum Grpc {
    GetProduct { product_id: String },
    ListProducts { page_size: i32 },
    ListCategories,
}

pub async fn http(server: &Server, port: u16, path: &str, slice: Duration) -> Slice {
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n\r\n");
    run(server, slice, async |until| {
        let mut connection = Connection::open(port).await;
        let mut seen = Slice::default();
        while Instant::now() < until {
            let started = Instant::now();
            let (status, _) = connection.call(request.as_bytes()).await;
            seen.latencies.push(started.elapsed());
            seen.errors += usize::from(status != 200);
        }
        seen
    })
    .await
}

pub async fn grpc(server: &Server, call: &Grpc, slice: Duration) -> Slice {
    let peer = rpc::Peer { caller: "gateway".into(), policies: Default::default(), config: Default::default() };
    let url = format!("http://127.0.0.1:{}", server.grpc);
    let channel = peer.remote("catalog", &url, None).expect("an address");
    let client = catalog_service::Client::new(channel);
    let cx = Call::system("gateway", "bench", SystemClock.now());
    run(server, slice, async |until| {
        let mut seen = Slice::default();
        while Instant::now() < until {
            let started = Instant::now();
            let ok = match call.clone() {
                Grpc::GetProduct { product_id } => {
                    client.get_product(&cx, GetProductRequest { product_id }).await.is_ok()
                }
                Grpc::ListProducts { page_size } => {
                    let request = ListProductsRequest { page_size, ..Default::default() };
                    client.list_products(&cx, request).await.is_ok()
                }
                Grpc::ListCategories => client.list_categories(&cx, ListCategoriesRequest::default()).await.is_ok(),
            };
            seen.latencies.push(started.elapsed());
            seen.errors += usize::from(!ok);
        }
        seen
    })
    .await
}

/// Runs `worker` on every connection until the slice is over.
async fn run(server: &Server, slice: Duration, worker: impl AsyncFn(Instant) -> Slice) -> Slice {
    let (started, cpu) = (Instant::now(), server.cpu());
    let until = started + slice;
    let mut all = Slice::default();
    let workers = (0..CONNECTIONS).map(|_| worker(until));
    for seen in LocalSet::new().run_until(futures::future::join_all(workers)).await {
        all.latencies.extend(seen.latencies);
        all.errors += seen.errors;
    }
    all.elapsed = started.elapsed();
    all.cpu = server.cpu() - cpu;
    all
}

/// The body of one GET.
pub async fn get(port: u16, path: &str) -> Vec<u8> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n\r\n");
    let (status, body) = Connection::open(port).await.call(request.as_bytes()).await;
    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
    body
}

/// The first string of that name in a JSON text.
pub fn field(json: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(json);
    let from = text.find(&format!("\"{name}\":\"")).expect("the field is there") + name.len() + 4;
    text[from..].split('"').next().expect("a string").to_owned()
}

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(port: u16) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Connection { stream, buffer: Vec::with_capacity(64 << 10) }
    }

    /// Status and body of the answer, which must have a content-length.
    pub async fn call(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.stream.write_all(request).await.expect("write");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("read");
            assert!(read > 0, "the server closed the connection: {}", String::from_utf8_lossy(&self.buffer));
            if let Some((status, head, length)) = parse(&self.buffer)
                && self.buffer.len() >= head + length
            {
                return (status, self.buffer[head..head + length].to_vec());
            }
        }
    }
}

fn parse(buffer: &[u8]) -> Option<(u16, usize, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(buffer).expect("HTTP") else { return None };
    let length = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(0, |h| std::str::from_utf8(h.value).expect("ASCII").parse().expect("a length"));
    Some((response.code?, head, length))
}
