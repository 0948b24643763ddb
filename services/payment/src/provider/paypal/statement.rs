//! What PayPal booked: its transaction search, whose rows have the label that we gave a payment or a refund.
//! <https://developer.paypal.com/docs/api/transaction-search/v1/>

use super::{PayPal, decline, money::Label};
use crate::{
    domain::krw,
    provider::{
        Line, LineKind,
        http::{form, text},
    },
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use jangteo_core::Time;
use serde_json::Value;

/// The most that PayPal gives at once.
const PAGE: &str = "500";

impl PayPal {
    pub(super) async fn transactions(&self, from: Time, to: Time) -> Result<Vec<Line>, String> {
        let (mut lines, mut spans) = (Vec::new(), vec![(from, to)]);
        while let Some((from, to)) = spans.pop() {
            match self.span(from, to).await? {
                Some(more) => lines.extend(more),
                None if to - from < TimeDelta::seconds(2) => return Err("paypal's statement has no end".into()),
                None => {
                    let middle = from + (to - from) / 2;
                    spans.extend([(from, middle), (middle, to)]);
                }
            }
        }
        Ok(lines)
    }

    /// `None`: it is too much for PayPal, which gives ten thousand rows of a time and no more.
    async fn span(&self, from: Time, to: Time) -> Result<Option<Vec<Line>>, String> {
        let second = |time: Time| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let (start, end, mut lines) = (second(from), second(to + TimeDelta::seconds(1)), Vec::new());
        for page in 1_i64.. {
            let number = page.to_string();
            let query = [
                ("start_date", start.as_str()),
                ("end_date", &end),
                ("fields", "transaction_info"),
                ("page_size", PAGE),
                ("page", &number),
            ];
            let answer = self.get(&format!("v1/reporting/transactions?{}", form(&query))).await?;
            if answer.text("/name") == "RESULTSET_TOO_LARGE" {
                return Ok(None);
            }
            let rows = answer.body["transaction_details"].as_array().filter(|_| answer.is_ok());
            let rows = rows.ok_or_else(|| decline::told(&answer))?;
            // Rows appear up to three hours late. A day that is not complete would look like one where money is missing.
            if time(answer.text("/last_refreshed_datetime")).is_none_or(|refreshed| refreshed < to) {
                return Err("paypal's statement does not reach that far yet".into());
            }
            lines.extend(rows.iter().filter_map(|row| line(&row["transaction_info"], from, to)));
            if page >= answer.body["total_pages"].as_i64().unwrap_or(0) {
                break;
            }
        }
        Ok(Some(lines))
    }
}

/// Conversions, fees, withdrawals and what somebody did by hand have no label of ours. A charge that was given back in full is
/// marked as reversed (`V`), and was booked nonetheless.
fn line(info: &Value, from: Time, to: Time) -> Option<Line> {
    let label = Label::read(text(info, "/custom_field"))?;
    // <https://developer.paypal.com/reports/reference/t-codes>: payments received, and what goes back of them.
    let kind = match (text(info, "/transaction_event_code").get(..3)?, label.key.get(..4)?) {
        ("T00", "ord_") => LineKind::Charge,
        ("T11", "rfd_") => LineKind::Refund,
        _ => return None,
    };
    let booked = time(text(info, "/transaction_initiation_date"))?;
    if !matches!(text(info, "/transaction_status"), "S" | "V") || booked < from || booked >= to {
        return None;
    }
    let (value, code) = (text(info, "/transaction_amount/value"), text(info, "/transaction_amount/currency_code"));
    Some(Line { kind, key: label.key.clone(), amount: krw(label.won_of(value, code)?) })
}

/// With or without a colon in the offset: `2027-01-15T08:00:00+0000`.
fn time(text: &str) -> Option<Time> {
    let time = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"));
    Some(time.ok()?.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_paypal_writes_them() {
        let wanted = time("2027-01-15T08:00:00Z").unwrap();
        for text in ["2027-01-15T08:00:00+0000", "2027-01-15T01:00:00-0700", "2027-01-15T08:00:00.000Z"] {
            assert_eq!(time(text), Some(wanted), "{text}");
        }
        assert_eq!(time("2027-01-15"), None);
    }
}
