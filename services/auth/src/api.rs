//! The RPCs, one function each; what a noun needs is in the file of that name.

mod account;
mod erase;
mod factor;
pub(crate) mod hasher;
pub(crate) mod keys;
mod limit;
mod password;
mod role;
mod session;

use crate::{
    Auth,
    domain::secret,
    store::{self, account::Account},
};
use jangteo_core::{Call, Error, Result};
use proto::jangteo::auth::v1::{self as pb, auth_service::Api};
use ring::rand::{SecureRandom, SystemRandom};

impl Api for Auth {
    async fn register(&self, cx: Call, req: pb::RegisterRequest) -> Result<pb::RegisterResponse> {
        self.open_account(cx, req).await
    }

    async fn login(&self, cx: Call, req: pb::LoginRequest) -> Result<pb::TokenSet> {
        self.open_session(&cx, req).await
    }

    async fn refresh(&self, cx: Call, req: pb::RefreshRequest) -> Result<pb::TokenSet> {
        self.refresh_session(&cx, &req.refresh_token).await
    }

    async fn logout(&self, cx: Call, req: pb::LogoutRequest) -> Result<()> {
        self.log_out(&cx, req.all_sessions).await
    }

    async fn verify_email(&self, cx: Call, req: pb::VerifyEmailRequest) -> Result<()> {
        self.prove_address(&cx, &req.token).await
    }

    async fn request_email_verification(&self, cx: Call, _: pb::RequestEmailVerificationRequest) -> Result<()> {
        self.send_verification(&cx).await
    }

    async fn request_password_reset(&self, cx: Call, req: pb::RequestPasswordResetRequest) -> Result<()> {
        self.send_reset(&cx, &req.email).await
    }

    async fn confirm_password_reset(&self, cx: Call, req: pb::ConfirmPasswordResetRequest) -> Result<()> {
        self.reset_password(&cx, req).await
    }

    async fn change_password(&self, cx: Call, req: pb::ChangePasswordRequest) -> Result<()> {
        self.replace_password(&cx, req).await
    }

    async fn list_sessions(&self, cx: Call, req: pb::ListSessionsRequest) -> Result<pb::ListSessionsResponse> {
        self.sessions(&cx, req).await
    }

    async fn revoke_session(&self, cx: Call, req: pb::RevokeSessionRequest) -> Result<()> {
        self.end_one_session(&cx, &req.session_id).await
    }

    async fn enroll_totp(&self, cx: Call, req: pb::EnrollTotpRequest) -> Result<pb::EnrollTotpResponse> {
        self.prepare_factor(&cx, req.password).await
    }

    async fn confirm_totp(&self, cx: Call, req: pb::ConfirmTotpRequest) -> Result<pb::ConfirmTotpResponse> {
        self.confirm_factor(&cx, &req.code).await
    }

    async fn disable_totp(&self, cx: Call, req: pb::DisableTotpRequest) -> Result<()> {
        self.drop_factor(&cx, req).await
    }

    async fn erase_account(&self, cx: Call, req: pb::EraseAccountRequest) -> Result<()> {
        self.erase(&cx, req).await
    }

    async fn grant_role(&self, cx: Call, req: pb::GrantRoleRequest) -> Result<pb::UserRoles> {
        self.give_role(&cx, &req.user_id, req.role()).await
    }

    async fn revoke_role(&self, cx: Call, req: pb::RevokeRoleRequest) -> Result<pb::UserRoles> {
        self.take_role(&cx, &req.user_id, req.role()).await
    }

    async fn get_jwks(&self, cx: Call, _: pb::GetJwksRequest) -> Result<pb::Jwks> {
        self.jwks(&cx).await
    }

    async fn list_revocations(&self, cx: Call, req: pb::ListRevocationsRequest) -> Result<pb::ListRevocationsResponse> {
        self.revocations(&cx, &req.cursor).await
    }

    async fn get_account(&self, _: Call, req: pb::GetAccountRequest) -> Result<pb::Account> {
        let account = store::account::get(self.db.primary(), &req.user_id).await?;
        let key = store::account::person_key(self.db.primary(), &self.sealer, &req.user_id).await?;
        account.to_proto(&key)
    }
}

impl Auth {
    /// The caller's own account. A token may outlive an account.
    async fn own_account(&self, cx: &Call) -> Result<Account> {
        store::account::get(self.db.primary(), cx.user_id()?).await
    }

    fn email_hash(&self, email: &str) -> String {
        Self::hash_email(&self.sealer, email)
    }

    /// A keyed hash of something that only has to be recognised.
    fn keyed(&self, what: &str, parts: &[&str]) -> String {
        self.sealer.keyring().lookup_hash("auth", what, &parts.join("\u{1f}"))
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("the system has no randomness"))?;
    Ok(bytes)
}

/// A fresh token and the hash under which it is kept.
pub(crate) fn fresh_token(purpose: secret::Purpose) -> Result<(String, String)> {
    let token = secret::token(purpose, &random()?);
    let hash = secret::token_hash(purpose, &token).ok_or_else(|| Error::internal("a token of ours is unreadable"))?;
    Ok((token, hash))
}
