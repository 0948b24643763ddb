//! Connections: HTTP/1.1 and HTTP/2 on one port, bounded in number, age and patience, and drained
//! before the process ends.

use crate::{
    client::PeerAddr,
    config::{HttpConfig, millis},
    edge::Edge,
    greet::greeting,
    stall::Stall,
    websocket::Handover,
};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use jangteo_core::Result;
use std::{convert::Infallible, future::Future, io::Cursor, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// How many headers hyper takes when nobody says.
const HYPERS_MAX_HEADERS: usize = 100;

impl Edge {
    /// Serves until `shutdown` resolves; then stops accepting, tells every connection to go (GOAWAY,
    /// `Connection: close`) and waits for what is in flight, no longer than `drain_ms`.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<()> {
        let config = &self.inner.config.http;
        let builder = Arc::new(builder(config));
        let places = Arc::new(Semaphore::new(config.max_connections));
        let (stop, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&listener, &places) => accepted,
            };
            let Some((stream, peer, place)) = accepted else { continue };
            let (edge, builder, stopped) = (self.clone(), builder.clone(), stopped.clone());
            connections.spawn(async move {
                if let Some(said) = greeted(&edge, &stream, stopped.clone()).await {
                    // Boxed, so that who has said nothing yet doesn't hold the room for a conversation.
                    Box::pin(connection(edge, &builder, stream, said, peer, stopped)).await;
                }
                drop(place);
            });
        }
        self.set_draining();
        drop(listener);
        tracing::info!(connections = connections.len(), "draining");
        let _ = stop.send(true);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(millis(config.drain_ms), drained).await.is_err() {
            tracing::warn!("connections cut off at the end of the drain");
        }
        Ok(())
    }
}

type Place = tokio::sync::OwnedSemaphorePermit;

/// Waits for a place before it accepts, so that too many clients queue in the kernel.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, SocketAddr, Place)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(error) => {
            // Out of file descriptors, most likely: some come back when connections end.
            tracing::warn!(%error, "accepting a connection failed");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

fn builder(config: &HttpConfig) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(millis(config.header_timeout_ms))
        .max_buf_size((config.max_header_bytes as usize).max(8 << 10));
    // hyper has its own number on the stack, and clears room for any other with every head.
    if config.max_headers != HYPERS_MAX_HEADERS {
        builder.http1().max_headers(config.max_headers);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_streams)
        .max_header_list_size(config.max_header_bytes)
        .adaptive_window(true)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// The first head, if the client sends one in time.
async fn greeted(edge: &Edge, stream: &TcpStream, mut stopped: watch::Receiver<bool>) -> Option<Vec<u8>> {
    let within = millis(edge.inner.config.http.header_timeout_ms);
    tokio::select! {
        said = tokio::time::timeout(within, greeting(stream)) => said.ok()?.ok()?,
        _ = stopped.wait_for(|stop| *stop) => None,
    }
}

async fn connection(
    edge: Edge,
    builder: &Builder<TokioExecutor>,
    stream: TcpStream,
    said: Vec<u8>,
    peer: SocketAddr,
    mut stopped: watch::Receiver<bool>,
) {
    let config = &edge.inner.config.http;
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let io = tokio::io::join(AsyncReadExt::chain(Cursor::new(said), reader), writer);
    let io = Stall::new(io, millis(config.stall_timeout_ms));
    let ip = peer.ip().to_canonical();
    let handler = edge.clone();
    let handover = Handover::default();
    let upgraded = handover.clone();
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(PeerAddr(ip));
        if request.headers().contains_key(http::header::UPGRADE) {
            request.extensions_mut().insert(handover.clone());
        }
        let edge = handler.clone();
        async move { Ok::<_, Infallible>(edge.handle(request).await) }
    });
    let mut served = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let born = tokio::time::Instant::now();
    let aged = async || match config.max_connection_age_ms {
        0 => std::future::pending().await,
        ms => tokio::time::sleep_until(born + millis(ms)).await,
    };
    let ended = tokio::select! {
        ended = served.as_mut() => Some(ended),
        _ = stopped.wait_for(|stop| *stop) => None,
        () = aged() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            served.as_mut().graceful_shutdown();
            match tokio::time::timeout(millis(config.drain_ms), served).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke");
    }
    if let Some(session) = upgraded.take() {
        let leave = async {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => {}
                () = aged() => {}
            }
        };
        session.run(leave).await;
    }
}
