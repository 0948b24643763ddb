//! What the engine knows of a kind of documents: a description, so that a new kind is one file and one line in `kinds.rs`.

use crate::domain::{place::Place, ranking::Tier};
use jangteo_core::Result;
use ring::digest;
use std::fmt;

/// Goes up when texts are cut differently than before, so that indexes are built anew.
const ANALYSIS: u32 = 1;

pub struct Kind {
    /// `product`; also the name of its folder and of its rows.
    pub name: &'static str,
    pub texts: &'static [Text],
    /// What can be filtered by, counted, or sorted by.
    pub columns: &'static [Column],
    /// What is indexed of a row's body; `None` when there is nothing to find yet.
    pub read: fn(&[u8]) -> Result<Option<Document>>,
}

#[derive(Debug)]
pub struct Text {
    pub name: &'static str,
    /// How many words one has as a rule: what is longer counts less (the average length of BM25).
    pub length: u32,
    /// What the thing is called: found by beginnings and initial consonants too, and offered as a completion.
    pub named: bool,
}

#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    pub of: Of,
}

#[derive(Debug)]
pub enum Of {
    /// A word out of a few; every one is counted.
    Words,
    /// A number out of a few, such as an enum's; every one is counted.
    Numbers,
    /// An amount, counted in ranges that begin at these and end before the next; ascending, from the least amount on.
    Ranges(&'static [i64]),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Word(String),
    Number(i64),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// In the order of [`Kind::texts`], each of one or several parts.
    pub texts: Vec<Vec<String>>,
    /// In the order of [`Kind::columns`].
    pub values: Vec<Value>,
    pub tier: Tier,
    /// Microseconds since 1970.
    pub created: i64,
    pub place: Option<Place>,
}

/// A row as it is indexed.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: String,
    /// Of the last event that made it.
    pub version: i64,
    /// See [`wanted`](crate::domain::ranking::wanted).
    pub wanted: u64,
    /// `None`: deleted, or never created.
    pub body: Option<Vec<u8>>,
    /// Where in the order of changes.
    pub seq: i64,
    /// When the fact happened that changed it last, in microseconds since 1970.
    pub event_time: i64,
}

impl Kind {
    pub fn column(&self, name: &str) -> usize {
        self.columns.iter().position(|c| c.name == name).expect("a column that the kind has")
    }

    /// Changes whenever documents are indexed differently.
    pub fn stamp(&self) -> String {
        let hash = digest::digest(&digest::SHA256, format!("{self:?} {ANALYSIS}").as_bytes());
        hash.as_ref()[..6].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name).field("texts", &self.texts).field("columns", &self.columns).finish()
    }
}
