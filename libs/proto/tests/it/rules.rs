//! Each kind of rule, kept and broken.

use crate::jangteo::test::v1::{Choice, Colour, Enums, Lists, Numbers, Required, Texts, Times, choice::Way};
use proto::{Checked, rules::check};
use std::collections::BTreeMap;

/// `field REASON` of everything that is wrong.
fn broken(message: impl Checked) -> Vec<String> {
    match check(&message) {
        Ok(()) => Vec::new(),
        Err(e) => e.field_violations().iter().map(|v| format!("{} {}", v.field, v.reason)).collect(),
    }
}

fn texts() -> Texts {
    Texts { length: "장터".into(), ..Default::default() }
}

#[test]
fn texts_have_lengths_patterns_and_choices() {
    assert!(broken(texts()).is_empty());
    let all = Texts {
        length: "장".into(),
        pattern: "A1".into(),
        choice: "fr".into(),
        email: Some("".into()),
        digest: vec![1, 2, 3],
        anything: "x".into(),
    };
    assert_eq!(
        broken(all),
        [
            "length STRING_MIN_LEN",
            "pattern STRING_PATTERN",
            "choice STRING_IN",
            "email STRING_EMAIL",
            "digest BYTES_LEN"
        ]
    );
    assert_eq!(broken(Texts { length: "장터장터장".into(), ..Default::default() }), ["length STRING_MAX_LEN"]);
    let good = Texts {
        length: "four".into(),
        pattern: "abc".into(),
        choice: "ko".into(),
        email: Some("a@b.kr".into()),
        digest: vec![1, 2, 3, 4],
        anything: String::new(),
    };
    assert!(broken(good).is_empty());
}

#[test]
fn numbers_have_bounds() {
    assert!(broken(Numbers::default()).is_empty());
    assert!(broken(Numbers { stars: 5, big: Some(9), ratio: 1.0, even: 4, agreed: true }).is_empty());
    let bad = Numbers { stars: 6, big: Some(10), ratio: -0.1, even: 3, agreed: true };
    assert_eq!(broken(bad), ["stars NUMBER_LTE", "big NUMBER_LT", "ratio NUMBER_GTE", "even NUMBER_IN"]);
    assert_eq!(broken(Numbers { stars: -1, ..Default::default() }), ["stars NUMBER_GTE"]);
    let nan = broken(Numbers { ratio: f64::NAN, ..Default::default() });
    assert_eq!(nan, ["ratio NUMBER_GTE", "ratio NUMBER_LTE", "ratio NUMBER_FINITE"]);
}

#[test]
fn what_is_required_is_missed() {
    let missing = broken(Required::default());
    let fields = ["name", "number", "colour", "texts", "tags", "maybe"];
    assert_eq!(missing, fields.map(|f| format!("{f} REQUIRED")));
    let full = Required {
        name: "n".into(),
        number: 1,
        colour: Colour::Red as i32,
        texts: Some(texts()),
        tags: vec![String::new()],
        maybe: Some(String::new()),
    };
    assert!(broken(full.clone()).is_empty());
    let inside = Required { texts: Some(Texts::default()), ..full };
    assert_eq!(broken(inside), ["texts.length STRING_MIN_LEN"]);
}

#[test]
fn enums_are_known_and_said() {
    assert_eq!(broken(Enums::default()), ["said ENUM_IN"]);
    assert_eq!(broken(Enums { known: 3, said: 1 }), ["known ENUM_DEFINED_ONLY"]);
    assert!(broken(Enums { known: 5, said: 99 }).is_empty());
}

#[test]
fn lists_and_maps_are_looked_through() {
    let good = Lists { numbers: vec![Numbers::default()], ..Default::default() };
    let strings = |s: &[&str]| s.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    assert!(broken(good.clone()).is_empty());
    assert_eq!(broken(Lists::default()), ["numbers REPEATED_MIN_ITEMS"]);
    let tags = Lists { tags: strings(&["a", "", "toolong"]), ..good.clone() };
    assert_eq!(broken(tags), ["tags[1] STRING_MIN_LEN", "tags[2] STRING_MAX_LEN"]);
    assert_eq!(broken(Lists { tags: strings(&["a", "b", "a"]), ..good.clone() }), ["tags REPEATED_UNIQUE"]);
    let flood = Lists { tags: vec![String::new(); 200_000], ..good.clone() };
    assert_eq!(broken(flood), ["tags REPEATED_MAX_ITEMS"], "and nothing is said of each");
    let nested =
        Lists { numbers: vec![Numbers::default(), Numbers { stars: 9, ..Default::default() }], ..good.clone() };
    assert_eq!(broken(nested), ["numbers[1].stars NUMBER_LTE"]);
    let stock = BTreeMap::from([("a".to_owned(), 1), ("bb".to_owned(), 0)]);
    assert_eq!(broken(Lists { stock, ..good.clone() }), ["stock[\"a\"] STRING_MIN_LEN", "stock[\"bb\"] NUMBER_GT"]);
    let stock = ["aa", "bb", "cc"].map(|k| (k.to_owned(), 1)).into();
    assert_eq!(broken(Lists { stock, ..good.clone() }), ["stock REPEATED_MAX_ITEMS"]);
    let by_name = BTreeMap::from([("x.y".to_owned(), Numbers { even: 1, ..Default::default() })]);
    assert_eq!(broken(Lists { by_name, ..good.clone() }), ["by_name[\"x.y\"].even NUMBER_IN"]);
    let mut unbounded: Vec<f64> = (0..300_000).map(f64::from).collect();
    assert!(broken(Lists { unbounded: unbounded.clone(), ..good.clone() }).is_empty());
    unbounded.push(7.0);
    assert_eq!(broken(Lists { unbounded, ..good }), ["unbounded REPEATED_UNIQUE"]);
}

#[test]
fn durations_have_bounds() {
    let wait = |seconds, nanos| Times { wait: Some(prost_types::Duration { seconds, nanos }) };
    assert!(broken(Times { wait: None }).is_empty());
    assert!(broken(wait(3600, 5)).is_empty());
    assert!(broken(wait(0, 1)).is_empty());
    assert_eq!(broken(wait(0, 0)), ["wait NUMBER_GT"]);
    assert_eq!(broken(wait(-1, 0)), ["wait NUMBER_GT"]);
    assert_eq!(broken(wait(3600, 6)), ["wait NUMBER_LTE"]);
}

#[test]
fn one_of_several_is_chosen() {
    assert_eq!(broken(Choice::default()), ["way REQUIRED"]);
    assert_eq!(broken(Choice { way: Some(Way::Card("123".into())), ..Default::default() }), ["card STRING_MIN_LEN"]);
    let points = Numbers { stars: 6, ..Default::default() };
    assert_eq!(broken(Choice { way: Some(Way::Points(points)), ..Default::default() }), ["points.stars NUMBER_LTE"]);
    let good = Choice { way: Some(Way::Card("1234".into())), request_id: "k".into(), ..Default::default() };
    assert_eq!(good.request_id(), "k");
    assert_eq!(texts().request_id(), "");
    assert!(broken(crate::jangteo::options::v1::EventOptions::default()).is_empty(), "no rules, no violations");
    assert!(broken(good).is_empty());
}
