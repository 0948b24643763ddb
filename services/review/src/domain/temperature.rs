//! Manner temperature, in thousandths of a degree: everybody starts at 36.5, nobody leaves 0 to 99, and each change
//! has a reason. The temperature is the start and the sum of the changes.
//!
//! A step is what its reason says, times the weight of whose word it is, times the room that is left: above 36.5 a step
//! up shrinks with the distance to 99, below 36.5 a step down shrinks with the distance to 0.

use jangteo_core::Time;
use proto::jangteo::review::v1::TemperatureReason;

pub const START: i64 = 36_500;
pub const CEILING: i64 = 99_000;

/// A seller cancels what was paid.
pub const CANCELLED: i64 = -300;
/// A buyer gets the money of a disputed part back.
pub const DISPUTE_LOST: i64 = -1000;
/// A buyer gets some of it back.
pub const DISPUTE_SHARED: i64 = -500;

/// What a rating of 1 to 5 does at full weight.
pub fn of_rating(rating: i64) -> i64 {
    match rating {
        5 => 500,
        4 => 250,
        2 => -500,
        1 => -1000,
        _ => 0,
    }
}

/// How much a person's word weighs, in percent: 25 in the first week after the registration, 50 in the first month;
/// of that half for nothing, the other half by the person's trust score.
pub fn weight(registered: Time, now: Time, trust: i64) -> i64 {
    let age = match (now - registered).num_days() {
        ..7 => 25,
        7..30 => 50,
        30.. => 100,
    };
    age * (50 + trust.clamp(0, 100) / 2) / 100
}

/// The step from `now`, rounded towards 0.
pub fn step(now: i64, full: i64, weight: i64) -> i64 {
    let (room, whole) = match full {
        0.. => ((CEILING - now).min(CEILING - START), CEILING - START),
        _ => (now.min(START), START),
    };
    full * weight * room / (100 * whole)
}

/// Takes an earlier step back, as far as 0 to 99 allows.
pub fn take_back(now: i64, step: i64) -> i64 {
    (now - step).clamp(0, CEILING) - now
}

/// A line of the account, as the check reads it.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub seq: i64,
    pub delta: i64,
    pub before: i64,
    pub after: i64,
}

/// What is wrong with an account whose last line should lead to `now`.
pub fn audit(changes: &[Change], now: i64, entries: i64) -> Option<String> {
    let mut at = START;
    for (n, change) in changes.iter().enumerate() {
        if change.seq != n as i64 + 1 {
            return Some(format!("line {} is missing", n + 1));
        }
        if change.before != at || change.after != at + change.delta {
            return Some(format!(
                "line {} goes from {} to {} by {}, not from {at}",
                change.seq, change.before, change.after, change.delta
            ));
        }
        at = change.after;
    }
    match (at, changes.len() as i64) == (now, entries) {
        true => None,
        false => Some(format!("{} lines lead to {at}; {now} after {entries} is kept", changes.len())),
    }
}

/// Whether a rater's word counted lately: `recent` are the rater's entries in time, by review and reason.
pub fn counted(recent: &[(String, TemperatureReason)]) -> bool {
    let taken_back =
        |review: &str| recent.iter().any(|(r, why)| r == review && *why == TemperatureReason::ReviewRejected);
    recent.iter().any(|(review, why)| *why == TemperatureReason::Review && !taken_back(review))
}

/// Degrees as people read them.
pub fn degrees(milli: i64) -> f64 {
    milli as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;
    use proptest::prelude::*;

    #[test]
    fn steps_shrink_towards_both_ends() {
        assert_eq!(step(START, 500, 100), 500);
        assert_eq!(step(START, -1000, 100), -1000);
        assert_eq!(step(67_750, 500, 100), 250);
        assert_eq!(step(18_250, -1000, 100), -500);
        assert_eq!(step(10_000, 500, 100), 500);
        assert_eq!((step(CEILING, 500, 100), step(0, -1000, 100)), (0, 0));
        assert_eq!(step(START, 500, 25), 125);
    }

    #[test]
    fn the_young_and_the_unknown_weigh_less() {
        let day = |n: i64| from_micros(n * 86_400_000_000);
        let weigh = |age: i64, trust| weight(day(100), day(100 + age), trust);
        assert_eq!((weigh(0, 0), weigh(6, 100), weigh(7, 100), weigh(29, 0), weigh(30, 40)), (12, 25, 50, 25, 70));
    }

    #[test]
    fn one_word_counts_once_unless_it_was_taken_back() {
        use TemperatureReason::{Review, ReviewRejected};
        let line = |review: &str, why| (review.to_owned(), why);
        assert!(!counted(&[]));
        assert!(counted(&[line("a", Review)]));
        assert!(!counted(&[line("a", Review), line("a", ReviewRejected)]));
        assert!(counted(&[line("a", ReviewRejected), line("b", Review)]));
    }

    proptest! {
        #[test]
        fn nobody_leaves_the_scale_and_the_account_folds(
            steps in prop::collection::vec((1i64..=5, 0i64..=100, any::<bool>()), 0..300)
        ) {
            let (mut at, mut lines, mut done) = (START, Vec::new(), Vec::new());
            for (rating, weight, back) in steps {
                let delta = match done.pop() {
                    Some(earlier) if back => take_back(at, earlier),
                    _ => step(at, of_rating(rating), weight),
                };
                if delta == 0 {
                    continue;
                }
                done.push(delta);
                lines.push(Change { seq: lines.len() as i64 + 1, delta, before: at, after: at + delta });
                at += delta;
                prop_assert!((0..=CEILING).contains(&at));
            }
            prop_assert_eq!(audit(&lines, at, lines.len() as i64), None);
            prop_assert!(audit(&lines, at + 1, lines.len() as i64).is_some());
            if lines.len() > 1 {
                let mut forged = lines.clone();
                forged[0].delta += 1;
                prop_assert!(audit(&forged, at, lines.len() as i64).is_some());
                prop_assert!(audit(&lines[1..], at, lines.len() as i64).is_some());
            }
        }
    }
}
