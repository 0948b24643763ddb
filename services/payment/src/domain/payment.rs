//! The life of a payment: what a new request to authorise makes of it.

use proto::jangteo::payment::v1::PaymentStatus as Status;

/// What to do about a request to authorise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Say how it stands.
    Answer,
    /// It is under way: wait for it a moment, then say how it stands.
    Wait,
    /// Begin the attempt.
    Try,
    /// Give the confirmation that is waited for up, then begin the attempt.
    Replace,
}

/// `last` is the status and number of the last attempt.
pub fn start(last: Option<(Status, i64)>, attempt: i64) -> Start {
    match last {
        None => Start::Try,
        Some((Status::Declined, last)) if attempt > last => Start::Try,
        Some((Status::ActionRequired, last)) if attempt > last => Start::Replace,
        // While an attempt is unknown there must be no other.
        Some((Status::Pending, _)) => Start::Wait,
        Some(_) => Start::Answer,
    }
}

pub fn status(number: i64) -> Status {
    i32::try_from(number).ok().and_then(|n| n.try_into().ok()).unwrap_or(Status::Unspecified)
}

/// Whether an outcome of the current attempt still counts.
pub fn waits(status: Status) -> bool {
    matches!(status, Status::Pending | Status::ActionRequired)
}

pub fn name(status: Status) -> &'static str {
    match status {
        Status::Unspecified => "unknown",
        Status::Pending => "pending",
        Status::ActionRequired => "waiting for the buyer",
        Status::Authorised => "authorised",
        Status::Captured => "captured",
        Status::Refunded => "refunded",
        Status::Voided => "voided",
        Status::Declined => "declined",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_attempt_at_a_time() {
        assert_eq!(start(None, 1), Start::Try);
        assert_eq!(start(Some((Status::Declined, 1)), 1), Start::Answer);
        assert_eq!(start(Some((Status::Declined, 1)), 2), Start::Try);
        assert_eq!(start(Some((Status::Pending, 1)), 2), Start::Wait, "an unknown outcome blocks the next attempt");
        assert_eq!(start(Some((Status::ActionRequired, 1)), 1), Start::Answer);
        assert_eq!(start(Some((Status::ActionRequired, 1)), 2), Start::Replace);
        for done in [Status::Authorised, Status::Captured, Status::Refunded, Status::Voided] {
            assert_eq!(start(Some((done, 1)), 9), Start::Answer, "{done:?}");
        }
    }
}
