//! Looks through a text for what a moderator should see before everybody does. These are rules and not a trained
//! model: each says that it fired, how often, and what it adds; the sum, up to 100, is the score.
//!
//! | feature | points | fires on |
//! | --- | --- | --- |
//! | LINK | 50 | addresses of web pages |
//! | PHONE_NUMBER | 60 | Korean phone numbers, in words or wide digits too |
//! | ACCOUNT_NUMBER | 60 | ten to fourteen digits in three or four groups, or beside a bank's name |
//! | OFF_PLATFORM | 30 | messengers, open chats, transfers past the escrow |
//! | REPEATED_CHARACTERS | 15 | one character ten times in a row |
//! | CAPITALS | 10 | twelve Latin letters or more, most of them capitals |
//! | ABUSE | 60 or 30 | a word of [`abuse`], gross or mild |
//! | DUPLICATE | 40 | twenty letters or more that the same author wrote before |

mod abuse;
mod contact;
mod hangul;

use proto::jangteo::review::v1::{TextFeature, TextFinding};

/// What the rules found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// 0 to 100.
    pub score: i32,
    pub findings: Vec<TextFinding>,
}

/// `duplicate`: the author wrote the same before.
pub fn check(text: &str, duplicate: bool) -> Verdict {
    let plain = narrow(text);
    let (gross, mild) = abuse::count(&plain);
    let (phones, accounts) = (contact::phones(&plain), contact::accounts(&plain));
    let found = [
        (TextFeature::Link, contact::links(&plain), 50),
        (TextFeature::PhoneNumber, phones, 60),
        (TextFeature::AccountNumber, accounts, 60),
        (TextFeature::OffPlatform, contact::elsewhere(&plain), 30),
        (TextFeature::RepeatedCharacters, repeated(&plain), 15),
        (TextFeature::Capitals, usize::from(shouts(&plain)), 10),
        (TextFeature::Abuse, gross + mild, if gross > 0 { 60 } else { 30 }),
        (TextFeature::Duplicate, usize::from(duplicate), 40),
    ];
    let fired = found.into_iter().filter(|(_, count, _)| *count > 0);
    let findings: Vec<_> = fired
        .map(|(feature, count, points)| TextFinding {
            feature: feature.into(),
            count: i32::try_from(count).unwrap_or(i32::MAX),
            points,
        })
        .collect();
    Verdict { score: findings.iter().map(|f| f.points).sum::<i32>().min(100), findings }
}

/// A text's letters and digits alone, for finding it again; `None`: too short to be anybody's own.
pub fn essence(text: &str) -> Option<String> {
    let letters: String = narrow(text).chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    (letters.chars().count() >= 20).then_some(letters)
}

/// Without what nobody sees, and wide Latin as narrow.
fn narrow(text: &str) -> String {
    let seen = text.chars().filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}'));
    seen.map(|c| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        c => c,
    })
    .collect()
}

fn repeated(text: &str) -> usize {
    let (mut runs, mut last, mut length) = (0, ' ', 0);
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        length = if c == last { length + 1 } else { 1 };
        last = c;
        runs += usize::from(length == 10);
    }
    runs
}

fn shouts(text: &str) -> bool {
    let letters = text.chars().filter(char::is_ascii_alphabetic).count();
    let capitals = text.chars().filter(char::is_ascii_uppercase).count();
    letters >= 12 && capitals * 10 >= letters * 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn features(text: &str) -> Vec<TextFeature> {
        check(text, false).findings.iter().map(|f| f.feature()).collect()
    }

    #[test]
    fn what_people_usually_write_passes() {
        for text in [
            "",
            "친절하시고 시간 약속도 잘 지켜주셨어요. 감사합니다!",
            "다시 발송해주셔서 감사합니다. 즉시발송 최고!",
            "신발 상태가 새것 같아요 ㅎㅎ 역시, 발이 편하네요",
            "새끼 고양이 장난감이에요. 이 새끼 고양이가 좋아해요",
            "화면이 가끔 꺼져요. 2026-11-21에 받았고 가격은 1,200,000원이었어요",
            "ㅋㅋㅋㅋㅋ 좋아요 ㄱㅅㄱㅅ",
            "Great seller, quick reply. The class was classic, from Scunthorpe.",
            "Would buy again!!! 5/5, arrived in 2 days",
            "주문번호 20261121000012345 입니다",
            "씹는 맛이 좋은 간식이에요. 의견을 좇아 샀어요",
        ] {
            assert_eq!(features(text), [], "{text}");
        }
    }

    #[test]
    fn ways_out_of_the_platform_are_seen() {
        use TextFeature::{AccountNumber, Link, OffPlatform, PhoneNumber};
        for (text, feature) in [
            ("싸게 사려면 https://evil.example/x 로", Link),
            ("www.cheap.kr 보세요", Link),
            ("ＣＨＥＡＰ.com", Link),
            ("연락 010-1234-5678", PhoneNumber),
            ("공일공 일이삼사 오육칠팔", PhoneNumber),
            ("０１０.１２３４.５６７８", PhoneNumber),
            ("01012345678", PhoneNumber),
            ("02) 312-4567 로 전화", PhoneNumber),
            ("110-234-567890 으로 주세요", AccountNumber),
            ("국민은행 12345678901234", AccountNumber),
            ("카톡 주세요", OffPlatform),
            ("t e l e g r a m 으로", OffPlatform),
        ] {
            assert!(features(text).contains(&feature), "{text}: {:?}", features(text));
        }
        assert!(!features("010-1234-5678").contains(&AccountNumber));
    }

    #[test]
    fn the_score_is_what_its_findings_say() {
        let verdict = check(&format!("{} 010-1234-5678 www.x.com", "A".repeat(40)), true);
        assert_eq!(verdict.score, 100);
        let sum: i32 = verdict.findings.iter().map(|f| f.points).sum();
        assert_eq!((sum, verdict.findings.len()), (60 + 50 + 15 + 10 + 40, 5));
        assert_eq!(check("", true).score, 40);
    }

    #[test]
    fn the_same_words_are_found_again() {
        let a = essence("정말 친절하시고 좋은 분이에요. 다음에도 거래하고 싶어요!").unwrap();
        assert_eq!(essence("정말  친절하시고 좋은분이에요 다음에도 거래하고 싶어요~~"), Some(a));
        assert_eq!(essence("감사합니다!"), None);
    }

    proptest! {
        #[test]
        fn any_text_has_a_score_within_its_scale(text in "\\PC{0,200}", duplicate: bool) {
            let verdict = check(&text, duplicate);
            prop_assert!((0..=100).contains(&verdict.score));
            prop_assert_eq!(verdict.score > 0, !verdict.findings.is_empty());
        }

        #[test]
        fn jamo_in_any_order_do_no_harm(text in "[ㄱ-ㅣ가-힣\u{1100}-\u{11ff} 1.]{0,60}") {
            check(&text, false);
        }
    }
}
