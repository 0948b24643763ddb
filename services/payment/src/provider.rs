//! The port to payment providers: what each of them can do, in the words of the trade.
//!
//! The contract that the rest of the service stands on:
//! - A **key** names one thing that should happen (one charge, one refund, one payout), for ever. The same call with the same
//!   key again has no second effect and answers what became of the first, at least for a day.
//! - [`Outcome::NotTaken`] and [`Outcome::Declined`] are promises that nothing happened and nothing will. Whoever is not sure
//!   says [`Outcome::Unknown`]: nothing is compensated then, the provider is asked until it knows.
//! - Amounts are positive. The caller bounds every call in time and drops its future when time is up, which is `Unknown` too.
//! - No call is made inside of a transaction of ours.
//!
//! A provider is added in [`configured`] alone: its section of the configuration, its constructor.

pub mod configured;
mod decline;
mod graves;
pub mod health;
pub mod http;
pub mod inicis;
pub mod paypal;
pub mod router;
pub mod sandbox;
pub mod stripe;
pub mod toss;

pub use decline::Decline;

use async_trait::async_trait;
use jangteo_core::{Money, Time};
use std::{collections::BTreeMap, fmt, time::Duration};
use zeroize::Zeroizing;

#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// As in `payment.providers`, in webhook paths and in `Payment.provider`: `toss`.
    fn name(&self) -> &str;

    /// Whether it can charge `method`.
    fn can(&self, method: &Method) -> bool;

    /// What a charge costs us; the router prefers the cheaper one.
    fn cost(&self, method: &Method) -> Cost;

    /// Turns a card into a token that only this provider understands. `owner` is a user id.
    async fn tokenise(&self, owner: &str, card: &Card) -> Outcome<Token>;

    /// Forgets a token. Best effort: a token that stays is of no use to anybody else.
    async fn forget(&self, _token: &str) {}

    /// Sets the money aside, or asks the buyer to confirm first. Providers that know no authorisation take the money here,
    /// do nothing in `capture`, and give it back in `void`.
    async fn authorise(&self, charge: &Charge) -> Outcome<Taken>;

    /// The form that opens its window, where the buyer's browser has to post one to get there: on our page at
    /// [`Charge::checkout_url`]. `None`: it has no such window.
    fn page(&self, _charge: &Charge, _now: Time) -> Option<Page> {
        None
    }

    /// What [`Provider::confirm`] needs of the form with which its window sends the buyer's browser back to us. `None`: it
    /// does not say that the buyer got through. Nothing of it is true because it says so.
    fn returned(&self, _charge: &Charge, _form: &[u8]) -> Option<String> {
        None
    }

    /// Goes on with a charge whose buyer came back. `slip` is what [`Provider::returned`] made of the form, and is written down
    /// first. Called once for a charge, and again after [`Outcome::NotTaken`] alone: what else became of it says `look_up`.
    async fn confirm(&self, _charge: &Charge, _slip: &str) -> Outcome<Taken> {
        Outcome::NotTaken("it waits for nobody to come back".into())
    }

    /// Takes what was set aside. `Declined`: it is not held any more.
    async fn capture(&self, charge: &ChargeRef) -> Outcome<()>;

    /// Gives up a charge that is not captured, in whatever state it is, also one that never arrived: that one is refused
    /// when it does. `Done` when it is given up now or was before.
    async fn void(&self, charge: &ChargeRef) -> Outcome<()>;

    /// Gives back a part of a captured charge, or all of it.
    async fn refund(&self, charge: &ChargeRef, refund: &RefundRef) -> Outcome<()>;

    /// How a charge stands. Where the provider waits for a second call after the buyer has confirmed, that call is made here,
    /// unless the charge is not wanted any more.
    /// `Err`: it could not be asked, and why.
    async fn look_up(&self, charge: &ChargeRef) -> Result<Standing, String>;

    /// Whether it can pay money out to bank accounts.
    fn pays_out(&self) -> bool {
        false
    }

    /// Pays money out of our account with it.
    async fn payout(&self, _payout: &PayoutRef) -> Outcome<()> {
        Outcome::NotTaken("pays nothing out".into())
    }

    /// Verifies a webhook and reads what it says. `headers` by lower-case name, only those that `ReceiveWebhook`'s policy names.
    async fn verify_webhook(&self, headers: &BTreeMap<String, String>, body: &[u8], now: Time) -> Verified;

    /// Whether it says what it booked. What doesn't is not compared with the books.
    fn has_statement(&self) -> bool {
        true
    }

    /// What was booked in `from..to`: captured charges, refunds, payouts. `Err`: it could not be asked, and why.
    async fn statement(&self, from: Time, to: Time) -> Result<Vec<Line>, String>;
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    Done(T),
    /// The provider or the bank says no; asking elsewhere would be asking around. Nothing was taken.
    Declined(Decline),
    /// The buyer has to confirm first, at `redirect_url`. Of `authorise` only.
    ActionRequired {
        redirect_url: String,
        provider_ref: String,
    },
    /// The provider did not work, and certainly took nothing: another one may be asked.
    NotTaken(String),
    /// It may have happened or not, or may yet.
    Unknown(String),
}

/// What a buyer pays with, as far as choosing a provider goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    Card,
    /// `toss`, `kakaopay` …
    EasyPay(String),
    /// `kb`, `shinhan` …
    BankTransfer(String),
}

/// What a buyer pays with, as a provider needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instrument {
    /// This provider's own token.
    Card(String),
    EasyPay(String),
    BankTransfer(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cost {
    /// Hundredths of a percent of the amount.
    pub basis_points: u32,
    /// Won for each charge.
    pub fixed: u32,
}

impl Cost {
    pub fn of(self, won: i64) -> i128 {
        i128::from(won) * i128::from(self.basis_points) / 10_000 + i128::from(self.fixed)
    }
}

/// A card as its owner typed it; on its way to `tokenise` and nowhere else.
pub struct Card {
    pub number: Zeroizing<String>,
    pub expiry_month: i32,
    pub expiry_year: i32,
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Card([redacted])")
    }
}

/// What may be kept of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub token: String,
    /// `VISA`
    pub brand: String,
    pub last4: String,
    /// The same for the same card, and of no use to find its number.
    pub fingerprint: String,
}

/// A charge to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// `ord_…:1`: order and attempt.
    pub key: String,
    pub order_id: String,
    pub buyer_id: String,
    pub amount: Money,
    pub instrument: Instrument,
    /// Where the buyer's browser goes after a confirmation.
    pub return_url: String,
    /// Our page for it, whose last part nobody can guess; forms come back to the same with `:return` behind it. Empty: it is
    /// not configured where that is.
    pub checkout_url: String,
}

/// A form that a buyer's browser posts to open a provider's window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub url: String,
    /// What its texts are sent in: `euc-kr`.
    pub charset: &'static str,
    pub fields: Vec<(&'static str, String)>,
}

/// A charge that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRef {
    pub key: String,
    pub amount: Money,
    /// The provider's own id of it; `None` when its answer never came.
    pub provider_ref: Option<String>,
    /// Whether it counts, or may yet: what was given up is not to be confirmed.
    pub wanted: bool,
    /// How long ago it was about to be confirmed. `None`: it was not, and once it is unwanted never will be.
    pub confirmed: Option<Duration>,
}

/// Of a charge that was authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub provider_ref: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRef {
    /// `rfd_…`
    pub key: String,
    pub amount: Money,
    /// What the refunds before it were together. Where a charge was made in another currency, a refund is the difference of
    /// two parts of it: so the refunds of a charge add up to it, whatever each was rounded to.
    pub before: Money,
    /// UPPER_SNAKE, `CANCELLED`.
    pub reason: String,
}

#[derive(Clone)]
pub struct PayoutRef {
    /// `pyo_…`
    pub key: String,
    pub amount: Money,
    pub bank: String,
    pub account_number: Zeroizing<String>,
    pub holder: String,
}

impl fmt::Debug for PayoutRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayoutRef").field("key", &self.key).field("amount", &self.amount).finish_non_exhaustive()
    }
}

/// How a charge stands with the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It never heard of it. It may be on its way still.
    Absent,
    /// It has not decided.
    Pending,
    /// It waits for the buyer.
    ActionRequired {
        redirect_url: String,
        provider_ref: String,
    },
    Authorised {
        provider_ref: String,
    },
    Captured {
        provider_ref: String,
    },
    Voided,
    Declined(Decline),
}

pub type Verified = Result<Vec<Notice>, Unverified>;

/// A webhook that is not the provider's, or too old to be believed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forged(pub &'static str);

/// Why a webhook is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unverified {
    Forged(Forged),
    /// The provider would have to be asked, and has not answered: the message has to come again.
    Silent(String),
}

impl From<Forged> for Unverified {
    fn from(forged: Forged) -> Self {
        Unverified::Forged(forged)
    }
}

/// One thing that a webhook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The provider's id of the message, the same when it sends it again.
    pub event_id: String,
    pub about: About,
    pub news: News,
}

/// Which charge a notice is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Key(String),
    ProviderRef(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// So it stands.
    Standing(Standing),
    /// Something changed; look it up.
    Changed,
    /// Of no interest here (a refund that we asked for ourselves).
    Other,
}

/// One line of a provider's statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub kind: LineKind,
    /// Ours.
    pub key: String,
    pub amount: Money,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineKind {
    Charge,
    Refund,
    Payout,
}

impl LineKind {
    pub fn name(self) -> &'static str {
        match self {
            LineKind::Charge => "CHARGE",
            LineKind::Refund => "REFUND",
            LineKind::Payout => "PAYOUT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_shows_nothing_of_itself() {
        let card = Card { number: "4242424242424242".to_owned().into(), expiry_month: 1, expiry_year: 2030 };
        assert!(!format!("{card:?}").contains('4'));
    }
}
