//! Accepts gRPC connections until told to stop, then lets those in flight finish.

use crate::{Caller, TlsFiles, tls};
use http::{Request, Response};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use jangteo_core::Result;
use std::{convert::Infallible, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tonic::body::Body;
use tower::{Service, ServiceExt};

const HANDSHAKE: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Serves `service` on `listener`. When `shutdown` resolves no connection is taken any more, and the
/// function returns when the last one has ended; how long that may take is the caller's to bound.
pub async fn serve<S>(
    listener: TcpListener,
    tls: Option<&TlsFiles>,
    service: S,
    shutdown: impl Future<Output = ()>,
) -> Result<()>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let acceptor = tls.map(TlsFiles::acceptor).transpose()?;
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: give others the time to close some.
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        let _ = stream.set_nodelay(true);
        let (watcher, service, acceptor) = (graceful.watcher(), service.clone(), acceptor.clone());
        spawn(async move {
            match acceptor {
                None => connection(stream, None, service, watcher).await,
                Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let certificate = stream.get_ref().1.peer_certificates().and_then(|c| c.first());
                        let caller = certificate.and_then(tls::caller);
                        connection(stream, caller, service, watcher).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

async fn connection<S, I>(io: I, caller: Option<Caller>, service: S, watcher: hyper_util::server::graceful::Watcher)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service.map_request(move |request: Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(1024)
        .adaptive_window(true)
        .max_header_list_size(crate::MAX_HEADERS)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    let connection = builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[expect(clippy::disallowed_methods, reason = "connections are drained through GracefulShutdown")]
fn spawn(f: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(f);
}
