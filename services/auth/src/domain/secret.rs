//! Secrets that we make: opaque tokens and recovery codes. The random bytes come from the caller.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest;

/// What an opaque token is for. The prefix lets secret scanners find a leaked one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Refresh,
    VerifyEmail,
    ResetPassword,
}

impl Purpose {
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Refresh => "refresh",
            Purpose::VerifyEmail => "verify_email",
            Purpose::ResetPassword => "reset_password",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Purpose::Refresh => "jtr_",
            Purpose::VerifyEmail => "jtv_",
            Purpose::ResetPassword => "jtp_",
        }
    }
}

/// A token of 256 random bits, as its holder gets it.
pub fn token(purpose: Purpose, random: &[u8; 32]) -> String {
    format!("{}{}", purpose.prefix(), BASE64_URL_SAFE_NO_PAD.encode(random))
}

/// What we keep of a token. 256 random bits can't be guessed, so a plain SHA-256 is as good as a slow hash.
/// `None`: no token of that purpose looks like this.
pub fn token_hash(purpose: Purpose, token: &str) -> Option<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.trim().strip_prefix(purpose.prefix())?).ok()?;
    (bytes.len() == 32).then(|| hex(digest::digest(&digest::SHA256, &bytes).as_ref()))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        s.push(char::from_digit(u32::from(b >> 4), 16).unwrap_or('0'));
        s.push(char::from_digit(u32::from(b & 15), 16).unwrap_or('0'));
        s
    })
}

/// How many recovery codes an account gets.
pub const RECOVERY_CODES: usize = 10;
const CODE_LENGTH: usize = 16;
/// Crockford's base 32: no I, L, O, U. <https://www.crockford.com/base32.html>
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Sixteen characters of five random bits each, in groups that people can type: `7K3M-92QX-V0TB-HJ4C`.
pub fn recovery_code(random: &[u8; CODE_LENGTH]) -> String {
    let mut code = String::with_capacity(CODE_LENGTH + 3);
    for (i, byte) in random.iter().enumerate() {
        if i > 0 && i % 4 == 0 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[usize::from(byte & 31)]));
    }
    code
}

/// A recovery code as typed, in the form that is hashed: case, dashes, blanks and look-alikes don't matter.
pub fn normal_recovery_code(typed: &str) -> String {
    let upper = typed.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase());
    upper
        .map(|c| {
            if matches!(c, 'I' | 'L') {
                '1'
            } else if c == 'O' {
                '0'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_known_by_its_hash_alone(random: [u8; 32]) {
            let t = token(Purpose::Refresh, &random);
            let hash = token_hash(Purpose::Refresh, &t).unwrap();
            prop_assert_eq!(hash.len(), 64);
            prop_assert!(!t.contains(&hash));
            prop_assert_eq!(token_hash(Purpose::ResetPassword, &t), None);
        }

        #[test]
        fn garbage_is_no_token(s in ".{0,80}") {
            prop_assume!(!s.trim().starts_with("jtv_"));
            prop_assert_eq!(token_hash(Purpose::VerifyEmail, &s), None);
        }

        #[test]
        fn recovery_codes_survive_typing(random: [u8; 16]) {
            let code = recovery_code(&random);
            let typed = code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
            prop_assert_eq!(normal_recovery_code(&typed), normal_recovery_code(&code));
            prop_assert_eq!(normal_recovery_code(&code).len(), 16);
        }
    }

    #[test]
    fn short_tokens_are_refused() {
        assert_eq!(token_hash(Purpose::VerifyEmail, "jtv_AAAA"), None);
        assert_eq!(token_hash(Purpose::VerifyEmail, ""), None);
    }
}
