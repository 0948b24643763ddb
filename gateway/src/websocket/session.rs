//! Streams over WebSocket: the conversation. One JSON message a text frame, either way.
//!
//! An empty text frame ends the client's messages; a close frame leaves, and so cancels the call. A
//! call that ends well is closed with 1000. One that fails sends its `google.rpc.Status` as a last
//! frame, marked by `@type`, and is closed with 4000 and the code, or with WebSocket's own code
//! where there is one.

use super::Accepted;
use crate::{
    config::millis,
    edge::Inner,
    frames::{self, Frames, HEAD},
    idempotency,
    observe::Record,
    problem::Problem,
    site::{Endpoint, Site},
    upstream,
};
use bytes::Bytes;
use futures::{
    FutureExt, SinkExt, StreamExt,
    channel::mpsc,
    stream::{SplitSink, SplitStream},
};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use jangteo_core::Code;
use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Mutex,
    time::{MissedTickBehavior, interval_at, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as SocketError, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tonic::{Status, body::Body};
use tracing::Instrument;
use transcode::{Match, Method};

/// How long the last frames may take to be written, and how long the client's own are thrown away
/// behind them: a socket that is closed with bytes unread resets the connection, and the last frames with it.
const FAREWELL: Duration = Duration::from_secs(2);
/// Pings in a row without a sign of life behind which a client is given up.
const PATIENCE: u32 = 2;
/// Messages in a row that are written without a look at what else goes on.
const BURST: u32 = 32;

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Out = SplitSink<Socket, Message>;

/// An accepted handshake whose answer is on its way.
pub(crate) struct Session {
    upgrade: OnUpgrade,
    edge: Arc<Inner>,
    accepted: Talk,
    record: Record,
}

struct Talk {
    site: Arc<Site>,
    verb: Option<String>,
    path: String,
    query: Option<String>,
    grpc_path: String,
    headers: HeaderMap,
    metadata: HeaderMap,
    key: Option<String>,
    deadline: Option<Instant>,
}

impl Accepted {
    /// Leaves the session to the connection; `record` is told when it is over.
    pub fn hand_over(self, edge: Arc<Inner>, record: Record) {
        let Accepted { upgrade, handover, site, verb, path, query, grpc_path, headers, metadata, key, deadline } = self;
        let accepted = Talk { site, verb, path, query, grpc_path, headers, metadata, key, deadline };
        handover.put(Session { upgrade, edge, accepted, record });
    }
}

/// How a conversation ends.
enum End {
    Done,
    Failed(Problem),
    /// WebSocket has a code of its own for it.
    Broken(CloseCode, Problem),
    /// The client has left or is silent.
    Left,
}

impl From<Problem> for End {
    fn from(problem: Problem) -> End {
        End::Failed(problem)
    }
}

/// What is known of the conversation by all its parts.
struct Shared<'a> {
    edge: &'a Inner,
    talk: &'a Talk,
    endpoint: &'a Endpoint,
    way: Way<'a>,
    heard: AtomicBool,
    /// The service takes nothing at the moment, so nothing is read from the client either.
    full: AtomicBool,
    received: AtomicU64,
    sent: AtomicU64,
}

enum Way<'a> {
    Route(Match<'a>),
    Method(&'a Arc<Method>),
}

/// What the client says, on its way to the service.
enum Said {
    Message(Bytes),
    End,
}

impl Session {
    /// Talks until the call or the client ends. Once `leave` resolves, the call has some time to
    /// end by itself, and is then told to come back elsewhere.
    pub async fn run(self, leave: impl Future<Output = ()>) {
        let Session { upgrade, edge, accepted: talk, mut record } = self;
        record.outcome.set(Code::Cancelled as i32);
        let Ok(upgraded) = upgrade.await else { return };
        let limit = Some(edge.config.max_body_bytes);
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(4 << 10)
            .max_message_size(limit)
            .max_frame_size(limit);
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let Some(shared) = talk.shared(&edge) else { return };
        metrics::gauge!("websockets_open").increment(1.0);
        let (sink, mut stream) = socket.split();
        let sink = Mutex::new(sink);
        let span = record.span.clone();
        let end = shared.converse(&sink, &mut stream, leave).instrument(span).await;
        record.received = shared.received.load(Relaxed);
        record.sent = shared.sent.load(Relaxed);
        record.whole = !matches!(end, End::Left);
        record.outcome.set(match &end {
            End::Done => 0,
            End::Failed(p) | End::Broken(_, p) => p.code() as i32,
            End::Left => Code::Cancelled as i32,
        });
        let mut sink = sink.into_inner();
        let _ = timeout(FAREWELL, shared.farewell(end, &mut sink)).await;
        if let Ok(mut socket) = sink.reunite(stream) {
            let _ = timeout(FAREWELL, hang_up(socket.get_mut())).await;
        }
        metrics::gauge!("websockets_open").decrement(1.0);
    }
}

impl Talk {
    /// Finds again what the handshake found; a site never changes.
    fn shared<'a>(&'a self, edge: &'a Inner) -> Option<Shared<'a>> {
        let way = match &self.verb {
            Some(verb) => Way::Route(self.site.api.route(verb, &self.path).ok()?),
            None => Way::Method(self.site.api.method(&self.grpc_path)?),
        };
        Some(Shared {
            edge,
            talk: self,
            endpoint: self.site.endpoint(&self.grpc_path)?,
            way,
            heard: AtomicBool::new(true),
            full: AtomicBool::new(false),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        })
    }
}

impl Shared<'_> {
    async fn converse(
        &self,
        sink: &Mutex<Out>,
        stream: &mut SplitStream<Socket>,
        leave: impl Future<Output = ()>,
    ) -> End {
        let (said, heard) = mpsc::channel(1);
        tokio::select! {
            biased;
            end = self.listen(stream, said) => end,
            end = self.watch(sink, leave) => end,
            end = self.speak(sink, heard) => end.err().unwrap_or(End::Done),
        }
    }

    /// From the client to the service.
    async fn listen(&self, stream: &mut SplitStream<Socket>, said: mpsc::Sender<Said>) -> End {
        match self.try_listen(stream, said).await {
            Ok(()) => End::Left,
            Err(end) => end,
        }
    }

    async fn try_listen(&self, stream: &mut SplitStream<Socket>, mut said: mpsc::Sender<Said>) -> Result<(), End> {
        let single = !self.endpoint.client_streaming;
        let mut open = true;
        if single && !self.takes_body() {
            self.say(&mut said, Said::Message(self.message(b"")?)).await;
            open = false;
        }
        loop {
            let next = if single && open {
                let within = millis(self.edge.config.body_timeout_ms);
                let late = || Problem::new(Code::DeadlineExceeded, "BODY_TIMEOUT", "the message took too long");
                timeout(within, stream.next()).await.map_err(|_| late())?
            } else {
                stream.next().await
            };
            let Some(next) = next else { return Ok(()) };
            self.heard.store(true, Relaxed);
            let text = match next.map_err(|e| self.broken(e))? {
                Message::Text(text) => text,
                Message::Binary(_) => {
                    let text = "send messages as JSON in text frames";
                    let problem = Problem::new(Code::InvalidArgument, "BINARY_FRAME", text);
                    return Err(End::Broken(CloseCode::Unsupported, problem));
                }
                Message::Close(_) => return Ok(()),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            self.received.fetch_add(text.len() as u64, Relaxed);
            match (open, text.is_empty()) {
                (false, true) => {}
                (false, false) => {
                    let text = "the messages had ended before this one";
                    return Err(Problem::new(Code::InvalidArgument, "BEHIND_THE_END", text).into());
                }
                (true, true) if !single => {
                    open = false;
                    self.say(&mut said, Said::End).await;
                }
                (true, _) => {
                    open = !single;
                    let message = self.message(text.as_bytes())?;
                    self.say(&mut said, Said::Message(message)).await;
                }
            }
        }
    }

    /// A service that takes no more has its answer ready; what comes too late is nobody's loss.
    async fn say(&self, to: &mut mpsc::Sender<Said>, what: Said) {
        self.full.store(true, Relaxed);
        let _ = to.send(what).await;
        self.full.store(false, Relaxed);
    }

    /// From the service to the client.
    async fn speak(&self, sink: &Mutex<Out>, mut heard: mpsc::Receiver<Said>) -> Result<(), End> {
        let body = if self.endpoint.client_streaming {
            Body::new(Requests { said: heard, ended: false })
        } else {
            // The call begins when its message is known to be a good one.
            match heard.next().await {
                Some(Said::Message(message)) => Body::new(Full::new(message)),
                _ => return std::future::pending().await,
            }
        };
        let answer = upstream::call(self.endpoint, self.talk.metadata.clone(), body, None).await;
        let (head, body) = answer.map_err(|p| self.localized(p))?.into_parts();
        let mut frames = Frames::of_service(body, &head.headers, self.edge.config.max_reply_bytes);
        let mut burst = 0;
        loop {
            let ready = if burst < BURST { frames.next().now_or_never() } else { None };
            let next = match ready {
                Some(next) => next,
                None => {
                    burst = 0;
                    sink.lock().await.flush().await.map_err(|_| End::Left)?;
                    tokio::task::yield_now().await;
                    frames.next().await
                }
            };
            let Some(frame) = next else { break };
            burst += 1;
            let message = self.answer(&frame.map_err(|p| self.localized(p))?)?;
            self.sent.fetch_add(message.len() as u64, Relaxed);
            sink.lock().await.feed(message).await.map_err(|_| End::Left)?;
        }
        let trailers = frames.trailers.take().unwrap_or_default();
        Ok(upstream::ended(&head.headers, &trailers).map_err(|p| self.localized(p))?)
    }

    /// Whether the client is there and still may, the deadline, the drain.
    async fn watch(&self, sink: &Mutex<Out>, leave: impl Future<Output = ()>) -> End {
        let config = &self.edge.config;
        let late = async {
            match self.talk.deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let told = async {
            leave.await;
            sleep(millis(config.http.drain_ms) / 2).await;
        };
        tokio::select! {
            end = self.beat(sink, millis(config.websocket_ping_ms.max(10))) => end,
            () = late => End::Failed(Problem::late()),
            () = told => {
                let problem = Problem::new(Code::Unavailable, "GOING_AWAY", "this server goes away; connect again");
                End::Broken(CloseCode::Away, problem)
            }
        }
    }

    async fn beat(&self, sink: &Mutex<Out>, every: Duration) -> End {
        let mut ticks = interval_at(tokio::time::Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent = 0;
        loop {
            ticks.tick().await;
            silent = if self.heard.swap(false, Relaxed) || self.full.load(Relaxed) { 0 } else { silent + 1 };
            if silent > PATIENCE {
                return End::Left;
            }
            // Tokens expire and sessions are revoked while a stream is open.
            if let Err(problem) = self.edge.identify(&self.talk.headers).await {
                return End::Failed(problem);
            }
            // Who is busy writing finds out by himself.
            if let Ok(mut sink) = sink.try_lock()
                && sink.send(Message::Ping(Bytes::new())).await.is_err()
            {
                return End::Left;
            }
        }
    }

    fn takes_body(&self) -> bool {
        match &self.way {
            Way::Route(matched) => *matched.binding().body() != transcode::Body::None,
            Way::Method(_) => true,
        }
    }

    /// A message of the client, framed for the service. A route without a body takes whole messages
    /// in its stream; what the path and the query say counts over them.
    fn message(&self, text: &[u8]) -> Result<Bytes, Problem> {
        let single = !self.endpoint.client_streaming;
        let key = self.talk.key.as_deref().filter(|_| single && self.endpoint.request_id.is_some());
        let mut out = frames::open();
        match &self.way {
            Way::Route(matched) => {
                let mut body = text;
                if !single && !self.takes_body() {
                    matched.method().request(text, &mut out).map_err(|e| self.localized(e.into()))?;
                    body = b"";
                }
                let extra = key.map(|k| ("request_id", k));
                let built = matched.request_into(self.talk.query.as_deref(), body, extra.as_slice(), &mut out);
                built.map_err(|e| self.localized(e.into()))?;
            }
            Way::Method(method) => {
                method.request(if text.is_empty() { b"{}" } else { text }, &mut out)?;
                idempotency::fill(self.endpoint, key, &mut out);
            }
        }
        frames::close(&mut out, 0);
        if single {
            idempotency::check(self.endpoint, key, &out)?;
        }
        Ok(out.into())
    }

    /// A message of the service as the client gets it: JSON, or the bytes of a google.api.HttpBody.
    fn answer(&self, frame: &Bytes) -> Result<Message, Problem> {
        let wire = &frame[HEAD..];
        let mut out = Vec::with_capacity(wire.len() * 2 + 16);
        match &self.way {
            Way::Route(m) if m.binding().returns_http_body() => {
                return Ok(Message::Binary(m.binding().response_http_body(wire)?.data.into_owned().into()));
            }
            Way::Route(matched) => matched.response(wire, &mut out)?,
            Way::Method(method) => method.response(wire, &mut out)?,
        }
        Ok(text(out))
    }

    fn localized(&self, problem: Problem) -> Problem {
        match &self.way {
            Way::Route(matched) => problem.localized(matched.binding()),
            Way::Method(_) => problem,
        }
    }

    fn broken(&self, e: SocketError) -> End {
        let (close, code, reason, text) = match e {
            SocketError::Capacity(_) => {
                let text = format!("a message is larger than {} bytes", self.edge.config.max_body_bytes);
                (CloseCode::Size, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", text)
            }
            SocketError::Utf8(_) => {
                (CloseCode::Invalid, Code::InvalidArgument, "INVALID_UTF8", "a text frame is not UTF-8".to_owned())
            }
            SocketError::Protocol(e) => (CloseCode::Protocol, Code::InvalidArgument, "BROKEN_FRAME", e.to_string()),
            _ => return End::Left,
        };
        End::Broken(close, Problem::new(code, reason, text))
    }

    async fn farewell(&self, end: End, sink: &mut Out) -> Result<(), SocketError> {
        let (code, problem) = match end {
            End::Done => (CloseCode::Normal, None),
            End::Failed(problem) => (CloseCode::from(4000 + problem.code() as u16), Some(problem)),
            End::Broken(code, problem) => (code, Some(problem)),
            // Answers a close frame, if one came.
            End::Left => return sink.close().await,
        };
        let mut reason = String::new();
        if let Some(problem) = problem {
            let mut out = Vec::with_capacity(256);
            problem.write_json(self.talk.site.types(), true, &mut out);
            sink.feed(text(out)).await?;
            reason = problem.code().name();
        }
        sink.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await
    }
}

fn text(json: Vec<u8>) -> Message {
    // What is written here is UTF-8; were it not, a replacement is better than a lie in the frame's head.
    let text = String::from_utf8(json).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    Message::text(text)
}

/// Lets the client read the last frames before the connection ends.
async fn hang_up(socket: &mut TokioIo<Upgraded>) {
    if socket.shutdown().await.is_ok() {
        let mut waste = [0; 4096];
        while socket.read(&mut waste).await.is_ok_and(|n| n > 0) {}
    }
}

/// The client's messages as a body; one that ends without having been ended is a cancelled call.
struct Requests {
    said: mpsc::Receiver<Said>,
    ended: bool,
}

impl http_body::Body for Requests {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = ready!(pin!(&mut self.said).poll_next_unpin(cx));
        self.ended = !matches!(next, Some(Said::Message(_)));
        Poll::Ready(match next {
            Some(Said::Message(message)) => Some(Ok(Frame::data(message))),
            Some(Said::End) => None,
            None => Some(Err(Status::cancelled("the client has left"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn read(said: Vec<Said>) -> Result<Bytes, Status> {
        let (mut to, from) = mpsc::channel(said.len());
        for what in said {
            to.send(what).await.unwrap();
        }
        drop(to);
        Body::new(Requests { said: from, ended: false }).collect().await.map(|b| b.to_bytes())
    }

    #[tokio::test]
    async fn only_an_end_that_was_said_is_one() {
        let message = || Said::Message(Bytes::from_static(b"m"));
        assert_eq!(read(vec![message(), Said::End]).await.unwrap(), "m");
        assert_eq!(read(vec![message()]).await.unwrap_err().code(), tonic::Code::Cancelled);
    }
}
