//! What people do, from the first request to the last.

use std::time::Duration;

use serde_json::json;
use testkit::{Client, Topology, eventually};

use crate::{
    everywhere,
    world::{SOON, join, lamp, login, market, offers, sell},
};

everywhere!(
    a_product_from_its_listing_to_its_withdrawal,
    a_profile_follows_its_account,
    signing_out_ends_the_session,
    strangers_keep_out,
    pages_miss_nothing,
    what_was_answered_survives_kill_9,
);

async fn a_product_from_its_listing_to_its_withdrawal(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (seller, buyer) = (join(&client).await, join(&client).await);

    let made = client.post("/v1/products", lamp()).bearer(&seller.access).send().await.expect(200);
    let id = made.str("productId").to_owned();
    let path = format!("/v1/products/{id}");
    assert!(id.starts_with("prd_"), "{made:?}");
    assert_eq!(made["status"], "PRODUCT_STATUS_ON_SALE");
    assert_eq!(made["sellerId"], json!(seller.user_id));
    assert_eq!(made["price"], json!({"currencyCode": "KRW", "units": "15000"}));

    // Found by whoever filters for it, and not otherwise.
    let filters: [&[(&str, &str)]; 4] = [
        &[("categoryId", "audio")],
        &[("categoryId", "digital")],
        &[("regionId", "seoul"), ("minPrice", "15000"), ("maxPrice", "15000")],
        &[("condition", "CONDITION_GOOD"), ("condition", "CONDITION_NEW"), ("status", "PRODUCT_STATUS_ON_SALE")],
    ];
    for filter in filters {
        let found = client.get("/v1/products").query(filter).send().await.expect(200);
        assert!(found.list("products").iter().any(|p| p["productId"] == id.as_str()), "{filter:?}\n{found:?}");
    }
    for filter in [("regionId", "jeolla"), ("minPrice", "15001"), ("sellerId", buyer.user_id.as_str())] {
        let found = client.get("/v1/products").query(&[filter]).send().await.expect(200);
        assert!(found.list("products").is_empty(), "{filter:?}\n{found:?}");
    }

    // Liking twice counts once.
    for _ in 0..2 {
        let liked = client.post(format!("{path}/like"), json!({})).bearer(&buyer.access).send().await.expect(200);
        assert_eq!((&liked["liked"], &liked["likeCount"]), (&json!(true), &json!(1)), "{liked:?}");
    }
    let seen = client.get(&path).bearer(&buyer.access).send().await.expect(200);
    assert_eq!((&seen["liked"], &seen["likeCount"]), (&json!(true), &json!(1)), "{seen:?}");
    client.delete(format!("{path}/like")).bearer(&buyer.access).send().await.expect(200);

    // The etag that one has read decides, not the last word.
    let etag = seen.str("etag").to_owned();
    let change = json!({"price": {"currencyCode": "KRW", "units": "12000"}, "updateMask": "price", "etag": etag});
    let changed = client.patch(&path, change.clone()).bearer(&seller.access).send().await.expect(200);
    assert_eq!(changed["price"]["units"], "12000");
    assert_eq!(changed["title"], made["title"], "only what the mask names changes");
    client.patch(&path, change).bearer(&seller.access).send().await.expect_error(409, "ETAG_MISMATCH");

    let verb = async |verb: &str| client.post(format!("{path}:{verb}"), json!({})).bearer(&seller.access).send().await;
    assert_eq!(verb("reserve").await.expect(200)["status"], "PRODUCT_STATUS_RESERVED");
    verb("reserve").await.expect_error(400, "WRONG_STATUS");
    assert_eq!(verb("relist").await.expect(200)["status"], "PRODUCT_STATUS_ON_SALE");

    let history = client.get(format!("{path}/history")).send().await.expect(200);
    let told: Vec<_> = history.list("events").iter().map(|e| (e["version"].clone(), kind(e))).collect();
    let happened = ["created", "updated", "statusChanged", "statusChanged"];
    assert_eq!(told, happened.iter().zip(1..).map(|(e, v)| (json!(v), (*e).to_owned())).collect::<Vec<_>>());

    client.delete(&path).bearer(&seller.access).send().await.expect(200);
    client.get(&path).send().await.expect_error(404, "PRODUCT_NOT_FOUND");
    assert!(offers(&client, &seller).await.is_empty());
}

/// The name of the one event of a history entry.
fn kind(entry: &serde_json::Value) -> String {
    let fields = entry.as_object().expect("an object");
    fields.keys().find(|k| !["version", "time"].contains(&k.as_str())).expect("an event").clone()
}

async fn a_profile_follows_its_account(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let person = join(&client).await;
    let me = profile(&client, &person.access).await;
    assert_eq!(me["userId"], json!(person.user_id));
    assert_eq!(me["displayName"], "Nari");

    let change = json!({"bio": "고양이 두 마리와 삽니다.", "phoneNumber": "+821012345678", "etag": me["etag"]});
    let me = client.patch("/v1/users/me", change.clone()).bearer(&person.access).send().await.expect(200);
    assert_eq!(me["phoneNumber"], "+821012345678");
    client.patch("/v1/users/me", change).bearer(&person.access).send().await.expect_error(409, "ETAG_MISMATCH");

    let seen = client.get(format!("/v1/users/{}", person.user_id)).send().await.expect(200);
    assert_eq!(seen["bio"], me["bio"]);
    assert!(!seen.text.contains("+8210"), "others don't see the number\n{seen:?}");

    let cleared = json!({"updateMask": "phoneNumber"});
    let me = client.patch("/v1/users/me", cleared).bearer(&person.access).send().await.expect(200);
    assert_eq!((me["phoneNumber"].as_str().unwrap_or(""), &me["bio"]), ("", &seen["bio"]));

    let address = json!({"label": "home", "recipient": "Nari", "phoneNumber": "+821012345678", "postalCode": "04524",
        "line1": "Sejong-daero 110"});
    let first = client.post("/v1/users/me/addresses", address).bearer(&person.access).send().await.expect(200);
    assert_eq!(first["isDefault"], true);
    let path = format!("/v1/users/me/addresses/{}", first.str("addressId"));
    client.delete(&path).bearer(&person.access).send().await.expect(200);
    client.get(&path).bearer(&person.access).send().await.expect_error(404, "ADDRESS_NOT_FOUND");

    let consents =
        json!({"consents": [{"purpose": "CONSENT_PURPOSE_LOCATION", "granted": true, "documentVersion": 1}]});
    let put = client.request(reqwest::Method::PUT, "/v1/users/me/consents").json(consents);
    assert_eq!(put.bearer(&person.access).send().await.expect(200).list("consents").len(), 1);
}

/// The profile is made from an event, a moment after the account.
async fn profile(client: &Client, access: &str) -> testkit::Reply {
    eventually(SOON, async || {
        let reply = client.get("/v1/users/me").bearer(access).send().await;
        if reply.status == 200 { Ok(reply) } else { Err(reply) }
    })
    .await
}

async fn signing_out_ends_the_session(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let person = join(&client).await;
    let other = login(&client, &person.email).await;
    let sessions = client.get("/v1/auth/sessions").bearer(&person.access).send().await.expect(200);
    assert_eq!(sessions.list("sessions").len(), 2, "{sessions:?}");

    client.post("/v1/auth/logout", json!({})).bearer(&person.access).send().await.expect(200);
    eventually(SOON, async || client.get("/v1/auth/sessions").bearer(&person.access).send().await.status == 401).await;
    client.post("/v1/auth/refresh", json!({"refreshToken": person.refresh})).send().await.expect(401);
    client.get("/v1/auth/sessions").bearer(&other.access).send().await.expect(200);
    client.post("/v1/auth/refresh", json!({"refreshToken": other.refresh})).send().await.expect(200);
}

async fn strangers_keep_out(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (seller, stranger) = (join(&client).await, join(&client).await);
    let path = format!("/v1/products/{}", sell(&client, &seller).await);
    client.post("/v1/products", lamp()).send().await.expect_error(401, "SIGN_IN_REQUIRED");
    client.delete(&path).send().await.expect_error(401, "SIGN_IN_REQUIRED");
    client.delete(&path).bearer(&stranger.access).send().await.expect_error(403, "NOT_YOURS");
    let claimed = client.delete(&path).bearer(&stranger.access).header("x-user-id", &seller.user_id);
    claimed.header("x-jangteo-caller", "catalog").send().await.expect_error(403, "NOT_YOURS");
    client.get("/v1/nowhere").send().await.expect(404);
    client.get(&path).send().await.expect(200);
}

async fn pages_miss_nothing(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let seller = join(&client).await;
    let mut sold = Vec::new();
    for region in ["seoul", "jeolla", "gangwon", "seoul", "gyeongsang"] {
        let mut product = lamp();
        product["regionId"] = json!(region);
        let made = client.post("/v1/products", product).bearer(&seller.access).send().await.expect(200);
        sold.insert(0, made.str("productId").to_owned());
    }
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let query = [("sellerId", seller.user_id.as_str()), ("pageSize", "2"), ("pageToken", &token)];
        let page = client.get("/v1/products").query(&query).send().await.expect(200);
        listed.extend(page.list("products").iter().map(|p| p["productId"].as_str().unwrap().to_owned()));
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            break;
        }
        // The token is bound to its filters, and nobody can make one.
        let other = [("pageSize", "2"), ("pageToken", token.as_str())];
        client.get("/v1/products").query(&other).send().await.expect(400);
    }
    assert_eq!(listed, sold, "newest first, over all regions");
}

async fn what_was_answered_survives_kill_9(topology: Topology) {
    let mut market = market(topology).await;
    let client = market.client();
    let seller = join(&client).await;
    let product = sell(&client, &seller).await;
    market.kill9();
    market.restart().await;
    let client = market.client();
    assert_eq!(
        client.get(format!("/v1/products/{product}")).send().await.expect(200)["sellerId"],
        json!(seller.user_id)
    );
    profile(&client, &seller.access).await;
    client.post("/v1/auth/refresh", json!({"refreshToken": seller.refresh})).send().await.expect(200);
}

/// Events wait for the broker: what it missed arrives when it is back.
#[tokio::test]
async fn an_event_waits_for_the_broker() {
    for topology in [Topology::OneProcess, Topology::Mesh] {
        let mut market = market(topology).await;
        let client = market.client();
        market.nats().kill9();
        let person = join(&client).await;
        market.nats().restart().await;
        let patience = Duration::from_secs(30);
        eventually(patience, async || client.get("/v1/users/me").bearer(&person.access).send().await.status == 200)
            .await;
    }
}

/// Redis is a cache and a counter: without it the market is slower, never wrong.
#[tokio::test]
async fn redis_may_go() {
    for topology in [Topology::OneProcess, Topology::Mesh] {
        let mut market = market(topology).await;
        let client = market.client();
        let seller = join(&client).await;
        let path = format!("/v1/products/{}", sell(&client, &seller).await);
        client.get(&path).send().await.expect(200);
        market.redis().kill9();
        let change = json!({"title": "Desk lamp, cold light"});
        client.patch(&path, change).bearer(&seller.access).send().await.expect(200);
        eventually(Duration::from_secs(2), async || {
            client.get(&path).send().await.expect(200)["title"] == "Desk lamp, cold light"
        })
        .await;
        sell(&client, &seller).await;
        market.redis().restart().await;
        assert_eq!(client.get(&path).send().await.expect(200)["title"], "Desk lamp, cold light");
    }
}
