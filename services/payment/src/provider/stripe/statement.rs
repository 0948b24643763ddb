//! What Stripe booked: its balance transactions, each with its charge or refund, whose metadata has our key.

use super::{Stripe, decline};
use crate::{
    domain::krw,
    provider::{Line, LineKind, http::text},
};
use jangteo_core::Time;
use serde_json::Value;

impl Stripe {
    /// Page by page, the newest first.
    pub(super) async fn balance_transactions(&self, from: Time, to: Time) -> Result<Vec<Line>, String> {
        let (from, to) = (from.timestamp().to_string(), to.timestamp().to_string());
        let (mut lines, mut after) = (Vec::new(), String::new());
        loop {
            let mut query = vec![
                ("created[gte]", from.as_str()),
                ("created[lt]", &to),
                ("limit", "100"),
                ("expand[]", "data.source"),
            ];
            if !after.is_empty() {
                query.push(("starting_after", &after));
            }
            let answer = self.get("balance_transactions", &query).await?;
            let page =
                answer.body["data"].as_array().filter(|_| answer.is_ok()).ok_or_else(|| decline::told(&answer))?;
            lines.extend(page.iter().filter_map(line));
            match page.last().map(|t| text(t, "/id")) {
                Some(last) if answer.body["has_more"] == true && !last.is_empty() => after = last.to_owned(),
                _ => return Ok(lines),
            }
        }
    }
}

/// Fees, transfers to our bank and what somebody did by hand in the dashboard have no key of ours.
fn line(transaction: &Value) -> Option<Line> {
    let source = &transaction["source"];
    let (kind, key, amount) = match text(transaction, "/type") {
        "charge" | "payment" => (LineKind::Charge, "/metadata/key", "/amount_captured"),
        "refund" | "payment_refund" => (LineKind::Refund, "/metadata/refund_id", "/amount"),
        _ => return None,
    };
    // In the currency that was paid in; the transaction's own amount is in that of our balance.
    let amount = source.pointer(amount)?.as_i64()?;
    Some(text(source, key)).filter(|key| !key.is_empty()).map(|key| Line {
        kind,
        key: key.to_owned(),
        amount: krw(amount),
    })
}
