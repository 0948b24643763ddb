//! Text as it is compared: Hangul composed, full-width letters narrowed, lower case, with the way back to the
//! original's bytes. What is cut out of an original by a [`Folded`] is cut between characters, whatever it holds.

use super::hangul;
use std::ops::Range;

/// The compared characters of a text, and which bytes of the text each one stands for.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    pub chars: Vec<char>,
    /// Byte ranges of the original: ascending, between characters. Letters that fold into several share a range.
    at: Vec<Range<usize>>,
}

pub fn fold(text: &str) -> Folded {
    let mut out = Folded::default();
    for (start, c) in text.char_indices() {
        let end = start + c.len_utf8();
        if let Some(joined) = out.chars.last().and_then(|last| hangul::join(*last, c)) {
            // Some keyboards and macOS send 가 as ㄱ and ㅏ.
            let last = out.chars.len() - 1;
            out.chars[last] = joined;
            out.at[last].end = end;
            continue;
        }
        for c in narrow(c).to_lowercase() {
            out.chars.push(c);
            out.at.push(start..end);
        }
    }
    out
}

impl Folded {
    /// The bytes of the original that folded characters stand for. Empty ranges stay empty.
    pub fn bytes(&self, range: Range<usize>) -> Range<usize> {
        match (self.at.get(range.start), range.end.checked_sub(1).and_then(|last| self.at.get(last))) {
            (Some(first), Some(last)) if range.start < range.end => first.start..last.end.max(first.end),
            _ => 0..0,
        }
    }

    pub fn text(&self, range: Range<usize>) -> String {
        self.chars[range].iter().collect()
    }
}

/// Full-width ASCII and the ideographic space as plain ones.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        c => c,
    }
}

/// One spelling of a query for counting it: folded, one space between words, nothing else.
pub fn normalise(query: &str) -> String {
    let folded: String = fold(query).chars.iter().map(|c| if c.is_control() { ' ' } else { *c }).collect();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn however_it_is_typed_it_is_one_text() {
        let decomposed = "\u{110b}\u{1161}\u{110b}\u{1175}\u{1111}\u{1169}\u{11ab}";
        assert_eq!(normalise(decomposed), "아이폰");
        assert_eq!(normalise("  Ｘ１００Ｖ\u{3000}CAMERA\t"), "x100v camera");
    }

    proptest! {
        #[test]
        fn every_range_is_a_slice_of_the_original(text in any::<String>(), a in 0..40usize, b in 0..40usize) {
            let folded = fold(&text);
            let (a, b) = (a.min(folded.chars.len()), b.min(folded.chars.len()));
            let bytes = folded.bytes(a.min(b)..a.max(b));
            prop_assert!(text.get(bytes).is_some());
        }

        #[test]
        fn normalising_twice_changes_nothing(text in any::<String>()) {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once);
        }
    }
}
