//! Everything secret is derived from one master secret (HKDF-SHA256, RFC 5869), each purpose its own.

use crate::Config;
use base64::{Engine, prelude::BASE64_STANDARD};
use db::crypt::Keyring;
use jangteo_core::{Error, Result};
use ring::{
    hkdf,
    rand::{SecureRandom, SystemRandom},
};
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

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

    /// A secret that ends with the process.
    pub fn ephemeral() -> Result<Secrets> {
        Ok(Secrets(hkdf::Salt::new(hkdf::HKDF_SHA256, b"jangteo").extract(&random()?)))
    }

    /// Master keys for personal data: key `1`, derived from the secret, and those of the configuration.
    /// What was sealed before a rotation stays readable, since key `1` never goes.
    pub fn keyring(&self, config: &Config) -> Result<Keyring> {
        let mut keys = config.keys.clone().unwrap_or_default();
        let derived = |purpose| BASE64_STANDARD.encode(self.derive(purpose));
        keys.keys.entry("1".to_owned()).or_insert_with(|| derived("keyring.1"));
        if keys.lookup.is_empty() {
            keys.lookup = derived("keyring.lookup");
        }
        if keys.current.is_empty() {
            keys.current = "1".to_owned();
        }
        Keyring::new(&keys)
    }
}

/// The embedded market's secret: made once, readable by its owner alone. It is on the disk before
/// anything is sealed with it, and whole: it gets its name only when it is written.
fn kept(path: &Path) -> Result<String> {
    let unusable = |e: io::Error| Error::invalid("data", "UNUSABLE", format!("{}: {e}", path.display()));
    match fs::read_to_string(path) {
        Ok(text) => return Ok(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(unusable(e)),
    }
    let text = hex(&random()?);
    let folder = path.parent().unwrap_or(Path::new("."));
    let draft = folder.join(format!("secret.{}", &hex(&random()?)[..12]));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        fs::File::open(folder)?.sync_all()?;
        linked
    };
    match write() {
        Ok(()) => Ok(text),
        // Another process was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(path).map_err(unusable),
        Err(e) => Err(unusable(e)),
    }
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("the system has no randomness"))?;
    Ok(bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Of 32 bytes.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| (0..32).filter_map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_embedded_secret_is_made_once_for_all_who_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let made: Vec<String> = std::thread::scope(|s| {
            let starters: Vec<_> = (0..8).map(|_| s.spawn(|| kept(&path).unwrap())).collect();
            starters.into_iter().map(|s| s.join().unwrap()).collect()
        });
        assert!(unhex(&made[0]).is_some());
        assert!(made.iter().all(|m| *m == made[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_rotated_keyring_still_finds_what_was_hashed_before() {
        let mut config = Config::embedded("/nowhere");
        config.secret = Some("ab".repeat(32));
        let secrets = Secrets::load(&config).unwrap();
        let before = secrets.keyring(&config).unwrap();
        config.keys = Some(db::crypt::KeyringConfig {
            current: "2".into(),
            keys: BTreeMap::from([("2".into(), BASE64_STANDARD.encode([7; 32]))]),
            lookup: String::new(),
        });
        let after = secrets.keyring(&config).unwrap();
        let hash = |k: &Keyring| k.lookup_hash("account", "email", "a@b.kr");
        assert_eq!(hash(&before), hash(&after));
    }
}
