//! What Stripe's errors mean. <https://docs.stripe.com/declines/codes>, <https://docs.stripe.com/error-codes>

use crate::provider::{
    Decline, Outcome,
    http::{Answer, text},
};
use serde_json::Value;

/// An answer that is no 2xx.
pub(super) fn refused<T>(answer: &Answer) -> Outcome<T> {
    match answer.status {
        402 => Outcome::Declined(reason(&answer.body["error"])),
        // The key stands for another request: what became of that one is not said.
        400 if answer.text("/error/type") == "idempotency_error" => Outcome::Unknown(told(answer)),
        400 | 401 | 403 | 404 | 429 => Outcome::NotTaken(told(answer)),
        _ => Outcome::Unknown(told(answer)),
    }
}

/// For the log: codes alone, as messages may repeat what was sent.
pub(super) fn told(answer: &Answer) -> String {
    format!("{} {} {} from stripe", answer.status, answer.text("/error/type"), answer.text("/error/code"))
}

/// Of an `error` or a `last_payment_error`.
pub(super) fn reason(error: &Value) -> Decline {
    let code = match text(error, "/decline_code") {
        "" => text(error, "/code"),
        code => code,
    };
    match code {
        "insufficient_funds" => Decline::InsufficientFunds,
        "expired_card" => Decline::ExpiredCard,
        "incorrect_number"
        | "invalid_number"
        | "incorrect_cvc"
        | "invalid_cvc"
        | "invalid_expiry_month"
        | "invalid_expiry_year"
        | "invalid_account"
        | "card_not_supported" => Decline::InvalidCard,
        "card_velocity_exceeded" | "withdrawal_count_limit_exceeded" | "invalid_amount" | "amount_too_large" => {
            Decline::LimitExceeded
        }
        "authentication_required" | "payment_intent_authentication_failure" | "authentication_not_handled" => {
            Decline::AuthenticationFailed
        }
        "fraudulent" | "merchant_blacklist" | "stolen_card" | "lost_card" | "pickup_card" | "security_violation" => {
            Decline::SuspectedFraud
        }
        "issuer_not_available"
        | "processing_error"
        | "reenter_transaction"
        | "try_again_later"
        | "payment_method_provider_timeout" => Decline::ProviderUnavailable,
        "payment_method_customer_decline" => Decline::CancelledByUser,
        _ => Decline::CardDeclined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_issuers_reason_goes_before_stripes() {
        let of = |error| reason(&error);
        assert_eq!(
            of(json!({"code": "card_declined", "decline_code": "insufficient_funds"})),
            Decline::InsufficientFunds
        );
        assert_eq!(of(json!({"code": "card_declined", "decline_code": "new_one"})), Decline::CardDeclined);
        assert_eq!(of(json!({"code": "expired_card"})), Decline::ExpiredCard);
        assert_eq!(of(Value::Null), Decline::CardDeclined);
    }

    #[test]
    fn only_a_card_error_declines() {
        let of = |status, kind| refused::<()>(&Answer { status, body: json!({"error": {"type": kind}}) });
        assert!(matches!(of(402, "card_error"), Outcome::Declined(_)));
        for (status, kind) in [(409, "idempotency_error"), (400, "idempotency_error"), (500, "api_error"), (302, "")] {
            assert!(matches!(of(status, kind), Outcome::Unknown(_)), "{status} {kind}");
        }
        for status in [400, 401, 403, 429] {
            assert!(matches!(of(status, "invalid_request_error"), Outcome::NotTaken(_)), "{status}");
        }
    }
}
