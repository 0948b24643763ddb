//! Won and what PayPal takes instead of it. Whole minor units and exact fractions: never a float.

use jangteo_core::{Currency, Error, Result};
use serde::{Deserialize, Deserializer, de};

/// <https://developer.paypal.com/api/rest/reference/currency-codes/>, with the digits after the point that PayPal takes.
/// For HUF and TWD ISO 4217 says two.
const TENDERS: [(&str, u32); 24] = [
    ("AUD", 2),
    ("BRL", 2),
    ("CAD", 2),
    ("CHF", 2),
    ("CNY", 2),
    ("CZK", 2),
    ("DKK", 2),
    ("EUR", 2),
    ("GBP", 2),
    ("HKD", 2),
    ("HUF", 0),
    ("ILS", 2),
    ("JPY", 0),
    ("MXN", 2),
    ("MYR", 2),
    ("NOK", 2),
    ("NZD", 2),
    ("PHP", 2),
    ("PLN", 2),
    ("SEK", 2),
    ("SGD", 2),
    ("THB", 2),
    ("TWD", 0),
    ("USD", 2),
];

/// A currency that PayPal takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tender {
    code: Currency,
    digits: u32,
}

impl Tender {
    pub fn parse(code: &str) -> Option<Tender> {
        let (_, digits) = TENDERS.iter().find(|(known, _)| *known == code)?;
        Some(Tender { code: Currency::parse(code)?, digits: *digits })
    }

    pub fn configured(field: &str, code: &str) -> Result<Tender> {
        Tender::parse(code)
            .ok_or_else(|| Error::invalid(field, "INVALID_CONFIGURATION", "is no currency that PayPal takes"))
    }

    pub fn code(&self) -> &str {
        self.code.code()
    }

    /// As PayPal writes an amount: 714 cents are `7.14`.
    pub fn write(self, minor: i64) -> String {
        let scale = 10_i64.pow(self.digits);
        match self.digits {
            0 => minor.to_string(),
            digits => format!("{}.{:02$}", minor / scale, minor % scale, digits as usize),
        }
    }

    /// Without its sign, which says only in which direction it went. `None`: it is no amount of this currency.
    pub fn read(self, value: &str) -> Option<i64> {
        let (won, parts) = decimal(value.trim_start_matches('-'))?;
        let minor = won.checked_mul(10_i128.pow(self.digits))?;
        if minor % parts == 0 { i64::try_from(minor / parts).ok() } else { None }
    }
}

/// Won for one unit of a currency, as an exact fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    won: i128,
    units: i128,
}

impl Rate {
    /// `1385`, `1385.25`: at most nine digits before the point and six after it.
    pub fn parse(text: &str) -> Option<Rate> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let (won, units) = decimal(text)?;
        (won > 0 && whole.len() <= 9 && fraction.len() <= 6).then_some(Rate { won, units })
    }

    /// The nearest minor unit, a half upwards, and never nothing. `None`: there is no such amount.
    pub(super) fn convert(self, won: i64, tender: Tender) -> Option<i64> {
        let minor = nearest(i128::from(won) * self.units * 10_i128.pow(tender.digits), self.won);
        i64::try_from(minor).ok().map(|minor| minor.max(1))
    }
}

/// A configuration writes it as a text or as a number. Of a number the shortest text that means it is taken, which is what was
/// written: a double keeps fifteen digits, and here are no more.
impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let text = text.strip_suffix(".0").unwrap_or(&text);
        Rate::parse(text).ok_or_else(|| de::Error::custom("a rate is won for one unit of the currency, as in 1385.25"))
    }
}

/// What of a charge of `minor` for `total` won goes back with a refund of `won`, after others of `before` won: what is due for
/// all of them less what was due for the others, each to the nearest minor unit. So the refunds of a whole charge are the whole
/// charge, in whatever parts and order they come, and each of them is the same whenever it is asked for.
pub(super) fn share(minor: i64, total: i64, before: i64, won: i64) -> i64 {
    let due = |won: i128| nearest(i128::from(minor) * won, i128::from(total));
    let share = due(i128::from(before) + i128::from(won)) - due(i128::from(before));
    i64::try_from(share).expect("a part of the charge")
}

/// Of numbers that are not negative; a half goes up.
fn nearest(number: i128, divisor: i128) -> i128 {
    (2 * number + divisor) / (2 * divisor)
}

/// `12.5` as (125, 10).
fn decimal(text: &str) -> Option<(i128, i128)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let sound = !whole.is_empty() && digits(whole) && digits(fraction) && fraction.is_empty() != text.contains('.');
    if !sound || text.len() > 18 {
        return None;
    }
    Some((format!("{whole}{fraction}").parse().ok()?, 10_i128.pow(u32::try_from(fraction.len()).ok()?)))
}

/// What stands at PayPal with a payment or a refund (`custom_id`): our key, and what was asked for, in won and as PayPal took it.
/// `ord_…:1 10000 KRW = 7.14 USD`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub key: String,
    pub won: i64,
    pub minor: i64,
    pub tender: Tender,
}

impl Label {
    pub fn write(&self) -> String {
        format!("{} {} KRW = {} {}", self.key, self.won, self.tender.write(self.minor), self.tender.code())
    }

    /// `None`: it is not ours.
    pub fn read(text: &str) -> Option<Label> {
        let mut words = text.split(' ');
        let (key, won) = (words.next()?, words.next()?.parse().ok()?);
        let sound = words.next() == Some("KRW") && words.next() == Some("=");
        let (value, tender) = (words.next()?, Tender::parse(words.next()?)?);
        let label = Label { key: key.to_owned(), won, minor: tender.read(value)?, tender };
        (sound && won > 0 && words.next().is_none()).then_some(label)
    }

    /// What an amount that PayPal booked is in won. Another one than was asked for never comes out as what was asked for.
    pub fn won_of(&self, value: &str, code: &str) -> Option<i64> {
        let minor = Tender::parse(code).filter(|t| *t == self.tender)?.read(value)?;
        let won = nearest(i128::from(self.won) * i128::from(minor), i128::from(self.minor.max(1)));
        let won = i64::try_from(won).ok()?;
        Some(match minor.cmp(&self.minor) {
            std::cmp::Ordering::Equal => self.won,
            std::cmp::Ordering::Less => won.min(self.won - 1),
            std::cmp::Ordering::Greater => won.max(self.won + 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usd() -> Tender {
        Tender::parse("USD").unwrap()
    }

    #[test]
    fn a_rate_is_exact() {
        let rate = |text| Rate::parse(text).unwrap();
        assert_eq!(rate("1400").convert(10_000, usd()), Some(714));
        assert_eq!(rate("1400").convert(7, usd()), Some(1), "half a cent goes up");
        assert_eq!(rate("1400").convert(1, usd()), Some(1), "never nothing");
        assert_eq!(rate("1385.25").convert(1_385_250, usd()), Some(100_000));
        assert_eq!(rate("9.4").convert(94_000, Tender::parse("JPY").unwrap()), Some(10_000));
        assert_eq!(rate("0.000001").convert(i64::MAX, usd()), None);
        for bad in ["", "0", "0.0", "-1", "1e3", "1.", ".5", "1,5", "1 ", "1.0000001", "1234567890"] {
            assert_eq!(Rate::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_rate_may_be_written_as_a_number() {
        let of = |json: &str| serde_json::from_str::<Rate>(json).ok();
        assert_eq!(of(r#""1385.25""#), Rate::parse("1385.25"));
        assert_eq!(of("1385.25"), Rate::parse("1385.25"));
        assert_eq!(of("999999999.999999"), Rate::parse("999999999.999999"));
        assert_eq!((of("1385"), of("1385.0")), (Rate::parse("1385"), Rate::parse("1385")));
        assert_eq!((of("-1"), of("null"), of("1e30")), (None, None, None));
    }

    #[test]
    fn amounts_are_written_as_paypal_reads_them() {
        assert_eq!([0, 5, 714, 123_456].map(|minor| usd().write(minor)), ["0.00", "0.05", "7.14", "1234.56"]);
        assert_eq!(Tender::parse("TWD").unwrap().write(714), "714");
        assert_eq!(["7.14", "-7.14", "7", "7.1", "7.140"].map(|v| usd().read(v)), [714, 714, 700, 710, 714].map(Some));
        assert_eq!(["7.145", "", "x", "--"].map(|v| usd().read(v)), [None; 4]);
        assert_eq!(Tender::parse("KRW"), None);
    }

    #[test]
    fn a_label_is_read_as_it_is_written_and_tells_other_amounts_apart() {
        let label = Label { key: "ord_1:1".into(), won: 10_000, minor: 714, tender: usd() };
        assert_eq!(label.write(), "ord_1:1 10000 KRW = 7.14 USD");
        assert_eq!(Label::read(&label.write()).as_ref(), Some(&label));
        assert_eq!(label.won_of("-7.14", "USD"), Some(10_000));
        assert_eq!((label.won_of("7.13", "USD"), label.won_of("3.57", "USD")), (Some(9_986), Some(5_000)));
        assert_eq!(label.won_of("7.14", "EUR"), None);
        let pesos = Label { key: "ord_1:1".into(), won: 100, minor: 400, tender: Tender::parse("PHP").unwrap() };
        assert_eq!((pesos.won_of("3.99", "PHP"), pesos.won_of("4.01", "PHP")), (Some(99), Some(101)));
        for strange in
            ["", "ord_1:1", "a 1 KRW = 1 XXX", "a 0 KRW = 0.00 USD", "a 1 KRW = 1 USD more", "a 1 USD = 1 USD"]
        {
            assert_eq!(Label::read(strange), None, "{strange}");
        }
    }

    proptest! {
        #[test]
        fn refunds_of_the_whole_are_the_whole(
            minor in 1_i64..1_000_000_000,
            parts in proptest::collection::vec(1_i64..1_000_000, 1..30),
        ) {
            let total: i64 = parts.iter().sum();
            let (mut before, mut back) = (0, 0);
            for part in parts {
                let share = share(minor, total, before, part);
                prop_assert!(share >= 0);
                (before, back) = (before + part, back + share);
                prop_assert!(back <= minor);
            }
            prop_assert_eq!(back, minor);
        }
    }
}
