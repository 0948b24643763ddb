//! A kind's fields in tantivy, and a row as a document of them.

use super::kind::{Document, Kind, Of, Row, Value};
use crate::domain::{
    analysis::{self, Analyser, Class},
    text::fold,
};
use jangteo_core::Result;
use tantivy::{
    TantivyDocument,
    schema::{
        BytesOptions, Field, IndexRecordOption, NumericOptions, Schema, SchemaBuilder, TextFieldIndexing, TextOptions,
    },
    tokenizer::{PreTokenizedString, Token},
};

pub const ID: &str = "id";
pub const VERSION: &str = "version";
pub const WANTED: &str = "wanted";
pub const TIER: &str = "tier";
pub const CREATED: &str = "created";
pub const TIE: &str = "tie";
pub const LAT: &str = "lat";
pub const LNG: &str = "lng";

#[derive(Clone)]
pub struct Fields {
    pub id: Field,
    pub body: Field,
    pub starts: Field,
    pub initials: Field,
    /// In the order of the kind's texts.
    pub words: Vec<Field>,
    pub grams: Vec<Field>,
    columns: Vec<Field>,
    version: Field,
    wanted: Field,
    tier: Field,
    created: Field,
    tie: Field,
    lat: Field,
    lng: Field,
}

/// The name of a column's field; apart from the engine's own names.
pub fn column(name: &str) -> String {
    format!("column_{name}")
}

pub fn schema(kind: &Kind) -> Schema {
    let mut b = SchemaBuilder::new();
    // Cut by `analysis`; tantivy's own tokenizers see none of it.
    let indexed = |option, norms| {
        let indexing = TextFieldIndexing::default().set_tokenizer("raw").set_fieldnorms(norms).set_index_option(option);
        TextOptions::default().set_indexing_options(indexing)
    };
    let number = || NumericOptions::default().set_fast();
    b.add_text_field(ID, indexed(IndexRecordOption::Basic, false).set_fast("raw"));
    b.add_bytes_field("body", BytesOptions::default().set_stored());
    b.add_text_field("starts", indexed(IndexRecordOption::Basic, false));
    b.add_text_field("initials", indexed(IndexRecordOption::Basic, false));
    for text in kind.texts {
        b.add_text_field(&format!("words_{}", text.name), indexed(IndexRecordOption::WithFreqs, true));
        b.add_text_field(&format!("grams_{}", text.name), indexed(IndexRecordOption::WithFreqsAndPositions, true));
    }
    for c in kind.columns {
        match c.of {
            Of::Words => b.add_text_field(&column(c.name), TextOptions::default().set_fast("raw")),
            Of::Numbers | Of::Ranges(_) => b.add_i64_field(&column(c.name), number()),
        };
    }
    b.add_i64_field(VERSION, number());
    b.add_u64_field(WANTED, number());
    b.add_u64_field(TIER, number());
    b.add_i64_field(CREATED, number());
    b.add_u64_field(TIE, number());
    b.add_f64_field(LAT, number());
    b.add_f64_field(LNG, number());
    b.build()
}

impl Fields {
    /// Fails on an index that was made for another description.
    pub fn of(kind: &Kind, schema: &Schema) -> tantivy::Result<Fields> {
        let field = |name: &str| schema.get_field(name);
        let texts = |prefix: &str| -> tantivy::Result<Vec<Field>> {
            kind.texts.iter().map(|t| field(&format!("{prefix}_{}", t.name))).collect()
        };
        Ok(Fields {
            id: field(ID)?,
            body: field("body")?,
            starts: field("starts")?,
            initials: field("initials")?,
            words: texts("words")?,
            grams: texts("grams")?,
            columns: kind.columns.iter().map(|c| field(&column(c.name))).collect::<tantivy::Result<_>>()?,
            version: field(VERSION)?,
            wanted: field(WANTED)?,
            tier: field(TIER)?,
            created: field(CREATED)?,
            tie: field(TIE)?,
            lat: field(LAT)?,
            lng: field(LNG)?,
        })
    }
}

/// What is indexed of a row; `None` when it is not to be found.
pub fn document(kind: &Kind, fields: &Fields, row: &Row, analyser: &mut Analyser) -> Result<Option<TantivyDocument>> {
    let Some(body) = &row.body else { return Ok(None) };
    let Some(document) = (kind.read)(body)? else { return Ok(None) };
    let mut out = TantivyDocument::new();
    out.add_text(fields.id, &row.id);
    out.add_bytes(fields.body, body);
    out.add_i64(fields.version, row.version);
    out.add_u64(fields.wanted, row.wanted);
    out.add_u64(fields.tier, document.tier as u64);
    out.add_i64(fields.created, document.created);
    out.add_u64(fields.tie, tie(&row.id));
    if let Some(place) = document.place {
        out.add_f64(fields.lat, place.lat);
        out.add_f64(fields.lng, place.lng);
    }
    for (field, value) in fields.columns.iter().zip(&document.values) {
        match value {
            Value::Word(word) => out.add_text(*field, word),
            Value::Number(number) => out.add_i64(*field, *number),
        }
    }
    texts(kind, fields, &document, analyser, &mut out);
    Ok(Some(out))
}

fn texts(kind: &Kind, fields: &Fields, document: &Document, analyser: &mut Analyser, out: &mut TantivyDocument) {
    let (mut starts, mut initials) = (Terms::default(), Terms::default());
    for (n, (text, parts)) in kind.texts.iter().zip(&document.texts).enumerate() {
        let (mut words, mut grams) = (Terms::default(), Terms::default());
        for part in parts {
            let folded = fold(part);
            let runs = analysis::runs(&folded);
            for run in &runs {
                analyser.words(run).into_iter().for_each(|w| words.add(w, 0));
                if run.class == Class::Cjk {
                    let of = analysis::grams(&run.text);
                    let length = of.len();
                    of.into_iter().for_each(|(place, gram)| grams.add(gram, place));
                    // No phrase reaches from one run into the next.
                    grams.next += length + 1;
                }
            }
            if text.named {
                analysis::starts(&folded, &runs).into_iter().for_each(|s| starts.add(s, 0));
                analysis::initials(&folded, &runs).into_iter().for_each(|s| initials.add(s, 0));
            }
        }
        out.add_pre_tokenized_text(fields.words[n], words.done());
        out.add_pre_tokenized_text(fields.grams[n], grams.done());
    }
    out.add_pre_tokenized_text(fields.starts, starts.done());
    out.add_pre_tokenized_text(fields.initials, initials.done());
}

#[derive(Default)]
struct Terms {
    tokens: Vec<Token>,
    next: usize,
}

impl Terms {
    fn add(&mut self, text: String, place: usize) {
        self.tokens.push(Token { text, position: self.next + place, position_length: 1, ..Token::default() });
    }

    fn done(self) -> PreTokenizedString {
        PreTokenizedString { text: String::new(), tokens: self.tokens }
    }
}

/// Orders what is equal otherwise: a hash of the id (FNV-1a, folded), the same on every replica.
pub fn tie(id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 32)
}
