//! Ids: a prefix that names the noun and a UUIDv7, `prd_0192f1c2e4b87c3a9d5e6f708192a3b4`.
//! They sort by time of creation, so a keyset page over ids is a page over time.

use crate::{Error, Result};
use std::{cmp::Ordering, fmt, hash::Hash, marker::PhantomData, str::FromStr};
use uuid::Uuid;

/// A noun that has ids.
pub trait Entity {
    /// As in the proto: `product` for `product_id`.
    const NAME: &'static str;
    /// Three letters, `prd`.
    const PREFIX: &'static str;
}

pub struct Id<T> {
    uuid: Uuid,
    noun: PhantomData<fn() -> T>,
}

impl<T: Entity> Id<T> {
    #[expect(clippy::new_without_default, reason = "a fresh id is no default value")]
    pub fn new() -> Self {
        Self::from_uuid(Uuid::now_v7())
    }
    pub fn from_uuid(uuid: Uuid) -> Self {
        Id { uuid, noun: PhantomData }
    }
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl<T: Entity> FromStr for Id<T> {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        s.strip_prefix(T::PREFIX)
            .and_then(|s| s.strip_prefix('_'))
            .filter(|s| s.len() == 32 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
            .and_then(|s| Uuid::try_parse(s).ok())
            .map(Self::from_uuid)
            .ok_or_else(|| {
                Error::invalid(
                    format!("{}_id", T::NAME),
                    "INVALID_ID",
                    format!("must be {}_ and 32 lower-case hexadecimal digits", T::PREFIX),
                )
            })
    }
}

impl<T: Entity> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", T::PREFIX, self.uuid.simple())
    }
}
impl<T: Entity> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Product;
    impl Entity for Product {
        const NAME: &'static str = "product";
        const PREFIX: &'static str = "prd";
    }

    #[test]
    fn what_it_prints_it_parses() {
        let id = Id::<Product>::new();
        assert_eq!(id.to_string().parse::<Id<Product>>().unwrap(), id);
    }

    #[test]
    fn strangers_are_refused_by_name() {
        for bad in
            ["", "prd_", "usr_0192f1c2e4b87c3a9d5e6f708192a3b4", "prd_0192F1C2E4B87C3A9D5E6F708192A3B4", "prd_0192"]
        {
            let e = bad.parse::<Id<Product>>().unwrap_err();
            assert_eq!(e.field_violations()[0].field, "product_id", "{bad}");
        }
    }
}
