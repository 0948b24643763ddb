//! The RPCs: authorise, load, decide, write, reply.

mod addresses;
mod consents;
mod points;

use crate::{
    Users,
    domain::profile,
    store::{self, Sealed, profile::Found},
};
use jangteo_core::{Call, Code, Error, Result};
use prost::Message;
use proto::jangteo::{
    auth::v1::{Account, GetAccountRequest},
    user::v1::{self as wire, user_service::Api},
};

impl Api for Users {
    async fn get_me(&self, cx: Call, _req: wire::GetMeRequest) -> Result<wire::Profile> {
        self.profile(&cx, cx.user_id()?).await
    }

    async fn update_me(&self, cx: Call, req: wire::UpdateMeRequest) -> Result<wire::Profile> {
        let user = cx.user_id()?;
        let patch = &profile::patch(&req)?;
        let account = &match store::profile::find(self.db.primary(), &self.sealer, user).await? {
            Found::Nothing => Some(self.account(&cx, user).await?),
            Found::Profile(_) | Found::Erased => None,
        };
        let etag = &req.etag;
        let write = async |tx: kit::db::Tx| {
            if let Some(account) = account {
                store::profile::create(&tx, &self.sealer, account).await?;
            }
            let key = self.sealer.person(&tx, user).await?;
            let Found::Profile(mut profile) = store::profile::find(&tx, &self.sealer, user).await? else {
                return Err(Error::not_found("user", user));
            };
            check_etag(etag, &profile.etag)?;
            let changed = patch.apply(&mut profile);
            if changed.is_empty() {
                return ANSWER.seal(&key, &*profile);
            }
            let region_id = profile.region_id.clone();
            let event = wire::ProfileUpdated { user_id: user.to_owned(), changed, region_id };
            let version = tx.append(user, version(&profile.etag), &[event]).await?;
            ANSWER.seal(&key, &store::profile::update(&tx, &key, *profile, version).await?)
        };
        let sealed = self.db.write(&cx, write).await?;
        self.open(user, &sealed).await
    }

    async fn get_user(&self, cx: Call, req: wire::GetUserRequest) -> Result<wire::PublicProfile> {
        Ok(profile::public(self.profile(&cx, &req.user_id).await?))
    }

    async fn list_addresses(&self, cx: Call, req: wire::ListAddressesRequest) -> Result<wire::ListAddressesResponse> {
        self.addresses(cx, req).await
    }

    async fn create_address(&self, cx: Call, req: wire::CreateAddressRequest) -> Result<wire::Address> {
        self.add_address(cx, req).await
    }

    async fn get_address(&self, cx: Call, req: wire::GetAddressRequest) -> Result<wire::Address> {
        self.address(cx.user_id()?, &req.address_id).await
    }

    async fn update_address(&self, cx: Call, req: wire::UpdateAddressRequest) -> Result<wire::Address> {
        self.change_address(cx, req).await
    }

    async fn delete_address(&self, cx: Call, req: wire::DeleteAddressRequest) -> Result<()> {
        self.remove_address(cx, req).await
    }

    async fn get_consents(&self, cx: Call, _req: wire::GetConsentsRequest) -> Result<wire::Consents> {
        Ok(wire::Consents { consents: store::consent::current(self.db.primary(), cx.user_id()?).await? })
    }

    async fn put_consents(&self, cx: Call, req: wire::PutConsentsRequest) -> Result<wire::Consents> {
        self.decide_consents(cx, req).await
    }

    async fn get_points(&self, cx: Call, req: wire::GetPointsRequest) -> Result<wire::Points> {
        self.points(cx, req).await
    }

    async fn adjust_points(&self, cx: Call, req: wire::AdjustPointsRequest) -> Result<wire::PointsEntry> {
        self.book_points(cx, req).await
    }

    async fn get_address_of(&self, _cx: Call, req: wire::GetAddressOfRequest) -> Result<wire::Address> {
        self.address(&req.user_id, &req.address_id).await
    }

    async fn get_contact(&self, cx: Call, req: wire::GetContactRequest) -> Result<wire::Contact> {
        self.contact(&cx, &req.user_id).await
    }
}

/// The etag is the version of the last event.
fn version(etag: &str) -> i64 {
    etag.parse().unwrap_or(0)
}

fn check_etag(asked: &str, current: &str) -> Result<()> {
    if asked.is_empty() || asked == current { Ok(()) } else { Err(Error::etag_mismatch(current)) }
}

/// An answer as it is kept beside its request id: sealed, since it is personal.
const ANSWER: Sealed = Sealed("idempotency", "response");

impl Users {
    async fn open<M: Message + Default>(&self, user: &str, sealed: &[u8]) -> Result<M> {
        let key = self.sealer.find(self.db.primary(), user).await?;
        let key = key.ok_or_else(|| Error::not_found("user", user))?;
        ANSWER.open(&key, sealed)
    }

    /// The profile, or what it will be once the event of its account has arrived.
    async fn profile(&self, cx: &Call, user: &str) -> Result<wire::Profile> {
        match store::profile::find(self.db.primary(), &self.sealer, user).await? {
            Found::Profile(profile) => Ok(*profile),
            Found::Nothing => Ok(profile::first(&self.account(cx, user).await?)),
            Found::Erased => Err(Error::not_found("user", user)),
        }
    }

    /// How to reach a person: by what they say here, and by the address that they sign in with.
    async fn contact(&self, cx: &Call, user: &str) -> Result<wire::Contact> {
        let (profile, account) = (self.profile(cx, user).await?, self.account(cx, user).await?);
        Ok(profile::contact(profile, account))
    }

    async fn account(&self, cx: &Call, user: &str) -> Result<Account> {
        let account = self.auth.get_account(cx, GetAccountRequest { user_id: user.to_owned() }).await;
        account.map_err(|e| match e.code() {
            Code::NotFound => Error::not_found("user", user),
            _ => e,
        })
    }
}
