//! One trace from the edge through calls and events, as a collector receives it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use serde_json::json;
use testkit::{Topology, eventually};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::world;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[derive(Debug, Clone)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
}

/// Every span that was exported.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans);
        let spans = scopes.flat_map(|s| s.spans);
        let mut seen = self.0.lock().unwrap();
        seen.extend(spans.map(|s| Span {
            trace: hex(&s.trace_id),
            id: hex(&s.span_id),
            parent: hex(&s.parent_span_id),
            name: s.name,
        }));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    async fn start() -> (Collector, SocketAddr) {
        let collector = Collector::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(collector.clone());
        let server = Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
        tokio::task::spawn(server);
        (collector, address)
    }
}

#[tokio::test]
async fn a_trace_runs_from_the_edge_through_calls_and_events_of_all_processes() {
    let (collector, address) = Collector::start().await;
    let setup = world::setup(Topology::Mesh).env("JANGTEO_TELEMETRY__OTLP", format!("http://{address}"));
    let market = setup.start().await;
    let body = json!({"email": world::email(), "password": world::PASSWORD, "displayName": "Nari"});
    let register = market.client().post("/v1/auth/register", body);
    register.header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01")).send().await.expect(200);

    // The edge, the call to auth, the event in the processes of user and notification, and the call back to auth that
    // user makes.
    eventually(Duration::from_secs(30), async || {
        let seen = collector.0.lock().unwrap().clone();
        let ours: Vec<_> = seen.iter().filter(|s| s.trace == TRACE).collect();
        let named = |name: &str| ours.iter().filter(|s| s.name == name).count();
        let known = |id: &str| id == "b7ad6b7169203331" || ours.iter().any(|s| s.id == id);
        let connected = ours.iter().all(|s| known(&s.parent));
        let complete = named("http") == 1 && named("event") >= 2 && named("rpc") >= 2 && connected;
        if complete { Ok(()) } else { Err(format!("{ours:?}")) }
    })
    .await;
}
