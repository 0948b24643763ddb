//! What must be true of the stored products, whatever happened before.

use crate::{
    Catalog,
    domain::Product,
    store::{
        hold,
        product::{Model, stock},
    },
};
use jangteo_core::{Call, Result};
use kit::db::Db;
use std::sync::Arc;

const BATCH: u64 = 500;
/// A product that changes while it is looked at is looked at again, so often at most.
const LOOKS: usize = 10;

impl Catalog {
    /// Of every product: no more is held than there is, what is held is what its holds hold, and the row is what its
    /// events make.
    pub async fn check_stock(self: Arc<Self>, _cx: Call) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for db in self.shards.dbs() {
            let mut after = String::new();
            loop {
                let rows = stock::batch(db.primary(), &after, BATCH).await?;
                let Some(last) = rows.last() else { break };
                after.clone_from(&last.product_id);
                for row in rows {
                    wrong.extend(settled(db, row).await?);
                }
            }
        }
        Ok(wrong)
    }
}

/// What is wrong with a product that nobody changed while it was looked at.
async fn settled(db: &Db, mut row: Model) -> Result<Vec<String>> {
    for _ in 0..LOOKS {
        let wrong = look(db, &row).await?;
        let Some(now) = stock::row(db.primary(), &row.product_id).await? else {
            return Ok(vec![format!("{} vanished", row.product_id)]);
        };
        let same = (now.version, now.stock_changes) == (row.version, row.stock_changes);
        if wrong.is_empty() || same {
            return Ok(wrong);
        }
        row = now;
    }
    Ok(Vec::new())
}

async fn look(db: &Db, row: &Model) -> Result<Vec<String>> {
    let id = &row.product_id;
    let mut wrong = Vec::new();
    if !(0..=row.stock).contains(&row.reserved) {
        wrong.push(format!("{id}: {} reserved of {}", row.reserved, row.stock));
    }
    let held = hold::held(db.primary(), id).await?;
    if held != row.reserved {
        wrong.push(format!("{id}: {} reserved, but its holds hold {held}", row.reserved));
    }
    let (made, version) = db.load::<Product>(id).await?;
    let is = row.state()?;
    let facts = |p: &Product, version| (version, p.stock, p.status, p.sold_out, p.deleted);
    if facts(&is, row.version) != facts(&made, version) {
        let text = "(version, stock, status, sold out, deleted)";
        wrong.push(format!(
            "{id}: {text} is {:?}, its events make {:?}",
            facts(&is, row.version),
            facts(&made, version)
        ));
    }
    Ok(wrong)
}
