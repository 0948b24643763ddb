//! Text forms of scalars: JSON strings, numbers, base64. No descriptors, no wire.

mod list;
mod number;

pub(crate) use list::List;
pub(crate) use number::{
    Int, leading_f32, leading_f64, number_len, parse_f32, parse_f64, parse_float_name, parse_int, plain_int, write_f32,
    write_f64,
};

use crate::error::{Error, Kind, Result};

/// Appends `text` as a JSON string with quotes and escapes.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    write_string(text, out);
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES * 0x80;

/// A control character, a quote or a backslash. With its second bit flipped the quote is 32, next to the control
/// characters, so that one comparison does for both.
#[inline]
fn needs_escape(byte: u8) -> bool {
    (byte ^ 2) < 33 || byte == b'\\'
}

/// Marks those of eight bytes that must be escaped, each in its top bit. The lowest mark is right; above it there may
/// be marks on innocent bytes.
#[inline]
fn escape_marks(word: u64) -> u64 {
    let low = word ^ (ONES * 2);
    let low = low.wrapping_sub(ONES * 33) & !low;
    let slash = word ^ (ONES * u64::from(b'\\'));
    let slash = slash.wrapping_sub(ONES) & !slash;
    (low | slash) & HIGH
}

/// Position of the first byte that must be escaped. Inlined into its callers, its loops would lack registers.
#[inline(never)]
pub(crate) fn clean_prefix(bytes: &[u8]) -> usize {
    const SHORT: usize = 16;
    // Names, and most values, end within two words.
    if let Some(at) = first_escape(&bytes[..bytes.len().min(SHORT)]) {
        return at;
    }
    let mut rest = bytes.get(SHORT..).unwrap_or_default();
    // Long runs block by block: without a branch in between the compiler compares sixteen bytes at once.
    while let Some((block, tail)) = rest.split_first_chunk::<32>()
        && !block.iter().fold(false, |bad, b| bad | needs_escape(*b))
    {
        rest = tail;
    }
    bytes.len() - rest.len() + first_escape(rest).unwrap_or(rest.len())
}

#[inline]
fn first_escape(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    while let Some((word, tail)) = rest.split_first_chunk() {
        let marks = escape_marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(bytes.len() - rest.len() + marks.trailing_zeros() as usize / 8);
        }
        rest = tail;
    }
    rest.iter().position(|b| needs_escape(*b)).map(|at| bytes.len() - rest.len() + at)
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
