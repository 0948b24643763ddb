//! What a service says of its answer as HTTP, `jangteo.options.v1.HttpReply`: status, cache, range, place. It is part of
//! the answer's message, so it comes through every channel and proxy, and it is never shown.

use crate::problem::Problem;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use jangteo_core::Error;
use prost::Message;
use prost_reflect::prost_types::Any;
use proto::jangteo::options::v1::HttpReply;
use std::borrow::Cow;
use tonic::body::Body;

pub(crate) const NAME: &str = "jangteo.options.v1.HttpReply";

/// What says something about this answer alone, and can't undo what the edge says for all of them.
const TAKEN: [HeaderName; 9] = [
    header::ACCEPT_RANGES,
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LANGUAGE,
    header::CONTENT_RANGE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::VARY,
];

/// Of a google.api.HttpBody, whose extensions are messages of any type.
pub(crate) fn of_extensions(extensions: &[Cow<'_, [u8]>]) -> Result<Option<HttpReply>, Problem> {
    for any in extensions {
        let any = Any::decode(&any[..]).map_err(unreadable)?;
        if any.type_url.rsplit('/').next() == Some(NAME) {
            return HttpReply::decode(any.value.as_slice()).map(Some).map_err(unreadable);
        }
    }
    Ok(None)
}

/// Of an answer that has such a field.
pub(crate) fn of_field(number: u32, message: &[u8]) -> Result<Option<HttpReply>, Problem> {
    let field = transcode::message_field(number, message)?;
    field.map(|wire| HttpReply::decode(&wire[..]).map_err(unreadable)).transpose()
}

fn unreadable(e: prost::DecodeError) -> Problem {
    Error::internal(format!("the service's HttpReply is unreadable: {e}")).into()
}

/// `streamed`: the length of the body is not known here. An answer without a body loses the one it had.
pub(crate) fn apply(said: HttpReply, response: &mut Response<Body>, streamed: bool) -> Result<(), Problem> {
    let status = match said.status {
        0 => response.status(),
        n @ 200..400 => StatusCode::from_u16(n as u16).map_err(Error::internal)?,
        n => return Err(Error::internal(format!("the service answers well and with HTTP {n}")).into()),
    };
    // A client that has the answer already is told so, whatever kind of success it is.
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    for (name, value) in said.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(&name), HeaderValue::try_from(&value)) else {
            return Err(Error::internal(format!("the service's header {name:?} is none")).into());
        };
        match name {
            header::VARY => {
                response.headers_mut().append(name, value);
            }
            header::CONTENT_LENGTH if streamed => {
                response.headers_mut().insert(name, value);
            }
            name if TAKEN.contains(&name) => {
                response.headers_mut().insert(name, value);
            }
            name => tracing::warn!(%name, "a service's header is not one that the edge takes"),
        }
    }
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply;

    fn applied(status: i32, headers: &[(&str, &str)], streamed: bool) -> Result<Response<Body>, Problem> {
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut response = reply::full(StatusCode::OK, "abc".into());
        apply(HttpReply { status, headers }, &mut response, streamed).map(|()| response)
    }

    #[test]
    fn what_a_service_may_say() {
        let response =
            applied(206, &[("content-range", "bytes 0-2/9"), ("set-cookie", "a=b"), ("vary", "accept")], false);
        let response = response.unwrap();
        assert_eq!(response.status(), 206);
        assert_eq!(response.headers()["content-range"], "bytes 0-2/9");
        assert_eq!(response.headers()["vary"], "accept");
        assert!(!response.headers().contains_key("set-cookie"));
        for bad in [1, 199, 404, 500, -1] {
            assert!(applied(bad, &[], false).is_err(), "{bad}");
        }
        assert!(applied(200, &[("etag", "a\nb")], false).is_err());
    }

    #[test]
    fn the_length_is_the_services_word_in_streams_alone() {
        assert_eq!(applied(0, &[("content-length", "9")], false).unwrap().headers()["content-length"], "3");
        assert_eq!(applied(0, &[("content-length", "9")], true).unwrap().headers()["content-length"], "9");
        let none = applied(304, &[("etag", "\"x\"")], true).unwrap();
        assert!(!none.headers().contains_key("content-length") && none.headers()["etag"] == "\"x\"");
    }
}
