//! The order by relevance.
//!
//! `(can be had, text × recency × popularity)`, the greatest first:
//! - *can be had*: what is on sale before what is promised or out of stock before what is sold, whatever else;
//! - *text*: BM25 (k1 = 1.2, b = 0.75) in each text times the text's weight, the best text counting whole and the others a
//!   third; a word's rarity is taken once, on the first page;
//! - *recency*: from 1 on the first day down to `recency_floor`, half of the way in `half_life_days`;
//! - *popularity*: `1 + popularity × ln(1 + orders)`, a paid order counting three.
//!
//! Nothing in it depends on what else is in the index, so that a document keeps its score from page to page and from replica
//! to replica until it changes itself.

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ranking {
    /// Of a kind's texts in their order; a product's are title, tags, description. A text without one counts 1.
    pub text_weights: Vec<f32>,
    /// What is left of the score of what is very old; 1 switches recency off.
    pub recency_floor: f64,
    pub half_life_days: f64,
    /// What the logarithm of the orders counts; 0 switches popularity off.
    pub popularity: f64,
}

impl Default for Ranking {
    fn default() -> Self {
        Ranking { text_weights: vec![3.0, 2.0, 1.0], recency_floor: 0.6, half_life_days: 30.0, popularity: 0.1 }
    }
}

/// What a paid order counts beside a placed one.
const PAID: i64 = 2;
const DAY: f64 = 86_400_000_000.0;

/// How much a document is wanted: an order counts one, and three when it is paid.
pub fn wanted(placed: i64, paid: i64) -> u64 {
    u64::try_from(placed + PAID * paid).unwrap_or(0)
}

/// How a document can be had; the greater comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// It is gone.
    Gone = 0,
    /// Promised to somebody, or out of stock.
    Later = 1,
    /// Anybody may have it.
    Now = 2,
}

impl Ranking {
    pub fn weight(&self, text: usize) -> f32 {
        self.text_weights.get(text).copied().unwrap_or(1.0)
    }

    /// The rank of a document of `age` microseconds as a whole number: tier, then score.
    pub fn rank(&self, tier: u64, text: f32, age: i64, wanted: u64) -> u64 {
        // The sum of a match's parts depends on their order in its last bits; a thousandth of a point doesn't.
        let text = (f64::from(text) * 1024.0).round() / 1024.0;
        let faded = 0.5f64.powf(age.max(0) as f64 / DAY / self.half_life_days.max(f64::MIN_POSITIVE));
        let recency = self.recency_floor + (1.0 - self.recency_floor) * faded;
        let popularity = 1.0 + self.popularity * (wanted as f64).ln_1p();
        let score = (text * recency * popularity * f64::from(1 << 20)).round();
        // A float becomes the nearest whole number that there is, so that nothing wraps.
        (tier.min(3) << 60) | (score as u64).min((1 << 60) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAYS: i64 = 86_400_000_000;

    #[test]
    fn newer_and_wanted_come_first_and_the_sold_last() {
        let r = Ranking::default();
        let rank = |tier: Tier, text, days, wanted| r.rank(tier as u64, text, days * DAYS, wanted);
        assert!(rank(Tier::Now, 1.0, 0, 0) > rank(Tier::Now, 1.0, 30, 0));
        assert!(rank(Tier::Now, 1.0, 30, 9) > rank(Tier::Now, 1.0, 30, 0));
        assert!(rank(Tier::Now, 0.1, 900, 0) > rank(Tier::Later, 50.0, 0, 99));
        assert!(rank(Tier::Later, 0.1, 900, 0) > rank(Tier::Gone, 50.0, 0, 99));
        // A far better match outweighs age and popularity.
        assert!(rank(Tier::Now, 9.0, 90, 0) > rank(Tier::Now, 2.0, 0, 50));
    }

    proptest! {
        #[test]
        fn no_number_breaks_the_order(tier in 0..3u64, text in any::<f32>(), age in any::<i64>(), wanted in any::<u64>()) {
            prop_assert_eq!(Ranking::default().rank(tier, text, age, wanted) >> 60, tier);
        }
    }
}
