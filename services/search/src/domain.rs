//! Words, texts and ranks: values in, values out.

pub mod analysis;
pub mod counted;
pub mod hangul;
pub mod highlight;
pub mod place;
pub mod query;
pub mod ranking;
pub mod suggest;
pub mod synonym;
pub mod text;
