//! What the sandbox does, by the number of the card:
//!
//! | number | what happens |
//! | --- | --- |
//! | 4242 4242 4242 4242, 5555 5555 5555 4444, 3782 822463 10005 | all goes well |
//! | 4000 0000 0000 9995 | declined: INSUFFICIENT_FUNDS |
//! | 4000 0000 0000 0002 | declined: CARD_DECLINED |
//! | 4000 0000 0000 0069 | declined: EXPIRED_CARD |
//! | 4000 0000 0000 6975 | declined: LIMIT_EXCEEDED |
//! | 4100 0000 0000 0019 | declined: SUSPECTED_FRAUD |
//! | 4000 0000 0000 3220 | the buyer confirms at `redirect_url` (3-D Secure); a webhook says so |
//! | 4000 0000 0000 0473 | the same, and the webhook comes three times |
//! | 4000 0000 0000 0481 | the same, and an older webhook comes after it |
//! | 4000 0000 0000 0440 | no answer in time, and it was taken |
//! | 4000 0000 0000 0457 | no answer in time, and it was declined |
//! | 4000 0000 0000 0465 | undecided at first; a late webhook says that it was taken |
//! | 4000 0000 0000 0499 | the provider is down, and takes nothing |
//! | 4000 0000 0000 0507 | set aside, and not there any more at the capture |
//! | 4000 0000 0000 0515 | captured, and can't be given back: refunds go to the wallet |
//!
//! Any other number is refused as INVALID_CARD, so that no real card gets here.

use crate::{
    domain::luhn,
    provider::{Card, Decline},
};
use jangteo_core::Time;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    Good,
    Decline(Decline),
    /// The buyer has to confirm.
    Confirm,
    /// … and the webhook comes three times.
    ConfirmThrice,
    /// … and an older webhook comes after it.
    ConfirmShuffled,
    HangThenDone,
    HangThenDecline,
    Late,
    Unavailable,
    CaptureRefused,
    RefundRefused,
}

const CARDS: [(&str, Scenario); 17] = [
    ("4242424242424242", Scenario::Good),
    ("5555555555554444", Scenario::Good),
    ("378282246310005", Scenario::Good),
    ("4000000000009995", Scenario::Decline(Decline::InsufficientFunds)),
    ("4000000000000002", Scenario::Decline(Decline::CardDeclined)),
    ("4000000000000069", Scenario::Decline(Decline::ExpiredCard)),
    ("4000000000006975", Scenario::Decline(Decline::LimitExceeded)),
    ("4100000000000019", Scenario::Decline(Decline::SuspectedFraud)),
    ("4000000000003220", Scenario::Confirm),
    ("4000000000000473", Scenario::ConfirmThrice),
    ("4000000000000481", Scenario::ConfirmShuffled),
    ("4000000000000440", Scenario::HangThenDone),
    ("4000000000000457", Scenario::HangThenDecline),
    ("4000000000000465", Scenario::Late),
    ("4000000000000499", Scenario::Unavailable),
    ("4000000000000507", Scenario::CaptureRefused),
    ("4000000000000515", Scenario::RefundRefused),
];

impl Scenario {
    /// As it is stored: the reason of a decline, or its own name.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Good => "GOOD",
            Scenario::Decline(why) => why.name(),
            Scenario::Confirm => "CONFIRM",
            Scenario::ConfirmThrice => "CONFIRM_THRICE",
            Scenario::ConfirmShuffled => "CONFIRM_SHUFFLED",
            Scenario::HangThenDone => "HANG_THEN_DONE",
            Scenario::HangThenDecline => "HANG_THEN_DECLINE",
            Scenario::Late => "LATE",
            Scenario::Unavailable => "UNAVAILABLE",
            Scenario::CaptureRefused => "CAPTURE_REFUSED",
            Scenario::RefundRefused => "REFUND_REFUSED",
        }
    }

    pub fn parse(name: &str) -> Scenario {
        CARDS.iter().map(|(_, s)| *s).find(|s| s.name() == name).unwrap_or(Scenario::Good)
    }

    pub fn asks_the_buyer(self) -> bool {
        matches!(self, Scenario::Confirm | Scenario::ConfirmThrice | Scenario::ConfirmShuffled)
    }

    pub fn hangs(self) -> bool {
        matches!(self, Scenario::HangThenDone | Scenario::HangThenDecline)
    }
}

/// What the card does, or why it is none.
pub fn scenario(card: &Card, now: Time) -> Result<Scenario, Decline> {
    let digits = card.number.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) || !luhn::valid(digits) {
        return Err(Decline::InvalidCard);
    }
    let found = CARDS.iter().find(|(number, _)| *number == card.number.as_str());
    let (_, scenario) = found.ok_or(Decline::InvalidCard)?;
    let month = now.format("%Y%m").to_string().parse::<i32>().unwrap_or(0);
    if card.expiry_year * 100 + card.expiry_month < month {
        return Err(Decline::ExpiredCard);
    }
    Ok(*scenario)
}

/// By the issuer identification number.
pub fn brand(number: &str) -> &'static str {
    let first = |n: usize| number.get(..n).and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
    match (first(1), first(2), first(4)) {
        (4, ..) => "VISA",
        (_, 51..=55, _) | (.., 2221..=2720) => "MASTERCARD",
        (_, 34 | 37, _) => "AMEX",
        (_, 35, _) => "JCB",
        (_, 62, _) => "UNIONPAY",
        _ => "CARD",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;

    #[test]
    fn test_numbers_are_well_formed_and_scenarios_are_read_as_they_are_written() {
        let now = from_micros(1_760_000_000_000_000);
        for (number, expected) in CARDS {
            let card = Card { number: number.to_owned().into(), expiry_month: 12, expiry_year: 2031 };
            assert_eq!(scenario(&card, now), Ok(expected), "{number}");
            assert_eq!(Scenario::parse(expected.name()), expected);
        }
    }

    #[test]
    fn other_cards_are_refused() {
        let now = from_micros(1_760_000_000_000_000);
        let card = |number: &str, expiry_year| Card { number: number.to_owned().into(), expiry_month: 1, expiry_year };
        assert_eq!(scenario(&card("4242424242424241", 2031), now), Err(Decline::InvalidCard));
        assert_eq!(
            scenario(&card("4111111111111111", 2031), now),
            Err(Decline::InvalidCard),
            "a real number gets nowhere"
        );
        assert_eq!(scenario(&card("4242424242424242", 2020), now), Err(Decline::ExpiredCard));
        assert_eq!(["4242", "5555", "3782", "9999"].map(brand), ["VISA", "MASTERCARD", "AMEX", "CARD"]);
    }
}
