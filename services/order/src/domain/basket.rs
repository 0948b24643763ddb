//! From what a buyer asks for to what is ordered: lines of one product together, parts by seller, prices as offered.

use super::{Fault, units, won};
use jangteo_core::{Currency, Error, Result, Time, Violations};
use proto::{
    google::r#type::Money,
    jangteo::{
        catalog::v1::{Offer, ProductStatus},
        order::v1::{OrderItem, OrderPlaced, PlacedLine, PlacedPart},
        shipping::v1::{PartQuote, ShipmentSpec, ShippingOption},
    },
};

/// In won, so that sums of many orders stay far from the end of 64 bits.
pub const MAX_TOTAL: i64 = 1_000_000_000_000;

/// What a seller who says nothing of a parcel's size is taken to send: grams, and centimetres of its three sides.
const WEIGHT_GRAMS: i32 = 1_000;
const SUM_CM: i32 = 60;

/// So many of one product, at a price that the buyer saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub product_id: String,
    pub quantity: i32,
    pub expected_price: Option<i64>,
}

/// Lines of one product are one line; its last `expected_price` counts.
pub fn merge(items: &[OrderItem]) -> Result<Vec<Wanted>> {
    let mut bad = Violations::default();
    let mut all: Vec<Wanted> = Vec::new();
    for (n, item) in items.iter().enumerate() {
        let field = format!("items[{n}].expected_price");
        let price = item.expected_price.as_ref().and_then(|m| bad.keep(krw(&field, Some(m))));
        let quantity = item.quantity.max(1);
        match all.iter_mut().find(|w| w.product_id == item.product_id) {
            Some(w) => {
                w.quantity += quantity;
                w.expected_price = price.or(w.expected_price);
            }
            None => all.push(Wanted { product_id: item.product_id.clone(), quantity, expected_price: price }),
        }
    }
    bad.none()?;
    Ok(all)
}

/// Whole won from 0 to [`MAX_TOTAL`].
pub fn krw(field: &str, money: Option<&Money>) -> Result<i64> {
    let money = proto::money(field, money)?;
    if money.currency != Currency::KRW {
        return Err(Error::invalid(format!("{field}.currency_code"), "UNSUPPORTED_CURRENCY", "must be KRW"));
    }
    if !(0..=MAX_TOTAL).contains(&money.minor) {
        return Err(Error::invalid(format!("{field}.units"), "OUT_OF_RANGE", format!("must be from 0 to {MAX_TOTAL}")));
    }
    Ok(money.minor)
}

/// What is asked for at what is offered, by seller in the buyer's order; and what each part needs sent.
pub fn split(
    buyer_id: &str,
    wanted: &[Wanted],
    offers: &[Offer],
    option: ShippingOption,
) -> Result<(Vec<PlacedPart>, Vec<ShipmentSpec>)> {
    let mut parts: Vec<PlacedPart> = Vec::new();
    let mut loads: Vec<Load> = Vec::new();
    for w in wanted {
        let offer = admit(buyer_id, w, offers.iter().find(|o| o.product_id == w.product_id))?;
        let n = parts.iter().position(|p| p.seller_id == offer.seller_id).unwrap_or_else(|| {
            let (part, seller_id) = (parts.len() as i32 + 1, offer.seller_id.clone());
            parts.push(PlacedPart { part, seller_id, shipping_option: option.into(), ..PlacedPart::default() });
            loads.push(Load { region_id: offer.region_id.clone(), ..Load::default() });
            parts.len() - 1
        });
        let line = PlacedLine {
            product_id: w.product_id.clone(),
            title: offer.title.clone(),
            quantity: w.quantity,
            unit_price: offer.price.clone(),
        };
        let goods = line_total(&line)?.checked_add(units(&parts[n].goods)).filter(|t| *t <= MAX_TOTAL);
        parts[n].goods = Some(won(goods.ok_or(Fault::TotalTooLarge { limit: MAX_TOTAL })?));
        parts[n].lines.push(line);
        loads[n].add(offer, w.quantity);
    }
    let specs = parts.iter().zip(&loads).map(|(p, load)| load.spec(p, option)).collect();
    Ok((parts, specs))
}

fn line_total(line: &PlacedLine) -> Result<i64> {
    let total = units(&line.unit_price).checked_mul(line.quantity.into()).filter(|t| *t <= MAX_TOTAL);
    Ok(total.ok_or(Fault::TotalTooLarge { limit: MAX_TOTAL })?)
}

/// The offer, if this buyer can have so many of it at the price that they saw.
fn admit<'a>(buyer_id: &str, w: &Wanted, offer: Option<&'a Offer>) -> Result<&'a Offer, Fault> {
    let product_id = w.product_id.clone();
    let Some(offer) = offer else { return Err(Fault::NotOnSale { product_id, status: "gone".to_owned() }) };
    if offer.seller_id == buyer_id {
        return Err(Fault::OwnProduct { product_id });
    }
    if offer.status() != ProductStatus::OnSale {
        let status = if offer.status() == ProductStatus::Reserved { "reserved" } else { "sold" };
        return Err(Fault::NotOnSale { product_id, status: status.to_owned() });
    }
    let price = units(&offer.price);
    if w.expected_price.is_some_and(|expected| expected != price) {
        return Err(Fault::PriceChanged { product_id, price });
    }
    match offer.available() {
        left if left < w.quantity => Err(Fault::OutOfStock { product_id, left: left.into() }),
        _ => Ok(offer),
    }
}

/// What one parcel carries.
#[derive(Default)]
struct Load {
    region_id: String,
    weight_grams: i64,
    /// Cubed sums of sides: parcels of like shape packed into one add up by volume.
    cubes: f64,
}

impl Load {
    fn add(&mut self, offer: &Offer, quantity: i32) {
        let (weight, sum) = offer.parcel.as_ref().map_or((WEIGHT_GRAMS, SUM_CM), |p| (p.weight_grams, p.sum_cm));
        self.weight_grams += i64::from(weight) * i64::from(quantity);
        self.cubes += f64::from(sum).powi(3) * f64::from(quantity);
    }

    fn spec(&self, p: &PlacedPart, option: ShippingOption) -> ShipmentSpec {
        ShipmentSpec {
            part: p.part,
            seller_id: p.seller_id.clone(),
            option: option.into(),
            weight_grams: i32::try_from(self.weight_grams).unwrap_or(i32::MAX),
            // The epsilon keeps a single parcel at its own size.
            sum_cm: (self.cubes.cbrt() - 1e-6).ceil() as i32,
            from_region_id: self.region_id.clone(),
            goods_value: p.goods.clone(),
        }
    }
}

/// The order that the parts and the cost of sending them make.
pub fn placed(
    order_id: &str,
    buyer_id: &str,
    mut parts: Vec<PlacedPart>,
    quotes: &[PartQuote],
    points: i64,
    times: (Time, Time),
) -> Result<OrderPlaced> {
    let mut total: i64 = 0;
    for p in &mut parts {
        let quote = quotes.iter().find(|q| q.part == p.part);
        let fee = quote.ok_or_else(|| Error::internal(format!("shipping quoted no part {}", p.part)))?.fee.as_ref();
        let fee = fee.map_or(0, |m| m.units);
        p.shipping_fee = Some(won(fee));
        let sum = total.checked_add(units(&p.goods)).and_then(|t| t.checked_add(fee)).filter(|t| *t <= MAX_TOTAL);
        total = sum.ok_or(Fault::TotalTooLarge { limit: MAX_TOTAL })?;
    }
    if points > total {
        return Err(Fault::TooManyPoints { total }.into());
    }
    Ok(OrderPlaced {
        order_id: order_id.to_owned(),
        buyer_id: buyer_id.to_owned(),
        parts,
        total: Some(won(total)),
        points,
        create_time: Some(proto::timestamp(times.0)),
        pay_by_time: Some(proto::timestamp(times.1)),
    })
}
