//! Words of abuse. The lists are short on purpose: what is on them says nothing else in a review of a trade, so that
//! "쓰레기통" (a bin) or "꺼져요" (it turns off) don't keep people waiting.

use super::hangul::{fold, is_hangul};
use std::sync::LazyLock;

/// Anywhere in a word.
const GROSS: [&str; 24] = [
    "시발",
    "시팔",
    "시부랄",
    "개새끼",
    "이새끼",
    "저새끼",
    "새끼야",
    "병신",
    "지랄",
    "좆",
    "좃같",
    "씹새",
    "씹년",
    "썅년",
    "썅놈",
    "미친놈",
    "미친년",
    "개년",
    "걸레년",
    "엿먹",
    "니애미",
    "느금마",
    "개자식",
    "호로새끼",
];
const MILD: [&str; 7] = ["또라이", "등신", "멍청", "찐따", "닥쳐", "꼴통", "얼간이"];
/// A run of consonants that is nothing else.
const INITIALS: [&str; 6] = ["ㅅㅂ", "ㅅㅂㄹ", "ㅂㅅ", "ㅄ", "ㅈㄹ", "ㄱㅅㄱ"];
/// What holds a word of the list and says something else: 즉시발송, 다시발급, 시발점 …
const HARMLESS: [&str; 14] = [
    "시발송",
    "시발급",
    "시발매",
    "시발행",
    "시발생",
    "시발견",
    "시발표",
    "시발전",
    "시발달",
    "시발점",
    "시발역",
    "시발라",
    "시발효",
    "시발신",
];
/// With these a word begins.
const GROSS_LATIN: [&str; 10] =
    ["fuck", "motherfuck", "bitch", "asshole", "bastard", "cunt", "dickhead", "bullshit", "ssibal", "sibal"];
const GROSS_LATIN_WHOLE: [&str; 3] = ["shit", "shitty", "dick"];
const MILD_LATIN: [&str; 5] = ["idiot", "moron", "retard", "stupid", "scum"];

struct Lists {
    gross: Vec<String>,
    mild: Vec<String>,
    harmless: Vec<String>,
    gross_latin: Vec<String>,
    gross_latin_whole: Vec<String>,
    mild_latin: Vec<String>,
}

static LISTS: LazyLock<Lists> = LazyLock::new(|| {
    let folded = |words: &[&str]| words.iter().map(|w| fold(w)).collect();
    let single = |words: &[&str]| words.iter().map(|w| latin(w)).collect();
    Lists {
        gross: folded(&GROSS),
        mild: folded(&MILD),
        harmless: folded(&HARMLESS),
        gross_latin: single(&GROSS_LATIN),
        gross_latin_whole: single(&GROSS_LATIN_WHOLE),
        mild_latin: single(&MILD_LATIN),
    }
});

/// How many words are gross, and how many mild.
pub fn count(text: &str) -> (usize, usize) {
    let (mut gross, mut mild) = (0, 0);
    let mut judge = |(g, m): (bool, bool)| {
        gross += usize::from(g);
        mild += usize::from(m && !g);
    };
    words(text, is_hangul).iter().for_each(|word| judge(korean(word)));
    words(text, |c| !is_hangul(c) && !c.is_whitespace()).iter().for_each(|word| judge(english(&latin(word))));
    (gross, mild)
}

fn korean(word: &str) -> (bool, bool) {
    let mut folded = fold(word);
    for harmless in &LISTS.harmless {
        folded = folded.replace(harmless.as_str(), " ");
    }
    let has = |list: &[String]| list.iter().any(|w| folded.contains(w.as_str()));
    (has(&LISTS.gross) || INITIALS.contains(&folded.as_str()), has(&LISTS.mild))
}

fn english(word: &str) -> (bool, bool) {
    let begins = |list: &[String]| list.iter().any(|w| word.starts_with(w.as_str()));
    (begins(&LISTS.gross_latin) || LISTS.gross_latin_whole.iter().any(|w| w == word), begins(&LISTS.mild_latin))
}

/// Lower case, look-alikes as the letters they stand for, each letter once in a row.
fn latin(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars().flat_map(char::to_lowercase) {
        let c = match c {
            '0' => 'o',
            '1' | '!' => 'i',
            '3' => 'e',
            '4' | '@' => 'a',
            '5' | '$' => 's',
            '7' => 't',
            c => c,
        };
        if c.is_ascii_lowercase() && !out.ends_with(c) {
            out.push(c);
        }
    }
    out
}

/// The words that letters of one kind make. What stands between two letters inside a word (시1발, f.u.c.k) parts them
/// only when both sides are words by themselves; letters that stand alone one after the other (시 발) are one word.
fn words(text: &str, letter: impl Fn(char) -> bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut alone = false;
    for word in text.split_whitespace() {
        let mut pieces: Vec<String> = Vec::new();
        let mut joined = false;
        for run in word.split(|c| !letter(c)).filter(|run| !run.is_empty()) {
            let single = run.chars().count() == 1;
            match pieces.last_mut() {
                Some(last) if single || joined => last.push_str(run),
                _ => pieces.push(run.to_owned()),
            }
            joined = single;
        }
        let now_alone = pieces.len() == 1 && pieces[0].chars().count() == 1;
        match (out.last_mut(), pieces.as_slice()) {
            (Some(last), [one]) if alone && now_alone => last.push_str(one),
            _ => out.extend(pieces),
        }
        alone = now_alone;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_is_found_in_disguise() {
        for text in [
            "시발",
            "씨발놈아",
            "시1발",
            "시 발",
            "씨.발",
            "ㅅㅣㅂㅏㄹ",
            "시이이발",
            "진짜 ㅅㅂ 뭐야",
            "개새1끼",
            "병-신",
            "ㅂㅅ",
            "what the fuck",
            "f.u.c.k",
            "f u c k you",
            "FUUUCK",
            "sh1t",
            "b!tch",
            "@sshole",
        ] {
            assert_eq!(count(text), (1, 0), "{text}");
        }
        assert_eq!(count("멍청하네요"), (0, 1));
        assert_eq!(count("you idiots"), (0, 1));
        assert_eq!(count("병신 같은 또라이 시발"), (2, 1));
    }

    #[test]
    fn what_only_looks_like_it_is_none() {
        for text in [
            "즉시발송",
            "다시 발송",
            "시발점",
            "새끼손가락",
            "역시 발이 편해요",
            "감사합니다 ㄱㅅ",
            "쓰레기통",
            "좇아서",
            "class",
            "assassin",
            "shitake",
            "Dickens",
            "hello there",
        ] {
            assert_eq!(count(text), (0, 0), "{text}");
        }
    }
}
