//! The process dies between any two lines of a write: afterwards the row and its event are both there
//! or both not, and trying again has one effect.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde_json::json;
use testkit::{Client, Market, Topology, eventually};

use crate::{
    everywhere,
    stores::Store,
    world::{PASSWORD, Person, SOON, accepted, email, join, lamp, market},
};

everywhere!(
    a_product_and_its_event_are_both_there_or_neither,
    an_account_is_whole_or_absent,
    an_account_outlives_a_mail_that_nobody_noted,
    a_login_that_was_never_answered_opened_nothing,
    a_refresh_that_was_never_answered_is_safe,
    kill_9_at_any_moment_loses_nothing_acknowledged,
);

/// A market that dies at `point`. It runs a while before: `prepare` makes what the crash needs, in peace.
async fn doomed<T>(topology: Topology, point: &str, prepare: impl AsyncFnOnce(&Client) -> T) -> (Market, T) {
    let mut market = market(topology).await;
    let prepared = prepare(&market.client()).await;
    market.stop().await;
    market.set_env(CRASH_AT, Some(point));
    market.restart().await;
    (market, prepared)
}

pub const CRASH_AT: &str = "JANGTEO_CRASH_AT";

/// Sends a request that is not answered, since `service` dies; starts it again, immortal.
async fn dies(market: &mut Market, service: &str, request: testkit::Request, point: &str) {
    if let Ok(reply) = request.try_send().await {
        assert!(reply.status >= 500, "{point}: {reply:?}");
    }
    revive(market, service, point).await;
}

async fn revive(market: &mut Market, service: &str, point: &str) {
    let status = market.host_of(service).wait(Duration::from_secs(20)).await;
    assert!(!status.success(), "{point}: {status}");
    market.set_env(CRASH_AT, None);
    market.restart().await;
}

/// Points in the creation of a product, by whether it exists after a crash there.
const PRODUCT: [(&str, bool); 4] = [
    ("catalog.create.before_tx", false),
    ("catalog.create.after_insert", false),
    ("catalog.create.after_emit", false),
    ("catalog.create.after_commit", true),
];

/// Points in registering, by whether the account exists after a crash there.
const REGISTER: [(&str, bool); 2] = [("auth.register.before_commit", false), ("auth.register.after_commit", true)];

const MAIL: &str = "auth.mail.after_send";

const LOGIN: &str = "auth.login.before_commit";

/// Points in refreshing, by whether the token is spent after a crash there.
const REFRESH: [(&str, bool); 2] = [("auth.refresh.before_commit", false), ("auth.refresh.after_commit", true)];

async fn a_product_and_its_event_are_both_there_or_neither(topology: Topology) {
    for (point, exists) in PRODUCT {
        let (mut market, seller) = doomed(topology, point, async |client| join(client).await).await;
        let create = |client: &Client| client.post("/v1/products", lamp()).bearer(&seller.access).key("one-lamp");
        let request = create(&market.client());
        dies(&mut market, "catalog", request, point).await;

        let expected = if exists { 1 } else { 0 };
        assert_eq!(products_and_events(&market, &seller).await, (expected, expected), "{point}");
        let client = market.client();
        let product = accepted(|| create(&client)).await.str("productId").to_owned();
        assert_eq!(products_and_events(&market, &seller).await, (1, 1), "{point}, tried again");
        let history = client.get(format!("/v1/products/{product}/history")).send().await.expect(200);
        assert_eq!(history.list("events").len(), 1, "{point}");
    }
}

async fn an_account_is_whole_or_absent(topology: Topology) {
    for (point, exists) in REGISTER {
        let (mut market, ()) = doomed(topology, point, async |_| ()).await;
        let email = email();
        let account = json!({"email": email, "password": PASSWORD, "displayName": "Minsu"});
        let register = market.client().post("/v1/auth/register", account.clone());
        dies(&mut market, "auth", register, point).await;
        let store = Store::open(&market, "auth").await;
        let registered = async || store.count("event", REGISTERED).await;
        assert_eq!(registered().await, i64::from(exists), "{point}");
        let client = market.client();
        let proofs = json!({"email": email, "password": PASSWORD});
        let login = || client.post("/v1/auth/login", proofs.clone());
        let expected = if exists { 200 } else { 401 };
        eventually(SOON, async || login().send().await.status == expected).await;
        client.post("/v1/auth/register", account).send().await.expect(200);
        login().send().await.expect(200);
        assert_eq!(registered().await, 1, "{point}, tried again");
    }
}

const REGISTERED: &str = "type = 'jangteo.auth.v1.UserRegistered'";

/// The mail has gone out, and the process dies before it can say so: it may come twice, and nothing else happens.
async fn an_account_outlives_a_mail_that_nobody_noted(topology: Topology) {
    let (mut market, ()) = doomed(topology, MAIL, async |_| ()).await;
    let email = email();
    let account = json!({"email": email, "password": PASSWORD, "displayName": "Minsu"});
    let _ = market.client().post("/v1/auth/register", account).try_send().await; // the job may be faster than the answer
    revive(&mut market, "auth", MAIL).await;
    let store = Store::open(&market, "auth").await;
    assert_eq!(store.count("event", REGISTERED).await, 1);
    let client = market.client();
    accepted(|| client.post("/v1/auth/login", json!({"email": email, "password": PASSWORD}))).await;
    assert!(std::fs::read_dir(market.folder().join("mail")).expect("a folder of mails").count() > 0);
}

async fn a_login_that_was_never_answered_opened_nothing(topology: Topology) {
    let (mut market, person) = doomed(topology, LOGIN, async |client| join(client).await).await;
    let store = Store::open(&market, "auth").await;
    let before = store.count("event", "1 = 1").await;
    let request = market.client().post("/v1/auth/login", json!({"email": person.email, "password": PASSWORD}));
    dies(&mut market, "auth", request, LOGIN).await;
    assert_eq!(store.count("event", "1 = 1").await, before);
    let client = market.client();
    let sessions = accepted(|| client.get("/v1/auth/sessions").bearer(&person.access)).await;
    assert_eq!(sessions.list("sessions").len(), 1);
}

/// Uncommitted, the old token is still good. Committed, its successor is lost, and whoever shows the old
/// one again may be a thief: the session ends.
async fn a_refresh_that_was_never_answered_is_safe(topology: Topology) {
    for (point, spent) in REFRESH {
        let (mut market, person) = doomed(topology, point, async |client| join(client).await).await;
        let refresh = json!({"refreshToken": person.refresh});
        let request = market.client().post("/v1/auth/refresh", refresh.clone());
        dies(&mut market, "auth", request, point).await;
        let client = market.client();
        accepted(|| client.get("/v1/auth/sessions").bearer(&person.access)).await;
        let again = client.post("/v1/auth/refresh", refresh).send().await;
        if spent {
            again.expect(401);
            eventually(SOON, async || {
                client.get("/v1/auth/sessions").bearer(&person.access).send().await.status == 401
            })
            .await;
        } else {
            again.expect(200);
        }
    }
}

async fn products_and_events(market: &Market, seller: &Person) -> (i64, i64) {
    let store = Store::open(market, "catalog").await;
    let products = store.count("product", &format!("seller_id = '{}'", seller.user_id)).await;
    let events = store.count("event", &format!("aggregate = 'product' AND actor = 'user:{}'", seller.user_id)).await;
    (products, events)
}

async fn kill_9_at_any_moment_loses_nothing_acknowledged(topology: Topology) {
    let mut market = market(topology).await;
    let client = market.client();
    let seller = join(&client).await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..5_u64 {
        let client = market.client();
        // Writers that go on until the process is gone.
        let writers: Vec<_> = (0..4).map(|writer| write_until_killed(&client, &seller, round, writer)).collect();
        let killer = async {
            // A moment that differs from round to round, in the middle of the writing.
            tokio::time::sleep(Duration::from_millis(40 + 37 * round)).await;
            market.host_of("catalog").kill9();
        };
        let (lists, ()) = futures::future::join(futures::future::join_all(writers), killer).await;
        acknowledged.extend(lists.into_iter().flatten());
        market.restart().await;
    }
    assert!(!acknowledged.is_empty(), "nothing was written before the kill");
    let client = market.client();
    for id in &acknowledged {
        accepted(|| client.get(format!("/v1/products/{id}"))).await;
    }
    let (products, events) = products_and_events(&market, &seller).await;
    assert_eq!(products, events, "each product has its one event");
    assert!(products >= i64::try_from(acknowledged.len()).unwrap());
    println!("{} acknowledged, {products} there", acknowledged.len());
}

async fn write_until_killed(client: &Client, seller: &Person, round: u64, writer: u64) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let key = format!("{round}-{writer}-{}", ids.len());
        let mut body = lamp();
        body["title"] = json!(format!("lamp {key}"));
        match client.post("/v1/products", body).bearer(&seller.access).key(&key).try_send().await {
            Ok(reply) if reply.status == 200 => ids.push(reply.str("productId").to_owned()),
            Ok(reply) => {
                assert!(reply.status >= 500, "{reply:?}");
                return ids;
            }
            Err(_) => return ids,
        }
    }
}

/// Every crash point that the services have.
pub fn points() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
    found
}

/// Those that the tests above kill at; `chaos` kills at all others.
pub fn tested_alone() -> BTreeSet<String> {
    let tables = PRODUCT.iter().chain(&REGISTER).chain(&REFRESH).map(|(point, _)| *point);
    tables.chain([MAIL, LOGIN]).map(str::to_owned).collect()
}

#[test]
fn what_is_tested_alone_exists() {
    assert!(tested_alone().is_subset(&points()));
}

fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            let points = text.split("crash_point!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(points.map(str::to_owned));
        }
    }
}
