//! Other ways that a trade goes: confirmed on a page, in two parts, disputed, hand to hand, begun as a guest, watched.

use serde_json::{Value, json};
use testkit::{Topology, eventually};

use crate::{
    everywhere,
    shopping::{Buyer, balance, book, key, offer, shipment, won},
    world::{ADMIN, Person, SOON, join, join_as, market},
};

everywhere!(
    a_buyer_confirms_on_the_banks_page,
    of_two_sellers_one_cancels_and_one_delivers,
    a_moderator_decides_a_dispute,
    they_meet_and_a_code_proves_it,
    a_guests_cart_is_merged_at_login,
    a_parcel_is_watched_on_its_way,
);

/// The sandbox asks the buyer of this card.
const ASKS_THE_BUYER: &str = "4000000000003220";

async fn a_buyer_confirms_on_the_banks_page(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (seller, buyer) = (join(&client).await, Buyer::with_card(&client, ASKS_THE_BUYER).await);
    for (decision, status) in [("approve", "ORDER_STATUS_PAID"), ("decline", "ORDER_STATUS_RECEIVED")] {
        let product = offer(&client, &seller, "Paid at the bank", 1).await;
        let placed = buyer.place(&client, buyer.order(&[&product])).await.expect(200);
        assert_eq!(placed["status"], "ORDER_STATUS_RECEIVED", "{placed:?}");
        assert_eq!(placed.json.pointer("/payment/status"), Some(&json!("PAYMENT_STATUS_ACTION_REQUIRED")));
        let page = placed.str("/payment/redirectUrl").to_owned();
        let shown = client.get(&page).send().await.expect(200);
        assert!(
            shown.text.contains("<form") && shown.header("content-type").is_some_and(|t| t.starts_with("text/html"))
        );

        let form = client.request(reqwest::Method::POST, format!("{page}:decide"));
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        form.raw(format!("decision={decision}")).send().await.expect(200);
        let order = placed.str("orderId").to_owned();
        let declined = decision == "decline";
        eventually(SOON, async || {
            let now = buyer.orders(&client, &order).await;
            let told = now.json.pointer("/payment/declineReason") == Some(&json!("AUTHENTICATION_FAILED"));
            if now["status"] == status && told == declined { Ok(()) } else { Err(now) }
        })
        .await;
    }
    market.command(&["verify"]).await;
}

async fn of_two_sellers_one_cancels_and_one_delivers(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (first, second, buyer) = (join(&client).await, join(&client).await, Buyer::join(&client).await);
    let kept = offer(&client, &first, "It comes", 1).await;
    let lost = offer(&client, &second, "It doesn't", 1).await;
    let paid = buyer.place(&client, buyer.order(&[&kept, &lost])).await.expect(200);
    let order = paid.str("orderId").to_owned();
    let total = won(&paid, "/total");
    assert_eq!(paid.list("parts").len(), 2, "{paid:?}");

    // Each seller sees the own part alone, and neither how it is paid nor the other's buyer's address.
    let theirs = client.get(format!("/v1/orders/{order}")).bearer(&second.access).send().await.expect(200);
    assert_eq!(theirs.list("parts").len(), 1, "{theirs:?}");
    assert!(theirs["payment"].is_null() && !theirs.text.contains(&kept), "{theirs:?}");

    let cancel = client.post(format!("/v1/orders/{order}:cancel"), json!({})).bearer(&second.access).key(key());
    cancel.send().await.expect(200);
    let part = paid.list("parts").iter().find(|p| p["sellerId"] == first.user_id.as_str()).expect("a part");
    let delivered = shipment(&client, &first, &order, part["part"].as_i64().expect("a number")).await;
    book(&client, &first, &delivered).await;
    buyer.until(&client, &order, "ORDER_STATUS_DELIVERED").await;
    let confirm = client.post(format!("/v1/orders/{order}:confirm"), json!({})).bearer(&buyer.person.access);
    confirm.key(key()).send().await.expect(200);
    let closed = buyer.closed(&client, &order).await;
    let of = |seller: &Person| {
        let parts = closed.list("parts").iter();
        parts.filter(|p| p["sellerId"] == seller.user_id.as_str()).map(|p| p["status"].clone()).next()
    };
    assert_eq!(of(&first), Some(json!("ORDER_STATUS_CONFIRMED")), "{closed:?}");
    assert_eq!(of(&second), Some(json!("ORDER_STATUS_CANCELLED")), "{closed:?}");

    let refunded = won(&closed, "/refunded");
    assert!(refunded > 0 && refunded < total, "{refunded} of {total}");
    assert!((1..=total - refunded).contains(&balance(&client, &first).await));
    assert_eq!(balance(&client, &second).await, 0);
    let back = client.get(format!("/v1/products/{lost}")).send().await.expect(200);
    assert_eq!((&back["stock"], &back["status"]), (&json!(1), &json!("PRODUCT_STATUS_ON_SALE")), "{back:?}");
    market.command(&["verify"]).await;
}

async fn a_moderator_decides_a_dispute(topology: Topology) {
    const BACK: i64 = 4000;
    let market = market(topology).await;
    let client = market.client();
    let (seller, buyer, admin) = (join(&client).await, Buyer::join(&client).await, join_as(&client, ADMIN).await);
    let moderator = join(&client).await;
    let grant =
        client.post(format!("/v1/auth/users/{}/roles:grant", moderator.user_id), json!({"role": "ROLE_MODERATOR"}));
    grant.bearer(&admin.access).send().await.expect(200);
    let moderator = crate::world::login(&client, &moderator.email).await;

    let product = offer(&client, &seller, "A vase, cracked", 1).await;
    let paid = buyer.place(&client, buyer.order(&[&product])).await.expect(200);
    let order = paid.str("orderId").to_owned();
    book(&client, &seller, &shipment(&client, &seller, &order, 1).await).await;
    buyer.until(&client, &order, "ORDER_STATUS_DELIVERED").await;
    let path = |verb: &str| format!("/v1/orders/{order}:{verb}");
    let dispute = json!({"part": 1, "reasonCode": "DISPUTE_REASON_DAMAGED", "text": "It is cracked."});
    client.post(path("dispute"), dispute).bearer(&buyer.person.access).key(key()).send().await.expect(200);
    // Neither side decides it.
    let decision = json!({"part": 1, "refund": {"currencyCode": "KRW", "units": BACK.to_string()}});
    for side in [&buyer.person, &seller] {
        client.post(path("resolve"), decision.clone()).bearer(&side.access).key(key()).send().await.expect(403);
    }
    let confirm = client.post(path("confirm"), json!({})).bearer(&buyer.person.access).key(key()).send().await;
    confirm.expect_error(400, "WRONG_STATUS");
    client.post(path("resolve"), decision).bearer(&moderator.access).key(key()).send().await.expect(200);
    let closed = buyer.closed(&client, &order).await;
    assert_eq!(won(&closed, "/refunded"), BACK, "{closed:?}");
    let rest = won(&closed, "/total") - BACK;
    let earned = balance(&client, &seller).await;
    assert!(earned > 0 && earned < rest, "{earned} of {rest}");
    market.command(&["verify"]).await;
}

async fn they_meet_and_a_code_proves_it(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (seller, buyer) = (join(&client).await, Buyer::join(&client).await);
    let product = offer(&client, &seller, "Handed over", 1).await;
    let mut order = buyer.order(&[&product]);
    order["shippingOption"] = json!("SHIPPING_OPTION_MEET_UP");
    order.as_object_mut().expect("an object").remove("addressId");
    let order = buyer.place(&client, order).await.expect(200).str("orderId").to_owned();
    let shipment = shipment(&client, &seller, &order, 1).await;
    let say = async |verb: &str, body: Value, who: &Person| {
        client.post(format!("/v1/shipments/{shipment}:{verb}"), body).bearer(&who.access).send().await
    };
    let meeting = json!({"meetUp": {"place": "Seoul Station, exit 1", "meetTime": "2030-01-01T10:00:00Z"}});
    say("book", meeting, &seller).await.expect(200);
    let code = say("issueCode", json!({}), &buyer.person).await.expect(200).str("code").to_owned();
    say("handOver", json!({"code": code}), &buyer.person).await.expect_error(400, "OWN_CODE");
    let wrong = if code == "000000" { "000001" } else { "000000" };
    say("handOver", json!({"code": wrong}), &seller).await.expect_error(400, "WRONG_CODE");
    let met = say("handOver", json!({"code": code}), &seller).await.expect(200);
    assert_eq!(met["status"], "SHIPMENT_STATUS_DELIVERED", "{met:?}");
    buyer.until(&client, &order, "ORDER_STATUS_DELIVERED").await;
    let confirm = client.post(format!("/v1/orders/{order}:confirm"), json!({})).bearer(&buyer.person.access);
    confirm.send().await.expect(200);
    buyer.closed(&client, &order).await;
    assert!(balance(&client, &seller).await > 0);
    market.command(&["verify"]).await;
}

async fn a_guests_cart_is_merged_at_login(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (seller, buyer) = (join(&client).await, join(&client).await);
    let (lamp, vase) = (offer(&client, &seller, "A lamp", 5).await, offer(&client, &seller, "A vase", 5).await);
    let item = |product: &str, quantity: u32| json!({"productId": product, "quantity": quantity});
    client.post("/v1/cart/items", item(&lamp, 1)).bearer(&buyer.access).send().await.expect(200);
    let token = client.post("/v1/cart/items", item(&lamp, 2)).send().await.expect(200).str("guestToken").to_owned();
    let mut second = item(&vase, 3);
    second["guestToken"] = json!(token);
    let more = client.post("/v1/cart/items", second).send().await.expect(200);
    assert!(more["guestToken"].is_null(), "said once\n{more:?}");

    let merge = async |who: &Person| {
        client.post("/v1/cart:merge", json!({"guestToken": token})).bearer(&who.access).send().await
    };
    // Twice by the same person is once; by another one it is nothing.
    for _ in 0..2 {
        let merged = merge(&buyer).await.expect(200);
        assert_eq!(quantities(&merged.json["cart"]), [(lamp.clone(), 3), (vase.clone(), 3)].into(), "{merged:?}");
    }
    merge(&seller).await.expect_error(404, "CART_NOT_FOUND");
    let gone = client.get("/v1/cart").query(&[("guestToken", &token)]).send().await;
    assert!(gone.list("sellers").is_empty(), "{gone:?}");
}

fn quantities(cart: &Value) -> std::collections::BTreeMap<String, i64> {
    let lines = cart["sellers"].as_array().into_iter().flatten().filter_map(|s| s["lines"].as_array()).flatten();
    lines
        .map(|l| (l["productId"].as_str().expect("an id").to_owned(), l["quantity"].as_i64().expect("a number")))
        .collect()
}

async fn a_parcel_is_watched_on_its_way(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (seller, buyer) = (join(&client).await, Buyer::join(&client).await);
    let product = offer(&client, &seller, "Watched", 1).await;
    let paid = buyer.place(&client, buyer.order(&[&product])).await.expect(200);
    let shipment = shipment(&client, &seller, paid.str("orderId"), 1).await;
    let track = |who: &Person| client.get(format!("/v1/shipments/{shipment}:track")).bearer(&who.access);
    track(&join(&client).await).send().await.expect_error(404, "SHIPMENT_NOT_FOUND");

    let watched = watch(track(&buyer.person));
    let booked = async { book(&client, &seller, &shipment).await };
    let (lines, _) = futures::join!(watched, booked);
    let sequences: Vec<_> = lines.iter().map(|l| l.pointer("/event/sequence").and_then(Value::as_i64)).collect();
    assert_eq!(sequences, (1..=lines.len() as i64).map(Some).collect::<Vec<_>>(), "each line once\n{lines:?}");
    let seen = |status: &str| lines.iter().any(|l| l.pointer("/event/status") == Some(&json!(status)));
    for status in ["PICKED_UP", "IN_TRANSIT", "OUT_FOR_DELIVERY", "DELIVERED"] {
        assert!(seen(&format!("SHIPMENT_STATUS_{status}")), "{status}\n{lines:?}");
    }
    // Who comes late sees the same, and it ends at once.
    assert_eq!(watch(track(&seller)).await.len(), lines.len());
}

/// All lines, until the stream ends by itself.
async fn watch(request: testkit::Request) -> Vec<Value> {
    let mut stream = request.open().await;
    assert_eq!(stream.head.status, 200, "{:?}", stream.head);
    let mut lines = Vec::new();
    while let Some(line) = stream.next().await {
        lines.push(line);
    }
    lines
}
