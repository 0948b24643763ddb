//! Addresses: a person's own alone.

use super::{ANSWER, check_etag, version};
use crate::{
    Users,
    domain::{self, Fault, MAX_ADDRESSES, address},
    store,
};
use jangteo_core::{Call, Error, Id, Result};
use kit::db::{Paged, Tx, crypt::PersonKey};
use proto::jangteo::user::v1 as wire;

impl Users {
    pub(super) async fn addresses(
        &self,
        cx: Call,
        req: wire::ListAddressesRequest,
    ) -> Result<wire::ListAddressesResponse> {
        let user = cx.user_id()?;
        let bound = format!("addresses {user}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let mut all = match self.sealer.find(self.db.primary(), user).await? {
            Some(key) => store::address::all(self.db.primary(), &key, user).await?,
            None => Vec::new(),
        };
        address::sort(&mut all);
        let keys = |a: &wire::Address| vec![u8::from(!a.is_default).to_string(), a.address_id.clone()];
        let rest = all.into_iter().filter(|a| page.after.is_empty() || keys(a) > page.after).collect();
        let found = Paged::cut(rest, page.size, keys);
        let next_page_token = found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last));
        Ok(wire::ListAddressesResponse { addresses: found.rows, next_page_token })
    }

    pub(super) async fn add_address(&self, cx: Call, req: wire::CreateAddressRequest) -> Result<wire::Address> {
        let user = cx.user_id()?;
        let address_id = Id::<domain::Address>::new().to_string();
        let new = &wire::Address { address_id, ..address::new(&req)? };
        let write = async |tx: Tx| {
            let key = self.sealer.person(&tx, user).await?;
            let others = store::address::all(&tx, &key, user).await?;
            if others.len() >= MAX_ADDRESSES {
                return Err(Fault::TooManyAddresses { limit: MAX_ADDRESSES }.into());
            }
            let mut new = new.clone();
            new.is_default |= others.is_empty();
            if new.is_default {
                demote(&tx, &key, user, others).await?;
            }
            let event = wire::AddressCreated { user_id: user.to_owned(), address_id: new.address_id.clone() };
            tx.append(&new.address_id, 0, &[event]).await?;
            ANSWER.seal(&key, &store::address::insert(&tx, &key, user, new).await?)
        };
        let sealed = self.db.write(&cx, write).await?;
        self.open(user, &sealed).await
    }

    pub(super) async fn address(&self, user: &str, address_id: &str) -> Result<wire::Address> {
        let conn = self.db.primary();
        match self.sealer.find(conn, user).await? {
            Some(key) => store::address::find(conn, &key, user, address_id).await,
            None => Err(Error::not_found("address", address_id)),
        }
    }

    pub(super) async fn change_address(&self, cx: Call, req: wire::UpdateAddressRequest) -> Result<wire::Address> {
        let user = cx.user_id()?;
        let patch = &address::patch(&req)?;
        let (id, etag) = (&req.address_id, &req.etag);
        let write = async |tx: Tx| {
            let key = self.sealer.person(&tx, user).await?;
            let mut address = store::address::find(&tx, &key, user, id).await?;
            check_etag(etag, &address.etag)?;
            let changed = patch.apply(&mut address)?;
            if changed.is_empty() {
                return ANSWER.seal(&key, &address);
            }
            if changed.iter().any(|f| f == "is_default") {
                let others = store::address::all(&tx, &key, user).await?;
                demote(&tx, &key, user, others).await?;
            }
            ANSWER.seal(&key, &record(&tx, &key, user, address).await?)
        };
        let sealed = self.db.write(&cx, write).await?;
        self.open(user, &sealed).await
    }

    pub(super) async fn remove_address(&self, cx: Call, req: wire::DeleteAddressRequest) -> Result<()> {
        let user = cx.user_id()?;
        let (id, etag) = (&req.address_id, &req.etag);
        let write = async |tx: Tx| {
            let key = self.sealer.person(&tx, user).await?;
            let address = store::address::find(&tx, &key, user, id).await?;
            check_etag(etag, &address.etag)?;
            let event = wire::AddressDeleted { user_id: user.to_owned(), address_id: id.clone() };
            tx.append(id, version(&address.etag), &[event]).await?;
            store::address::delete(&tx, id).await
        };
        self.db.write(&cx, write).await
    }
}

/// Makes room for another default.
async fn demote(tx: &Tx, key: &PersonKey, user: &str, addresses: Vec<wire::Address>) -> Result<()> {
    for old in addresses.into_iter().filter(|a| a.is_default) {
        record(tx, key, user, wire::Address { is_default: false, ..old }).await?;
    }
    Ok(())
}

async fn record(tx: &Tx, key: &PersonKey, user: &str, a: wire::Address) -> Result<wire::Address> {
    let event = wire::AddressUpdated { user_id: user.to_owned(), address_id: a.address_id.clone() };
    let version = tx.append(&a.address_id, version(&a.etag), &[event]).await?;
    store::address::update(tx, key, a, version).await
}
