//! What Toss booked: its settlements, one for each payment and one for each cancellation.

use super::{Toss, decline, key};
use crate::{
    domain::krw,
    provider::{
        Line, LineKind,
        http::{form, text},
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use jangteo_core::Time;
use serde_json::Value;
use std::collections::BTreeSet;

const PAGE: usize = 1_000;

impl Toss {
    /// Days are Korea's there; rows outside of the time asked for are left out here.
    pub(super) async fn settlements(&self, from: Time, to: Time) -> Result<Vec<Line>, String> {
        let day = |time: Time| (time + TimeDelta::hours(9)).format("%Y-%m-%d").to_string();
        let (first, last, size) = (day(from), day(to), PAGE.to_string());
        let mut rows = Vec::new();
        for page in 1.. {
            let page = u32::to_string(&page);
            let query = [
                ("dateType", "soldDate"),
                ("startDate", first.as_str()),
                ("endDate", &last),
                ("page", &page),
                ("size", &size),
            ];
            let answer = self.get(&format!("settlements?{}", form(&query))).await?;
            let more = answer.body.as_array().filter(|_| answer.is_ok()).ok_or_else(|| decline::told(&answer))?;
            rows.extend(more.iter().cloned());
            if more.len() < PAGE {
                break;
            }
        }
        Ok(lines(&rows, from, to))
    }
}

/// A payment that was given up is not captured in our books: both of its rows are left out.
fn lines(rows: &[Value], from: Time, to: Time) -> Vec<Line> {
    let said: Vec<_> = rows.iter().filter_map(|row| Some((read(row)?, text(row, "/paymentKey")))).collect();
    let void = |row: &Row| row.refund.is_some_and(|key| !key.starts_with("rfd_"));
    let voided: BTreeSet<_> = said.iter().filter(|(row, _)| void(row)).map(|(_, id)| *id).collect();
    let counts = said.into_iter().filter(|(row, id)| !voided.contains(id) && row.time >= from && row.time < to);
    let line = |row: Row| {
        let (kind, key) = match row.refund {
            Some(key) => (LineKind::Refund, key.to_owned()),
            None => (LineKind::Charge, row.key),
        };
        Line { kind, key, amount: krw(row.amount) }
    };
    counts.map(|(row, _)| line(row)).collect()
}

struct Row<'a> {
    key: String,
    /// The key in a cancellation's reason, which is its last word.
    refund: Option<&'a str>,
    amount: i64,
    time: Time,
}

fn read(row: &Value) -> Option<Row<'_>> {
    let key = key(text(row, "/orderId"))?;
    let time = |pointer| Some(DateTime::parse_from_rfc3339(text(row, pointer)).ok()?.with_timezone(&Utc));
    Some(match &row["cancel"] {
        Value::Null => Row { key, refund: None, amount: row["amount"].as_i64()?, time: time("/approvedAt")? },
        cancel => {
            let refund = Some(text(cancel, "/cancelReason").rsplit(' ').next().unwrap_or_default());
            Row { key, refund, amount: cancel["cancelAmount"].as_i64()?, time: time("/cancel/canceledAt")? }
        }
    })
}
