//! Integers and floats as JSON writes them.

use super::{HIGH, ONES};
use crate::error::{Error, Kind, Result};

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

    pub(crate) fn i64(self) -> Result<i64> {
        if self.negative { 0i64.checked_sub_unsigned(self.magnitude) } else { i64::try_from(self.magnitude).ok() }
            .ok_or_else(Self::out_of_range)
    }

    pub(crate) fn u64(self) -> Result<u64> {
        if self.negative && self.magnitude != 0 { Err(Self::out_of_range()) } else { Ok(self.magnitude) }
    }

    pub(crate) fn i32(self) -> Result<i32> {
        self.i64().ok().and_then(|v| i32::try_from(v).ok()).ok_or_else(Self::out_of_range)
    }

    pub(crate) fn u32(self) -> Result<u32> {
        self.u64().ok().and_then(|v| u32::try_from(v).ok()).ok_or_else(Self::out_of_range)
    }
}

/// The value of eight digits, each in its byte, the first in the lowest (D. Lemire, "Quickly parsing eight digits",
/// 2018).
#[inline]
fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// The digits at the start of `text`, as many as there are: their value, modulo 2^64, and their number.
#[inline]
fn leading_digits(text: &[u8]) -> (u64, usize) {
    const POWERS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let mut value: u64 = 0;
    let mut rest = text;
    while let Some((eight, tail)) = rest.split_first_chunk() {
        let digits = u64::from_le_bytes(*eight) ^ (ONES * u64::from(b'0'));
        // Ten and more reach the top bit when 0x76 is added.
        let marks = (digits | digits.wrapping_add(ONES * 0x76)) & HIGH;
        let count = marks.trailing_zeros() as usize / 8;
        // What is no digit is shifted out, and zeros come in before the first.
        let digits = digits.unbounded_shl(64 - 8 * count as u32);
        value = value.wrapping_mul(POWERS[count]).wrapping_add(eight_digits(digits));
        if count < 8 {
            return (value, text.len() - rest.len() + count);
        }
        rest = tail;
    }
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let value = rest[..count].iter().fold(value, |v, b| v.wrapping_mul(10).wrapping_add(u64::from(b - b'0')));
    (value, text.len() - rest.len() + count)
}

/// The whole part of the JSON number at the start of `text` and its length; `None` if it isn't one that 64 bits hold.
#[inline]
pub(crate) fn leading_int(text: &[u8]) -> Option<(Int, usize)> {
    let sign = usize::from(text.first() == Some(&b'-'));
    let digits = &text[sign..];
    let (magnitude, len) = leading_digits(digits);
    let sound = match len {
        0 => false,
        1 => true,
        2..=19 => digits[0] != b'0',
        // What doesn't fit in 64 bits has become small.
        20 => digits[0] == b'1' && magnitude >= 10u64.pow(19),
        _ => false,
    };
    sound.then_some((Int { negative: sign == 1, magnitude }, sign + len))
}

/// The JSON number at the start of `text` and its length, if it has so few digits and no exponent that one division
/// gives the nearest double: both numbers are exact (W. Clinger, "How to read floating point numbers accurately",
/// 1990).
#[inline]
pub(crate) fn leading_f64(text: &[u8]) -> Option<(f64, usize)> {
    const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (int, mut len) = leading_int(text)?;
    let mut mantissa = int.magnitude;
    let mut power = 1.0;
    if text.get(len) == Some(&b'.') {
        let (fraction, digits) = leading_digits(&text[len + 1..]);
        if digits == 0 {
            return None;
        }
        power = *POWERS.get(digits)?;
        mantissa = mantissa.checked_mul(power as u64)?.checked_add(fraction)?;
        len += 1 + digits;
    }
    if mantissa > 1 << f64::MANTISSA_DIGITS {
        return None;
    }
    let v = mantissa as f64 / power;
    Some((if int.negative { -v } else { v }, len))
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
    if v.is_finite() {
        write_finite(zmij::Buffer::new().format_finite(v), v.abs() >= 1e16, out);
    } else {
        write_non_finite(v, out);
    }
}

pub(crate) fn write_f32(v: f32, out: &mut Vec<u8>) {
    if v.is_finite() {
        write_finite(zmij::Buffer::new().format_finite(v), v.abs() >= 1e12, out);
    } else {
        write_non_finite(f64::from(v), out);
    }
}

/// `large`: it may have a positive exponent, whose sign is left out.
fn write_finite(text: &str, large: bool, out: &mut Vec<u8>) {
    if large && let Some((digits, power)) = text.split_once("e+") {
        out.extend_from_slice(digits.as_bytes());
        out.push(b'e');
        out.extend_from_slice(power.as_bytes());
        return;
    }
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
}

fn write_non_finite(v: f64, out: &mut Vec<u8>) {
    let name: &[u8] = if v.is_nan() {
        b"\"NaN\""
    } else if v > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    };
    out.extend_from_slice(name);
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
    fn short_decimals_are_the_nearest_doubles() {
        let mut seed = 1u64;
        for i in 0..100_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let text = format!("-{}.{:0>2$}", seed >> (i % 64), seed % 100_003, i % 17 + 1);
            if let Some((v, len)) = leading_f64(text.as_bytes()) {
                assert_eq!((v, len), (text.parse().unwrap(), text.len()), "{text}");
            }
        }
        for (text, taken) in [("0.37,", 4), ("-0", 2), ("12]", 2), ("9007199254740992", 16), ("1.5e3", 3)] {
            assert_eq!(leading_f64(text.as_bytes()), Some((text[..taken].parse().unwrap(), taken)), "{text}");
        }
        for text in ["9007199254740993", "0.1234567890123456", "01.5", "1.", ".5", "-", ""] {
            assert_eq!(leading_f64(text.as_bytes()), None, "{text}");
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
