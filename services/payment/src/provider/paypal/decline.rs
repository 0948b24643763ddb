//! What PayPal's errors mean: a name for each status, and an issue that says more.
//! <https://developer.paypal.com/api/rest/reference/orders/v2/errors/>

use crate::provider::{
    Decline, Outcome,
    http::{Answer, Silence},
};

/// An answer to a new order that is no 2xx. An order takes nothing by itself, so what was refused took nothing.
pub(super) fn refused<T>(answer: &Answer) -> Outcome<T> {
    match (answer.status, issue(answer)) {
        // The key stands for another request: what became of that one is not said.
        (_, "DUPLICATE_REQUEST_ID" | "PAYPAL_REQUEST_ID_PREVIOUSLY_USED") => Outcome::Unknown(told(answer)),
        (400 | 401 | 403 | 404 | 422 | 429, _) => Outcome::NotTaken(told(answer)),
        _ => Outcome::Unknown(told(answer)),
    }
}

/// For the log: codes alone, as messages may repeat what was sent.
pub(super) fn told(answer: &Answer) -> String {
    format!("{} {} from paypal", answer.status, issue(answer))
}

pub(super) fn unsure(answer: &Answer) -> Silence {
    Silence::Unknown(told(answer))
}

pub(super) fn issue(answer: &Answer) -> &str {
    match answer.text("/details/0/issue") {
        "" => answer.text("/name"),
        issue => issue,
    }
}

/// Why an order that its buyer approved is refused. Issues come and go, so one that is not listed here proves nothing.
pub(super) fn reason(answer: &Answer) -> Option<Decline> {
    if answer.status != 422 {
        return None;
    }
    Some(match issue(answer) {
        "INSTRUMENT_DECLINED" | "PAYER_CANNOT_PAY" | "TRANSACTION_REFUSED" => Decline::CardDeclined,
        "PAYER_ACCOUNT_RESTRICTED" | "PAYER_ACCOUNT_LOCKED_OR_CLOSED" => Decline::CardDeclined,
        "CARD_EXPIRED" | "REFERENCED_CARD_EXPIRED" => Decline::ExpiredCard,
        "CARD_BRAND_NOT_SUPPORTED" => Decline::InvalidCard,
        "TRANSACTION_LIMIT_EXCEEDED" | "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED" => Decline::LimitExceeded,
        "COMPLIANCE_VIOLATION" | "PAYEE_BLOCKED_TRANSACTION" | "TRANSACTION_BLOCKED_BY_PAYEE" => {
            Decline::SuspectedFraud
        }
        "TRANSACTION_RECEIVING_LIMIT_EXCEEDED"
        | "PAYEE_ACCOUNT_RESTRICTED"
        | "PAYEE_ACCOUNT_LOCKED_OR_CLOSED"
        | "AUTH_CAPTURE_NOT_ENABLED"
        | "DOMESTIC_TRANSACTION_REQUIRED" => Decline::ProviderUnavailable,
        "ORDER_EXPIRED" => Decline::CancelledByUser,
        _ => return None,
    })
}

/// Whether money that was set aside is not to be had any more. Troubles of our own account pass, so those prove nothing.
pub(super) fn lost(answer: &Answer) -> bool {
    let gone = ["AUTHORIZATION_VOIDED", "AUTHORIZATION_EXPIRED", "AUTHORIZATION_DENIED", "TRANSACTION_REFUSED"];
    let payer = ["PAYER_CANNOT_PAY", "PAYER_ACCOUNT_RESTRICTED", "PAYER_ACCOUNT_LOCKED_OR_CLOSED"];
    answer.status == 422 && [&gone[..], &payer].concat().contains(&issue(answer))
}

/// Whether a refund will never be made at PayPal.
pub(super) fn hopeless(answer: &Answer) -> bool {
    answer.status == 422
        && matches!(
            issue(answer),
            "CAPTURE_FULLY_REFUNDED"
                | "MAX_NUMBER_OF_REFUNDS_EXCEEDED"
                | "PARTIAL_REFUND_NOT_ALLOWED"
                | "PAYER_ACCOUNT_LOCKED_OR_CLOSED"
                | "REFUND_AMOUNT_EXCEEDED"
                | "REFUND_AMOUNT_TOO_LOW"
                | "REFUND_NOT_ALLOWED"
                | "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"
                | "REFUND_TIME_LIMIT_EXCEEDED"
                | "TRANSACTION_DISPUTED"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(status: u16, issue: &str) -> Answer {
        Answer { status, body: json!({ "name": "UNPROCESSABLE_ENTITY", "details": [{ "issue": issue }] }) }
    }

    #[test]
    fn only_known_issues_decline() {
        assert_eq!(reason(&answer(422, "INSTRUMENT_DECLINED")), Some(Decline::CardDeclined));
        assert_eq!(reason(&answer(422, "ORDER_EXPIRED")), Some(Decline::CancelledByUser));
        for (status, issue) in [(422, "NEW_ONE"), (500, "INSTRUMENT_DECLINED"), (400, "INSTRUMENT_DECLINED")] {
            assert_eq!(reason(&answer(status, issue)), None, "{status} {issue}");
        }
        assert!(lost(&answer(422, "AUTHORIZATION_EXPIRED")) && !lost(&answer(422, "AUTHORIZATION_ALREADY_CAPTURED")));
        assert!(!lost(&answer(500, "AUTHORIZATION_EXPIRED")) && !lost(&answer(422, "PAYEE_ACCOUNT_RESTRICTED")));
        let passing = ["REFUND_FAILED_INSUFFICIENT_FUNDS", "PENDING_CAPTURE", "NEW_ONE"];
        assert!(hopeless(&answer(422, "REFUND_TIME_LIMIT_EXCEEDED")));
        assert!(passing.iter().all(|issue| !hopeless(&answer(422, issue))), "they pass");
    }

    #[test]
    fn an_order_that_is_refused_took_nothing() {
        for status in [400, 401, 403, 422, 429] {
            assert!(matches!(refused::<()>(&answer(status, "X")), Outcome::NotTaken(_)), "{status}");
        }
        for (status, issue) in [(409, "X"), (500, "X"), (302, ""), (422, "DUPLICATE_REQUEST_ID")] {
            assert!(matches!(refused::<()>(&answer(status, issue)), Outcome::Unknown(_)), "{status} {issue}");
        }
    }
}
