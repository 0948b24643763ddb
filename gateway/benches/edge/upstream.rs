//! The gRPC server behind all proxies: tonic, with answers made beforehand, so that as little as
//! possible of the core goes to it.

use crate::{common::process, work};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};
use tonic::{Status, body::Body, transport::Server};

/// As much as tonic's own encoder gathers of messages that are ready.
const PIECE: usize = 32 << 10;

#[derive(Clone)]
struct Bench(Arc<HashMap<String, Vec<Bytes>>>);

pub fn serve(port: u16) {
    let pool = work::pool();
    let service = pool.get_service_by_name(work::SERVICE).expect("it is there");
    let answers = service.methods().map(|method| {
        let answers = work::answers(method.name());
        let frames = answers.iter().flat_map(|a| work::frame(&work::message(method.output(), a)));
        let frames: Vec<u8> = frames.collect();
        let path = format!("/{}/{}", work::SERVICE, method.name());
        (path, frames.chunks(PIECE).map(Bytes::copy_from_slice).collect())
    });
    let bench = Bench(Arc::new(answers.collect()));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    process::runtime().block_on(Server::builder().add_service(bench).serve(address)).expect("serve");
}

impl tonic::server::NamedService for Bench {
    const NAME: &'static str = work::SERVICE;
}

impl tower::Service<Request<Body>> for Bench {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answers = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let whole = body.collect().await;
            let Some(pieces) = answers.get(parts.uri.path()).filter(|_| whole.is_ok()) else {
                return Ok(Status::unimplemented("no such method").into_http());
            };
            let mut trailers = http::HeaderMap::new();
            trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from_static("0"));
            let frames: Vec<_> = pieces.iter().cloned().map(Frame::data).chain([Frame::trailers(trailers)]).collect();
            let body = StreamBody::new(futures::stream::iter(frames.into_iter().map(Ok::<_, Status>)));
            let mut response = Response::new(Body::new(body));
            let grpc = http::HeaderValue::from_static("application/grpc");
            response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
            Ok(response)
        })
    }
}
