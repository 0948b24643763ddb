//! What a seller says about a product: at first, and when it changes.

use super::{Event, Product, tags, won};
use jangteo_core::{Currency, Error, Result, Time, Violations};
use kit::patch::{Wanted, set};
use proto::{
    google::r#type::Money,
    jangteo::catalog::v1::{
        Condition, CreateProductRequest, ParcelSize, ProductCreated, ProductStockChanged, ProductUpdated,
        UpdateProductRequest,
    },
};

/// In won.
const MAX_PRICE: i64 = 1_000_000_000_000;

const FIELDS: [&str; 9] =
    ["title", "description", "price", "category_id", "condition", "stock", "tags", "image_ids", "parcel"];

/// The event that a new product begins with.
pub fn created(id: &str, seller_id: &str, req: &CreateProductRequest, now: Time) -> Result<ProductCreated> {
    let mut bad = Violations::default();
    let title = bad.keep(one_line(&req.title));
    let price = bad.keep(price(req.price.as_ref()));
    bad.none()?;
    Ok(ProductCreated {
        product_id: id.to_owned(),
        seller_id: seller_id.to_owned(),
        title: title.unwrap_or_default(),
        description: req.description.trim().to_owned(),
        price: price.map(won),
        category_id: req.category_id.clone(),
        region_id: req.region_id.clone(),
        condition: req.condition,
        stock: req.stock.unwrap_or(1),
        tags: tags::normalise(&req.tags),
        create_time: Some(proto::timestamp(now)),
        image_ids: req.image_ids.clone(),
        parcel: req.parcel,
    })
}

/// What an update asks for; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patch {
    pub title: Option<String>,
    pub description: Option<String>,
    pub price: Option<i64>,
    pub category_id: Option<String>,
    pub condition: Option<Condition>,
    pub stock: Option<i32>,
    pub tags: Option<Vec<String>>,
    pub image_ids: Option<Vec<String>>,
    pub parcel: Option<Option<ParcelSize>>,
}

/// `description`, `tags`, `image_ids` and `parcel` alone can be cleared.
pub fn patch(req: &UpdateProductRequest) -> Result<Patch> {
    let mut wanted = Wanted::new(req.update_mask.as_ref(), &FIELDS);
    let patch = Patch {
        title: wanted.read("title", &req.title, |t| one_line(&t)),
        description: wanted.field("description", &req.description, Some(String::new())).map(|d| d.trim().to_owned()),
        price: wanted.read("price", &req.price, |m| price(Some(&m))),
        category_id: wanted.field("category_id", &req.category_id, None),
        condition: wanted.field("condition", &req.condition, None).map(|_| req.condition()),
        stock: wanted.field("stock", &req.stock, None),
        tags: wanted.list("tags", &req.tags).map(|t| tags::normalise(&t)),
        image_ids: wanted.list("image_ids", &req.image_ids),
        parcel: wanted.field("parcel", &req.parcel.map(Some), Some(None)),
    };
    wanted.done()?;
    Ok(patch)
}

impl Product {
    /// Nothing when the patch says what is so already.
    pub fn update(&self, patch: &Patch) -> Vec<Event> {
        let (mut to, mut changed) = (self.clone(), Vec::new());
        set("title", &mut to.title, patch.title.clone(), &mut changed);
        set("description", &mut to.description, patch.description.clone(), &mut changed);
        set("price", &mut to.price, patch.price, &mut changed);
        set("category_id", &mut to.category_id, patch.category_id.clone(), &mut changed);
        set("condition", &mut to.condition, patch.condition, &mut changed);
        set("tags", &mut to.tags, patch.tags.clone(), &mut changed);
        set("image_ids", &mut to.image_ids, patch.image_ids.clone(), &mut changed);
        set("parcel", &mut to.parcel, patch.parcel, &mut changed);
        let mut events = Vec::new();
        if !changed.is_empty() {
            events.push(Event::Updated(ProductUpdated {
                product_id: to.product_id,
                title: to.title,
                description: to.description,
                price: Some(won(to.price)),
                category_id: to.category_id,
                condition: to.condition.into(),
                tags: to.tags,
                image_ids: to.image_ids,
                parcel: to.parcel,
                changed,
            }));
        }
        if let Some(stock) = patch.stock.filter(|s| *s != self.stock) {
            let product_id = self.product_id.clone();
            events.push(Event::StockChanged(ProductStockChanged { product_id, delta: stock - self.stock, stock }));
        }
        events
    }
}

fn one_line(text: &str) -> Result<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() < 2 || text.chars().any(char::is_control) {
        return Err(Error::invalid("title", "INVALID_TITLE", "must have at least two characters that can be seen"));
    }
    Ok(text)
}

fn price(money: Option<&Money>) -> Result<i64> {
    let money = proto::money("price", money)?;
    if money.currency != Currency::KRW {
        return Err(Error::invalid("price.currency_code", "UNSUPPORTED_CURRENCY", "must be KRW"));
    }
    if !(0..=MAX_PRICE).contains(&money.minor) {
        return Err(Error::invalid("price.units", "OUT_OF_RANGE", format!("must be from 0 to {MAX_PRICE}")));
    }
    Ok(money.minor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;
    use proptest::prelude::*;
    use prost_types::FieldMask;

    fn product() -> Product {
        let mut p = Product::default();
        let req = CreateProductRequest {
            title: "  낡은   자전거 ".into(),
            description: "잘 굴러갑니다\n".into(),
            price: Some(won(30_000)),
            category_id: "cycling".into(),
            region_id: "seoul".into(),
            condition: Condition::Fair.into(),
            tags: vec!["#자전거".into()],
            ..Default::default()
        };
        p.apply(&Event::Created(created("prd_1", "usr_1", &req, from_micros(0)).unwrap()));
        p
    }

    fn fields(e: &Error) -> Vec<&str> {
        e.field_violations().iter().map(|v| v.field.as_str()).collect()
    }

    fn mask(paths: &[&str]) -> Option<FieldMask> {
        Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() })
    }

    #[test]
    fn text_is_tidied() {
        let p = product();
        assert_eq!((p.title.as_str(), p.description.as_str(), p.stock), ("낡은 자전거", "잘 굴러갑니다", 1));
    }

    #[test]
    fn every_broken_rule_is_named_at_once() {
        let req = CreateProductRequest {
            title: " \t ".into(),
            price: Some(Money { currency_code: "USD".into(), units: 5, nanos: 0 }),
            ..Default::default()
        };
        let e = created("prd_1", "usr_1", &req, from_micros(0)).unwrap_err();
        assert_eq!(fields(&e), ["title", "price.currency_code"]);
    }

    #[test]
    fn without_a_mask_the_present_fields_change() {
        let req = UpdateProductRequest { title: Some("새 자전거".into()), stock: Some(0), ..Default::default() };
        let got = patch(&req).unwrap();
        assert_eq!(got, Patch { title: Some("새 자전거".into()), stock: Some(0), ..Patch::default() });
    }

    #[test]
    fn a_mask_names_exactly_what_changes() {
        let req = UpdateProductRequest {
            title: Some("새 자전거".into()),
            price: Some(won(1)),
            update_mask: mask(&["price", "tags", "description"]),
            ..Default::default()
        };
        let got = patch(&req).unwrap();
        let want = Patch { price: Some(1), tags: Some(vec![]), description: Some(String::new()), ..Patch::default() };
        assert_eq!(got, want);
    }

    #[test]
    fn a_mask_can_not_clear_what_is_required_or_name_what_is_not_there() {
        let req = UpdateProductRequest { update_mask: mask(&["title", "seller_id"]), ..Default::default() };
        assert_eq!(fields(&patch(&req).unwrap_err()), ["update_mask", "title"]);
        let all = UpdateProductRequest { update_mask: mask(&["*"]), ..Default::default() };
        assert_eq!(fields(&patch(&all).unwrap_err()), ["title", "price", "category_id", "condition", "stock"]);
    }

    #[test]
    fn saying_what_is_so_already_changes_nothing() {
        let p = product();
        let same = Patch { title: Some(p.title.clone()), stock: Some(p.stock), ..Patch::default() };
        assert!(p.update(&same).is_empty());
    }

    proptest! {
        #[test]
        fn the_events_of_an_update_make_the_product_that_was_asked_for(
            title in prop::option::of("[a-z]{2,9}"), price in prop::option::of(0..9i64), stock in prop::option::of(0..9i32),
            tags in prop::option::of(prop::collection::vec("[a-z]{1,3}", 0..4)),
            parcel in prop::option::of(prop::option::of((1..9i32, 1..9i32))),
        ) {
            let before = product();
            let parcel = parcel.map(|p| p.map(|(weight_grams, sum_cm)| ParcelSize { weight_grams, sum_cm }));
            let patch = Patch { title, price, stock, tags, parcel, ..Patch::default() };
            let mut after = before.clone();
            before.update(&patch).iter().for_each(|e| after.apply(e));
            let want = Product {
                title: patch.title.clone().unwrap_or(before.title),
                price: patch.price.unwrap_or(before.price),
                stock: patch.stock.unwrap_or(before.stock),
                tags: patch.tags.clone().unwrap_or(before.tags),
                parcel: patch.parcel.unwrap_or(before.parcel),
                ..after.clone()
            };
            prop_assert_eq!(&after, &want);
            prop_assert!(after.update(&patch).is_empty());
        }
    }
}
