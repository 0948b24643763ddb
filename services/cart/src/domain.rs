//! What a cart holds and what it costs. Values in, messages or faults out.

pub mod merge;
pub mod price;
pub mod token;

use jangteo_core::{Entity, Error, Result, faults};
use proto::jangteo::catalog::v1::{Offer, ProductStatus};

/// Units of one product, as in the validation rules of the proto.
pub const MAX_QUANTITY: i64 = 99;
/// Products in one cart: as many as the catalogue answers for at once.
pub const MAX_LINES: usize = 100;
/// Copies of one person's that can be looked at.
pub const MAX_SHARES: u64 = 20;
pub const MAX_WISHES: u64 = 1000;

faults! {
    /// Why a cart refuses.
    pub enum Fault in "cart.jangteo" {
        CartNotFound = NotFound "there is no cart with this token, or none any more",
        ShareNotFound = NotFound "there is no shared cart with this token, or none any more",
        GuestTokenRequired = InvalidArgument "sign in, or send the guest_token of the cart",
        NotInCart { product_id: String } = NotFound "{product_id} is not in the cart",
        QuantityTooLarge { product_id: String, limit: i64 } = FailedPrecondition
            "a cart holds at most {limit} of {product_id}",
        CartFull { limit: usize } = FailedPrecondition "a cart holds at most {limit} products",
        CartEmpty = FailedPrecondition "there is nothing in the cart to share",
        OwnProduct { product_id: String } = FailedPrecondition "{product_id} is the buyer's own",
        NotOnSale { product_id: String, status: &'static str } = FailedPrecondition "{product_id} is {status}",
        TooManyWishes { limit: u64 } = FailedPrecondition "a wishlist holds at most {limit} products",
    }
}

pub enum Cart {}

impl Entity for Cart {
    const NAME: &'static str = "cart";
    const PREFIX: &'static str = "crt";
}

/// Some units of a product as they were put in. Prices are whole won.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub product_id: String,
    pub seller_id: String,
    pub title: String,
    pub image_id: String,
    pub quantity: i64,
    pub added_price: i64,
    /// Microseconds since 1970.
    pub add_time: i64,
}

impl Line {
    /// As the catalogue offers it now.
    pub fn of(offer: &Offer, quantity: i64, add_time: i64) -> Line {
        Line {
            product_id: offer.product_id.clone(),
            seller_id: offer.seller_id.clone(),
            title: offer.title.clone(),
            image_id: offer.image_id.clone(),
            quantity,
            added_price: price::won(offer),
            add_time,
        }
    }
}

/// Whether `buyer` may mean to buy it. What is on sale but out of stock may wait in a cart for more.
pub fn admit(offer: &Offer, buyer: Option<&str>) -> Result<()> {
    let product_id = || offer.product_id.clone();
    if buyer == Some(&*offer.seller_id) {
        return Err(Fault::OwnProduct { product_id: product_id() }.into());
    }
    match offer.status() {
        ProductStatus::OnSale => Ok(()),
        ProductStatus::Reserved => Err(Fault::NotOnSale { product_id: product_id(), status: "reserved" }.into()),
        ProductStatus::Sold => Err(Fault::NotOnSale { product_id: product_id(), status: "sold" }.into()),
        ProductStatus::Unspecified => Err(Error::internal(format!("{} has no status", offer.product_id))),
    }
}
