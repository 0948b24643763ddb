//! What can be searched. A new kind is a file with its description, and a line here.

pub mod product;

use crate::engine::Kind;

pub const KINDS: &[&Kind] = &[&product::KIND];
