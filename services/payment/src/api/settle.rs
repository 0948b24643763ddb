//! Paying sellers from escrows.

use super::points;
use crate::{
    Payments,
    domain::{
        self, Fault,
        ledger::{Account, Kind, Transfer},
        share::{self, Cut},
        won,
    },
    store::{self, settlement::Model},
    unkeyed,
};
use jangteo_core::{Call, Result, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::payment::v1::{self as wire, PaymentStatus as Status};

impl Payments {
    pub(super) async fn settle_part(&self, cx: Call, req: wire::SettleRequest) -> Result<wire::Settlement> {
        let asked = domain::amount("amount", req.amount.as_ref(), 0)?;
        let req = &req;
        let write = async |tx: Tx| {
            let payment = store::payment::must_lock(&tx, &req.order_id).await?;
            let part = i64::from(req.part);
            if let Some(row) = store::settlement::find(&tx, &req.order_id, part).await? {
                return match (row.asked, &row.seller_id) == (asked, &req.seller_id) {
                    true => Ok(row.into()),
                    false => Err(Fault::PartSettled { order_id: row.order_id, part, amount: row.asked }.into()),
                };
            }
            if !matches!(payment.status(), Status::Captured | Status::Refunded) {
                return Err(Fault::NotCaptured { order_id: req.order_id.clone() }.into());
            }
            let cut = what_is_left(&tx, &req.order_id, part, asked).await?;
            let row = self.settlement(&tx, req, asked, &cut);
            store::refund::absorb(&tx, &cut.absorbed).await?;
            store::ledger::must_post(&tx, &transfers(&row)).await?;
            store::settlement::insert(&tx, row.clone()).await?;
            tx.emit(&event(&row)).await?;
            let earned = share::commission(row.amount, self.cfg.points_bp);
            points::earn(&tx, &payment.buyer_id, &row.key(), earned).await?;
            crash_point!("payment.settle.before_commit");
            Ok(row.into())
        };
        let settlement = self.db.write(&cx, write).await?;
        crash_point!("payment.settle.after_commit");
        Ok(settlement)
    }

    fn settlement(&self, tx: &Tx, req: &wire::SettleRequest, asked: i64, cut: &Cut) -> Model {
        let bp = self.cfg.commission_overrides.get(&req.seller_id).copied().unwrap_or(self.cfg.commission_bp);
        let now = micros(tx.now());
        let hold = i64::try_from(self.cfg.settlement_hold_secs).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        Model {
            order_id: req.order_id.clone(),
            part: req.part.into(),
            seller_id: req.seller_id.clone(),
            asked,
            amount: cut.amount,
            commission: share::commission(cut.amount, bp),
            release_time: now.saturating_add(hold),
            released: hold == 0,
            create_time: now,
        }
    }

    /// Moves what a seller was held back for long enough into the wallet.
    pub(crate) async fn release(&self, cx: &Call, held: &Model) -> Result<()> {
        let write = async |tx: Tx| {
            store::payment::must_lock(&tx, &held.order_id).await?;
            let Some(row) = store::settlement::find(&tx, &held.order_id, held.part).await? else { return Ok(()) };
            // A refund by the seller may have taken some of it.
            let refunds = store::refund::of_order(&tx, &held.order_id).await?;
            let gone: i64 = refunds.iter().filter(|r| r.from_seller && r.part == held.part).map(|r| r.amount).sum();
            let left = (row.net() - gone).max(0);
            if row.released {
                return Ok(());
            }
            if left > 0 {
                let from = Account::of(Kind::Payable, &row.seller_id);
                let to = Account::of(Kind::Wallet, &row.seller_id);
                let release =
                    Transfer::new("SETTLEMENT", &format!("{}:release", row.key()), (from, to), left, &row.order_id);
                store::ledger::must_post(&tx, &[release]).await?;
            }
            store::settlement::save(&tx, Model { released: true, ..row }).await
        };
        self.db.write(&unkeyed(cx), write).await
    }
}

/// What an order's own step may move for a part. A part that went back directly is not paid twice.
pub(super) async fn what_is_left(tx: &Tx, order_id: &str, part: i64, asked: i64) -> Result<Cut> {
    let left = store::ledger::available(tx, &Account::of(Kind::Escrow, order_id)).await?;
    let directs = store::refund::directs(tx, order_id).await?;
    let short = || Fault::EscrowShort { order_id: order_id.to_owned(), left };
    Ok(share::cut(asked, part, left, &directs).ok_or_else(short)?)
}

/// From whom a settled part is, and where its money is now.
pub(super) fn purse(row: &Model) -> Account {
    Account::of(if row.released { Kind::Wallet } else { Kind::Payable }, &row.seller_id)
}

fn transfers(row: &Model) -> Vec<Transfer> {
    let escrow = Account::of(Kind::Escrow, &row.order_id);
    let shares =
        [("SETTLEMENT", purse(row), row.net()), ("COMMISSION", Account::of(Kind::Commission, ""), row.commission)];
    let shares = shares.into_iter().filter(|(.., amount)| *amount > 0);
    shares
        .map(|(reason, to, amount)| Transfer::new(reason, &row.key(), (escrow.clone(), to), amount, &row.order_id))
        .collect()
}

fn event(row: &Model) -> wire::SettlementMade {
    wire::SettlementMade {
        order_id: row.order_id.clone(),
        part: i32::try_from(row.part).unwrap_or(0),
        seller_id: row.seller_id.clone(),
        amount: Some(won(row.amount)),
        commission: Some(won(row.commission)),
        net: Some(won(row.net())),
    }
}
