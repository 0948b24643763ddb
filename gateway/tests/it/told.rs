//! What is told of requests: the access log and the metrics, without anything personal.

use crate::world::{World, eventually, sent};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::{
    io,
    sync::{Arc, Mutex},
};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;
    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

#[tokio::test]
async fn one_line_and_one_count_a_request() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines.clone()).finish();
    // Of this thread, which the whole runtime is: what other tests of the process ask is not told here.
    let _log = tracing::subscriber::set_default(subscriber);
    let recorder = PrometheusBuilder::new().build_recorder();
    let _counts = metrics::set_default_local_recorder(&recorder);
    let metrics = recorder.handle();
    let w = World::new().await;
    let token = w.token("usr_7", &["user"]);
    let request = w.get("/v1/books/canary-in-path?shelf=canary-in-query").bearer_auth(&token);
    let request = request.header("x-request-id", "told-1").header("user-agent", "canary-in-agent");
    sent(request).await.bytes().await.unwrap();
    sent(w.get("/v1/books/missing")).await.bytes().await.unwrap();
    sent(w.get("/nothing/canary-in-stray")).await.bytes().await.unwrap();
    sent(w.get("/v1/books:watch?count=9&failAfter=1")).await.bytes().await.unwrap();
    let left = sent(w.get("/v1/books:watch?count=1&hang=true").header("accept", "application/x-ndjson")).await;
    drop(left);
    let told = || {
        let all = lines.text();
        let access = all.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        access.filter(|l| l["target"] == "access").collect::<Vec<_>>()
    };
    eventually("all five are told", || told().len() == 5).await;
    let told = told();
    let first = &told[0];
    assert_eq!((&first["method"], &first["route"]), (&"GET".into(), &"/v1/books/{book_id}".into()));
    assert_eq!((&first["status"], &first["code"], &first["principal"]), (&200.into(), &0.into(), &"usr_7".into()));
    assert_eq!((&first["request_id"], &first["whole"]), (&"told-1".into(), &true.into()));
    assert!(first["bytes_out"].as_u64().unwrap() > 10 && first["trace_id"].as_str().unwrap().len() == 32);
    let codes: Vec<_> = told.iter().map(|l| (l["status"].as_u64().unwrap(), l["code"].as_u64().unwrap())).collect();
    assert_eq!(codes, [(200, 0), (404, 5), (404, 5), (200, 10), (200, 1)]);
    assert_eq!(told[2]["route"], "unmatched");
    assert_eq!(told[4]["whole"], false);
    let text = lines.text();
    assert!(!text.contains("canary") && !text.contains(&token), "{text}");
    let metrics = metrics.render();
    let line = "http_requests_total{method=\"GET\",route=\"/v1/books/{book_id}\",status=\"200\",code=\"0\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    assert!(
        metrics.contains("http_request_duration_seconds") && metrics.contains("http_requests_in_flight 0"),
        "{metrics}"
    );
    assert!(!metrics.contains("canary"));
}
