//! What an operator may set.

use serde::Deserialize;
use std::{fmt, path::PathBuf};

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Of a picture as it is uploaded.
    pub max_bytes: u64,
    /// Of a picture, width times height, as its header says. Decoded it takes up to 12 bytes each.
    pub max_pixels: u64,
    /// How many pictures are decoded at once in a process.
    pub decoders: usize,
    /// How long an address to upload to works.
    pub presign_secs: u64,
    /// How old an object must be before the sweeper asks whether a row names it: longer than any upload takes.
    pub orphan_after_secs: u64,
    /// How long a worker may be silent over a picture before another one takes it on.
    pub lease_secs: u64,
    /// How often workers look for pictures that others left behind.
    pub poll_ms: u64,
    /// Where objects are kept without `s3`; all replicas must see the same folder. Default: `media` beside the embedded stores.
    pub folder: Option<PathBuf>,
    /// A bucket of media's own. Let the bucket's lifecycle end multipart uploads that were left unfinished for a day.
    pub s3: Option<S3Config>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_bytes: 20 << 20,
            max_pixels: 50_000_000,
            decoders: 2,
            presign_secs: 900,
            orphan_after_secs: 3600,
            lease_secs: 60,
            poll_ms: 1000,
            folder: None,
            s3: None,
        }
    }
}

/// A bucket of S3 or of what speaks its protocol.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    pub bucket: String,
    #[serde(default = "region")]
    pub region: String,
    /// `https://minio:9000`; default: Amazon's of the region. With `http://` nothing is encrypted on the way.
    #[serde(default)]
    pub endpoint: Option<String>,
    pub access_key_id: String,
    pub secret_access_key: String,
}

fn region() -> String {
    "us-east-1".to_owned()
}

/// Without the key.
impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
