//! Tags as they are kept: lower case, without `#`, one space at most between words, each once,
//! Hangul composed. Some keyboards and macOS send 가 as ㄱ and ㅏ; both must be the same tag.

/// In the seller's order; what is nothing but decoration is dropped.
pub fn normalise<S: AsRef<str>>(tags: &[S]) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(tags.len());
    for tag in tags {
        let text = compose(tag.as_ref()).to_lowercase();
        let text = text.trim().trim_start_matches(['#', '＃']);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() && !out.contains(&text) {
            out.push(text);
        }
    }
    out
}

// Conjoining jamo, Unicode 16, section 3.12.
const S: u32 = 0xAC00;
const L: u32 = 0x1100;
const V: u32 = 0x1161;
const T: u32 = 0x11A7;
const LS: u32 = 19;
const VS: u32 = 21;
const TS: u32 = 28;

fn compose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match out.chars().next_back().and_then(|last| pair(last.into(), c.into())) {
            Some(joined) => {
                out.pop();
                out.push(joined);
            }
            None => out.push(c),
        }
    }
    out
}

/// A leading consonant and a vowel, or a syllable without a final and a final.
fn pair(a: u32, b: u32) -> Option<char> {
    let code = if (L..L + LS).contains(&a) && (V..V + VS).contains(&b) {
        S + ((a - L) * VS + (b - V)) * TS
    } else if (S..S + LS * VS * TS).contains(&a) && (a - S).is_multiple_of(TS) && (T + 1..T + TS).contains(&b) {
        a + (b - T)
    } else {
        return None;
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_tag_however_it_is_written() {
        let decomposed = "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}";
        assert_eq!(
            normalise(&["#한글", decomposed, " Rust ", "RUST", "#", "겨울  코트"]),
            ["한글", "rust", "겨울 코트"]
        );
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(tags in prop::collection::vec(".{0,20}", 0..10)) {
            let once = normalise(&tags);
            prop_assert_eq!(normalise(&once), once);
        }

        #[test]
        fn every_syllable_composes(n in 0..LS * VS * TS) {
            let (l, v, t) = (L + n / (VS * TS), V + n % (VS * TS) / TS, T + n % TS);
            let jamo: String = [l, v, t].into_iter().filter(|c| *c != T).filter_map(char::from_u32).collect();
            prop_assert_eq!(compose(&jamo), char::from_u32(S + n).unwrap().to_string());
        }
    }
}
