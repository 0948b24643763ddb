//! Every format in, WebP and JPEG out; what can't be read is rejected.

use crate::support::{OWNER, World, encoded, picture, png};
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use proto::jangteo::media::v1::{MediaStatus, RejectReason};
use testbed::{Kind, by};

pub async fn every_format_becomes_webp_and_jpeg(kind: Kind) {
    let w = World::new(kind).await;
    let clear = RgbaImage::from_fn(300, 200, |x, _| Rgba([200, 30, 30, if x < 150 { 0 } else { 255 }]));
    let all = [
        (encoded(&picture(1, 760, 500), ImageFormat::Jpeg), (760, 500)),
        (encoded(&picture(2, 760, 500), ImageFormat::WebP), (760, 500)),
        (encoded(&picture(3, 760, 500), ImageFormat::Gif), (760, 500)),
        (encoded(&DynamicImage::ImageRgba8(clear), ImageFormat::Png), (300, 200)),
        (encoded(&picture(4, 40, 30).to_luma8().into(), ImageFormat::Png), (40, 30)),
        (encoded(&picture(5, 400, 30).to_rgb16().into(), ImageFormat::Png), (400, 30)),
        (encoded(&picture(6, 5000, 1), ImageFormat::Png), (5000, 1)),
    ];
    for (bytes, (width, height)) in all {
        let media = w.ready(&bytes).await;
        assert_eq!((media.width, media.height), (width, height));
        for variant in &media.variants {
            for (accept, content_type, format) in
                [("image/webp", "image/webp", ImageFormat::WebP), ("*/*", "image/jpeg", ImageFormat::Jpeg)]
            {
                let (_, got, bytes) =
                    w.content(&media.media_id, &variant.variant, &[("accept", accept)]).await.unwrap();
                assert_eq!(got, content_type);
                let shown = image::load_from_memory_with_format(&bytes, format).unwrap();
                assert_eq!((shown.width() as i32, shown.height() as i32), (variant.width, variant.height));
                if (width, height) == (300, 200) {
                    let corner = shown.to_rgba8().get_pixel(1, 1).0;
                    let seen_through = if format == ImageFormat::WebP { corner[3] == 0 } else { corner[0] > 245 };
                    assert!(seen_through, "{corner:?}: clear in WebP, white in JPEG");
                }
            }
        }
    }
    assert_eq!(w.check().await, Vec::<String>::new());
}

pub async fn what_can_not_be_read_is_rejected(kind: Kind) {
    let w = World::new(kind).await;
    let mut ids = Vec::new();
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let bytes = encoded(&picture(1, 320, 240), format);
        for cut in [bytes.len() / 2, bytes.len() * 9 / 10] {
            ids.push(w.upload(by(OWNER), &bytes[..cut]).await.unwrap().media_id);
        }
        let mut garbage = bytes;
        let middle = 60..garbage.len();
        garbage[middle].fill(0xa5);
        ids.push(w.upload(by(OWNER), &garbage).await.unwrap().media_id);
    }
    w.settle().await;
    for id in &ids {
        let media = w.get(by(OWNER), id).await.unwrap();
        assert_eq!((media.status(), media.reject_reason()), (MediaStatus::Rejected, RejectReason::Unreadable));
        assert_eq!(w.events(id).await, ["MediaUploaded", "MediaRejected"]);
        assert_eq!(w.content(id, "card", &[]).await.unwrap_err().reason(), "MEDIA_NOT_FOUND");
    }
    assert!(w.keys().await.is_empty());
    assert_eq!(w.check().await, Vec::<String>::new());
    w.delete(by(OWNER), &ids[0]).await.unwrap();
    w.ready(&png(1)).await;
}

/// So much metadata that an upload doesn't see the frame's header: the worker does, before it decodes anything.
pub async fn a_header_that_hides_its_size_is_found_later(kind: Kind) {
    let w = World::with(kind, |c| c.max_pixels = 1_000_000).await;
    let bomb = encoded(&picture(1, 1200, 1000), ImageFormat::Jpeg);
    let mut hidden = bomb[..2].to_vec();
    for _ in 0..6 {
        hidden.extend([0xff, 0xed, 0xff, 0xff]);
        hidden.extend(vec![7; 0xffff - 2]);
    }
    hidden.extend(&bomb[2..]);
    let id = w.upload(by(OWNER), &hidden).await.unwrap().media_id;
    w.settle().await;
    let media = w.get(by(OWNER), &id).await.unwrap();
    assert_eq!((media.status(), media.reject_reason()), (MediaStatus::Rejected, RejectReason::TooManyPixels));
}
