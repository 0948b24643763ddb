//! A person is forgotten: in every store, stream, cache, index and log, and nobody who traded with them is the worse for it.

use serde_json::{Value, json};
use testkit::{Client, Market, Topology, eventually};

use crate::{
    descriptors::sensitivity,
    everywhere,
    secrets::{LOG, each_file, send_as},
    services::SERVICES,
    shopping::{Buyer, GOOD_CARD, balance, book, key, offer, picture, shipment},
    stores::{self, Store},
    world::{ADMIN, PASSWORD, Person, SOON, join_as, login, setup},
};

everywhere!(an_erased_person_is_forgotten_everywhere);

/// What only one person in the world says.
const EMAIL: &str = "heron.greyfeather@pond.example";
const NAME: &str = "Heron Greyfeather";
const REAL_NAME: &str = "Ardea Cinerea Linnaeus";
const BIO: &str = "standing on one leg since 1758";
const PHONE: &str = "+821073315544";
const STREET: &str = "17 Reedbank Crescent";
const DOOR: &str = "third nest on the left";
const RECIPIENT: &str = "Mx Longbill";
const ACCOUNT: &str = "99174455667788";
const HOLDER: &str = "HERON G FEATHERSTONE";
const DEVICE: &str = "device-token-of-a-heron-0001";
const REVIEW: &str = "the carp arrived fresh and shimmering";
const COMPLAINT: &str = "the second carp was a rubber duck";
const WORDS: [&str; 13] =
    [EMAIL, NAME, REAL_NAME, BIO, PHONE, STREET, DOOR, RECIPIENT, ACCOUNT, HOLDER, DEVICE, REVIEW, COMPLAINT];

async fn an_erased_person_is_forgotten_everywhere(topology: Topology) {
    let mut market = setup(topology).env("JANGTEO_TELEMETRY__LOG", LOG).start().await;
    let client = market.client();
    let (admin, other) = (join_as(&client, ADMIN).await, Buyer::join(&client).await);
    let heron = settled_in(&client).await;
    let carp = offer(&client, &other.person, "Two carps", 9).await;
    let reeds = offer(&client, &heron.person, "A bundle of reeds", 5).await;

    // While something is open nobody is erased, and hears what it is.
    let bought = heron.place(&client, heron.order(&[&carp])).await.expect(200).str("orderId").to_owned();
    let refused = erase(&client, &heron.person, PASSWORD).await;
    let refused = refused.expect_error(400, "ACCOUNT_IN_USE");
    assert_eq!(refused.detail("google.rpc.ErrorInfo").expect("an ErrorInfo")["metadata"]["bought"], "1");
    erase(&client, &heron.person, "not-the-password-at-all").await.expect_error(403, "WRONG_PASSWORD");

    delivered(&client, &other.person, &heron, &bought).await;
    send_as(&client, "POST", &format!("/v1/orders/{bought}:confirm"), json!({}), &heron.person).await;
    heron.closed(&client, &bought).await;
    said(&client, &heron.person, &bought, REVIEW).await;
    said(&client, &other.person, &bought, "a quiet buyer").await;
    let disputed = heron.place(&client, heron.order(&[&carp])).await.expect(200).str("orderId").to_owned();
    delivered(&client, &other.person, &heron, &disputed).await;
    let dispute = json!({"part": 1, "reasonCode": "DISPUTE_REASON_OTHER", "text": COMPLAINT});
    send_as(&client, "POST", &format!("/v1/orders/{disputed}:dispute"), dispute, &heron.person).await;
    send_as(&client, "POST", &format!("/v1/orders/{disputed}:resolve"), json!({"part": 1}), &admin).await;
    heron.closed(&client, &disputed).await;
    let sold = other.place(&client, other.order(&[&reeds])).await.expect(200).str("orderId").to_owned();
    delivered(&client, &heron.person, &other, &sold).await;
    send_as(&client, "POST", &format!("/v1/orders/{sold}:confirm"), json!({}), &other.person).await;
    other.closed(&client, &sold).await;
    withdrawn(&client, &heron.person).await;

    eventually(SOON, async || {
        let reply = erase(&client, &heron.person, PASSWORD).await;
        if reply.status == 200 { Ok(()) } else { Err(reply) }
    })
    .await;
    forgotten(&market, &heron.person).await;

    gone(&client, &heron.person, &reeds).await;
    still_readable(&client, &other, &admin, [&bought, &disputed, &sold]).await;
    market.command(&["verify"]).await;
    nothing_is_left(&mut market, topology).await;

    // The address is anybody's again: for a person who has nothing to do with the other.
    let again = join_as(&client, EMAIL).await;
    assert_ne!(again.user_id, heron.person.user_id);
    let orders = client.get("/v1/orders").bearer(&again.access).send().await.expect(200);
    assert!(orders.list("orders").is_empty(), "{orders:?}");
}

/// What is personal is sealed where it is kept, and an event is kept for ever: it holds none of it.
#[test]
fn no_event_holds_what_is_personal() {
    let pool = proto::pool();
    let event = pool.get_extension_by_name("jangteo.options.v1.event").expect("options.proto");
    let mut waiting: Vec<_> = pool.all_messages().filter(|m| m.options().has_extension(&event)).collect();
    assert!(waiting.len() > 40, "only {} events", waiting.len());
    let mut seen = std::collections::BTreeSet::new();
    while let Some(message) = waiting.pop() {
        if !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        for field in message.fields() {
            assert_eq!(sensitivity(&field), 0, "{}", field.full_name());
            waiting.extend(field.kind().as_message().cloned());
        }
    }
}

async fn erase(client: &Client, person: &Person, password: &str) -> testkit::Reply {
    client.post("/v1/auth/account:erase", json!({"password": password})).bearer(&person.access).send().await
}

/// Registers, and leaves something personal wherever that can be left.
async fn settled_in(client: &Client) -> Buyer {
    let account = json!({"email": EMAIL, "password": PASSWORD, "displayName": NAME});
    client.post("/v1/auth/register", account).send().await.expect(200);
    let person = login(client, EMAIL).await;
    eventually(SOON, async || client.get("/v1/users/me").bearer(&person.access).send().await.status == 200).await;
    let profile = json!({"bio": BIO, "realName": REAL_NAME, "phoneNumber": PHONE});
    let made = client.patch("/v1/users/me", profile).bearer(&person.access).send().await.expect(200);
    assert_eq!((made.str("displayName"), made.str("bio")), (NAME, BIO));
    let address = json!({
        "label": "home", "recipient": RECIPIENT, "phoneNumber": PHONE, "postalCode": "04524", "line1": STREET,
        "line2": DOOR,
    });
    let address = send_as(client, "POST", "/v1/users/me/addresses", address, &person).await.str("addressId").to_owned();
    let card = crate::shopping::card(client, &person, GOOD_CARD).await;
    let account = json!({"bank": "kb", "accountNumber": ACCOUNT, "holder": HOLDER});
    send_as(client, "PUT", "/v1/wallet/payout-account", account, &person).await;
    let device = json!({"pushService": "PUSH_SERVICE_FCM", "token": DEVICE});
    send_as(client, "POST", "/v1/notifications/devices", device, &person).await;
    let upload = client.request(reqwest::Method::POST, "/v1/media").header("content-type", "image/png");
    upload.raw(picture(77)).bearer(&person.access).send().await.expect(201);
    Buyer { person, card, address }
}

async fn delivered(client: &Client, seller: &Person, buyer: &Buyer, order: &str) {
    book(client, seller, &shipment(client, seller, order, 1).await).await;
    buyer.until(client, order, "ORDER_STATUS_DELIVERED").await;
}

async fn said(client: &Client, who: &Person, order: &str, text: &str) {
    let review = json!({"part": 1, "rating": 5, "text": text});
    eventually(SOON, async || {
        let path = format!("/v1/orders/{order}/reviews");
        client.post(path, review.clone()).bearer(&who.access).key(key()).send().await.status == 200
    })
    .await;
}

/// What a sale brought leaves the wallet.
async fn withdrawn(client: &Client, person: &Person) {
    let won = eventually(SOON, async || Some(balance(client, person).await).filter(|won| *won > 0)).await;
    let amount = json!({"amount": {"currencyCode": "KRW", "units": won.to_string()}});
    send_as(client, "POST", "/v1/wallet:withdraw", amount, person).await;
    eventually(SOON, async || balance(client, person).await == 0).await;
}

/// Every service that keeps something about people has heard of it.
async fn forgotten(market: &Market, person: &Person) {
    for service in SERVICES.iter().map(|entry| entry.name).filter(|name| *name != "search") {
        let store = Store::open(market, service).await;
        let erased = format!("person = '{}' AND wrapped IS NULL AND erased_at IS NOT NULL", person.user_id);
        eventually(SOON, async || match store.count("person_key", &erased).await {
            1 => Ok(()),
            n => Err(format!("{service}: {n}")),
        })
        .await;
    }
}

/// Nothing answers for the person any more, and nothing breaks over it.
async fn gone(client: &Client, heron: &Person, listing: &str) {
    client.get(format!("/v1/users/{}", heron.user_id)).send().await.expect(404);
    client.get(format!("/v1/products/{listing}")).send().await.expect(404);
    let refresh = json!({"refreshToken": heron.refresh});
    client.post("/v1/auth/refresh", refresh).send().await.expect(401);
    let proofs = json!({"email": EMAIL, "password": PASSWORD});
    client.post("/v1/auth/login", proofs).send().await.expect_error(401, "INVALID_CREDENTIALS");
    eventually(SOON, async || client.get("/v1/users/me").bearer(&heron.access).send().await.status == 401).await;
    eventually(SOON, async || {
        let found = client.get("/v1/search/products").query(&[("q", "reeds")]).send().await.expect(200);
        found.list("hits").is_empty()
    })
    .await;
    let told = client.get(format!("/v1/users/{}/reviews", heron.user_id)).send().await;
    assert!(told.status < 500, "{told:?}");
    client.get(format!("/v1/users/{}/trust", heron.user_id)).send().await.expect(200);
}

/// Those who traded with them read what is theirs.
async fn still_readable(client: &Client, other: &Buyer, admin: &Person, orders: [&String; 3]) {
    for order in orders {
        for reader in [&other.person, admin] {
            client.get(format!("/v1/orders/{order}")).bearer(&reader.access).send().await.expect(200);
            client.get(format!("/v1/orders/{order}/timeline")).bearer(&reader.access).send().await.expect(200);
        }
        let query = [("orderId", order.as_str())];
        let sent = client.get("/v1/shipments").query(&query).bearer(&other.person.access).send().await.expect(200);
        let id = sent.list("shipments")[0]["shipmentId"].as_str().expect("an id").to_owned();
        client.get(format!("/v1/shipments/{id}")).bearer(&other.person.access).send().await.expect(200);
    }
    for path in
        ["/v1/orders", "/v1/orders?role=ORDER_ROLE_SELLER", "/v1/notifications", "/v1/wallet/entries", "/v1/payments"]
    {
        client.get(path).bearer(&other.person.access).send().await.expect(200);
    }
    let path = format!("/v1/users/{}/reviews", other.person.user_id);
    let reviews = client.get(path).send().await.expect(200);
    let [review] = reviews.list("reviews") else { panic!("{reviews:?}") };
    assert_eq!((&review["rating"], review["text"].as_str().unwrap_or_default()), (&json!(5), ""), "{reviews:?}");
    let disputed = client.get(format!("/v1/orders/{}", orders[1])).bearer(&admin.access).send().await.expect(200);
    assert_ne!(disputed.json.pointer("/parts/0/dispute"), None, "{disputed:?}");
    let words = disputed.json.pointer("/parts/0/dispute/text").and_then(Value::as_str).unwrap_or_default();
    assert_eq!(words, "");
}

/// The text or its bytes in hexadecimal.
fn found(content: &[u8]) -> Vec<&'static str> {
    let has = |needle: &[u8]| content.windows(needle.len()).any(|w| w == needle);
    let hex = |word: &str| word.bytes().map(|b| format!("{b:02x}")).collect::<String>();
    WORDS.into_iter().filter(|word| has(word.as_bytes()) || has(hex(word).as_bytes())).collect()
}

async fn nothing_is_left(market: &mut Market, topology: Topology) {
    if topology != Topology::Embedded {
        for entry in SERVICES {
            for row in Store::open(market, entry.name).await.rows().await {
                assert_eq!(found(row.as_bytes()), [""; 0], "a row of {}: {row}", entry.name);
            }
        }
        let messages = stores::streams(market).await;
        assert!(messages.len() > 50, "only {} messages", messages.len());
        for message in messages {
            assert_eq!(found(&message), [""; 0], "in a stream: {}", String::from_utf8_lossy(&message));
        }
        let cached = stores::cached(market).await;
        assert!(cached.len() > 100, "redis holds nothing");
        assert_eq!(found(&cached), [""; 0], "in redis");
    }
    // With a clean stop everything is in the files, and nothing in a write-ahead log any more.
    market.stop().await;
    let folder = market.folder().to_owned();
    let mut files = 0;
    // The mails and the notices have left: they are in their reader's hands.
    for part in ["data", "media"].map(|part| folder.join(part)).iter().filter(|part| part.exists()) {
        each_file(part, &mut |path, content| {
            files += 1;
            assert_eq!(found(content), [""; 0], "in {}", path.display());
        });
    }
    assert!(topology != Topology::Embedded || files > 12, "{files} files");
    let logs = market.logs();
    assert!(logs.contains("EraseAccount"), "the log does not even tell of calls");
    for line in logs.lines() {
        assert_eq!(found(line.as_bytes()), [""; 0], "in the log: {line}");
    }
    let mut mailed = false;
    each_file(&folder.join("mail"), &mut |_, content| mailed |= !found(content).is_empty());
    assert!(mailed, "a search that finds nothing anywhere proves nothing");
    market.restart().await;
}
