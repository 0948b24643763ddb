//! Wallets as their owners see them.

use crate::{
    Payments,
    domain::{
        ledger::{Account, Kind, Side},
        won,
    },
    store,
};
use jangteo_core::{Call, Error, Result, from_micros};
use proto::jangteo::payment::v1 as wire;

impl Payments {
    pub(super) async fn wallet(&self, user: &str) -> Result<wire::Wallet> {
        let conn = self.db.primary();
        let wallet = store::ledger::balance(conn, &Account::of(Kind::Wallet, user)).await?;
        let held = store::ledger::balance(conn, &Account::of(Kind::Payable, user)).await?;
        let narrow = |n: i128| i64::try_from(n).map(won).map_err(Error::internal);
        Ok(wire::Wallet {
            balance: Some(narrow(wallet.available(Side::Credit))?),
            reserved: Some(narrow(wallet.debits_pending)?),
            held: Some(narrow(held.available(Side::Credit))?),
            payout_account: store::payout::account_of(conn, user).await?.map(Into::into),
        })
    }

    /// With what is on its way out of it, which the person can't be without an account for.
    pub(super) async fn wallet_of(&self, user: &str) -> Result<wire::Wallet> {
        let mut wallet = self.wallet(user).await?;
        let leaving = store::payout::pending(self.db.primary(), user).await?;
        if let Some(reserved) = &mut wallet.reserved {
            reserved.units += leaving;
        }
        Ok(wallet)
    }

    pub(super) async fn wallet_entries(
        &self,
        cx: Call,
        req: wire::ListWalletEntriesRequest,
    ) -> Result<wire::ListWalletEntriesResponse> {
        let wallet = Account::of(Kind::Wallet, cx.user_id()?);
        let (id, bound) = (wallet.id(), format!("wallet {}", wallet.owner));
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = store::ledger::moves(&self.db, &wallet, &page).await?;
        let entry = |row: store::ledger::transfer::Model| wire::WalletEntry {
            delta: if row.credit_account == id { row.amount } else { -row.amount },
            transfer_id: row.transfer_id,
            reason: row.reason,
            reference: row.reference,
            create_time: Some(proto::timestamp(from_micros(row.create_time))),
        };
        Ok(wire::ListWalletEntriesResponse {
            entries: found.rows.into_iter().map(entry).collect(),
            next_page_token: found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last)),
        })
    }
}
