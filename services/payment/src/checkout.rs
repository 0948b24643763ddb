//! Pages that buyers' browsers see of us. The edge allows them no script: whatever they do, a click does.

use jangteo_core::{Error, Result};
use prost::{Message, Name};
use prost_types::Any;
use proto::{google::api::HttpBody, jangteo::options::v1::HttpReply};
use ring::rand::{SecureRandom, SystemRandom};
use std::{collections::BTreeMap, fmt::Write};

/// What nobody can guess: 128 bits.
pub fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("no randomness"))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// `body` is markup, the rest is text of ours.
pub fn document(lang: &str, title: &str, body: &str) -> String {
    let head = "<meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">";
    format!("<!doctype html><html lang=\"{lang}\">{head}<title>{title}</title><h1>{title}</h1>{body}</html>")
}

/// Nothing where there is no such page.
pub fn link(url: &str, text: &str) -> String {
    match is_web(url) {
        true => format!(" <a href=\"{}\">{text}</a>", escaped(url)),
        false => String::new(),
    }
}

/// Anything but the web would be a script.
pub fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

pub fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':') {
            out.push(c);
        } else {
            let _ = write!(out, "&#{};", c as u32);
        }
        out
    })
}

pub fn html(page: String) -> HttpBody {
    HttpBody { content_type: "text/html; charset=utf-8".to_owned(), data: page.into_bytes(), extensions: Vec::new() }
}

/// Sends the browser on, whatever it came with.
pub fn see_other(url: &str) -> HttpBody {
    let reply = HttpReply { status: 303, headers: BTreeMap::from([("location".to_owned(), url.to_owned())]) };
    let type_url = format!("type.googleapis.com/{}", HttpReply::full_name());
    let extensions = vec![Any { type_url, value: reply.encode_to_vec() }];
    HttpBody { extensions, ..html(document("ko", "결제", &link(url, "상점으로 돌아가기"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(escaped("\"><script>"), "&#34;&#62;&#60;script&#62;");
        assert_eq!(link("javascript:alert(1)", "x"), "");
        assert_eq!(link("https://a.example/\"b", "x"), " <a href=\"https://a.example/&#34;b\">x</a>");
    }

    #[test]
    fn tokens_differ() {
        let (one, other) = (random_hex().unwrap(), random_hex().unwrap());
        assert!(one != other && one.len() == 32);
    }
}
