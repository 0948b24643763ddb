//! A stream of messages as JSON: an array, a line each, or server-sent events. Each message is sent
//! on as it comes; a failure in the middle is told in band, as the last item.

use crate::{
    edge::Inner,
    frames::{Frames, HEAD},
    http_reply,
    negotiate::Mode,
    observe::Outcome,
    problem::Problem,
    reply, rest,
    site::Site,
    upstream,
};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::time::Sleep;
use tonic::{Status, body::Body};
use transcode::Binding;

/// So much is sent on even if more is there.
const ENOUGH: usize = 16 << 10;

pub(crate) struct JsonStream {
    frames: Frames,
    head: HeaderMap,
    site: Arc<Site>,
    binding: Arc<Binding>,
    outcome: Outcome,
    deadline: Option<Pin<Box<Sleep>>>,
    quiet: Pin<Box<Sleep>>,
    keep_alive: Duration,
    /// `None`: the bytes of google.api.HttpBody as they are.
    mode: Option<Mode>,
    /// Messages that are there together go out together.
    gathered: Vec<u8>,
    started: bool,
    items: u64,
    ended: bool,
}

impl JsonStream {
    pub fn new(
        edge: &Inner,
        site: &Arc<Site>,
        binding: &Arc<Binding>,
        outcome: Outcome,
        head: &HeaderMap,
        body: Body,
        deadline: Option<Instant>,
    ) -> JsonStream {
        let keep_alive = crate::config::millis(edge.config.sse_keep_alive_ms.max(10));
        // Until its end a stream counts as left by its client.
        outcome.set(1);
        JsonStream {
            frames: Frames::of_service(body, head, edge.config.max_reply_bytes),
            head: head.clone(),
            site: site.clone(),
            binding: binding.clone(),
            outcome,
            deadline: deadline.map(|d| Box::pin(tokio::time::sleep_until(d.into()))),
            quiet: Box::pin(tokio::time::sleep(keep_alive)),
            keep_alive,
            mode: None,
            gathered: Vec::new(),
            started: false,
            items: 0,
            ended: false,
        }
    }

    pub fn respond(mut self, mode: Mode) -> Response<Body> {
        self.mode = Some(mode);
        let mut response = Response::new(Body::new(self));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(mode.content_type()));
        // Proxies of the nginx family would hold the items back.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    /// Of methods that stream google.api.HttpBody: the first message says what kind of bytes follow.
    pub async fn respond_raw(mut self) -> Result<Response<Body>, Problem> {
        let first = match &mut self.deadline {
            Some(deadline) => tokio::select! {
                biased;
                first = self.frames.next() => first,
                () = deadline => return Err(Problem::late()),
            },
            None => self.frames.next().await,
        };
        let Some(first) = first.transpose()? else {
            upstream::ended(&self.head, &self.frames.trailers.take().unwrap_or_default())?;
            self.outcome.set(0);
            return Ok(reply::empty(StatusCode::OK));
        };
        let part = self.binding.response_http_body(&first[HEAD..])?;
        let content_type = part.content_type.into_owned();
        let said = http_reply::of_extensions(&part.extensions)?;
        self.gathered = part.data.into_owned();
        let outcome = self.outcome.clone();
        let mut response = Response::new(Body::new(self));
        rest::set_content_type(response.headers_mut(), &content_type);
        if let Some(said) = said {
            http_reply::apply(said, &mut response, true)?;
        }
        if response.body().is_end_stream() {
            // There is nothing to wait for: 304.
            outcome.set(0);
        }
        Ok(response)
    }

    fn item(&mut self, message: &Bytes) -> Result<(), Problem> {
        let wire = &message[HEAD..];
        let out = &mut self.gathered;
        let mark = out.len();
        match self.mode {
            None => {
                let data = self.binding.response_http_body(wire)?.data;
                out.extend_from_slice(&data);
                return Ok(());
            }
            Some(Mode::Array) => out.push(if self.started { b',' } else { b'[' }),
            Some(Mode::Lines) => {}
            Some(Mode::Events) => out.extend_from_slice(format!("id: {}\ndata: ", self.items + 1).as_bytes()),
        }
        if let Err(error) = self.binding.response(wire, out) {
            out.truncate(mark);
            return Err(error.into());
        }
        match self.mode {
            Some(Mode::Lines) => out.push(b'\n'),
            Some(Mode::Events) => out.extend_from_slice(b"\n\n"),
            _ => {}
        }
        self.started = true;
        self.items += 1;
        Ok(())
    }

    /// What has been gathered, on its way.
    fn send(&mut self) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.mode == Some(Mode::Events) {
            self.quiet.as_mut().reset(tokio::time::Instant::now() + self.keep_alive);
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.gathered).into()))))
    }

    fn end(&mut self, result: Result<(), Problem>) {
        self.ended = true;
        let out = &mut self.gathered;
        match &result {
            Ok(()) => self.outcome.set(0),
            Err(problem) => self.outcome.set(problem.code() as i32),
        }
        let problem = result.err().map(|p| p.localized(&self.binding));
        let types = self.site.types();
        match self.mode {
            None => {}
            Some(Mode::Array) => {
                if !self.started {
                    out.push(b'[');
                }
                if let Some(problem) = problem {
                    if self.started {
                        out.push(b',');
                    }
                    problem.write_json(types, true, out);
                }
                out.push(b']');
            }
            Some(Mode::Lines) => {
                if let Some(problem) = problem {
                    problem.write_json(types, true, out);
                    out.push(b'\n');
                }
            }
            // EventSource reconnects by itself unless it is told that the stream is over.
            Some(Mode::Events) => match problem {
                Some(problem) => {
                    out.extend_from_slice(b"event: error\ndata: ");
                    problem.write_json(types, true, out);
                    out.extend_from_slice(b"\n\n");
                }
                None => out.extend_from_slice(b"event: end\ndata: {}\n\n"),
            },
        }
    }
}

impl http_body::Body for JsonStream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            let done = this.ended || this.mode.is_none();
            if this.gathered.len() >= ENOUGH || (done && !this.gathered.is_empty()) {
                return this.send();
            }
            if this.ended {
                return Poll::Ready(None);
            }
            // A stream that always has a message ready comes by here with nothing gathered, too.
            if this.gathered.is_empty() && this.deadline.as_mut().is_some_and(|d| d.poll_unpin(cx).is_ready()) {
                this.fail(Problem::late())?;
                continue;
            }
            match this.frames.poll_frame(cx) {
                Poll::Ready(Some(message)) => match message.and_then(|m| this.item(&m)) {
                    Ok(()) => {}
                    Err(problem) => this.fail(problem)?,
                },
                Poll::Ready(None) => {
                    let trailers = this.frames.trailers.take().unwrap_or_default();
                    match upstream::ended(&this.head, &trailers) {
                        Ok(()) => this.end(Ok(())),
                        Err(problem) => this.fail(problem)?,
                    }
                }
                Poll::Pending if !this.gathered.is_empty() => return this.send(),
                Poll::Pending => {
                    if this.mode != Some(Mode::Events) {
                        return Poll::Pending;
                    }
                    ready!(this.quiet.poll_unpin(cx));
                    this.gathered.extend_from_slice(b": still here\n\n");
                    return this.send();
                }
            }
        }
    }
}

impl JsonStream {
    /// Raw bytes have no place for an error: the connection breaks off, so that nobody takes them for whole.
    fn fail(&mut self, problem: Problem) -> Result<(), Status> {
        if self.mode.is_none() {
            self.ended = true;
            self.outcome.set(problem.code() as i32);
            return Err(problem.into_status());
        }
        self.end(Err(problem));
        Ok(())
    }
}
