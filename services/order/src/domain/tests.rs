//! The order as a state machine: tables where the rules are few, random walks where they meet.

use super::{
    basket::{merge, placed, split},
    decide::By,
    *,
};
use jangteo_core::{Result, from_micros};
use proptest::prelude::*;
use proto::jangteo::{
    catalog::v1::{Offer, ParcelSize, ProductStatus},
    order::v1::OrderItem,
    shipping::v1::PartQuote,
};

const SECOND: i64 = 1_000_000;

fn offer(id: &str, seller: &str, price: i64) -> Offer {
    Offer {
        product_id: id.into(),
        seller_id: seller.into(),
        price: Some(won(price)),
        status: ProductStatus::OnSale.into(),
        available: Some(100),
        region_id: "seoul".into(),
        ..Offer::default()
    }
}

fn item(id: &str, quantity: i32, expected: Option<i64>) -> OrderItem {
    OrderItem { product_id: id.into(), quantity, expected_price: expected.map(won) }
}

fn event(items: &[OrderItem], fee: i64) -> Result<OrderPlaced> {
    let offers = [offer("a", "s1", 100), offer("b", "s2", 250), offer("c", "s1", 7)];
    let (parts, _) = split("buyer", &merge(items)?, &offers, ShippingOption::Parcel)?;
    let quotes: Vec<_> = parts.iter().map(|p| PartQuote { part: p.part, fee: Some(won(fee)) }).collect();
    placed("ord_1", "buyer", parts, &quotes, 0, (from_micros(0), from_micros(900 * SECOND)))
}

fn order() -> Order {
    let mut o = Order::default();
    o.apply(Event::Placed(event(&[item("a", 2, None), item("b", 1, None), item("c", 1, None)], 30).unwrap()), SECOND);
    o
}

fn all(o: &mut Order, events: decide::Events) {
    events.into_iter().for_each(|e| o.apply(e, 2 * SECOND));
}

fn paid() -> Order {
    let mut o = order();
    let events = o.pay(1, "pay_1", "VISA").unwrap();
    all(&mut o, events);
    o
}

#[test]
fn lines_are_merged_and_parts_are_one_a_seller() {
    let o = order();
    let parts: Vec<_> = o.parts.iter().map(|p| (p.part, p.seller_id.as_str(), p.goods, p.fee)).collect();
    assert_eq!(parts, [(1, "s1", 207, 30), (2, "s2", 250, 30)]);
    assert_eq!((o.total, o.status(), o.pay_by), (517, OrderStatus::Received, 900 * SECOND));
    let twice = event(&[item("a", 1, None), item("a", 0, None)], 0).unwrap();
    assert_eq!(twice.parts[0].lines[0].quantity, 2, "0 counts as one");
}

#[test]
fn the_price_that_was_seen_must_still_be_right() {
    assert!(event(&[item("a", 1, Some(100))], 0).is_ok());
    let e = event(&[item("a", 1, Some(99))], 0).unwrap_err();
    assert_eq!((e.reason(), e.metadata()["price"].as_str()), ("PRICE_CHANGED", "100"));
    let dollars = OrderItem {
        expected_price: Some(proto::google::r#type::Money { currency_code: "USD".into(), units: 1, nanos: 0 }),
        ..item("a", 1, None)
    };
    let e = event(&[dollars], 0).unwrap_err();
    assert_eq!(e.field_violations()[0].field, "items[0].expected_price.currency_code");
}

#[test]
fn totals_have_an_end_and_no_overflow() {
    let mut offers = [offer("a", "s1", basket::MAX_TOTAL), offer("b", "s2", i64::MAX)];
    offers[1].available = Some(1000);
    let try_it = |items: &[OrderItem]| split("buyer", &merge(items).unwrap(), &offers, ShippingOption::Parcel);
    assert!(try_it(&[item("a", 1, None)]).is_ok());
    assert_eq!(try_it(&[item("a", 2, None)]).unwrap_err().reason(), "TOTAL_TOO_LARGE");
    assert_eq!(try_it(&[item("b", 1000, None)]).unwrap_err().reason(), "TOTAL_TOO_LARGE");
}

#[test]
fn a_parcel_grows_by_volume() {
    let sized = |id: &str, weight_grams, sum_cm| Offer {
        parcel: Some(ParcelSize { weight_grams, sum_cm }),
        ..offer(id, "s1", 1)
    };
    let offers = [sized("a", 500, 40), sized("b", 2_000, 100), offer("c", "s1", 1)];
    let spec = |items: &[OrderItem]| {
        let (_, specs) = split("buyer", &merge(items).unwrap(), &offers, ShippingOption::Parcel).unwrap();
        (specs[0].weight_grams, specs[0].sum_cm)
    };
    assert_eq!(spec(&[item("a", 1, None)]), (500, 40));
    assert_eq!(spec(&[item("a", 8, None)]), (4_000, 80), "eight cubes make one of twice the side");
    assert_eq!(spec(&[item("b", 1, None), item("a", 1, None)]), (2_500, 103));
    assert_eq!(spec(&[item("c", 1, None)]), (1_000, 60), "nobody said");
}

#[test]
fn what_is_so_already_gives_no_event() {
    let mut o = order();
    let pending = o.pending(1, "pay_1", "");
    all(&mut o, pending);
    assert!(o.pending(1, "pay_1", "").is_empty());
    let redirect = o.pending(1, "pay_1", "https://bank.example");
    assert_eq!(redirect.len(), 1, "the provider has something to say after all");
    all(&mut o, redirect);
    let declined = o.declined(1, "CARD_DECLINED");
    all(&mut o, declined);
    assert!(o.declined(1, "CARD_DECLINED").is_empty() && o.pending(1, "pay_1", "").is_empty());
    let o = paid();
    assert!(o.pay(1, "pay_1", "VISA").unwrap().is_empty());
    assert!(o.declined(2, "X").is_empty() && o.pending(2, "pay_1", "").is_empty());
    assert_eq!(o.give_up(&Verdict::default()).unwrap_err().reason(), "ALREADY_PAID");
}

#[test]
fn an_answer_is_that_of_its_attempt() {
    let mut o = order();
    assert!(!o.outcome(1));
    let declined = o.declined(1, "CARD_DECLINED");
    all(&mut o, declined);
    assert!(o.outcome(1) && !o.outcome(2));
}

#[test]
fn an_order_is_as_its_least_advanced_part_and_a_dispute_shows() {
    let mut o = paid();
    let shipped = o.ship(1, "shp_1").unwrap();
    all(&mut o, shipped);
    assert_eq!(o.status(), OrderStatus::Paid);
    let cancelled = o.cancel_part(2, BY_SELLER).unwrap();
    all(&mut o, cancelled);
    assert_eq!(o.status(), OrderStatus::Shipping, "what was cancelled is of no interest");
    let disputed = o.dispute(1, DisputeReason::Other).unwrap();
    all(&mut o, disputed);
    assert_eq!(o.status(), OrderStatus::Disputed);
    let resolved = o.resolve(1, o.parts[0].gross()).unwrap();
    all(&mut o, resolved);
    assert_eq!(o.status(), OrderStatus::Refunded);
}

/// What may come to an order, in any order.
#[derive(Debug, Clone)]
enum Act {
    Pending(i32, bool),
    Declined(i32),
    Pay(i32),
    GiveUp,
    Ship(i32),
    Deliver(i32),
    CancelPart(i32, &'static str),
    Confirm(i32, bool),
    Dispute(i32),
    Resolve(i32, i64),
    /// With so much to the seller, of what is theirs.
    Settle(i32, u8),
    Close,
}

fn acts() -> impl Strategy<Value = Act> {
    let part = 0..4;
    prop_oneof![
        (1..4, any::<bool>()).prop_map(|(n, r)| Act::Pending(n, r)),
        (1..4).prop_map(Act::Declined),
        (1..4).prop_map(Act::Pay),
        Just(Act::GiveUp),
        part.clone().prop_map(Act::Ship),
        part.clone().prop_map(Act::Deliver),
        (part.clone(), prop::sample::select(vec![BY_BUYER, BY_SELLER, RETURNED]))
            .prop_map(|(p, r)| Act::CancelPart(p, r)),
        (part.clone(), any::<bool>()).prop_map(|(p, d)| Act::Confirm(p, d)),
        part.clone().prop_map(Act::Dispute),
        (part.clone(), -1..700i64).prop_map(|(p, r)| Act::Resolve(p, r)),
        (part.clone(), any::<u8>()).prop_map(|(p, n)| Act::Settle(p, n)),
        Just(Act::Close),
    ]
}

impl Act {
    fn decide(&self, o: &Order) -> Result<decide::Events> {
        match *self {
            Act::Pending(n, redirect) => Ok(o.pending(n, "pay_1", if redirect { "https://bank.example" } else { "" })),
            Act::Declined(n) => Ok(o.declined(n, "CARD_DECLINED")),
            Act::Pay(n) => o.pay(n, "pay_1", "VISA"),
            Act::GiveUp => o.give_up(&Verdict { reason: UNPAID.into(), ..Verdict::default() }),
            Act::Ship(p) => o.ship(p, "shp_1"),
            Act::Deliver(p) => o.deliver(p, 9 * SECOND),
            Act::CancelPart(p, why) => o.cancel_part(p, why),
            Act::Confirm(p, by_deadline) => o.confirm(p, by_deadline),
            Act::Dispute(p) => o.dispute(p, DisputeReason::Damaged),
            Act::Resolve(p, refund) => o.resolve(p, refund),
            Act::Settle(p, share) => {
                let rest = o.need(p).map_or(0, |p| p.gross() - p.refund);
                o.settle(p, rest * i64::from(share) / 255)
            }
            // The saga closes what it has undone, and nothing else.
            Act::Close => Ok(if o.cancelled.is_some() { o.close() } else { Vec::new() }),
        }
    }
}

fn legal(from: OrderStatus, to: OrderStatus) -> bool {
    use OrderStatus::*;
    from == to
        || matches!(
            (from, to),
            (Received, Paid | Cancelled)
                | (Paid, Shipping | Delivered | Cancelled | Refunded)
                | (Shipping, Delivered | Disputed | Refunded)
                | (Delivered, Confirmed | Disputed | Refunded)
                | (Disputed, Confirmed | Refunded)
        )
}

proptest! {
    #[test]
    fn whatever_comes_the_order_stays_lawful_and_no_won_is_lost(acts in prop::collection::vec(acts(), 0..60)) {
        let mut o = order();
        for act in acts {
            let before = o.clone();
            // A refusal changes nothing; an event is one more version.
            let Ok(events) = act.decide(&o) else { continue };
            let count = events.len() as i64;
            all(&mut o, events);
            prop_assert_eq!(o.version, before.version + count);
            prop_assert!(!before.closed || count == 0, "after the end nothing follows: {:?}", act);
            for (p, old) in o.parts.iter().zip(&before.parts) {
                prop_assert!(legal(old.status, p.status), "{:?}: {:?} -> {:?}", act, old.status, p.status);
                prop_assert!(!old.settled || (p.settled && p.status == old.status), "{:?}", act);
                prop_assert!(!p.settled || (o.paid && p.terminal()), "{:?}", act);
                prop_assert_eq!(p.gross(), p.to_seller + p.refunded + p.held());
                prop_assert!(p.to_seller >= 0 && p.refunded >= p.refund * i64::from(p.settled));
            }
            let moved: i64 = o.parts.iter().map(|p| p.to_seller + p.refunded + p.held()).sum();
            prop_assert_eq!(moved, o.total);
            prop_assert!(!(o.paid && o.cancelled.is_some()));
            let ended = o.cancelled.is_some() || o.parts.iter().all(|p| p.settled);
            prop_assert!(!o.closed || ended);
            prop_assert!(!(o.paid && ended) || o.closed, "the last settlement closes it");
            prop_assert_eq!(o.wire().status(), o.status());
        }
    }

    #[test]
    fn asking_twice_is_asking_once(acts in prop::collection::vec(acts(), 0..40), act in acts()) {
        let mut o = order();
        for act in acts {
            if let Ok(events) = act.decide(&o) {
                all(&mut o, events);
            }
        }
        if let Ok(events) = act.decide(&o) {
            all(&mut o, events);
            prop_assert!(act.decide(&o).map_or(true, |again| again.is_empty()), "{:?}", act);
        }
    }
}

#[test]
fn whose_wish_it_was_is_the_reason() {
    assert_eq!((By::Buyer.reason(), By::Seller.reason()), (BY_BUYER, BY_SELLER));
}
