//! Pictures go out.

use crate::support::{World, encoded, picture};
use image::ImageFormat;
use testbed::Kind;

pub async fn bytes_never_change_and_can_be_had_in_parts(kind: Kind) {
    let w = World::new(kind).await;
    // Noise, so that a variant is larger than what is read at a time.
    let mut noise = picture(1, 1100, 800).to_rgb8();
    let mut state = 1u32;
    noise.pixels_mut().for_each(|p| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        p.0 = [(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8];
    });
    let id = w.ready(&encoded(&noise.into(), ImageFormat::Jpeg)).await.media_id;
    let (reply, content_type, whole) = w.content(&id, "full", &[]).await.unwrap();
    assert_eq!((reply.status, content_type.as_str()), (200, "image/jpeg"));
    assert!(whole.len() > 540_000, "{}", whole.len());
    let said = |name: &str| reply.headers[name].clone();
    assert_eq!(said("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!((said("accept-ranges"), said("vary")), ("bytes".to_owned(), "accept".to_owned()));
    assert_eq!(said("content-length"), whole.len().to_string());
    let etag = said("etag");

    let (known, _, none) = w.content(&id, "full", &[("if-none-match", &etag)]).await.unwrap();
    assert_eq!((known.status, &known.headers["etag"], none.len()), (304, &etag, 0));
    let (other, ..) = w.content(&id, "full", &[("if-none-match", &etag), ("accept", "image/webp")]).await.unwrap();
    assert_eq!(other.status, 200, "another format is another picture");

    for (range, from, to) in
        [("bytes=0-99", 0, 100), ("bytes=100-500000", 100, 500_001), ("bytes=-7", whole.len() - 7, whole.len())]
    {
        let (reply, _, part) = w.content(&id, "full", &[("range", range), ("if-range", &etag)]).await.unwrap();
        assert_eq!((reply.status, part == whole[from..to]), (206, true), "{range}");
        assert_eq!(reply.headers["content-range"], format!("bytes {from}-{}/{}", to - 1, whole.len()));
        assert_eq!(reply.headers["content-length"], (to - from).to_string());
    }
    let (stale, _, bytes) = w.content(&id, "full", &[("range", "bytes=0-9"), ("if-range", "\"old\"")]).await.unwrap();
    assert_eq!((stale.status, bytes.len()), (200, whole.len()));
    let beyond = w.content(&id, "full", &[("range", "bytes=99999999-")]).await.unwrap_err();
    assert_eq!((beyond.reason(), &beyond.metadata()["size"]), ("RANGE_NOT_SATISFIABLE", &whole.len().to_string()));
}

pub async fn accept_chooses_the_format(kind: Kind) {
    let w = World::new(kind).await;
    let id = w.ready(&encoded(&picture(1, 800, 600), ImageFormat::Jpeg)).await.media_id;
    let (webp, kind_of_webp, small) = w.content(&id, "card", &[("accept", "image/webp,*/*;q=0.8")]).await.unwrap();
    let (jpeg, kind_of_jpeg, large) = w.content(&id, "card", &[("accept", "*/*")]).await.unwrap();
    assert_eq!((kind_of_webp.as_str(), kind_of_jpeg.as_str()), ("image/webp", "image/jpeg"));
    assert_ne!(webp.headers["etag"], jpeg.headers["etag"]);
    assert!(small.len() < large.len(), "{} {}", small.len(), large.len());
}
