//! The rows: media, the contents that they are of, their objects, and what has to be deleted.

pub mod content;
pub mod media;
pub mod object;
