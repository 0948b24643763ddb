//! structured-proxy as its own program runs it, with one worker and the allocator that the other
//! targets of `make bench-edge` have: `bench-structured-proxy CONFIGURATION`.

use structured_proxy::ProxyServer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let file = std::env::args_os().nth(1).expect("a configuration file as argument");
    let configuration = std::fs::read_to_string(file).expect("a readable configuration");
    let server = ProxyServer::from_yaml_str(&configuration).expect("a good configuration");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(server.serve()).expect("serve");
}
