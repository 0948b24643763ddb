//! Ways out of the platform: links, phone numbers, bank accounts, messengers.

use regex::Regex;
use std::sync::LazyLock;

static LINK: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?i)https?://\S+|\bwww\.\S+|\b[a-z0-9][a-z0-9-]*\.(com|net|org|kr|io|me|gg|ly|link|shop|xyz|info)\b")
});
static ACCOUNT: LazyLock<Regex> = LazyLock::new(|| regex(r"\b[0-9]{2,6}(-[0-9]{2,7}){2,3}\b"));
static AT_A_BANK: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(은행|농협|국민|신한|우리|하나|기업|새마을|우체국|카카오뱅크|카뱅|토스|케이뱅크)\D{0,6}[0-9](?:[ -]?[0-9]){9,13}\b",
    )
});

/// As they are written with the blanks taken out.
const ELSEWHERE: [&str; 16] = [
    "카톡",
    "카카오톡",
    "오픈채팅",
    "오픈톡",
    "텔레그램",
    "라인아이디",
    "라인id",
    "위챗",
    "계좌로",
    "계좌이체",
    "whatsapp",
    "telegram",
    "kakaotalk",
    "wechat",
    "lineid",
    "banktransfer",
];

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

pub fn links(text: &str) -> usize {
    LINK.find_iter(text).count()
}

pub fn elsewhere(text: &str) -> usize {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    ELSEWHERE.iter().filter(|word| text.contains(*word)).count()
}

/// Digits in groups, or beside a bank; no dates, and no phone numbers.
pub fn accounts(text: &str) -> usize {
    let grouped = ACCOUNT.find_iter(text).filter(|found| {
        let digits = found.as_str().bytes().filter(u8::is_ascii_digit).count();
        (10..=14).contains(&digits) && !found.as_str().starts_with("01")
    });
    grouped.count().max(AT_A_BANK.find_iter(text).count())
}

/// A digit, in Korean words too.
fn digit(c: char) -> Option<char> {
    Some(match c {
        '0'..='9' => c,
        '공' | '영' => '0',
        '일' => '1',
        '이' => '2',
        '삼' => '3',
        '사' => '4',
        '오' => '5',
        '육' | '륙' => '6',
        '칠' => '7',
        '팔' => '8',
        '구' => '9',
        _ => return None,
    })
}

pub fn phones(text: &str) -> usize {
    let (mut found, mut run, mut gap) = (0, String::new(), 0);
    for c in text.chars().chain(['\n']) {
        match digit(c) {
            Some(d) => {
                run.push(d);
                gap = 0;
            }
            None if matches!(c, ' ' | '-' | '.' | '·' | '(' | ')') && gap < 2 => gap += 1,
            None => {
                found += usize::from(is_phone(&run));
                run.clear();
                gap = 0;
            }
        }
    }
    found
}

/// Mobile (01x) or area codes (02, 031 to 064) and the number, <https://www.itu.int/oth/T0202000072/en>.
fn is_phone(digits: &str) -> bool {
    match digits.as_bytes() {
        [b'0', b'1', b'0' | b'1' | b'6'..=b'9', rest @ ..] => matches!(rest.len(), 7 | 8),
        [b'0', b'2', rest @ ..] => matches!(rest.len(), 7 | 8),
        [b'0', b'3'..=b'6', b'1'..=b'5', rest @ ..] => matches!(rest.len(), 7 | 8),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart() {
        assert_eq!((phones("010-1234-5678"), accounts("010-1234-5678")), (1, 0));
        assert_eq!((phones("110-234-567890"), accounts("110-234-567890")), (0, 1));
        assert_eq!((phones("2026-11-21 10"), accounts("2026-11-21")), (0, 0));
        assert_eq!(phones("011-222-3333, 062 123 4567"), 2);
        assert_eq!(phones("이 사이 이 일이 구사일생"), 0);
    }
}
