//! Access tokens, verified offline: EdDSA only, every claim required (RFC 9068, RFC 8725).
//!
//! Keys and revoked sessions are fed in from outside (`set_keys`, `revoke`): each process polls the
//! auth service, so that a revoked session is refused within a second, whatever else is down.

use arc_swap::ArcSwap;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jangteo_core::{Error, Result, Time, User};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::watch;

pub const ISSUER: &str = "jangteo";
pub const AUDIENCE: &str = "jangteo";
/// The `typ` of the header, RFC 9068.
pub const TOKEN_TYPE: &str = "at+jwt";

/// How far the clocks of two machines may differ.
const LEEWAY_SECONDS: i64 = 2;
/// How long a token with an unknown key waits for the next look at the key set.
const KEY_WAIT: Duration = Duration::from_secs(1);
const MAX_TOKEN: usize = 4096;

/// The claims of an access token; each one is required.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: String,
    /// The session that the token belongs to.
    pub sid: String,
    pub roles: Vec<String>,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: String,
}

pub struct Verifier {
    keys: ArcSwap<HashMap<String, Arc<DecodingKey>>>,
    validation: Validation,
    revoked: Mutex<Revoked>,
    /// Counts the key sets seen; a waiter knows that a look was taken after it asked.
    looks: watch::Sender<u64>,
    wanted: tokio::sync::Notify,
    /// Tokens whose signature was good under the present keys, so that a token is not verified anew by
    /// the edge and by each service of the process. Times and revocations are looked at every time.
    seen: Mutex<HashMap<Box<str>, Arc<Claims>>>,
}

/// More tokens than this in use at once begin a new memory.
const SEEN: usize = 8192;

#[derive(Default)]
struct Revoked {
    /// Session id to the time at which its last token is dead anyway.
    sessions: HashMap<String, Time>,
    /// So many sessions are worth a look for those that can go.
    prune_at: usize,
}

impl Default for Verifier {
    fn default() -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // Times are compared with our own clock below, so that a test can hold it still.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Verifier {
            keys: ArcSwap::default(),
            validation,
            revoked: Mutex::default(),
            looks: watch::Sender::new(0),
            wanted: tokio::sync::Notify::new(),
            seen: Mutex::default(),
        }
    }
}

impl Verifier {
    /// Replaces the key set by `(kid, x)` pairs: `x` is an Ed25519 public key in base64url, as in a JWK.
    pub fn set_keys<'a>(&self, keys: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let keys = keys.into_iter().filter_map(|(kid, x)| match BASE64_URL_SAFE_NO_PAD.decode(x) {
            // The library reads the first 32 bytes without looking how many there are.
            Ok(key) if key.len() == 32 => Some((kid.to_owned(), Arc::new(DecodingKey::from_ed_der(&key)))),
            _ => {
                tracing::error!(kid, "a signing key is unreadable");
                None
            }
        });
        self.keys.store(Arc::new(keys.collect()));
        self.seen.lock().expect("no holder panics").clear();
        self.looks.send_modify(|n| *n += 1);
    }

    /// Whether any key was ever seen; without one no token can be verified.
    pub fn has_keys(&self) -> bool {
        !self.keys.load().is_empty()
    }

    /// Refuses a session from now on; its access tokens are dead after `until` anyway.
    pub fn revoke(&self, session_id: &str, until: Time, now: Time) {
        let mut revoked = self.revoked.lock().expect("no holder panics");
        if revoked.sessions.len() >= revoked.prune_at {
            revoked.sessions.retain(|_, until| *until > now);
            revoked.prune_at = 1024.max(2 * revoked.sessions.len());
        }
        let known = revoked.sessions.entry(session_id.to_owned()).or_insert(until);
        *known = until.max(*known);
    }

    /// Resolves when a token came whose key is unknown: whoever feeds the keys should look again.
    pub async fn keys_wanted(&self) {
        self.wanted.notified().await;
    }

    /// The person whom a token names. Every refusal is UNAUTHENTICATED with one of the reasons
    /// TOKEN_INVALID, TOKEN_EXPIRED, SESSION_REVOKED.
    pub async fn verify(&self, token: &str, now: Time) -> Result<User> {
        let claims = self.signed(token).await?;
        let latest = now.timestamp().saturating_add(LEEWAY_SECONDS);
        if claims.sub.is_empty() || claims.sid.is_empty() || claims.nbf > latest || claims.iat > latest {
            return Err(invalid());
        }
        if claims.exp <= now.timestamp() {
            return Err(Error::unauthenticated("TOKEN_EXPIRED", "the access token has expired; refresh it"));
        }
        if self.revoked.lock().expect("no holder panics").sessions.contains_key(&claims.sid) {
            return Err(Error::unauthenticated("SESSION_REVOKED", "the session was signed out; sign in again"));
        }
        Ok(User {
            user_id: claims.sub.as_str().into(),
            session_id: claims.sid.as_str().into(),
            roles: claims.roles.as_slice().into(),
            expires: Time::from_timestamp(claims.exp, 0).unwrap_or_default(),
        })
    }

    /// The claims of a token that one of our keys signed.
    async fn signed(&self, token: &str) -> Result<Arc<Claims>> {
        if token.len() > MAX_TOKEN {
            return Err(invalid());
        }
        if let Some(claims) = self.seen.lock().expect("no holder panics").get(token) {
            return Ok(claims.clone());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        let is_access = header.typ.as_deref().is_some_and(|t| t.eq_ignore_ascii_case(TOKEN_TYPE));
        // No extension that might be critical is understood here.
        if header.alg != Algorithm::EdDSA || !is_access || header.crit.is_some() {
            return Err(invalid());
        }
        // `jku`, `jwk` and `x5u` are never looked at: keys come from the auth service alone.
        let kid = header.kid.ok_or_else(invalid)?;
        let key = self.key(&kid).await?;
        let data = jsonwebtoken::decode::<Claims>(token, &key, &self.validation).map_err(|_| invalid())?;
        let claims = Arc::new(data.claims);
        let mut seen = self.seen.lock().expect("no holder panics");
        // The keys may have changed while the signature was looked at.
        if self.keys.load().get(&kid).is_some_and(|now| Arc::ptr_eq(now, &key)) {
            if seen.len() >= SEEN {
                seen.clear();
            }
            seen.insert(token.into(), claims.clone());
        }
        Ok(claims)
    }

    async fn key(&self, kid: &str) -> Result<Arc<DecodingKey>> {
        if let Some(key) = self.keys.load().get(kid) {
            return Ok(key.clone());
        }
        let mut looks = self.looks.subscribe();
        // It may have come between the look and the subscription.
        if let Some(key) = self.keys.load().get(kid) {
            return Ok(key.clone());
        }
        self.wanted.notify_one();
        let looked = tokio::time::timeout(KEY_WAIT, looks.changed()).await.is_ok();
        match self.keys.load().get(kid) {
            Some(key) => Ok(key.clone()),
            None if !looked && self.keys.load().is_empty() => Err(Error::unavailable("the auth service")),
            None => Err(invalid()),
        }
    }
}

fn invalid() -> Error {
    Error::unauthenticated("TOKEN_INVALID", "the access token is not valid")
}

#[cfg(test)]
mod tests;
