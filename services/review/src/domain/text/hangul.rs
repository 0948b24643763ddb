//! Hangul as people disguise it: letters torn apart (ㅅㅣㅂㅏㄹ, 시바ㄹ), doubled (씨발), stretched (시이이발) or of another
//! Unicode form, brought back into one. Arithmetic: The Unicode Standard, section 3.12.

/// Leading consonants, in the order of their numbers.
const LEADS: [char; 19] =
    ['ㄱ', 'ㄲ', 'ㄴ', 'ㄷ', 'ㄸ', 'ㄹ', 'ㅁ', 'ㅂ', 'ㅃ', 'ㅅ', 'ㅆ', 'ㅇ', 'ㅈ', 'ㅉ', 'ㅊ', 'ㅋ', 'ㅌ', 'ㅍ', 'ㅎ'];
/// Trailing consonants, from number 1.
const TAILS: [char; 27] = [
    'ㄱ', 'ㄲ', 'ㄳ', 'ㄴ', 'ㄵ', 'ㄶ', 'ㄷ', 'ㄹ', 'ㄺ', 'ㄻ', 'ㄼ', 'ㄽ', 'ㄾ', 'ㄿ', 'ㅀ', 'ㅁ', 'ㅂ', 'ㅄ', 'ㅅ',
    'ㅆ', 'ㅇ', 'ㅈ', 'ㅊ', 'ㅋ', 'ㅌ', 'ㅍ', 'ㅎ',
];
const VOWELS: u32 = 21;
const FIRST: u32 = 0xac00;
const NO_TAIL: u32 = 0;

/// A syllable by the numbers of its letters, or a consonant that belongs to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Syllable { lead: u32, vowel: u32, tail: u32 },
    Consonant(char),
    Vowel(u32),
}

pub fn is_hangul(c: char) -> bool {
    unit(c).is_some()
}

fn unit(c: char) -> Option<Unit> {
    let n = c as u32;
    Some(match c {
        '가'..='힣' => {
            let n = n - FIRST;
            Unit::Syllable { lead: n / (VOWELS * 28), vowel: n / 28 % VOWELS, tail: n % 28 }
        }
        'ㄱ'..='ㅎ' => Unit::Consonant(c),
        'ㅏ'..='ㅣ' => Unit::Vowel(n - 0x314f),
        '\u{1100}'..='\u{1112}' => Unit::Consonant(LEADS[(n - 0x1100) as usize]),
        '\u{1161}'..='\u{1175}' => Unit::Vowel(n - 0x1161),
        '\u{11a8}'..='\u{11c2}' => Unit::Consonant(TAILS[(n - 0x11a8) as usize]),
        _ => return None,
    })
}

fn number(letters: &[char], c: char) -> Option<u32> {
    letters.iter().position(|l| *l == c).map(|n| n as u32)
}

/// Whole syllables where letters make one, tense consonants as plain ones, similar vowels as one, no stretching.
/// Consonants that belong to no syllable stay; everything that is no Hangul goes.
pub fn fold(word: &str) -> String {
    let units: Vec<Unit> = word.chars().filter_map(unit).collect();
    let mut out: Vec<Unit> = Vec::with_capacity(units.len());
    let mut i = 0;
    while let Some(unit) = units.get(i) {
        i += 1;
        match (*unit, units.get(i)) {
            (Unit::Consonant(c), Some(Unit::Vowel(vowel))) if number(&LEADS, c).is_some() => {
                i += 1;
                out.push(Unit::Syllable { lead: number(&LEADS, c).unwrap_or(0), vowel: *vowel, tail: NO_TAIL });
            }
            (Unit::Consonant(c), _) => match (out.last_mut(), number(&TAILS, c)) {
                (Some(Unit::Syllable { tail, .. }), Some(n)) if *tail == NO_TAIL => *tail = n + 1,
                _ => out.push(Unit::Consonant(c)),
            },
            (Unit::Vowel(_), _) => {}
            (syllable, _) => out.push(syllable),
        }
    }
    text(&unstretched(out))
}

/// 시이이발: a syllable that only repeats the vowel before it says nothing.
fn unstretched(units: Vec<Unit>) -> Vec<Unit> {
    let silent = number(&LEADS, 'ㅇ').unwrap_or(0);
    let mut out: Vec<Unit> = Vec::with_capacity(units.len());
    for unit in units {
        let repeats = match (out.last(), unit) {
            (Some(Unit::Syllable { vowel: v, tail: NO_TAIL, .. }), Unit::Syllable { lead, vowel, tail: NO_TAIL }) => {
                lead == silent && vowel == *v
            }
            _ => false,
        };
        if !repeats {
            out.push(unit);
        }
    }
    out
}

fn text(units: &[Unit]) -> String {
    let plain = |c: char| match c {
        'ㄲ' => 'ㄱ',
        'ㄸ' => 'ㄷ',
        'ㅃ' => 'ㅂ',
        'ㅆ' => 'ㅅ',
        'ㅉ' => 'ㅈ',
        c => c,
    };
    let one = |unit: &Unit| match *unit {
        Unit::Syllable { lead, vowel, tail } => {
            let lead = LEADS.get(lead as usize).and_then(|c| number(&LEADS, plain(*c))).unwrap_or(lead);
            // ㅔ as ㅐ, ㅖ as ㅒ, ㅚ and ㅞ as ㅙ.
            let vowel = match vowel {
                5 => 1,
                7 => 3,
                11 | 15 => 10,
                v => v,
            };
            char::from_u32(FIRST + (lead * VOWELS + vowel) * 28 + tail).unwrap_or(' ')
        }
        Unit::Consonant(c) => plain(c),
        Unit::Vowel(_) => ' ',
    };
    units.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disguise_folds_into_one() {
        for disguised in [
            "시발",
            "씨발",
            "ㅅㅣㅂㅏㄹ",
            "시ㅂㅏㄹ",
            "시바ㄹ",
            "씨이이발",
            "씨빨",
            "\u{1109}\u{1175}\u{1107}\u{1161}\u{11af}",
        ] {
            assert_eq!(fold(disguised), "시발", "{disguised}");
        }
        assert_eq!((fold("개세끼"), fold("개쉐끼")), ("개새기".to_owned(), "개쇄기".to_owned()));
        assert_eq!(
            (fold("ㅆㅂ"), fold("시발ㅋㅋ"), fold("abc 1")),
            ("ㅅㅂ".to_owned(), "시발ㅋㅋ".to_owned(), String::new())
        );
    }

    #[test]
    fn words_stay_words() {
        for word in ["다시", "바로", "감사합니다", "아이", "우유"] {
            assert_eq!(fold(word).chars().count(), word.chars().count(), "{word}");
        }
    }
}
