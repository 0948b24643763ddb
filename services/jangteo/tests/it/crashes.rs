//! The process dies between any two lines of a product's creation: afterwards the product and its
//! event are both there or both not, and trying again makes one.

use std::{
    collections::BTreeSet,
    path::Path,
    time::Duration,
};

use serde_json::json;
use testkit::{Client, Market, Topology, eventually};

use crate::{
    everywhere,
    stores::Store,
    world::{Person, join, lamp, market, setup},
};

everywhere!(a_crash_leaves_both_or_neither, kill_9_at_any_moment_loses_nothing_acknowledged);

/// The points of the code, by whether the product exists after a crash there.
const POINTS: [(&str, bool); 4] = [
    ("catalog.create.before_tx", false),
    ("catalog.create.after_insert", false),
    ("catalog.create.after_emit", false),
    ("catalog.create.after_commit", true),
];

async fn a_crash_leaves_both_or_neither(topology: Topology) {
    for (point, exists) in POINTS {
        let mut market = setup(topology).crash_at(point).start().await;
        let client = market.client();
        let seller = join(&client).await;
        let create = |client: &Client| client.post("/v1/products", lamp()).bearer(&seller.access).key("one-lamp");

        if let Ok(reply) = create(&client).try_send().await {
            assert!(reply.status >= 500, "{point}: {reply:?}");
        }
        let status = market.host_of("catalog").wait(Duration::from_secs(10)).await;
        assert!(!status.success(), "{point}: {status}");
        market.set_env("JANGTEO_CRASH_AT", None);
        market.restart().await;

        let expected = if exists { 1 } else { 0 };
        assert_eq!(products_and_events(&market, &seller).await, (expected, expected), "{point}");
        let client = market.client();
        let product = accepted(&client, || create(&client)).await;
        assert_eq!(products_and_events(&market, &seller).await, (1, 1), "{point}, tried again");
        let history = client.get(format!("/v1/products/{product}/history")).send().await.expect(200);
        assert_eq!(history.list("events").len(), 1, "{point}");
    }
}

/// The id that an answer gives. A gateway that was not killed may have to find its peer again first.
async fn accepted(client: &Client, request: impl Fn() -> testkit::Request) -> String {
    let _ = client;
    eventually(Duration::from_secs(10), async || {
        let reply = request().send().await;
        if reply.status == 200 { Ok(reply.str("productId").to_owned()) } else { Err(reply) }
    })
    .await
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
        accepted(&client, || client.get(format!("/v1/products/{id}"))).await;
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

/// A crash point that no test kills at is a claim without a proof.
#[test]
fn every_crash_point_of_the_services_is_tested() {
    let mut found = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
    let tested: BTreeSet<_> = POINTS.iter().map(|(point, _)| (*point).to_owned()).collect();
    assert_eq!(found, tested);
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
