//! Products: what is kept of one, how events change it, what of it is found.

use crate::{
    domain::{place, ranking::Tier},
    engine::{Column, Document, Kind, Of, Text, Value},
};
use jangteo_core::{Error, Result, micros};
use prost::Message;
use proto::{
    google::r#type::Money,
    jangteo::catalog::v1::{
        ProductCreated, ProductDeleted, ProductStatus, ProductStatusChanged, ProductStockChanged, ProductUpdated,
    },
};

pub const NAME: &str = "product";

pub const KIND: Kind = Kind {
    name: NAME,
    texts: &[
        Text { name: "title", length: 8, named: true },
        Text { name: "tags", length: 5, named: true },
        Text { name: "description", length: 60, named: false },
    ],
    columns: &[
        Column { name: "category_id", of: Of::Words },
        Column { name: "region_id", of: Of::Words },
        Column { name: "condition", of: Of::Numbers },
        Column { name: "status", of: Of::Numbers },
        Column { name: "price", of: Of::Ranges(&PRICES) },
    ],
    read,
};

/// Where price ranges begin, in won; the first is what is given away.
pub const PRICES: [i64; 8] = [0, 1, 10_000, 50_000, 100_000, 300_000, 1_000_000, 3_000_000];

/// A product as its row keeps it. Each group of fields has the version of the event that it is from, so that events that are
/// late (a dead letter that is tried again) change nothing that is newer.
#[derive(Clone, PartialEq, Message)]
pub struct Body {
    #[prost(bool, tag = "1")]
    pub created: bool,
    #[prost(bool, tag = "2")]
    pub deleted: bool,
    #[prost(int64, tag = "3")]
    pub text_version: i64,
    #[prost(int64, tag = "4")]
    pub status_version: i64,
    #[prost(int64, tag = "5")]
    pub stock_version: i64,
    #[prost(string, tag = "6")]
    pub title: String,
    #[prost(string, tag = "7")]
    pub description: String,
    /// Whole won.
    #[prost(int64, tag = "8")]
    pub price: i64,
    #[prost(string, tag = "9")]
    pub category_id: String,
    #[prost(string, tag = "10")]
    pub region_id: String,
    /// Number of the catalogue's enum, as is `status`.
    #[prost(int32, tag = "11")]
    pub condition: i32,
    #[prost(int32, tag = "12")]
    pub status: i32,
    #[prost(int32, tag = "13")]
    pub stock: i32,
    #[prost(string, repeated, tag = "14")]
    pub tags: Vec<String>,
    #[prost(string, tag = "15")]
    pub seller_id: String,
    #[prost(string, tag = "16")]
    pub image_id: String,
    /// Microseconds since 1970.
    #[prost(int64, tag = "17")]
    pub create_time: i64,
}

#[derive(Debug, Clone)]
pub enum Event {
    Created(ProductCreated),
    Updated(ProductUpdated),
    StatusChanged(ProductStatusChanged),
    StockChanged(ProductStockChanged),
    Deleted(ProductDeleted),
}

impl Event {
    pub fn product_id(&self) -> &str {
        match self {
            Event::Created(e) => &e.product_id,
            Event::Updated(e) => &e.product_id,
            Event::StatusChanged(e) => &e.product_id,
            Event::StockChanged(e) => &e.product_id,
            Event::Deleted(e) => &e.product_id,
        }
    }
}

/// What the sellers' words of `ProductCreated` and `ProductUpdated` have in common.
struct Said<'a> {
    title: &'a str,
    description: &'a str,
    price: Option<&'a Money>,
    category_id: &'a str,
    condition: i32,
    tags: &'a [String],
    image_ids: &'a [String],
}

impl Body {
    /// The same whatever order events come in, and however often.
    pub fn apply(&mut self, event: &Event, version: i64) {
        match event {
            _ if self.deleted => {}
            // Nothing of what its seller wrote is kept.
            Event::Deleted(_) => *self = Body { deleted: true, ..Body::default() },
            Event::Created(e) => {
                self.created = true;
                self.region_id.clone_from(&e.region_id);
                self.seller_id.clone_from(&e.seller_id);
                self.create_time = e.create_time.as_ref().map_or(0, |t| micros(proto::time(t)));
                self.say(
                    version,
                    Said {
                        title: &e.title,
                        description: &e.description,
                        price: e.price.as_ref(),
                        category_id: &e.category_id,
                        condition: e.condition,
                        tags: &e.tags,
                        image_ids: &e.image_ids,
                    },
                );
                newer(&mut self.status_version, version, || self.status = ProductStatus::OnSale.into());
                newer(&mut self.stock_version, version, || self.stock = e.stock);
            }
            Event::Updated(e) => self.say(
                version,
                Said {
                    title: &e.title,
                    description: &e.description,
                    price: e.price.as_ref(),
                    category_id: &e.category_id,
                    condition: e.condition,
                    tags: &e.tags,
                    image_ids: &e.image_ids,
                },
            ),
            Event::StatusChanged(e) => newer(&mut self.status_version, version, || self.status = e.to),
            Event::StockChanged(e) => newer(&mut self.stock_version, version, || self.stock = e.stock),
        }
    }

    fn say(&mut self, version: i64, said: Said<'_>) {
        if version <= self.text_version {
            return;
        }
        self.text_version = version;
        self.title = said.title.to_owned();
        self.description = said.description.to_owned();
        self.price = said.price.map_or(0, |m| m.units);
        self.category_id = said.category_id.to_owned();
        self.condition = said.condition;
        self.tags = said.tags.to_vec();
        self.image_id = said.image_ids.first().cloned().unwrap_or_default();
    }

    fn tier(&self) -> Tier {
        match ProductStatus::try_from(self.status) {
            Ok(ProductStatus::OnSale) if self.stock > 0 => Tier::Now,
            Ok(ProductStatus::OnSale | ProductStatus::Reserved) => Tier::Later,
            _ => Tier::Gone,
        }
    }
}

fn newer(own: &mut i64, version: i64, change: impl FnOnce()) {
    if version > *own {
        *own = version;
        change();
    }
}

pub fn decode(body: &[u8]) -> Result<Body> {
    Body::decode(body).map_err(Error::internal)
}

fn read(body: &[u8]) -> Result<Option<Document>> {
    let body = decode(body)?;
    if !body.created || body.deleted {
        return Ok(None);
    }
    let number = |n: i32| Value::Number(n.into());
    Ok(Some(Document {
        tier: body.tier(),
        created: body.create_time,
        place: place::centroid(&body.region_id),
        values: vec![
            Value::Word(body.category_id),
            Value::Word(body.region_id),
            number(body.condition),
            number(body.status),
            Value::Number(body.price),
        ],
        texts: vec![vec![body.title], body.tags, vec![body.description]],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn history() -> Vec<Event> {
        let product_id = "prd_1".to_owned();
        vec![
            Event::Created(ProductCreated {
                product_id: product_id.clone(),
                title: "의자".into(),
                region_id: "seoul".into(),
                stock: 1,
                ..Default::default()
            }),
            Event::Updated(ProductUpdated {
                product_id: product_id.clone(),
                title: "책상".into(),
                ..Default::default()
            }),
            Event::StatusChanged(ProductStatusChanged {
                product_id: product_id.clone(),
                from: 1,
                to: 2,
                ..Default::default()
            }),
            Event::StockChanged(ProductStockChanged { product_id: product_id.clone(), delta: 4, stock: 5 }),
            Event::Updated(ProductUpdated {
                product_id: product_id.clone(),
                title: "침대".into(),
                ..Default::default()
            }),
            Event::StatusChanged(ProductStatusChanged { product_id, from: 2, to: 1, ..Default::default() }),
        ]
    }

    fn fold(events: &[(i64, Event)]) -> Body {
        let mut body = Body::default();
        events.iter().for_each(|(version, e)| body.apply(e, *version));
        body
    }

    #[test]
    fn the_last_of_each_counts() {
        let body = fold(&(1..).zip(history()).collect::<Vec<_>>());
        assert_eq!((body.title.as_str(), body.status, body.stock, body.tier()), ("침대", 1, 5, Tier::Now));
    }

    #[test]
    fn what_is_deleted_leaves_nothing_and_never_comes_back() {
        let mut events: Vec<_> = (1..).zip(history()).collect();
        events.insert(3, (7, Event::Deleted(ProductDeleted { product_id: "prd_1".into() })));
        assert_eq!(fold(&events), Body { deleted: true, ..Body::default() });
    }

    #[test]
    fn what_was_never_created_is_not_found() {
        let body = fold(&(2..).zip(history().split_off(1)).collect::<Vec<_>>());
        assert_eq!(read(&body.encode_to_vec()).unwrap(), None);
    }

    proptest! {
        #[test]
        fn order_and_repetition_make_no_difference(
            order in Just((1i64..).zip(history()).chain((1..).zip(history())).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            prop_assert_eq!(fold(&order), fold(&(1..).zip(history()).collect::<Vec<_>>()));
        }
    }
}
