//! Timed jobs: whatever a crash, a silence or an outage left half done is taken up again from its row.

mod reconcile;

use crate::{
    Payments,
    domain::{self, Fault, again, charge, payment},
    provider::{About, sandbox::webhook},
    store, unkeyed,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use jangteo_core::{Call, Fault as _, Id, Result, micros};
use kit::db::Tx;
use proto::jangteo::payment::v1::PaymentStatus as Status;
use std::{collections::BTreeMap, sync::Arc};

/// So many of each kind in one run, and so many of them at a time.
const BATCH: u64 = 200;
const AT_ONCE: usize = 8;

impl Payments {
    /// Asks providers for what they have not said, gives up what nobody wants, gives points back, finishes refunds and payouts.
    pub async fn resolve(self: Arc<Self>, cx: Call) -> Result<()> {
        let (me, cx, conn, now) = (&*self, &cx, self.db.primary(), micros(cx.now));
        let payments = store::payment::due(conn, now, BATCH).await?;
        each("payment", payments.iter().map(|row| me.look_after(cx, row).boxed())).await;
        let charges = store::charge::due(conn, now, BATCH).await?;
        each("charge", charges.iter().map(|row| me.give_up(cx, row).boxed())).await;
        let points = store::points::due(conn, now, BATCH).await?;
        each("points", points.iter().map(|row| me.return_points(cx, row).boxed())).await;
        let refunds = store::refund::due(conn, now, BATCH).await?;
        each("refund", refunds.iter().map(|row| me.finish_refund(cx, &row.refund_id).boxed())).await;
        let payouts = store::payout::due(conn, now, BATCH).await?;
        each("payout", payouts.iter().map(|row| me.finish_payout(cx, &row.payout_id).boxed())).await;
        Ok(())
    }

    /// An erased person's cards and bank account. The books stay: they name nobody.
    pub async fn forget_person(self: Arc<Self>, tx: Tx, user_id: String) -> Result<()> {
        store::method::forget(&tx, &user_id).await?;
        store::payout::forget(&tx, &user_id).await
    }

    /// Goes on with a payment that waits for somebody's answer.
    async fn look_after(&self, cx: &Call, row: &store::payment::Model) -> Result<()> {
        let order_id = &row.order_id;
        if row.status() == Status::Authorised && row.capturing {
            return self.finish_capture(cx, order_id).await;
        }
        if !payment::waits(row.status()) {
            return self.rest(cx, order_id).await;
        }
        let charge = store::charge::live(self.db.primary(), order_id).await?;
        match charge {
            Some(charge) if !row.taking_points => self.enquire(cx, &charge).await,
            _ => {
                self.put_off(cx, order_id).await?;
                self.drive(cx, order_id, false).await.map(drop)
            }
        }
    }

    /// Asks how a charge stands; one that never arrived is sent again under its key, and given up when that goes on too long.
    async fn enquire(&self, cx: &Call, charge: &store::charge::Model) -> Result<()> {
        // First of all: should this process die, the next one is not to hurry, and knows that somebody may have asked.
        self.postpone(cx, charge).await?;
        let provider = self.router.named(&charge.provider)?;
        let answer =
            self.router.call(&**provider, "look_up", self.limit(cx), provider.look_up(&charge.reference(cx.now))).await;
        let seen = match answer.unwrap_or_else(|| Err("no answer in time".into())) {
            Ok(seen) => seen,
            Err(why) => {
                tracing::warn!(
                    key = charge.key,
                    provider = charge.provider,
                    why,
                    "a provider can't say how a charge stands"
                );
                return Ok(());
            }
        };
        let about = About::Key(charge.key.clone());
        if charge::step(charge.state()?, &seen) != charge::Step::AskAgain {
            return self.learn(cx, &charge.provider, &about, &seen).await;
        }
        let age = u64::try_from(micros(cx.now) - charge.create_time).unwrap_or(0) / 1_000_000;
        if age < self.cfg.give_up_secs {
            return self.ask_provider(cx, charge, false).await.map(drop);
        }
        self.abandon(cx, charge).await
    }

    async fn put_off(&self, cx: &Call, order_id: &str) -> Result<()> {
        let write = async |tx: Tx| {
            let mut row = store::payment::must_lock(&tx, order_id).await?;
            row.due = again(tx.now(), self.cfg.ask_after_ms, row.tries);
            row.tries += 1;
            store::payment::change(&tx, row).await
        };
        self.db.write(&unkeyed(cx), write).await
    }

    async fn rest(&self, cx: &Call, order_id: &str) -> Result<()> {
        let write = async |tx: Tx| {
            let mut row = store::payment::must_lock(&tx, order_id).await?;
            if payment::waits(row.status()) || row.capturing {
                return Ok(());
            }
            row.due = 0;
            store::payment::change(&tx, row).await
        };
        self.db.write(&unkeyed(cx), write).await
    }

    /// Lets go of what sellers were held back, and pays wallets out when it is time.
    pub async fn release_and_pay_out(self: Arc<Self>, cx: Call) -> Result<()> {
        let (me, cx) = (&*self, &cx);
        let held = store::settlement::to_release(me.db.primary(), micros(cx.now), BATCH).await?;
        each("settlement", held.iter().map(|row| me.release(cx, row).boxed())).await;
        let last = store::progress::get(me.db.primary(), "payouts").await?;
        let every = i64::try_from(me.cfg.payout_every_secs).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let now = micros(cx.now);
        if last.is_some_and(|last| now - last >= every) {
            me.pay_out(cx).await?;
        }
        if last.is_none_or(|last| now - last >= every) {
            let write = async |tx: Tx| store::progress::set(&tx, "payouts", now).await;
            me.db.write(cx, write).await?;
        }
        Ok(())
    }

    /// Every wallet with enough in it and a bank account to go to.
    async fn pay_out(&self, cx: &Call) -> Result<()> {
        let kind = domain::ledger::Kind::Wallet.name();
        let mut after = String::new();
        loop {
            let owners =
                store::ledger::owners_with(self.db.primary(), kind, self.cfg.payout_minimum, &after, BATCH).await?;
            let Some(last) = owners.last().cloned() else { return Ok(()) };
            after = last;
            each("wallet", owners.iter().map(|user| self.pay_out_one(cx, user).boxed())).await;
        }
    }

    async fn pay_out_one(&self, cx: &Call, user: &str) -> Result<()> {
        if store::payout::account_of(self.db.primary(), user).await?.is_none() {
            return Ok(());
        }
        let payout_id = &Id::<domain::Payout>::new().to_string();
        let write = async |tx: Tx| self.open_payout(&tx, payout_id, user, None).await;
        match self.db.write(cx, write).await {
            Ok(payout_id) => self.finish_payout(cx, &payout_id).await,
            // Spent meanwhile.
            Err(e) if e.reason() == (Fault::WalletShort { balance: 0 }).reason() => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Adds what waits to the accounts that everybody's transfers touch.
    pub async fn roll_up(self: Arc<Self>, cx: Call) -> Result<()> {
        const ROWS: u64 = 500;
        let write = async |tx: Tx| Ok(i64::try_from(store::ledger::roll_up(&tx, ROWS).await?).unwrap_or(0));
        while self.db.write(&cx, write).await? >= 500 {}
        Ok(())
    }

    /// Delivers what the sandbox has to say, to the same door as everybody's webhooks.
    pub async fn send_sandbox_webhooks(self: Arc<Self>, cx: Call) -> Result<()> {
        let Some(sandbox) = &self.sandbox else { return Ok(()) };
        for outgoing in sandbox.outgoing(self.clock.now()).await? {
            let headers = BTreeMap::from([(webhook::HEADER.to_owned(), outgoing.signature.clone())]);
            let cx = Call { now: self.clock.now(), ..cx.clone() };
            match self.receive(&cx, &outgoing.row.provider, &headers, &outgoing.body).await {
                Ok(()) => sandbox.arrived(outgoing).await?,
                Err(error) => tracing::warn!(error = ?error, "a webhook of the sandbox was not taken; it comes again"),
            }
        }
        Ok(())
    }
}

/// Does pieces of work, some at a time; what fails is logged and comes again.
async fn each<'a>(what: &'static str, work: impl Iterator<Item = BoxFuture<'a, Result<()>>>) {
    let work: Vec<_> = work.collect();
    let one = |piece: BoxFuture<'a, Result<()>>| async move {
        if let Err(error) = piece.await {
            tracing::warn!(what, error = ?error, "a job's piece of work failed; it comes again");
        }
    };
    stream::iter(work).for_each_concurrent(AT_ONCE, one).await;
}
