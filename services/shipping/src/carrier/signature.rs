//! Signatures on webhooks: `t=<seconds>,v1=<hex>`, an HMAC-SHA256 over `<t>.<body>`. The time is part of what is signed,
//! so that a report that somebody caught can't be sent again much later.

use jangteo_core::Time;
use ring::hmac;

/// How far the time may be from ours, in seconds.
const TOLERANCE: i64 = 300;

pub struct Signer(hmac::Key);

impl Signer {
    pub fn new(secret: &[u8]) -> Signer {
        Signer(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    pub fn sign(&self, now: Time, body: &[u8]) -> String {
        let t = now.timestamp();
        let tag = hmac::sign(&self.0, &signed(t, body));
        let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        format!("t={t},v1={hex}")
    }

    /// In constant time where it matters.
    pub fn verify(&self, now: Time, header: &str, body: &[u8]) -> bool {
        let part = |name: &str| header.split(',').find_map(|p| p.trim().strip_prefix(name)?.strip_prefix('='));
        let (Some(t), Some(tag)) = (part("t").and_then(|t| t.parse::<i64>().ok()), part("v1").and_then(bytes)) else {
            return false;
        };
        now.timestamp().abs_diff(t) <= TOLERANCE.unsigned_abs() && hmac::verify(&self.0, &signed(t, body), &tag).is_ok()
    }
}

fn signed(t: i64, body: &[u8]) -> Vec<u8> {
    [t.to_string().as_bytes(), b".", body].concat()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.len().is_multiple_of(2) && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let pairs = hex.as_bytes().chunks(2).filter(|_| digits);
    let bytes: Vec<u8> = pairs.filter_map(|p| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok()).collect();
    (bytes.len() * 2 == hex.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;

    #[test]
    fn only_what_was_signed_lately_passes() {
        let signer = Signer::new(b"secret");
        let at = |secs: i64| from_micros(secs * 1_000_000);
        let header = signer.sign(at(1_000), b"body");
        assert!(signer.verify(at(1_000), &header, b"body"));
        assert!(signer.verify(at(1_300), &header, b"body"));
        assert!(!signer.verify(at(1_301), &header, b"body"), "too old");
        assert!(!signer.verify(at(699), &header, b"body"), "from the future");
        assert!(!signer.verify(at(1_000), &header, b"bodz"));
        assert!(!Signer::new(b"other").verify(at(1_000), &header, b"body"));
        let moved = header.replace("t=1000", "t=1001");
        assert!(!signer.verify(at(1_000), &moved, b"body"), "the time is signed");
    }

    #[test]
    fn nonsense_is_refused() {
        let signer = Signer::new(b"secret");
        for header in ["", "t=0", "v1=00", "t=x,v1=00", "t=0,v1=", "t=0,v1=0", "t=0,v1=zz", "t=0,v1=é0"] {
            assert!(!signer.verify(from_micros(0), header, b""), "{header}");
        }
    }
}
