//! Units of products that are kept for an order: what may become of a hold, and of the units.

use super::Fault;
use jangteo_core::{Error, Result, Violations};
use proto::jangteo::catalog::v1::{StockHoldStatus, StockLine};

/// Of one product's units in a hold; the number is the row's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Held = 1,
    Confirmed = 2,
    Released = 3,
    Expired = 4,
    /// Sold, and come back.
    Returned = 5,
}

impl Status {
    pub fn from_row(n: i64) -> Result<Status> {
        use Status::{Confirmed, Expired, Held, Released, Returned};
        let known = [Held, Confirmed, Released, Expired, Returned].into_iter().find(|s| *s as i64 == n);
        known.ok_or_else(|| Error::internal(format!("there is no status {n} of a hold")))
    }

    pub fn shown(self) -> StockHoldStatus {
        match self {
            Status::Held => StockHoldStatus::Held,
            Status::Confirmed | Status::Returned => StockHoldStatus::Confirmed,
            Status::Released => StockHoldStatus::Released,
            Status::Expired => StockHoldStatus::Expired,
        }
    }
}

/// What somebody wants of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Hold,
    Confirm,
    /// Gives the hold up where that is decided.
    Release,
    /// Gives it up where the decision is made already: what an interrupted confirmation sold comes back.
    Undo,
    /// The time is over.
    Expire,
    /// Another database refused its part. Unlike a release it may be tried again.
    GiveUp,
    Return,
}

/// What an act does with a product's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    Stay,
    /// From available to held.
    Hold,
    /// From held to available.
    Free,
    /// From held to sold.
    Sell,
    /// From sold to available.
    TakeBack,
}

/// What becomes of a product's part of a hold, whose status was `found`; `None`: nothing, the act is done already.
pub fn decide(act: Act, hold_id: &str, line: &StockLine, found: Option<Status>) -> Result<Option<(Status, Units)>> {
    use Status::{Confirmed, Expired, Held, Released, Returned};
    let hold_id = || hold_id.to_owned();
    Ok(match (act, found) {
        (Act::Hold, None | Some(Expired)) => Some((Held, Units::Hold)),
        (Act::Hold, Some(Held | Confirmed | Returned)) => None,
        (Act::Confirm, Some(Held)) => Some((Confirmed, Units::Sell)),
        (Act::Confirm, Some(Confirmed | Returned)) => None,
        (Act::Confirm, None) => return Err(Error::not_found("hold", hold_id())),
        (Act::Confirm, Some(Expired)) => return Err(Fault::HoldExpired { hold_id: hold_id() }.into()),
        (Act::Hold | Act::Confirm, Some(Released)) => return Err(Fault::HoldReleased { hold_id: hold_id() }.into()),
        (Act::Release | Act::Undo, None | Some(Expired)) => Some((Released, Units::Stay)),
        (Act::Release | Act::Undo, Some(Held)) => Some((Released, Units::Free)),
        (Act::Release | Act::Undo, Some(Released)) => None,
        (Act::Release, Some(Confirmed | Returned)) => return Err(Fault::HoldConfirmed { hold_id: hold_id() }.into()),
        (Act::Undo, Some(Confirmed)) => Some((Released, Units::TakeBack)),
        (Act::Undo, Some(Returned)) => Some((Released, Units::Stay)),
        (Act::Expire | Act::GiveUp, Some(Held)) => Some((Expired, Units::Free)),
        (Act::Expire | Act::GiveUp, _) => None,
        (Act::Return, Some(Confirmed)) => Some((Returned, Units::TakeBack)),
        (Act::Return, Some(Returned)) => None,
        (Act::Return, None | Some(Held | Released | Expired)) => {
            return Err(Fault::NotSold { hold_id: hold_id(), product_id: line.product_id.clone() }.into());
        }
    })
}

/// In the order in which rows are locked, which is everybody's.
pub fn sorted(mut lines: Vec<StockLine>) -> Result<Vec<StockLine>> {
    let mut bad = Violations::default();
    for (n, line) in lines.iter().enumerate() {
        if lines[..n].iter().any(|l| l.product_id == line.product_id) {
            bad.add(format!("lines[{n}].product_id"), "DUPLICATE", "is named twice in one request");
        }
    }
    bad.none()?;
    lines.sort_by(|a, b| a.product_id.cmp(&b.product_id));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Confirmed, Expired, Held, Released, Returned};
    use proptest::prelude::*;

    fn line(product_id: &str) -> StockLine {
        StockLine { product_id: product_id.into(), quantity: 1 }
    }

    fn reason(act: Act, found: Option<Status>) -> String {
        decide(act, "ord_1", &line("prd_1"), found).unwrap_err().reason().to_owned()
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(reason(Act::Hold, Some(Released)), "HOLD_RELEASED");
        assert_eq!(reason(Act::Confirm, Some(Released)), "HOLD_RELEASED");
        assert_eq!(reason(Act::Confirm, Some(Expired)), "HOLD_EXPIRED");
        assert_eq!(reason(Act::Confirm, None), "HOLD_NOT_FOUND");
        assert_eq!(reason(Act::Release, Some(Confirmed)), "HOLD_CONFIRMED");
        for found in [None, Some(Held), Some(Released), Some(Expired)] {
            assert_eq!(reason(Act::Return, found), "NOT_SOLD", "{found:?}");
        }
    }

    #[test]
    fn a_product_is_named_once() {
        let e = sorted(vec![line("prd_2"), line("prd_1"), line("prd_2")]).unwrap_err();
        assert_eq!(e.field_violations()[0].field, "lines[2].product_id");
        let ids: Vec<_> =
            sorted(vec![line("prd_2"), line("prd_1")]).unwrap().into_iter().map(|l| l.product_id).collect();
        assert_eq!(ids, ["prd_1", "prd_2"]);
    }

    const ACTS: [Act; 7] = [Act::Hold, Act::Confirm, Act::Release, Act::Undo, Act::Expire, Act::GiveUp, Act::Return];

    proptest! {
        /// Four holds of one product, in any order of acts: units neither appear nor vanish.
        #[test]
        fn units_are_conserved(
            on_hand in 0..9i64, sizes in prop::array::uniform4(1..5i64),
            acts in prop::collection::vec((0..4usize, prop::sample::select(&ACTS[..])), 0..60),
        ) {
            let (mut stock, mut reserved) = (on_hand, 0);
            let mut holds: [Option<Status>; 4] = [None; 4];
            for (n, act) in acts {
                let (before, q) = (holds[n], sizes[n]);
                let Ok(Some((to, units))) = decide(act, "ord_1", &line("prd_1"), before) else { continue };
                if units == Units::Hold && stock - reserved < q {
                    continue;
                }
                (stock, reserved) = match units {
                    Units::Stay => (stock, reserved),
                    Units::Hold => (stock, reserved + q),
                    Units::Free => (stock, reserved - q),
                    Units::Sell => (stock - q, reserved - q),
                    Units::TakeBack => (stock + q, reserved),
                };
                holds[n] = Some(to);
                let sum = |s| holds.iter().zip(sizes).filter(|(h, _)| **h == Some(s)).map(|(_, q)| q).sum::<i64>();
                prop_assert_eq!(reserved, sum(Held));
                prop_assert_eq!(stock + sum(Confirmed), on_hand);
                prop_assert!(0 <= reserved && reserved <= stock);
                prop_assert!(before != Some(Released), "what was given up stays so");
                prop_assert!(before != Some(Returned) || to == Released);
            }
        }
    }
}
