//! Putting the lines of one cart into another.

use super::{Line, MAX_LINES, MAX_QUANTITY};

/// What comes of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Lines to write: new ones, and old ones with more in them.
    pub lines: Vec<Line>,
    /// Product and units that found no room, or are the buyer's own.
    pub left_out: Vec<(String, i64)>,
}

/// Puts `coming` into a cart that holds `there`. What is in it already keeps its price and its place.
pub fn merge(there: &[Line], coming: Vec<Line>, buyer: Option<&str>) -> Merged {
    let mut merged = Merged::default();
    let mut room = MAX_LINES.saturating_sub(there.len());
    for line in coming {
        let old = there.iter().find(|l| l.product_id == line.product_id);
        let free = match old {
            _ if buyer == Some(&*line.seller_id) => 0,
            Some(old) => MAX_QUANTITY - old.quantity,
            None if room == 0 => 0,
            None => MAX_QUANTITY,
        };
        let fits = line.quantity.min(free);
        if fits < line.quantity {
            merged.left_out.push((line.product_id.clone(), line.quantity - fits));
        }
        if fits > 0 {
            room -= usize::from(old.is_none());
            let into = old.map_or_else(|| Line { quantity: 0, ..line.clone() }, Line::clone);
            merged.lines.push(Line { quantity: into.quantity + fits, ..into });
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(n: usize, quantity: i64, added_price: i64) -> Line {
        Line {
            product_id: format!("prd_{n}"),
            seller_id: format!("usr_{n}"),
            title: "desk".into(),
            image_id: String::new(),
            quantity,
            added_price,
            add_time: 0,
        }
    }

    #[test]
    fn quantities_add_up_to_the_limit_and_the_rest_is_said() {
        let merged = merge(&[line(1, 90, 100)], vec![line(1, 20, 300), line(2, 3, 5)], None);
        assert_eq!(merged.lines, [line(1, 99, 100), line(2, 3, 5)]);
        assert_eq!(merged.left_out, [("prd_1".to_owned(), 11)]);
    }

    #[test]
    fn nobody_buys_from_themselves() {
        let merged = merge(&[], vec![line(1, 2, 5)], Some("usr_1"));
        assert_eq!((merged.lines.len(), merged.left_out), (0, vec![("prd_1".to_owned(), 2)]));
    }

    proptest! {
        #[test]
        fn no_unit_is_lost_or_made(
            there in prop::collection::btree_map(0usize..150, 1i64..=99, 0..=MAX_LINES),
            coming in prop::collection::btree_map(0usize..150, 1i64..=99, 0..=MAX_LINES),
        ) {
            let lines = |m: std::collections::BTreeMap<usize, i64>| {
                m.into_iter().map(|(n, q)| line(n, q, 1)).collect::<Vec<_>>()
            };
            let (there, coming) = (lines(there), lines(coming));
            let merged = merge(&there, coming.clone(), None);
            let old = |l: &Line| there.iter().find(|t| t.product_id == l.product_id).map_or(0, |t| t.quantity);
            let put_in: i64 = merged.lines.iter().map(|l| l.quantity - old(l)).sum();
            let left_out: i64 = merged.left_out.iter().map(|(_, n)| n).sum();
            prop_assert_eq!(put_in + left_out, coming.iter().map(|l| l.quantity).sum::<i64>());
            prop_assert!(merged.lines.iter().all(|l| (1..=MAX_QUANTITY).contains(&l.quantity)));
            prop_assert!(there.len() + merged.lines.iter().filter(|l| old(l) == 0).count() <= MAX_LINES);
        }
    }
}
