//! What HTTP asks of bytes that never change: which format, which part, and whether they are there already.

use super::{Fault, JPEG, WEBP};
use jangteo_core::Result;
use std::ops::Range;

/// For ever, for anybody: another picture has another address.
pub const CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// WebP for whoever names it and doesn't like JPEG better, else JPEG, which everybody can show.
pub fn format(accept: Option<&str>) -> &'static str {
    let weight = |media: &str| {
        let items = accept.unwrap_or("").split(',');
        let found = items
            .map(|item| item.split(';').map(str::trim))
            .find_map(|mut parts| parts.next().filter(|range| range.eq_ignore_ascii_case(media)).map(|_| parts));
        found.map(|mut parts| parts.find_map(|p| p.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0)))
    };
    match (weight(WEBP), weight(JPEG)) {
        (Some(webp), jpeg) if webp > 0.0f32 && webp >= jpeg.unwrap_or(0.0) => WEBP,
        _ => JPEG,
    }
}

/// Whether one of the tags in `If-None-Match` is this one. RFC 9110, 13.1.2: weak comparison.
pub fn is_known(if_none_match: Option<&str>, etag: &str) -> bool {
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if_none_match.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == "*" || weak(tag) == etag))
}

/// The part that is asked for; `None`: all of it. What can't be understood, and several parts at once, are as if nobody
/// had asked (RFC 9110, 14.2); a part beyond the end is refused.
pub fn part(range: Option<&str>, if_range: Option<&str>, etag: &str, size: u64) -> Result<Option<Range<u64>>> {
    if if_range.is_some_and(|tag| tag != etag) {
        return Ok(None);
    }
    let Some((from, to)) = range.and_then(|r| r.strip_prefix("bytes=")).and_then(|r| r.trim().split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let found = match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => from..to.saturating_add(1).min(size),
        (Some(from), None) if to.trim().is_empty() => from..size,
        (None, Some(last)) if from.trim().is_empty() => size.saturating_sub(last)..size,
        _ => return Ok(None),
    };
    match found.start < found.end {
        true => Ok(Some(found)),
        false => Err(Fault::RangeNotSatisfiable { size }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (accept, expected) in [
            (None, JPEG),
            (Some("*/*"), JPEG),
            (Some("image/avif,image/webp,image/apng,*/*;q=0.8"), WEBP),
            (Some("image/jpeg"), JPEG),
            (Some("image/webp;q=0, image/*"), JPEG),
            (Some("image/webp;q=0.5, image/jpeg"), JPEG),
            (Some("IMAGE/WEBP, image/jpeg"), WEBP),
        ] {
            assert_eq!(format(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn parts() {
        let of = |range: &str| part(Some(range), None, "\"x\"", 10);
        for (range, expected) in [
            ("bytes=0-3", Some(0..4)),
            ("bytes=4-", Some(4..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=-99", Some(0..10)),
            ("bytes=9-99", Some(9..10)),
            ("bytes=0-18446744073709551615", Some(0..10)),
            ("bytes=5-4", None),
            ("bytes=0-1,4-5", None),
            ("bytes=a-b", None),
            ("bytes=-", None),
            ("items=0-1", None),
        ] {
            assert_eq!(of(range).unwrap(), expected, "{range}");
        }
        for beyond in ["bytes=10-", "bytes=10-11", "bytes=-0"] {
            assert_eq!(of(beyond).unwrap_err().reason(), "RANGE_NOT_SATISFIABLE", "{beyond}");
        }
        assert_eq!(part(Some("bytes=0-3"), Some("\"old\""), "\"x\"", 10).unwrap(), None);
        assert_eq!(part(Some("bytes=0-3"), Some("\"x\""), "\"x\"", 10).unwrap(), Some(0..4));
        assert_eq!(part(None, None, "\"x\"", 10).unwrap(), None);
    }

    #[test]
    fn tags() {
        for tags in ["\"x\"", "W/\"x\"", "\"a\", \"x\"", "*"] {
            assert!(is_known(Some(tags), "\"x\""), "{tags}");
        }
        assert!(!is_known(Some("\"xy\""), "\"x\"") && !is_known(None, "\"x\""));
    }
}
