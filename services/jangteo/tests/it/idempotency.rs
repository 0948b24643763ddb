//! The same key with the same body has one effect and one answer.

use futures::future::join_all;
use serde_json::json;
use testkit::Topology;

use crate::{
    everywhere,
    stores::Store,
    world::{accepted, join, lamp, market, offers},
};

everywhere!(a_hundred_identical_calls_make_one_product, a_key_belongs_to_one_body_and_one_person);

async fn a_hundred_identical_calls_make_one_product(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let seller = join(&client).await;
    // On a busy machine some run out of time and are sent again, which is what the key is for.
    let calls =
        (0..100).map(|_| accepted(|| client.post("/v1/products", lamp()).bearer(&seller.access).key("one-lamp")));
    let mut answers: Vec<_> = join_all(calls).await.into_iter().map(|reply| reply.text).collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "every caller gets the same answer");
    assert_eq!(offers(&client, &seller).await.len(), 1);
    let store = Store::open(&market, "catalog").await;
    assert_eq!(store.count("event", "aggregate = 'product'").await, 1);
}

async fn a_key_belongs_to_one_body_and_one_person(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (seller, other) = (join(&client).await, join(&client).await);
    let create = async |person: &crate::world::Person, title: &str| {
        let mut body = lamp();
        body["title"] = json!(title);
        client.post("/v1/products", body).bearer(&person.access).key("key-1").send().await
    };
    let first = create(&seller, "a lamp").await.expect(200);
    assert_eq!(create(&seller, "a lamp").await.expect(200).text, first.text);
    create(&seller, "another lamp").await.expect_error(422, "REQUEST_ID_REUSED");
    let theirs = create(&other, "a lamp").await.expect(200);
    assert_ne!(theirs["productId"], first["productId"], "keys of two people don't meet");
    assert_eq!(offers(&client, &seller).await.len(), 1);
}
