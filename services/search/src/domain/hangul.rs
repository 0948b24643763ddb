//! Hangul taken apart and put together: syllables, the jamo that a keyboard sends, initial consonants, and text typed
//! while the keyboard was in the other language (dubeolsik, KS X 5002).

/// Initial consonants in Unicode's order (Unicode 16, section 3.12).
const CHO: [char; 19] =
    ['ㄱ', 'ㄲ', 'ㄴ', 'ㄷ', 'ㄸ', 'ㄹ', 'ㅁ', 'ㅂ', 'ㅃ', 'ㅅ', 'ㅆ', 'ㅇ', 'ㅈ', 'ㅉ', 'ㅊ', 'ㅋ', 'ㅌ', 'ㅍ', 'ㅎ'];
/// Vowels, by the keys that make them.
const JUNG: [&str; 21] = [
    "ㅏ", "ㅐ", "ㅑ", "ㅒ", "ㅓ", "ㅔ", "ㅕ", "ㅖ", "ㅗ", "ㅗㅏ", "ㅗㅐ", "ㅗㅣ", "ㅛ", "ㅜ", "ㅜㅓ", "ㅜㅔ", "ㅜㅣ",
    "ㅠ", "ㅡ", "ㅡㅣ", "ㅣ",
];
/// Final consonants, by the keys that make them; none first.
const JONG: [&str; 28] = [
    "", "ㄱ", "ㄲ", "ㄱㅅ", "ㄴ", "ㄴㅈ", "ㄴㅎ", "ㄷ", "ㄹ", "ㄹㄱ", "ㄹㅁ", "ㄹㅂ", "ㄹㅅ", "ㄹㅌ", "ㄹㅍ", "ㄹㅎ",
    "ㅁ", "ㅂ", "ㅂㅅ", "ㅅ", "ㅆ", "ㅇ", "ㅈ", "ㅊ", "ㅋ", "ㅌ", "ㅍ", "ㅎ",
];
/// Compatibility jamo that two keys make.
const DOUBLE: [(char, &str); 18] = [
    ('ㄳ', "ㄱㅅ"),
    ('ㄵ', "ㄴㅈ"),
    ('ㄶ', "ㄴㅎ"),
    ('ㄺ', "ㄹㄱ"),
    ('ㄻ', "ㄹㅁ"),
    ('ㄼ', "ㄹㅂ"),
    ('ㄽ', "ㄹㅅ"),
    ('ㄾ', "ㄹㅌ"),
    ('ㄿ', "ㄹㅍ"),
    ('ㅀ', "ㄹㅎ"),
    ('ㅄ', "ㅂㅅ"),
    ('ㅘ', "ㅗㅏ"),
    ('ㅙ', "ㅗㅐ"),
    ('ㅚ', "ㅗㅣ"),
    ('ㅝ', "ㅜㅓ"),
    ('ㅞ', "ㅜㅔ"),
    ('ㅟ', "ㅜㅣ"),
    ('ㅢ', "ㅡㅣ"),
];
/// The Latin letter on the key of each jamo.
const KEYS: [(char, char); 33] = [
    ('q', 'ㅂ'),
    ('w', 'ㅈ'),
    ('e', 'ㄷ'),
    ('r', 'ㄱ'),
    ('t', 'ㅅ'),
    ('y', 'ㅛ'),
    ('u', 'ㅕ'),
    ('i', 'ㅑ'),
    ('o', 'ㅐ'),
    ('p', 'ㅔ'),
    ('a', 'ㅁ'),
    ('s', 'ㄴ'),
    ('d', 'ㅇ'),
    ('f', 'ㄹ'),
    ('g', 'ㅎ'),
    ('h', 'ㅗ'),
    ('j', 'ㅓ'),
    ('k', 'ㅏ'),
    ('l', 'ㅣ'),
    ('z', 'ㅋ'),
    ('x', 'ㅌ'),
    ('c', 'ㅊ'),
    ('v', 'ㅍ'),
    ('b', 'ㅠ'),
    ('n', 'ㅜ'),
    ('m', 'ㅡ'),
    ('Q', 'ㅃ'),
    ('W', 'ㅉ'),
    ('E', 'ㄸ'),
    ('R', 'ㄲ'),
    ('T', 'ㅆ'),
    ('O', 'ㅒ'),
    ('P', 'ㅖ'),
];

const FIRST: u32 = 0xAC00;
const SYLLABLES: u32 = 11172;

/// The places of a syllable's initial, vowel and final in their tables.
fn parts(c: char) -> Option<(usize, usize, usize)> {
    let n = (c as u32).checked_sub(FIRST).filter(|n| *n < SYLLABLES)? as usize;
    Some((n / 588, n % 588 / 28, n % 28))
}

fn syllable(cho: usize, jung: usize, jong: usize) -> Option<char> {
    char::from_u32(FIRST + u32::try_from((cho * 21 + jung) * 28 + jong).ok()?)
}

/// A conjoining initial and vowel, or a syllable without a final and a conjoining final.
pub fn join(a: char, b: char) -> Option<char> {
    let (x, y) = (a as u32, b as u32);
    match (x, y) {
        (0x1100..=0x1112, 0x1161..=0x1175) => syllable((x - 0x1100) as usize, (y - 0x1161) as usize, 0),
        (_, 0x11A8..=0x11C2) if parts(a).is_some_and(|(.., jong)| jong == 0) => char::from_u32(x + (y - 0x11A7)),
        _ => None,
    }
}

pub fn is_syllable(c: char) -> bool {
    parts(c).is_some()
}

/// A consonant that stands alone, `ㄱ` to `ㅎ`.
pub fn is_consonant(c: char) -> bool {
    ('ㄱ'..='ㅎ').contains(&c)
}

/// A consonant or vowel that stands alone.
pub fn is_jamo(c: char) -> bool {
    ('ㄱ'..='ㅣ').contains(&c)
}

/// What the keyboard sent for it: 갤 is ㄱㅐㄹ, so that a half-typed word is a prefix of the whole one. What is not Hangul
/// stays as it is.
pub fn push_jamo(c: char, out: &mut String) {
    match parts(c) {
        Some((cho, jung, jong)) => {
            out.push(CHO[cho]);
            out.push_str(JUNG[jung]);
            out.push_str(JONG[jong]);
        }
        None => match DOUBLE.iter().find(|(double, _)| *double == c) {
            Some((_, keys)) => out.push_str(keys),
            None => out.push(c),
        },
    }
}

pub fn jamo(text: impl IntoIterator<Item = char>) -> String {
    let mut out = String::new();
    text.into_iter().for_each(|c| push_jamo(c, &mut out));
    out
}

/// The initial consonant of a syllable; what is none stays as it is.
pub fn initial(c: char) -> char {
    parts(c).map_or(c, |(cho, ..)| CHO[cho])
}

/// What would be on the screen, had the keyboard been in Korean: `dkdlvhs` is 아이폰. `None` when the text has other than
/// letters, digits and spaces, or when what comes out has loose vowels, as no Korean word has.
pub fn from_latin(text: &str) -> Option<String> {
    if !text.chars().any(|c| c.is_ascii_alphabetic())
        || !text.chars().all(|c| c.is_ascii_alphanumeric() || c.is_ascii_whitespace())
    {
        return None;
    }
    let key = |c: char| {
        let find = |c: char| KEYS.iter().find(|(latin, _)| *latin == c).map(|(_, jamo)| *jamo);
        find(c).or_else(|| find(c.to_ascii_lowercase())).unwrap_or(c)
    };
    let keys: Vec<char> = text.chars().map(key).collect();
    let typed = compose(&keys);
    (!typed.chars().any(|c| ('ㅏ'..='ㅣ').contains(&c))).then_some(typed)
}

/// What would be on the screen, had the keyboard been in English: ㅑㅔㅙㅜㄷ is `iphone`. `None` without any Hangul.
pub fn to_latin(text: &str) -> Option<String> {
    if !text.chars().any(|c| is_syllable(c) || is_jamo(c)) {
        return None;
    }
    let latin = |c: char| KEYS.iter().find(|(_, jamo)| *jamo == c).map_or(c, |(latin, _)| *latin);
    Some(jamo(text.chars()).chars().map(latin).collect())
}

/// Puts single jamo together as a keyboard's input method does.
fn compose(keys: &[char]) -> String {
    let cho = |c: char| CHO.iter().position(|x| *x == c);
    let table = |table: &[&str], keys: &[char]| {
        let text: String = keys.iter().collect();
        (!text.is_empty()).then(|| table.iter().position(|x| *x == text)).flatten()
    };
    let is_vowel = |i: usize| keys.get(i).is_some_and(|c| ('ㅏ'..='ㅣ').contains(c));
    let (mut out, mut i) = (String::new(), 0);
    while i < keys.len() {
        let (Some(first), true) = (cho(keys[i]), is_vowel(i + 1)) else {
            out.push(keys[i]);
            i += 1;
            continue;
        };
        // Two keys make a vowel where they can; so do finals, unless a vowel follows and takes the last for itself.
        let (jung, vowels) = match keys.get(i + 1..i + 3).and_then(|two| table(&JUNG, two)) {
            Some(jung) => (jung, 2),
            None => (table(&JUNG, &keys[i + 1..i + 2]).unwrap_or(0), 1),
        };
        i += 1 + vowels;
        let finals = |n: usize| {
            let jong = keys.get(i..i + n).and_then(|keys| table(&JONG, keys))?;
            (!is_vowel(i + n)).then_some((jong, n))
        };
        let (jong, n) = finals(2).or_else(|| finals(1)).unwrap_or((0, 0));
        out.extend(syllable(first, jung, jong));
        i += n;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_keyboard_in_the_wrong_language() {
        for (latin, hangul) in [
            ("dkdlvhs", "아이폰"),
            ("rorktm", "개가스"),
            ("shxmqnr", "노트북"),
            ("wkwjsrj", "자전거"),
            ("dhkf", "왈"),
            ("ekfrrhrl", "닭고기"),
            ("dkfrl", "알기"),
            ("Ekfrl", "딸기"),
            ("dkdlvhs 15", "아이폰 15"),
            ("rkqt", "값"),
        ] {
            assert_eq!(from_latin(latin).as_deref(), Some(hangul), "{latin}");
            assert_eq!(to_latin(hangul).as_deref(), Some(latin), "{hangul}");
        }
        assert_eq!(to_latin("ㅑㅔㅙㅜㄷ").as_deref(), Some("iphone"));
        assert_eq!((from_latin("iphone"), from_latin("x-100"), to_latin("x")), (None, None, None));
    }

    #[test]
    fn a_half_typed_word_is_a_prefix() {
        for (half, whole) in [("갤ㄹ", "갤럭시"), ("가ㄱ", "가게"), ("각", "가게"), ("아이ㅍ", "아이폰"), ("달", "닭")]
        {
            assert!(jamo(whole.chars()).starts_with(&jamo(half.chars())), "{half}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_comes_back(n in prop::collection::vec(0..SYLLABLES, 1..5)) {
            let text: String = n.iter().filter_map(|n| char::from_u32(FIRST + n)).collect();
            let keys: Vec<char> = jamo(text.chars()).chars().collect();
            // Several texts have the same keys (각ㅅ and 갃); what an input method makes of them has those keys again.
            prop_assert_eq!(jamo(compose(&keys).chars()), keys.iter().collect::<String>());
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            let _ = (from_latin(&text), to_latin(&text), jamo(text.chars()));
        }
    }
}
