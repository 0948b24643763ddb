//! Personal data at rest. Each person has a data key, kept wrapped by a master key; a value is sealed with the
//! person's key and bound to its place (table, column, person), so a sealed value copied elsewhere doesn't open.
//! Destroying the data key erases the person, wherever copies of the sealed values may be.
//!
//! AES-256-GCM with random nonces; a sealed value is `1 | nonce (12) | ciphertext and tag`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use jangteo_core::{Code, Error, Result, micros};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};
use serde::{Deserialize, Serialize};

use crate::{DbResult, Tx, connect::misconfigured, sql};

const FORMAT: u8 = 1;

/// The reason of a refusal to seal anything for a person who was erased.
pub const ERASED: &str = "PERSON_ERASED";

/// Master keys. To rotate, add a key, make it `current`, run [`Sealer::rewrap`] until it finds nothing, drop the old one.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyringConfig {
    /// The id of the key that wraps new data keys.
    pub current: String,
    /// Id to key: 32 bytes in base64.
    pub keys: BTreeMap<String, String>,
    /// Key of the look-up hashes: 32 bytes in base64. It can't be rotated without hashing again.
    pub lookup: String,
}

impl std::fmt::Debug for KeyringConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyringConfig")
            .field("current", &self.current)
            .field("keys", &self.keys.keys())
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
pub struct Keyring(Arc<Keys>);

struct Keys {
    current: String,
    masters: HashMap<String, LessSafeKey>,
    lookup: hmac::Key,
}

impl Keyring {
    pub fn new(cfg: &KeyringConfig) -> Result<Keyring> {
        let decode = |name: &str, text: &str| -> Result<[u8; 32]> {
            let bytes = BASE64_STANDARD.decode(text).ok().and_then(|b| b.try_into().ok());
            bytes.ok_or_else(|| misconfigured(format!("the key {name} must be 32 bytes in base64")))
        };
        let keys = cfg.keys.iter().map(|(id, key)| Ok((id.clone(), decode(id, key)?))).collect::<Result<Vec<_>>>()?;
        Self::from_keys(&cfg.current, keys, decode("lookup", &cfg.lookup)?)
    }

    pub fn from_keys(
        current: &str,
        keys: impl IntoIterator<Item = (String, [u8; 32])>,
        lookup: [u8; 32],
    ) -> Result<Keyring> {
        let masters: HashMap<_, _> = keys.into_iter().map(|(id, key)| (id, aes(&key))).collect();
        if !masters.contains_key(current) {
            return Err(misconfigured(format!("the current master key {current:?} is not among the keys")));
        }
        let lookup = hmac::Key::new(hmac::HMAC_SHA256, &lookup);
        Ok(Keyring(Arc::new(Keys { current: current.to_owned(), masters, lookup })))
    }

    /// Finds a sealed value without opening any: keyed, so that a stolen table can't be searched by guessing.
    /// `value` must be in one form (trimmed, lower case) already.
    pub fn lookup_hash(&self, table: &str, column: &str, value: &str) -> String {
        let tag = hmac::sign(&self.0.lookup, &bound(&[table, column, value]));
        tag.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    fn wrap(&self, person: &str, data_key: &[u8]) -> Result<(String, Vec<u8>)> {
        let id = &self.0.current;
        Ok((id.clone(), seal(&self.0.masters[id], &bound(&["person_key", id, person]), data_key)?))
    }

    fn unwrap(&self, person: &str, key_id: &str, wrapped: &[u8]) -> Result<Vec<u8>> {
        let master = self
            .0
            .masters
            .get(key_id)
            .ok_or_else(|| Error::internal(format!("master key {key_id} is not configured")))?;
        open(master, &bound(&["person_key", key_id, person]), wrapped)
    }
}

/// Seals and opens for people, whose keys live in the service's `person_key` table.
#[derive(Clone)]
pub struct Sealer(Keyring);

/// A person's data key, for as long as one call needs it. Not kept anywhere: an erased person must not stay
/// readable in some process.
pub struct PersonKey {
    person: String,
    key: LessSafeKey,
}

impl Sealer {
    pub fn new(keyring: Keyring) -> Sealer {
        Sealer(keyring)
    }

    pub fn keyring(&self) -> &Keyring {
        &self.0
    }

    /// The person's key, made the first time. An erased person gets no new one: FAILED_PRECONDITION `PERSON_ERASED`.
    pub async fn person(&self, tx: &Tx, person: &str) -> Result<PersonKey> {
        let select = "SELECT person, key_id, wrapped FROM person_key WHERE person = $1";
        let stmt = sql::statement(tx.get_database_backend(), select, [person.into()]);
        if let Some(row) = tx.query_one_raw(stmt).await.db()? {
            return self.read(&row)?.ok_or_else(|| {
                Error::new(Code::FailedPrecondition, ERASED, "this person's data was erased").with("person", person)
            });
        }
        let data_key: [u8; 32] = random()?;
        let (key_id, wrapped) = self.0.wrap(person, &data_key)?;
        let insert = "INSERT INTO person_key (person, key_id, wrapped) VALUES ($1, $2, $3)";
        let values = [person.into(), key_id.into(), wrapped.into()];
        tx.execute_raw(sql::statement(tx.get_database_backend(), insert, values)).await.map_err(|e| {
            if crate::is_unique_violation(&e) {
                tx.retry(crate::write::Retry::Contention);
            }
            crate::fail(e)
        })?;
        Ok(PersonKey { person: person.to_owned(), key: aes(&data_key) })
    }

    /// `None`: erased, or nothing was ever sealed for this person.
    pub async fn find<C: ConnectionTrait>(&self, conn: &C, person: &str) -> Result<Option<PersonKey>> {
        Ok(self.find_many(conn, &[person.to_owned()]).await?.remove(person))
    }

    pub async fn find_many<C: ConnectionTrait>(
        &self,
        conn: &C,
        people: &[String],
    ) -> Result<HashMap<String, PersonKey>> {
        let mut found = HashMap::with_capacity(people.len());
        for people in people.chunks(500) {
            let marks = (1..=people.len()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
            let select = format!("SELECT person, key_id, wrapped FROM person_key WHERE person IN ({marks})");
            let values = people.iter().map(|p| Value::from(p.as_str()));
            let stmt = Statement::from_sql_and_values(conn.get_database_backend(), select, values);
            for row in conn.query_all_raw(stmt).await.db()? {
                if let Some(key) = self.read(&row)? {
                    found.insert(key.person.clone(), key);
                }
            }
        }
        Ok(found)
    }

    /// Destroys the person's data key; what was sealed with it is noise from now on. The row stays, also for somebody who
    /// had no key here, so that nothing that comes late makes a new one. `false`: it was done before.
    pub async fn erase(&self, tx: &Tx, person: &str) -> Result<bool> {
        let upsert = "INSERT INTO person_key (person, key_id, wrapped, erased_at) VALUES ($1, '', NULL, $2) \
             ON CONFLICT (person) DO UPDATE SET wrapped = NULL, erased_at = excluded.erased_at WHERE person_key.wrapped IS NOT NULL";
        let values = [person.into(), micros(tx.now()).into()];
        Ok(tx.execute_raw(sql::statement(tx.get_database_backend(), upsert, values)).await.db()?.rows_affected() == 1)
    }

    /// Wraps up to `limit` data keys, which older master keys wrap, with the current one. 0: all are.
    pub async fn rewrap(&self, tx: &Tx, limit: u64) -> Result<u64> {
        let select = "SELECT person, key_id, wrapped FROM person_key WHERE key_id <> $1 AND wrapped IS NOT NULL ORDER BY person LIMIT $2";
        let values = [self.0.0.current.as_str().into(), (limit as i64).into()];
        let rows = tx.query_all_raw(sql::statement(tx.get_database_backend(), select, values)).await.db()?;
        for row in &rows {
            let (person, old, wrapped) = key_row(row)?;
            let data_key = self.0.unwrap(&person, &old, &wrapped.unwrap_or_default())?;
            let (key_id, wrapped) = self.0.wrap(&person, &data_key)?;
            let update = "UPDATE person_key SET key_id = $1, wrapped = $2 WHERE person = $3";
            let values = [key_id.into(), wrapped.into(), person.into()];
            tx.execute_raw(sql::statement(tx.get_database_backend(), update, values)).await.db()?;
        }
        Ok(rows.len() as u64)
    }

    fn read(&self, row: &QueryResult) -> Result<Option<PersonKey>> {
        let (person, key_id, wrapped) = key_row(row)?;
        let Some(wrapped) = wrapped else { return Ok(None) };
        let data_key = self.0.unwrap(&person, &key_id, &wrapped)?;
        let data_key = data_key.try_into().map_err(|_| Error::internal("a data key has the wrong length"))?;
        Ok(Some(PersonKey { person, key: aes(&data_key) }))
    }
}

impl PersonKey {
    pub fn seal(&self, table: &str, column: &str, plain: &[u8]) -> Result<Vec<u8>> {
        seal(&self.key, &bound(&[table, column, &self.person]), plain)
    }

    /// What was sealed for the same table, column and person; anything else is INTERNAL.
    pub fn open(&self, table: &str, column: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        open(&self.key, &bound(&[table, column, &self.person]), sealed)
    }

    pub fn open_text(&self, table: &str, column: &str, sealed: &[u8]) -> Result<String> {
        String::from_utf8(self.open(table, column, sealed)?).map_err(Error::internal)
    }
}

fn key_row(row: &QueryResult) -> Result<(String, String, Option<Vec<u8>>)> {
    Ok((sql::column(row, "person")?, sql::column(row, "key_id")?, sql::column(row, "wrapped")?))
}

/// Length before content: no two lists of parts give the same bytes.
fn bound(parts: &[&str]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|p| p.len() + 8).sum());
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

fn aes(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has the cipher's length"))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("the system has no randomness"))?;
    Ok(bytes)
}

fn seal(key: &LessSafeKey, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut out = Vec::with_capacity(1 + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    out.push(FORMAT);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut out[1 + NONCE_LEN..])
        .map_err(|_| Error::internal("the value is too long to seal"))?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

fn open(key: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    let broken = || Error::internal("a sealed value does not open with its key, at its place");
    let Some((&[FORMAT], rest)) = sealed.split_first_chunk::<1>() else { return Err(broken()) };
    let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(broken)?;
    let mut buffer = rest.to_vec();
    let plain = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut buffer)
        .map_err(|_| broken())?
        .len();
    buffer.truncate(plain);
    Ok(buffer)
}
