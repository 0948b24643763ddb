//! No log line can hold a secret by accident, however deep it lies.

use crate::jangteo::test::v1::{
    People, Person,
    person::{Address, Kind, Proof, address::Floor},
};

fn person() -> Person {
    Person {
        user_id: "usr_1".into(),
        email: "canary@example.com".into(),
        password: Some("canary".into()),
        phones: vec!["canary".into()],
        address: Some(Address { city: "Seoul".into(), street: "canary".into(), floor: Some(Floor { number: 7 }) }),
        proof: Some(Proof::Code("canary".into())),
        kind: Kind::Seller as i32,
    }
}

#[test]
fn secrets_are_not_printed_and_the_rest_is() {
    let people = People { people: vec![person()], by_id: [("usr_1".to_owned(), person())].into() };
    for text in [format!("{:?}", person()), format!("{people:?}"), format!("{people:#?}")] {
        assert!(!text.contains("canary"), "{text}");
        for seen in ["usr_1", "Seoul", "number: 7", "[redacted]"] {
            assert!(text.contains(seen), "{seen}: {text}");
        }
    }
    assert_eq!(format!("{:?}", Kind::Seller), "KIND_SELLER");
    let echo =
        proto::jangteo::probe::v1::EchoRequest { secret: "canary".into(), text: "seen".into(), ..Default::default() };
    let text = format!("{echo:?}");
    assert!(text.contains("seen") && !text.contains("canary"), "{text}");
}
