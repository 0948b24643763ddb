//! What the providers' HTTP clients share.

use crate::domain::course::Outcome;
use chrono::{DateTime, TimeDelta};
use jangteo_core::{Error, Result, Time};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, header::RETRY_AFTER};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// No answer that we read is longer.
const MAX_ANSWER: usize = 64 * 1024;

pub fn builder() -> ClientBuilder {
    // The first to ask sets it for the process; whoever comes later finds it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT).redirect(reqwest::redirect::Policy::none())
}

pub fn client() -> Result<Client> {
    builder().build().map_err(Error::internal)
}

/// An answer, read.
pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<TimeDelta>,
    pub body: serde_json::Value,
}

/// Asks once. An answer that got lost is `Unknown`; a provider that can't be reached is one to go round.
pub async fn ask(request: RequestBuilder, now: Option<Time>) -> Result<Answer, Outcome> {
    let response = request.send().await.map_err(|e| match e.is_connect() || e.is_builder() {
        true => Outcome::Elsewhere { why: "NO_CONNECTION" },
        false => Outcome::Unknown { why: "NO_ANSWER" },
    })?;
    let (status, retry_after) = (response.status(), retry_after(&response, now));
    let body = read(response).await;
    // Whoever says 2xx has taken it, whatever became of the rest.
    match body {
        None if !status.is_success() => Ok(Answer { status, retry_after, body: serde_json::Value::Null }),
        None => Err(Outcome::Unknown { why: "BROKEN_ANSWER" }),
        Some(body) => Ok(Answer { status, retry_after, body }),
    }
}

async fn read(mut response: Response) -> Option<serde_json::Value> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            return None;
        }
    }
    if bytes.is_empty() {
        return Some(serde_json::Value::Null);
    }
    serde_json::from_slice(&bytes).ok()
}

/// Seconds or a date, RFC 9110, section 10.2.3.
fn retry_after(response: &Response, now: Option<Time>) -> Option<TimeDelta> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.parse::<i64>() {
        return TimeDelta::try_seconds(seconds.clamp(0, 86_400));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?;
    Some((until.to_utc() - now?).max(TimeDelta::zero()))
}

/// What a status means that the provider gives no particular meaning to.
pub fn outcome(answer: &Answer) -> Outcome {
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS => Outcome::Later { after: answer.retry_after, why: "TOO_MANY" },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PAYMENT_REQUIRED => {
            Outcome::Elsewhere { why: "NOT_ADMITTED" }
        }
        s if s.is_server_error() => Outcome::Later { after: answer.retry_after, why: "PROVIDER_DOWN" },
        s if s.is_client_error() => Outcome::Never { why: "REFUSED" },
        _ => Outcome::Elsewhere { why: "UNEXPECTED_ANSWER" },
    }
}

/// `application/x-www-form-urlencoded`
pub fn form(fields: &[(&str, &str)]) -> String {
    let mut url = reqwest::Url::parse("form:").expect("a URL");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

/// The DER in a PEM block.
pub fn pem(field: &str, text: &str) -> Result<Vec<u8>> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let lines = text.lines().map(str::trim).filter(|l| !l.starts_with("-----"));
    let der = BASE64_STANDARD.decode(lines.collect::<String>()).ok().filter(|der| !der.is_empty());
    der.ok_or_else(|| Error::invalid(field, "INVALID_CONFIGURATION", "is no private key in PEM (PKCS #8)"))
}

/// A JSON Web Token whose header and claims are signed by `sign`.
pub fn jwt(
    header: &serde_json::Value,
    claims: &serde_json::Value,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>>,
) -> Result<String> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as B64};
    let signed = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
    let signature = B64.encode(sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}
