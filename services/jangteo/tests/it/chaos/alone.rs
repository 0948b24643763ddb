//! Places that trades in one market of one database do not pass: they need a market of their own.

use serde_json::json;
use testkit::{Topology, eventually, servers};

use super::{armed, died, people::Cast, revived, stormy};
use crate::{shopping::key, stores::Store, world::SOON};

pub const PLACES: [&str; 2] = ["catalog.hold.between_databases", "catalog.expire.after_commit"];

/// A lamp from each of two regions.
async fn two_lamps(client: &testkit::Client, cast: &Cast) -> Vec<String> {
    let mut lamps = Vec::new();
    for region in ["seoul", "gyeonggi"] {
        let mut lamp = crate::world::lamp();
        lamp["regionId"] = json!(region);
        let made = client.post("/v1/products", lamp).bearer(&cast.seller.access).key(key()).send().await.expect(200);
        lamps.push(made.str("productId").to_owned());
    }
    lamps
}

/// One basket over two databases, and the market dies when the first has held its part.
#[tokio::test]
async fn half_a_basket_is_held() {
    let (first, second) = (servers::fresh_database().await, servers::fresh_database().await);
    let shards = format!("[\"{}\",\"{}\"]", first.url(), second.url());
    let setup = stormy(Topology::OneProcess).env("JANGTEO_DATABASE__SHARDS__CATALOG", shards);
    let mut market = setup.start().await;
    let client = market.client();
    let cast = Cast::gather(&client).await;
    let lamps = two_lamps(&client, &cast).await;
    armed(&mut market, PLACES[0]).await;
    let order = cast.buyer.order(&[&lamps[0], &lamps[1]]);
    let request = client.post("/v1/orders", order).bearer(&cast.buyer.person.access).key("both-lamps");
    assert!(request.try_send().await.is_err_and(|e| !e.is_builder()), "the market died before it answered");
    died(&mut market, "catalog", PLACES[0]).await;
    revived(&mut market, &cast, PLACES[0]).await;

    // Asked again, the buyer has both or neither.
    let placed = cast.buyer.place(&client, cast.buyer.order(&[&lamps[0], &lamps[1]])).await;
    assert_eq!(placed.expect(200)["status"], "ORDER_STATUS_PAID");
    let left = async |id: &str| client.get(format!("/v1/products/{id}")).send().await.expect(200)["stock"].clone();
    assert_eq!(left(&lamps[0]).await, left(&lamps[1]).await);
}

/// The process of the orders is away for longer than goods are held for it; the catalogue dies as it takes them back.
#[tokio::test]
async fn nobody_comes_for_what_is_held() {
    let setup = stormy(Topology::Mesh).env("JANGTEO_ORDER__HOLD_MARGIN_SECS", "0");
    let mut market = setup.start().await;
    let client = market.client();
    let cast = Cast::gather(&client).await;
    let lamps = two_lamps(&client, &cast).await;
    armed(&mut market, PLACES[1]).await;
    let mut order = cast.buyer.order(&[&lamps[0]]);
    order["source"] = json!({"paymentMethodId": cast.card(super::people::CARDS[4])});
    let stock = Store::open(&market, "catalog").await;
    let held = eventually(SOON, async || match stock.count("stock_hold", "expire_time > 0").await {
        0 => Err("nothing is held"),
        _ => Ok(()),
    });
    let placed = client.post("/v1/orders", order).bearer(&cast.buyer.person.access).key("a-lamp").try_send();
    tokio::select! {
        () = held => {}
        answer = placed => panic!("answered, although the card hangs: {answer:?}"),
    }
    market.host_of("order").kill9();
    died(&mut market, "catalog", PLACES[1]).await;
    revived(&mut market, &cast, PLACES[1]).await;
}
