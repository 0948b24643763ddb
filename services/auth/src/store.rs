//! Auth's rows. The only room that knows the ORM; one file for each noun.
//!
//! Functions that take `&Tx` write; the others read through whatever connection they get. What may happen
//! once only is a compare-and-set, and answers whether this caller won.

pub mod account;
pub mod key;
pub mod mail;
pub mod session;
