//! Handover codes: six digits that one party shows and the other enters. Kept as a keyed tag that is bound to the
//! shipment and to who issued it; a million codes would be guessed in no time from a plain hash.

use jangteo_core::{Error, Result};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};

const CODES: u64 = 1_000_000;

/// Makes and checks codes. Every replica of the service shares the key.
#[derive(Clone)]
pub struct Codes(hmac::Key);

impl Codes {
    pub fn new(secret: &[u8]) -> Codes {
        Codes(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Six digits, leading zeros included.
    pub fn fresh() -> Result<String> {
        let mut bytes = [0; 8];
        SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("the system has no randomness"))?;
        Ok(format!("{:06}", u64::from_be_bytes(bytes) % CODES))
    }

    pub fn tag(&self, shipment_id: &str, issuer_id: &str, code: &str) -> Vec<u8> {
        hmac::sign(&self.0, &bound(shipment_id, issuer_id, code)).as_ref().to_vec()
    }

    /// In constant time.
    pub fn matches(&self, shipment_id: &str, issuer_id: &str, code: &str, tag: &[u8]) -> bool {
        hmac::verify(&self.0, &bound(shipment_id, issuer_id, code), tag).is_ok()
    }
}

fn bound(shipment_id: &str, issuer_id: &str, code: &str) -> Vec<u8> {
    format!("handover\u{1f}{shipment_id}\u{1f}{issuer_id}\u{1f}{code}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_of_one_shipment_and_one_issuer() {
        let codes = Codes::new(b"secret");
        let tag = codes.tag("shp_1", "usr_1", "012345");
        assert!(codes.matches("shp_1", "usr_1", "012345", &tag));
        for (shipment, issuer, code) in [
            ("shp_2", "usr_1", "012345"),
            ("shp_1", "usr_2", "012345"),
            ("shp_1", "usr_1", "012346"),
            ("shp_1", "usr_1", "12345"),
        ] {
            assert!(!codes.matches(shipment, issuer, code, &tag), "{shipment} {issuer} {code}");
        }
        assert!(!Codes::new(b"other").matches("shp_1", "usr_1", "012345", &tag));
    }

    #[test]
    fn codes_are_six_digits() {
        for _ in 0..100 {
            let code = Codes::fresh().unwrap();
            assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()), "{code}");
        }
    }
}
