//! What a notice says beside its fixed words.

use super::kind::Kind;
use jangteo_core::{Error, Result};
use proto::google::r#type::Money;
use std::collections::BTreeMap;

/// One person to tell one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub user_id: String,
    pub kind: Kind,
    pub facts: Facts,
}

/// By name, as the templates know them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(pub BTreeMap<String, String>);

impl Facts {
    pub fn with(mut self, name: &str, value: impl Fact) -> Self {
        self.0.insert(name.to_owned(), value.text());
        self
    }

    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("text to text")
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Facts> {
        serde_json::from_slice(bytes).map(Facts).map_err(Error::internal)
    }
}

/// A field of an event as a fact.
pub trait Fact {
    fn text(&self) -> String;
}

impl<T: Fact> Fact for &T {
    fn text(&self) -> String {
        (*self).text()
    }
}

impl Fact for &str {
    fn text(&self) -> String {
        (*self).to_owned()
    }
}

impl Fact for String {
    fn text(&self) -> String {
        self.clone()
    }
}

impl Fact for i32 {
    fn text(&self) -> String {
        self.to_string()
    }
}

/// Whole won.
impl Fact for Option<Money> {
    fn text(&self) -> String {
        self.as_ref().map_or(0, |m| m.units).to_string()
    }
}

/// What is sold, as others may call it: a title, and how many more things there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goods {
    pub order_id: String,
    /// 0: the whole order.
    pub part: i32,
    pub title: String,
    pub more: i32,
}

/// The goods of an order and of each of its parts, from (part, titles).
pub fn goods(order_id: &str, parts: &[(i32, Vec<&str>)]) -> Vec<Goods> {
    let of = |part, titles: &[&str]| Goods {
        order_id: order_id.to_owned(),
        part,
        title: titles.first().copied().unwrap_or_default().to_owned(),
        more: i32::try_from(titles.len().saturating_sub(1)).unwrap_or(i32::MAX),
    };
    let all: Vec<&str> = parts.iter().flat_map(|(_, titles)| titles.iter().copied()).collect();
    let whole = of(0, &all);
    std::iter::once(whole).chain(parts.iter().map(|(part, titles)| of(*part, titles))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goods_are_named_by_the_first_and_the_number_of_the_others() {
        let all = goods("ord_1", &[(1, vec!["의자", "책상"]), (2, vec!["램프"])]);
        let shown: Vec<_> = all.iter().map(|g| (g.part, g.title.as_str(), g.more)).collect();
        assert_eq!(shown, [(0, "의자", 2), (1, "의자", 1), (2, "램프", 0)]);
    }

    #[test]
    fn what_is_written_is_read() {
        let facts = Facts::default().with("order_id", "ord_1").with("part", 2);
        assert_eq!(Facts::from_bytes(&facts.to_bytes()).unwrap(), facts);
        assert_eq!((facts.get("part"), facts.get("nothing")), ("2", ""));
    }
}
