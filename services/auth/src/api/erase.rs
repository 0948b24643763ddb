//! The end of an account. What others keep of the person goes when they hear of it; what is here goes at once.

use crate::{
    Auth,
    api::{factor::Factor, password::still_confirmed, session::end_sessions},
    domain::{Fault, totp::State},
    store::{self, account::Account},
};
use jangteo_core::{Call, Error, Result};
use proto::{
    google::r#type::Money,
    jangteo::{
        auth::v1::{self as pb, RevocationCause},
        options::v1::Role,
        order::v1::CountOpenPartsRequest,
        payment::v1::GetWalletOfRequest,
    },
};

impl Auth {
    pub(super) async fn erase(&self, cx: &Call, req: pb::EraseAccountRequest) -> Result<()> {
        let account = self.own_account(cx).await?;
        self.confirm_password(cx, &account, req.password).await?;
        let (factor, attempt) = match account.totp() {
            State::On if req.code.is_empty() && req.recovery_code.is_empty() => {
                return Err(Error::invalid("code", "REQUIRED", "is required, or a recovery code"));
            }
            State::On => {
                let attempt = self.attempt(cx, "totp", account.user_id(), true).await?;
                (self.confirm_factor_now(cx, &account, &req.code, &req.recovery_code).await?, Some(attempt))
            }
            State::Off | State::Prepared => (Factor::None, None),
        };
        self.nothing_open(cx, account.user_id()).await?;
        let (account, factor) = (&account, &factor);
        self.db
            .write(cx, async |tx| {
                still_confirmed(&tx, cx, account).await?;
                self.spend(&tx, account.user_id(), factor).await?;
                self.erase_all(&tx, account).await
            })
            .await?;
        if let Some(attempt) = attempt {
            attempt.succeeded().await;
        }
        Ok(())
    }

    /// Trades have two sides, and money has an owner: both must have come to their end.
    async fn nothing_open(&self, cx: &Call, user_id: &str) -> Result<()> {
        let user_id = user_id.to_owned();
        let (parts, wallet) = tokio::try_join!(
            self.peers.order.count_open_parts(cx, CountOpenPartsRequest { user_id: user_id.clone() }),
            self.peers.payment.get_wallet_of(cx, GetWalletOfRequest { user_id: user_id.clone() }),
        )?;
        let won = |m: &Option<Money>| m.as_ref().map_or(0, |m| m.units);
        let (balance, reserved, held) = (won(&wallet.balance), won(&wallet.reserved), won(&wallet.held));
        match [parts.bought, parts.sold, balance, reserved, held].iter().all(|n| *n == 0) {
            true => Ok(()),
            false => {
                Err(Fault::AccountInUse { bought: parts.bought, sold: parts.sold, balance, reserved, held }.into())
            }
        }
    }

    async fn erase_all(&self, tx: &kit::db::Tx, account: &Account) -> Result<()> {
        let user_id = account.user_id();
        let is_admin = account.roles().contains(&Role::Admin);
        if is_admin && store::account::count_role(tx, Role::Admin).await? <= 1 {
            return Err(Fault::LastAdmin { user_id: user_id.to_owned() }.into());
        }
        end_sessions(tx, user_id, None, RevocationCause::Revoked).await?;
        store::session::forget(tx, user_id).await?;
        store::mail::forget(tx, user_id, account.email_hash()).await?;
        store::account::forget(tx, user_id).await?;
        self.sealer.erase(tx, user_id).await?;
        let (user_id, erase_time) = (user_id.to_owned(), Some(proto::timestamp(tx.now())));
        tx.emit(&pb::AccountErased { user_id, erase_time }).await.map(drop)
    }
}
