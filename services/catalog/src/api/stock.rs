//! Units for orders. A hold may lie in several databases: it is taken and sold from the first of them to the last, and
//! given up from the last to the first, so that the last one decides which of a sale and a release came first. What
//! a crash leaves half done, the caller's next attempt or the end of the hold's time completes.

use crate::{
    Catalog,
    domain::{
        Fault, Product,
        hold::{self, Act, Status, Units},
        status_name,
    },
    store::{
        self,
        product::stock::{self, Available},
    },
};
use jangteo_core::{Call, Result, from_micros, micros};
use kit::{
    crash_point,
    db::{Db, Tx},
};
use proto::jangteo::catalog::v1 as wire;
use std::collections::{BTreeMap, HashMap};

impl Catalog {
    pub(super) async fn offers(&self, product_ids: &[String]) -> Result<Vec<wire::Offer>> {
        let find = |db: Db| async move { store::product::find_all(db.primary(), product_ids).await };
        let found = self.shards.for_each(find).await?.into_iter().flatten();
        let mut rows: HashMap<String, _> = found.map(|row| (row.product_id.clone(), row)).collect();
        product_ids.iter().filter_map(|id| rows.remove(id)).map(|row| row.into_offer()).collect()
    }

    pub(super) async fn hold(&self, cx: Call, req: wire::HoldStockRequest) -> Result<wire::StockHold> {
        let parts = self.parts(req.lines)?;
        let ttl = req.ttl.unwrap_or_default();
        let until = micros(cx.now) + ttl.seconds * 1_000_000 + i64::from(ttl.nanos) / 1000;
        crash_point!("catalog.hold.before_tx");
        let mut held = Vec::new();
        for (n, (db, lines)) in parts.iter().enumerate() {
            if n > 0 {
                crash_point!("catalog.hold.between_databases");
            }
            match self.act(&cx, db, Act::Hold, &req.hold_id, lines, until).await {
                Ok(part) => held.push(part),
                Err(e) => {
                    self.give_up(&cx, &req.hold_id, &parts[..n]).await;
                    return Err(e);
                }
            }
        }
        crash_point!("catalog.hold.after_commit");
        Ok(whole(held))
    }

    /// After a part was refused: the parts before it are free again, and may be held again.
    async fn give_up(&self, cx: &Call, hold_id: &str, parts: &[Part<'_>]) {
        for (db, lines) in parts {
            if let Err(error) = self.act(cx, db, Act::GiveUp, hold_id, lines, 0).await {
                tracing::warn!(hold_id, error = ?error, "a part of a refused hold stays until its time is over");
            }
        }
    }

    pub(super) async fn confirm(&self, cx: Call, req: wire::ConfirmStockRequest) -> Result<wire::StockHold> {
        let mut sold = Vec::new();
        for (db, lines) in &self.parts(req.lines)? {
            sold.push(self.act(&cx, db, Act::Confirm, &req.hold_id, lines, 0).await?);
            crash_point!("catalog.confirm.after_commit");
        }
        Ok(whole(sold))
    }

    pub(super) async fn release(&self, cx: Call, req: wire::ReleaseStockRequest) -> Result<wire::StockHold> {
        let mut released = Vec::new();
        for (n, (db, lines)) in self.parts(req.lines)?.iter().rev().enumerate() {
            let act = if n == 0 { Act::Release } else { Act::Undo };
            released.push(self.act(&cx, db, act, &req.hold_id, lines, 0).await?);
            crash_point!("catalog.release.after_commit");
        }
        Ok(whole(released))
    }

    pub(super) async fn take_back(&self, cx: Call, req: wire::ReturnStockRequest) -> Result<()> {
        for (db, lines) in &self.parts(req.lines)? {
            self.act(&cx, db, Act::Return, &req.hold_id, lines, 0).await?;
            crash_point!("catalog.return.after_commit");
        }
        Ok(())
    }

    /// One database's part of an act: all of its lines or none. `until` is for holding.
    pub(crate) async fn act(
        &self,
        cx: &Call,
        db: &Db,
        act: Act,
        hold_id: &str,
        lines: &[wire::StockLine],
        until: i64,
    ) -> Result<wire::StockHold> {
        let write = async |tx: Tx| {
            let mut rows = Vec::with_capacity(lines.len());
            for line in lines {
                rows.extend(self.turn(&tx, act, hold_id, line, until).await?);
            }
            let status = rows.iter().map(|row| row.status()).collect::<Result<Vec<_>>>()?.into_iter().min();
            let expire_time = rows.iter().map(|row| row.expire_time).filter(|t| *t > 0).min();
            Ok(wire::StockHold {
                hold_id: hold_id.to_owned(),
                status: status.map_or(0, |s| s.shown().into()),
                expire_time: expire_time.map(|t| proto::timestamp(from_micros(t))),
            })
        };
        db.write(cx, write).await
    }

    /// One product's part: first its hold's row, then its own, as everybody does. The hold's row as it is afterwards.
    async fn turn(
        &self,
        tx: &Tx,
        act: Act,
        hold_id: &str,
        line: &wire::StockLine,
        until: i64,
    ) -> Result<Option<store::hold::Model>> {
        let found = store::hold::find(tx, hold_id, &line.product_id).await?;
        if act == Act::Expire && found.as_ref().is_some_and(|row| row.expire_time > micros(tx.now())) {
            return Ok(found);
        }
        let status = found.as_ref().map(|row| row.status()).transpose()?;
        let decided = hold::decide(act, hold_id, line, status)?;
        if let Some(row) = &found {
            same_quantity(act, row, line)?;
        }
        let Some((to, units)) = decided else { return Ok(found) };
        let row = match found {
            Some(row) => {
                let until = if to == Status::Held { until } else { row.expire_time };
                store::hold::turn(tx, row, to, until).await?
            }
            None => store::hold::insert(tx, hold_id, line, to, until).await?,
        };
        self.shift(tx, &row.product_id, row.quantity, units).await?;
        Ok(Some(row))
    }

    async fn shift(&self, tx: &Tx, product_id: &str, quantity: i64, units: Units) -> Result<()> {
        let delta = store::product::small(quantity);
        match units {
            Units::Stay => {}
            Units::Hold => match stock::hold(tx, product_id, quantity).await? {
                Some(row) => self.evict_available_after(tx, &row),
                None => return Err(refusal(&store::product::find(tx, product_id).await?)?),
            },
            Units::Free => self.evict_available_after(tx, &stock::release(tx, product_id, quantity).await?),
            Units::Sell => {
                let row = stock::sell(tx, product_id, quantity).await?;
                crash_point!("catalog.confirm.after_row");
                self.stock_changed(tx, &row, -delta).await?;
                self.status_follows(tx, row, Product::after_sale).await?;
            }
            Units::TakeBack => {
                if let Some(row) = stock::take_back(tx, product_id, quantity).await? {
                    self.stock_changed(tx, &row, delta).await?;
                    self.status_follows(tx, row, Product::after_return).await?;
                }
            }
        }
        Ok(())
    }

    /// Appends the event of a change that the row has already.
    pub(super) async fn stock_changed(&self, tx: &Tx, row: &store::product::Model, delta: i32) -> Result<()> {
        let (product_id, stock) = (row.product_id.clone(), store::product::small(row.stock));
        tx.append(&row.product_id, row.version - 1, &[wire::ProductStockChanged { product_id, delta, stock }]).await?;
        self.evict_after(tx, row);
        Ok(())
    }

    async fn status_follows(
        &self,
        tx: &Tx,
        row: store::product::Model,
        decide: fn(&Product) -> Vec<crate::domain::Event>,
    ) -> Result<()> {
        let events = decide(&row.state()?);
        if !events.is_empty() {
            self.evict_after(tx, &store::product::record(tx, row, &events).await?);
        }
        Ok(())
    }

    /// What can be had, kept apart from the product so that holding units leaves that in the cache.
    pub(super) async fn available(&self, product_id: &str) -> Result<Available> {
        let db = self.db_of(product_id)?;
        let load = stock::available(db.primary(), product_id);
        self.cache.get_or_load(&available_key(product_id), self.counts_ttl, |a: &Available| a.changes, load).await
    }

    pub(super) fn evict_available_after(&self, tx: &Tx, row: &store::product::Model) {
        let (cache, key, changes) = (self.cache.clone(), available_key(&row.product_id), row.stock_changes);
        tx.after_commit(move || cache.evict(&key, changes));
    }

    /// The lines by database, in the order of the databases, each part's in the order in which rows are locked.
    fn parts(&self, lines: Vec<wire::StockLine>) -> Result<Vec<Part<'_>>> {
        let mut parts: BTreeMap<usize, Vec<wire::StockLine>> = BTreeMap::new();
        for line in hold::sorted(lines)? {
            parts.entry(self.place(&line.product_id)?).or_default().push(line);
        }
        Ok(parts.into_iter().map(|(n, lines)| (&self.shards.dbs()[n], lines)).collect())
    }
}

/// What one database has of a hold.
type Part<'a> = (&'a Db, Vec<wire::StockLine>);

fn available_key(product_id: &str) -> String {
    format!("available:{product_id}")
}

/// The hold of which these are the parts.
fn whole(parts: Vec<wire::StockHold>) -> wire::StockHold {
    let sooner = |a: &wire::StockHold, b: &wire::StockHold| {
        let time = |h: &wire::StockHold| h.expire_time.map_or((i64::MAX, 0), |t| (t.seconds, t.nanos));
        (a.status, time(a)).cmp(&(b.status, time(b)))
    };
    parts.into_iter().min_by(sooner).unwrap_or_default()
}

/// A hold's lines never change; releasing and ending it go by its own.
fn same_quantity(act: Act, row: &store::hold::Model, line: &wire::StockLine) -> Result<()> {
    let fixed = matches!(act, Act::Hold | Act::Confirm | Act::Return);
    if !fixed || row.quantity == i64::from(line.quantity) {
        return Ok(());
    }
    let (hold_id, product_id) = (row.hold_id.clone(), row.product_id.clone());
    Err(Fault::HoldDiffers { hold_id, product_id, held: row.quantity }.into())
}

/// Why units of a product can't be held.
fn refusal(row: &store::product::Model) -> Result<jangteo_core::Error> {
    let (product, product_id) = (row.state()?, row.product_id.clone());
    Ok(match product.status {
        wire::ProductStatus::OnSale => Fault::OutOfStock { product_id, left: row.available() }.into(),
        status => Fault::NotOnSale { product_id, status: status_name(status) }.into(),
    })
}
