use super::*;
use ShipmentStatus::{Booked, Cancelled, Delivered, InTransit, OutForDelivery, PickedUp, Prepared, Ready, Returned};
use jangteo_core::from_micros;
use proptest::prelude::*;

fn shipment(status: ShipmentStatus) -> Shipment {
    Shipment { shipment_id: "shp_1".into(), status, ..Shipment::default() }
}

fn sight(n: i64, status: ShipmentStatus) -> Sight {
    Sight { event_id: n.to_string(), status, place: "서울".into(), time: from_micros(n) }
}

/// Every status that the shipment passes while it sees all of them.
fn follow(from: ShipmentStatus, sights: &[Sight]) -> (Shipment, Vec<ShipmentStatus>) {
    let mut s = shipment(from);
    let mut passed = vec![from];
    for sight in sights {
        for event in s.see(sight).events {
            s.apply(&event);
            passed.push(s.status);
        }
    }
    (s, passed)
}

#[test]
fn only_what_has_not_left_can_be_cancelled() {
    for status in [Prepared, Ready, Booked] {
        assert_eq!(shipment(status).cancel(from_micros(0)).unwrap().len(), 1, "{status:?}");
    }
    assert_eq!(shipment(Cancelled).cancel(from_micros(0)).unwrap(), []);
    for status in [PickedUp, InTransit, OutForDelivery, Delivered, Returned] {
        let e = shipment(status).cancel(from_micros(0)).unwrap_err();
        assert_eq!(e.reason(), "SHIPMENT_UNDERWAY", "{status:?}");
    }
}

#[test]
fn only_what_is_ready_can_be_booked() {
    for status in [Prepared, Booked, PickedUp, Delivered, Cancelled, Returned] {
        let e = shipment(status).book("cj", "1", "", from_micros(0)).unwrap_err();
        assert_eq!(e.reason(), "WRONG_STATUS", "{status:?}");
    }
    assert_eq!(shipment(Ready).book("cj", "1", "", from_micros(0)).unwrap().len(), 1);
}

#[test]
fn the_first_sighting_on_the_way_says_that_it_was_picked_up() {
    let (s, passed) = follow(Booked, &[sight(5, Delivered)]);
    assert_eq!((s.status, passed), (Delivered, vec![Booked, PickedUp, Delivered]));
    let seen = s.see(&sight(1, PickedUp));
    assert_eq!(seen, Seen { late: true, events: vec![] });
}

#[test]
fn another_hub_is_news_and_an_older_one_is_not() {
    let (s, passed) = follow(PickedUp, &[sight(2, InTransit), sight(3, InTransit)]);
    assert_eq!(passed, [PickedUp, InTransit, InTransit]);
    assert!(s.see(&sight(1, InTransit)).late);
}

#[test]
fn nobody_sees_what_is_not_booked_or_was_cancelled() {
    for status in [Prepared, Ready, Cancelled] {
        assert!(shipment(status).see(&sight(1, PickedUp)).late, "{status:?}");
    }
    assert!(shipment(Booked).see(&sight(1, Cancelled)).late, "that is not a carrier's to say");
}

#[test]
fn a_place_says_no_more_than_the_city() {
    for (place, city) in
        [("Oderweg 2, AMSTERDAM", "AMSTERDAM"), ("서울", "서울"), ("수표로 12", ""), ("", ""), (" LEIPZIG ", "LEIPZIG")]
    {
        let seen = Sight { place: place.into(), ..sight(1, InTransit) };
        assert_eq!(seen.coarse().place, city, "{place}");
    }
}

const SEEN: [ShipmentStatus; 6] = [Booked, PickedUp, InTransit, OutForDelivery, Delivered, Returned];

proptest! {
    /// In whatever order and however often: never backwards, at most one end, and picked up first.
    #[test]
    fn a_shipment_never_goes_back(
        seen in prop::collection::vec((0..40i64, prop::sample::select(SEEN.to_vec())), 0..30),
    ) {
        let sights: Vec<_> = seen.into_iter().map(|(n, status)| sight(n, status)).collect();
        let (s, passed) = follow(Booked, &sights);
        prop_assert!(passed.windows(2).all(|w| rank(w[0]) <= rank(w[1])), "{passed:?}");
        prop_assert!(passed.iter().filter(|p| crate::domain::is_end(**p)).count() <= 1, "{passed:?}");
        prop_assert!(passed.len() == 1 || passed[1] == PickedUp, "{passed:?}");
        prop_assert_eq!(s.status, *passed.last().unwrap());
    }
}
