//! Numbers as most documents write them: few digits, no exponent. They are read eight digits at a time; what is
//! written otherwise is left to the general way, and both come to the same value.

use super::Int;
use crate::text::{HIGH, ONES};

/// Powers of ten that 64 bits hold.
const TENS: [u64; 20] = {
    let mut all = [1; 20];
    let mut i = 1;
    while i < all.len() {
        all[i] = all[i - 1] * 10;
        i += 1;
    }
    all
};

/// The same as doubles; up to 10^22 they are exact.
const POWERS: [f64; TENS.len()] = {
    let mut all = [1.0; TENS.len()];
    let mut i = 1;
    while i < all.len() {
        all[i] = TENS[i] as f64;
        i += 1;
    }
    all
};

/// The value of eight digits, each in its byte, the first in the lowest (D. Lemire, "Quickly parsing eight digits",
/// 2018).
#[inline(always)]
fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// The digits that eight bytes begin with: their value and their number.
#[inline(always)]
fn word_digits(word: [u8; 8]) -> (u64, usize) {
    let digits = u64::from_le_bytes(word) ^ (ONES * u64::from(b'0'));
    // Ten and more reach the top bit when 0x76 is added.
    let marks = (digits | digits.wrapping_add(ONES * 0x76)) & HIGH;
    let count = marks.trailing_zeros() / 8;
    // What is no digit is shifted out, and zeros come in before the first.
    (eight_digits(digits.unbounded_shl(64 - 8 * count)), count as usize)
}

/// The digits at the start of `text`, as many as there are: their value, modulo 2^64, and their number.
#[inline(always)]
fn leading_digits(text: &[u8]) -> (u64, usize) {
    let Some((word, mut rest)) = text.split_first_chunk() else { return last_digits(0, text) };
    let (mut value, mut len) = word_digits(*word);
    let mut count = len;
    while count == 8 {
        let Some((word, tail)) = rest.split_first_chunk() else {
            let (value, count) = last_digits(value, rest);
            return (value, len + count);
        };
        let digits;
        (digits, count) = word_digits(*word);
        value = value.wrapping_mul(TENS[count]).wrapping_add(digits);
        len += count;
        rest = tail;
    }
    (value, len)
}

/// As `leading_digits`, after digits of this value, close to the end of the document.
#[inline(never)]
fn last_digits(value: u64, text: &[u8]) -> (u64, usize) {
    let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let value = text[..count].iter().fold(value, |v, b| v.wrapping_mul(10).wrapping_add(u64::from(b - b'0')));
    (value, count)
}

/// The whole part of the JSON number at the start of `text` and its length; `None` if it isn't one that 64 bits hold.
#[inline(always)]
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

/// As `leading_int`, and the number may stand in quotes, which count.
#[inline(always)]
pub(crate) fn plain_int(text: &[u8]) -> Option<(Int, usize)> {
    if text.first() != Some(&b'"') {
        return leading_int(text);
    }
    let (int, len) = leading_int(&text[1..])?;
    (text.get(1 + len) == Some(&b'"')).then_some((int, len + 2))
}

/// The JSON number at the start of `text`, without an exponent, and its length. It has a value if it has so few digits
/// that one division gives the nearest double, as both numbers are exact (W. Clinger, "How to read floating point
/// numbers accurately", 1990).
#[inline(always)]
pub(crate) fn leading_f64(text: &[u8]) -> Option<(Option<f64>, usize)> {
    let (int, mut len) = leading_int(text)?;
    let mut mantissa = Some(int.magnitude);
    let mut power = 1.0;
    if text.get(len) == Some(&b'.') {
        let (fraction, digits) = leading_digits(&text[len + 1..]);
        if digits == 0 {
            return None;
        }
        len += 1 + digits;
        mantissa = TENS.get(digits).and_then(|ten| int.magnitude.checked_mul(*ten)?.checked_add(fraction));
        power = POWERS.get(digits).copied().unwrap_or(1.0);
    }
    let value = mantissa.filter(|m| *m <= 1 << f64::MANTISSA_DIGITS).map(|m| {
        // By way of a signed integer, for which there is an instruction.
        let v = m as i64 as f64 / power;
        if int.negative { -v } else { v }
    });
    Some((value, len))
}

/// As `leading_f64`. Rounding the nearest double once more is right unless it lies in the middle between two singles:
/// all middles are doubles themselves, so that none of them parts any other double from the number that it stands for.
#[inline(always)]
pub(crate) fn leading_f32(text: &[u8]) -> Option<(Option<f32>, usize)> {
    const DROPPED: u64 = (1 << (f64::MANTISSA_DIGITS - f32::MANTISSA_DIGITS)) - 1;
    const MIDDLE: u64 = DROPPED / 2 + 1;
    let (value, len) = leading_f64(text)?;
    // From 10^-19 to 2^53 all singles are normal.
    Some((value.filter(|v| v.to_bits() & DROPPED != MIDDLE).map(|v| v as f32), len))
}

#[cfg(test)]
mod tests {
    use super::super::{Int, parse_decimal, parse_int};
    use super::*;
    use proptest::prelude::*;

    /// Numbers with and without a fraction, most of them short.
    fn decimals() -> impl Strategy<Value = String> {
        prop_oneof![
            "-?(0|[1-9][0-9]{0,6})(\\.[0-9]{1,6})?",
            "-?(0|[1-9][0-9]{0,21})(\\.[0-9]{1,24})?",
            "-?0\\.0{0,20}[0-9]{1,19}",
            any::<f64>().prop_map(|v| format!("{v}")),
            any::<f32>().prop_map(|v| format!("{v}")),
            // As sums and products leave them.
            (0..1_000_000u32, 1..1000u32).prop_map(|(a, b)| (f64::from(a) * f64::from(b) * 0.001).to_string()),
            // Halfway between two singles, and close to it.
            (any::<u32>(), 0..4u32, prop_oneof![Just(""), Just("0"), Just("1")]).prop_map(|(bits, cut, end)| {
                let single = f32::from_bits(bits % 0x1a00_0000 + 0x3600_0000);
                let middle = f64::from_bits(f64::from(single).to_bits() | 0x1000_0000);
                let text = middle.to_string();
                format!("{}{end}", &text[..text.len() - (cut as usize).min(text.len() - 1)])
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn floats_are_as_the_standard_library_reads_them(text in decimals(), end in "[,} ]?") {
            let with_end = format!("{text}{end}");
            if let Some((value, len)) = leading_f64(with_end.as_bytes()) {
                prop_assert!(text.starts_with(&with_end[..len]), "{} of {}", len, text);
                if let Some(v) = value {
                    prop_assert_eq!(v.to_bits(), text[..len].parse::<f64>().unwrap().to_bits());
                }
            }
            if let Some((Some(v), len)) = leading_f32(with_end.as_bytes()) {
                prop_assert_eq!(v.to_bits(), text[..len].parse::<f32>().unwrap().to_bits());
            }
        }

        #[test]
        fn integers_are_as_the_general_way_reads_them(text in "-?[0-9]{1,22}", end in "[,}.eE\" ]?") {
            let with_end = format!("{text}{end}");
            let digits = text.trim_start_matches('-');
            let fast = leading_int(with_end.as_bytes());
            if digits.len() > 1 && digits.starts_with('0') {
                prop_assert_eq!(fast, None);
                prop_assert!(parse_int(&text).is_err());
            } else {
                let general = parse_decimal(text.starts_with('-'), digits.as_bytes());
                prop_assert_eq!(fast, general.as_ref().ok().map(|int| (*int, text.len())));
                prop_assert_eq!(parse_int(&text).ok(), general.ok());
            }
        }
    }

    #[test]
    fn integers_end_at_the_edges_of_64_bits() {
        let edges = [0, 1, 9, 10, 1 << 31, 1 << 32, i64::MAX as u64, 1 << 63, u64::MAX];
        for magnitude in edges.into_iter().flat_map(|e| [e.saturating_sub(1), e, e.saturating_add(1)]) {
            for negative in [false, true] {
                let text = format!("{}{magnitude}", if negative { "-" } else { "" });
                let int = Int { negative, magnitude };
                assert_eq!(leading_int(text.as_bytes()), Some((int, text.len())), "{text}");
                assert_eq!(plain_int(format!("\"{text}\"").as_bytes()), Some((int, text.len() + 2)), "{text}");
                assert_eq!(int.as_i64(), text.parse().ok(), "{text}");
                assert_eq!(int.as_i32(), text.parse().ok(), "{text}");
                let wide: i128 = text.parse().unwrap();
                assert_eq!(int.as_u64(), u64::try_from(wide).ok(), "{text}");
                assert_eq!(int.as_u32(), u32::try_from(wide).ok(), "{text}");
            }
        }
        for text in
            ["18446744073709551616", "28446744073709551616", "00", "-01", "-", "", "\"1", "\"1 \"", "\"\"", "\""]
        {
            assert_eq!(plain_int(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn short_decimals_are_the_nearest_doubles() {
        let mut seed = 1u64;
        for i in 0..100_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let text = format!("-{}.{:0>2$}", seed >> (i % 64), seed % 100_003, i % 17 + 1);
            let (v, len) = leading_f64(text.as_bytes()).unwrap();
            assert_eq!(len, text.len(), "{text}");
            assert!(v.is_none_or(|v| v == text.parse().unwrap()), "{text}");
        }
        for (text, taken) in [("0.37,", 4), ("-0", 2), ("12]", 2), ("9007199254740992", 16), ("1.5e3", 3)] {
            let want: f64 = text[..taken].parse().unwrap();
            assert_eq!(leading_f64(text.as_bytes()), Some((Some(want), taken)), "{text}");
        }
        assert!(leading_f64(b"-0").unwrap().0.unwrap().is_sign_negative());
        for text in ["9007199254740993", "0.12345678901234567", "0.00000000000000000001"] {
            assert_eq!(leading_f64(text.as_bytes()), Some((None, text.len())), "{text}");
        }
        for text in ["01.5", "1.", ".5", "-", ""] {
            assert_eq!(leading_f64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn singles_are_not_rounded_twice() {
        // Nearest to 1.00000006, which lies a little above the middle of 1 and the next single.
        for text in ["1.00000005960464478", "1.000000059604645", "1.000000059604644", "16777217", "16777217.0"] {
            let fast = leading_f32(text.as_bytes()).unwrap();
            assert_eq!(fast.1, text.len());
            assert!(fast.0.is_none_or(|v| v == text.parse().unwrap()), "{text}");
        }
        assert_eq!(leading_f32(b"16777217"), Some((None, 8)));
        assert_eq!(leading_f32(b"0.1"), Some((Some(0.1), 3)));
    }
}
