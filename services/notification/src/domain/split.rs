//! A/B: which of several wordings a person gets.

use ring::digest::{SHA256, digest};

/// The index of a person's wording: always the same one for the same campaign, in proportion to the weights (0 counts as
/// 1), and of no relation to what the person gets of another campaign.
pub fn variant(campaign_id: &str, user_id: &str, weights: &[i32]) -> usize {
    let weight = |w: &i32| u64::from(u32::try_from(*w).unwrap_or(0).max(1));
    let total: u64 = weights.iter().map(weight).sum();
    let hash = digest(&SHA256, format!("{campaign_id}\0{user_id}").as_bytes());
    let place = u64::from_be_bytes(hash.as_ref()[..8].try_into().expect("eight bytes")) % total.max(1);
    let mut below = 0;
    let found = weights.iter().position(|w| {
        below += weight(w);
        place < below
    });
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_stay_where_they_are_and_spread_by_weight() {
        let mut counts = [0; 2];
        for n in 0..4000 {
            let user = format!("usr_{n}");
            let v = variant("cmp_1", &user, &[1, 3]);
            assert_eq!(v, variant("cmp_1", &user, &[1, 3]));
            counts[v] += 1;
        }
        // Five standard deviations of 4000 draws at a quarter are 137.
        assert!((863..=1137).contains(&counts[0]), "{counts:?}");
        let elsewhere = (0..1000).filter(|n| {
            let user = format!("usr_{n}");
            variant("cmp_1", &user, &[1, 1]) == variant("cmp_2", &user, &[1, 1])
        });
        assert!((421..=579).contains(&elsewhere.count()), "campaigns are independent");
        assert_eq!(variant("cmp_1", "usr_1", &[0]), 0);
    }
}
