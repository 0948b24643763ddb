//! Giving money back: out of the escrow at once, to the buyer when the provider says so.

use super::settle::{purse, what_is_left};
use crate::{
    Payments,
    domain::{
        self, Fault, again,
        ledger::{Account, Kind, Transfer},
        share::{self, Cut},
    },
    provider::{Outcome, RefundRef},
    store::{self, payment, refund::Model, settlement},
    unkeyed,
};
use jangteo_core::{Call, Error, Id, Result, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::payment::v1::{self as wire, PaymentStatus as Status, RefundStatus};

/// A refund to make.
struct Wanted<'a> {
    refund_id: &'a str,
    part: i64,
    asked: i64,
    reason: &'a str,
    direct: bool,
    /// The settled part whose seller gives it.
    from: Option<settlement::Model>,
}

impl Payments {
    pub(super) async fn refund_part(&self, cx: Call, req: wire::RefundOrderRequest) -> Result<wire::Refund> {
        let asked = domain::amount("amount", req.amount.as_ref(), 0)?;
        let (req, part) = (&req, i64::from(req.part));
        let write = async |tx: Tx| {
            let payment = store::payment::must_lock(&tx, &req.order_id).await?;
            if let Some(row) = store::refund::find(&tx, &req.refund_id).await? {
                let same = (&row.order_id, row.part, row.asked) == (&req.order_id, part, asked);
                return if same { Ok(()) } else { Err(Fault::RefundIdReused { refund_id: row.refund_id }.into()) };
            }
            if let Some(row) = store::settlement::find(&tx, &req.order_id, part).await? {
                return Err(Fault::PartSettled { order_id: row.order_id, part, amount: row.asked }.into());
            }
            let cut = what_is_left(&tx, &req.order_id, part, asked).await?;
            let (refund_id, reason) = (req.refund_id.as_str(), req.reason.as_str());
            let wanted = Wanted { refund_id, part, asked, reason, direct: false, from: None };
            self.open(&tx, payment, &wanted, &cut).await
        };
        self.db.write(&cx, write).await?;
        self.refunded(&cx, &req.refund_id).await
    }

    pub(super) async fn refund_directly(&self, cx: Call, req: wire::RefundPaymentRequest) -> Result<wire::Refund> {
        let amount = domain::amount("amount", req.amount.as_ref(), 1)?;
        let staff = cx.has_role("admin") || cx.has_role("moderator");
        let order_id = &store::payment::find(self.db.primary(), &req.payment_id).await?.order_id;
        let (req, part, refund_id) = (&req, i64::from(req.part), &Id::<domain::Refund>::new().to_string());
        let write = async |tx: Tx| {
            let payment = store::payment::must_lock(&tx, order_id).await?;
            let from = match part {
                0 if store::settlement::any_of(&tx, order_id).await? => {
                    return Err(Fault::SettledInParts { order_id: order_id.clone() }.into());
                }
                0 => None,
                part => store::settlement::find(&tx, order_id, part).await?,
            };
            match &from {
                _ if staff => {}
                Some(settled) => tx.call().owns(&settled.seller_id)?,
                None => {
                    return Err(Error::denied(
                        "NOT_YOURS",
                        "before a part is settled, only staff or its order can refund it",
                    ));
                }
            }
            let wanted = Wanted { refund_id, part, asked: amount, reason: &req.reason, direct: true, from };
            let cut = Cut { amount, absorbed: Vec::new() };
            self.open(&tx, payment, &wanted, &cut).await?;
            // The answer is what it names: the row tells the rest, now and when the request comes again.
            Ok(refund_id.clone())
        };
        let refund_id = self.db.write(&cx, write).await?;
        self.refunded(&unkeyed(&cx), &refund_id).await
    }

    /// Takes a refund that is written down as far as it goes.
    async fn refunded(&self, cx: &Call, refund_id: &str) -> Result<wire::Refund> {
        crash_point!("payment.refund.after_intent");
        self.finish_refund(cx, refund_id).await?;
        if let Some(row) =
            store::points::find(self.db.primary(), &points_key(refund_id)).await?.filter(|row| row.due > 0)
        {
            self.return_points(cx, &row).await?;
        }
        Ok(store::refund::must_find(self.db.primary(), refund_id).await?.into())
    }

    /// Writes the refund down: the money leaves the escrow now.
    async fn open(&self, tx: &Tx, mut payment: payment::Model, wanted: &Wanted<'_>, cut: &Cut) -> Result<()> {
        let order_id = &payment.order_id.clone();
        if !matches!(payment.status(), Status::Captured | Status::Refunded) {
            return Err(Fault::NotCaptured { order_id: order_id.clone() }.into());
        }
        let left = payment.captured - payment.refunded;
        if cut.amount > left {
            return Err(Fault::RefundTooLarge { order_id: order_id.clone(), left }.into());
        }
        let money_left = payment.money() - (payment.refunded - payment.refunded_points);
        let (money, points) = share::refund(cut.amount, money_left);
        if let Some(settled) = &wanted.from {
            take_from_seller(tx, settled, wanted, cut.amount).await?;
        }
        self.take_from_escrow(tx, &payment, wanted, money, points).await?;
        store::refund::absorb(tx, &cut.absorbed).await?;
        let waits = money > 0 && payment.funding == "PROVIDER";
        let now = micros(tx.now());
        let wait = again(tx.now(), self.cfg.provider_timeout_ms + self.cfg.ask_after_ms, 0);
        let row = Model {
            refund_id: wanted.refund_id.to_owned(),
            order_id: order_id.clone(),
            payment_id: payment.payment_id.clone(),
            part: wanted.part,
            asked: wanted.asked,
            amount: cut.amount,
            points,
            reason: wanted.reason.to_owned(),
            status: i32::from(RefundStatus::Pending).into(),
            provider: if waits { payment.provider.clone() } else { String::new() },
            direct: wanted.direct,
            absorbed: if wanted.from.is_some() { cut.amount } else { 0 },
            from_seller: wanted.from.is_some(),
            due: if waits { wait } else { 0 },
            tries: 0,
            done_time: 0,
            create_time: now,
            money_before: payment.refunded - payment.refunded_points,
        };
        store::refund::insert(tx, row.clone()).await?;
        payment.refunded += cut.amount;
        payment.refunded_points += points;
        store::payment::change(tx, payment.clone()).await?;
        if waits { Ok(()) } else { complete(tx, payment, row, RefundStatus::Done).await }
    }

    async fn take_from_escrow(
        &self,
        tx: &Tx,
        payment: &payment::Model,
        wanted: &Wanted<'_>,
        money: i64,
        points: i64,
    ) -> Result<()> {
        let (order_id, key) = (&payment.order_id, wanted.refund_id);
        let to = match payment.funding.as_str() {
            "WALLET" => Account::of(Kind::Wallet, &payment.buyer_id),
            _ => Account::of(Kind::Refunds, &payment.provider),
        };
        let shares = [("REFUND", to, money), ("POINTS_REFUND", Account::of(Kind::PointsFunding, ""), points)];
        let escrow = Account::of(Kind::Escrow, order_id);
        let shares = shares.into_iter().filter(|(.., amount)| *amount > 0);
        let transfers: Vec<_> =
            shares.map(|(why, to, amount)| Transfer::new(why, key, (escrow.clone(), to), amount, order_id)).collect();
        let short = |o: domain::ledger::Overdrawn| Fault::EscrowShort { order_id: order_id.clone(), left: o.available };
        store::ledger::post(tx, &transfers).await?.map_err(short)?;
        if points == 0 {
            return Ok(());
        }
        let row = store::points::Model {
            key: points_key(wanted.refund_id),
            user_id: payment.buyer_id.clone(),
            points,
            taken_key: String::new(),
            reason: "PAYMENT_RETURNED".to_owned(),
            due: micros(tx.now()),
            tries: 0,
        };
        store::points::insert(tx, row).await
    }

    /// Asks the provider to give a refund back, or has a job ask again.
    pub(crate) async fn finish_refund(&self, cx: &Call, refund_id: &str) -> Result<()> {
        let row = store::refund::must_find(self.db.primary(), refund_id).await?;
        if row.status() != RefundStatus::Pending {
            return Ok(());
        }
        let charge = store::charge::live(self.db.primary(), &row.order_id).await?;
        let charge = charge.ok_or_else(|| Error::internal(format!("{} has no charge to refund", row.order_id)))?;
        let provider = self.router.named(&charge.provider)?;
        let (amount, before) = (domain::krw(row.money()), domain::krw(row.money_before));
        let refund = RefundRef { key: row.refund_id.clone(), amount, before, reason: row.reason.clone() };
        let charge = charge.reference(cx.now);
        let outcome = self.router.ask(&**provider, "refund", self.limit(cx), provider.refund(&charge, &refund)).await;
        crash_point!("payment.refund.after_provider");
        let write = async |tx: Tx| {
            let payment = store::payment::must_lock(&tx, &row.order_id).await?;
            let mut row = store::refund::must_find(&tx, refund_id).await?;
            if row.status() != RefundStatus::Pending {
                return Ok(());
            }
            let owed = Account::of(Kind::Refunds, &row.provider);
            let (to, why, status) = match &outcome {
                Outcome::Done(()) => (Account::of(Kind::Clearing, &row.provider), "REFUND_PAID", RefundStatus::Done),
                Outcome::Declined(_) => {
                    (Account::of(Kind::Wallet, &payment.buyer_id), "REFUND", RefundStatus::InWallet)
                }
                other => {
                    tracing::warn!(refund_id, outcome = ?other, "a refund is not known yet");
                    row.due = again(tx.now(), self.cfg.ask_after_ms, row.tries);
                    row.tries += 1;
                    return store::refund::save(&tx, row).await;
                }
            };
            let key = format!("{refund_id}:out");
            store::ledger::must_post(&tx, &[Transfer::new(why, &key, (owed, to), row.money(), &row.order_id)]).await?;
            complete(&tx, payment, row, status).await
        };
        self.db.write(&unkeyed(cx), write).await?;
        crash_point!("payment.refund.after_commit");
        Ok(())
    }
}

/// The occasion of giving a refund's points back.
fn points_key(refund_id: &str) -> String {
    format!("payment:{refund_id}:points")
}

/// From where a settled part's money is now, into the escrow again; the commission stays ours.
async fn take_from_seller(tx: &Tx, settled: &settlement::Model, wanted: &Wanted<'_>, amount: i64) -> Result<()> {
    let before = store::refund::of_order(tx, &settled.order_id).await?;
    let before: i64 = before.iter().filter(|r| r.from_seller && r.part == settled.part).map(|r| r.amount).sum();
    // What is held is held for each part; a wallet is one.
    let most = if settled.released { settled.amount } else { settled.net() };
    if before + amount > most {
        return Err(Fault::RefundTooLarge { order_id: settled.order_id.clone(), left: (most - before).max(0) }.into());
    }
    let to = Account::of(Kind::Escrow, &settled.order_id);
    let back =
        Transfer::new("REFUND", &format!("{}:in", wanted.refund_id), (purse(settled), to), amount, &settled.order_id);
    store::ledger::post(tx, &[back]).await?.map_err(Payments::wallet_short)
}

/// The buyer has it.
async fn complete(tx: &Tx, mut payment: payment::Model, mut row: Model, status: RefundStatus) -> Result<()> {
    row.set_status(status);
    (row.due, row.done_time) = (0, micros(tx.now()));
    store::refund::save(tx, row.clone()).await?;
    let all = store::refund::of_order(tx, &row.order_id).await?;
    if payment.refunded == payment.captured && all.iter().all(|r| r.status() != RefundStatus::Pending) {
        payment.set_status(Status::Refunded);
    }
    let event = wire::PaymentRefunded {
        payment_id: payment.payment_id.clone(),
        order_id: payment.order_id.clone(),
        buyer_id: payment.buyer_id.clone(),
        refund_id: row.refund_id,
        part: i32::try_from(row.part).unwrap_or(0),
        amount: Some(domain::won(row.amount)),
        direct: row.direct,
    };
    store::payment::change(tx, payment).await?;
    tx.emit(&event).await.map(drop)
}
