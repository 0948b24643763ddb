//! The second factor: RFC 6238 codes over SHA-1, six digits, thirty seconds, one step of tolerance either way.
//! A code is accepted once: its step must be later than the last one that was accepted, and the store moves
//! that mark by compare-and-set.

use jangteo_core::{Error, Result, Time};
use totp_rs::{Builder, Secret, Totp};

const ISSUER: &str = "Jangteo";

/// How far an account is with its second factor; as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
pub enum State {
    Off = 0,
    /// A secret was handed out and not yet confirmed.
    Prepared = 1,
    On = 2,
}

impl State {
    pub fn from_row(n: i64) -> State {
        match n {
            1 => State::Prepared,
            2 => State::On,
            _ => State::Off,
        }
    }
}

/// What an authenticator app needs to know.
pub struct Enrolment {
    pub secret: String,
    pub otpauth_url: String,
}

/// `email` names the account in the app's list.
pub fn enrolment(secret: &[u8; 20], email: &str) -> Result<Enrolment> {
    let totp = Builder::new()
        .with_secret(Secret::new_stack(*secret))
        .with_issuer(Some(ISSUER))
        .with_account_name(email)
        .build()
        .map_err(broken)?;
    Ok(Enrolment { secret: totp.secret().to_base32(), otpauth_url: totp.to_url().map_err(broken)? })
}

/// The step whose code this is, or `None`. Whether the step is still unused, the store knows.
pub fn step(secret: &[u8], code: &str, now: Time) -> Result<Option<i64>> {
    let step = totp(secret)?.check(code, u64::try_from(now.timestamp()).unwrap_or(0));
    Ok(step.and_then(|s| i64::try_from(s).ok()))
}

/// The code of an authenticator at `now`.
pub fn code(secret: &[u8], now: Time) -> Result<String> {
    Ok(totp(secret)?.generate(u64::try_from(now.timestamp()).unwrap_or(0)).to_string())
}

fn totp(secret: &[u8]) -> Result<Totp> {
    Builder::new()
        .with_secret(Secret::new(secret.into()))
        .with_issuer(Some(ISSUER))
        .with_account_name("account")
        .build()
        .map_err(broken)
}

fn broken(e: totp_rs::TotpError) -> Error {
    Error::internal(e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use jangteo_core::from_micros;
    use proptest::prelude::*;

    /// RFC 6238, appendix B, the last six of its eight digits.
    #[test]
    fn published_codes() {
        for (seconds, expected) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            let now = from_micros(seconds * 1_000_000);
            assert_eq!(code(b"12345678901234567890", now).unwrap(), expected);
            assert_eq!(step(b"12345678901234567890", expected, now).unwrap(), Some(seconds / 30));
        }
    }

    #[test]
    fn an_app_can_read_the_link() {
        let e = enrolment(b"12345678901234567890", "min.ji@example.kr").unwrap();
        assert_eq!(e.secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(e.otpauth_url.starts_with("otpauth://totp/Jangteo:"), "{}", e.otpauth_url);
        assert!(e.otpauth_url.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"));
    }

    proptest! {
        #[test]
        fn a_code_lives_for_its_step_and_one_more_each_way(secret: [u8; 20], at in 100_000i64..4_000_000_000) {
            let now = from_micros(at * 1_000_000);
            let c = code(&secret, now).unwrap();
            prop_assert!(step(&secret, &c, now).unwrap().is_some());
            prop_assert!(step(&secret, &c, now + TimeDelta::seconds(30)).unwrap().is_some());
            prop_assert!(step(&secret, &c, now - TimeDelta::seconds(30)).unwrap().is_some());
            let late = step(&secret, &c, now + TimeDelta::seconds(120)).unwrap();
            // One in a few hundred thousand codes comes again by chance, then for another step.
            prop_assert!(late.is_none_or(|s| s > at / 30));
        }
    }
}
