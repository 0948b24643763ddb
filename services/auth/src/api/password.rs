//! Changing a password: by the old one, or by a token from a mail.

use crate::{
    Auth,
    api::session::{end_sessions, require_open},
    domain::{
        Fault,
        mail::Kind,
        password,
        secret::{self, Purpose},
        totp::State,
    },
    store::{self, account::Account},
};
use jangteo_core::{Call, Error, Result};
use kit::db::Tx;
use proto::jangteo::auth::v1::{self as pb, RevocationCause};
use zeroize::Zeroizing;

pub(super) fn invalid_token() -> Error {
    Error::invalid("token", "INVALID_TOKEN", "is unknown, was used before, or has expired")
}

impl Auth {
    /// Queues the same row whether or not anybody is there; who is, turns out when the mail is sent.
    pub(super) async fn send_reset(&self, cx: &Call, email: &str) -> Result<()> {
        let email_hash = self.email_hash(email);
        if !self.may_mail(&email_hash, Kind::ResetPassword).await {
            return Ok(());
        }
        let email_hash = &email_hash;
        self.db.write(cx, async |tx| store::mail::enqueue(&tx, email_hash, Kind::ResetPassword).await).await
    }

    pub(super) async fn reset_password(&self, cx: &Call, req: pb::ConfirmPasswordResetRequest) -> Result<()> {
        let new = Zeroizing::new(req.new_password);
        let hash = secret::token_hash(Purpose::ResetPassword, &req.token).ok_or_else(invalid_token)?;
        let conn = self.db.primary();
        let owner = store::mail::token_owner(conn, Purpose::ResetPassword, &hash, cx.now).await?;
        let owner = owner.ok_or_else(invalid_token)?;
        let account = store::account::get(conn, &owner).await?;
        self.check_password(&account, &new).await?;
        let password_hash = self.hasher.hash(new).await?;
        let network = self.network_hash(cx, account.email_hash());
        let (hash, password_hash, network) = (&hash, &password_hash, &network);
        self.db
            .write(cx, async |tx| {
                if !store::mail::spend_token(&tx, hash).await? {
                    return Err(invalid_token());
                }
                let account = store::account::get(&tx, &owner).await?;
                store::mail::drop_tokens(&tx, account.user_id(), Purpose::ResetPassword).await?;
                let first_proof = self.verified(&tx, &account).await?;
                if first_proof
                    && store::account::disable_totp(&tx, account.user_id()).await?
                    && account.totp() == State::On
                {
                    tx.emit(&pb::TotpDisabled { user_id: account.user_id().to_owned() }).await?;
                }
                store::session::know_network(&tx, network, account.user_id()).await?;
                self.set_password(&tx, &account, password_hash, None).await
            })
            .await
    }

    pub(super) async fn replace_password(&self, cx: &Call, req: pb::ChangePasswordRequest) -> Result<()> {
        let new = Zeroizing::new(req.new_password);
        let account = self.own_account(cx).await?;
        self.confirm_password(cx, &account, req.current_password).await?;
        self.check_password(&account, &new).await?;
        let password_hash = self.hasher.hash(new).await?;
        let (account, password_hash, current) = (&account, &password_hash, &*cx.user()?.session_id);
        self.db
            .write(cx, async |tx| {
                require_open(&tx, cx).await?;
                self.set_password(&tx, account, password_hash, Some(current)).await
            })
            .await
    }

    async fn check_password(&self, account: &Account, new: &str) -> Result<()> {
        let key = store::account::person_key(self.db.primary(), &self.sealer, account.user_id()).await?;
        password::check("new_password", new, &[&account.email(&key)?, &account.display_name(&key)?])
    }

    /// The password of somebody who is signed in already. A wrong one counts as an attempt.
    pub(super) async fn confirm_password(&self, cx: &Call, account: &Account, password: String) -> Result<()> {
        let network = self.network_hash(cx, account.email_hash());
        let known = store::session::is_known_network(self.db.primary(), &network).await?;
        let attempt = self.attempt(cx, "password", account.user_id(), known).await?;
        if !self.hasher.verify(Zeroizing::new(password), Some(account.password_hash())).await? {
            return Err(Fault::WrongPassword.into());
        }
        attempt.succeeded().await;
        Ok(())
    }

    /// Replaces the password that `account` was read with, or none: of a change and a reset at once, the later one must
    /// not undo the earlier. `current` is the session that goes on; without one it was a reset.
    async fn set_password(&self, tx: &Tx, account: &Account, hash: &str, current: Option<&str>) -> Result<()> {
        let user_id = account.user_id();
        if !store::account::set_password(tx, user_id, account.password_hash(), hash).await? {
            return Err(Fault::WrongPassword.into());
        }
        end_sessions(tx, user_id, current, RevocationCause::PasswordChanged).await?;
        store::mail::enqueue(tx, account.email_hash(), Kind::PasswordChanged).await?;
        let changed = pb::PasswordChanged {
            user_id: user_id.to_owned(),
            reset: current.is_none(),
            change_time: Some(proto::timestamp(tx.now())),
        };
        tx.emit(&changed).await?;
        Ok(())
    }
}

/// In the transaction of what a confirmed password opens: it is still the password of `account`, and the caller's
/// session is still open. A reset that came between has replaced the one and ended the other.
pub(super) async fn still_confirmed(tx: &Tx, cx: &Call, account: &Account) -> Result<()> {
    require_open(tx, cx).await?;
    match store::account::get(tx, account.user_id()).await?.password_hash() == account.password_hash() {
        true => Ok(()),
        false => Err(Fault::WrongPassword.into()),
    }
}
