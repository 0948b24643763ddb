//! The one table of events: whom each of them concerns, what they are told, and which of its fields the texts may name.

use crate::{
    Notifications,
    domain::{
        facts::{Facts, Notice},
        kind::Kind,
    },
};
use kit::Mount;
use proto::{
    Event,
    jangteo::{
        auth::v1::UserRegistered,
        order::v1::{
            OrderCancelled, OrderDisputeResolved, OrderPaid, OrderPartCancelled, OrderPartConfirmed,
            OrderPartDelivered, OrderPartDisputed, OrderPartShipped, OrderPaymentDeclined, OrderPlaced,
        },
        payment::v1::{PaymentActionRequired, PaymentRefunded, PayoutPaid, SettlementMade},
        review::v1::ReviewRevealed,
        shipping::v1::{ShipmentBooked, ShipmentDelivered, ShipmentReady, ShipmentReturned},
    },
};

/// An event that people are told of.
pub trait Told: Event {
    fn notices(&self) -> Vec<Notice>;
}

/// `Event [handler]: Kind to person { fact, fact = field }, …;` A handler of its own does more than tell.
macro_rules! told {
    ($($event:ident $([$handler:ident])?: $($kind:ident to $who:ident { $($fact:ident $(= $field:ident)?),* }),+;)*) => {
        $(impl Told for $event {
            fn notices(&self) -> Vec<Notice> {
                let event = self;
                vec![$(Notice {
                    user_id: event.$who.clone(),
                    kind: Kind::$kind,
                    facts: Facts::default()$(.with(stringify!($fact), told!(@value event $fact $($field)?)))*,
                }),+]
            }
        })*

        /// What each kind of notice may name.
        #[cfg(test)]
        pub const FACTS: &[(Kind, &[&str])] = &[$($((Kind::$kind, &[$(stringify!($fact)),*])),+),*];

        pub fn mount(m: &mut Mount<Notifications>) {
            $(told!(@mount m $event $($handler)?);)*
        }
    };
    (@value $event:ident $fact:ident) => { &$event.$fact };
    (@value $event:ident $fact:ident $field:ident) => { &$event.$field };
    (@mount $m:ident $event:ident) => { $m.on(Notifications::told::<$event>) };
    (@mount $m:ident $event:ident $handler:ident) => { $m.on(Notifications::$handler) };
}

told! {
    UserRegistered [user_registered]: Welcome to user_id {};

    OrderPlaced [order_placed]: OrderPlaced to buyer_id { order_id, amount = total };
    OrderPaymentDeclined: PaymentDeclined to buyer_id { order_id, reason = decline_reason };
    OrderPaid: OrderPaid to buyer_id { order_id };
    OrderCancelled: OrderCancelled to buyer_id { order_id };
    OrderPartShipped: PartShipped to buyer_id { order_id, part };
    OrderPartDelivered: PartDelivered to buyer_id { order_id, part };
    OrderPartConfirmed:
        ReviewRequested to buyer_id { order_id, part },
        SaleConfirmed to seller_id { order_id, part, amount };
    OrderPartCancelled:
        PartCancelled to buyer_id { order_id, part, amount = refund },
        SaleCancelled to seller_id { order_id, part };
    OrderPartDisputed: SaleDisputed to seller_id { order_id, part };
    OrderDisputeResolved:
        DisputeResolved to buyer_id { order_id, part, amount = refund },
        SaleResolved to seller_id { order_id, part, to_seller };

    PaymentActionRequired: PaymentPending to buyer_id { order_id };
    PaymentRefunded: Refunded to buyer_id { order_id, part, amount };
    SettlementMade: Settled to seller_id { order_id, part, net, commission };
    PayoutPaid: PayoutPaid to user_id { amount };

    // What a seller is to send; an order that is not paid concerns none. Who cancels after that is told by the order.
    ShipmentReady: SaleReady to seller_id { order_id, part };
    ShipmentBooked: ShipmentBooked to buyer_id { order_id, part, carrier, tracking = tracking_number };
    ShipmentDelivered: SaleDelivered to seller_id { order_id, part };
    ShipmentReturned: SaleReturned to seller_id { order_id, part };

    ReviewRevealed: ReviewRevealed to subject_id { review_id };
}
