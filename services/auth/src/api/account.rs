//! Opening an account, and proving its address.

use crate::{
    Auth,
    api::password::invalid_token,
    domain::{
        self,
        mail::Kind,
        password, person,
        secret::{self, Purpose},
    },
    store::{
        self,
        account::{Account, NewAccount},
    },
};
use jangteo_core::{Call, Code, Error, Id, Result};
use kit::db::Tx;
use proto::jangteo::{auth::v1 as pb, options::v1::Role};
use ring::digest;
use zeroize::Zeroizing;

impl Auth {
    pub(super) async fn open_account(&self, mut cx: Call, req: pb::RegisterRequest) -> Result<pb::RegisterResponse> {
        let password = Zeroizing::new(req.password);
        let email = person::email(&req.email);
        let display_name = person::display_name(&req.display_name)?;
        password::check("password", &password, &[&email, &display_name])?;
        let email_hash = self.email_hash(&email);
        let locale = person::locale(&req.locale, cx.locale.as_deref());
        cx.fingerprint = self.keyed_fingerprint(&cx.fingerprint);
        let may_mail = self.may_mail(&email_hash, Kind::AlreadyRegistered).await;
        // Before the address is looked up: a taken one takes as long.
        let password_hash = self.hasher.hash(password).await?;
        let user_id = Id::<domain::User>::new().to_string();
        let new = NewAccount {
            user_id: &user_id,
            email_hash: &email_hash,
            email: &email,
            display_name: &display_name,
            locale,
            password_hash: &password_hash,
            roles: if self.is_admin(&email_hash, false) { &[Role::User, Role::Admin] } else { &[Role::User] },
        };
        let new = &new;
        let reply = self
            .db
            .write(&cx, async |tx| {
                match store::account::by_email(&tx, new.email_hash).await? {
                    Some(_) if may_mail => store::mail::enqueue(&tx, new.email_hash, Kind::AlreadyRegistered).await?,
                    Some(_) => {}
                    None => self.create(&tx, new).await?,
                }
                kit::crash_point!("auth.register.before_commit");
                Ok(pb::RegisterResponse { mail_sent: true })
            })
            .await?;
        kit::crash_point!("auth.register.after_commit");
        Ok(reply)
    }

    async fn create(&self, tx: &Tx, new: &NewAccount<'_>) -> Result<()> {
        let key = self.sealer.person(tx, new.user_id).await?;
        if !store::account::insert(tx, &key, new).await? {
            return Err(Error::new(Code::Aborted, "CONCURRENT_REGISTRATION", "the address was registered just now"));
        }
        store::mail::enqueue(tx, new.email_hash, Kind::VerifyEmail).await?;
        let registered = pb::UserRegistered {
            user_id: new.user_id.to_owned(),
            locale: new.locale.to_owned(),
            register_time: Some(proto::timestamp(tx.now())),
            roles: person::role_numbers(new.roles),
        };
        tx.emit(&registered).await?;
        Ok(())
    }

    /// The fingerprint of a request with a password in it is kept for a while. Keyed, so that nobody who reads it can try
    /// passwords on it.
    fn keyed_fingerprint(&self, fingerprint: &[u8; 32]) -> [u8; 32] {
        let keyed = self.keyed("fingerprint", &[&secret::hex(fingerprint)]);
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, keyed.as_bytes()).as_ref());
        out
    }

    fn is_admin(&self, email_hash: &str, verified: bool) -> bool {
        self.admin.as_ref().is_some_and(|(admin, must_verify)| admin == email_hash && (verified || !must_verify))
    }

    pub(super) async fn prove_address(&self, cx: &Call, token: &str) -> Result<()> {
        let hash = secret::token_hash(Purpose::VerifyEmail, token).ok_or_else(invalid_token)?;
        let hash = &hash;
        self.db
            .write(cx, async |tx| {
                let owner = store::mail::token_owner(&tx, Purpose::VerifyEmail, hash, tx.now()).await?;
                let owner = owner.ok_or_else(invalid_token)?;
                if !store::mail::spend_token(&tx, hash).await? {
                    return Err(invalid_token());
                }
                self.verified(&tx, &store::account::get(&tx, &owner).await?).await?;
                Ok(())
            })
            .await
    }

    /// The address is proven; `false`: it was before.
    pub(super) async fn verified(&self, tx: &Tx, account: &Account) -> Result<bool> {
        store::mail::drop_tokens(tx, account.user_id(), Purpose::VerifyEmail).await?;
        if !store::account::set_verified(tx, account.user_id()).await? {
            return Ok(false);
        }
        let user_id = account.user_id().to_owned();
        tx.emit(&pb::EmailVerified { user_id, verify_time: Some(proto::timestamp(tx.now())) }).await?;
        let mut roles = account.roles();
        if self.is_admin(account.email_hash(), true) && !roles.contains(&Role::Admin) {
            roles.push(Role::Admin);
            super::role::set(tx, account.user_id(), &roles, &[Role::Admin], &[]).await?;
        }
        Ok(true)
    }

    pub(super) async fn send_verification(&self, cx: &Call) -> Result<()> {
        let account = self.own_account(cx).await?;
        if account.is_verified() || !self.may_mail(account.email_hash(), Kind::VerifyEmail).await {
            return Ok(());
        }
        let email_hash = account.email_hash();
        self.db.write(cx, async |tx| store::mail::enqueue(&tx, email_hash, Kind::VerifyEmail).await).await
    }
}
