//! What others' events make of ours.

use crate::{Users, store};
use jangteo_core::{Code, Result};
use kit::{Received, db::Tx};
use proto::jangteo::auth::v1::{GetAccountRequest, UserRegistered};
use std::sync::Arc;

impl Users {
    /// The event names nobody, so the display name is fetched from auth. An account that is gone by now gets no profile.
    pub async fn user_registered(self: Arc<Self>, ev: Received<UserRegistered>) -> Result<()> {
        let account = self.auth.get_account(ev.call(), GetAccountRequest { user_id: ev.user_id.clone() }).await;
        let account = match account {
            Ok(account) => Some(account),
            Err(e) if e.code() == Code::NotFound => None,
            Err(e) => return Err(e),
        };
        let (account, sealer) = (&account, &self.sealer);
        let write = async |tx: Tx| match account {
            Some(account) => store::profile::create(&tx, sealer, account).await,
            None => Ok(()),
        };
        ev.apply(&self.db, write).await
    }

    /// Profile and addresses go. Consents and points are only added to: they stay, and name nobody any more.
    pub async fn forget(self: Arc<Self>, tx: Tx, user_id: String) -> Result<()> {
        store::address::forget(&tx, &user_id).await?;
        store::profile::forget(&tx, &user_id).await
    }
}
