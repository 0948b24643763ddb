//! What a product is and what may happen to it. Decisions give events, events make the next
//! state, and the row in the store is that state: so the history and the row can't disagree.

pub mod category;
pub mod hold;
pub mod listing;
pub mod region;
pub mod tags;

use jangteo_core::{Currency, Entity, Id, Money, Result, faults};
use proto::{
    google::r#type::Money as WireMoney,
    jangteo::catalog::v1::{
        Condition, ParcelSize, ProductCreated, ProductDeleted, ProductStatus, ProductStatusChanged,
        ProductStockChanged, ProductUpdated,
    },
};

/// As in the validation rules of the proto.
pub const MAX_STOCK: i32 = 100_000;

kit::db::events! {
    /// What happens to a product.
    pub enum Event {
        Created(ProductCreated),
        Updated(ProductUpdated),
        StatusChanged(ProductStatusChanged),
        StockChanged(ProductStockChanged),
        Deleted(ProductDeleted),
    }
}

faults! {
    /// Why the catalogue refuses.
    pub enum Fault in "catalog.jangteo" {
        WrongStatus { product_id: String, status: &'static str, verb: &'static str } = FailedPrecondition
            "a product that is {status} can't be {verb}",
        OutOfStock { product_id: String, left: i32 } = FailedPrecondition "only {left} of {product_id} are left",
        NotOnSale { product_id: String, status: &'static str } = FailedPrecondition
            "{product_id} is {status}, not on sale",
        StockHeld { product_id: String, held: i64 } = FailedPrecondition "{held} of {product_id} are held for orders",
        HoldExpired { hold_id: String } = FailedPrecondition "{hold_id} was not confirmed in time; hold the stock again",
        HoldReleased { hold_id: String } = FailedPrecondition "{hold_id} was given up",
        HoldConfirmed { hold_id: String } = FailedPrecondition "{hold_id} is sold; return it instead",
        HoldDiffers { hold_id: String, product_id: String, held: i64 } = FailedPrecondition
            "{hold_id} has {held} of {product_id}",
        NotSold { hold_id: String, product_id: String } = FailedPrecondition "{hold_id} has sold nothing of {product_id}",
        StockTooLarge { product_id: String, limit: i32 } = FailedPrecondition
            "a product can't have more than {limit} in stock",
        CategoryExists { category_id: String } = AlreadyExists "there is a category {category_id} already",
        CategoryTooDeep { parent_id: String, limit: usize } = FailedPrecondition
            "{parent_id} is {limit} deep already; nothing can be below it",
    }
}

/// Whether the status may change, and to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Reserve,
    Sell,
    Relist,
}

impl Verb {
    fn past(self) -> &'static str {
        match self {
            Verb::Reserve => "reserved",
            Verb::Sell => "sold",
            Verb::Relist => "put on sale",
        }
    }
}

pub fn status_name(status: ProductStatus) -> &'static str {
    match status {
        ProductStatus::Unspecified => "unknown",
        ProductStatus::OnSale => "on sale",
        ProductStatus::Reserved => "reserved",
        ProductStatus::Sold => "sold",
    }
}

/// A product as its events made it. Prices are whole won.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Product {
    pub product_id: String,
    pub seller_id: String,
    pub title: String,
    pub description: String,
    pub price: i64,
    pub category_id: String,
    pub region_id: String,
    pub condition: Condition,
    pub status: ProductStatus,
    pub stock: i32,
    pub tags: Vec<String>,
    pub image_ids: Vec<String>,
    /// One unit's.
    pub parcel: Option<ParcelSize>,
    /// An order took the last unit: should it come back, the product is on sale again.
    pub sold_out: bool,
    pub deleted: bool,
}

impl Entity for Product {
    const NAME: &'static str = "product";
    const PREFIX: &'static str = "prd";
}

pub type ProductId = Id<Product>;

pub fn won(price: i64) -> WireMoney {
    Money::new(price, Currency::KRW).into()
}

impl Product {
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Created(e) => {
                *self = Product {
                    product_id: e.product_id.clone(),
                    seller_id: e.seller_id.clone(),
                    title: e.title.clone(),
                    description: e.description.clone(),
                    price: e.price.as_ref().map_or(0, |m| m.units),
                    category_id: e.category_id.clone(),
                    region_id: e.region_id.clone(),
                    condition: e.condition(),
                    status: ProductStatus::OnSale,
                    stock: e.stock,
                    tags: e.tags.clone(),
                    image_ids: e.image_ids.clone(),
                    parcel: e.parcel,
                    sold_out: false,
                    deleted: false,
                }
            }
            Event::Updated(e) => {
                self.title.clone_from(&e.title);
                self.description.clone_from(&e.description);
                self.price = e.price.as_ref().map_or(0, |m| m.units);
                self.category_id.clone_from(&e.category_id);
                self.condition = e.condition();
                self.tags.clone_from(&e.tags);
                self.image_ids.clone_from(&e.image_ids);
                self.parcel = e.parcel;
            }
            Event::StatusChanged(e) => (self.status, self.sold_out) = (e.to(), e.sold_out),
            Event::StockChanged(e) => self.stock = e.stock,
            Event::Deleted(_) => self.deleted = true,
        }
    }

    /// On sale -> reserved -> sold, on sale -> sold, and back on sale from either.
    pub fn turn(&self, verb: Verb) -> Result<Vec<Event>> {
        use ProductStatus::{OnSale, Reserved, Sold};
        let to = match (self.status, verb) {
            (OnSale, Verb::Reserve) => Reserved,
            (OnSale | Reserved, Verb::Sell) => Sold,
            (Reserved | Sold, Verb::Relist) => OnSale,
            (status, verb) => {
                let (status, verb) = (status_name(status), verb.past());
                return Err(Fault::WrongStatus { product_id: self.product_id.clone(), status, verb }.into());
            }
        };
        if verb == Verb::Reserve && self.stock == 0 {
            return Err(Fault::OutOfStock { product_id: self.product_id.clone(), left: 0 }.into());
        }
        Ok(vec![self.becomes(to, false)])
    }

    /// An order took units: with the last one the product is gone.
    pub fn after_sale(&self) -> Vec<Event> {
        let gone = self.stock == 0 && self.status == ProductStatus::OnSale;
        if gone { vec![self.becomes(ProductStatus::Sold, true)] } else { Vec::new() }
    }

    /// Units came back: what is gone by a sale is to be had again, what the seller took off sale is not.
    pub fn after_return(&self) -> Vec<Event> {
        if self.sold_out { vec![self.becomes(ProductStatus::OnSale, false)] } else { Vec::new() }
    }

    fn becomes(&self, to: ProductStatus, sold_out: bool) -> Event {
        let product_id = self.product_id.clone();
        Event::StatusChanged(ProductStatusChanged { product_id, from: self.status.into(), to: to.into(), sold_out })
    }

    pub fn delete(&self) -> Vec<Event> {
        vec![Event::Deleted(ProductDeleted { product_id: self.product_id.clone() })]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProductStatus::{OnSale, Reserved, Sold};

    fn product(status: ProductStatus) -> Product {
        Product { product_id: "prd_1".into(), status, stock: 1, ..Product::default() }
    }

    #[test]
    fn the_table_of_states() {
        let table = [
            (OnSale, Verb::Reserve, Some(Reserved)),
            (OnSale, Verb::Sell, Some(Sold)),
            (OnSale, Verb::Relist, None),
            (Reserved, Verb::Reserve, None),
            (Reserved, Verb::Sell, Some(Sold)),
            (Reserved, Verb::Relist, Some(OnSale)),
            (Sold, Verb::Reserve, None),
            (Sold, Verb::Sell, None),
            (Sold, Verb::Relist, Some(OnSale)),
        ];
        for (from, verb, to) in table {
            let mut p = product(from);
            match (p.turn(verb), to) {
                (Ok(events), Some(to)) => {
                    events.iter().for_each(|e| p.apply(e));
                    assert_eq!(p.status, to, "{from:?} {verb:?}");
                }
                (Err(e), None) => assert_eq!(e.reason(), "WRONG_STATUS", "{from:?} {verb:?}"),
                (got, want) => panic!("{from:?} {verb:?}: {got:?}, not {want:?}"),
            }
        }
    }

    #[test]
    fn a_sale_of_the_last_unit_is_undone_by_its_return_and_the_seller_s_word_is_not() {
        let mut p = Product { stock: 0, ..product(OnSale) };
        p.after_sale().iter().for_each(|e| p.apply(e));
        assert_eq!((p.status, p.sold_out), (Sold, true));
        p.after_return().iter().for_each(|e| p.apply(e));
        assert_eq!((p.status, p.sold_out), (OnSale, false));
        p.turn(Verb::Sell).unwrap().iter().for_each(|e| p.apply(e));
        assert!(p.after_return().is_empty());
        assert!(product(OnSale).after_sale().is_empty(), "one is left");
        assert!(Product { stock: 0, ..product(Reserved) }.after_sale().is_empty(), "promised by the seller");
    }

    #[test]
    fn what_is_not_there_can_not_be_promised() {
        let p = Product { stock: 0, ..product(OnSale) };
        assert_eq!(p.turn(Verb::Reserve).unwrap_err().reason(), "OUT_OF_STOCK");
    }
}
