//! From the bytes that were uploaded to those that are shown: turned upright, made smaller, written anew. Only pixels pass,
//! so neither place nor camera nor anything hidden behind the picture does.

use super::{JPEG, VARIANTS, WEBP, sniff};
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{
    DynamicImage, ExtendedColorType, GenericImageView, ImageDecoder, ImageFormat, ImageReader, Limits,
    codecs::jpeg::JpegEncoder, imageops, metadata::Orientation,
};
use std::io::Cursor;

/// Longer sides are refused, however short the other one is.
const MAX_SIDE: u32 = 30_000;
const JPEG_QUALITY: u8 = 82;
const WEBP_QUALITY: f32 = 78.0;

/// What is made of a picture.
#[derive(Debug, Clone)]
pub struct Made {
    /// Upright, before it was made smaller.
    pub width: u32,
    pub height: u32,
    pub perceptual_hash: u64,
    /// Each variant in each format.
    pub files: Vec<File>,
}

#[derive(Debug, Clone)]
pub struct File {
    pub variant: &'static str,
    pub content_type: &'static str,
    pub width: u32,
    pub height: u32,
    pub bytes: Vec<u8>,
}

/// Why nothing can be made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Unreadable,
    TooManyPixels,
}

/// Whether a decoder may be let at a picture of this size.
pub fn fits(width: u32, height: u32, max_pixels: u64) -> bool {
    width <= MAX_SIDE && height <= MAX_SIDE && u64::from(width) * u64::from(height) <= max_pixels
}

/// Takes processor time and up to 12 bytes a pixel: never on a thread that serves others.
pub fn make(bytes: &[u8], max_pixels: u64) -> Result<Made, Refusal> {
    let (picture, orientation) = decode(bytes, max_pixels)?;
    let (mut width, mut height) = picture.dimensions();
    // Turning is cheaper when it is small.
    let mut full = fit(&picture, VARIANTS[2].side)?;
    drop(picture);
    full.apply_orientation(orientation);
    if matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    ) {
        std::mem::swap(&mut width, &mut height);
    }
    let card = fit(&full, VARIANTS[1].side)?;
    let thumbnail = fit(&card, VARIANTS[0].side)?;
    let mut files = Vec::new();
    for (variant, picture) in VARIANTS.iter().zip([&thumbnail, &card, &full]) {
        for content_type in [WEBP, JPEG] {
            let (width, height) = picture.dimensions();
            let bytes = if content_type == WEBP { webp(picture)? } else { jpeg(picture)? };
            files.push(File { variant: variant.name, content_type, width, height, bytes });
        }
    }
    Ok(Made { width, height, perceptual_hash: dhash(&thumbnail), files })
}

/// As RGB, or RGBA where something shines through; the first frame of what moves.
fn decode(bytes: &[u8], max_pixels: u64) -> Result<(DynamicImage, Orientation), Refusal> {
    let kind = sniff::kind(bytes).ok_or(Refusal::Unreadable)?;
    // Before a decoder sees it: what a header claims is what a decoder allocates.
    let (width, height) = sniff::dimensions(kind, bytes).ok_or(Refusal::Unreadable)?;
    if !fits(width, height, max_pixels) {
        return Err(Refusal::TooManyPixels);
    }
    if width == 0 || height == 0 || (kind == sniff::Kind::Jpeg && !sniff::jpeg_is_whole(bytes)) {
        return Err(Refusal::Unreadable);
    }
    let format = match kind {
        sniff::Kind::Jpeg => ImageFormat::Jpeg,
        sniff::Kind::Png => ImageFormat::Png,
        sniff::Kind::Webp => ImageFormat::WebP,
        sniff::Kind::Gif => ImageFormat::Gif,
    };
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(max_pixels.saturating_mul(8).saturating_add(16 << 20));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let unreadable = |_| Refusal::Unreadable;
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    if decoder.dimensions() != (width, height) {
        return Err(Refusal::Unreadable);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    let picture = match picture.color().has_alpha() {
        true => DynamicImage::ImageRgba8(picture.into_rgba8()),
        false => DynamicImage::ImageRgb8(picture.into_rgb8()),
    };
    Ok((picture, orientation))
}

/// Made smaller until neither side is longer.
fn fit(picture: &DynamicImage, side: u32) -> Result<DynamicImage, Refusal> {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    if longer <= side {
        return Ok(picture.clone());
    }
    let scaled = |n: u32| u32::try_from(u64::from(n) * u64::from(side) / u64::from(longer)).unwrap_or(side).max(1);
    let mut small = DynamicImage::new(scaled(width), scaled(height), picture.color());
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize(picture, &mut small, &options).map_err(|_| Refusal::Unreadable)?;
    Ok(small)
}

fn webp(picture: &DynamicImage) -> Result<Vec<u8>, Refusal> {
    let (width, height) = picture.dimensions();
    let encoder = match picture {
        DynamicImage::ImageRgba8(p) => webp::Encoder::from_rgba(p.as_raw(), width, height),
        DynamicImage::ImageRgb8(p) => webp::Encoder::from_rgb(p.as_raw(), width, height),
        _ => return Err(Refusal::Unreadable),
    };
    encoder.encode_simple(false, WEBP_QUALITY).map(|bytes| bytes.to_vec()).map_err(|_| Refusal::Unreadable)
}

/// What shines through is white.
fn jpeg(picture: &DynamicImage) -> Result<Vec<u8>, Refusal> {
    let (width, height) = picture.dimensions();
    let opaque = match picture {
        DynamicImage::ImageRgba8(p) => {
            let over = |c: u8, a: u8| ((u32::from(c) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
            p.pixels().flat_map(|p| [over(p[0], p[3]), over(p[1], p[3]), over(p[2], p[3])]).collect()
        }
        other => other.to_rgb8().into_raw(),
    };
    let mut out = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut out, JPEG_QUALITY);
    encoder.encode(&opaque, width, height, ExtendedColorType::Rgb8).map_err(|_| Refusal::Unreadable)?;
    Ok(out)
}

/// Whether each of 8 x 8 points is darker than its neighbour: alike for pictures that look alike.
/// <https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html>
fn dhash(picture: &DynamicImage) -> u64 {
    let grey = imageops::resize(&picture.to_luma8(), 9, 8, imageops::FilterType::Triangle);
    let mut hash = 0;
    for y in 0..8 {
        for x in 0..8 {
            hash = hash << 1 | u64::from(grey.get_pixel(x, y)[0] < grey.get_pixel(x + 1, y)[0]);
        }
    }
    hash
}
