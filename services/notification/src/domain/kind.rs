//! The one table of notices: what each is about, which ways it takes beside the list in the app, and how it reads.

use proto::jangteo::notification::v1::{Category, Channel};

/// Ways to try in this order: the next one when the one before can't be used or failed for good.
pub type Leg = &'static [Channel];

use Category::{Account, Marketing, Notice as News, Order, Payment, Review, Shipping};
use Channel::{Email, Push, Sms};

const PUSH: Leg = &[Push];
const MAIL: Leg = &[Email];
/// For what a person should know today, with or without the app.
const PHONE: Leg = &[Push, Sms];

/// How pressing a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Urgency {
    Calm,
    /// Waits for no quiet hours and no digest.
    Urgent,
}
use Urgency::{Calm, Urgent};

/// A text in one language.
pub(super) struct Source {
    pub subject: &'static str,
    pub text: &'static str,
}

macro_rules! kinds {
    ($($kind:ident $name:literal $category:ident $legs:expr, $urgency:ident, $link:literal;)*) => {
        /// A kind of notice.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($kind),* }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// As stored, and as its templates are called.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => $name),* }
            }

            pub fn category(self) -> Category {
                match self { $(Kind::$kind => $category),* }
            }

            /// The ways that it takes at once; a campaign's are its own.
            pub fn legs(self) -> &'static [Leg] {
                match self { $(Kind::$kind => $legs),* }
            }

            pub fn is_urgent(self) -> bool {
                match self { $(Kind::$kind => matches!($urgency, Urgent)),* }
            }

            /// Where in the app it leads, with the names of facts in braces.
            pub(super) fn link(self) -> &'static str {
                match self { $(Kind::$kind => $link),* }
            }

            /// Its templates: Korean, English.
            pub(super) fn sources(self) -> [Source; 2] {
                match self { $(Kind::$kind => [
                    Source {
                        subject: include_str!(concat!("../templates/", $name, ".ko.subject")),
                        text: include_str!(concat!("../templates/", $name, ".ko.text")),
                    },
                    Source {
                        subject: include_str!(concat!("../templates/", $name, ".en.subject")),
                        text: include_str!(concat!("../templates/", $name, ".en.text")),
                    },
                ]),* }
            }
        }
    };
}

kinds! {
    Welcome "welcome" Account &[MAIL], Calm, "/";
    OrderPlaced "order_placed" Order &[], Calm, "/orders/{order_id}";
    OrderPaid "order_paid" Order &[PUSH, MAIL], Calm, "/orders/{order_id}";
    // The goods are held for minutes alone.
    PaymentDeclined "payment_declined" Payment &[PHONE, MAIL], Urgent, "/orders/{order_id}";
    PaymentPending "payment_pending" Payment &[PHONE], Urgent, "/orders/{order_id}";
    OrderCancelled "order_cancelled" Order &[PUSH, MAIL], Calm, "/orders/{order_id}";
    PartShipped "part_shipped" Shipping &[PUSH], Calm, "/orders/{order_id}";
    PartDelivered "part_delivered" Shipping &[PUSH, MAIL], Calm, "/orders/{order_id}";
    PartCancelled "part_cancelled" Order &[PUSH, MAIL], Calm, "/orders/{order_id}";
    DisputeResolved "dispute_resolved" Order &[PUSH, MAIL], Calm, "/orders/{order_id}";
    ReviewRequested "review_requested" Review &[PUSH], Calm, "/orders/{order_id}";
    Refunded "refunded" Payment &[PUSH, MAIL], Calm, "/orders/{order_id}";
    ShipmentBooked "shipment_booked" Shipping &[PUSH], Calm, "/orders/{order_id}";
    SaleReady "sale_ready" Order &[PHONE, MAIL], Calm, "/sales/{order_id}/{part}";
    SaleDelivered "sale_delivered" Shipping &[], Calm, "/sales/{order_id}/{part}";
    SaleReturned "sale_returned" Shipping &[PUSH], Calm, "/sales/{order_id}/{part}";
    SaleConfirmed "sale_confirmed" Order &[PUSH], Calm, "/sales/{order_id}/{part}";
    SaleCancelled "sale_cancelled" Order &[PHONE, MAIL], Calm, "/sales/{order_id}/{part}";
    SaleDisputed "sale_disputed" Order &[PHONE, MAIL], Calm, "/sales/{order_id}/{part}";
    SaleResolved "sale_resolved" Order &[PUSH, MAIL], Calm, "/sales/{order_id}/{part}";
    Settled "settled" Payment &[PUSH], Calm, "/wallet";
    PayoutPaid "payout_paid" Payment &[PUSH, MAIL], Calm, "/wallet";
    ReviewRevealed "review_revealed" Review &[PUSH], Calm, "/reviews/{review_id}";
    Announcement "announcement" News &[], Calm, "";
    Advertisement "advertisement" Marketing &[], Calm, "";
    Digest "digest" News &[MAIL], Calm, "/notifications";
}

impl Kind {
    /// `None`: of a version that this one doesn't know.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|k| k.name() == name)
    }

    /// What a campaign of this category sends.
    pub fn of_campaign(category: Category) -> Kind {
        if category == Marketing { Kind::Advertisement } else { Kind::Announcement }
    }
}
