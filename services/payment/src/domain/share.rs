//! Who gets how much.

/// The platform's share in hundredths of a percent, rounded down: the odd won is the seller's.
pub fn commission(amount: i64, basis_points: u32) -> i64 {
    let share = i128::from(amount) * i128::from(basis_points.min(10_000)) / 10_000;
    i64::try_from(share).expect("no more than the amount")
}

/// A refund as (money, points): what was paid with money comes back first, since points buy less than money does.
pub fn refund(amount: i64, money_left: i64) -> (i64, i64) {
    let money = amount.min(money_left.max(0));
    (money, amount - money)
}

/// A refund that was made at `:refund`, behind the order's back, and what of it the order's own steps have not been cut by yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    pub refund_id: String,
    /// 0: no part in particular.
    pub part: i64,
    pub left: i64,
}

/// What an order's own step on a part moves, when part of its escrow has gone back already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub amount: i64,
    /// By how much each direct refund cut it.
    pub absorbed: Vec<(String, i64)>,
}

/// `asked`, less what went back for this part directly; and when the escrow is short even so, less what went back for others.
/// `None`: the escrow is short, and no direct refund is why.
pub fn cut(asked: i64, part: i64, escrow: i64, directs: &[Direct]) -> Option<Cut> {
    let mut cut = Cut { amount: asked, absorbed: Vec::new() };
    for d in directs.iter().filter(|d| d.part == part) {
        cut.by(d, d.left);
    }
    for d in directs.iter().filter(|d| d.part != part) {
        cut.by(d, d.left.min(cut.amount - escrow));
    }
    (cut.amount <= escrow).then_some(cut)
}

impl Cut {
    fn by(&mut self, direct: &Direct, most: i64) {
        let by = most.min(self.amount);
        if by > 0 {
            self.amount -= by;
            self.absorbed.push((direct.refund_id.clone(), by));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn direct(id: &str, part: i64, left: i64) -> Direct {
        Direct { refund_id: id.into(), part, left }
    }

    #[test]
    fn the_odd_won_is_the_sellers() {
        assert_eq!(
            [commission(10_000, 350), commission(99, 350), commission(0, 350), commission(50, 20_000)],
            [350, 3, 0, 50]
        );
        assert_eq!(commission(i64::MAX, 10_000), i64::MAX);
    }

    #[test]
    fn money_comes_back_before_points() {
        assert_eq!([refund(10, 25), refund(30, 25), refund(5, 0)], [(10, 0), (25, 5), (0, 5)]);
    }

    #[test]
    fn what_went_back_directly_is_not_paid_twice() {
        let directs = [direct("a", 1, 10), direct("b", 2, 5)];
        assert_eq!(cut(30, 1, 100, &directs).unwrap(), Cut { amount: 20, absorbed: vec![("a".into(), 10)] });
        assert_eq!(cut(30, 3, 30, &directs).unwrap().amount, 30, "others' refunds count only when the escrow is short");
        assert_eq!(cut(30, 3, 26, &directs).unwrap().absorbed, [("a".into(), 4)]);
        assert_eq!(cut(30, 3, 10, &directs), None);
    }

    proptest! {
        /// Two parts, direct refunds of either or none, the parts settled in any order: the escrow ends at 0.
        #[test]
        fn all_parts_together_empty_the_escrow(
            parts in prop::collection::vec(0i64..1_000, 1..5),
            asked in prop::collection::vec((0i64..5, 0i64..500), 0..4),
            from_last in any::<bool>(),
        ) {
            let mut escrow: i64 = parts.iter().sum();
            let mut directs = Vec::new();
            for (n, (part, amount)) in asked.into_iter().enumerate() {
                let amount = amount.min(escrow);
                escrow -= amount;
                directs.push(direct(&n.to_string(), part.min(parts.len() as i64), amount));
            }
            let mut steps: Vec<_> = (1i64..).zip(parts).collect();
            if from_last { steps.reverse(); }
            for (part, asked) in steps {
                let cut = cut(asked, part, escrow, &directs).expect("never stuck");
                prop_assert!((0..=asked).contains(&cut.amount));
                escrow -= cut.amount;
                for (id, by) in cut.absorbed {
                    let d = directs.iter_mut().find(|d| d.refund_id == id).unwrap();
                    d.left -= by;
                    prop_assert!(d.left >= 0);
                }
            }
            prop_assert_eq!(escrow, 0);
        }
    }
}
