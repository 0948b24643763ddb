//! From words to tantivy's queries, and the statistics that their scores are made with.

use super::{kind::Kind, schema::Fields};
use crate::domain::{
    analysis::{self, Analyser},
    query::{Alternative, Form, Needle, Wanted},
    ranking::Ranking,
};
use tantivy::{
    Score, Searcher, Term,
    query::{
        AllQuery, Bm25StatisticsProvider, BooleanQuery, BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, EmptyQuery,
        FuzzyTermQuery, PhraseQuery, Query, TermQuery,
    },
    schema::{Field, IndexRecordOption},
};

/// What a text counts beside the one that matches best.
const OTHER_TEXTS: Score = 0.33;
/// What a part of a word counts beside a whole one; of a phrase of bigrams, divided by their number.
const PART: Score = 0.6;
/// What a beginning counts, times the weight of the first text.
const BEGINNING: Score = 0.5;
/// What a mistyped word counts, times the weight of the first text.
const MISTYPED: Score = 0.4;
/// How many of several words are most of them.
const MOST: f64 = 0.6;

/// How the words are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// All of them.
    All,
    /// All of them, mistyped or not.
    Mistyped,
    /// Most of them, mistyped or not.
    Most,
}

pub struct Asker<'a> {
    pub kind: &'a Kind,
    pub fields: &'a Fields,
    pub ranking: &'a Ranking,
    pub analyser: Analyser,
}

impl Asker<'_> {
    /// `rarity`: what each word counts, see [`rarity`](Asker::rarity).
    pub fn query(&mut self, wanted: &[Wanted], strictness: Strictness, rarity: &[f32]) -> Box<dyn Query> {
        if wanted.is_empty() {
            return Box::new(AllQuery);
        }
        let fuzzy = strictness != Strictness::All;
        let words = wanted.iter().enumerate().map(|(n, w)| {
            let rare = rarity.get(n).copied().unwrap_or(1.0);
            boost(self.wanted(w, fuzzy), rare)
        });
        let words: Vec<Box<dyn Query>> = words.collect();
        match strictness {
            Strictness::All | Strictness::Mistyped => all(words),
            Strictness::Most => {
                let most = (words.len() as f64 * MOST).ceil() as usize;
                Box::new(BooleanQuery::union_with_minimum_required_clauses(words, most))
            }
        }
    }

    /// What begins so, for completions: of everything that was typed, or of the last word behind the ones before.
    pub fn beginning(&self, spelt: &str, initials: bool) -> Box<dyn Query> {
        starts_with(if initials { self.fields.initials } else { self.fields.starts }, spelt, 0)
    }

    /// One of the alternatives.
    fn wanted(&mut self, wanted: &Wanted, fuzzy: bool) -> Box<dyn Query> {
        any(wanted.any.iter().map(|a| self.alternative(a, fuzzy)).collect(), 0.0)
    }

    fn alternative(&mut self, alternative: &Alternative, fuzzy: bool) -> Box<dyn Query> {
        let needles = alternative.needles.iter().map(|n| self.needle(n, fuzzy)).collect();
        boost(all(needles), alternative.weight)
    }

    fn needle(&mut self, needle: &Needle, fuzzy: bool) -> Box<dyn Query> {
        let first = self.ranking.weight(0);
        let mut ways: Vec<Box<dyn Query>> = Vec::new();
        match needle.form {
            Form::Initials => ways.push(boost(self.beginning(&needle.text, true), BEGINNING * first)),
            Form::Typing => ways.push(boost(self.beginning(&needle.jamo(), false), BEGINNING * first)),
            Form::Cjk | Form::Word => {
                for text in 0..self.kind.texts.len() {
                    let found = if needle.form == Form::Cjk { self.cjk(text, needle) } else { self.word(text, needle) };
                    ways.push(boost(found, self.ranking.weight(text)));
                }
                // Longer than what begins many words by chance.
                let long = if needle.form == Form::Cjk { 3 } else { 4 };
                if needle.chars() >= long {
                    ways.push(boost(self.beginning(&needle.jamo(), false), BEGINNING * first));
                }
                if fuzzy && needle.tolerance() > 0 {
                    let near = starts_with(self.fields.starts, &needle.jamo(), needle.tolerance());
                    ways.push(boost(near, MISTYPED * first));
                }
            }
        }
        any(ways, OTHER_TEXTS)
    }

    /// As a word, and as a part of one.
    fn cjk(&self, text: usize, needle: &Needle) -> Box<dyn Query> {
        let (words, grams) = (self.fields.words[text], self.fields.grams[text]);
        let mut of = analysis::grams(&needle.text);
        if of.len() > 1 {
            // The last syllable alone is for words that are no longer than that.
            of.pop();
        }
        let part: Box<dyn Query> = match of.as_slice() {
            [] => Box::new(EmptyQuery),
            [(_, one)] => boost(term(grams, one), PART),
            many => {
                let phrase = many.iter().map(|(place, gram)| (*place, Term::from_field_text(grams, gram))).collect();
                boost(Box::new(PhraseQuery::new_with_offset(phrase)), PART / many.len() as f32)
            }
        };
        any(vec![term(words, &needle.text), part], 0.0)
    }

    /// As it is, by its stem, or as letters and digits apart.
    fn word(&mut self, text: usize, needle: &Needle) -> Box<dyn Query> {
        let words = self.fields.words[text];
        let mut ways = vec![term(words, &needle.text)];
        ways.extend(self.analyser.stem(&needle.text).map(|stem| boost(term(words, &stem), PART)));
        let pieces = analysis::pieces(&needle.text);
        if !pieces.is_empty() {
            ways.push(boost(all(pieces.iter().map(|p| term(words, p)).collect()), PART / pieces.len() as f32));
        }
        any(ways, OTHER_TEXTS)
    }

    /// What each word counts among several: its inverse document frequency, in tenths. Taken once, carried by the page token.
    pub fn rarity(&self, searcher: &Searcher, wanted: &[Wanted]) -> tantivy::Result<Vec<f32>> {
        if wanted.len() < 2 {
            return Ok(vec![1.0; wanted.len()]);
        }
        let all = searcher.num_docs() as f64;
        let mut out = Vec::with_capacity(wanted.len());
        for word in wanted {
            let mut most = 0;
            for needle in word.any.iter().flat_map(|a| &a.needles) {
                for text in 0..self.kind.texts.len() {
                    most = most.max(searcher.doc_freq(&Term::from_field_text(self.fields.words[text], &needle.text))?);
                }
            }
            let n = (most as f64).min(all);
            let idf = (1.0 + (all - n + 0.5) / (n + 0.5)).ln();
            out.push(((idf * 10.0).round() / 10.0).max(0.1) as f32);
        }
        Ok(out)
    }
}

fn term(field: Field, text: &str) -> Box<dyn Query> {
    Box::new(TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::WithFreqs))
}

/// Terms that begin so, give or take some errors. The sorted dictionary answers it, as edge n-grams would from a larger index.
fn starts_with(field: Field, text: &str, errors: u8) -> Box<dyn Query> {
    let term = Term::from_field_text(field, text);
    Box::new(ConstScoreQuery::new(Box::new(FuzzyTermQuery::new_prefix(term, errors, true)), 1.0))
}

fn boost(query: Box<dyn Query>, by: f32) -> Box<dyn Query> {
    Box::new(BoostQuery::new(query, by))
}

fn all(mut queries: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    match queries.len() {
        1 => queries.remove(0),
        _ => Box::new(BooleanQuery::intersection(queries)),
    }
}

/// The best of them whole, and a share of the others.
fn any(mut queries: Vec<Box<dyn Query>>, others: Score) -> Box<dyn Query> {
    match queries.len() {
        1 => queries.remove(0),
        _ => Box::new(DisjunctionMaxQuery::with_tie_breaker(queries, others)),
    }
}

/// Statistics that never change: every text is as long as its kind says on average, and every term is so rare that its inverse
/// document frequency is one. So a document's score depends on the document and the query alone, and pages made at different
/// times or by different replicas fit together.
pub struct Nominal {
    lengths: Vec<(Field, u32)>,
}

/// With so many documents of [`DOCUMENTS`], ln(1 + (N - n + ½) / (n + ½)) is 1.
const DOCUMENTS: u64 = 1_000_000;
const HAVING: u64 = 367_879;

impl Nominal {
    pub fn new(kind: &Kind, fields: &Fields) -> Nominal {
        let texts = kind.texts.iter().zip(fields.words.iter().zip(&fields.grams));
        Nominal {
            lengths: texts.flat_map(|(t, (words, grams))| [(*words, t.length), (*grams, 2 * t.length)]).collect(),
        }
    }
}

impl Bm25StatisticsProvider for Nominal {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        let length = self.lengths.iter().find(|(f, _)| *f == field).map_or(1, |(_, length)| *length);
        Ok(DOCUMENTS * u64::from(length))
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(DOCUMENTS)
    }

    fn doc_freq(&self, _: &Term) -> tantivy::Result<u64> {
        Ok(HAVING)
    }
}
