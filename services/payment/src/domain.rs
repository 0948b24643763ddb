//! What money may do: the ledger, the life of a payment and of its charges, who gets which share. Values in, decisions out.

pub mod charge;
pub mod ledger;
pub mod luhn;
pub mod payment;
pub mod share;

use jangteo_core::{Currency, Entity, Error, Money, Result, Time, faults, micros};
use proto::google::r#type::Money as WireMoney;

/// As many as anybody carries, and few enough to read at once.
pub const MAX_METHODS: u64 = 20;

faults! {
    /// Why the payment service refuses.
    pub enum Fault in "payment.jangteo" {
        PaymentMismatch { order_id: String } = AlreadyExists
            "{order_id} has a payment already, of another buyer or amount",
        SourceRequired { order_id: String } = FailedPrecondition "nothing is said to pay {order_id} with",
        MethodNotOffered { method: String } = FailedPrecondition "no payment provider here takes {method}",
        NotAuthorised { order_id: String, status: &'static str } = FailedPrecondition
            "the payment of {order_id} is {status}; there is nothing to capture",
        CaptureUnderway { order_id: String } = Unavailable "the provider has not said yet whether it captured {order_id}",
        AlreadyCaptured { order_id: String } = FailedPrecondition "the payment of {order_id} is captured; refund it instead",
        NotCaptured { order_id: String } = FailedPrecondition "the payment of {order_id} is not captured",
        EscrowShort { order_id: String, left: i64 } = FailedPrecondition "only {left} won of {order_id} are left in escrow",
        RefundIdReused { refund_id: String } = AlreadyExists "{refund_id} was another refund",
        PartSettled { order_id: String, part: i64, amount: i64 } = AlreadyExists
            "part {part} of {order_id} is settled already, with {amount} won asked for",
        PartNotSettled { order_id: String, part: i64 } = FailedPrecondition
            "part {part} of {order_id} is not settled yet; cancel it through the order",
        SettledInParts { order_id: String } = FailedPrecondition "{order_id} is settled in part; say which part",
        RefundTooLarge { order_id: String, left: i64 } = FailedPrecondition "at most {left} won of {order_id} can go back",
        WalletShort { balance: i64 } = FailedPrecondition "only {balance} won may be spent",
        TooManyMethods { limit: u64 } = FailedPrecondition "there are {limit} cards already; remove one first",
        CardRefused { decline_reason: &'static str } = FailedPrecondition "the card is refused: {decline_reason}",
        PayoutAccountRequired = FailedPrecondition "say first to which bank account",
        PayoutTooSmall { minimum: i64 } = FailedPrecondition "at least {minimum} won are paid out",
        PayoutsNotOffered = FailedPrecondition "no payment provider here pays out",
        WebhookForged { why: &'static str } = PermissionDenied "the message is not the provider's: {why}",
        AlreadyDecided = FailedPrecondition "this payment was decided already",
    }
}

macro_rules! entity {
    ($($(#[$meta:meta])* $type:ident $noun:literal $prefix:literal),* $(,)?) => { $(
        $(#[$meta])*
        pub enum $type {}
        impl Entity for $type {
            const NAME: &'static str = $noun;
            const PREFIX: &'static str = $prefix;
        }
    )* };
}

entity! {
    Payment "payment" "pay",
    Refund "refund" "rfd",
    Method "payment_method" "pmt",
    Payout "payout" "pyo",
}

pub fn krw(won: i64) -> Money {
    Money::new(won, Currency::KRW)
}

pub fn won(amount: i64) -> WireMoney {
    krw(amount).into()
}

/// A required amount of won, `least` or more; `field` names it in the error.
pub fn amount(field: &str, money: Option<&WireMoney>, least: i64) -> Result<i64> {
    let money = proto::money(field, money)?;
    if money.currency != Currency::KRW {
        return Err(Error::invalid(format!("{field}.currency_code"), "UNSUPPORTED_CURRENCY", "must be KRW"));
    }
    if money.minor < least {
        return Err(Error::invalid(format!("{field}.units"), "OUT_OF_RANGE", format!("must be at least {least}")));
    }
    Ok(money.minor)
}

/// When to look again after so many vain tries: `base`, doubled each time up to a minute. Microseconds since 1970.
pub fn again(now: Time, base_ms: u64, tries: i64) -> i64 {
    let shift = u32::try_from(tries.clamp(0, 16)).unwrap_or(16);
    let wait = base_ms.saturating_mul(1 << shift).min(60_000.max(base_ms));
    micros(now).saturating_add(i64::try_from(wait).unwrap_or(60_000).saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;

    #[test]
    fn only_whole_won_pass() {
        assert_eq!(amount("amount", Some(&won(5)), 1).unwrap(), 5);
        let usd = WireMoney { currency_code: "USD".into(), units: 1, nanos: 0 };
        assert_eq!(amount("amount", Some(&usd), 1).unwrap_err().field_violations()[0].field, "amount.currency_code");
        assert!(amount("amount", Some(&won(0)), 1).is_err());
        assert!(amount("amount", None, 0).is_err());
    }

    #[test]
    fn waits_grow_and_end_at_a_minute() {
        let wait = |tries| again(from_micros(0), 1_000, tries) / 1_000_000;
        assert_eq!([wait(0), wait(1), wait(3), wait(6), wait(1_000)], [1, 2, 8, 60, 60]);
    }
}
