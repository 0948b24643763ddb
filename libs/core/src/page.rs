//! Keyset pages (AIP-158). A page token is opaque, signed, and bound to the query that made it.

use crate::{Error, Result};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use std::sync::Arc;

const DEFAULT_SIZE: i32 = 20;
const MAX_SIZE: i32 = 100;
/// Bytes of an HMAC-SHA256.
const TAG: usize = 32;

/// One page that a caller asks for: at most `size` rows behind the row with the keys `after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub size: u64,
    /// Sort keys of the last row that the caller has; empty on the first page.
    pub after: Vec<String>,
}

/// Signs and opens page tokens. Every replica of a service shares the key.
#[derive(Clone)]
pub struct PageTokens(Arc<hmac::Key>);

impl PageTokens {
    pub fn new(secret: &[u8]) -> Self {
        PageTokens(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// Reads `page_size` (0 means 20, more than 100 means 100, negative is refused) and `page_token`.
    /// `query` is whatever must stay the same from page to page: the filter and the order.
    pub fn open(&self, page_size: i32, page_token: &str, query: &str) -> Result<Page> {
        let size = match page_size {
            0 => DEFAULT_SIZE,
            n if n < 0 => return Err(Error::invalid("page_size", "OUT_OF_RANGE", "must not be negative")),
            n => n.min(MAX_SIZE),
        };
        let after = if page_token.is_empty() { Vec::new() } else { self.verify(page_token, query)? };
        Ok(Page { size: size as u64, after })
    }

    /// The token of the page behind the row whose sort keys are `last`.
    pub fn next<S: AsRef<str>>(&self, query: &str, last: &[S]) -> String {
        let keys = last.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("\u{1f}");
        let mut token = hmac::sign(&self.0, &signed(query, &keys)).as_ref().to_vec();
        token.extend_from_slice(keys.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(token)
    }

    fn verify(&self, token: &str, query: &str) -> Result<Vec<String>> {
        let bad = || {
            Error::invalid(
                "page_token",
                "INVALID_PAGE_TOKEN",
                "is not one that this list gave out for the same filter and order",
            )
        };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
        let (tag, keys) = bytes.split_at_checked(TAG).ok_or_else(bad)?;
        let keys = std::str::from_utf8(keys).map_err(|_| bad())?;
        hmac::verify(&self.0, &signed(query, keys), tag).map_err(|_| bad())?;
        Ok(keys.split('\u{1f}').map(str::to_owned).collect())
    }
}

/// What a tag covers; the length keeps query and keys apart.
fn signed(query: &str, keys: &str) -> Vec<u8> {
    [&(query.len() as u64).to_be_bytes(), query.as_bytes(), keys.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_for_its_own_query() {
        let t = PageTokens::new(b"key");
        let token = t.next("region=seoul", &["2026", "prd_1"]);
        assert_eq!(
            t.open(500, &token, "region=seoul").unwrap(),
            Page { size: 100, after: vec!["2026".into(), "prd_1".into()] }
        );
        for (tokens, query, token) in [
            (&t, "region=busan", token.clone()),
            (&PageTokens::new(b"other"), "region=seoul", token.clone()),
            (&t, "region=seoul", format!("A{}", &token[1..])),
            (&t, "region=seoul", "x".into()),
        ] {
            assert_eq!(tokens.open(1, &token, query).unwrap_err().field_violations()[0].field, "page_token");
        }
    }
}
