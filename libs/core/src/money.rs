//! Money: whole minor units of a currency, never a float. On the wire it is `google.type.Money`.

use crate::{Error, Result};
use std::fmt;

/// An ISO 4217 code, `KRW`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    pub const KRW: Currency = Currency(*b"KRW");
    pub const USD: Currency = Currency(*b"USD");

    pub fn parse(code: &str) -> Option<Currency> {
        match code.as_bytes() {
            [a, b, c] if code.bytes().all(|b| b.is_ascii_uppercase()) => Some(Currency([*a, *b, *c])),
            _ => None,
        }
    }

    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("three ASCII letters")
    }

    /// Digits after the point: ISO 4217, list one. KRW and JPY have none, BHD and its like three.
    pub fn exponent(&self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
            | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// Won of KRW, cents of USD.
    pub minor: i64,
    pub currency: Currency,
}

impl Money {
    pub fn new(minor: i64, currency: Currency) -> Self {
        Money { minor, currency }
    }

    /// From the parts of `google.type.Money`; `field` names it in the error.
    /// Refuses signs that differ, fractions finer than the currency, and overflow.
    pub fn from_parts(field: &str, code: &str, units: i64, nanos: i32) -> Result<Money> {
        let bad = |f: &str, reason: &str, text: String| Error::invalid(format!("{field}.{f}"), reason, text);
        let currency = Currency::parse(code).ok_or_else(|| {
            bad("currency_code", "INVALID_CURRENCY", "must be three capital letters, as in ISO 4217".into())
        })?;
        if !(-999_999_999..=999_999_999).contains(&nanos) || (units > 0 && nanos < 0) || (units < 0 && nanos > 0) {
            return Err(bad("nanos", "INVALID_NANOS", "must lie within a unit and have the sign of units".into()));
        }
        let scale = 10i64.pow(currency.exponent());
        let nano_per_minor = 1_000_000_000 / scale;
        if i64::from(nanos) % nano_per_minor != 0 {
            let text = format!("{} has {} decimal places", currency.code(), currency.exponent());
            return Err(bad("nanos", "TOO_PRECISE", text));
        }
        let minor = units.checked_mul(scale).and_then(|m| m.checked_add(i64::from(nanos) / nano_per_minor));
        minor
            .map(|minor| Money { minor, currency })
            .ok_or_else(|| bad("units", "OUT_OF_RANGE", "the amount is too large".into()))
    }

    /// `(units, nanos)` of `google.type.Money`.
    pub fn parts(&self) -> (i64, i32) {
        let scale = 10i64.pow(self.currency.exponent());
        let nanos = (self.minor % scale) * (1_000_000_000 / scale);
        (self.minor / scale, i32::try_from(nanos).expect("below a unit"))
    }

    /// `None` on overflow or when the currencies differ.
    pub fn checked_add(self, other: Money) -> Option<Money> {
        let minor = self.minor.checked_add(other.minor)?;
        (self.currency == other.currency).then_some(Money { minor, currency: self.currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_won_has_no_fraction() {
        assert_eq!(Money::from_parts("price", "KRW", 12_000, 0).unwrap().minor, 12_000);
        let e = Money::from_parts("price", "KRW", 1, 500_000_000).unwrap_err();
        assert_eq!(e.field_violations()[0].field, "price.nanos");
    }

    #[test]
    fn signs_must_agree() {
        assert!(Money::from_parts("price", "USD", 1, -10_000_000).is_err());
        assert_eq!(Money::from_parts("price", "USD", -1, -750_000_000).unwrap().minor, -175);
    }

    proptest! {
        #[test]
        fn parts_and_back(minor in any::<i64>(), code in prop::sample::select(vec!["KRW", "USD", "KWD"])) {
            let m = Money::new(minor, Currency::parse(code).unwrap());
            let (units, nanos) = m.parts();
            prop_assert_eq!(Money::from_parts("m", code, units, nanos).unwrap(), m);
        }
    }
}
