//! What a review may say, when it is seen and what comes of it. Values and `now` in, decisions or faults out.

pub mod standing;
pub mod temperature;
pub mod text;

use jangteo_core::{Entity, Error, Id, Result, Time, Violations, faults, micros};
use proto::jangteo::review::v1::{MannerTag, ProductRating, ReviewStatus, TradeRole, WriteReviewRequest};
use std::{collections::BTreeSet, time::Duration};

faults! {
    /// Why a review is refused.
    pub enum Fault in "review.jangteo" {
        TradeNotCompleted { order_id: String, part: i64 } = FailedPrecondition
            "part {part} of {order_id} is not confirmed; review it when it is",
        WindowClosed { order_id: String, part: i64 } = FailedPrecondition
            "the time to review part {part} of {order_id} is over",
        AlreadyReviewed { order_id: String, part: i64 } = AlreadyExists
            "this side of part {part} of {order_id} has had its say",
        WrongStatus { review_id: String, status: &'static str, verb: &'static str } = FailedPrecondition
            "a review that is {status} can't be {verb}",
    }
}

pub enum Review {}

impl Entity for Review {
    const NAME: &'static str = "review";
    const PREFIX: &'static str = "rev";
}

pub enum User {}

impl Entity for User {
    const NAME: &'static str = "user";
    const PREFIX: &'static str = "usr";
}

/// When a person registered: ids carry their time (UUIDv7). `None`: this is no such id.
pub fn registered(user_id: &str) -> Option<Time> {
    let (secs, nanos) = user_id.parse::<Id<User>>().ok()?.uuid().get_timestamp()?.to_unix();
    Time::from_timestamp(i64::try_from(secs).ok()?, nanos)
}

/// A completed part of an order. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    pub order_id: String,
    pub part: i64,
    pub buyer_id: String,
    pub seller_id: String,
    pub product_ids: Vec<String>,
    /// Nobody confirmed it; the deadline did.
    pub by_deadline: bool,
    pub buyer_wrote: bool,
    pub seller_wrote: bool,
    pub reveal_time: i64,
    pub write_until: i64,
}

/// How long the sides of a trade have.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub write: Duration,
    pub reveal: Duration,
}

impl Trade {
    /// Begins `confirmed`; nobody has written yet.
    pub fn begin(self, confirmed: Time, terms: Terms) -> Trade {
        Trade {
            reveal_time: micros(confirmed + terms.reveal),
            write_until: micros(confirmed + terms.write),
            buyer_wrote: false,
            seller_wrote: false,
            ..self
        }
    }

    /// Which side a person is.
    pub fn role(&self, user_id: &str) -> Result<TradeRole> {
        match user_id {
            id if id == self.buyer_id => Ok(TradeRole::Buyer),
            id if id == self.seller_id => Ok(TradeRole::Seller),
            _ => Err(Error::denied("NOT_YOURS", "this is a trade of other people")),
        }
    }

    pub fn admits(&self, now: Time) -> Result<()> {
        match micros(now) < self.write_until {
            true => Ok(()),
            false => Err(Fault::WindowClosed { order_id: self.order_id.clone(), part: self.part }.into()),
        }
    }

    /// Whether what its sides wrote can be seen: neither can write in answer to the other any more, or a week is over.
    pub fn is_open(&self, now: Time) -> bool {
        self.buyer_wrote && self.seller_wrote || micros(now) >= self.reveal_time
    }
}

/// What one side says, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub author_id: String,
    pub subject_id: String,
    pub subject_role: TradeRole,
    pub rating: i64,
    pub text: String,
    pub tags: Vec<MannerTag>,
    pub product_ratings: Vec<ProductRating>,
}

/// Tags that say something of goods or parcels, which only sellers have to do with.
const OF_SELLERS: [MannerTag; 5] = [
    MannerTag::AsDescribed,
    MannerTag::GoodPrice,
    MannerTag::WellPacked,
    MannerTag::NotAsDescribed,
    MannerTag::BadlyPacked,
];

/// What `author` says of the other side of `trade`.
pub fn draft(trade: &Trade, author: &str, req: &WriteReviewRequest) -> Result<Draft> {
    let (subject_id, subject_role) = match trade.role(author)? {
        TradeRole::Buyer => (&trade.seller_id, TradeRole::Seller),
        _ => (&trade.buyer_id, TradeRole::Buyer),
    };
    let mut bad = Violations::default();
    for (i, tag) in req.tags().enumerate() {
        if subject_role == TradeRole::Buyer && OF_SELLERS.contains(&tag) {
            bad.add(format!("tags[{i}]"), "NOT_FOR_BUYERS", "says something of goods, which buyers don't bring");
        }
    }
    let mut rated = BTreeSet::new();
    for (i, product) in req.product_ratings.iter().enumerate() {
        let field = format!("product_ratings[{i}].product_id");
        if subject_role == TradeRole::Buyer {
            bad.add(field, "NOT_FOR_BUYERS", "sellers don't rate what they sold");
        } else if !trade.product_ids.contains(&product.product_id) {
            bad.add(field, "NOT_IN_TRADE", "is not what this trade was about");
        } else if !rated.insert(&product.product_id) {
            bad.add(field, "DUPLICATE", "is rated twice");
        }
    }
    bad.none()?;
    Ok(Draft {
        author_id: author.to_owned(),
        subject_id: subject_id.clone(),
        subject_role,
        rating: req.rating.into(),
        text: req.text.trim().to_owned(),
        tags: req.tags().collect(),
        product_ratings: req.product_ratings.clone(),
    })
}

/// What a moderator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Approve,
    Reject,
}

/// What becomes of a review: held -> waiting, and rejected from anywhere but there.
pub fn decide(review_id: &str, status: ReviewStatus, verb: Verb) -> Result<ReviewStatus> {
    use ReviewStatus::{Held, Rejected, Revealed, Waiting};
    match (status, verb) {
        (Held, Verb::Approve) => Ok(Waiting),
        (Held | Waiting | Revealed, Verb::Reject) => Ok(Rejected),
        (status, verb) => {
            let status = match status {
                Waiting => "waiting",
                Revealed => "revealed",
                Rejected => "rejected",
                _ => "held",
            };
            let verb = if verb == Verb::Approve { "approved" } else { "rejected" };
            Err(Fault::WrongStatus { review_id: review_id.to_owned(), status, verb }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;

    fn trade() -> Trade {
        let terms = Terms { write: Duration::from_secs(14), reveal: Duration::from_secs(7) };
        let trade = Trade {
            order_id: "ord_1".into(),
            part: 1,
            buyer_id: "usr_b".into(),
            seller_id: "usr_s".into(),
            product_ids: vec!["prd_1".into()],
            by_deadline: false,
            buyer_wrote: true,
            seller_wrote: true,
            reveal_time: 0,
            write_until: 0,
        };
        trade.begin(from_micros(0), terms)
    }

    fn secs(n: i64) -> Time {
        from_micros(n * 1_000_000)
    }

    fn rated(product_id: &str) -> ProductRating {
        ProductRating { product_id: product_id.into(), rating: 5 }
    }

    #[test]
    fn both_or_a_week() {
        let both = Trade { buyer_wrote: true, seller_wrote: true, ..trade() };
        let one = Trade { buyer_wrote: true, ..trade() };
        assert!(both.is_open(secs(0)) && !one.is_open(secs(6)) && one.is_open(secs(7)));
        assert!(one.admits(secs(13)).is_ok());
        assert_eq!(one.admits(secs(14)).unwrap_err().reason(), "WINDOW_CLOSED");
    }

    #[test]
    fn each_side_speaks_of_the_other() {
        let req = WriteReviewRequest { rating: 5, product_ratings: vec![rated("prd_1")], ..Default::default() };
        let draft = draft(&trade(), "usr_b", &req).unwrap();
        assert_eq!((&*draft.subject_id, draft.subject_role), ("usr_s", TradeRole::Seller));
        assert_eq!(super::draft(&trade(), "usr_x", &req).unwrap_err().reason(), "NOT_YOURS");
    }

    #[test]
    fn goods_are_the_seller_s_and_only_those_of_the_trade() {
        let tags = vec![MannerTag::Kind.into(), MannerTag::WellPacked.into()];
        let ratings = vec![rated("prd_1"), rated("prd_2"), rated("prd_1")];
        let req = WriteReviewRequest { rating: 1, tags, product_ratings: ratings, ..Default::default() };
        let wrong = |author| {
            let e = draft(&trade(), author, &req).unwrap_err();
            e.field_violations().iter().map(|v| format!("{} {}", v.field, v.reason)).collect::<Vec<_>>()
        };
        assert_eq!(
            wrong("usr_b"),
            ["product_ratings[1].product_id NOT_IN_TRADE", "product_ratings[2].product_id DUPLICATE"]
        );
        assert_eq!(wrong("usr_s").len(), 4);
    }

    #[test]
    fn the_table_of_decisions() {
        use ReviewStatus::{Held, Rejected, Revealed, Waiting};
        for status in [Waiting, Held, Revealed, Rejected] {
            let approved = decide("rev_1", status, Verb::Approve).ok();
            let rejected = decide("rev_1", status, Verb::Reject).ok();
            assert_eq!(approved, (status == Held).then_some(Waiting));
            assert_eq!(rejected, (status != Rejected).then_some(Rejected));
        }
    }

    #[test]
    fn ids_tell_when() {
        let before = jangteo_core::Clock::now(&jangteo_core::SystemClock);
        let id = Id::<User>::new().to_string();
        assert!((registered(&id).unwrap() - before).num_seconds().abs() <= 1);
        assert_eq!(registered(&format!("usr_{:032x}", 7)), None);
    }
}
