//! What the protos mark as personal or secret never reaches a log; nor, readable, a store.

use std::path::Path;

use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Value, json};
use testkit::{Client, Market, Reply, Topology, eventually};

use crate::{
    descriptors::{Method, Route, body, matching, methods, pattern, sensitivity},
    everywhere,
    shopping::{Buyer, GOOD_CARD, book, key, offer, picture, shipment},
    world::{ADMIN, Person, SOON, join, join_as, setup},
};

everywhere!(canaries_never_sing);

/// Chatty, as an operator looking for a fault would have it.
pub const LOG: &str = "debug,h2=info,hyper=info,hyper_util=info,rustls=info,tower=info";

/// The strings to look for afterwards.
#[derive(Default)]
struct Canaries(Vec<String>);

impl Canaries {
    /// A value for a sensitive field that its rules allow.
    fn value(&mut self, name: &str) -> Option<Value> {
        let n = self.0.len();
        let canary = match name {
            "email" => format!("canary{n:04}@burrow.example"),
            "phone_number" => format!("+8210{:08}", 73_310_000 + n),
            "account_number" => format!("9917{:08}", 73_310_000 + n),
            "number" => card_number(n),
            // Too short to be told from other digits.
            "postal_code" | "code" | "totp_code" => return None,
            "recovery_code" => format!("canary-{n:04}-recovery"),
            _ => format!("canary-{n:04}-{name}"),
        };
        self.0.push(canary.clone());
        Some(json!(canary))
    }

    /// The same, by the field's type.
    fn of(&mut self, field: &FieldDescriptor) -> Option<Value> {
        match field.kind() {
            Kind::String => self.value(field.name()),
            Kind::Message(m) if m.full_name() == "google.type.LatLng" => {
                let place = json!({"latitude": 37.5 + self.0.len() as f64 * 1e-7, "longitude": 126.97});
                self.0.push(place["latitude"].to_string());
                Some(place)
            }
            _ => None,
        }
    }

    fn keep(&mut self, reply: &Reply, names: &[&str]) {
        self.0.extend(names.iter().filter_map(|name| reply[*name].as_str()).map(str::to_owned));
    }

    /// What an answer gives that only its reader may know.
    fn keep_secrets(&mut self, reply: &Reply) {
        self.keep(reply, &["guestToken", "shareToken", "uploadUrl"]);
    }

    fn found_in(&self, text: &[u8]) -> Vec<&str> {
        let text = String::from_utf8_lossy(text);
        self.0.iter().filter(|canary| text.contains(canary.as_str())).map(String::as_str).collect()
    }
}

/// Sixteen digits that pass the check of card numbers; no scheme gave them out.
fn card_number(n: usize) -> String {
    let digits = format!("4999{:011}", 73_310_000 + n);
    let weighed =
        digits.bytes().zip([2, 1].into_iter().cycle()).map(|(digit, weight)| u32::from(digit - b'0') * weight);
    let sum: u32 = weighed.map(|n| n / 10 + n % 10).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

async fn canaries_never_sing(topology: Topology) {
    let market = setup(topology).env("JANGTEO_TELEMETRY__LOG", LOG).start().await;
    let client = market.client();
    let mut canaries = Canaries::default();
    let access = a_person_made_of_canaries(&client, &mut canaries).await;
    a_trade_of_canaries(&client, &mut canaries).await;
    for method in methods() {
        for spoilt in [false, true] {
            for token in [None, Some(&access)] {
                send(&client, &mut canaries, &method, token, spoilt).await;
            }
        }
    }
    assert!(canaries.0.len() > 50, "only {} canaries were sent", canaries.0.len());

    let logs = market.logs();
    assert!(
        logs.contains("/v1/auth/login") || logs.contains("AuthService/Login"),
        "the log does not even tell of calls"
    );
    let singing: Vec<_> = logs.lines().filter(|line| !canaries.found_in(line.as_bytes()).is_empty()).take(5).collect();
    assert!(singing.is_empty(), "in the logs:\n{}", singing.join("\n"));
    if topology == Topology::Embedded {
        readable_in_stores(&market.folder().join("data"), &canaries, 12);
        readable_in_stores(&market.folder().join("media"), &canaries, 2);
    }
    seen_where_they_belong(&market, &canaries).await;
}

/// A search that finds nothing anywhere would prove nothing: letters are addressed to canaries.
async fn seen_where_they_belong(market: &Market, canaries: &Canaries) {
    eventually(SOON, async || {
        let mut found = false;
        let mail = market.folder().join("mail");
        if mail.exists() {
            each_file(&mail, &mut |_, content| found |= !canaries.found_in(content).is_empty());
        }
        found
    })
    .await;
}

/// Registers, signs in, fills the profile: what is accepted and kept.
async fn a_person_made_of_canaries(client: &Client, canaries: &mut Canaries) -> String {
    let [email, password, name] = ["email", "password", "display_name"].map(|f| canaries.value(f).expect("a value"));
    let account = json!({"email": email, "password": password, "displayName": name});
    client.post("/v1/auth/register", account).send().await.expect(200);
    let login = client.post("/v1/auth/login", json!({"email": email, "password": password})).send().await.expect(200);
    canaries.keep(&login, &["accessToken", "refreshToken"]);
    let body = json!({"refreshToken": login["refreshToken"]});
    let refreshed = client.post("/v1/auth/refresh", body).send().await.expect(200);
    canaries.keep(&refreshed, &["accessToken", "refreshToken"]);
    let access = refreshed.str("accessToken").to_owned();
    let proof = json!({"password": password});
    let totp = client.post("/v1/auth/totp:enroll", proof).bearer(&access).send().await.expect(200);
    canaries.keep(&totp, &["secret", "otpauthUrl"]);
    eventually(SOON, async || client.get("/v1/users/me").bearer(&access).send().await.status == 200).await;
    let [bio, real_name, phone] = ["bio", "real_name", "phone_number"].map(|f| canaries.value(f).expect("a value"));
    let profile = json!({"bio": bio, "realName": real_name, "phoneNumber": phone});
    client.patch("/v1/users/me", profile).bearer(&access).send().await.expect(200);
    access
}

/// Everything personal that a trade holds: addresses, words, places, numbers of cards and accounts.
async fn a_trade_of_canaries(client: &Client, canaries: &mut Canaries) {
    canaries.0.push(GOOD_CARD.to_owned());
    let (seller, admin) = (join(client).await, join_as(client, ADMIN).await);
    let buyer = Buyer::join(client).await;
    let buyer = Buyer { address: moved(client, canaries, &buyer.person).await, ..buyer };
    let mut named = |name: &str| canaries.value(name).expect("a value");
    let [account, holder, device] = ["account_number", "holder", "device_token"].map(&mut named);
    let [text, place, complaint] = ["text", "place", "complaint"].map(&mut named);
    let account = json!({"bank": "kb", "accountNumber": account, "holder": holder});
    send_as(client, "PUT", "/v1/wallet/payout-account", account, &seller).await;
    let device = json!({"pushService": "PUSH_SERVICE_FCM", "token": device});
    send_as(client, "POST", "/v1/notifications/devices", device, &buyer.person).await;
    let upload = client.request(reqwest::Method::POST, "/v1/media").header("content-type", "image/png");
    upload.raw(picture(1)).bearer(&seller.access).send().await.expect(201);

    let product = offer(client, &seller, "Nothing personal", 9).await;
    let item = json!({"productId": product, "quantity": 1});
    let guest = client.post("/v1/cart/items", item.clone()).send().await.expect(200);
    canaries.keep_secrets(&guest);
    client.get("/v1/cart").query(&[("guestToken", guest.str("guestToken"))]).send().await.expect(200);
    send_as(client, "POST", "/v1/cart/items", item, &buyer.person).await;
    let share = send_as(client, "POST", "/v1/cart:share", json!({}), &buyer.person).await;
    canaries.keep_secrets(&share);
    client.get(format!("/v1/carts/shared/{}", share.str("shareToken"))).send().await.expect(200);

    let meeting = meet(client, &seller, &buyer, &product).await;
    let meet_up = json!({"meetUp": {"place": place, "meetTime": "2030-01-01T10:00:00Z"}});
    send_as(client, "POST", &format!("/v1/shipments/{meeting}:book"), meet_up, &seller).await;
    for disputed in [true, false] {
        let order = buyer.place(client, buyer.order(&[&product])).await.expect(200).str("orderId").to_owned();
        book(client, &seller, &shipment(client, &seller, &order, 1).await).await;
        buyer.until(client, &order, "ORDER_STATUS_DELIVERED").await;
        let path = |verb: &str| format!("/v1/orders/{order}{verb}");
        if disputed {
            let dispute = json!({"part": 1, "reasonCode": "DISPUTE_REASON_OTHER", "text": complaint});
            send_as(client, "POST", &path(":dispute"), dispute, &buyer.person).await;
            send_as(client, "POST", &path(":resolve"), json!({"part": 1}), &admin).await;
        } else {
            send_as(client, "POST", &path(":confirm"), json!({}), &buyer.person).await;
            let review = json!({"part": 1, "rating": 5, "text": text});
            eventually(SOON, async || {
                let write = client.post(path("/reviews"), review.clone()).bearer(&buyer.person.access);
                write.send().await.status == 200
            })
            .await;
        }
    }
}

pub async fn send_as(client: &Client, verb: &str, path: &str, body: Value, who: &Person) -> Reply {
    let request = client.request(verb.parse().expect("a method"), path).json(body).bearer(&who.access);
    request.key(key()).send().await.expect(200)
}

/// An address whose every line is a canary.
async fn moved(client: &Client, canaries: &mut Canaries, person: &Person) -> String {
    let mut address = json!({"label": "home", "postalCode": "04524"});
    for name in ["recipient", "phone_number", "line1", "line2"] {
        let json_name = if name == "phone_number" { "phoneNumber" } else { name };
        address[json_name] = canaries.value(name).expect("a value");
    }
    send_as(client, "POST", "/v1/users/me/addresses", address, person).await.str("addressId").to_owned()
}

/// An order that is to be handed over; gives its shipment.
async fn meet(client: &Client, seller: &Person, buyer: &Buyer, product: &str) -> String {
    let mut order = buyer.order(&[product]);
    order["shippingOption"] = json!("SHIPPING_OPTION_MEET_UP");
    let order = buyer.place(client, order).await.expect(200).str("orderId").to_owned();
    shipment(client, seller, &order, 1).await
}

/// Calls a method with canaries in its sensitive fields; spoilt: with one that breaks a rule.
async fn send(client: &Client, canaries: &mut Canaries, method: &Method, token: Option<&String>, spoilt: bool) {
    let Some(route) = &method.route else { return };
    if ["Logout", "Refresh"].contains(&method.policy.path.rsplit('/').next().unwrap_or_default()) && !spoilt {
        return; // the session is still needed
    }
    let mut special = |field: &FieldDescriptor| {
        let canary = (sensitivity(field) != 0).then(|| canaries.of(field)).flatten()?;
        let long = canary.as_str().map(|canary| format!("{canary}{}", "x".repeat(3000)));
        Some(long.filter(|_| spoilt).map_or(canary, Value::String))
    };
    let mut content = body(&method.input, route, &mut special);
    let id = thing(method, route, &mut special);
    if spoilt && let Some(fields) = content.as_object_mut() {
        let canary = canaries.value("unknown_field").expect("a value");
        fields.insert("unknown".to_owned(), canary);
    }
    let mut request = client.request(route.verb.clone(), route.path(&id)).key(key());
    if route.raw.is_some() {
        request = request.json(content); // no picture, no form: whatever it says
    } else if route.has_body {
        request = request.json(content);
    } else {
        let texts = content.as_object().into_iter().flatten().filter_map(|(name, value)| Some((name, value.as_str()?)));
        let texts: Vec<_> = texts.filter(|(_, text)| text.contains("canary")).map(|(n, t)| (n.as_str(), t)).collect();
        request = request.query(&texts);
    }
    if let Some(token) = token {
        request = request.bearer(token);
    }
    let reply = if method.streams() { request.open().await.head } else { request.send().await };
    assert!(reply.status < 500, "{reply:?}");
    canaries.keep_secrets(&reply);
}

/// What the path names: a canary where that is a secret, else something of the right shape that nothing has.
fn thing(method: &Method, route: &Route, special: &mut dyn FnMut(&FieldDescriptor) -> Option<Value>) -> String {
    let Some(field) = route.variable().and_then(|name| method.input.get_field_by_name(name)) else {
        return String::new();
    };
    let canary = special(&field).and_then(|value| value.as_str().map(str::to_owned));
    canary.or_else(|| pattern(&field).map(|p| matching(&p))).unwrap_or_else(|| "sample".to_owned())
}

/// No file below a folder holds a canary as it was sent.
fn readable_in_stores(folder: &Path, canaries: &Canaries, at_least: usize) {
    let mut files = 0;
    each_file(folder, &mut |path, content| {
        files += 1;
        let found = canaries.found_in(content);
        assert!(found.is_empty(), "{found:?} can be read in {}", path.display());
    });
    assert!(files >= at_least, "{files} files in {}", folder.display());
}

pub fn each_file(folder: &Path, visit: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            each_file(&path, visit);
        } else if let Ok(content) = std::fs::read(&path) {
            visit(&path, &content); // else it has just been deleted, as journals and segments are
        }
    }
}
