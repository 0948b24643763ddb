//! What the generated servers share: the context out of the request, the checks, and the reply.

use crate::{Checked, Streaming, rules::check, status::to_status, subject::subject};
use futures::StreamExt;
use jangteo_core::{Call, Error, Result};
use prost::Message;
use std::pin::Pin;
use tonic::{Request, Response, Status};

/// A stream as tonic wants it.
pub type Stream<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;

/// What a method's policy says of `request_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    None,
    Optional,
    Required,
}

const MAX_KEY: usize = 128;

pub(crate) fn open<T: Message + Checked>(mut request: Request<T>, key: Key) -> Result<(Call, T)> {
    let mut cx = context(request.extensions_mut())?;
    let message = request.into_inner();
    check(&message)?;
    if let Some(audit) = &cx.audit {
        audit.about(subject(&cx.method, &message.encode_to_vec()));
    }
    let id = message.request_id();
    match key {
        Key::Required if id.is_empty() => {
            return Err(Error::invalid("request_id", "REQUIRED", "is required; send an Idempotency-Key"));
        }
        Key::Optional | Key::Required if !id.is_empty() => {
            if id.len() > MAX_KEY || !id.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(Error::invalid("request_id", "INVALID_KEY", "must be 1 to 128 printable ASCII characters"));
            }
            cx.request_id = Some(id.to_owned());
            let digest = ring::digest::digest(&ring::digest::SHA256, &message.encode_to_vec());
            cx.fingerprint.copy_from_slice(digest.as_ref());
        }
        _ => {}
    }
    Ok((cx, message))
}

pub(crate) fn open_stream<T: Message + Checked + 'static>(
    mut request: Request<tonic::Streaming<T>>,
) -> Result<(Call, Streaming<T>)> {
    let cx = context(request.extensions_mut())?;
    let stream = request.into_inner().map(|m| {
        let m = m.map_err(crate::status::from_status)?;
        check(&m)?;
        Ok(m)
    });
    Ok((cx, Box::pin(stream)))
}

fn context(extensions: &mut http::Extensions) -> Result<Call> {
    extensions.remove::<Call>().ok_or_else(|| Error::internal("the service is mounted without the rpc layers"))
}

pub(crate) fn reply<T>(result: Result<T>, domain: &'static str) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|e| to_status(e, domain))
}

pub(crate) fn stream<T: 'static>(
    result: Result<Streaming<T>>,
    domain: &'static str,
) -> Result<Response<Stream<T>>, Status> {
    let stream = result.map_err(|e| to_status(e, domain))?;
    let stream = stream.map(move |m| {
        m.map_err(|e| {
            // The source does not outlive the status, which becomes trailers: this is the last place to log it.
            if e.code().is_server_fault() {
                tracing::error!(error = ?e, "stream failed");
            } else {
                tracing::debug!(error = ?e, "stream refused");
            }
            to_status(e, domain)
        })
    });
    Ok(Response::new(Box::pin(stream)))
}
