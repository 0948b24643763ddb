//! What the clients of outside providers share: one way to ask, and what a silence means.

use super::{Forged, Outcome};
use jangteo_core::{Error, Result};
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt, time::Duration};
use zeroize::Zeroizing;

/// No page of a statement is longer.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
const NO_CONTENT: u16 = 204;

/// A key of ours at a provider. It shows nowhere.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn show(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Secret {
    fn default() -> Self {
        String::new().into()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What a provider said.
pub struct Answer {
    pub status: u16,
    /// `Null` when it is no JSON.
    pub body: Value,
}

impl Answer {
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The text at a JSON pointer, empty when there is none.
    pub fn text(&self, pointer: &str) -> &str {
        text(&self.body, pointer)
    }
}

pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Silence {
    /// No connection came about: certainly nothing was sent.
    NotSent(String),
    /// It may have been taken.
    Unknown(String),
}

impl<T> From<Silence> for Outcome<T> {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::NotSent(why) => Outcome::NotTaken(why),
            Silence::Unknown(why) => Outcome::Unknown(why),
        }
    }
}

impl From<Silence> for String {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::NotSent(why) | Silence::Unknown(why) => why,
        }
    }
}

/// TLS by ring, as everywhere here. No redirect is followed: it would take the secret along.
pub fn client() -> Result<Client> {
    // reqwest panics without a provider; somebody else's earlier choice is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().connect_timeout(Duration::from_secs(2)).timeout(Duration::from_secs(30));
    client.redirect(reqwest::redirect::Policy::none()).build().map_err(Error::internal)
}

/// Asks once.
pub async fn ask(request: RequestBuilder) -> Result<Answer, Silence> {
    let (status, bytes) = fetch(request).await?;
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if body.is_null() && (200..300).contains(&status) && status != NO_CONTENT {
        return Err(Silence::Unknown(format!("{status} without an answer")));
    }
    Ok(Answer { status, body })
}

/// Asks once, whatever is answered: its status and its bytes.
pub async fn fetch(request: RequestBuilder) -> Result<(u16, Vec<u8>), Silence> {
    let mut answer = request.send().await.map_err(|e| {
        let unsent = e.is_connect() || e.is_builder();
        let why = e.without_url().to_string();
        if unsent { Silence::NotSent(why) } else { Silence::Unknown(why) }
    })?;
    let status = answer.status().as_u16();
    let mut bytes = Vec::new();
    let broken = |e: reqwest::Error| Silence::Unknown(e.without_url().to_string());
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_ANSWER {
            return Err(Silence::Unknown("the answer is too long".into()));
        }
    }
    Ok((status, bytes))
}

/// `application/x-www-form-urlencoded`, for bodies and queries.
pub fn form(fields: &[(&str, &str)]) -> String {
    let mut url = Url::parse("form:").expect("a URL");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

/// The fields of a form. `None`: one of them is there twice, and nobody knows which counts.
pub fn fields(form: &[u8]) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    let mut url = Url::parse("form:").expect("a URL");
    // What is no UTF-8 is a text in the provider's own encoding, which nobody reads here.
    url.set_query(Some(String::from_utf8_lossy(form).trim()));
    for (name, value) in url.query_pairs() {
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(fields)
}

/// One piece of a path: whatever `text` holds, it stays within.
pub fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_~=".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The address that a section names, without a slash at its end.
pub fn base(section: &str, url: &str) -> Result<String> {
    let wrong = || Error::invalid(format!("{section}.url"), "INVALID_CONFIGURATION", "is no http address");
    let parsed = Url::parse(url).map_err(|_| wrong())?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(wrong());
    }
    Ok(url.trim_end_matches('/').to_owned())
}

pub fn required(section: &str, field: &str, secret: &Secret) -> Result<()> {
    if secret.is_empty() {
        return Err(Error::invalid(format!("{section}.{field}"), "INVALID_CONFIGURATION", "is needed"));
    }
    Ok(())
}

/// Refuses messages that are older, or from further ahead, than `tolerance` seconds.
pub fn fresh(sent: i64, now: i64, tolerance: u64) -> Result<(), Forged> {
    if sent.abs_diff(now) > tolerance { Err(Forged("it is too old")) } else { Ok(()) }
}

pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|p| u8::from_str_radix(std::str::from_utf8(p).ok().filter(|p| p.len() == 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::from("sk_live_1".to_owned())), "[redacted]");
    }

    #[test]
    fn a_form_says_each_thing_once() {
        let form = fields(b"P_STATUS=00&P_RMESG1=\xbc\xba\xb0\xf8&P_NOTI=a%26b%3Dc+d&P_X\n").unwrap();
        let value = |name: &str| form.get(name).map(String::as_str);
        assert_eq!([value("P_STATUS"), value("P_NOTI"), value("P_X")], [Some("00"), Some("a&b=c d"), Some("")]);
        assert_eq!(fields(b"P_STATUS=01&P_STATUS=00"), None);
        assert_eq!(fields(b"a=1#b=2").unwrap()["a"], "1#b=2");
    }

    #[test]
    fn a_piece_of_a_path_stays_within() {
        assert_eq!(segment("a/../b?c#d%ord_1:1"), "a%2F%2E%2E%2Fb%3Fc%23d%25ord_1%3A1");
    }
}
