//! What lets a guest at a cart and a friend at a shared one. The random bytes come from the caller.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest;

/// What a token is for. The prefix lets secret scanners find a leaked one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Guest,
    Share,
}

impl Purpose {
    fn prefix(self) -> &'static str {
        match self {
            Purpose::Guest => "jtg_",
            Purpose::Share => "jts_",
        }
    }
}

/// A token of 256 random bits, as its holder gets it.
pub fn token(purpose: Purpose, random: &[u8; 32]) -> String {
    format!("{}{}", purpose.prefix(), BASE64_URL_SAFE_NO_PAD.encode(random))
}

/// What is kept of a token. 256 random bits can't be guessed, so a plain SHA-256 will do.
/// `None`: no token of that purpose looks like this.
pub fn hash(purpose: Purpose, token: &str) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.strip_prefix(purpose.prefix())?).ok()?;
    (bytes.len() == 32).then(|| BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_of_one_purpose_and_not_its_hash(random: [u8; 32]) {
            let t = token(Purpose::Guest, &random);
            let kept = hash(Purpose::Guest, &t).unwrap();
            prop_assert!(!t.contains(&kept));
            prop_assert_eq!(hash(Purpose::Share, &t), None);
            prop_assert_ne!(hash(Purpose::Share, &token(Purpose::Share, &random)), None);
        }

        #[test]
        fn garbage_is_no_token(s in ".{0,64}") {
            prop_assert_eq!(hash(Purpose::Guest, &s), None);
            prop_assert_eq!(hash(Purpose::Guest, &format!("jtg_{s}")), None);
        }
    }
}
