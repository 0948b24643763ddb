//! Integers and floats as JSON writes them.

mod plain;

pub(crate) use plain::{leading_f32, leading_f64, plain_int};

use crate::error::{Error, Kind, Result};
use plain::leading_int;

/// Length of the JSON number at the start of `text`; `None` if none starts there.
pub(crate) fn number_len(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    match text.get(at) {
        Some(b'0') => at += 1,
        Some(b'1'..=b'9') => at += digits(at),
        _ => return None,
    }
    if text.get(at) == Some(&b'.') {
        let n = digits(at + 1);
        if n == 0 {
            return None;
        }
        at += 1 + n;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let mut from = at + 1;
        from += usize::from(matches!(text.get(from), Some(b'+' | b'-')));
        let n = digits(from);
        if n == 0 {
            return None;
        }
        at = from + n;
    }
    Some(at)
}

/// An integer with its sign apart, so that both `i64::MIN` and `u64::MAX` fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Int {
    pub negative: bool,
    pub magnitude: u64,
}

impl Int {
    fn out_of_range() -> Error {
        Error::new(Kind::Range, "number out of range")
    }

    #[inline]
    pub(crate) fn as_i64(self) -> Option<i64> {
        if self.negative { 0i64.checked_sub_unsigned(self.magnitude) } else { i64::try_from(self.magnitude).ok() }
    }

    #[inline]
    pub(crate) fn as_u64(self) -> Option<u64> {
        (!self.negative || self.magnitude == 0).then_some(self.magnitude)
    }

    #[inline]
    pub(crate) fn as_i32(self) -> Option<i32> {
        i32::try_from(self.as_i64()?).ok()
    }

    #[inline]
    pub(crate) fn as_u32(self) -> Option<u32> {
        u32::try_from(self.as_u64()?).ok()
    }

    pub(crate) fn i64(self) -> Result<i64> {
        self.as_i64().ok_or_else(Self::out_of_range)
    }

    pub(crate) fn u64(self) -> Result<u64> {
        self.as_u64().ok_or_else(Self::out_of_range)
    }

    pub(crate) fn i32(self) -> Result<i32> {
        self.as_i32().ok_or_else(Self::out_of_range)
    }

    pub(crate) fn u32(self) -> Result<u32> {
        self.as_u32().ok_or_else(Self::out_of_range)
    }
}

/// Parses a whole JSON number that stands for an integer: `12`, `-0`, `1e3`, `12.0`, `1.5e1`. Exact, never by way
/// of a float.
pub(crate) fn parse_int(text: &str) -> Result<Int> {
    let bytes = text.as_bytes();
    match leading_int(bytes) {
        Some((int, len)) if len == bytes.len() => Ok(int),
        _ if number_len(bytes) != Some(bytes.len()) => Err(Error::new(Kind::Format, "not a number")),
        _ => parse_decimal(bytes[0] == b'-', bytes.strip_prefix(b"-").unwrap_or(bytes)),
    }
}

/// The slow form: with a fraction, an exponent or very many digits.
fn parse_decimal(negative: bool, number: &[u8]) -> Result<Int> {
    let out_of_range = Int::out_of_range;
    let (mantissa, exponent) = match number.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&number[..at], &number[at + 1..]),
        None => (number, &b"0"[..]),
    };
    let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &b""[..]),
    };
    let digits: Vec<u8> = whole.iter().chain(fraction).map(|b| b - b'0').collect();
    let Some(last) = digits.iter().rposition(|d| *d != 0) else { return Ok(Int { negative, magnitude: 0 }) };
    let small = exponent.first() == Some(&b'-');
    let mut power: i64 = 0;
    for b in exponent.iter().filter(|b| b.is_ascii_digit()) {
        power = (power * 10 + i64::from(b - b'0')).min(1 << 40);
    }
    let power = if small { -power } else { power };
    // Digits before the decimal point once the exponent is applied.
    let point = whole.len() as i64 + power;
    if point <= last as i64 {
        return Err(Error::new(Kind::WrongType, "not a whole number"));
    }
    let first = digits.iter().position(|d| *d != 0).unwrap_or(0) as i64;
    if point - first > 20 {
        return Err(out_of_range());
    }
    let mut magnitude: u64 = 0;
    for i in first..point {
        let digit = digits.get(i as usize).copied().unwrap_or(0);
        magnitude = magnitude.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit))).ok_or_else(out_of_range)?;
    }
    Ok(Int { negative, magnitude })
}

/// A JSON number, or one of the three names that JSON cannot write.
pub(crate) fn parse_float_name(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

pub(crate) fn parse_f64(number: &str) -> Result<f64> {
    match number.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(v),
        _ => Err(Int::out_of_range()),
    }
}

pub(crate) fn parse_f32(number: &str) -> Result<f32> {
    match number.parse::<f32>() {
        Ok(v) if v.is_finite() => Ok(v),
        _ => Err(Int::out_of_range()),
    }
}

pub(crate) fn write_f64(v: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let (head, tail) = f64_text(v, &mut buffer);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(tail.as_bytes());
}

pub(crate) fn write_f32(v: f32, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let (head, tail) = f32_text(v, &mut buffer);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(tail.as_bytes());
}

/// What JSON writes for a double, in two pieces of which the second is mostly empty.
#[inline]
pub(super) fn f64_text(v: f64, buffer: &mut zmij::Buffer) -> (&str, &str) {
    if v.is_finite() { tidy(buffer.format_finite(v), v.abs() >= 1e16) } else { (non_finite(v), "") }
}

#[inline]
pub(super) fn f32_text(v: f32, buffer: &mut zmij::Buffer) -> (&str, &str) {
    if v.is_finite() { tidy(buffer.format_finite(v), v.abs() >= 1e12) } else { (non_finite(f64::from(v)), "") }
}

/// `large`: it may have a positive exponent, whose sign is left out.
#[inline(always)]
fn tidy(text: &str, large: bool) -> (&str, &str) {
    match if large { text.find("e+") } else { None } {
        Some(at) => (&text[..=at], &text[at + 2..]),
        None => (text.strip_suffix(".0").unwrap_or(text), ""),
    }
}

fn non_finite(v: f64) -> &'static str {
    if v.is_nan() {
        "\"NaN\""
    } else if v > 0.0 {
        "\"Infinity\""
    } else {
        "\"-Infinity\""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact() {
        let ok = |text: &str, negative, magnitude| assert_eq!(parse_int(text).unwrap(), Int { negative, magnitude });
        ok("0", false, 0);
        ok("-0", true, 0);
        ok("18446744073709551615", false, u64::MAX);
        ok("18446744073709551615.0", false, u64::MAX);
        ok("1.8446744073709551615e19", false, u64::MAX);
        ok("1e3", false, 1000);
        ok("12.50e1", false, 125);
        ok("1000e-3", false, 1);
        ok("0.000e99999999999999999999", false, 0);
        ok("-2.147483648e9", true, 2_147_483_648);
        for digits in 1..=19 {
            let text = &"1234567890123456789"[..digits];
            ok(text, false, text.parse().unwrap());
        }
        for text in ["", "+1", "01", "1.", ".5", "1e", " 1", "1 ", "0x1", "--1", "1e1.0"] {
            assert_eq!(parse_int(text).unwrap_err().kind(), Kind::Format, "{text}");
        }
        for text in ["1.5", "1e-1", "0.000001", "15e-1"] {
            assert_eq!(parse_int(text).unwrap_err().kind(), Kind::WrongType, "{text}");
        }
        for text in ["18446744073709551616", "1e20", "1e536870000", "123456789012345678901234567890"] {
            assert_eq!(parse_int(text).unwrap_err().kind(), Kind::Range, "{text}");
        }
    }

    #[test]
    fn floats_print_shortest_without_a_needless_fraction() {
        let f64s = |v| {
            let mut out = Vec::new();
            write_f64(v, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(f64s(1.0), "1");
        assert_eq!(f64s(-0.0), "-0");
        assert_eq!(f64s(1.5), "1.5");
        assert_eq!(f64s(1e300), "1e300");
        assert_eq!(f64s(-1.5e16), "-1.5e16");
        assert_eq!(f64s(1.5e-9), "1.5e-9");
        assert_eq!(f64s(9_007_199_254_740_993.0), "9007199254740992");
        let mut out = Vec::new();
        write_f32(f32::MAX, &mut out);
        assert_eq!(out, b"3.4028235e38");
        assert_eq!(f64s(f64::NAN), "\"NaN\"");
        assert_eq!(f64s(f64::NEG_INFINITY), "\"-Infinity\"");
    }
}
