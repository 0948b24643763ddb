//! Bad input: a 400 in the one error shape that names the JSON path, and nothing written.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Reply, Topology};

use crate::{
    descriptors::{body, matching, methods, pattern},
    everywhere, stores,
    world::{Person, SOON, join, lamp, market, sell, setup},
};

everywhere!(bad_input_is_named_and_writes_nothing);

/// A lamp with one thing changed, by JSON pointer.
fn lamp_with(pointer: &str, value: Value) -> String {
    let mut lamp = lamp();
    match lamp.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => lamp[pointer.trim_start_matches('/')] = value,
    }
    lamp.to_string()
}

fn lamp_without(field: &str) -> String {
    let mut lamp = lamp();
    lamp.as_object_mut().expect("an object").remove(field);
    lamp.to_string()
}

/// JSON paths of which one has to be named.
type Fields = &'static [&'static str];

/// Method, path, body, and what has to be named.
type Case = (&'static str, String, String, Fields);

fn cases(product: &str, person: &Person) -> Vec<Case> {
    let post = |body: String, fields: Fields| ("POST", "/v1/products".to_owned(), body, fields);
    let patch = |body: Value, fields: Fields| ("PATCH", format!("/v1/products/{product}"), body.to_string(), fields);
    let register = |body: Value, fields: Fields| ("POST", "/v1/auth/register".to_owned(), body.to_string(), fields);
    let get = |path: &str, fields: Fields| ("GET", path.to_owned(), String::new(), fields);
    let long = "가".repeat(101);
    vec![
        // rules of the fields
        post(lamp_with("/title", json!("")), &["title"]),
        post(lamp_with("/title", json!("a")), &["title"]),
        post(lamp_with("/title", json!(long)), &["title"]),
        post(lamp_without("title"), &["title"]),
        post(lamp_with("/description", json!("x".repeat(5001))), &["description"]),
        post(lamp_without("price"), &["price"]),
        post(lamp_with("/price/currencyCode", json!("XYZ")), &["price.currencyCode", "price"]),
        post(lamp_with("/price/currencyCode", json!("")), &["price.currencyCode", "price"]),
        post(lamp_with("/price/units", json!("-1")), &["price.units", "price"]),
        post(lamp_with("/price", json!({"currencyCode": "KRW", "units": "1", "nanos": 5})), &["price.nanos", "price"]),
        post(lamp_with("/categoryId", json!("Audio Stuff")), &["categoryId"]),
        post(lamp_with("/regionId", json!("atlantis")), &["regionId"]),
        post(lamp_with("/condition", json!("CONDITION_UNSPECIFIED")), &["condition"]),
        post(lamp_with("/stock", json!(0)), &["stock"]),
        post(lamp_with("/stock", json!(100_001)), &["stock"]),
        post(lamp_with("/tags", json!(["ok", ""])), &["tags[1]"]),
        post(lamp_with("/tags", json!((0..11).map(|n| format!("tag{n}")).collect::<Vec<_>>())), &["tags"]),
        patch(json!({"title": "x"}), &["title"]),
        patch(json!({"title": "good title", "updateMask": "titel"}), &["updateMask"]),
        patch(json!({"title": "good title", "updateMask": "sellerId"}), &["updateMask"]),
        register(json!({"email": "nobody", "password": "long-enough-1", "displayName": "N"}), &["email"]),
        register(json!({"email": "a@b.example", "password": "short", "displayName": "N"}), &["password"]),
        register(json!({"email": "a@b.example", "password": "password", "displayName": "N"}), &["password"]),
        register(json!({"email": "a@b.example", "password": "long-enough-1", "displayName": ""}), &["displayName"]),
        get("/v1/products/prd_1", &["productId"]),
        get("/v1/products?pageSize=-1", &["pageSize"]),
        get("/v1/products?minPrice=-1", &["minPrice"]),
        get("/v1/products?condition=CONDITION_UNSPECIFIED", &["condition[0]"]),
        get("/v1/users/usr_x", &["userId"]),
        // strict JSON
        post(lamp_with("/title", json!(5)), &["title"]),
        post(lamp_with("/stock", json!("three")), &["stock"]),
        post(lamp_with("/stock", json!(1.5)), &["stock"]),
        post(lamp_with("/stock", json!(3_000_000_000_i64)), &["stock"]),
        post(lamp_with("/condition", json!("SHINY")), &["condition"]),
        post(lamp_with("/tags", json!("lamp")), &["tags"]),
        post(lamp_with("/tags", json!(["lamp", null])), &["tags[1]"]),
        post(lamp_with("/price", json!(15000)), &["price"]),
        post(lamp_with("/price/units", json!("1e")), &["price.units"]),
        post(lamp_with("/colour", json!("red")), &["colour"]),
        post(r#"{"title": "twice", "title": "twice"}"#.to_owned(), &["title"]),
        post(r#"{"title": "a lamp","#.to_owned(), &[]),
        post("not json".to_owned(), &[]),
        post("[]".to_owned(), &[]),
        post("null".to_owned(), &[]),
        // the query
        get("/v1/products?pageSize=ten", &["pageSize"]),
        get("/v1/products?colour=red", &["colour"]),
        get("/v1/products?sort=BEST", &["sort"]),
        get("/v1/products?pageToken=made-up", &["pageToken"]),
        get("/v1/products?pageSize=1&pageSize=2", &["pageSize"]),
        // the path decides, the body may not say otherwise
        patch(json!({"productId": person.user_id, "title": "good title"}), &["productId"]),
    ]
}

async fn bad_input_is_named_and_writes_nothing(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let person = join(&client).await;
    let product = sell(&client, &person).await;
    let before = settled(&market).await;
    let mut wrong = Vec::new();
    for (method, path, body, fields) in cases(&product, &person) {
        let mut request = client.request(method.parse().expect("a method"), &path).bearer(&person.access);
        if !body.is_empty() {
            request = request.header("content-type", "application/json").raw(body);
        }
        let reply = request.send().await;
        if let Some(why) = complaint(&reply, fields) {
            wrong.push(format!("{why}\n{reply:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} answers are wrong\n{}", wrong.len(), wrong.join("\n\n"));
    assert_eq!(stores::events(&market).await, before, "something was written");
}

fn complaint(reply: &Reply, fields: Fields) -> Option<String> {
    if reply.status != 400 {
        return Some(format!("{} instead of 400", reply.status));
    }
    if reply["code"] != 3 || !reply["message"].is_string() || reply.reason().is_none() {
        return Some("no google.rpc.Status with an ErrorInfo".to_owned());
    }
    let named = reply.violations();
    let found = fields.is_empty() || named.iter().any(|field| fields.contains(&field.as_str()));
    (!found).then(|| format!("names {named:?} instead of {fields:?}"))
}

/// The number of events, once those of the set-up have all been written: the profile's and what follows from it.
async fn settled(market: &testkit::Market) -> i64 {
    testkit::eventually(SOON, async || {
        let store = stores::Store::open(market, "user").await;
        let before = stores::events(market).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = stores::events(market).await;
        (store.count("event", "aggregate = 'profile'").await == 1 && before == now).then_some(now)
    })
    .await
}

/// A field that a method doesn't know is most often one that is written wrongly.
#[tokio::test]
async fn no_method_takes_a_field_that_it_does_not_know() {
    let market = market(Topology::Embedded).await;
    let client = market.client();
    let person = join(&client).await;
    let (mut asked, mut wrong) = (0, Vec::new());
    for method in methods() {
        let open = method.policy.roles.is_empty() || method.policy.roles.contains(&"user".to_owned());
        let Some(route) = method.route.as_ref().filter(|route| open && route.has_body && route.raw.is_none()) else {
            continue;
        };
        let variable = route.variable().and_then(|name| method.input.get_field_by_name(name));
        let id = variable.and_then(|field| pattern(&field)).map_or("sample".to_owned(), |p| matching(&p));
        let mut content = body(&method.input, route, &mut |_| None);
        content["misspelt"] = json!("as it is");
        let request = client.request(route.verb.clone(), route.path(&id)).json(content);
        let reply = request.bearer(&person.access).key(&method.policy.path).send().await;
        wrong.extend(complaint(&reply, &["misspelt"]).map(|why| format!("{why}\n{reply:?}")));
        asked += 1;
    }
    assert!(asked > 30, "only {asked} methods");
    assert!(wrong.is_empty(), "{} of {asked} answers are wrong\n{}", wrong.len(), wrong.join("\n\n"));
}

everywhere!(wrong_requests_get_their_own_answers);

async fn wrong_requests_get_their_own_answers(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let person = join(&client).await;
    let put = client.request(reqwest::Method::PUT, "/v1/products").json(lamp()).bearer(&person.access).send().await;
    assert!(put.expect(405).header("allow").is_some_and(|allow| allow.contains("POST")));
    client.get("/v1/nothing").send().await.expect(404);
    let text = client.post("/v1/products", lamp()).bearer(&person.access).header("content-type", "text/plain");
    text.send().await.expect(415);
    let csv = client.get("/v1/products").header("accept", "text/csv").send().await;
    csv.expect(406);
    let mut heavy = lamp();
    heavy["description"] = json!("x".repeat(2 << 20));
    client.post("/v1/products", heavy).bearer(&person.access).send().await.expect(413);
}

#[tokio::test]
async fn anonymous_clients_have_a_hundred_requests_a_minute() {
    for topology in Topology::ALL {
        let market = setup(topology).env("JANGTEO_EDGE__LIMITS__ANONYMOUS_PER_MINUTE", "100").start().await;
        let client = market.client();
        let mut allowed = 0;
        let refused = loop {
            let reply = client.get("/v1/categories").send().await;
            if reply.status == 429 {
                break reply;
            }
            reply.expect(200);
            allowed += 1;
            assert!(allowed <= 200, "no limit after {allowed} requests");
        };
        // A window may have turned over in between.
        assert!((100..=200).contains(&allowed), "{allowed}");
        let refused = refused.expect_error(429, "RATE_LIMITED");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    }
}
