//! Text forms of Timestamp, Duration and FieldMask (`google/protobuf/{timestamp,duration,field_mask}.proto`).

use crate::error::{Error, Kind, Result};

/// 0001-01-01T00:00:00Z
const MIN_SECONDS: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z
const MAX_SECONDS: i64 = 253_402_300_799;
/// Ten thousand years.
const MAX_DURATION: i64 = 315_576_000_000;
const NANOS: i32 = 1_000_000_000;
const DAY: i64 = 86_400;

fn bad(message: &str) -> Error {
    Error::new(Kind::Format, message)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Exactly `len` digits at `at`.
fn digits(text: &[u8], at: usize, len: usize) -> Option<i64> {
    text.get(at..at + len)?
        .iter()
        .try_fold(0, |v, b| if b.is_ascii_digit() { Some(v * 10 + i64::from(b - b'0')) } else { None })
}

/// One to nine digits of a fraction as nanoseconds.
fn fraction(digits: &[u8]) -> Option<i32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let v = digits.iter().try_fold(0i32, |v, b| b.is_ascii_digit().then(|| v * 10 + i32::from(b - b'0')))?;
    Some(v * 10i32.pow(9 - digits.len() as u32))
}

/// RFC 3339 with upper-case `T` and `Z` -> seconds and nanoseconds since the epoch.
pub(crate) fn parse_timestamp(text: &str) -> Result<(i64, i32)> {
    let error = || bad("not an RFC 3339 timestamp, as \"2026-01-31T09:30:00Z\"");
    let b = text.as_bytes();
    let field = |at, len| digits(b, at, len).ok_or_else(error);
    let sign = |at: usize, c: u8| if b.get(at) == Some(&c) { Ok(()) } else { Err(error()) };
    let (year, month, day) = (field(0, 4)?, field(5, 2)?, field(8, 2)?);
    let (hour, minute, second) = (field(11, 2)?, field(14, 2)?, field(17, 2)?);
    sign(4, b'-')?;
    sign(7, b'-')?;
    sign(10, b'T')?;
    sign(13, b':')?;
    sign(16, b':')?;
    let mut at = 19;
    let mut nanos = 0;
    if b.get(at) == Some(&b'.') {
        let end = at + 1 + b[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        nanos = fraction(&b[at + 1..end]).ok_or_else(error)?;
        at = end;
    }
    let offset = match (b.get(at), b.len() - at) {
        (Some(b'Z'), 1) => 0,
        (Some(c @ (b'+' | b'-')), 6) => {
            sign(at + 3, b':')?;
            let (hours, minutes) = (field(at + 1, 2)?, field(at + 4, 2)?);
            if hours > 23 || minutes > 59 {
                return Err(error());
            }
            let offset = (hours * 60 + minutes) * 60;
            if *c == b'-' { -offset } else { offset }
        }
        _ => return Err(error()),
    };
    let valid = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return Err(Error::new(Kind::Range, "no such date or time of day"));
    }
    let seconds = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset;
    if (MIN_SECONDS..=MAX_SECONDS).contains(&seconds) {
        Ok((seconds, nanos))
    } else {
        Err(Error::new(Kind::Range, "timestamp outside of the years 1 to 9999"))
    }
}

fn two(v: i64) -> [u8; 2] {
    [b'0' + (v / 10) as u8, b'0' + (v % 10) as u8]
}

/// `.123`, `.123456`, `.123456789` or nothing.
fn write_fraction(nanos: u32, out: &mut Vec<u8>) {
    if nanos == 0 {
        return;
    }
    let mut digits = [b'0'; 10];
    digits[0] = b'.';
    let mut v = nanos;
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (v % 10) as u8;
        v /= 10;
    }
    let len = if nanos.is_multiple_of(1_000_000) {
        4
    } else if nanos.is_multiple_of(1000) {
        7
    } else {
        10
    };
    out.extend_from_slice(&digits[..len]);
}

pub(crate) fn write_timestamp(seconds: i64, nanos: i32, out: &mut Vec<u8>) -> Result<()> {
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) || !(0..NANOS).contains(&nanos) {
        return Err(Error::new(Kind::Unrepresentable, "timestamp out of range"));
    }
    let (year, month, day) = civil_from_days(seconds.div_euclid(DAY));
    let time = seconds.rem_euclid(DAY);
    let mut text = *b"\"0000-00-00T00:00:00";
    text[1..3].copy_from_slice(&two(year / 100));
    text[3..5].copy_from_slice(&two(year % 100));
    text[6..8].copy_from_slice(&two(month));
    text[9..11].copy_from_slice(&two(day));
    text[12..14].copy_from_slice(&two(time / 3600));
    text[15..17].copy_from_slice(&two(time / 60 % 60));
    text[18..20].copy_from_slice(&two(time % 60));
    out.extend_from_slice(&text);
    write_fraction(nanos as u32, out);
    out.extend_from_slice(b"Z\"");
    Ok(())
}

/// `-1.5s` -> seconds and nanoseconds of the same sign.
pub(crate) fn parse_duration(text: &str) -> Result<(i64, i32)> {
    let error = || bad("not a duration in seconds, as \"1.5s\"");
    let body = text.strip_suffix('s').ok_or_else(error)?;
    let (negative, body) = body.strip_prefix('-').map_or((false, body), |rest| (true, rest));
    let (whole, nanos) = match body.split_once('.') {
        Some((whole, digits)) => (whole, fraction(digits.as_bytes()).ok_or_else(error)?),
        None => (body, 0),
    };
    if whole.is_empty() || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return Err(error());
    }
    let seconds = whole.parse::<i64>().unwrap_or(i64::MAX);
    if seconds > MAX_DURATION {
        return Err(Error::new(Kind::Range, "duration longer than 315576000000s"));
    }
    Ok(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

pub(crate) fn write_duration(seconds: i64, nanos: i32, out: &mut Vec<u8>) -> Result<()> {
    let mixed = (seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0);
    if mixed || seconds.unsigned_abs() > MAX_DURATION as u64 || nanos.unsigned_abs() >= NANOS as u32 {
        return Err(Error::new(Kind::Unrepresentable, "duration out of range"));
    }
    out.push(b'"');
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(seconds.unsigned_abs()).as_bytes());
    write_fraction(nanos.unsigned_abs(), out);
    out.extend_from_slice(b"s\"");
    Ok(())
}

/// How the paths of a FieldMask may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaskStyle {
    /// JSON: camel case only.
    Camel,
    /// A query parameter: proto names as well.
    Any,
}

/// One comma-separated path of a mask's text -> proto names.
pub(crate) fn write_mask_path(path: &str, style: MaskStyle, out: &mut Vec<u8>) -> Result<()> {
    if path.is_empty() {
        return Err(bad("empty path in a field mask"));
    }
    for b in path.bytes() {
        match b {
            b'A'..=b'Z' => out.extend_from_slice(&[b'_', b.to_ascii_lowercase()]),
            b'a'..=b'z' | b'0'..=b'9' | b'.' => out.push(b),
            b'_' if style == MaskStyle::Any => out.push(b),
            b'_' => return Err(bad("field mask paths are lowerCamelCase in JSON")),
            _ => return Err(bad("character that no field mask path has")),
        }
    }
    Ok(())
}

/// A proto path of a mask -> lowerCamelCase. Refuses a path that would not come back the same.
pub(crate) fn write_mask_json(path: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let refuse = || Error::new(Kind::Unrepresentable, "field mask path that JSON cannot carry");
    if path.is_empty() {
        return Err(refuse());
    }
    let mut bytes = path.iter();
    while let Some(&b) = bytes.next() {
        match b {
            b'_' => match bytes.next() {
                Some(next @ b'a'..=b'z') => out.push(next.to_ascii_uppercase()),
                _ => return Err(refuse()),
            },
            b'a'..=b'z' | b'0'..=b'9' | b'.' => out.push(b),
            _ => return Err(refuse()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(f: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<String> {
        let mut out = Vec::new();
        f(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_day_goes_there_and_back() {
        let mut day = MIN_SECONDS / DAY;
        while day <= MAX_SECONDS / DAY {
            let (y, m, d) = civil_from_days(day);
            assert_eq!(days_from_civil(y, m, d), day);
            day += 13;
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(11_016), (2000, 2, 29));
    }

    #[test]
    fn timestamps() {
        assert_eq!(parse_timestamp("1970-01-01T00:00:00Z").unwrap(), (0, 0));
        assert_eq!(parse_timestamp("1969-12-31T23:59:59.5Z").unwrap(), (-1, 500_000_000));
        assert_eq!(parse_timestamp("2000-02-29T00:00:00+09:00").unwrap(), (951_782_400 - 32_400, 0));
        assert_eq!(text(|o| write_timestamp(-62_135_596_800, 0, o)).unwrap(), "\"0001-01-01T00:00:00Z\"");
        assert_eq!(text(|o| write_timestamp(253_402_300_799, 1000, o)).unwrap(), "\"9999-12-31T23:59:59.000001Z\"");
        assert!(write_timestamp(253_402_300_800, 0, &mut Vec::new()).is_err());
        assert!(write_timestamp(0, -1, &mut Vec::new()).is_err());
        for bad in ["", "Z", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01T00:00:00.Z", "１９７０-01-01T00:00:00Z"]
        {
            assert!(parse_timestamp(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("-0.5s").unwrap(), (0, -500_000_000));
        assert_eq!(parse_duration("315576000000.999999999s").unwrap(), (MAX_DURATION, 999_999_999));
        for bad in ["", "s", "1", "+1s", "1.s", ".5s", "1.0000000000s", "--1s", "1e3s", "99999999999999999999s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(text(|o| write_duration(0, -1, o)).unwrap(), "\"-0.000000001s\"");
        assert_eq!(text(|o| write_duration(3, 0, o)).unwrap(), "\"3s\"");
        assert!(write_duration(1, -1, &mut Vec::new()).is_err());
        assert!(write_duration(i64::MIN, i32::MIN, &mut Vec::new()).is_err());
    }

    #[test]
    fn masks() {
        assert_eq!(text(|o| write_mask_path("fooBar.bazQux", MaskStyle::Camel, o)).unwrap(), "foo_bar.baz_qux");
        assert!(write_mask_path("foo_bar", MaskStyle::Camel, &mut Vec::new()).is_err());
        assert_eq!(text(|o| write_mask_path("foo_bar", MaskStyle::Any, o)).unwrap(), "foo_bar");
        assert_eq!(text(|o| write_mask_json(b"foo_bar.b2", o)).unwrap(), "fooBar.b2");
        for bad in ["fooBar", "foo__bar", "foo_3", "foo_", "foo bar"] {
            assert!(write_mask_json(bad.as_bytes(), &mut Vec::new()).is_err(), "{bad}");
        }
    }
}
