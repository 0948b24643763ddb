//! One HTTP/2 connection to an address: made when a call needs it, and anew when it has ended.
//!
//! tonic's channel does that behind a queue and a task of its own, through which every call would go.

use crate::{gather::Gather, tls::ClientTls};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::{
    client::conn::http2::{Builder, SendRequest},
    rt::{Executor, Read, Write},
};
use hyper_util::{
    client::legacy::connect::HttpConnector,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tonic::body::Body;
use tower::ServiceExt;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Sender = SendRequest<Body>;
type Connecting = Shared<BoxFuture<'static, Result<Sender, Arc<io::Error>>>>;

const CONNECT: Duration = Duration::from_secs(2);

/// Where a service is, and how what is said to it is encrypted.
#[derive(Clone)]
pub(crate) struct Address {
    pub uri: Uri,
    pub tls: Option<ClientTls>,
}

pub(crate) struct Link {
    address: Address,
    /// The last attempt to connect, which holds what came of it.
    last: Mutex<Option<Connecting>>,
}

impl Link {
    pub fn new(address: Address) -> Link {
        Link { address, last: Mutex::new(None) }
    }

    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let mut sender = self.sender().await?;
        let mut uri = self.address.uri.clone().into_parts();
        uri.path_and_query = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from_parts(uri)?;
        request.headers_mut().entry(header::USER_AGENT).or_insert(HeaderValue::from_static("jangteo"));
        Ok(sender.send_request(request).await?.map(Body::new))
    }

    async fn sender(&self) -> Result<Sender, Arc<io::Error>> {
        let connecting = {
            let mut last = self.last.lock().expect("no holder panics");
            match last.as_ref().map(|c| (c, c.peek())) {
                Some((_, Some(Ok(sender)))) if !sender.is_closed() => return Ok(sender.clone()),
                Some((connecting, None)) => connecting.clone(),
                _ => {
                    let connecting = connect(self.address.clone()).boxed().shared();
                    // It goes on when the call that began it has given up.
                    TokioExecutor::new().execute(connecting.clone().map(drop));
                    last.insert(connecting).clone()
                }
            }
        };
        connecting.await
    }
}

async fn connect(address: Address) -> Result<Sender, Arc<io::Error>> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
    tokio::time::timeout(CONNECT, open(&address)).await.map_err(late).flatten().map_err(Arc::new)
}

async fn open(address: &Address) -> io::Result<Sender> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    let stream = tcp.oneshot(address.uri.clone()).await.map_err(io::Error::other)?;
    match &address.tls {
        None => greet(Gather::new(stream)).await,
        Some(tls) => {
            let host = address.uri.host().unwrap_or_default();
            let stream = tls.wrap(host, stream.into_inner()).await?;
            greet(Gather::new(TokioIo::new(stream))).await
        }
    }
}

/// Begins HTTP/2.
async fn greet(io: impl Read + Write + Unpin + Send + 'static) -> io::Result<Sender> {
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .max_header_list_size(crate::MAX_HEADERS)
        .adaptive_window(true)
        .handshake(io)
        .await
        .map_err(io::Error::other)?;
    // It ends by itself when nobody can send any more and the last answer is over.
    TokioExecutor::new().execute(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a peer broke");
        }
    });
    Ok(sender)
}
