//! What lines cost and what happened to them, by the catalogue's word of this moment.

use super::Line;
use jangteo_core::{Currency, Money, from_micros};
use proto::{
    google::r#type::Money as WireMoney,
    jangteo::{
        cart::v1::{Cart, CartLine, CartSeller, LineChange, Wish},
        catalog::v1::{Offer, ProductStatus},
    },
};
use std::collections::HashMap;

/// Offers by product; `None`: the catalogue could not be asked.
pub type Offers = Option<HashMap<String, Offer>>;

pub fn won(offer: &Offer) -> i64 {
    offer.price.as_ref().map_or(0, |m| m.units)
}

fn wire(won: i64) -> WireMoney {
    Money::new(won, Currency::KRW).into()
}

/// A line as it stands now.
struct Standing<'a> {
    offer: Option<&'a Offer>,
    price: i64,
    buyable: i64,
    changes: Vec<i32>,
}

/// `wanted` units of what was put in for `added_price`.
fn standing<'a>(offers: &'a Offers, product_id: &str, wanted: i64, added_price: i64) -> Standing<'a> {
    let Some(offers) = offers else {
        return Standing { offer: None, price: added_price, buyable: wanted, changes: Vec::new() };
    };
    let Some(offer) = offers.get(product_id) else {
        let changes = vec![LineChange::Gone.into()];
        return Standing { offer: None, price: added_price, buyable: 0, changes };
    };
    let mut changes = Vec::new();
    let price = won(offer);
    if price != added_price {
        changes.push(LineChange::PriceChanged.into());
    }
    let left = offer.available.map_or(wanted, i64::from);
    let buyable = match (offer.status(), left) {
        (ProductStatus::OnSale, left) if left >= wanted => wanted,
        (ProductStatus::OnSale, left) if left > 0 => {
            changes.push(LineChange::InsufficientStock.into());
            left
        }
        (ProductStatus::OnSale, _) => {
            changes.push(LineChange::OutOfStock.into());
            0
        }
        _ => {
            changes.push(LineChange::NotOnSale.into());
            0
        }
    };
    Standing { offer: Some(offer), price, buyable, changes }
}

/// The cart that `lines` make, the oldest first, by seller.
pub fn cart(lines: Vec<Line>, offers: &Offers) -> Cart {
    let mut sellers: Vec<CartSeller> = Vec::new();
    let (mut total, mut buyable) = (0i64, 0i64);
    let mut subtotals: Vec<i64> = Vec::new();
    for line in lines {
        let now = standing(offers, &line.product_id, line.quantity, line.added_price);
        let n = sellers.iter().position(|s| s.seller_id == line.seller_id).unwrap_or_else(|| {
            sellers.push(CartSeller { seller_id: line.seller_id.clone(), ..CartSeller::default() });
            subtotals.push(0);
            sellers.len() - 1
        });
        let cost = now.price.saturating_mul(now.buyable);
        total = total.saturating_add(cost);
        subtotals[n] = subtotals[n].saturating_add(cost);
        buyable += now.buyable;
        sellers[n].lines.push(shown(line, now, cost));
    }
    for (seller, subtotal) in sellers.iter_mut().zip(subtotals) {
        seller.subtotal = Some(wire(subtotal));
    }
    Cart {
        sellers,
        total: Some(wire(total)),
        buyable: Some(small(buyable)),
        stale: offers.is_none(),
        ..Cart::default()
    }
}

fn shown(line: Line, now: Standing<'_>, cost: i64) -> CartLine {
    let (title, image_id) = now.offer.map_or((line.title, line.image_id), |o| (o.title.clone(), o.image_id.clone()));
    CartLine {
        product_id: line.product_id,
        title,
        image_id,
        quantity: small(line.quantity),
        buyable: Some(small(now.buyable)),
        added_price: Some(wire(line.added_price)),
        price: Some(wire(now.price)),
        subtotal: Some(wire(cost)),
        changes: now.changes,
        add_time: Some(proto::timestamp(from_micros(line.add_time))),
    }
}

/// A product on the list.
pub fn wish(line: Line, offers: &Offers) -> Wish {
    let now = standing(offers, &line.product_id, 1, line.added_price);
    let (title, image_id) = now.offer.map_or((line.title, line.image_id), |o| (o.title.clone(), o.image_id.clone()));
    Wish {
        product_id: line.product_id,
        wished: Some(true),
        title,
        image_id,
        seller_id: line.seller_id,
        added_price: Some(wire(line.added_price)),
        price: Some(wire(now.price)),
        changes: now.changes,
        add_time: Some(proto::timestamp(from_micros(line.add_time))),
    }
}

/// A product that is not on the list.
pub fn not_wished(offer: &Offer) -> Wish {
    Wish {
        product_id: offer.product_id.clone(),
        wished: Some(false),
        title: offer.title.clone(),
        image_id: offer.image_id.clone(),
        seller_id: offer.seller_id.clone(),
        price: Some(wire(won(offer))),
        ..Wish::default()
    }
}

/// Limits keep these far below 32 bits.
fn small(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product: &str, seller: &str, quantity: i64, added_price: i64) -> Line {
        Line {
            product_id: product.into(),
            seller_id: seller.into(),
            title: "then".into(),
            image_id: String::new(),
            quantity,
            added_price,
            add_time: 1,
        }
    }

    fn offer(product: &str, price: i64, status: ProductStatus, available: i32) -> (String, Offer) {
        let offer = Offer {
            product_id: product.into(),
            title: "now".into(),
            price: Some(wire(price)),
            status: status.into(),
            available: Some(available),
            ..Offer::default()
        };
        (product.to_owned(), offer)
    }

    fn units(m: &Option<WireMoney>) -> i64 {
        m.as_ref().unwrap().units
    }

    #[test]
    fn lines_say_what_changed_and_totals_count_what_can_be_bought() {
        use LineChange::{Gone, InsufficientStock, NotOnSale, OutOfStock, PriceChanged};
        let offers = Some(HashMap::from([
            offer("same", 100, ProductStatus::OnSale, 5),
            offer("dear", 300, ProductStatus::OnSale, 5),
            offer("few", 10, ProductStatus::OnSale, 2),
            offer("none", 10, ProductStatus::OnSale, 0),
            offer("sold", 10, ProductStatus::Sold, 1),
        ]));
        let lines = [("same", 100), ("dear", 200), ("few", 10), ("none", 10), ("sold", 10), ("gone", 10)];
        let lines = lines.map(|(product, added)| line(product, "usr_1", 3, added)).to_vec();
        let cart = cart(lines, &offers);
        let shown = |l: &CartLine| (l.changes().collect::<Vec<_>>(), l.buyable(), units(&l.subtotal));
        let got: Vec<_> = cart.sellers[0].lines.iter().map(shown).collect();
        assert_eq!(
            got,
            [
                (vec![], 3, 300),
                (vec![PriceChanged], 3, 900),
                (vec![InsufficientStock], 2, 20),
                (vec![OutOfStock], 0, 0),
                (vec![NotOnSale], 0, 0),
                (vec![Gone], 0, 0),
            ]
        );
        assert_eq!((units(&cart.total), cart.buyable(), cart.stale), (1220, 8, false));
        assert_eq!((&*cart.sellers[0].lines[0].title, &*cart.sellers[0].lines[5].title), ("now", "then"));
    }

    #[test]
    fn each_seller_has_a_subtotal_and_the_first_comes_first() {
        let offers = Some(HashMap::from([
            offer("a", 1, ProductStatus::OnSale, 9),
            offer("b", 10, ProductStatus::OnSale, 9),
            offer("c", 100, ProductStatus::OnSale, 9),
        ]));
        let cart = cart(vec![line("a", "x", 1, 1), line("b", "y", 1, 10), line("c", "x", 2, 100)], &offers);
        let got: Vec<_> = cart.sellers.iter().map(|s| (&*s.seller_id, s.lines.len(), units(&s.subtotal))).collect();
        assert_eq!(got, [("x", 2, 201), ("y", 1, 10)]);
        assert_eq!(units(&cart.total), 211);
    }

    #[test]
    fn without_the_catalogue_what_is_known_is_answered() {
        let cart = cart(vec![line("a", "x", 2, 50)], &None);
        assert!(cart.stale && cart.sellers[0].lines[0].changes.is_empty());
        assert_eq!((units(&cart.total), &*cart.sellers[0].lines[0].title), (100, "then"));
    }
}
