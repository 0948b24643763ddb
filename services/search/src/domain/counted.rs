//! Which queries are kept by their words.

use super::text::normalise;

/// What stands for a query whose words are not kept.
pub const WITHHELD: &str = "(withheld)";
/// Digits in a row, hyphens and dots aside, or in a query without letters, that look like somebody's number.
const NUMBER: usize = 7;
/// Longer ones are somebody's text rather than a query.
const LONGEST: usize = 60;

/// The words under which a query is counted: one spelling, and nothing that looks like a telephone, account or resident
/// number, an address of mail, or a letter.
pub fn counted(q: &str) -> String {
    let query = normalise(q);
    let (mut digits, mut most) = (0, 0);
    for c in query.chars() {
        match c {
            c if c.is_numeric() => digits += 1,
            '-' | '.' | '(' | ')' | '+' => {}
            _ => digits = 0,
        }
        most = most.max(digits);
    }
    let numbers_alone =
        !query.chars().any(char::is_alphabetic) && query.chars().filter(|c| c.is_numeric()).count() >= NUMBER;
    let private = most >= NUMBER || numbers_alone || query.contains('@') || query.chars().count() > LONGEST;
    if private { WITHHELD.to_owned() } else { query }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_looks_like_somebody_is_kept() {
        for q in [
            "010-1234-5678",
            "a@b.kr",
            "900101 1234567",
            "010 1234 5678",
            "김철수 01012345678",
            "０１０１２３４５６７８",
            &"가".repeat(61),
        ] {
            assert_eq!(counted(q), WITHHELD, "{q}");
        }
        for q in ["아이폰 15 256", "rtx 3080 12900", "x100v"] {
            assert_eq!(counted(q), q);
        }
    }
}
