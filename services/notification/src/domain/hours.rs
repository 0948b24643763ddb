//! Hours of the day where a person lives: when it is quiet, and when digests come.

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone, Timelike, Weekday};
use chrono_tz::Tz;
use jangteo_core::Time;

pub const SEOUL: Tz = Tz::Asia__Seoul;

/// A part of every day in minutes since midnight. An end before the start is one of the next day; without any time
/// between them there is no such part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub start: u32,
    pub end: u32,
}

/// Article 50 (3) of the Korean Network Act: no advertising from nine in the evening to eight in the morning without a
/// consent to just that. E-mail is exempt.
pub const NO_ADVERTISING: Window = Window { start: 21 * 60, end: 8 * 60 };

/// Digests come at nine.
const DIGEST: NaiveTime = NaiveTime::from_hms_opt(9, 0, 0).expect("a time of the day");

impl Window {
    fn contains(self, minute: u32) -> bool {
        if self.start <= self.end {
            (self.start..self.end).contains(&minute)
        } else {
            minute >= self.start || minute < self.end
        }
    }
}

/// `22:30` as minutes since midnight.
pub fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

pub fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// When it is no longer quiet; `None`: it isn't now.
pub fn quiet_until(now: Time, zone: Tz, windows: &[Window]) -> Option<Time> {
    let mut at = now;
    // The end of one window may lie in another; together they may leave no time of the day.
    for _ in 0..=windows.len() {
        let local = at.with_timezone(&zone);
        let minute = local.hour() * 60 + local.minute();
        match windows.iter().find(|w| w.contains(minute)) {
            Some(window) => at = next(at, zone, NaiveTime::MIN + TimeDelta::minutes(window.end.into()), |_| true),
            None => break,
        }
    }
    (at > now).then_some(at)
}

/// When the next digest is due.
pub fn next_digest(now: Time, zone: Tz, weekly: bool) -> Time {
    next(now, zone, DIGEST, |day| !weekly || day.weekday() == Weekday::Mon)
}

/// The next time after `now` at which clocks in `zone` show `time` on a day that fits.
fn next(now: Time, zone: Tz, time: NaiveTime, fits: impl Fn(&NaiveDate) -> bool) -> Time {
    let today = now.with_timezone(&zone).date_naive();
    let days = (0..=8).filter_map(|n| today.checked_add_days(Days::new(n))).filter(fits);
    days.flat_map(|day| shown(zone, day, time)).find(|t| *t > now).unwrap_or(now + TimeDelta::days(1))
}

/// When clocks show a time on a day: twice where an hour comes twice; where it is skipped, right after the gap.
fn shown(zone: Tz, day: NaiveDate, time: NaiveTime) -> Vec<Time> {
    let naive = day.and_time(time);
    let utc = |t: DateTime<Tz>| t.to_utc();
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(t) => vec![utc(t)],
        LocalResult::Ambiguous(first, second) => vec![utc(first), utc(second)],
        // Gaps are an hour as a rule, and a day where the date line moved.
        LocalResult::None => {
            let after = (1..=24 * 60).map(|n| zone.from_local_datetime(&(naive + TimeDelta::minutes(n))));
            after.filter_map(LocalResult::earliest).map(utc).take(1).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NIGHT: Window = Window { start: 22 * 60, end: 8 * 60 };

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn a_night_ends_in_the_morning_whichever_side_of_midnight_it_is() {
        // Seoul is nine hours ahead.
        for (now, until) in [
            ("2026-11-21T13:00:00Z", Some("2026-11-21T23:00:00Z")),
            ("2026-11-21T14:59:59Z", Some("2026-11-21T23:00:00Z")),
            ("2026-11-21T15:30:00Z", Some("2026-11-21T23:00:00Z")),
            ("2026-11-21T22:59:59Z", Some("2026-11-21T23:00:00Z")),
            ("2026-11-21T23:00:00Z", None),
            ("2026-11-21T12:59:59Z", None),
        ] {
            assert_eq!(quiet_until(at(now), SEOUL, &[NIGHT]), until.map(at), "{now}");
        }
        assert_eq!(quiet_until(at("2026-11-21T13:00:00Z"), SEOUL, &[Window { start: 5, end: 5 }]), None);
    }

    #[test]
    fn a_night_in_which_clocks_are_put_forward_ends_at_the_same_hour() {
        // New York skips 02:00 to 03:00 on 8 March 2026.
        let zone = Tz::America__New_York;
        assert_eq!(quiet_until(at("2026-03-08T04:00:00Z"), zone, &[NIGHT]), Some(at("2026-03-08T12:00:00Z")));
        // An end in the hour that is skipped: as soon as clocks show a later one.
        let short = Window { start: 60, end: 150 };
        assert_eq!(quiet_until(at("2026-03-08T06:30:00Z"), zone, &[short]), Some(at("2026-03-08T07:00:00Z")));
    }

    #[test]
    fn a_night_in_which_clocks_are_put_back_ends_at_the_same_hour() {
        // New York has 01:00 to 02:00 twice on 1 November 2026.
        let zone = Tz::America__New_York;
        assert_eq!(quiet_until(at("2026-11-01T03:00:00Z"), zone, &[NIGHT]), Some(at("2026-11-01T13:00:00Z")));
        let short = Window { start: 22 * 60, end: 90 };
        assert_eq!(quiet_until(at("2026-11-01T05:10:00Z"), zone, &[short]), Some(at("2026-11-01T05:30:00Z")));
        // The second 01:10: the first 01:30 is over.
        assert_eq!(quiet_until(at("2026-11-01T06:10:00Z"), zone, &[short]), Some(at("2026-11-01T06:30:00Z")));
    }

    #[test]
    fn windows_that_meet_are_one() {
        let evening = Window { start: 18 * 60, end: 22 * 60 };
        let now = at("2026-11-21T10:00:00Z");
        assert_eq!(quiet_until(now, SEOUL, &[NIGHT, evening]), Some(at("2026-11-21T23:00:00Z")));
        assert_eq!(quiet_until(now, SEOUL, &[evening, NIGHT]), Some(at("2026-11-21T23:00:00Z")));
    }

    #[test]
    fn digests_come_at_nine() {
        // A Saturday, 21:00 in Seoul.
        let now = at("2026-11-21T12:00:00Z");
        assert_eq!(next_digest(now, SEOUL, false), at("2026-11-22T00:00:00Z"));
        assert_eq!(next_digest(now, SEOUL, true), at("2026-11-23T00:00:00Z"));
        assert_eq!(next_digest(at("2026-11-23T00:00:00Z"), SEOUL, true), at("2026-11-30T00:00:00Z"));
    }

    #[test]
    fn times_of_the_day_are_read_as_they_are_written() {
        for text in ["00:00", "08:05", "23:59"] {
            assert_eq!(clock(minute(text).unwrap()), text);
        }
        assert_eq!([minute("24:00"), minute("12:60"), minute("x")], [None; 3]);
    }

    proptest! {
        #[test]
        fn after_quiet_hours_it_is_not_quiet(
            seconds in 1_700_000_000i64..1_900_000_000, start in 0u32..1440, end in 0u32..1440, zone in 0usize..4,
        ) {
            let zone = [SEOUL, Tz::America__New_York, Tz::Australia__Lord_Howe, Tz::UTC][zone];
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            if let Some(until) = quiet_until(now, zone, &[Window { start, end }]) {
                prop_assert!(until > now && until - now <= TimeDelta::hours(25));
                prop_assert_eq!(quiet_until(until, zone, &[Window { start, end }]), None);
            }
        }
    }
}
