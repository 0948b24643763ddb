//! The service under test. It does what the request's text says and tells what became of its handlers.

use futures::{StreamExt, stream};
use jangteo_core::{Call, Code, Error, Result, Violation};
use proto::{
    Streaming,
    jangteo::probe::v1::{
        ChatRequest, ChatResponse, CountRequest, CountResponse, EchoOnceRequest, EchoOnceResponse, EchoRequest,
        EchoResponse, SumRequest, SumResponse, probe_service,
    },
};
use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Semaphore, watch};

pub struct Probe {
    /// Handlers that began.
    pub started: watch::Sender<usize>,
    /// Handlers and streams that were dropped before their end.
    pub dropped: watch::Sender<usize>,
    /// The contexts seen, in order.
    pub calls: Mutex<Vec<Call>>,
    /// So many calls answer UNAVAILABLE before one is answered.
    pub failures: AtomicI32,
    /// `gate` waits here.
    pub gate: Semaphore,
    /// `hop` goes on to here.
    pub next: OnceLock<probe_service::Client>,
}

impl Default for Probe {
    fn default() -> Self {
        Probe {
            started: watch::Sender::new(0),
            dropped: watch::Sender::new(0),
            calls: Mutex::default(),
            failures: AtomicI32::new(0),
            gate: Semaphore::new(0),
            next: OnceLock::new(),
        }
    }
}

/// Held while a handler or its stream runs.
struct Running(Option<watch::Sender<usize>>);

impl Running {
    fn finish(&mut self) {
        self.0.take();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(dropped) = &self.0 {
            dropped.send_modify(|n| *n += 1);
        }
    }
}

impl Probe {
    pub fn last(&self) -> Call {
        self.calls.lock().unwrap().last().cloned().expect("a handler ran")
    }

    pub fn runs(&self) -> usize {
        *self.started.borrow()
    }

    fn enter(&self, cx: &Call) -> Running {
        self.calls.lock().unwrap().push(cx.clone());
        self.started.send_modify(|n| *n += 1);
        Running(Some(self.dropped.clone()))
    }

    fn fails(&self) -> Result<()> {
        match self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n > 0).then_some(n - 1)) {
            Ok(_) => Err(Error::unavailable("the store")),
            Err(_) => Ok(()),
        }
    }
}

/// An error with everything that one can carry.
pub fn detailed() -> Error {
    Error::new(Code::FailedPrecondition, "OUT_OF_STOCK", "only 2 of prd_1 are left: 재고 부족")
        .with("product_id", "prd_1")
        .with("left", 2)
        .with_violations(vec![Violation {
            field: "items[3].quantity".into(),
            reason: "TOO_MANY".into(),
            description: "must be at most 2".into(),
        }])
        .with_retry_after(Duration::from_millis(1500))
}

impl probe_service::Api for Probe {
    async fn echo(&self, cx: Call, req: EchoRequest) -> Result<EchoResponse> {
        let mut running = self.enter(&cx);
        if req.panic {
            panic!("the secret is {}", req.secret);
        }
        tokio::time::sleep(Duration::from_millis(req.delay_ms as u64)).await;
        match req.text.as_str() {
            "gate" => self.gate.acquire().await.expect("open").forget(),
            "hop" => {
                let request = EchoRequest { text: "hopped".into(), ..req };
                return self.next.get().expect("a next hop").echo(&cx, request).await;
            }
            "hop to the gate" => {
                let request = EchoRequest { text: "gate".into(), ..req };
                return self.next.get().expect("a next hop").echo(&cx, request).await;
            }
            "details" => return Err(detailed()),
            "long" => return Err(Error::violations(vec![violation(0); 5000]).with("why", "x".repeat(100_000))),
            _ => {}
        }
        let result = self.fails();
        running.finish();
        result?;
        if req.fail_code != 0 {
            return Err(Error::new(Code::from_i32(req.fail_code), "ASKED_FOR", "as asked"));
        }
        Ok(EchoResponse {
            text: req.text,
            caller: cx.caller.as_deref().unwrap_or("").to_owned(),
            principal: cx.principal.key(),
            remaining_ms: cx.remaining().map_or(0, |d| d.as_millis() as i64),
            locale: cx.locale.as_deref().unwrap_or("").to_owned(),
            trace_id: rpc::trace::trace_id(&cx.trace).to_owned(),
            attempts: self.runs() as i32,
        })
    }

    async fn echo_once(&self, cx: Call, req: EchoOnceRequest) -> Result<EchoOnceResponse> {
        let mut running = self.enter(&cx);
        running.finish();
        self.fails()?;
        Ok(EchoOnceResponse { text: req.text })
    }

    async fn count(&self, cx: Call, req: CountRequest) -> Result<Streaming<CountResponse>> {
        let running = self.enter(&cx);
        let numbers = stream::unfold((1, running), move |(n, mut running)| async move {
            if req.delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(req.delay_ms as u64)).await;
            }
            if req.fail_after == -1 && n == 3 {
                panic!("a stream broke");
            }
            if n > req.upto {
                running.finish();
                return None;
            }
            let item = match req.fail_after {
                0 => Ok(n),
                after if after > 0 && n > after => {
                    Err(Error::new(Code::Aborted, "ASKED_FOR", "as asked").with("number", n))
                }
                _ => Ok(n),
            };
            Some((item.map(|number| CountResponse { number }), (n + 1, running)))
        });
        Ok(Box::pin(numbers))
    }

    async fn sum(&self, cx: Call, mut req: Streaming<SumRequest>) -> Result<SumResponse> {
        let mut running = self.enter(&cx);
        let mut total = 0;
        while let Some(m) = req.next().await {
            total += m?.number;
        }
        running.finish();
        Ok(SumResponse { total })
    }

    async fn chat(&self, cx: Call, req: Streaming<ChatRequest>) -> Result<Streaming<ChatResponse>> {
        let running = self.enter(&cx);
        let lines = stream::unfold((req, running), |(mut req, mut running)| async move {
            let Some(line) = req.next().await else {
                running.finish();
                return None;
            };
            Some((line.map(|l| ChatResponse { text: l.text }), (req, running)))
        });
        Ok(Box::pin(lines))
    }
}

fn violation(i: usize) -> Violation {
    Violation { field: format!("items[{i}]"), reason: "TOO_MANY".into(), description: "d".repeat(200) }
}

/// Waits until the count is reached; a test that hangs here fails.
pub async fn reaches(count: &watch::Sender<usize>, n: usize) {
    let mut seen = count.subscribe();
    let wait = tokio::time::timeout(Duration::from_secs(20), seen.wait_for(|c| *c >= n)).await;
    wait.expect("in time").expect("the sender lives");
}

pub type Client = probe_service::Client;

pub fn echo(text: &str) -> EchoRequest {
    EchoRequest { text: text.into(), ..Default::default() }
}

pub fn routes(probe: &Arc<Probe>) -> tonic::service::Routes {
    let mut to = tonic::service::Routes::builder();
    probe_service::routes(probe.clone(), &mut to);
    to.routes()
}
