//! Finds what could be a card number (ISO/IEC 7812-1, annex B), so that tests can show that there is none.

/// Whether the digits end in the right check digit.
pub fn valid(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(n, d)| {
            let d = u32::from(d - b'0');
            match n % 2 {
                1 if d > 4 => d * 2 - 9,
                1 => d * 2,
                _ => d,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// 13 to 19 digits, alone or in groups with spaces or dashes between them, that are a valid number. Digits inside of longer
/// words, such as ids, don't count. Not all of one digit, which no card is.
pub fn find(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let (start, mut end) = (at, at);
        while at < bytes.len() && (bytes[at].is_ascii_digit() || matches!(bytes[at], b' ' | b'-')) {
            at += 1;
            if bytes[at - 1].is_ascii_digit() {
                end = at;
            } else if !bytes.get(at).is_some_and(u8::is_ascii_digit) {
                break;
            }
        }
        let digits: Vec<u8> = bytes[start..end].iter().copied().filter(u8::is_ascii_digit).collect();
        let alone = (start == 0 || !word(bytes[start - 1])) && !bytes.get(end).copied().is_some_and(word);
        if alone && is_card(&digits) {
            return Some(&text[start..end]);
        }
    }
    None
}

/// The same in a protobuf message: a field's bytes stand behind their length.
pub fn find_in_message(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(n, length)| {
        let field = bytes.get(n + 1..n + 1 + usize::from(*length));
        (13..=19).contains(length) && field.is_some_and(|f| f.iter().all(u8::is_ascii_digit) && is_card(f))
    })
}

fn is_card(digits: &[u8]) -> bool {
    (13..=19).contains(&digits.len()) && digits.iter().any(|d| *d != digits[0]) && valid(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_wherever_they_stand() {
        for text in [
            "4242424242424242",
            "card=4242424242424242,",
            "x 4242 4242 4242 4242 y",
            "\"378282246310005\"",
            "4242-4242-4242-4242",
        ] {
            assert!(find(text).is_some(), "{text}");
        }
        assert_eq!(find("a 4242 4242 4242 4242."), Some("4242 4242 4242 4242"));
    }

    #[test]
    fn ids_and_other_numbers_are_not() {
        for text in [
            "4242424242424241",
            "ord_4242424242424242",
            "4242424242424242ab",
            "0000000000000000",
            "12",
            "2026-11-21 13:00:00",
            "42424242424242424242424242",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn messages_are_read_field_by_field() {
        let message = [b"\x0a\x10", b"4242424242424242".as_slice(), b"8\x01"].concat();
        assert!(find_in_message(&message));
        assert!(!find_in_message(b"\x0a\x0442428\x01"));
    }
}
