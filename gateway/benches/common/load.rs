//! The load: keep-alive HTTP/1.1 connections written and read by hand, so that it costs little
//! beside what it measures.

use super::process::Server;
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

/// What one slice of load showed.
#[derive(Default)]
pub struct Slice {
    pub latencies: Vec<Duration>,
    pub errors: usize,
    pub elapsed: Duration,
    pub cpu: Duration,
}

/// Sends `request` again and again on so many connections; whoever is not answered 200 is an error.
pub async fn http(server: &Server, request: &[u8], connections: usize, slice: Duration) -> Slice {
    let port = server.http;
    run(server, connections, slice, async |until| {
        let mut connection = Connection::open(port).await;
        let mut seen = Slice::default();
        while Instant::now() < until {
            let started = Instant::now();
            let status = connection.call(request).await;
            seen.latencies.push(started.elapsed());
            seen.errors += usize::from(status != 200);
        }
        seen
    })
    .await
}

/// Runs `worker` so many times at once until the slice is over.
pub async fn run(server: &Server, workers: usize, slice: Duration, worker: impl AsyncFn(Instant) -> Slice) -> Slice {
    let (started, cpu) = (Instant::now(), server.cpu());
    let until = started + slice;
    let mut all = Slice::default();
    let workers = (0..workers).map(|_| worker(until));
    for seen in LocalSet::new().run_until(futures::future::join_all(workers)).await {
        all.latencies.extend(seen.latencies);
        all.errors += seen.errors;
    }
    all.elapsed = started.elapsed();
    all.cpu = server.cpu() - cpu;
    all
}

/// The bytes of a GET.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n\r\n").into_bytes()
}

/// The bytes of a POST of JSON; each of `headers` ends with CRLF.
pub fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: bench\r\n{headers}content-type: application/json\r\n");
    format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes()
}

/// The body of the answer to one request, which must succeed.
pub async fn answer(port: u16, request: &[u8]) -> Vec<u8> {
    let (status, body) = reply(port, request).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    body
}

/// Status and body of the answer to one request.
pub async fn reply(port: u16, request: &[u8]) -> (u16, Vec<u8>) {
    let mut connection = Connection::open(port).await;
    let status = connection.call(request).await;
    (status, connection.body())
}

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    head: usize,
    chunked: bool,
}

impl Connection {
    pub async fn open(port: u16) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Connection { stream, buffer: Vec::with_capacity(64 << 10), head: 0, chunked: false }
    }

    /// The status of the answer, which is read to its end.
    pub async fn call(&mut self, request: &[u8]) -> u16 {
        self.stream.write_all(request).await.expect("write");
        self.buffer.clear();
        let mut status = None;
        loop {
            self.buffer.reserve(64 << 10);
            let read = self.stream.read_buf(&mut self.buffer).await.expect("read");
            assert!(read > 0, "the server closed the connection: {}", String::from_utf8_lossy(&self.buffer));
            if status.is_none() {
                status = self.parse();
            }
            if let Some((status, length)) = status {
                let whole = match length {
                    Some(length) => self.buffer.len() >= self.head + length,
                    // JSON has no bare line breaks: nothing else looks like the last chunk.
                    None => self.buffer.ends_with(b"\r\n0\r\n\r\n"),
                };
                if whole {
                    return status;
                }
            }
        }
    }

    /// The body of the last answer.
    pub fn body(&self) -> Vec<u8> {
        let mut rest = &self.buffer[self.head..];
        if !self.chunked {
            return rest.to_vec();
        }
        let mut body = Vec::new();
        while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
            let size = std::str::from_utf8(&rest[..end]).ok().and_then(|s| usize::from_str_radix(s, 16).ok());
            let size = size.expect("a chunk's size");
            body.extend_from_slice(&rest[end + 2..end + 2 + size]);
            rest = &rest[end + 4 + size..];
        }
        body
    }

    /// Status and length, when the head is there; no length: it comes in chunks.
    fn parse(&mut self) -> Option<(u16, Option<usize>)> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = response.parse(&self.buffer).expect("HTTP") else { return None };
        let of = |name: &str| response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
        let length = of("content-length").map(|v| std::str::from_utf8(v).expect("ASCII").parse().expect("a length"));
        let chunked = of("transfer-encoding").is_some();
        let status = response.code?;
        (self.head, self.chunked) = (head, chunked);
        Some((status, if chunked { None } else { Some(length.unwrap_or(0)) }))
    }
}
