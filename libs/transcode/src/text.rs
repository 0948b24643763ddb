//! Text forms of scalars: JSON strings, numbers, base64. No descriptors, no wire.

use crate::error::{Error, Kind, Result};

/// Appends `text` as a JSON string with quotes and escapes.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    write_string(text, out);
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES * 0x80;

/// Whether one of eight bytes must be escaped: a control character, a quote or a backslash. May be true for bytes
/// above 0x7f that follow such a byte, never false for one that must be.
#[inline]
fn may_need_escape(word: u64) -> bool {
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = word ^ (ONES * u64::from(b'"'));
    let slash = word ^ (ONES * u64::from(b'\\'));
    let quote = quote.wrapping_sub(ONES) & !quote;
    let slash = slash.wrapping_sub(ONES) & !slash;
    (control | quote | slash) & HIGH != 0
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Position of the first byte that must be escaped.
#[inline]
fn clean_prefix(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        if may_need_escape(u64::from_le_bytes(*word))
            && let Some(at) = word.iter().position(|b| needs_escape(*b))
        {
            return i * 8 + at;
        }
    }
    tail.iter().position(|b| needs_escape(*b)).map_or(bytes.len(), |at| words.len() * 8 + at)
}

pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    loop {
        let clean = clean_prefix(rest);
        out.extend_from_slice(&rest[..clean]);
        let Some(&byte) = rest.get(clean) else { break };
        rest = &rest[clean + 1..];
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(&[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    HEX[usize::from(byte >> 4)],
                    HEX[usize::from(byte & 15)],
                ]);
            }
        }
    }
    out.push(b'"');
}

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

/// Parses a whole JSON number that stands for an integer: `12`, `-0`, `1e3`, `12.0`, `1.5e1`. Exact, never by way
/// of a float.
pub(crate) fn parse_int(text: &str) -> Result<Int> {
    let bytes = text.as_bytes();
    if number_len(bytes) != Some(bytes.len()) {
        return Err(Error::new(Kind::Format, "not a number"));
    }
    let negative = bytes[0] == b'-';
    let digits = &bytes[usize::from(negative)..];
    let mut magnitude: u64 = 0;
    let mut at = 0;
    while let Some(b) = digits.get(at)
        && b.is_ascii_digit()
    {
        let Some(v) = magnitude.checked_mul(10).and_then(|v| v.checked_add(u64::from(b - b'0'))) else { break };
        magnitude = v;
        at += 1;
    }
    if at == digits.len() { Ok(Int { negative, magnitude }) } else { parse_decimal(negative, digits) }
}

/// The slow form with a fraction or an exponent.
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
        write_finite(ryu::Buffer::new().format_finite(v), out);
    } else {
        write_non_finite(v, out);
    }
}

pub(crate) fn write_f32(v: f32, out: &mut Vec<u8>) {
    if v.is_finite() {
        write_finite(ryu::Buffer::new().format_finite(v), out);
    } else {
        write_non_finite(f64::from(v), out);
    }
}

fn write_finite(text: &str, out: &mut Vec<u8>) {
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

/// Value of a base64 character of either alphabet; 0xff for all others.
const BASE64: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut i = 0;
    while i < 26 {
        table[b'A' as usize + i] = i as u8;
        table[b'a' as usize + i] = i as u8 + 26;
        i += 1;
    }
    let mut i = 0;
    while i < 10 {
        table[b'0' as usize + i] = i as u8 + 52;
        i += 1;
    }
    table[b'+' as usize] = 62;
    table[b'-' as usize] = 62;
    table[b'/' as usize] = 63;
    table[b'_' as usize] = 63;
    table
};

/// Appends the decoded bytes. Takes the standard and the URL alphabet, with or without padding; as the reference
/// implementations do, bits beyond the last byte are ignored.
pub(crate) fn decode_base64(text: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let bad = || Error::new(Kind::Format, "not base64");
    let body = match text {
        [body @ .., b'=', b'='] if text.len().is_multiple_of(4) => body,
        [body @ .., b'='] if text.len().is_multiple_of(4) => body,
        _ => text,
    };
    out.reserve(body.len() / 4 * 3 + 2);
    let (quads, tail) = body.as_chunks::<4>();
    for quad in quads {
        let [a, b, c, d] = quad.map(|b| BASE64[usize::from(b)]);
        if (a | b | c | d) & 0x80 != 0 {
            return Err(bad());
        }
        let v = u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
        out.extend_from_slice(&v.to_be_bytes()[1..]);
    }
    let digit = |b: u8| if BASE64[usize::from(b)] == 0xff { Err(bad()) } else { Ok(u32::from(BASE64[usize::from(b)])) };
    match *tail {
        [] => Ok(()),
        [a, b] => {
            out.push(((digit(a)? << 6 | digit(b)?) >> 4) as u8);
            Ok(())
        }
        [a, b, c] => {
            let v = digit(a)? << 12 | digit(b)? << 6 | digit(c)?;
            out.extend_from_slice(&[(v >> 10) as u8, (v >> 2) as u8]);
            Ok(())
        }
        _ => Err(bad()),
    }
}

/// Appends a quoted base64 string of the standard alphabet, padded.
pub(crate) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    use base64::Engine as _;
    let start = out.len() + 1;
    let len = bytes.len().div_ceil(3) * 4;
    out.resize(start + len + 1, b'"');
    out[start - 1] = b'"';
    let written = base64::engine::general_purpose::STANDARD.encode_slice(bytes, &mut out[start..start + len]);
    debug_assert_eq!(written, Ok(len));
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
    fn strings_are_escaped_wherever_the_byte_stands() {
        for at in 0..20 {
            for (byte, escaped) in [('"', "\\\""), ('\\', "\\\\"), ('\u{1}', "\\u0001"), ('\n', "\\n"), ('é', "é")] {
                let text: String = (0..20).map(|i| if i == at { byte } else { 'x' }).collect();
                let mut out = Vec::new();
                write_string(&text, &mut out);
                let want = format!("\"{}\"", text.replace(byte, escaped));
                assert_eq!(String::from_utf8(out).unwrap(), want);
            }
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
        assert_eq!(f64s(f64::NAN), "\"NaN\"");
        assert_eq!(f64s(f64::NEG_INFINITY), "\"-Infinity\"");
    }

    #[test]
    fn base64_takes_both_alphabets() {
        let decode = |text: &str| {
            let mut out = Vec::new();
            decode_base64(text.as_bytes(), &mut out).map(|()| out)
        };
        assert_eq!(decode("AQI=").unwrap(), [1, 2]);
        assert_eq!(decode("AQI").unwrap(), [1, 2]);
        assert_eq!(decode("-_").unwrap(), [0xfb]);
        assert_eq!(decode("+/==").unwrap(), [0xfb]);
        assert_eq!(decode("").unwrap(), []);
        for text in ["A", "AQI==", "AQ=I", "AQ!=", "====", "=", "AQI=AQI="] {
            assert!(decode(text).is_err(), "{text}");
        }
        for len in 0..70u8 {
            let bytes: Vec<u8> = (0..len).map(|i| i.wrapping_mul(37)).collect();
            let mut out = Vec::new();
            write_base64(&bytes, &mut out);
            assert_eq!(decode(std::str::from_utf8(&out[1..out.len() - 1]).unwrap()).unwrap(), bytes);
        }
    }
}
