//! Text of a list of numbers, put together in a block of fixed size: there the place of the next byte stays in a
//! register, while a vector would ask before each piece whether it has to grow.

use super::ONES;
use super::number::{f32_text, f64_text};

/// Bytes that are put together before they go to the output.
const SIZE: usize = 512;

/// One element takes less, together with what is written beyond its end.
const ROOM: usize = 48;

pub(crate) struct List<'o> {
    out: &'o mut Vec<u8>,
    block: [u8; SIZE],
    len: usize,
}

impl<'o> List<'o> {
    #[inline(always)]
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, block: [0; SIZE], len: 0 }
    }

    /// Ends an element: a comma.
    #[inline(always)]
    pub(crate) fn comma(&mut self) {
        self.byte(b',');
        if self.len > SIZE - ROOM {
            self.out.extend_from_slice(&self.block[..self.len]);
            self.len = 0;
        }
    }

    /// Ends the list, without its last comma.
    pub(crate) fn end(self) {
        self.out.extend_from_slice(&self.block[..self.len]);
        self.out.pop_if(|b| *b == b',');
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.block[self.len] = byte;
        self.len += 1;
    }

    /// The first `len` bytes of a word.
    #[inline(always)]
    fn word(&mut self, word: u64, len: usize) {
        self.block[self.len..][..8].copy_from_slice(&word.to_le_bytes());
        self.len += len;
    }

    /// At most `ROOM` bytes.
    #[inline(always)]
    fn text(&mut self, text: &str) {
        let to = &mut self.block[self.len..][..text.len()];
        // Long numbers by their two ends, which takes no call.
        match (text.as_bytes().first_chunk::<16>(), text.as_bytes().last_chunk::<16>()) {
            (Some(first), Some(last)) if text.len() <= 32 => {
                to[..16].copy_from_slice(first);
                to[text.len() - 16..].copy_from_slice(last);
            }
            _ => to.copy_from_slice(text.as_bytes()),
        }
        self.len += text.len();
    }

    #[inline(always)]
    pub(crate) fn unsigned(&mut self, v: u64) {
        const EIGHT: u64 = 100_000_000;
        if v < EIGHT {
            self.first_digits(v);
        } else if v < EIGHT * EIGHT {
            self.first_digits(v / EIGHT);
            self.word(eight_digits(v % EIGHT) | ASCII, 8);
        } else {
            self.first_digits(v / (EIGHT * EIGHT));
            self.word(eight_digits(v / EIGHT % EIGHT) | ASCII, 8);
            self.word(eight_digits(v % EIGHT) | ASCII, 8);
        }
    }

    /// Less than 10^8, without zeros in front.
    #[inline(always)]
    fn first_digits(&mut self, v: u64) {
        let digits = eight_digits(v);
        // A zero is one digit long.
        let zeros = digits.trailing_zeros().min(56) & !7;
        self.word((digits | ASCII) >> zeros, 8 - zeros as usize / 8);
    }

    #[inline(always)]
    pub(crate) fn signed(&mut self, v: i64) {
        if v < 0 {
            self.byte(b'-');
        }
        self.unsigned(v.unsigned_abs());
    }

    /// As JSON writes 64 bits.
    #[inline(always)]
    pub(crate) fn quoted_unsigned(&mut self, v: u64) {
        self.byte(b'"');
        self.unsigned(v);
        self.byte(b'"');
    }

    #[inline(always)]
    pub(crate) fn quoted_signed(&mut self, v: i64) {
        self.byte(b'"');
        self.signed(v);
        self.byte(b'"');
    }

    #[inline(always)]
    pub(crate) fn f64(&mut self, v: f64) {
        if let Some(scaled) = decimal(v.abs()) {
            return self.decimal(v.is_sign_negative(), scaled);
        }
        let mut buffer = zmij::Buffer::new();
        let (head, tail) = f64_text(v, &mut buffer);
        self.text(head);
        self.text(tail);
    }

    /// What `decimal` has found.
    #[inline(always)]
    fn decimal(&mut self, negative: bool, scaled: u64) {
        if negative {
            self.byte(b'-');
        }
        self.first_digits(scaled / PLACES);
        let places = eight_digits(scaled % PLACES);
        if places != 0 {
            self.byte(b'.');
            self.word(places | ASCII, 8 - places.leading_zeros() as usize / 8);
        }
    }

    #[inline(always)]
    pub(crate) fn f32(&mut self, v: f32) {
        let mut buffer = zmij::Buffer::new();
        let (head, tail) = f32_text(v, &mut buffer);
        self.text(head);
        self.text(tail);
    }
}

/// A number with eight decimal places is a whole number of these parts.
const PLACES: u64 = 100_000_000;

/// A number without a sign, in parts of `PLACES`, if a decimal of so few places and at most 15 digits is read as it.
/// No other decimal of at most 15 digits is (`f64::DIGITS`), so that one is the shortest. One division tells: both
/// numbers are exact, and it rounds as a reader would (W. Clinger, 1990).
#[inline(always)]
fn decimal(v: f64) -> Option<u64> {
    /// The last bit of a sum with it is a one.
    const ROUND: f64 = (1u64 << 52) as f64;
    // Smaller ones have an exponent; larger ones would have more digits.
    if !(v == 0.0 || (1e-5..1e7).contains(&v)) {
        return None;
    }
    let sum = v * PLACES as f64 + ROUND;
    ((sum - ROUND) / PLACES as f64 == v).then_some(sum.to_bits() - ROUND.to_bits())
}

const ASCII: u64 = ONES * b'0' as u64;

/// The digits of a number below 10^8, each in its byte, the first in the lowest: the number is split in two, each half
/// in two and so on, by multiplication with a reciprocal that is exact in so few digits (P. Khuong, "How to print
/// integers really fast", 2017).
#[inline(always)]
fn eight_digits(v: u64) -> u64 {
    let fours = (v / 10_000) | ((v % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((pairs - tens * 10) << 8)
}

#[cfg(test)]
mod tests {
    use super::super::{write_f32, write_f64};
    use super::*;
    use proptest::prelude::*;

    fn list<T: Copy>(values: &[T], put: impl Fn(&mut List<'_>, T)) -> String {
        let mut out = b"[".to_vec();
        let mut list = List::new(&mut out);
        for v in values {
            put(&mut list, *v);
            list.comma();
        }
        list.end();
        String::from_utf8(out).unwrap()
    }

    /// What the list is to be, put together by other means.
    fn joined(texts: impl Iterator<Item = String>) -> String {
        format!("[{}", texts.collect::<Vec<_>>().join(","))
    }

    /// Of all lengths.
    fn integers() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::vec((any::<u64>(), 0..64u32).prop_map(|(v, shift)| v >> shift), 0..100)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn integers_are_as_the_standard_library_writes_them(values in integers()) {
            let signed: Vec<i64> = values.iter().map(|v| v.cast_signed()).collect();
            prop_assert_eq!(list(&values, |list, v| list.unsigned(v)), joined(values.iter().map(u64::to_string)));
            prop_assert_eq!(list(&signed, |list, v| list.signed(v)), joined(signed.iter().map(i64::to_string)));
            let quoted = joined(values.iter().map(|v| format!("\"{v}\"")));
            prop_assert_eq!(list(&values, |list, v| list.quoted_unsigned(v)), quoted);
            let quoted = joined(signed.iter().map(|v| format!("\"{v}\"")));
            prop_assert_eq!(list(&signed, |list, v| list.quoted_signed(v)), quoted);
        }

        #[test]
        fn floats_are_as_they_are_written_alone(values in proptest::collection::vec(any::<u64>(), 0..100)) {
            let doubles: Vec<f64> = values.iter().map(|v| f64::from_bits(*v)).collect();
            let singles: Vec<f32> = values.iter().map(|v| f32::from_bits(*v as u32)).collect();
            let alone = |write: &dyn Fn(&mut Vec<u8>)| {
                let mut out = Vec::new();
                write(&mut out);
                String::from_utf8(out).unwrap()
            };
            let want = joined(doubles.iter().map(|v| alone(&|out| write_f64(*v, out))));
            prop_assert_eq!(list(&doubles, |list, v| list.f64(v)), want);
            let want = joined(singles.iter().map(|v| alone(&|out| write_f32(*v, out))));
            prop_assert_eq!(list(&singles, |list, v| list.f32(v)), want);
        }
    }

    /// Short decimals, their neighbours, and what arithmetic leaves of them.
    fn doubles() -> impl Strategy<Value = f64> {
        let scaled = (any::<u64>(), 0..64u32).prop_map(|(v, shift)| v >> shift);
        (scaled, 0..12, -2..3i64, any::<bool>()).prop_map(|(scaled, places, steps, negative)| {
            let v = scaled as f64 / 10f64.powi(places);
            let v = f64::from_bits(v.to_bits().saturating_add_signed(steps));
            if negative { -v } else { v }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn short_decimals_are_as_they_are_written_alone(values in proptest::collection::vec(doubles(), 1..50)) {
            let want = joined(values.iter().map(|v| {
                let mut out = Vec::new();
                write_f64(*v, &mut out);
                String::from_utf8(out).unwrap()
            }));
            prop_assert_eq!(list(&values, |list, v| list.f64(v)), want);
        }
    }

    #[test]
    fn decimals_take_the_short_way() {
        for (v, scaled) in [(0.0, 0), (0.37, 37_000_000), (12.58, 1_258_000_000), (1e-5, 1000), (4.5, 450_000_000)] {
            assert_eq!(decimal(v), Some(scaled), "{v}");
        }
        for v in [0.1 + 0.2, 1e-6, 9.9e-6, 1e7, 0.123456789, 1e300, 5e-324, f64::NAN, f64::INFINITY] {
            assert_eq!(decimal(v), None, "{v}");
        }
        assert_eq!(decimal(9_999_999.999_999_99), Some(999_999_999_999_999));
    }

    #[test]
    fn every_length_has_its_edges() {
        let mut edges = vec![0, 1, u64::MAX, i64::MAX as u64, i64::MIN as u64];
        for power in 1..20 {
            let ten = 10u64.pow(power);
            edges.extend([ten - 1, ten, ten + 1]);
        }
        assert_eq!(list(&edges, |list, v| list.unsigned(v)), joined(edges.iter().map(u64::to_string)));
        // All that four digits can be, in both halves.
        for v in 0..10_000u64 {
            assert_eq!(list(&[v * 10_000 + v, v], |list, v| list.unsigned(v)), format!("[{},{v}", v * 10_000 + v));
        }
        assert_eq!(
            list(&[f64::NAN, -0.0, 1e300, f64::INFINITY], |list, v| list.f64(v)),
            "[\"NaN\",-0,1e300,\"Infinity\""
        );
        assert_eq!(list::<u64>(&[], |list, v| list.unsigned(v)), "[");
    }
}
