//! A whole trade through the edge, and what happens when a part of it goes wrong.

use serde_json::{Value, json};
use testkit::{Client, Topology, eventually};

use crate::{
    everywhere,
    shopping::{Buyer, GOOD_CARD, balance, book, card, key, offer, picture, shipment, won},
    world::{Person, SOON, join, lamp, market},
};

mod ways;

everywhere!(
    from_registering_to_both_reviews,
    what_goes_wrong_says_what_to_do_next,
    of_forty_buyers_one_gets_the_last_unit
);

async fn from_registering_to_both_reviews(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (seller, buyer) = (join(&client).await, Buyer::join(&client).await);

    let product = listed_with_a_picture(&client, &seller).await;
    eventually(SOON, async || {
        let found = client.get("/v1/search/products").query(&[("q", "teapot")]).send().await.expect(200);
        found.list("hits").iter().any(|hit| hit["productId"] == product.as_str())
    })
    .await;
    let item = json!({"productId": product, "quantity": 1});
    client.post("/v1/cart/items", item).bearer(&buyer.person.access).send().await.expect(200);
    let cart = client.get("/v1/cart").bearer(&buyer.person.access).send().await.expect(200);
    assert_eq!(cart.json.pointer("/sellers/0/lines/0/productId"), Some(&json!(product)), "{cart:?}");

    let paid = buyer.place(&client, buyer.order(&[&product])).await.expect(200);
    assert_eq!(paid["status"], "ORDER_STATUS_PAID", "{paid:?}");
    let order = paid.str("orderId").to_owned();
    let shipment = shipment(&client, &seller, &order, 1).await;
    eventually(SOON, async || {
        let cart = client.get("/v1/cart").bearer(&buyer.person.access).send().await.expect(200);
        cart.list("sellers").is_empty()
    })
    .await;

    assert!(!book(&client, &seller, &shipment).await.str("trackingNumber").is_empty());
    buyer.until(&client, &order, "ORDER_STATUS_DELIVERED").await;
    let confirm = client.post(format!("/v1/orders/{order}:confirm"), json!({})).bearer(&buyer.person.access);
    confirm.send().await.expect(200);
    buyer.until(&client, &order, "ORDER_STATUS_CONFIRMED").await;
    let closed = buyer.closed(&client, &order).await;
    let (total, earned) = (won(&closed, "/total"), balance(&client, &seller).await);
    assert!(earned > 0 && earned < total, "{earned} of {total}");

    both_review(&client, &seller, &buyer, &order).await;
    told_of_it(&client, &seller, &buyer.person).await;
    market.command(&["verify"]).await;
}

async fn listed_with_a_picture(client: &Client, seller: &Person) -> String {
    let upload = client.request(reqwest::Method::POST, "/v1/media").header("content-type", "image/png");
    let made = upload.raw(picture(200)).bearer(&seller.access).send().await.expect(201);
    let image = made.str("mediaId").to_owned();
    let mut product = lamp();
    (product["title"], product["imageIds"], product["stock"]) = (json!("Iron teapot"), json!([image]), json!(1));
    let made = client.post("/v1/products", product).bearer(&seller.access).send().await.expect(200);
    eventually(SOON, async || client.get(format!("/v1/media/{image}/thumbnail")).send().await.status == 200).await;
    made.str("productId").to_owned()
}

async fn both_review(client: &Client, seller: &Person, buyer: &Buyer, order: &str) {
    for (who, about) in [(&buyer.person, seller), (seller, &buyer.person)] {
        let review = json!({"part": 1, "rating": 5, "text": "Everything as it was said."});
        let written = client.post(format!("/v1/orders/{order}/reviews"), review).bearer(&who.access).key(key());
        written.send().await.expect(200);
        let path = format!("/v1/users/{}/trust", about.user_id);
        client.get(path).send().await.expect(200);
    }
    for about in [seller, &buyer.person] {
        eventually(SOON, async || {
            let path = format!("/v1/users/{}/reviews", about.user_id);
            client.get(path).send().await.expect(200).list("reviews").len() == 1
        })
        .await;
    }
}

async fn told_of_it(client: &Client, seller: &Person, buyer: &Person) {
    for person in [seller, buyer] {
        eventually(SOON, async || {
            let told = client.get("/v1/notifications").bearer(&person.access).send().await.expect(200);
            told.list("notifications").len() >= 3
        })
        .await;
    }
}

async fn what_goes_wrong_says_what_to_do_next(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (seller, buyer) = (join(&client).await, Buyer::join(&client).await);
    let product = offer(&client, &seller, "One vase", 1).await;

    let mut dearer = buyer.order(&[&product]);
    dearer["items"][0]["expectedPrice"] = json!({"currencyCode": "KRW", "units": "14000"});
    let changed = buyer.place(&client, dearer).await;
    changed.expect_error(400, "PRICE_CHANGED");

    let broke = Buyer::with_card(&client, "4000000000009995").await;
    let declined = broke.place(&client, broke.order(&[&product])).await;
    assert_eq!(declined.reason(), Some("PAYMENT_DECLINED"), "{declined:?}");
    let info = declined.detail("google.rpc.ErrorInfo").expect("an ErrorInfo")["metadata"].clone();
    assert_eq!(info["decline_reason"], "INSUFFICIENT_FUNDS", "{declined:?}");
    // The unit is kept for whoever was declined, so nobody else gets it …
    let late = buyer.place(&client, buyer.order(&[&product])).await;
    assert_eq!(late.reason(), Some("OUT_OF_STOCK"), "{late:?}");
    // … and another card pays for it.
    let order = info["order_id"].as_str().expect("an order").to_owned();
    let card = card(&client, &broke.person, GOOD_CARD).await;
    let pay = |card: &str| {
        let source = json!({"source": {"paymentMethodId": card}});
        client.post(format!("/v1/orders/{order}:pay"), source).bearer(&broke.person.access).key(key())
    };
    assert_eq!(pay(&card).send().await.expect(200)["status"], "ORDER_STATUS_PAID");
    assert_eq!(pay(&card).send().await.reason(), Some("ALREADY_PAID"));
    let theirs = client.get(format!("/v1/orders/{order}")).bearer(&buyer.person.access).send().await;
    assert!([403, 404].contains(&theirs.status), "{theirs:?}");

    // Cancelled before it was sent: the money and the vase come back.
    let cancel = client.post(format!("/v1/orders/{order}:cancel"), json!({"part": 1}));
    cancel.bearer(&broke.person.access).key(key()).send().await.expect(200);
    broke.until(&client, &order, "ORDER_STATUS_CANCELLED").await;
    eventually(SOON, async || buyer.place(&client, buyer.order(&[&product])).await.status == 200).await;
    eventually(SOON, async || buyer_is_refunded(&client, &broke.person).await).await;
    market.command(&["verify"]).await;
}

async fn buyer_is_refunded(client: &Client, person: &Person) -> bool {
    let payments = client.get("/v1/payments").bearer(&person.access).send().await.expect(200);
    payments.list("payments").iter().any(|p: &Value| p["status"] == "PAYMENT_STATUS_REFUNDED")
}

async fn of_forty_buyers_one_gets_the_last_unit(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let seller = join(&client).await;
    let product = offer(&client, &seller, "The last unit", 1).await;
    let mut buyers = Vec::new();
    for _ in 0..40 {
        buyers.push(Buyer::join(&client).await);
    }
    let clicks = buyers.iter().map(|buyer| buyer.place(&client, buyer.order(&[&product])));
    let answers = futures::future::join_all(clicks).await;
    // Sold, once it is paid; until then nothing is left of it.
    let gone = |a: &&testkit::Reply| ["OUT_OF_STOCK", "NOT_ON_SALE"].contains(&a.reason().unwrap_or_default());
    let refused = answers.iter().filter(gone).count();
    let taken: Vec<_> = buyers.iter().zip(&answers).filter(|(_, a)| a.status == 200).collect();
    assert_eq!((taken.len(), refused), (1, 39), "{answers:?}");
    // On a busy machine the provider may be slower than the answer.
    let (buyer, order) = taken[0];
    buyer.until(&client, order.str("orderId"), "ORDER_STATUS_PAID").await;
    market.command(&["verify"]).await;
}
