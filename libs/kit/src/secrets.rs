//! Everything secret is derived from one master secret (HKDF-SHA256, RFC 5869), each purpose its own.

use crate::Config;
use db::crypt::Keyring;
use jangteo_core::{Error, Result};
use ring::{
    hkdf,
    rand::{SecureRandom, SystemRandom},
};
use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

#[derive(Clone)]
pub struct Secrets(hkdf::Prk);

struct Bytes32;
impl hkdf::KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

impl Secrets {
    pub fn load(config: &Config) -> Result<Secrets> {
        let text = match (&config.secret, config.is_embedded()) {
            (Some(text), _) => text.clone(),
            (None, true) => kept(&config.data.join("secret"))?,
            (None, false) => return Err(Error::invalid("secret", "REQUIRED", "is required outside the embedded mode")),
        };
        let bytes = unhex(text.trim())
            .ok_or_else(|| Error::invalid("secret", "INVALID_SECRET", "must be 64 hexadecimal digits"))?;
        Ok(Secrets(hkdf::Salt::new(hkdf::HKDF_SHA256, b"jangteo").extract(&bytes)))
    }

    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut out = [0; 32];
        let info = [purpose.as_bytes()];
        self.0.expand(&info, Bytes32).and_then(|okm| okm.fill(&mut out)).expect("32 bytes are within HKDF's limit");
        out
    }

    /// Master keys for personal data: the configured ones, else one derived from the secret.
    pub fn keyring(&self, config: &Config) -> Result<Keyring> {
        match &config.keys {
            Some(keys) => Keyring::new(keys),
            None => {
                Keyring::from_keys("1", [("1".to_owned(), self.derive("keyring.1"))], self.derive("keyring.lookup"))
            }
        }
    }
}

/// The embedded market's secret: made once, readable by its owner alone.
fn kept(path: &Path) -> Result<String> {
    if let Ok(text) = fs::read_to_string(path) {
        return Ok(text);
    }
    let mut bytes = [0u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("the system has no randomness"))?;
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let unwritable = |e: std::io::Error| Error::invalid("data", "UNWRITABLE", format!("{}: {e}", path.display()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unwritable)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(unwritable)?;
    Ok(text)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| (0..32).filter_map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()).collect())
}
