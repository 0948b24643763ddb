//! Paying wallets out to bank accounts.

use crate::{
    Payments,
    domain::{
        self, Fault, again,
        ledger::{Account, Kind, Transfer},
        won,
    },
    provider::{Outcome, PayoutRef},
    store::{
        self,
        payout::{Model, account},
    },
    unkeyed,
};
use jangteo_core::{Call, Id, Result, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::payment::v1::{self as wire, PayoutStatus};

impl Payments {
    pub(super) async fn name_payout_account(
        &self,
        cx: Call,
        req: wire::PutPayoutAccountRequest,
    ) -> Result<wire::PayoutAccount> {
        let (user, req) = (cx.user_id()?, &req);
        let write = async |tx: Tx| {
            let key = self.sealer.person(&tx, user).await?;
            let row = account::Model {
                user_id: user.to_owned(),
                bank: req.bank.clone(),
                last4: req.account_number[req.account_number.len().saturating_sub(4)..].to_owned(),
                sealed: store::payout::seal(&key, &req.account_number, req.holder.trim())?,
                update_time: micros(tx.now()),
            };
            store::payout::put_account(&tx, row.clone()).await?;
            Ok(row.into())
        };
        self.db.write(&cx, write).await
    }

    pub(super) async fn withdraw(&self, cx: Call, req: wire::WithdrawWalletRequest) -> Result<wire::Payout> {
        let user = cx.user_id()?;
        let amount = domain::amount("amount", req.amount.as_ref(), 1)?;
        if amount < self.cfg.payout_minimum {
            return Err(Fault::PayoutTooSmall { minimum: self.cfg.payout_minimum }.into());
        }
        let payout_id = &Id::<domain::Payout>::new().to_string();
        let write = async |tx: Tx| self.open_payout(&tx, payout_id, user, Some(amount)).await;
        let payout_id: String = self.db.write(&cx, write).await?;
        crash_point!("payment.payout.after_intent");
        self.finish_payout(&cx, &payout_id).await?;
        Ok(store::payout::find(self.db.primary(), &payout_id).await?.into())
    }

    /// Takes money out of a wallet for a payout: `amount`, or all there is. Returns the payout's id.
    pub(crate) async fn open_payout(
        &self,
        tx: &Tx,
        payout_id: &str,
        user: &str,
        amount: Option<i64>,
    ) -> Result<String> {
        let provider = self.router.all().find(|p| p.pays_out()).ok_or(Fault::PayoutsNotOffered)?.name().to_owned();
        let account = store::payout::account_of(tx, user).await?.ok_or(Fault::PayoutAccountRequired)?;
        let wallet = Account::of(Kind::Wallet, user);
        let amount = match amount {
            Some(amount) => amount,
            None => store::ledger::available(tx, &wallet).await?.max(self.cfg.payout_minimum),
        };
        let to = Account::of(Kind::PayoutClearing, &provider);
        let out = Transfer::new("PAYOUT", payout_id, (wallet, to), amount, payout_id);
        store::ledger::post(tx, &[out]).await?.map_err(Payments::wallet_short)?;
        let now = micros(tx.now());
        let row = Model {
            payout_id: payout_id.to_owned(),
            user_id: user.to_owned(),
            amount,
            status: i32::from(PayoutStatus::Pending).into(),
            provider,
            bank: account.bank,
            last4: account.last4,
            sealed: account.sealed,
            due: again(tx.now(), self.cfg.provider_timeout_ms + self.cfg.ask_after_ms, 0),
            tries: 0,
            done_time: 0,
            create_time: now,
            update_time: now,
        };
        store::payout::insert(tx, row).await?;
        Ok(payout_id.to_owned())
    }

    /// Has the provider pay, or a job ask again.
    pub(crate) async fn finish_payout(&self, cx: &Call, payout_id: &str) -> Result<()> {
        let row = store::payout::find(self.db.primary(), payout_id).await?;
        if row.status() != PayoutStatus::Pending {
            return Ok(());
        }
        let Some(key) = self.sealer.find(self.db.primary(), &row.user_id).await? else {
            // Erased meanwhile: nobody knows the account any more.
            let write = async |tx: Tx| {
                let row = store::payout::locked(&tx, payout_id).await?;
                if row.status() == PayoutStatus::Pending { failed(&tx, row).await } else { Ok(()) }
            };
            return self.db.write(&unkeyed(cx), write).await;
        };
        let (account_number, holder) = store::payout::open(&key, &row.sealed)?;
        let provider = self.router.named(&row.provider)?;
        let amount = domain::krw(row.amount);
        let payout = PayoutRef { key: row.payout_id, amount, bank: row.bank, account_number, holder };
        let outcome = self.router.ask(&**provider, "payout", self.limit(cx), provider.payout(&payout)).await;
        crash_point!("payment.payout.after_provider");
        let write = async |tx: Tx| {
            let row = store::payout::locked(&tx, payout_id).await?;
            match (row.status(), &outcome) {
                (PayoutStatus::Pending, Outcome::Done(())) => paid(&tx, row).await,
                (PayoutStatus::Pending, Outcome::Declined(_)) => failed(&tx, row).await,
                (PayoutStatus::Pending, other) => {
                    tracing::warn!(payout_id, outcome = ?other, "a payout is not known yet");
                    let (due, tries) = (again(tx.now(), self.cfg.ask_after_ms, row.tries), row.tries + 1);
                    store::payout::change(&tx, Model { due, tries, ..row }).await
                }
                _ => Ok(()),
            }
        };
        self.db.write(&unkeyed(cx), write).await?;
        crash_point!("payment.payout.after_commit");
        Ok(())
    }
}

async fn paid(tx: &Tx, mut row: Model) -> Result<()> {
    let from = Account::of(Kind::PayoutClearing, &row.provider);
    let to = Account::of(Kind::Clearing, &row.provider);
    let out = Transfer::new("PAYOUT_PAID", &row.payout_id, (from, to), row.amount, &row.payout_id);
    store::ledger::must_post(tx, &[out]).await?;
    row.set_status(PayoutStatus::Paid);
    (row.due, row.done_time) = (0, micros(tx.now()));
    let (payout_id, user_id, amount) = (row.payout_id.clone(), row.user_id.clone(), Some(won(row.amount)));
    store::payout::change(tx, row).await?;
    tx.emit(&wire::PayoutPaid { payout_id, user_id, amount }).await.map(drop)
}

/// The bank refuses it: back into the wallet.
async fn failed(tx: &Tx, mut row: Model) -> Result<()> {
    let from = Account::of(Kind::PayoutClearing, &row.provider);
    let to = Account::of(Kind::Wallet, &row.user_id);
    let back = Transfer::new("PAYOUT_FAILED", &row.payout_id, (from, to), row.amount, &row.payout_id);
    store::ledger::must_post(tx, &[back]).await?;
    row.set_status(PayoutStatus::Failed);
    row.due = 0;
    store::payout::change(tx, row).await
}
