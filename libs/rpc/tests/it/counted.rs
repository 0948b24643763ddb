//! Every call is counted once, under the code that it ended with, whichever way it ended.

use crate::{
    probe::{echo, reaches},
    refused::raw,
    world::World,
};
use futures::{StreamExt, stream};
use jangteo_core::Code;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use proto::jangteo::probe::v1::{CountRequest, EchoRequest, SumRequest};
use rpc::PeerConfig;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tower::ServiceExt;

everywhere! { calls_are_counted_once }

#[derive(Default, Clone)]
struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

struct Cell(Counts, String);

impl Cell {
    fn add(&self, n: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += n;
    }
}

impl CounterFn for Cell {
    fn increment(&self, n: u64) {
        self.add(n);
    }
    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Cell {
    fn record(&self, seconds: f64) {
        assert!((0.0..60.0).contains(&seconds), "{seconds}");
        self.add(1);
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key.labels().map(|l| l.value()).collect();
        Counter::from_arc(Arc::new(Cell(self.clone(), format!("{} {}", key.name(), labels.join(" ")))))
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Cell(self.clone(), key.name().to_owned())))
    }
}

async fn calls_are_counted_once(w: World) {
    let counts = Counts::default();
    let _installed = metrics::set_default_local_recorder(&counts);
    let (client, cx) = (w.client(), w.cx());
    let soon = |ms| {
        let mut cx = w.cx();
        cx.deadline = Some(Instant::now() + Duration::from_millis(ms));
        cx
    };
    let count = |upto, delay_ms, fail_after| CountRequest { upto, delay_ms, fail_after };

    client.echo(&cx, echo("")).await.unwrap();
    client.echo(&cx, EchoRequest { fail_code: Code::NotFound as i32, ..echo("") }).await.unwrap_err();
    client.echo(&cx, EchoRequest { delay_ms: -1, ..echo("") }).await.unwrap_err();
    client.echo(&cx, EchoRequest { panic: true, ..echo("") }).await.unwrap_err();
    client.echo(&soon(50), EchoRequest { delay_ms: 60_000, ..echo("") }).await.unwrap_err();
    reaches(&w.probe.dropped, 2).await;
    tokio::select! {
        r = client.echo(&cx, echo("gate")) => panic!("{r:?}"),
        () = reaches(&w.probe.started, 5) => {}
    }
    reaches(&w.probe.dropped, 3).await;

    assert_eq!(client.count(&cx, count(3, 0, 0)).await.unwrap().count().await, 3);
    assert_eq!(client.count(&cx, count(3, 0, 1)).await.unwrap().count().await, 2);
    reaches(&w.probe.dropped, 4).await;
    assert_eq!(client.count(&cx, count(9, 1, -1)).await.unwrap().count().await, 3);
    reaches(&w.probe.dropped, 5).await;
    assert!(client.count(&soon(300), count(1_000_000, 5, 0)).await.unwrap().count().await > 1);
    reaches(&w.probe.dropped, 6).await;
    let mut left = client.count(&cx, count(1_000_000, 1, 0)).await.unwrap();
    assert!(left.next().await.unwrap().is_ok());
    drop(left);
    reaches(&w.probe.dropped, 7).await;

    client.sum(&cx, stream::iter([SumRequest { number: 1 }])).await.unwrap();
    let order = w.client_of("order");
    order.echo_once(&cx, Default::default()).await.unwrap_err();
    let nowhere = w.channel("gateway", PeerConfig::default()).oneshot(raw("/a.b.C/D")).await.unwrap();
    drop(nowhere);

    let counts = counts.0.lock().unwrap();
    let expected = [
        ("grpc_server_calls jangteo.probe.v1.ProbeService Count ABORTED", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Count CANCELLED", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Count DEADLINE_EXCEEDED", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Count INTERNAL", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Count OK", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Echo CANCELLED", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Echo DEADLINE_EXCEEDED", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Echo INTERNAL", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Echo INVALID_ARGUMENT", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Echo NOT_FOUND", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Echo OK", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService EchoOnce PERMISSION_DENIED", 1),
        ("grpc_server_calls jangteo.probe.v1.ProbeService Sum OK", 1),
        ("grpc_server_seconds", 13),
    ];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    assert_eq!(*counts, expected);
}
