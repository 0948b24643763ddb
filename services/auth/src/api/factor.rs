//! The second factor: preparing, confirming, asking for, and dropping it.

use crate::{
    Auth,
    api::{limit::Attempt, password::still_confirmed, session::require_open},
    domain::{
        Fault,
        mail::Kind,
        secret,
        totp::{self, State},
    },
    store::{self, account::Account},
};
use jangteo_core::{Call, Error, Result};
use kit::db::Tx;
use proto::jangteo::auth::v1 as pb;
use zeroize::Zeroizing;

/// What was shown beside the password, checked but not yet spent.
pub enum Factor {
    None,
    /// The step of a right code.
    Totp(i64),
    /// The hash of a recovery code, right or wrong.
    Recovery(String),
}

fn wrong_code() -> Error {
    Error::invalid("code", "INVALID_TOTP_CODE", "is wrong or was used before")
}

fn require_prepared(account: &Account) -> Result<()> {
    match account.totp() {
        State::Prepared => Ok(()),
        State::Off => Err(Fault::TotpNotEnrolled.into()),
        State::On => Err(Fault::TotpAlreadyEnabled.into()),
    }
}

impl Auth {
    /// Against the password: with a stolen access token alone, a thief could lock the owner out.
    pub(super) async fn prepare_factor(&self, cx: &Call, password: String) -> Result<pb::EnrollTotpResponse> {
        let account = self.own_account(cx).await?;
        self.confirm_password(cx, &account, password).await?;
        let secret = Zeroizing::new(super::random::<20>()?);
        let (account, user_id, bytes) = (&account, account.user_id(), &secret);
        self.db
            .write(cx, async |tx| {
                still_confirmed(&tx, cx, account).await?;
                let key = self.sealer.person(&tx, user_id).await?;
                match store::account::prepare_totp(&tx, &key, user_id, bytes.as_slice()).await? {
                    true => Ok(()),
                    false => Err(Fault::TotpAlreadyEnabled.into()),
                }
            })
            .await?;
        let key = store::account::person_key(self.db.primary(), &self.sealer, user_id).await?;
        let e = totp::enrolment(&secret, &account.email(&key)?)?;
        Ok(pb::EnrollTotpResponse { secret: e.secret, otpauth_url: e.otpauth_url })
    }

    pub(super) async fn confirm_factor(&self, cx: &Call, code: &str) -> Result<pb::ConfirmTotpResponse> {
        let account = self.own_account(cx).await?;
        require_prepared(&account)?;
        let attempt = self.attempt(cx, "totp", account.user_id(), true).await?;
        let step = self.step(cx, &account, code).await?.ok_or_else(wrong_code)?;
        let codes = (0..secret::RECOVERY_CODES)
            .map(|_| Ok(secret::recovery_code(&super::random()?)))
            .collect::<Result<Vec<_>>>()?;
        let user_id = account.user_id();
        let hashes: Vec<_> = codes.iter().map(|c| self.recovery_hash(user_id, c)).collect();
        let (account, hashes) = (&account, &hashes);
        self.db
            .write(cx, async |tx| {
                require_open(&tx, cx).await?;
                if !store::account::enable_totp(&tx, account, step).await? {
                    require_prepared(&store::account::get(&tx, user_id).await?)?;
                    // The code is one of a secret that was replaced meanwhile.
                    return Err(wrong_code());
                }
                store::account::set_recovery_codes(&tx, user_id, hashes).await?;
                store::mail::enqueue(&tx, account.email_hash(), Kind::TotpEnabled).await?;
                tx.emit(&pb::TotpEnabled { user_id: user_id.to_owned() }).await?;
                Ok(())
            })
            .await?;
        attempt.succeeded().await;
        Ok(pb::ConfirmTotpResponse { recovery_codes: codes })
    }

    pub(super) async fn drop_factor(&self, cx: &Call, req: pb::DisableTotpRequest) -> Result<()> {
        let account = self.own_account(cx).await?;
        if account.totp() != State::On {
            return Err(Fault::TotpNotEnabled.into());
        }
        let mut attempt = None;
        let factor = if !req.password.is_empty() {
            self.confirm_password(cx, &account, req.password).await?;
            Factor::None
        } else if !req.code.is_empty() || !req.recovery_code.is_empty() {
            attempt = Some(self.attempt(cx, "totp", account.user_id(), true).await?);
            self.confirm_factor_now(cx, &account, &req.code, &req.recovery_code).await?
        } else {
            return Err(Error::invalid("password", "REQUIRED", "is required, or a code, or a recovery code"));
        };
        let (account, factor) = (&account, &factor);
        self.db
            .write(cx, async |tx| {
                let user_id = account.user_id();
                match factor {
                    Factor::None => still_confirmed(&tx, cx, account).await?,
                    _ => require_open(&tx, cx).await?,
                }
                self.spend(&tx, user_id, factor).await?;
                if !store::account::disable_totp(&tx, user_id).await? {
                    return Err(Fault::TotpNotEnabled.into());
                }
                store::mail::enqueue(&tx, account.email_hash(), Kind::TotpDisabled).await?;
                tx.emit(&pb::TotpDisabled { user_id: user_id.to_owned() }).await?;
                Ok(())
            })
            .await?;
        if let Some(attempt) = attempt {
            attempt.succeeded().await;
        }
        Ok(())
    }

    /// What a login has to show beside the password. The attempt counts until the factor is spent.
    pub(super) async fn login_factor(
        &self,
        cx: &Call,
        account: &Account,
        known: bool,
        code: &str,
        recovery_code: &str,
    ) -> Result<(Factor, Option<Attempt>)> {
        if account.totp() != State::On {
            return Ok((Factor::None, None));
        }
        if code.is_empty() && recovery_code.is_empty() {
            return Err(Fault::TotpRequired.into());
        }
        let attempt = self.attempt(cx, "totp", account.user_id(), known).await?;
        let factor = self.factor(cx, account, code, recovery_code).await?.ok_or(Fault::InvalidTotpCode)?;
        Ok((factor, Some(attempt)))
    }

    /// `None`: the code is wrong.
    async fn factor(&self, cx: &Call, account: &Account, code: &str, recovery_code: &str) -> Result<Option<Factor>> {
        if code.is_empty() {
            return Ok(Some(Factor::Recovery(self.recovery_hash(account.user_id(), recovery_code))));
        }
        Ok(self.step(cx, account, code).await?.map(Factor::Totp))
    }

    /// A code or a recovery code of somebody who is signed in.
    pub(super) async fn confirm_factor_now(
        &self,
        cx: &Call,
        account: &Account,
        code: &str,
        recovery_code: &str,
    ) -> Result<Factor> {
        self.factor(cx, account, code, recovery_code).await?.ok_or_else(wrong_code)
    }

    async fn step(&self, cx: &Call, account: &Account, code: &str) -> Result<Option<i64>> {
        let key = store::account::person_key(self.db.primary(), &self.sealer, account.user_id()).await?;
        match account.totp_secret(&key)? {
            Some(secret) => totp::step(&Zeroizing::new(secret), code, cx.now),
            None => Ok(None),
        }
    }

    /// In the transaction of what it opens: of a hundred at once, one gets through.
    pub(super) async fn spend(&self, tx: &Tx, user_id: &str, factor: &Factor) -> Result<()> {
        match factor {
            Factor::None => Ok(()),
            Factor::Totp(step) => match store::account::spend_totp(tx, user_id, *step).await? {
                true => Ok(()),
                false => Err(Fault::InvalidTotpCode.into()),
            },
            Factor::Recovery(hash) => match store::account::spend_recovery_code(tx, user_id, hash).await? {
                Some(left) => {
                    let left = i32::try_from(left).unwrap_or(i32::MAX);
                    tx.emit(&pb::RecoveryCodeUsed { user_id: user_id.to_owned(), left }).await?;
                    Ok(())
                }
                None => Err(Fault::InvalidRecoveryCode.into()),
            },
        }
    }

    /// Keyed, and bound to the account: shorter than a token, a recovery code could be searched for otherwise.
    fn recovery_hash(&self, user_id: &str, code: &str) -> String {
        self.keyed("recovery_code", &[user_id, &secret::normal_recovery_code(code)])
    }
}
