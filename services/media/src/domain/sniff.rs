//! What a file is and how many pixels it claims, from its first bytes alone: nothing is decoded, nothing is allocated, and
//! neither name nor content type is believed.

/// The formats that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Jpeg,
    Png,
    Webp,
    Gif,
}

impl Kind {
    pub fn content_type(self) -> &'static str {
        match self {
            Kind::Jpeg => "image/jpeg",
            Kind::Png => "image/png",
            Kind::Webp => "image/webp",
            Kind::Gif => "image/gif",
        }
    }
}

/// So many bytes tell the kind of any file.
pub const MAGIC: usize = 12;
/// So many are kept to find the dimensions: metadata may stand before them.
pub const HEAD: usize = 256 << 10;

/// <https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern>
pub fn kind(head: &[u8]) -> Option<Kind> {
    match head {
        [0xff, 0xd8, 0xff, ..] => Some(Kind::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Kind::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Kind::Gif),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Kind::Webp),
        _ => None,
    }
}

/// Width and height as the header says; `None`: not in these bytes.
pub fn dimensions(kind: Kind, head: &[u8]) -> Option<(u32, u32)> {
    match kind {
        Kind::Jpeg => match segment(head, 2)? {
            (Segment::Frame(width, height), _) => Some((width, height)),
            (Segment::Scan, _) => None,
        },
        Kind::Png if head.get(12..16)? != b"IHDR" => None,
        Kind::Png => Some((u32::from_be_bytes(four(head, 16)?), u32::from_be_bytes(four(head, 20)?))),
        Kind::Gif => Some((le16(head, 6)?, le16(head, 8)?)),
        Kind::Webp => webp(head),
    }
}

/// Whether a JPEG goes on to its end: the decoder makes up what is missing.
pub fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some((found, next)) = segment(bytes, at) {
        at = next;
        if matches!(found, Segment::Scan) {
            // The end marker can't stand within a scan's data.
            return bytes.get(at..).is_some_and(|data| data.windows(2).any(|pair| pair == [0xff, 0xd9]));
        }
    }
    false
}

enum Segment {
    /// Width and height.
    Frame(u32, u32),
    Scan,
}

/// The next header of a frame or a scan from `at` on, and what comes behind it.
/// <https://www.w3.org/Graphics/JPEG/itu-t81.pdf>, annex B
fn segment(bytes: &[u8], mut at: usize) -> Option<(Segment, usize)> {
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        while *bytes.get(at)? == 0xff {
            at += 1;
        }
        let marker = bytes[at];
        at += 1;
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        let next = at + be16(bytes, at)? as usize;
        match marker {
            0xda => return Some((Segment::Scan, next)),
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf => return Some((Segment::Frame(be16(bytes, at + 5)?, be16(bytes, at + 3)?), next)),
            _ => {}
        }
        at = next;
    }
}

/// <https://developers.google.com/speed/webp/docs/riff_container>
fn webp(head: &[u8]) -> Option<(u32, u32)> {
    match head.get(12..16)? {
        b"VP8X" => Some((le24(head, 24)? + 1, le24(head, 27)? + 1)),
        b"VP8L" => {
            let bits = u32::from_le_bytes(four(head, 21)?);
            (head.get(20) == Some(&0x2f)).then_some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        b"VP8 " => {
            let size = (le16(head, 26)? & 0x3fff, le16(head, 28)? & 0x3fff);
            (head.get(23..26)? == [0x9d, 0x01, 0x2a]).then_some(size)
        }
        _ => None,
    }
}

fn four(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at + 4)?.try_into().ok()
}

fn be16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn le16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at + 3)?;
    Some(u32::from(b[0]) | u32::from(b[1]) << 8 | u32::from(b[2]) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageFormat};
    use std::io::Cursor;

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        DynamicImage::new_rgb8(301, 57).write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn kinds_and_dimensions_of_what_encoders_write() {
        for (format, expected) in [
            (ImageFormat::Jpeg, Kind::Jpeg),
            (ImageFormat::Png, Kind::Png),
            (ImageFormat::WebP, Kind::Webp),
            (ImageFormat::Gif, Kind::Gif),
        ] {
            let bytes = encoded(format);
            assert_eq!(kind(&bytes[..MAGIC]), Some(expected));
            assert_eq!(dimensions(expected, &bytes), Some((301, 57)), "{expected:?}");
            for cut in 0..40 {
                let _ = dimensions(expected, &bytes[..cut]);
            }
        }
        let lossy = webp::Encoder::from_rgb(&[0; 301 * 57 * 3], 301, 57).encode(80.0);
        assert_eq!(dimensions(Kind::Webp, &lossy), Some((301, 57)));
        let extended = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\x2c\x01\0\x38\0\0";
        assert_eq!(dimensions(Kind::Webp, extended), Some((301, 57)));
    }

    #[test]
    fn what_is_no_picture() {
        for bytes in [
            &b"<svg xmlns="[..],
            b"%PDF-1.7\n\n\n\n",
            b"MZ\x90\0\x03\0\0\0\x04\0\0\0",
            b"",
            b"\xff\xd8",
            b"RIFF....WAVE",
        ] {
            assert_eq!(kind(bytes), None);
        }
    }

    #[test]
    fn a_jpeg_that_was_cut_off() {
        let bytes = encoded(ImageFormat::Jpeg);
        assert!(jpeg_is_whole(&bytes));
        assert!(jpeg_is_whole(&[&bytes[..], b"what cameras put behind it"].concat()));
        for cut in [2, 20, bytes.len() / 2, bytes.len() - 2] {
            assert!(!jpeg_is_whole(&bytes[..cut]), "{cut}");
        }
    }
}
