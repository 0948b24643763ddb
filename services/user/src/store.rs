//! Rows and how they become messages; the only file that knows the ORM. What is personal is sealed here and opened here.

pub mod address;
pub mod consent;
pub mod points;
pub mod profile;

use jangteo_core::{Error, Result};
use kit::db::crypt::PersonKey;
use prost::Message;

/// Messages with what is personal, sealed for the table and the column named here.
pub struct Sealed(pub &'static str, pub &'static str);

impl Sealed {
    pub fn seal<M: Message>(&self, key: &PersonKey, message: &M) -> Result<Vec<u8>> {
        key.seal(self.0, self.1, &message.encode_to_vec())
    }

    pub fn open<M: Message + Default>(&self, key: &PersonKey, sealed: &[u8]) -> Result<M> {
        M::decode(key.open(self.0, self.1, sealed)?.as_slice()).map_err(Error::internal)
    }
}
