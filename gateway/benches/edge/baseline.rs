//! What one would write first: hyper, serde_json and prost-reflect's dynamic messages, routes by
//! hand; no limits, no deadline, no errors of its own.

use crate::{common::process, work};
use bytes::Bytes;
use http::{Method, Request, Response, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use prost_reflect::{DynamicMessage, MethodDescriptor, ServiceDescriptor, Value};
use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::ServiceExt;

#[derive(Clone)]
struct Proxy {
    service: ServiceDescriptor,
    channel: Channel,
}

pub fn serve(port: u16, upstream: u16) {
    process::runtime().block_on(async {
        let service = work::pool().get_service_by_name(work::SERVICE).expect("it is there");
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{upstream}")).expect("an address");
        let proxy = Proxy { service, channel: endpoint.tcp_nodelay(true).connect_lazy() };
        process::accept(port, move |request| {
            let proxy = proxy.clone();
            async move { proxy.answer(request).await }
        })
        .await;
    });
}

impl Proxy {
    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let path = parts.uri.path();
        let name = match (&parts.method, path) {
            (&Method::POST, "/v1/items") => "CreateItem",
            (&Method::POST, _) => "ImportItems",
            (_, "/v1/items") => "ListItems",
            (_, "/v1/items:watch") => "WatchItems",
            _ => "GetItem",
        };
        let method = self.service.methods().find(|m| m.name() == name).expect("it is there");
        let message = message(&method, path, parts.uri.query(), &body);
        let answer = self.call(&method, work::frame(&message)).await;

        let mut out = Vec::new();
        let mut rest = &answer[..];
        out.extend_from_slice(if method.is_server_streaming() { b"[" } else { b"" });
        while let Some((head, tail)) = rest.split_at_checked(5) {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if out.len() > 1 {
                out.push(b',');
            }
            let message = DynamicMessage::decode(method.output(), &tail[..length]).expect("a good message");
            serde_json::to_writer(&mut out, &message).expect("JSON");
            rest = &tail[length..];
        }
        out.extend_from_slice(if method.is_server_streaming() { b"]" } else { b"" });
        let mut response = Response::new(Full::new(out.into()));
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }

    async fn call(self, method: &MethodDescriptor, framed: Vec<u8>) -> Bytes {
        let mut request = Request::new(Body::new(Full::new(Bytes::from(framed))));
        *request.method_mut() = Method::POST;
        let path = format!("/{}/{}", work::SERVICE, method.name());
        *request.uri_mut() = PathAndQuery::try_from(path).expect("a path").into();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, http::HeaderValue::from_static("trailers"));
        let answer = self.channel.oneshot(request).await.expect("an answer");
        answer.into_body().collect().await.expect("a whole answer").to_bytes()
    }
}

fn message(method: &MethodDescriptor, path: &str, query: Option<&str>, body: &[u8]) -> DynamicMessage {
    if !body.is_empty() {
        let mut json = serde_json::Deserializer::from_slice(body);
        return DynamicMessage::deserialize(method.input(), &mut json).expect("JSON of this message");
    }
    let mut message = DynamicMessage::new(method.input());
    if let Some((_, value)) = query.and_then(|q| q.split_once('=')) {
        let field = method.input().get_field(1).expect("a number");
        message.set_field(&field, Value::I32(value.parse().expect("a number")));
    } else if let Some(id) = path.strip_prefix("/v1/items/") {
        message.set_field_by_name("item_id", Value::String(id.to_owned()));
    }
    message
}
