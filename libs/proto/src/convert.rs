//! Between wire types and ours.

use crate::google::r#type::Money as WireMoney;
use jangteo_core::{Error, Money, Result, Time};

impl From<Money> for WireMoney {
    fn from(m: Money) -> Self {
        let (units, nanos) = m.parts();
        WireMoney { currency_code: m.currency.code().to_owned(), units, nanos }
    }
}

/// A required amount; `field` names it in the error.
pub fn money(field: &str, m: Option<&WireMoney>) -> Result<Money> {
    let m = m.ok_or_else(|| Error::invalid(field, "REQUIRED", "is required"))?;
    Money::from_parts(field, &m.currency_code, m.units, m.nanos)
}

pub fn timestamp(t: Time) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: t.timestamp(), nanos: t.timestamp_subsec_nanos() as i32 }
}

/// Out of chrono's range becomes 1970.
pub fn time(t: &prost_types::Timestamp) -> Time {
    Time::from_timestamp(t.seconds, u32::try_from(t.nanos).unwrap_or(0)).unwrap_or_default()
}
