//! One call to a service, and its failures in our words.

use crate::{frames::Frames, problem::Problem, site::Endpoint};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use jangteo_core::{Code, Error};
use std::time::Instant;
use tonic::{Status, body::Body};
use tower::ServiceExt;

/// Sends `body` and waits for the head of the answer. A refusal in the head is an error already.
pub(crate) async fn call(
    endpoint: &Endpoint,
    headers: HeaderMap,
    body: Body,
    deadline: Option<Instant>,
) -> Result<Response<Body>, Problem> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.uri.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    let answer = match deadline {
        None => endpoint.channel.clone().oneshot(request).await,
        Some(d) => {
            let sent = tokio::time::timeout_at(d.into(), endpoint.channel.clone().oneshot(request)).await;
            sent.map_err(|_| Problem::late())?
        }
    };
    let answer = answer.unwrap_or_else(|never| match never {});
    match Status::from_header_map(answer.headers()) {
        Some(status) if status.code() != tonic::Code::Ok => Err(status.into()),
        None if answer.status() != StatusCode::OK => Err(not_grpc(answer.status())),
        _ => Ok(answer),
    }
}

/// A unary answer.
pub(crate) struct Answered {
    pub head: HeaderMap,
    /// With its frame head.
    pub message: Bytes,
    pub trailers: HeaderMap,
}

impl Answered {
    /// What came along with the message, to the answer's headers.
    pub fn copy_metadata(&self, to: &mut HeaderMap) {
        copy_metadata(&self.head, to);
        copy_metadata(&self.trailers, to);
    }
}

/// The one message of a unary answer, and what else came along.
pub(crate) async fn unary(
    endpoint: &Endpoint,
    mut headers: HeaderMap,
    body: Body,
    deadline: Option<Instant>,
    limit: usize,
) -> Result<Answered, Problem> {
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("gzip,identity"));
    let work = async {
        let (parts, body) = call(endpoint, headers, body, None).await?.into_parts();
        let mut frames = Frames::of_service(body, &parts.headers, limit);
        let first = frames.next().await.transpose()?;
        if first.is_some() && frames.next().await.transpose()?.is_some() {
            return Err(Error::internal("a unary call was answered with several messages").into());
        }
        let trailers = frames.trailers.take().unwrap_or_default();
        ended(&parts.headers, &trailers)?;
        let message = first.ok_or_else(|| Error::internal("a call was answered without a message"))?;
        Ok(Answered { head: parts.headers, message, trailers })
    };
    match deadline {
        Some(d) => tokio::time::timeout_at(d.into(), work).await.map_err(|_| Problem::late())?,
        None => work.await,
    }
}

/// How a call ended, once its body has.
pub(crate) fn ended(head: &HeaderMap, trailers: &HeaderMap) -> Result<(), Problem> {
    match Status::from_header_map(trailers).or_else(|| Status::from_header_map(head)) {
        Some(status) if status.code() == tonic::Code::Ok => Ok(()),
        Some(status) => Err(status.into()),
        None => Err(Problem::new(Code::Unavailable, "UPSTREAM_CUT", "the service broke off its answer")),
    }
}

/// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
fn not_grpc(status: StatusCode) -> Problem {
    tracing::warn!(%status, "the service did not answer in gRPC");
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let text = format!("the service answered with HTTP {}", status.as_u16());
    Problem::new(code, "UPSTREAM_NOT_GRPC", text)
}

/// Copies what a service says beside its messages to the client's answer. Where the edge has a
/// default (`cache-control`, `etag`) the service's word counts.
pub(crate) fn copy_metadata(from: &HeaderMap, to: &mut HeaderMap) {
    for name in from.keys().filter(|name| is_told(name) && !name.as_str().ends_with("-bin")) {
        if name != header::VARY {
            to.remove(name);
        }
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

/// Whether metadata of a service is for the client.
pub(crate) fn is_told(name: &HeaderName) -> bool {
    let s = name.as_str();
    let ours = matches!(s, "content-type" | "content-encoding" | "date" | "server");
    !s.starts_with("grpc-") && !ours && !crate::client::is_hop(name)
}

/// Takes out what is not for the client.
pub(crate) fn keep_told(metadata: &mut HeaderMap) {
    let hidden: Vec<HeaderName> = metadata.keys().filter(|name| !is_told(name)).cloned().collect();
    for name in hidden {
        metadata.remove(name);
    }
}
