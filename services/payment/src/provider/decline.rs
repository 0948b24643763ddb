//! The reasons for which charges are declined.

/// Why a charge is declined. The names are those of `Payment.decline_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decline {
    InsufficientFunds,
    CardDeclined,
    ExpiredCard,
    InvalidCard,
    LimitExceeded,
    AuthenticationFailed,
    SuspectedFraud,
    ProviderUnavailable,
    CancelledByUser,
}

impl Decline {
    const ALL: [Decline; 9] = [
        Decline::InsufficientFunds,
        Decline::CardDeclined,
        Decline::ExpiredCard,
        Decline::InvalidCard,
        Decline::LimitExceeded,
        Decline::AuthenticationFailed,
        Decline::SuspectedFraud,
        Decline::ProviderUnavailable,
        Decline::CancelledByUser,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Decline::InsufficientFunds => "INSUFFICIENT_FUNDS",
            Decline::CardDeclined => "CARD_DECLINED",
            Decline::ExpiredCard => "EXPIRED_CARD",
            Decline::InvalidCard => "INVALID_CARD",
            Decline::LimitExceeded => "LIMIT_EXCEEDED",
            Decline::AuthenticationFailed => "AUTHENTICATION_FAILED",
            Decline::SuspectedFraud => "SUSPECTED_FRAUD",
            Decline::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
            Decline::CancelledByUser => "CANCELLED_BY_USER",
        }
    }

    pub fn parse(name: &str) -> Option<Decline> {
        Decline::ALL.into_iter().find(|d| d.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decline_reasons_are_read_as_they_are_written() {
        for d in Decline::ALL {
            assert_eq!(Decline::parse(d.name()), Some(d));
        }
    }
}
