//! Many bad clients at once: the others hardly notice, and memory stays bounded. The short form runs
//! with the other tests; `make abuse` runs the long one, whose clients are a process of their own.

use crate::world::{World, unlimited};
use futures::{StreamExt, stream};
use gateway::{EdgeConfig, HttpConfig};
use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// Bytes of memory that this process holds.
pub fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
}

/// RFC 9113, 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = length[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// `GET /v1/books/slow` in HPACK, without compression.
fn head() -> Vec<u8> {
    let path = b"/v1/books/slow";
    let mut out = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    out.extend_from_slice(path);
    out.extend_from_slice(&[0x01, 1, b'x']);
    out
}

async fn http2(address: std::net::SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    socket
}

/// Writes pieces until the edge has had enough of them; how many it took, and whether it hung up.
async fn flood(mut socket: TcpStream, pieces: impl Iterator<Item = Vec<u8>>) -> (usize, bool) {
    let mut taken = 0;
    let mut answers = vec![0; 64 << 10];
    for piece in pieces {
        while let Ok(read) = socket.try_read(&mut answers) {
            if read == 0 {
                return (taken, true);
            }
        }
        match timeout(Duration::from_secs(2), socket.write_all(&piece)).await {
            Ok(Ok(())) => taken += 1,
            Ok(Err(_)) => return (taken, true),
            Err(_) => return (taken, false),
        }
    }
    loop {
        match timeout(Duration::from_secs(1), socket.read(&mut answers)).await {
            Ok(Ok(0) | Err(_)) => return (taken, true),
            Ok(Ok(_)) => {}
            Err(_) => return (taken, false),
        }
    }
}

/// So many answers make a hundredth.
const ENOUGH: usize = 50;

/// The slowest answer in a hundred of honest clients left alone for so long.
async fn p99(w: &World, span: Duration) -> Duration {
    let healthy = Healthy::start(w);
    sleep(span).await;
    healthy.stop().await
}

/// Honest clients: each asks again and again; `stop` gives the time of the slowest in a hundred.
struct Healthy {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Vec<Duration>>,
}

impl Healthy {
    fn start(w: &World) -> Healthy {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            let (http, url) = (w.http.clone(), format!("{}/v1/books/b1", w.url));
            let (stop, answered) = (stop.clone(), answered.clone());
            clients.spawn(async move {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    let answer = http.get(&url).send().await.expect("an honest client is answered");
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.expect("the whole answer");
                    times.push(started.elapsed());
                    answered.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(3)).await;
                }
                times
            });
        }
        Healthy { stop, answered, clients }
    }

    async fn stop(mut self) -> Duration {
        // A busy machine takes longer for as many.
        let enough = async {
            while self.answered.load(Ordering::Relaxed) < ENOUGH {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(30), enough).await.expect("honest clients are answered");
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(times) = self.clients.join_next().await {
            all.extend(times.expect("no honest client failed"));
        }
        all.sort();
        all[all.len() * 99 / 100]
    }
}

/// Runs an attack beside honest clients, and prints what they felt of it.
async fn under<T>(w: &World, what: &str, attack: impl Future<Output = T>) -> T {
    let base = p99(w, Duration::from_millis(700)).await;
    let before = resident();
    let healthy = Healthy::start(w);
    let started = Instant::now();
    let out = attack.await;
    sleep(Duration::from_millis(700).saturating_sub(started.elapsed())).await;
    let during = healthy.stop().await;
    let grown = resident().saturating_sub(before);
    let ratio = during.as_secs_f64() / base.as_secs_f64();
    println!("{what}: p99 {during:.1?} against {base:.1?} ({ratio:.1}x), {} KiB more memory", grown >> 10);
    // The attackers share the cores with the edge, so only what is out of all proportion fails.
    assert!(during < (base * 20).max(Duration::from_secs(1)), "{what}: honest clients waited {during:?}");
    assert!(grown < 64 << 20, "{what}: grew by {grown} bytes");
    out
}

async fn slow_world() -> World {
    let http = HttpConfig { header_timeout_ms: 60_000, ..HttpConfig::default() };
    World::with(EdgeConfig { http, ..unlimited() }).await
}

/// The head of a SETTINGS frame of nearly 16 KiB, which is never all there.
const ENDLESS_SETTINGS: [u8; 9] = [0, 0x3f, 0xfc, SETTINGS, 0, 0, 0, 0, 0];

/// Opens so many connections and says a byte of a head now and then on each, until told to end; how
/// many the edge has not closed.
async fn slow_clients(address: std::net::SocketAddr, count: usize, opened: impl FnOnce(), until: impl Future) -> usize {
    let open = |i: usize| async move {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let start: &[u8] =
            if i.is_multiple_of(2) { b"GET /v1/books/b1 HTTP/1.1\r\nhost: x\r\nx-slow: " } else { PREFACE };
        socket.write_all(start).await.unwrap();
        Some(socket)
    };
    let mut sockets: Vec<Option<TcpStream>> = stream::iter(0..count).map(open).buffered(64).collect().await;
    opened();
    let drip = async {
        for round in 0.. {
            for (i, slot) in sockets.iter_mut().enumerate() {
                if i.is_multiple_of(100) {
                    sleep(Duration::from_millis(5)).await;
                }
                let byte = if i.is_multiple_of(2) { b'a' } else { *ENDLESS_SETTINGS.get(round).unwrap_or(&0) };
                let Some(socket) = slot else { continue };
                if socket.write_all(&[byte]).await.is_err() {
                    *slot = None;
                }
            }
        }
    };
    tokio::select! {
        () = drip => {}
        _ = until => {}
    }
    sockets.iter().flatten().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_do_not_slow_the_others() {
    let w = slow_world().await;
    let end = sleep(Duration::from_millis(1500));
    let left = under(&w, "300 slow clients", slow_clients(w.address, 300, || (), end)).await;
    assert_eq!(left, 300, "they hang on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_and_frames_without_end_are_cut_off() {
    let w = World::new().await;
    let address = w.address;
    let resets = async {
        let request = |id: u32| {
            let mut both = frame(HEADERS, 0x5, id, &head());
            both.extend(frame(RST_STREAM, 0, id, &8u32.to_be_bytes()));
            both
        };
        flood(http2(address).await, (0..20_000u32).map(|i| request(i * 2 + 1))).await
    };
    let (taken, closed) = under(&w, "rapid resets", resets).await;
    println!("rapid resets: hung up after {taken} pieces: {closed}");
    assert!(closed, "a connection that resets everything is closed");
    let seen = w.seen.clone();
    crate::world::eventually("every call that began was cancelled", || {
        seen.cancelled.load(Ordering::SeqCst) + 10_000 > seen.calls.load(Ordering::SeqCst)
    })
    .await;

    let continuation = async {
        let mut socket = http2(address).await;
        socket.write_all(&frame(HEADERS, 0, 1, &head())).await.unwrap();
        // A literal header field that is never indexed: 1 byte of name, 100 of value.
        let mut field = vec![0x10, 1, b'a', 100];
        field.extend([b'v'; 100]);
        flood(socket, (0..20_000).map(|_| frame(CONTINUATION, 0, 1, &field.repeat(10)))).await
    };
    let (taken, closed) = under(&w, "continuation frames", continuation).await;
    assert!(closed && taken < 20_000, "{taken}");

    for (what, kind, payload) in [("pings", PING, vec![0; 8]), ("settings", SETTINGS, vec![0, 3, 0, 0, 0, 9])] {
        let frames =
            async { flood(http2(address).await, (0..5_000).map(|_| frame(kind, 0, 0, &payload).repeat(4))).await };
        under(&w, what, frames).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_end_are_cut_off() {
    let w = World::new().await;
    let address = w.address;
    let attack = async {
        let mut clients = JoinSet::new();
        for i in 0..50 {
            clients.spawn(async move {
                let mut socket = TcpStream::connect(address).await.unwrap();
                socket.write_all(b"GET /v1/books/b1 HTTP/1.1\r\nhost: x\r\n").await.unwrap();
                let piece = if i % 2 == 0 { vec![b'a'; 4096] } else { b"x-a: 1\r\n".repeat(512) };
                flood(socket, (0..1_000).map(|_| piece.clone())).await
            });
        }
        clients.join_all().await
    };
    for (taken, closed) in under(&w, "heads without end", attack).await {
        assert!(closed && taken < 1_000, "took {taken} pieces of 4 KiB");
    }
}

/// Also the clients of the long form, in a process of their own: the edge's then holds nothing but
/// the edge. The first line of the input is the address; the end of the input is the end.
#[test]
#[ignore = "the clients of the long form; it starts them itself"]
fn ten_thousand_slow_clients_process() {
    let mut address = String::new();
    std::io::stdin().read_line(&mut address).unwrap();
    let Ok(address) = address.trim().parse() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = async { tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await };
    let left = runtime.block_on(slow_clients(address, 10_000, || println!("opened"), ended));
    println!("{left} left");
}

/// Prints what honest clients feel of it; the machine decides that, so only memory can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute; make abuse"]
async fn ten_thousand_slow_clients_do_not_slow_the_others() {
    const SPAN: Duration = Duration::from_secs(10);
    let w = slow_world().await;
    let mut bases = vec![p99(&w, SPAN).await];
    let before = resident();
    let mut clients = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["abuse_floods::ten_thousand_slow_clients_process", "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    clients.stdin.as_mut().unwrap().write_all(format!("{}\n", w.address).as_bytes()).await.unwrap();
    let mut said = String::new();
    let mut out = clients.stdout.take().unwrap();
    let connecting = Healthy::start(&w);
    while !said.contains("opened") {
        let mut chunk = [0; 1024];
        let n = timeout(Duration::from_secs(120), out.read(&mut chunk)).await.expect("they connect").unwrap();
        assert!(n > 0, "the clients ended: {said}");
        said.push_str(&String::from_utf8_lossy(&chunk[..n]));
    }
    let connecting = connecting.stop().await;
    let during = p99(&w, 2 * SPAN).await;
    let grown = resident().saturating_sub(before);
    drop(clients.stdin.take());
    out.read_to_string(&mut said).await.unwrap();
    clients.wait().await.unwrap();
    let left: usize = said.lines().find_map(|l| l.strip_suffix(" left")?.parse().ok()).expect("how many are left");
    bases.push(p99(&w, SPAN).await);
    let base = bases.iter().sum::<Duration>() / 2;
    let ratio = during.as_secs_f64() / base.as_secs_f64();
    println!("10,000 slow clients: p99 {during:.2?}, without them {base:.2?} ({bases:.2?}), {ratio:.1} times");
    println!(
        "{left} of them hung on to the end; p99 {connecting:.2?} while they came; {} KiB more memory",
        grown >> 10
    );
    assert_eq!(left, 10_000, "they hang on");
    assert!(grown < 64 << 20, "grew by {grown} bytes");
}
