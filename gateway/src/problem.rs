//! The one shape of a failure: `google.rpc.Status`, whether the edge refused or a service did.
//! <https://google.aip.dev/193>, <https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use jangteo_core::{Code, Error};
use prost::Message;
use prost_reflect::prost_types::Any;
use std::{sync::LazyLock, time::Duration};
use tonic::{body::Body, metadata::MetadataMap};
use tonic_types::pb;
use transcode::{Binding, Types, write_json_string};

/// Of the errors that the edge itself makes.
pub(crate) const DOMAIN: &str = "gateway.jangteo";
const ERROR_INFO: &str = "google.rpc.ErrorInfo";
const BAD_REQUEST: &str = "google.rpc.BadRequest";
const RETRY_INFO: &str = "google.rpc.RetryInfo";

#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    http: StatusCode,
    status: pb::Status,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What the service said beside its refusal.
    metadata: HeaderMap,
}

impl Problem {
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Problem {
        Error::new(code, reason, message).into()
    }

    /// Where HTTP has a finer word than gRPC's code.
    pub fn http(http: StatusCode, code: Code, reason: &'static str, message: impl Into<String>) -> Problem {
        let mut p = Problem::new(code, reason, message);
        p.0.http = http;
        p
    }

    pub fn late() -> Problem {
        Problem::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "deadline exceeded")
    }

    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Problem {
        if let Ok(value) = value.try_into() {
            self.0.headers.push((name, value));
        }
        self
    }

    pub fn code(&self) -> Code {
        Code::from_i32(self.0.status.code)
    }

    /// Of a service's refusal, for protocols that have a place for it.
    pub fn metadata(&self) -> &HeaderMap {
        &self.0.metadata
    }

    pub fn http_status(&self) -> StatusCode {
        self.0.http
    }

    /// Turns the proto paths of field violations into those of the JSON that the client sent.
    #[must_use]
    pub fn localized(mut self, binding: &Binding) -> Problem {
        for any in &mut self.0.status.details {
            let Some(mut bad) = read::<pb::BadRequest>(any, BAD_REQUEST) else { continue };
            for v in &mut bad.field_violations {
                let path = binding.json_path(&v.field);
                // The message of a single violation begins with its field.
                if let Some(rest) = self.0.status.message.strip_prefix(&format!("{}: ", v.field)) {
                    self.0.status.message = format!("{path}: {rest}");
                }
                v.field = path;
            }
            any.value = bad.encode_to_vec();
        }
        self
    }

    /// `marked` adds `@type`, which no message can have: so a reader of a stream tells the error from an item.
    pub fn write_json(&self, types: &Types, marked: bool, out: &mut Vec<u8>) {
        let status = &self.0.status;
        out.push(b'{');
        if marked {
            out.extend_from_slice(b"\"@type\":\"type.googleapis.com/google.rpc.Status\",");
        }
        out.extend_from_slice(format!("\"code\":{},\"message\":", status.code).as_bytes());
        write_json_string(&status.message, out);
        out.extend_from_slice(b",\"details\":[");
        let start = out.len();
        for any in &status.details {
            let before = out.len();
            if before > start {
                out.push(b',');
            }
            if !write_detail(types, any, out) {
                out.truncate(before);
            }
        }
        out.extend_from_slice(b"]}");
    }

    /// The same in the words of Connect, whose details are base64 beside a readable form.
    pub fn write_connect(&self, types: &Types, out: &mut Vec<u8>) {
        let status = &self.0.status;
        let name = match self.code() {
            Code::Cancelled => "canceled".to_owned(),
            code => code.name().to_lowercase(),
        };
        out.extend_from_slice(format!("{{\"code\":\"{name}\",\"message\":").as_bytes());
        write_json_string(&status.message, out);
        out.extend_from_slice(b",\"details\":[");
        for (i, any) in status.details.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            let name = any.type_url.rsplit('/').next().unwrap_or_default();
            out.extend_from_slice(b"{\"type\":");
            write_json_string(name, out);
            let value = BASE64_STANDARD_NO_PAD.encode(&any.value);
            out.extend_from_slice(format!(",\"value\":\"{value}\"").as_bytes());
            let before = out.len();
            out.extend_from_slice(b",\"debug\":");
            if !write_detail(types, any, out) {
                out.truncate(before);
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }

    pub fn into_response(self, types: &Types) -> Response<Body> {
        let mut out = Vec::with_capacity(256);
        self.write_json(types, false, &mut out);
        let mut response = crate::reply::full(self.0.http, Bytes::from(out));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.http == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        headers.extend(self.0.headers);
        response
    }

    pub fn into_status(self) -> tonic::Status {
        let Inner { status, metadata, .. } = *self.0;
        let code = tonic::Code::from_i32(status.code);
        let details = if status.details.is_empty() { Bytes::new() } else { status.encode_to_vec().into() };
        tonic::Status::with_details_and_metadata(code, status.message, details, MetadataMap::from_headers(metadata))
    }
}

impl From<Error> for Problem {
    fn from(e: Error) -> Problem {
        if e.code().is_server_fault() {
            tracing::error!(error = ?e, "request failed at the edge");
        }
        proto::status::to_status(e, DOMAIN).into()
    }
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Problem {
        let mut details = pb::Status::decode(status.details()).unwrap_or_default();
        details.code = status.code() as i32;
        details.message = status.message().to_owned();
        let code = Code::from_i32(details.code);
        let mut http = http_status(code);
        let mut headers = Vec::new();
        let mut metadata = status.metadata().clone().into_headers();
        crate::upstream::keep_told(&mut metadata);
        for any in &details.details {
            if let Some(info) = read::<pb::ErrorInfo>(any, ERROR_INFO) {
                http = match info.reason.as_str() {
                    "REQUEST_ID_REUSED" => StatusCode::UNPROCESSABLE_ENTITY,
                    "REQUEST_IN_FLIGHT" | "REQUEST_ID_IN_FLIGHT" => StatusCode::CONFLICT,
                    "PAYLOAD_TOO_LARGE" => StatusCode::PAYLOAD_TOO_LARGE,
                    "UNSUPPORTED_MEDIA_TYPE" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "RANGE_NOT_SATISFIABLE" => StatusCode::RANGE_NOT_SATISFIABLE,
                    _ => http,
                };
                if http == StatusCode::RANGE_NOT_SATISFIABLE
                    && let Some(Ok(size)) = info.metadata.get("size").map(|size| format!("bytes */{size}").try_into())
                {
                    headers.push((header::CONTENT_RANGE, size));
                }
            } else if let Some(delay) = read::<pb::RetryInfo>(any, RETRY_INFO).and_then(|r| r.retry_delay) {
                let seconds = delay.seconds.max(0) as u64 + u64::from(delay.nanos > 0);
                headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
            }
        }
        Problem(Box::new(Inner { http, status: details, headers, metadata }))
    }
}

/// What is wrong with a request's JSON, query or path; of an answer, that the service sent nonsense.
impl From<transcode::Error> for Problem {
    fn from(e: transcode::Error) -> Problem {
        use transcode::{Kind, Place};
        if e.place() == Place::Response {
            return Error::internal(format!("the service's answer is unreadable: {e}")).into();
        }
        let reason = match e.kind() {
            Kind::Syntax => "INVALID_JSON",
            Kind::Utf8 => "INVALID_UTF8",
            Kind::Depth => "TOO_DEEP",
            Kind::UnknownField => "UNKNOWN_FIELD",
            Kind::Duplicate => "DUPLICATE_FIELD",
            Kind::Oneof => "ONEOF_CONFLICT",
            Kind::WrongType => "WRONG_TYPE",
            Kind::Range => "OUT_OF_RANGE",
            Kind::Format => "INVALID_FORMAT",
            Kind::UnknownEnum => "UNKNOWN_ENUM",
            Kind::UnknownType => "UNKNOWN_TYPE",
            Kind::Conflict => "CONFLICTING_VALUES",
            Kind::Wire | Kind::Unrepresentable => "UNREPRESENTABLE",
        };
        let text = match e.offset() {
            Some(at) => format!("{} (at byte {at})", e.message()),
            None => e.message().to_owned(),
        };
        if e.path().is_empty() {
            return Problem::new(Code::InvalidArgument, reason, text);
        }
        Error::invalid(e.path(), reason, text).into()
    }
}

/// A refusal that may be tried again after `wait`.
pub(crate) fn limited(wait: Duration) -> Problem {
    Error::new(Code::ResourceExhausted, "RATE_LIMITED", "too many requests; slow down").with_retry_after(wait).into()
}

pub(crate) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).expect("a valid status"),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The detail types that any server may send, for descriptor sets that lack them.
static STANDARD: LazyLock<Option<Types>> = LazyLock::new(|| {
    let loaded = Types::load(proto::pool(), transcode::Options::default());
    loaded.inspect_err(|error| tracing::error!(%error, "the standard error details can't be read")).ok()
});

/// False when nobody knows the type, or the bytes are none of it.
fn write_detail(types: &Types, any: &Any, out: &mut Vec<u8>) -> bool {
    types.any_to_json(&any.type_url, &any.value, out).is_ok()
        || STANDARD.as_ref().is_some_and(|t| t.any_to_json(&any.type_url, &any.value, out).is_ok())
}

/// The detail, if it is of that type.
fn read<M: Message + Default>(any: &Any, name: &str) -> Option<M> {
    let found = any.type_url.strip_prefix("type.googleapis.com/")?;
    if found == name { M::decode(any.value.as_slice()).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(p: &Problem) -> serde_json::Value {
        let types = Types::load(proto::pool(), transcode::Options::default()).unwrap();
        let mut out = Vec::new();
        p.write_json(&types, false, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_refusal_is_a_status_with_details() {
        let p: Problem = Error::not_found("product", "prd_1").into();
        let v = json(&p);
        assert_eq!((v["code"].as_i64(), p.http_status()), (Some(5), StatusCode::NOT_FOUND));
        assert_eq!(v["details"][0]["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
        assert_eq!(v["details"][0]["reason"], "PRODUCT_NOT_FOUND");
        assert_eq!(v["details"][0]["domain"], DOMAIN);
        assert_eq!(v["details"][0]["metadata"]["product_id"], "prd_1");
    }

    #[test]
    fn an_unknown_detail_keeps_code_and_message() {
        let status = pb::Status {
            code: 9,
            message: "no".into(),
            details: vec![Any { type_url: "type.googleapis.com/acme.Odd".into(), value: vec![1, 2] }],
        };
        let p: Problem =
            tonic::Status::with_details(tonic::Code::FailedPrecondition, "no", status.encode_to_vec().into()).into();
        assert_eq!(json(&p), serde_json::json!({"code": 9, "message": "no", "details": []}));
        assert_eq!(p.http_status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_reused_key_is_422_and_a_wait_is_told() {
        let p: Problem = Error::new(Code::InvalidArgument, "REQUEST_ID_REUSED", "other body").into();
        assert_eq!(p.http_status(), StatusCode::UNPROCESSABLE_ENTITY);
        let p = limited(Duration::from_millis(2500));
        assert_eq!(p.http_status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(p.0.headers[0].1, "3");
    }
}
