//! What Toss's error codes mean. <https://docs.tosspayments.com/reference/error-codes>

use crate::provider::{Decline, Outcome, http::Answer};

/// An answer that is no 2xx. Codes come and go, so one that is not listed here proves nothing.
pub(super) fn refused<T>(answer: &Answer) -> Outcome<T> {
    if answer.status == 409 || answer.status >= 500 || answer.status < 400 {
        return Outcome::Unknown(told(answer));
    }
    if let Some(why) = known(answer.text("/code")) {
        return Outcome::Declined(why);
    }
    match answer.text("/code") {
        "UNAUTHORIZED_KEY"
        | "INVALID_API_KEY"
        | "INCORRECT_BASIC_AUTH_FORMAT"
        | "FORBIDDEN_REQUEST"
        | "INVALID_REQUEST"
        | "BELOW_MINIMUM_AMOUNT"
        | "NOT_SUPPORTED_METHOD" => Outcome::NotTaken(told(answer)),
        _ if answer.status == 429 => Outcome::NotTaken(told(answer)),
        _ => Outcome::Unknown(told(answer)),
    }
}

/// For the log: codes alone, as messages may repeat what was sent.
pub(super) fn told(answer: &Answer) -> String {
    format!("{} {} from toss", answer.status, answer.text("/code"))
}

/// Of a payment that failed.
pub(super) fn reason(code: &str) -> Decline {
    known(code).unwrap_or(Decline::CardDeclined)
}

fn known(code: &str) -> Option<Decline> {
    Some(match code {
        "REJECT_CARD_PAYMENT" | "REJECT_ACCOUNT_PAYMENT" => Decline::InsufficientFunds,
        "EXCEED_MAX_AMOUNT"
        | "EXCEED_MAX_PAYMENT_AMOUNT"
        | "EXCEED_MAX_ONE_DAY_AMOUNT"
        | "EXCEED_MAX_DAILY_PAYMENT_COUNT"
        | "EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT"
        | "EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT"
        | "EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT" => Decline::LimitExceeded,
        "INVALID_CARD_EXPIRATION" => Decline::ExpiredCard,
        "INVALID_CARD_NUMBER"
        | "INVALID_CARD_IDENTITY"
        | "NOT_SUPPORTED_CARD_TYPE"
        | "NOT_REGISTERED_CARD_COMPANY"
        | "NOT_MATCHES_CUSTOMER_KEY" => Decline::InvalidCard,
        "INVALID_CARD_LOST_OR_STOLEN" | "FDS_ERROR" => Decline::SuspectedFraud,
        "REJECT_CARD_COMPANY"
        | "INVALID_REJECT_CARD"
        | "INVALID_STOPPED_CARD"
        | "REJECT_TOSSPAY_INVALID_ACCOUNT"
        | "RESTRICTED_TRANSFER_ACCOUNT" => Decline::CardDeclined,
        "INVALID_AUTHORIZE_AUTH" | "INVALID_PASSWORD" | "EXCEED_MAX_AUTH_COUNT" => Decline::AuthenticationFailed,
        "PAY_PROCESS_CANCELED" | "NOT_FOUND_PAYMENT_SESSION" => Decline::CancelledByUser,
        "NOT_AVAILABLE_BANK" => Decline::ProviderUnavailable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_known_codes_decline() {
        let of = |status, code| refused::<()>(&Answer { status, body: json!({ "code": code }) });
        assert_eq!(of(403, "REJECT_CARD_PAYMENT"), Outcome::Declined(Decline::InsufficientFunds));
        assert_eq!(of(403, "EXCEED_MAX_AMOUNT"), Outcome::Declined(Decline::LimitExceeded));
        assert!(matches!(of(401, "UNAUTHORIZED_KEY"), Outcome::NotTaken(_)));
        let unsure = [
            (400, "PROVIDER_ERROR"),
            (400, "NEW_ONE"),
            (409, "IDEMPOTENT_REQUEST_PROCESSING"),
            (500, "REJECT_CARD_PAYMENT"),
        ];
        for (status, code) in unsure {
            assert!(matches!(of(status, code), Outcome::Unknown(_)), "{status} {code}");
        }
    }
}
