//! What is made of pixels and metadata, without a store.

use crate::support::{encoded, picture};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use media::domain::picture::{Made, Refusal, make};

const MAX: u64 = 50_000_000;
const SECRET: &[u8] = b"37.5665N 126.9780E taken by somebody";

/// A TIFF with an orientation, a description that tells too much, and a pointer to a GPS directory.
fn exif(orientation: u16) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x03\0".to_vec();
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    tiff.extend(entry(0x010e, 2, SECRET.len() as u32, 50));
    tiff.extend(entry(0x0112, 3, 1, orientation.into()));
    tiff.extend(entry(0x8825, 4, 1, 50 + SECRET.len() as u32));
    tiff.extend([0; 4]);
    assert_eq!(tiff.len(), 50);
    tiff.extend(SECRET);
    tiff.extend(b"\x01\0\x01\0\x02\0\x02\0\0\0N\0\0\0\0\0\0\0");
    tiff
}

fn jpeg_with(exif: &[u8], picture: &DynamicImage) -> Vec<u8> {
    let jpeg = encoded(picture, ImageFormat::Jpeg);
    let segment = [b"Exif\0\0", exif].concat();
    let mut out = jpeg[..2].to_vec();
    out.extend([0xff, 0xe1]);
    out.extend((segment.len() as u16 + 2).to_be_bytes());
    out.extend(segment);
    out.extend([0xff, 0xfe, 0, SECRET.len() as u8 + 2]);
    out.extend(SECRET);
    out.extend(&jpeg[2..]);
    out.extend(SECRET);
    out
}

fn png_with(exif: &[u8], picture: &DynamicImage) -> Vec<u8> {
    let png = encoded(picture, ImageFormat::Png);
    let chunk = [b"eXIf", exif].concat();
    let crc = !chunk.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    // Behind the header, which is 33 bytes long.
    [&png[..33], &(exif.len() as u32).to_be_bytes(), &chunk, &crc.to_be_bytes(), &png[33..]].concat()
}

/// Red in the upper left corner, blue elsewhere; wider than high.
fn marked() -> DynamicImage {
    let pixel = |x, y| if x < 100 && y < 100 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) };
    DynamicImage::ImageRgb8(RgbImage::from_fn(400, 200, pixel))
}

fn file(made: &Made, variant: &str, content_type: &str) -> DynamicImage {
    let file = made.files.iter().find(|f| f.variant == variant && f.content_type == content_type).unwrap();
    image::load_from_memory(&file.bytes).unwrap()
}

#[test]
fn pictures_are_turned_upright_and_bear_no_metadata() {
    // Where EXIF's orientations 1 to 8 put the corner that is stored first, and whether height and width change places.
    let table = [
        ("upper left", false),
        ("upper right", false),
        ("lower right", false),
        ("lower left", false),
        ("upper left", true),
        ("upper right", true),
        ("lower right", true),
        ("lower left", true),
    ];
    for (n, (corner, turned)) in table.into_iter().enumerate() {
        let exif = exif(n as u16 + 1);
        for bytes in [jpeg_with(&exif, &marked()), png_with(&exif, &marked())] {
            assert!(bytes.windows(SECRET.len()).any(|w| w == SECRET));
            let made = make(&bytes, MAX).unwrap();
            let (width, height) = if turned { (200, 400) } else { (400, 200) };
            assert_eq!((made.width, made.height), (width, height), "{}", n + 1);
            for content_type in ["image/jpeg", "image/webp"] {
                let full = file(&made, "full", content_type).to_rgb8();
                assert_eq!(full.dimensions(), (width, height));
                let corners = [
                    ("upper left", (20, 20)),
                    ("upper right", (width - 20, 20)),
                    ("lower left", (20, height - 20)),
                    ("lower right", (width - 20, height - 20)),
                ];
                for (name, (x, y)) in corners {
                    let red = full.get_pixel(x, y)[0] > 128;
                    assert_eq!(red, name == corner, "{content_type} {}: {name}", n + 1);
                }
            }
            for file in &made.files {
                for trace in [SECRET, b"Exif", b"EXIF", b"http://ns.adobe.com", b"ICC_PROFILE"] {
                    assert!(!file.bytes.windows(trace.len()).any(|w| w == trace), "{} {trace:?}", file.variant);
                }
            }
        }
    }
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    let mut png = encoded(&picture(1, 10, 10), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    assert_eq!(make(&png, MAX).unwrap_err(), Refusal::TooManyPixels, "30,000 x 30,000");
    png[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]);
    assert_eq!(make(&png, MAX).unwrap_err(), Refusal::TooManyPixels);
    png[16..24].copy_from_slice(&[0; 8]);
    assert_eq!(make(&png, MAX).unwrap_err(), Refusal::Unreadable);
    let gif = b"GIF89a\xff\xff\xff\xff\0\0\0".to_vec();
    assert_eq!(make(&gif, MAX).unwrap_err(), Refusal::TooManyPixels);
    let webp = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff".to_vec();
    assert_eq!(make(&webp, MAX).unwrap_err(), Refusal::TooManyPixels);
    assert!(make(&encoded(&picture(1, 100, 100), ImageFormat::Gif), 10_000).is_ok());
    assert!(make(&encoded(&picture(1, 101, 100), ImageFormat::Gif), 10_000).is_err());
}

#[test]
fn pictures_that_look_alike_have_hashes_that_are_alike() {
    let hash = |p: &DynamicImage, format| make(&encoded(p, format), MAX).unwrap().perceptual_hash;
    let scene = |n: u32| {
        let pixel = |x: u32, y: u32| {
            let wave = ((f64::from(x * (n + 1)) / 45.0).sin() + (f64::from(y) * f64::from(n + 2) / 35.0).cos()) * 60.0;
            Rgb([(128.0 + wave) as u8; 3])
        };
        DynamicImage::ImageRgb8(RgbImage::from_fn(400, 300, pixel))
    };
    let original = hash(&scene(1), ImageFormat::Png);
    let copies = [
        hash(&scene(1), ImageFormat::Jpeg),
        hash(&scene(1).resize_exact(300, 225, image::imageops::FilterType::Triangle), ImageFormat::Jpeg),
        hash(&scene(1).brighten(20), ImageFormat::Png),
    ];
    for copy in copies {
        assert!((original ^ copy).count_ones() <= 6, "{original:016x} {copy:016x}");
    }
    let other = hash(&scene(4), ImageFormat::Png);
    assert!((original ^ other).count_ones() > 15, "{original:016x} {other:016x}");
}

#[test]
fn damaged_bytes_never_panic() {
    let mut state = 7u32;
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let bytes = encoded(&picture(3, 60, 40), format);
        for _ in 0..60 {
            let mut damaged = bytes.clone();
            for _ in 0..4 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % damaged.len();
                damaged[at] = state as u8;
            }
            let _ = make(&damaged, 1_000_000);
        }
    }
}
