//! What sending costs: tables, and the one function that reads them. All amounts are whole won with tax.
//!
//! A parcel falls into the smallest class that holds both its weight and the sum of its sides, which is how Korean
//! carriers price; one whose size nobody said counts as small. Distance is by region: the same, a neighbour, or
//! further; a seller on Jeju counts as one in Jeolla, since the catalogue's regions say no more. Jeju and islands cost
//! extra. Convenience stores have one price for the whole country.

use super::postal::{Postal, Remote};
use proto::jangteo::shipping::v1::ShippingOption;

/// Goods to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Goods {
    pub weight_grams: i64,
    pub sum_cm: i64,
    /// In won.
    pub value: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    Korea(Postal),
    /// ISO 3166-1, two letters.
    Abroad(&'a str),
    /// Nobody said; enough for those who meet.
    Nowhere,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quote {
    /// All in all.
    pub fee: i64,
    /// Of the fee: what Jeju or an island adds.
    pub surcharge: i64,
}

/// Why an option can't be had.
pub type Reason = &'static str;

struct Class {
    sum_cm: i64,
    weight_grams: i64,
    /// Within a region, to a neighbour, further.
    fees: [i64; 3],
}

/// Door to door: up to 160 cm and 20 kg.
const PARCEL: [Class; 4] = [
    Class { sum_cm: 80, weight_grams: 2_000, fees: [3_500, 4_000, 4_500] },
    Class { sum_cm: 100, weight_grams: 5_000, fees: [4_500, 5_000, 5_500] },
    Class { sum_cm: 120, weight_grams: 10_000, fees: [6_000, 6_500, 7_000] },
    Class { sum_cm: 160, weight_grams: 20_000, fees: [8_000, 8_500, 9_000] },
];

/// From a convenience store: up to 80 cm and 5 kg.
const STORE: [Class; 3] = [
    Class { sum_cm: 80, weight_grams: 500, fees: [1_900; 3] },
    Class { sum_cm: 80, weight_grams: 1_000, fees: [2_300; 3] },
    Class { sum_cm: 80, weight_grams: 5_000, fees: [2_700; 3] },
];

/// What Jeju and islands add, door to door and from a store.
const PARCEL_REMOTE: [i64; 2] = [3_000, 5_000];
const STORE_REMOTE: [i64; 2] = [1_500, 3_500];

/// A carrier answers for so much; each started million above it costs more, and beyond the limit none takes it.
const INSURED: i64 = 1_000_000;
const INSURED_STEP_FEE: i64 = 1_000;
const PARCEL_VALUE: i64 = 10_000_000;
const STORE_VALUE: i64 = 1_000_000;

/// Regions that border on each other.
const NEIGHBOURS: [(&str, &str); 8] = [
    ("seoul", "gyeonggi"),
    ("gyeonggi", "gangwon"),
    ("gyeonggi", "chungcheong"),
    ("gangwon", "chungcheong"),
    ("gangwon", "gyeongsang"),
    ("chungcheong", "jeolla"),
    ("chungcheong", "gyeongsang"),
    ("jeolla", "gyeongsang"),
];

/// Express abroad: up to 160 cm and 30 kg; the first 500 g and each started 500 g more, by zone.
const ABROAD_SUM_CM: i64 = 160;
const ABROAD_WEIGHT: i64 = 30_000;
const ABROAD_STEP: i64 = 500;
const ZONES: [(&[&str], i64, i64); 4] = [
    (&["JP", "CN", "HK", "MO", "TW"], 24_000, 4_000),
    (&["SG", "TH", "VN", "MY", "ID", "PH", "KH", "MN"], 28_000, 5_500),
    (&["US", "CA", "AU", "NZ"], 34_000, 8_000),
    (
        &[
            "AT", "BE", "CH", "CZ", "DE", "DK", "ES", "FI", "FR", "GB", "GR", "HU", "IE", "IT", "LU", "NL", "NO", "PL",
            "PT", "SE",
        ],
        38_000,
        9_000,
    ),
];

/// Every option, in the order in which they are shown.
pub const OPTIONS: [ShippingOption; 4] =
    [ShippingOption::Parcel, ShippingOption::ConvenienceStore, ShippingOption::MeetUp, ShippingOption::International];

pub fn quote(option: ShippingOption, goods: &Goods, from_region_id: &str, to: To<'_>) -> Result<Quote, Reason> {
    match (option, to) {
        (ShippingOption::Unspecified, _) => Err("UNKNOWN_OPTION"),
        (ShippingOption::MeetUp, To::Abroad(_)) => Err("ABROAD"),
        (ShippingOption::MeetUp, _) => Ok(Quote::default()),
        (_, To::Nowhere) => Err("ADDRESS_REQUIRED"),
        (ShippingOption::Parcel, To::Korea(postal)) => {
            let insurance = insurance(goods.value, PARCEL_VALUE)?;
            domestic(&PARCEL, PARCEL_REMOTE, goods, from_region_id, postal, insurance)
        }
        (ShippingOption::ConvenienceStore, To::Korea(postal)) => {
            let insurance = insurance(goods.value, STORE_VALUE)?;
            domestic(&STORE, STORE_REMOTE, goods, from_region_id, postal, insurance)
        }
        (ShippingOption::Parcel | ShippingOption::ConvenienceStore, To::Abroad(_)) => Err("ABROAD"),
        (ShippingOption::International, To::Korea(_)) => Err("DOMESTIC"),
        (ShippingOption::International, To::Abroad(country)) => abroad(goods, country),
    }
}

fn domestic(
    classes: &[Class],
    remote: [i64; 2],
    goods: &Goods,
    from_region_id: &str,
    to: Postal,
    insurance: i64,
) -> Result<Quote, Reason> {
    let fits = |c: &&Class| goods.weight_grams <= c.weight_grams && goods.sum_cm <= c.sum_cm;
    let class = classes.iter().find(fits).ok_or_else(|| {
        let heaviest = classes.iter().map(|c| c.weight_grams).max().unwrap_or(0);
        if goods.weight_grams > heaviest { "TOO_HEAVY" } else { "TOO_LARGE" }
    })?;
    let surcharge = match to.remote() {
        Remote::Mainland => 0,
        Remote::Jeju => remote[0],
        Remote::Island => remote[1],
    };
    Ok(Quote { fee: class.fees[distance(from_region_id, to.region_id())] + surcharge + insurance, surcharge })
}

/// 0: the same region; 1: a neighbour; 2: further. A region that nobody knows is far.
fn distance(from: &str, to: &str) -> usize {
    match from == to {
        true => 0,
        false if NEIGHBOURS.iter().any(|&(a, b)| (a, b) == (from, to) || (b, a) == (from, to)) => 1,
        false => 2,
    }
}

fn insurance(value: i64, limit: i64) -> Result<i64, Reason> {
    match value {
        v if v > limit => Err("TOO_VALUABLE"),
        v => Ok(steps(v - INSURED, INSURED) * INSURED_STEP_FEE),
    }
}

/// Started steps above nothing.
fn steps(amount: i64, step: i64) -> i64 {
    (amount.max(0) + step - 1) / step
}

fn abroad(goods: &Goods, country: &str) -> Result<Quote, Reason> {
    if goods.weight_grams > ABROAD_WEIGHT {
        return Err("TOO_HEAVY");
    }
    if goods.sum_cm > ABROAD_SUM_CM {
        return Err("TOO_LARGE");
    }
    let insurance = insurance(goods.value, PARCEL_VALUE)?;
    let zone = ZONES.iter().find(|(countries, ..)| countries.contains(&country));
    let (_, first, more) = zone.ok_or(if country == "KR" { "DOMESTIC" } else { "COUNTRY_NOT_SERVED" })?;
    Ok(Quote { fee: first + more * steps(goods.weight_grams - ABROAD_STEP, ABROAD_STEP) + insurance, surcharge: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ShippingOption::{ConvenienceStore, International, MeetUp, Parcel};
    use proptest::prelude::*;

    fn korea(code: &str) -> To<'static> {
        To::Korea(Postal::parse(code).unwrap())
    }

    fn goods(weight_grams: i64, sum_cm: i64) -> Goods {
        Goods { weight_grams, sum_cm, value: 0 }
    }

    fn fee(option: ShippingOption, goods: Goods, from: &str, to: To<'_>) -> Result<i64, Reason> {
        quote(option, &goods, from, to).map(|q| q.fee)
    }

    #[test]
    fn both_sides_of_every_edge() {
        let parcel = |w, s| fee(Parcel, goods(w, s), "seoul", korea("04524"));
        for (w, s, want) in [
            (0, 0, Ok(3_500)),
            (2_000, 80, Ok(3_500)),
            (2_001, 80, Ok(4_500)),
            (2_000, 81, Ok(4_500)),
            (5_000, 100, Ok(4_500)),
            (5_001, 100, Ok(6_000)),
            (5_000, 101, Ok(6_000)),
            (10_000, 120, Ok(6_000)),
            (10_001, 1, Ok(8_000)),
            (1, 121, Ok(8_000)),
            (20_000, 160, Ok(8_000)),
            (20_001, 160, Err("TOO_HEAVY")),
            (20_000, 161, Err("TOO_LARGE")),
        ] {
            assert_eq!(parcel(w, s), want, "{w} g, {s} cm");
        }
        let store = |w, s| fee(ConvenienceStore, goods(w, s), "seoul", korea("48058"));
        for (w, s, want) in [
            (500, 80, Ok(1_900)),
            (501, 80, Ok(2_300)),
            (1_000, 80, Ok(2_300)),
            (1_001, 80, Ok(2_700)),
            (5_000, 80, Ok(2_700)),
            (5_001, 80, Err("TOO_HEAVY")),
            (1, 81, Err("TOO_LARGE")),
        ] {
            assert_eq!(store(w, s), want, "{w} g, {s} cm");
        }
    }

    #[test]
    fn distance_counts_door_to_door() {
        for (from, to, want) in [
            ("seoul", "04524", 3_500),
            ("seoul", "10000", 4_000),
            ("gyeonggi", "01000", 4_000),
            ("seoul", "48058", 4_500),
            ("mars", "04524", 4_500),
        ] {
            assert_eq!(fee(Parcel, goods(1, 1), from, korea(to)), Ok(want), "{from} to {to}");
        }
    }

    #[test]
    fn the_sea_costs_extra() {
        let q = |option, to| quote(option, &goods(1, 1), "jeolla", korea(to)).unwrap();
        assert_eq!(q(Parcel, "63100"), Quote { fee: 6_500, surcharge: 3_000 });
        assert_eq!(q(Parcel, "63365"), Quote { fee: 8_500, surcharge: 5_000 });
        assert_eq!(q(Parcel, "61000"), Quote { fee: 3_500, surcharge: 0 });
        assert_eq!(q(ConvenienceStore, "63100"), Quote { fee: 3_400, surcharge: 1_500 });
        assert_eq!(q(ConvenienceStore, "40200"), Quote { fee: 5_400, surcharge: 3_500 });
    }

    #[test]
    fn value_is_insured_up_to_a_limit() {
        let parcel = |value| fee(Parcel, Goods { value, ..goods(1, 1) }, "seoul", korea("04524"));
        assert_eq!(parcel(1_000_000), Ok(3_500));
        assert_eq!(parcel(1_000_001), Ok(4_500));
        assert_eq!(parcel(2_000_000), Ok(4_500));
        assert_eq!(parcel(2_000_001), Ok(5_500));
        assert_eq!(parcel(10_000_000), Ok(12_500));
        assert_eq!(parcel(10_000_001), Err("TOO_VALUABLE"));
        let store = |value| fee(ConvenienceStore, Goods { value, ..goods(1, 1) }, "seoul", korea("04524"));
        assert_eq!((store(1_000_000), store(1_000_001)), (Ok(1_900), Err("TOO_VALUABLE")));
    }

    #[test]
    fn abroad_goes_by_zone_and_started_half_kilo() {
        let f = |w, s, to| fee(International, goods(w, s), "seoul", To::Abroad(to));
        for (w, s, to, want) in [
            (500, 10, "JP", Ok(24_000)),
            (501, 10, "JP", Ok(28_000)),
            (1_000, 10, "SG", Ok(33_500)),
            (1_001, 10, "US", Ok(50_000)),
            (500, 160, "DE", Ok(38_000)),
            (30_000, 10, "JP", Ok(260_000)),
            (30_001, 10, "JP", Err("TOO_HEAVY")),
            (1, 161, "JP", Err("TOO_LARGE")),
            (1, 1, "AQ", Err("COUNTRY_NOT_SERVED")),
            (1, 1, "KR", Err("DOMESTIC")),
        ] {
            assert_eq!(f(w, s, to), want, "{w} g, {s} cm to {to}");
        }
    }

    #[test]
    fn an_option_is_for_its_kind_of_place() {
        assert_eq!(fee(MeetUp, goods(99_999, 999), "seoul", To::Nowhere), Ok(0));
        assert_eq!(fee(MeetUp, goods(1, 1), "seoul", To::Abroad("JP")), Err("ABROAD"));
        assert_eq!(fee(Parcel, goods(1, 1), "seoul", To::Nowhere), Err("ADDRESS_REQUIRED"));
        assert_eq!(fee(Parcel, goods(1, 1), "seoul", To::Abroad("JP")), Err("ABROAD"));
        assert_eq!(fee(International, goods(1, 1), "seoul", korea("04524")), Err("DOMESTIC"));
    }

    proptest! {
        /// More never costs less, and a store is never dearer than the door.
        #[test]
        fn more_never_costs_less(
            (w, s) in (0..20_000i64, 0..160i64),
            (dw, ds) in (0..5_000i64, 0..40i64),
            code in 1_000..64_000u32,
        ) {
            let to = korea(&format!("{code:05}"));
            let small = fee(Parcel, goods(w, s), "seoul", to).unwrap();
            if let Ok(large) = fee(Parcel, goods(w + dw, s + ds), "seoul", to) {
                prop_assert!(small <= large);
            }
            if let Ok(store) = fee(ConvenienceStore, goods(w, s), "seoul", to) {
                prop_assert!(store < small);
            }
        }
    }
}
