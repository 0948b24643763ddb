//! What must be true of the stored data.

use crate::{Search, engine::Shelf, kinds::product, store};
use jangteo_core::{Call, Result};
use std::{collections::HashMap, sync::Arc};

/// Rows that are compared between two reads.
const SLICE: u64 = 2_000;
/// Lines that say what is wrong; more would say the same.
const LINES: usize = 20;

impl Search {
    /// Each index holds the documents of its rows in their versions, each once.
    pub async fn check_indexes(self: Arc<Self>, _: Call) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for shelf in &self.shelves {
            wrong.extend(self.differences(shelf).await?);
        }
        Ok(wrong)
    }

    /// As far as the index has come: rows that changed since its position may be in it or not.
    pub async fn differences(&self, shelf: &Shelf) -> Result<Vec<String>> {
        let Some(live) = shelf.serving() else { return Ok(Vec::new()) };
        // Before the contents, which may be newer then but not older.
        let position = live.position();
        let kind = shelf.kind.name;
        let contents = crate::engine::blocking(move || live.contents()).await?;
        let (mut contents, twice) = (contents.documents, contents.twice);
        let mut wrong: Vec<_> = twice.into_iter().map(|id| format!("{kind} {id} is in the index twice")).collect();
        let mut after = String::new();
        loop {
            let rows = store::document::scan(&self.db, kind, &after, SLICE).await?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.id);
            for row in rows {
                let indexed = contents.remove(&row.id);
                if row.seq >= position {
                    continue;
                }
                let wanted = match row.body.as_deref().map(shelf.kind.read).transpose() {
                    Ok(document) => document.flatten().map(|_| (row.version, row.wanted)),
                    Err(e) => {
                        wrong.push(format!("{kind} {}: its row can't be read: {e:?}", row.id));
                        continue;
                    }
                };
                if indexed != wanted {
                    wrong.push(format!("{kind} {}: the index has {indexed:?} where the row makes {wanted:?}", row.id));
                }
            }
        }
        // Rows are never deleted.
        wrong.extend(contents.into_keys().map(|id| format!("{kind} {id} is in the index and has no row")));
        wrong.truncate(LINES);
        Ok(wrong)
    }

    /// Rows are not ahead of the events that made them, and open orders are among what was counted.
    pub async fn check_rows(self: Arc<Self>, _: Call) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for (id, version, seen) in
            store::document::ahead_of_inbox(&self.db, "search.catalog-product", LINES as u64).await?
        {
            wrong.push(format!("{} {id} is at version {version}, its last event was {seen}", product::NAME));
        }
        let open: HashMap<String, i64> = store::document::open_orders(&self.db).await?.into_iter().collect();
        let ids: Vec<String> = open.keys().cloned().collect();
        for (id, placed) in store::document::placed(&self.db, product::NAME, &ids).await? {
            if placed < open[&id] {
                wrong.push(format!("{} {id} counts {placed} orders, and {} are open", product::NAME, open[&id]));
            }
        }
        Ok(wrong)
    }
}
