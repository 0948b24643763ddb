//! Accounts and the proofs of who somebody is: passwords, sessions, tokens, second factors, roles.
//!
//! Owns accounts (address and name sealed, found by a keyed hash), sessions and their refresh tokens, the keys that
//! sign access tokens, and the mails to people. Calls: order (`CountOpenParts`) and payment (`GetWalletOf`), before it erases
//! an account. Emits the events of the aggregate `user`: `UserRegistered`, `EmailVerified`, `SessionOpened`,
//! `SessionRevoked`, `PasswordChanged`, `RolesChanged`, `Totp…`, `AccountErased`.
//!
//! **No enumeration.** Whoever asks about an address learns nothing from the answer: registering a taken one answers
//! as for a new one and mails its owner instead; a login works as long for an unknown address as for a wrong password;
//! asking for a new password only queues a mail, and whether anybody is behind the address turns out when it is sent.
//! What remains is inherent in accounts that can log in before their address is proven: who registers an address and
//! then logs in with the password just chosen sees whether it was free. That costs an account and a mail to the owner.
//!
//! **An unproven address belongs to nobody.** A reset by mail takes such an account back whole: password, sessions and
//! second factor of whoever registered it go. The administrator named in the configuration gets the role only with the
//! proof, outside the embedded mode.
//!
//! Mails leave as `libs/mail` says; a market with other people in it needs `auth.mail.smtp`.

mod api;
mod domain;
mod events;
mod migrations;
mod store;

pub use domain::{mail::Kind as MailKind, totp::code as totp_code};

use api::{hasher::Hasher, keys::Keys};
use chrono::TimeDelta;
use domain::{
    keys::Rotation,
    password::{Cost, MIN_COST},
    person,
};
use jangteo_core::{Error, PageTokens, Result};
use kit::{
    Boot, Mount, Service,
    cache::Cache,
    db::{
        Db, Migrations,
        crypt::{Keyring, Sealer},
    },
};
use mail::{MailConfig, Mailer};
use proto::jangteo::{auth::v1::auth_service, order::v1::order_service, payment::v1::payment_service};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seconds that an access token lives.
    pub access_ttl: u32,
    /// Seconds that a session lives, refreshed or not.
    pub refresh_ttl: u32,
    /// Seconds that the link in a verification mail is good.
    pub verify_ttl: u32,
    /// Seconds that the link in a password mail is good.
    pub reset_ttl: u32,
    /// Open sessions of one person; the oldest one goes when there are more.
    pub max_sessions: u32,
    /// Who becomes the first administrator.
    pub admin_email: Option<String>,
    /// Whether that person must prove the address first. Default: not when embedded.
    pub admin_must_verify: Option<bool>,
    /// Where the links in mails lead.
    pub site: String,
    pub mail: MailConfig,
    pub argon2: Argon2Config,
    pub keys: KeyConfig,
    pub limits: Limits,
}

#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Argon2Config {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
    /// How many passwords are hashed at once. Default: one for each core.
    pub parallel: Option<usize>,
    /// How many wait for that; more are answered UNAVAILABLE.
    pub queue: usize,
}

#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyConfig {
    /// Seconds that a key signs.
    pub lifetime: u32,
    /// Seconds that a key is published before it signs.
    pub ahead: u32,
}

/// Failed attempts that are tolerated; successful ones don't count.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// On one account from one network, in fifteen minutes.
    pub pair: i64,
    /// From one network, on whatever accounts, in fifteen minutes.
    pub network: i64,
    /// On one account from networks it was never used from, in an hour. Its owner's own networks don't count,
    /// so that nobody can lock the owner out.
    pub strangers: i64,
    /// Mails of one kind to one address, in an hour.
    pub mails: i64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            access_ttl: 3600,
            refresh_ttl: 7 * 86_400,
            verify_ttl: 86_400,
            reset_ttl: 1800,
            max_sessions: 50,
            admin_email: None,
            admin_must_verify: None,
            site: "http://127.0.0.1:8080".to_owned(),
            mail: MailConfig::default(),
            argon2: Argon2Config::default(),
            keys: KeyConfig::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Argon2Config {
    fn default() -> Self {
        let Cost { memory_kib, passes, lanes } = MIN_COST;
        Argon2Config { memory_kib, passes, lanes, parallel: None, queue: 256 }
    }
}

impl Default for KeyConfig {
    fn default() -> Self {
        KeyConfig { lifetime: 30 * 86_400, ahead: 2 * 3600 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { pair: 10, network: 200, strangers: 50, mails: 5 }
    }
}

/// How much longer than its tokens a retired key is published, and a revocation kept: clocks differ.
const LEEWAY: TimeDelta = TimeDelta::minutes(5);

impl Config {
    fn cost(&self) -> Result<Cost> {
        let a = &self.argon2;
        let weak = a.memory_kib < MIN_COST.memory_kib || a.passes < MIN_COST.passes || a.lanes < MIN_COST.lanes;
        if weak {
            let text = "must be at least 19456 KiB, 2 passes and 1 lane";
            return Err(Error::invalid("auth.argon2", "INVALID_CONFIGURATION", text));
        }
        Ok(Cost { memory_kib: a.memory_kib, passes: a.passes, lanes: a.lanes })
    }

    fn access_ttl(&self) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.access_ttl))
    }

    fn rotation(&self) -> Rotation {
        Rotation {
            lifetime: TimeDelta::seconds(i64::from(self.keys.lifetime)),
            ahead: TimeDelta::seconds(i64::from(self.keys.ahead)),
            linger: self.access_ttl() + LEEWAY,
        }
    }
}

/// The services that know whether somebody can go.
#[derive(Clone)]
pub struct Peers {
    pub order: order_service::Client,
    pub payment: payment_service::Client,
}

/// What the service is built from.
pub struct Parts {
    pub db: Db,
    pub cache: Cache,
    pub keyring: Keyring,
    pub page_tokens: PageTokens,
    pub mailer: Arc<dyn Mailer>,
    pub peers: Peers,
    /// Everything in one process on one machine, as a developer runs it.
    pub embedded: bool,
}

pub struct Auth {
    db: Db,
    cache: Cache,
    sealer: Sealer,
    page_tokens: PageTokens,
    mailer: Arc<dyn Mailer>,
    peers: Peers,
    hasher: Hasher,
    keys: Keys,
    /// The look-up hash of the first administrator's address, and whether that must be proven.
    admin: Option<(String, bool)>,
    cfg: Config,
}

impl Auth {
    pub async fn new(parts: Parts, cfg: Config) -> Result<Self> {
        let sealer = Sealer::new(parts.keyring);
        let must_verify = cfg.admin_must_verify.unwrap_or(!parts.embedded);
        let admin = cfg.admin_email.as_deref().map(|email| (Self::hash_email(&sealer, email), must_verify));
        Ok(Auth {
            db: parts.db,
            cache: parts.cache,
            page_tokens: parts.page_tokens,
            mailer: parts.mailer,
            peers: parts.peers,
            hasher: Hasher::new(cfg.cost()?, &cfg.argon2).await?,
            keys: Keys::default(),
            admin,
            sealer,
            cfg,
        })
    }

    fn hash_email(sealer: &Sealer, email: &str) -> String {
        sealer.keyring().lookup_hash("account", "email", &person::email(email))
    }
}

impl Service for Auth {
    const NAME: &'static str = "auth";
    const MIGRATIONS: Migrations = migrations::MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        let parts = Parts {
            db: cx.db(),
            cache: cx.cache(),
            keyring: cx.keyring(),
            page_tokens: cx.page_tokens(),
            mailer: mail::choose("auth.mail", &cx.config().mail, cx.data_dir())?,
            peers: Peers { order: cx.peer()?, payment: cx.peer()? },
            embedded: cx.embedded(),
        };
        Self::new(parts, cx.config().clone()).await
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc(auth_service::routes)
            .every("send-mail", Duration::from_secs(1), Self::send_mail)
            .every("rotate-keys", Duration::from_secs(60), Self::rotate_keys)
            .every("sweep", Duration::from_secs(3600), Self::sweep);
    }
}
