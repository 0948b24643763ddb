//! Trust, levels and badges, from what is known of a person. The proto says each formula where it says the name.

use super::temperature::degrees;
use jangteo_core::Time;
use proto::jangteo::review::v1::{Badge, RatingSummary, Trust, TrustAspect, TrustLevel, TrustPart};

/// Ratings of this many neutral strangers stand beside the real ones, so that one friend's 5 makes no perfect seller.
const PRIOR_COUNT: f64 = 5.0;
const PRIOR_RATING: f64 = 3.0;

/// What is known of a person. Only what everybody can see counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    pub sold: i64,
    pub bought: i64,
    /// Of `bought`: those that the person confirmed and not the deadline.
    pub confirmed: i64,
    pub shipped: i64,
    pub on_time: i64,
    /// How many ratings of 1, 2, 3, 4 and 5.
    pub ratings: [i64; 5],
    pub written: i64,
    /// Sales cancelled by the seller or lost in a dispute within 180 days.
    pub lapses: i64,
    pub milli: i64,
    pub age_days: i64,
}

impl Facts {
    fn trades(&self) -> i64 {
        self.sold + self.bought
    }

    fn rated(&self) -> i64 {
        self.ratings.iter().sum()
    }

    fn stars(&self) -> i64 {
        self.ratings.iter().zip(1..).map(|(n, rating)| n * rating).sum()
    }

    /// `None` when nobody rated.
    fn average(&self) -> Option<f64> {
        (self.rated() > 0).then(|| self.stars() as f64 / self.rated() as f64)
    }

    /// Whether at least `of` of the parts left on time; nothing shipped is nothing late.
    fn punctual(&self, of: f64) -> bool {
        self.on_time as f64 >= of * self.shipped as f64
    }

    pub fn days_since(registered: Time, now: Time) -> i64 {
        (now - registered).num_days().max(0)
    }

    pub fn summary(&self) -> RatingSummary {
        RatingSummary {
            count: Some(small(self.rated())),
            average: self.average().map(|a| (a * 100.0).round() / 100.0),
            counts: self.ratings.iter().map(|n| small(*n)).collect(),
        }
    }
}

/// What the proto shows as 32 bits.
pub fn small(n: i64) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// The parts of the score, which add up to it.
fn parts(f: &Facts) -> [TrustPart; 6] {
    let part = |aspect: TrustAspect, max: i32, share: f64, measure: f64| TrustPart {
        aspect: aspect.into(),
        points: Some((f64::from(max) * share.clamp(0.0, 1.0)).round() as i32),
        max_points: max,
        measure: (measure * 1000.0).round() / 1000.0,
    };
    let trades = f.trades() as f64;
    let rating = (f.stars() as f64 + PRIOR_COUNT * PRIOR_RATING) / (f.rated() as f64 + PRIOR_COUNT);
    let on_time = (f.on_time + 1) as f64 / (f.shipped + 2) as f64;
    let (age, lapses) = (f.age_days as f64, f.lapses as f64);
    [
        part(TrustAspect::Trades, 25, trades / (trades + 10.0), trades),
        part(TrustAspect::Rating, 30, (rating - 1.0) / 4.0, rating),
        part(TrustAspect::Temperature, 10, degrees(f.milli) / 100.0, degrees(f.milli)),
        part(TrustAspect::OnTime, 10, on_time, on_time),
        part(TrustAspect::AccountAge, 10, age / 365.0, age),
        part(TrustAspect::Record, 15, 1.0 - lapses / 3.0, lapses),
    ]
}

pub fn score(f: &Facts) -> i64 {
    parts(f).iter().map(|p| i64::from(p.points())).sum()
}

/// The highest level of which everything is true.
pub fn level(f: &Facts) -> TrustLevel {
    let reaches = |trades: i64, rating: f64, milli: i64, punctual: f64| {
        f.trades() >= trades && f.average().is_some_and(|a| a >= rating) && f.milli >= milli && f.punctual(punctual)
    };
    match () {
        () if reaches(200, 4.7, 50_000, 0.95) => TrustLevel::Master,
        () if reaches(50, 4.5, 40_000, 0.9) => TrustLevel::Expert,
        () if reaches(10, 4.0, 37_000, 0.0) => TrustLevel::Trusted,
        () if f.trades() >= 3 => TrustLevel::Regular,
        () => TrustLevel::New,
    }
}

pub fn badges(f: &Facts) -> Vec<Badge> {
    let earned = [
        (Badge::FirstTrade, f.trades() >= 1),
        (Badge::TenTrades, f.trades() >= 10),
        (Badge::HundredTrades, f.trades() >= 100),
        (Badge::QuickSender, f.shipped >= 10 && f.punctual(0.95)),
        (Badge::WellLiked, f.rated() >= 10 && f.average().is_some_and(|a| a >= 4.8)),
        (Badge::PromptBuyer, f.bought >= 10 && f.confirmed * 10 >= f.bought * 9),
        (Badge::Reviewer, f.written >= 20),
    ];
    earned.into_iter().filter_map(|(badge, earned)| earned.then_some(badge)).collect()
}

pub fn trust(user_id: &str, f: &Facts) -> Trust {
    Trust {
        user_id: user_id.to_owned(),
        score: Some(small(score(f))),
        parts: parts(f).to_vec(),
        degrees: degrees(f.milli),
        level: level(f).into(),
        badges: badges(f).into_iter().map(Into::into).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::temperature::START;
    use proptest::prelude::*;

    fn fresh() -> Facts {
        Facts { milli: START, ..Facts::default() }
    }

    fn seasoned() -> Facts {
        Facts {
            sold: 150,
            bought: 50,
            confirmed: 45,
            shipped: 150,
            on_time: 143,
            ratings: [0, 0, 0, 40, 140],
            written: 20,
            milli: 50_000,
            age_days: 400,
            ..fresh()
        }
    }

    #[test]
    fn a_stranger_is_neither_trusted_nor_distrusted() {
        let points = parts(&fresh()).map(|p| p.points());
        assert_eq!((points, score(&fresh())), ([0, 15, 4, 5, 0, 15], 39));
        assert_eq!((level(&fresh()), badges(&fresh())), (TrustLevel::New, vec![]));
    }

    #[test]
    fn levels_ask_for_all_of_what_they_say() {
        assert_eq!(level(&seasoned()), TrustLevel::Master);
        assert_eq!(level(&Facts { on_time: 142, ..seasoned() }), TrustLevel::Expert);
        assert_eq!(level(&Facts { milli: 49_999, ..seasoned() }), TrustLevel::Expert);
        assert_eq!(level(&Facts { ratings: [0, 0, 0, 9, 1], ..seasoned() }), TrustLevel::Trusted);
        assert_eq!(level(&Facts { ratings: [0; 5], ..seasoned() }), TrustLevel::Regular);
        assert_eq!(badges(&seasoned()).len(), 6);
        assert!(!badges(&Facts { confirmed: 44, ..seasoned() }).contains(&Badge::PromptBuyer));
        assert!(badges(&Facts { ratings: [0, 0, 0, 1, 9], ..seasoned() }).contains(&Badge::WellLiked));
    }

    #[test]
    fn ratings_add_up() {
        let f = Facts { ratings: [1, 0, 0, 0, 2], ..fresh() };
        assert_eq!(f.summary(), RatingSummary { count: Some(3), average: Some(3.67), counts: vec![1, 0, 0, 0, 2] });
        assert_eq!(fresh().summary().average, None);
    }

    proptest! {
        #[test]
        fn a_score_lies_within_its_scale_and_grows_with_what_is_good(
            (sold, bought, shipped, lapses) in (0i64..1000, 0i64..1000, 0i64..1000, 0i64..9),
            ratings in prop::array::uniform5(0i64..100),
            (milli, age_days) in (0i64..=99_000, 0i64..4000),
        ) {
            let f = Facts { sold, bought, shipped, on_time: shipped / 2, ratings, lapses, milli, age_days, ..fresh() };
            let s = score(&f);
            prop_assert!((0..=100).contains(&s));
            let mut liked = f.ratings;
            liked[4] += 1;
            for better in [
                Facts { sold: sold + 1, ..f },
                Facts { ratings: liked, ..f },
                Facts { on_time: shipped, ..f },
                Facts { age_days: age_days + 100, ..f },
                Facts { lapses: 0, ..f },
            ] {
                prop_assert!(score(&better) >= s);
            }
        }
    }
}
