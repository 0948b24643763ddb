//! What a picture is, what is made of it, and why it is refused.

pub mod picture;
pub mod serving;
pub mod sniff;

use jangteo_core::{Entity, Id, faults};

/// A picture that somebody uploaded.
#[derive(Debug)]
pub struct Media;

impl Entity for Media {
    const NAME: &'static str = "media";
    const PREFIX: &'static str = "med";
}

pub type MediaId = Id<Media>;

faults! {
    /// Why pictures are refused.
    pub enum Fault in "media.jangteo" {
        PayloadTooLarge { limit: u64 } = ResourceExhausted "a picture can't be larger than {limit} bytes",
        TooManyPixels { width: u32, height: u32, limit: u64 } = InvalidArgument
            "{width} x {height} are more than {limit} pixels",
        UnsupportedMediaType = InvalidArgument "send a JPEG, PNG, WebP or GIF",
        EmptyUpload = InvalidArgument "the upload holds no picture",
        OneFileOnly = InvalidArgument "the form holds more than one file",
        BrokenForm { why: String } = InvalidArgument "the form can't be read: {why}",
        MediaNotReady { media_id: String } = FailedPrecondition "the variants of {media_id} are being made",
        RangeNotSatisfiable { size: u64 } = OutOfRange "the picture has {size} bytes",
        PresignUnavailable = FailedPrecondition
            "pictures are kept in a folder here, to which nothing can be uploaded directly; use POST /v1/media",
        NotUploaded { media_id: String } = FailedPrecondition "nothing was uploaded for {media_id}",
        UploadExpired { media_id: String } = FailedPrecondition "the time to upload {media_id} is over",
    }
}

/// A size that every picture is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    pub name: &'static str,
    /// Neither side is longer, in pixels. Nothing is enlarged.
    pub side: u32,
}

/// The smallest first.
pub const VARIANTS: [Variant; 3] = [
    Variant { name: "thumbnail", side: 256 },
    Variant { name: "card", side: 720 },
    Variant { name: "full", side: 2048 },
];

pub const WEBP: &str = "image/webp";
pub const JPEG: &str = "image/jpeg";

/// Where a variant's bytes are.
pub fn object_key(content_hash: &str, generation: &str, variant: &str, content_type: &str) -> String {
    let shelf = content_hash.get(..2).unwrap_or("00");
    let ext = if content_type == WEBP { "webp" } else { "jpg" };
    format!("media/{shelf}/{content_hash}-{generation}-{variant}.{ext}")
}

/// Where its bytes can be asked for.
pub fn path(media_id: &str, variant: &str) -> String {
    format!("/v1/media/{media_id}/{variant}")
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
