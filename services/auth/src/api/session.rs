//! Sessions: opened by a login, carried on by refresh tokens, listed, ended, and made known as ended.

use crate::{
    Auth, LEEWAY,
    api::factor::Factor,
    domain::{
        self, Fault,
        secret::{self, Purpose},
    },
    store::{self, account::Account, session::Device},
};
use chrono::TimeDelta;
use jangteo_core::{Call, Error, Id, Result, Time, from_micros, micros};
use kit::db::Tx;
use proto::jangteo::auth::v1::{self as pb, RevocationCause};
use zeroize::Zeroizing;

/// A revocation carries the time of its call and is seen after its commit, so a reader looks back as far as a commit may
/// lag behind, clocks' differences included.
const OVERLAP: TimeDelta = TimeDelta::seconds(30);
const REVOCATIONS: u64 = 5000;
/// The longest user agent that is kept.
const USER_AGENT: usize = 256;

/// What a refresh came to.
#[derive(Clone, PartialEq, prost::Message)]
struct Refreshed {
    /// Absent: the token was used before, and the session has ended.
    #[prost(message, optional, tag = "1")]
    set: Option<pb::TokenSet>,
}

impl Auth {
    pub(super) async fn open_session(&self, cx: &Call, req: pb::LoginRequest) -> Result<pb::TokenSet> {
        let password = Zeroizing::new(req.password);
        let email_hash = self.email_hash(&req.email);
        let network = self.network_hash(cx, &email_hash);
        // Every step up to the verdict is the same for an address without an account.
        let conn = self.db.primary();
        let account = store::account::by_email(conn, &email_hash).await?;
        let known = store::session::is_known_network(conn, &network).await?;
        let attempt = self.attempt(cx, "login", &email_hash, known).await?;
        let stored = account.as_ref().map(Account::password_hash);
        let right = self.hasher.verify(password.clone(), stored).await?;
        let Some(account) = account.filter(|_| right) else { return Err(Fault::InvalidCredentials.into()) };
        attempt.succeeded().await;

        let (factor, attempt) = self.login_factor(cx, &account, known, &req.totp_code, &req.recovery_code).await?;
        let rehashed = match self.hasher.is_outdated(account.password_hash()) {
            true => Some(self.hasher.hash(password).await?),
            false => None,
        };
        let login =
            Login { account: &account, factor: &factor, rehashed: rehashed.as_deref(), network: &network, known };
        let set = self.start_session(cx, &login).await?;
        if let Some(attempt) = attempt {
            attempt.succeeded().await;
        }
        Ok(set)
    }

    async fn start_session(&self, cx: &Call, login: &Login<'_>) -> Result<pb::TokenSet> {
        let (token, token_hash) = super::fresh_token(Purpose::Refresh)?;
        let session_id = Id::<domain::Session>::new().to_string();
        let expire = cx.now + TimeDelta::seconds(i64::from(self.cfg.refresh_ttl));
        let (session_id, token_hash, user_id) = (&session_id, &token_hash, login.account.user_id());
        let set = self
            .db
            .write(cx, async |tx| {
                let account = store::account::get(&tx, user_id).await?;
                // A password that was replaced while it was being verified opens nothing.
                if account.password_hash() != login.account.password_hash() {
                    return Err(Fault::InvalidCredentials.into());
                }
                self.spend(&tx, user_id, login.factor).await?;
                if let Some(new) = login.rehashed {
                    store::account::rehash(&tx, user_id, account.password_hash(), new).await?;
                }
                let key = self.sealer.person(&tx, user_id).await?;
                store::session::open(&tx, &key, session_id, user_id, &device(tx.call()), expire).await?;
                store::session::add_refresh_token(&tx, token_hash, session_id).await?;
                store::session::know_network(&tx, login.network, user_id).await?;
                self.make_room(&tx, user_id).await?;
                tx.emit(&login.event(session_id, tx.now())).await?;
                kit::crash_point!("auth.login.before_commit");
                Ok(self.token_set(&account, session_id))
            })
            .await?;
        self.with_tokens(cx, set, token, expire).await
    }

    /// Ends the oldest sessions of somebody who has more than are kept.
    async fn make_room(&self, tx: &Tx, user_id: &str) -> Result<()> {
        let open = store::session::ids(tx, user_id, tx.now()).await?;
        let surplus = open.len().saturating_sub(self.cfg.max_sessions as usize);
        for session_id in &open[..surplus] {
            end_session(tx, user_id, session_id, RevocationCause::TooMany).await?;
        }
        Ok(())
    }

    fn token_set(&self, account: &Account, session_id: &str) -> pb::TokenSet {
        pb::TokenSet {
            token_type: "Bearer".to_owned(),
            user_id: account.user_id().to_owned(),
            session_id: session_id.to_owned(),
            roles: domain::person::role_numbers(&account.roles()),
            email_verified: account.is_verified(),
            ..Default::default()
        }
    }

    /// No access token outlives its session.
    async fn with_tokens(&self, cx: &Call, set: pb::TokenSet, refresh: String, expire: Time) -> Result<pb::TokenSet> {
        let left = (expire - cx.now).num_seconds();
        let ttl = left.min(i64::from(self.cfg.access_ttl));
        let access_token = self.access_token(cx, &set, ttl).await?;
        let seconds = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
        let (expires_in, refresh_expires_in) = (seconds(ttl), seconds(left));
        Ok(pb::TokenSet { access_token, refresh_token: refresh, expires_in, refresh_expires_in, ..set })
    }

    /// Whoever uses a token first gets the next one. A second use means that two parties hold it, and nobody knows which of
    /// them is the thief, so both lose the session; so does a client that sends the same refresh twice at once.
    pub(super) async fn refresh_session(&self, cx: &Call, token: &str) -> Result<pb::TokenSet> {
        let used = secret::token_hash(Purpose::Refresh, token).ok_or(Fault::InvalidRefreshToken)?;
        let (next, next_hash) = super::fresh_token(Purpose::Refresh)?;
        let session = store::session::of_refresh_token(self.db.primary(), &used).await?;
        let session = session.ok_or(Fault::InvalidRefreshToken)?;
        let (used, next_hash, session_id) = (&used, &next_hash, session.session_id());
        let refreshed = self
            .db
            .write(cx, async |tx| {
                let session = store::session::find(&tx, session_id).await?.ok_or(Fault::InvalidRefreshToken)?;
                if !session.is_open(tx.now()) {
                    return Err(Fault::SessionEnded.into());
                }
                if !store::session::use_refresh_token(&tx, used).await? {
                    end_session(&tx, session.user_id(), session_id, RevocationCause::TokenReused).await?;
                    return Ok(Refreshed { set: None });
                }
                let account = store::account::get(&tx, session.user_id()).await?;
                let key = self.sealer.person(&tx, session.user_id()).await?;
                store::session::add_refresh_token(&tx, next_hash, session_id).await?;
                store::session::touch(&tx, &key, session_id, &device(tx.call())).await?;
                kit::crash_point!("auth.refresh.before_commit");
                Ok(Refreshed { set: Some(self.token_set(&account, session_id)) })
            })
            .await?;
        kit::crash_point!("auth.refresh.after_commit");
        let Some(set) = refreshed.set else {
            tracing::warn!(session_id, "a refresh token was used twice; its session has ended");
            return Err(Fault::RefreshTokenReused.into());
        };
        self.with_tokens(cx, set, next, session.expire_time()).await
    }

    pub(super) async fn log_out(&self, cx: &Call, all: bool) -> Result<()> {
        let user = cx.user()?;
        self.db
            .write(cx, async |tx| match all {
                true => end_sessions(&tx, &user.user_id, None, RevocationCause::Logout).await,
                false => end_session(&tx, &user.user_id, &user.session_id, RevocationCause::Logout).await,
            })
            .await
    }

    pub(super) async fn sessions(&self, cx: &Call, req: pb::ListSessionsRequest) -> Result<pb::ListSessionsResponse> {
        let user = cx.user()?;
        let page = self.page_tokens.open(req.page_size, &req.page_token, &user.user_id)?;
        let conn = self.db.primary();
        let found = store::session::page(conn, &user.user_id, cx.now, &page).await?;
        let next = found.next.map(|keys| self.page_tokens.next(&user.user_id, &keys));
        let key = store::account::person_key(conn, &self.sealer, &user.user_id).await?;
        let sessions = found.rows.iter().map(|s| s.to_proto(&key, &user.session_id)).collect::<Result<_>>()?;
        Ok(pb::ListSessionsResponse { sessions, next_page_token: next.unwrap_or_default() })
    }

    /// Somebody else's session is as absent as one that never was.
    pub(super) async fn end_one_session(&self, cx: &Call, session_id: &str) -> Result<()> {
        self.db
            .write(cx, async |tx| {
                let session = store::session::find(&tx, session_id).await?;
                let session = session.filter(|s| cx.owns(s.user_id()).is_ok());
                let session = session.ok_or_else(|| Error::not_found("session", session_id))?;
                end_session(&tx, session.user_id(), session_id, RevocationCause::Revoked).await
            })
            .await
    }

    /// Never from a replica: it may lag further behind than the promise of one second allows.
    pub(super) async fn revocations(&self, cx: &Call, cursor: &str) -> Result<pb::ListRevocationsResponse> {
        let bad = |_| Error::invalid("cursor", "INVALID_CURSOR", "is not one that this list gave out");
        let cursor = if cursor.is_empty() { 0 } else { cursor.parse::<i64>().map_err(bad)? };
        let lifetime = self.cfg.access_ttl() + LEEWAY;
        let since = from_micros(cursor).max(cx.now - lifetime);
        let found = store::session::revoked(self.db.primary(), since, REVOCATIONS).await?;
        let next = match found.last() {
            Some((_, last)) if found.len() as u64 == REVOCATIONS => *last,
            _ => cx.now - OVERLAP,
        };
        let revocations = found
            .into_iter()
            .map(|(session_id, time)| (session_id, time + lifetime))
            .filter(|(_, expire)| *expire > cx.now)
            .map(|(session_id, expire)| pb::Revocation { session_id, expire_time: Some(proto::timestamp(expire)) });
        Ok(pb::ListRevocationsResponse {
            revocations: revocations.collect(),
            cursor: micros(next).max(cursor).to_string(),
        })
    }
}

/// A login whose proofs were right.
struct Login<'a> {
    account: &'a Account,
    factor: &'a Factor,
    rehashed: Option<&'a str>,
    network: &'a str,
    known: bool,
}

impl Login<'_> {
    fn event(&self, session_id: &str, now: Time) -> pb::SessionOpened {
        pb::SessionOpened {
            user_id: self.account.user_id().to_owned(),
            session_id: session_id.to_owned(),
            second_factor: !matches!(self.factor, Factor::None),
            unknown_address: !self.known,
            open_time: Some(proto::timestamp(now)),
        }
    }
}

fn device(cx: &Call) -> Device<'_> {
    let agent = cx.user_agent.as_deref().unwrap_or_default();
    let end = agent.char_indices().map(|(at, _)| at).find(|at| *at >= USER_AGENT).unwrap_or(agent.len());
    Device { user_agent: &agent[..end], address: cx.client_addr.as_deref().unwrap_or_default() }
}

/// The caller's session hasn't ended. A token is verified before the transaction, by what was known of revocations then.
pub(super) async fn require_open(tx: &Tx, cx: &Call) -> Result<()> {
    let user = cx.user()?;
    let session = store::session::find(tx, &user.session_id).await?;
    match session.is_some_and(|s| *s.user_id() == *user.user_id && s.is_open(tx.now())) {
        true => Ok(()),
        false => Err(Fault::SessionEnded.into()),
    }
}

/// Ends a session and tells, once.
async fn end_session(tx: &Tx, user_id: &str, session_id: &str, cause: RevocationCause) -> Result<()> {
    if store::session::revoke(tx, session_id).await? {
        let revoked = pb::SessionRevoked {
            user_id: user_id.to_owned(),
            session_id: session_id.to_owned(),
            cause: cause as i32,
            revoke_time: Some(proto::timestamp(tx.now())),
        };
        tx.emit(&revoked).await?;
    }
    Ok(())
}

/// Ends a person's open sessions but one.
pub(super) async fn end_sessions(tx: &Tx, user_id: &str, but: Option<&str>, cause: RevocationCause) -> Result<()> {
    for session_id in store::session::ids(tx, user_id, tx.now()).await? {
        if but != Some(session_id.as_str()) {
            end_session(tx, user_id, &session_id, cause).await?;
        }
    }
    Ok(())
}
