//! One pass over everything that matches: filters, counts, the best hits behind a key.
//!
//! Each facet is counted as if its own filter were not set, so that a choice can be changed: a document that fails one
//! column's filter alone counts for that column and is no hit.

use super::{
    kind::{Kind, Of, Value},
    schema::{CREATED, LAT, LNG, TIE, TIER, WANTED, column},
};
use crate::domain::{place::Place, ranking::Ranking};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    ops::RangeInclusive,
    sync::Arc,
};
use tantivy::{
    DocAddress, DocId, Score, SegmentOrdinal, SegmentReader,
    collector::{Collector, SegmentCollector},
    columnar::{Column, StrColumn},
};

/// The place of a document in an order, the greatest first: two sort keys, and what tells equal ones apart.
pub type Key = (u64, u64, u64);

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Order {
    Relevance,
    Newest,
    /// By a column of numbers, the least first; equal ones the newest first.
    Ascending(usize),
    Descending(usize),
    Nearest,
}

#[derive(Debug, Clone)]
pub enum Check {
    OneOf(Vec<Value>),
    Within(RangeInclusive<i64>),
}

/// What is asked of the matches.
#[derive(Debug, Clone)]
pub struct Wish {
    /// By column; each at most once.
    pub checks: Vec<(usize, Check)>,
    pub order: Order,
    pub near: Option<Place>,
    /// In metres; documents without a place are beyond every radius.
    pub radius: Option<f64>,
    /// Nothing that can't be had at once.
    pub on_sale: bool,
    /// Hits behind this one.
    pub after: Option<Key>,
    pub limit: usize,
    pub facets: bool,
    /// The time that ages are counted from, in microseconds since 1970; the same on all pages.
    pub now: i64,
}

pub struct Gather {
    pub kind: &'static Kind,
    pub wish: Arc<Wish>,
    pub ranking: Arc<Ranking>,
}

#[derive(Debug, Default)]
pub struct Gathered {
    /// Documents that have the words, whatever the filters say.
    pub matched: u64,
    /// Those that pass the filters.
    pub total: u64,
    /// One more than the limit when there are more.
    pub top: Vec<(Key, DocAddress)>,
    /// By column; of ranges the number of the range.
    pub counts: Vec<BTreeMap<Value, u64>>,
}

enum Cells {
    Words(Option<StrColumn>),
    Numbers(Column<i64>),
}

/// A check in terms of one segment.
enum Local {
    /// Values that a cell may have: ordinals of words, or numbers.
    OneOf(Vec<i64>),
    Within(RangeInclusive<i64>),
}

pub struct OfSegment {
    segment: SegmentOrdinal,
    kind: &'static Kind,
    wish: Arc<Wish>,
    ranking: Arc<Ranking>,
    tier: Column<u64>,
    created: Column<i64>,
    wanted: Column<u64>,
    tie: Column<u64>,
    lat: Column<f64>,
    lng: Column<f64>,
    cells: Vec<Cells>,
    checks: Vec<(usize, Local)>,
    matched: u64,
    total: u64,
    best: BinaryHeap<Reverse<(Key, DocId)>>,
    counts: Vec<HashMap<i64, u64>>,
}

impl Collector for Gather {
    type Fruit = Gathered;
    type Child = OfSegment;

    fn for_segment(&self, segment: SegmentOrdinal, reader: &SegmentReader) -> tantivy::Result<OfSegment> {
        let fast = reader.fast_fields();
        let cells = self.kind.columns.iter().map(|c| {
            Ok(match c.of {
                Of::Words => Cells::Words(fast.str(&column(c.name))?),
                Of::Numbers | Of::Ranges(_) => Cells::Numbers(fast.i64(&column(c.name))?),
            })
        });
        let cells = cells.collect::<tantivy::Result<Vec<_>>>()?;
        let checks = self.wish.checks.iter().map(|(n, check)| Ok((*n, local(check, &cells[*n])?)));
        Ok(OfSegment {
            segment,
            kind: self.kind,
            wish: self.wish.clone(),
            ranking: self.ranking.clone(),
            tier: fast.u64(TIER)?,
            created: fast.i64(CREATED)?,
            wanted: fast.u64(WANTED)?,
            tie: fast.u64(TIE)?,
            lat: fast.f64(LAT)?,
            lng: fast.f64(LNG)?,
            checks: checks.collect::<tantivy::Result<_>>()?,
            matched: 0,
            total: 0,
            best: BinaryHeap::new(),
            counts: vec![HashMap::new(); cells.len()],
            cells,
        })
    }

    fn requires_scoring(&self) -> bool {
        self.wish.order == Order::Relevance
    }

    fn merge_fruits(&self, parts: Vec<tantivy::Result<Gathered>>) -> tantivy::Result<Gathered> {
        let mut out = Gathered { counts: vec![BTreeMap::new(); self.kind.columns.len()], ..Gathered::default() };
        for part in parts {
            let part = part?;
            out.matched += part.matched;
            out.total += part.total;
            out.top.extend(part.top);
            for (sum, counts) in out.counts.iter_mut().zip(part.counts) {
                counts.into_iter().for_each(|(value, n)| *sum.entry(value).or_default() += n);
            }
        }
        out.top.sort_unstable_by_key(|(key, _)| Reverse(*key));
        out.top.truncate(self.wish.limit + 1);
        Ok(out)
    }
}

fn local(check: &Check, cells: &Cells) -> tantivy::Result<Local> {
    Ok(match check {
        Check::Within(range) => Local::Within(range.clone()),
        Check::OneOf(values) => {
            let mut allowed = Vec::with_capacity(values.len());
            for value in values {
                match (value, cells) {
                    (Value::Number(number), _) => allowed.push(*number),
                    (Value::Word(word), Cells::Words(Some(words))) => {
                        allowed.extend(words.dictionary().term_ord(word)?.and_then(|ord| i64::try_from(ord).ok()));
                    }
                    (Value::Word(_), _) => {}
                }
            }
            Local::OneOf(allowed)
        }
    })
}

impl Cells {
    fn get(&self, doc: DocId) -> Option<i64> {
        match self {
            Cells::Words(words) => words.as_ref()?.ords().first(doc).and_then(|ord| i64::try_from(ord).ok()),
            Cells::Numbers(numbers) => numbers.first(doc),
        }
    }
}

impl OfSegment {
    fn metres(&self, doc: DocId) -> Option<f64> {
        let (lat, lng) = (self.lat.first(doc)?, self.lng.first(doc)?);
        Some(self.wish.near?.metres_to(Place { lat, lng }))
    }

    fn count(&mut self, n: usize, doc: DocId) {
        let Some(cell) = self.cells[n].get(doc) else { return };
        let counted = match self.kind.columns[n].of {
            Of::Ranges(from) => from.partition_point(|start| *start <= cell).saturating_sub(1) as i64,
            Of::Words | Of::Numbers => cell,
        };
        *self.counts[n].entry(counted).or_default() += 1;
    }

    fn key(&self, doc: DocId, score: Score) -> Key {
        let created = self.created.first(doc).unwrap_or(0);
        let newest = ascending(created);
        let number = |n: usize| ascending(self.cells[n].get(doc).unwrap_or(i64::MAX));
        let (first, second) = match self.wish.order {
            Order::Relevance => {
                let (tier, wanted) = (self.tier.first(doc).unwrap_or(0), self.wanted.first(doc).unwrap_or(0));
                (self.ranking.rank(tier, score, self.wish.now.saturating_sub(created), wanted), newest)
            }
            Order::Newest => (newest, 0),
            Order::Ascending(n) => (!number(n), newest),
            Order::Descending(n) => (number(n), newest),
            // To the metre.
            Order::Nearest => (!self.metres(doc).map_or(u64::MAX, |m| m as u64), newest),
        };
        (first, second, self.tie.first(doc).unwrap_or(0))
    }

    fn keep(&mut self, key: Key, doc: DocId) {
        if self.wish.after.is_some_and(|after| key >= after) {
            return;
        }
        if self.best.len() <= self.wish.limit {
            self.best.push(Reverse((key, doc)));
        } else if let Some(mut worst) = self.best.peek_mut()
            && key > worst.0.0
        {
            *worst = Reverse((key, doc));
        }
    }
}

/// Unsigned, in the same order.
fn ascending(n: i64) -> u64 {
    (n as u64) ^ (1 << 63)
}

impl SegmentCollector for OfSegment {
    type Fruit = tantivy::Result<Gathered>;

    fn collect(&mut self, doc: DocId, score: Score) {
        if self.wish.on_sale && self.tier.first(doc) != Some(crate::domain::ranking::Tier::Now as u64) {
            return;
        }
        self.matched += 1;
        if self.wish.radius.is_some_and(|radius| self.metres(doc).is_none_or(|m| m > radius)) {
            return;
        }
        let mut failed = None;
        for (n, check) in &self.checks {
            let passes = self.cells[*n].get(doc).is_some_and(|cell| match check {
                Local::OneOf(allowed) => allowed.contains(&cell),
                Local::Within(range) => range.contains(&cell),
            });
            if !passes && failed.replace(*n).is_some() {
                return;
            }
        }
        match failed {
            Some(n) if self.wish.facets => self.count(n, doc),
            Some(_) => {}
            None => {
                self.total += 1;
                if self.wish.facets {
                    (0..self.cells.len()).for_each(|n| self.count(n, doc));
                }
                let key = self.key(doc, score);
                self.keep(key, doc);
            }
        }
    }

    fn harvest(self) -> Self::Fruit {
        let mut counts = Vec::with_capacity(self.counts.len());
        for (cells, counted) in self.cells.iter().zip(self.counts) {
            let mut named = BTreeMap::new();
            for (cell, n) in counted {
                let value = match cells {
                    Cells::Numbers(_) => Value::Number(cell),
                    Cells::Words(words) => {
                        let mut word = String::new();
                        if let Some(words) = words {
                            words.ord_to_str(cell as u64, &mut word)?;
                        }
                        Value::Word(word)
                    }
                };
                named.insert(value, n);
            }
            counts.push(named);
        }
        let top = self.best.into_iter().map(|Reverse((key, doc))| (key, DocAddress::new(self.segment, doc))).collect();
        Ok(Gathered { matched: self.matched, total: self.total, top, counts })
    }
}
