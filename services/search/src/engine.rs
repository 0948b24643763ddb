//! Full-text search over any kind of documents: knows no product, no event and no database but the rows that it is given.

pub mod ask;
pub mod collect;
pub mod feed;
pub mod kind;
pub mod live;
mod schema;
pub mod shelf;

pub use feed::{Feed, Step, blocking};
pub use kind::{Column, Document, Kind, Of, Row, Text, Value};
pub use live::{Found, Hit, Live};
pub use shelf::Shelf;
