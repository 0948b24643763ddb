//! What people do, so that every named place is passed: each of these goes on until it is done or the market is gone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Client, Reply};

use super::people::{Cast, Gone, answered};
use crate::shopping::{key, picture};

type Done = Result<(), Gone>;

/// How long an order may take to get somewhere, while others trade.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything, by several hands at once.
pub async fn everything(client: &Client, cast: &Cast) {
    let (_, _, _, _, _, _) = futures::join!(
        delivered_and_reviewed(client, cast),
        cancelled(client, cast),
        odd_cards(client, cast),
        met(client, cast),
        disputed(client, cast),
        browsed(client, cast),
    );
}

/// A listing of its own with so many units; sometimes with a picture.
async fn listed(client: &Client, cast: &Cast, stock: u32, image: Option<&str>) -> Result<String, Gone> {
    let product = json!({
        "title": "A lamp in a storm", "description": "still burning", "price": {"currencyCode": "KRW", "units": "15000"},
        "categoryId": "audio", "regionId": "seoul", "condition": "CONDITION_GOOD", "stock": stock,
        "imageIds": image.into_iter().collect::<Vec<_>>(),
    });
    let made = answered(client.post("/v1/products", product).bearer(&cast.seller.access).key(key())).await?;
    Ok(made.expect(200).str("productId").to_owned())
}

/// Posts as somebody; any answer will do.
async fn post(client: &Client, path: String, body: Value, token: &str) -> Result<Reply, Gone> {
    answered(client.post(path, body).bearer(token).key(key())).await
}

/// Waits until the buyer's order has one of the states; false when it doesn't get there.
async fn comes_to(client: &Client, cast: &Cast, order: &str, states: &[&str]) -> Result<bool, Gone> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let request = client.get(format!("/v1/orders/{order}")).bearer(&cast.buyer.person.access);
        let now = answered(request).await?;
        if states.iter().any(|s| now["status"] == *s) {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(false)
}

fn paid_with(cast: &Cast, product: &str, card: &str) -> Value {
    let mut order = cast.buyer.order(&[product]);
    order["source"] = json!({"paymentMethodId": cast.card(card)});
    order
}

/// Buys; gives the order and its shipment, when it was paid at once.
async fn bought(client: &Client, cast: &Cast, order: Value) -> Result<Option<(String, String)>, Gone> {
    let placed = cast.place(client, order).await?;
    if placed["status"] != "ORDER_STATUS_PAID" {
        return Ok(None);
    }
    let order = placed.str("orderId").to_owned();
    let query = [("orderId", order.as_str())];
    let shipments = answered(client.get("/v1/shipments").query(&query).bearer(&cast.buyer.person.access)).await?;
    let shipment = shipments.json.pointer("/shipments/0/shipmentId").and_then(Value::as_str);
    Ok(shipment.map(|shipment| (order, shipment.to_owned())))
}

async fn delivered_and_reviewed(client: &Client, cast: &Cast) -> Done {
    let product = listed(client, cast, 3, None).await?;
    let Some((order, shipment)) = bought(client, cast, cast.buyer.order(&[&product])).await? else { return Ok(()) };
    let booking = json!({"parcel": {"carrier": "cj"}});
    post(client, format!("/v1/shipments/{shipment}:book"), booking, &cast.seller.access).await?;
    comes_to(client, cast, &order, &["ORDER_STATUS_DELIVERED", "ORDER_STATUS_CONFIRMED"]).await?;
    post(client, format!("/v1/orders/{order}:confirm"), json!({}), &cast.buyer.person.access).await?;
    comes_to(client, cast, &order, &["ORDER_STATUS_CONFIRMED"]).await?;
    for who in [&cast.buyer.person, &cast.seller] {
        reviewed(client, &order, &who.access).await?;
    }
    let some = json!({"amount": {"currencyCode": "KRW", "units": "10000"}});
    post(client, "/v1/wallet:withdraw".into(), some, &cast.seller.access).await?;
    Ok(())
}

/// Writes one's side, as soon as the reviews have heard of the end of the trade.
async fn reviewed(client: &Client, order: &str, token: &str) -> Done {
    let review = json!({"part": 1, "rating": 4, "text": "as it was said"});
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let answer = post(client, format!("/v1/orders/{order}/reviews"), review.clone(), token).await?;
        if answer.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// What the buyer has earned with earlier orders.
async fn points(client: &Client, cast: &Cast) -> Result<i64, Gone> {
    let account = answered(client.get("/v1/users/me/points").bearer(&cast.buyer.person.access)).await?;
    Ok(account["balance"].as_str().and_then(|n| n.parse().ok()).unwrap_or(0))
}

/// Partly paid with points, if there are any; once before and once after the seller booked.
async fn cancelled(client: &Client, cast: &Cast) -> Done {
    let product = listed(client, cast, 1, None).await?;
    for booked in [false, true] {
        let mut order = cast.buyer.order(&[&product]);
        order["points"] = json!(points(client, cast).await?.min(100).to_string());
        let Some((order, shipment)) = bought(client, cast, order).await? else { continue };
        if booked {
            let store = json!({"meetUp": {"place": "the station", "meetTime": "2030-01-01T10:00:00Z"}});
            post(client, format!("/v1/shipments/{shipment}:book"), store, &cast.seller.access).await?;
        }
        post(client, format!("/v1/orders/{order}:cancel"), json!({}), &cast.buyer.person.access).await?;
        comes_to(client, cast, &order, &["ORDER_STATUS_CANCELLED"]).await?;
    }
    Ok(())
}

/// Declined, confirmed on a page, hanging, refused at the capture; half of them given up while nobody knows.
async fn odd_cards(client: &Client, cast: &Cast) -> Done {
    let product = listed(client, cast, 20, None).await?;
    for (n, number) in super::people::CARDS[1..].iter().enumerate() {
        let placed = cast.place(client, paid_with(cast, &product, number)).await?;
        let order = placed["orderId"].as_str().map(str::to_owned).or_else(|| {
            let info = placed.detail("google.rpc.ErrorInfo")?;
            info["metadata"]["order_id"].as_str().map(str::to_owned)
        });
        let Some(order) = order else { continue };
        if let Some(url) = placed.json.pointer("/payment/redirectUrl").and_then(Value::as_str) {
            let page = url.find("/v1/").map_or(url, |at| &url[at..]);
            answered(client.post(format!("{page}:decide"), json!({"decision": "approve"}))).await?;
            comes_to(client, cast, &order, &["ORDER_STATUS_PAID"]).await?;
        }
        if n % 2 == 0 {
            post(client, format!("/v1/orders/{order}:cancel"), json!({}), &cast.buyer.person.access).await?;
        }
    }
    Ok(())
}

async fn met(client: &Client, cast: &Cast) -> Done {
    let product = listed(client, cast, 1, None).await?;
    let mut order = cast.buyer.order(&[&product]);
    order["shippingOption"] = json!("SHIPPING_OPTION_MEET_UP");
    let Some((order, shipment)) = bought(client, cast, order).await? else { return Ok(()) };
    let booking = json!({"meetUp": {"place": "the station", "meetTime": "2030-01-01T10:00:00Z"}});
    let path = |verb: &str| format!("/v1/shipments/{shipment}:{verb}");
    post(client, path("book"), booking, &cast.seller.access).await?;
    let code = post(client, path("issueCode"), json!({}), &cast.buyer.person.access).await?;
    let code = json!({"code": code["code"]});
    post(client, path("handOver"), code, &cast.seller.access).await?;
    comes_to(client, cast, &order, &["ORDER_STATUS_DELIVERED"]).await?;
    post(client, format!("/v1/orders/{order}:confirm"), json!({}), &cast.buyer.person.access).await?;
    comes_to(client, cast, &order, &["ORDER_STATUS_CONFIRMED"]).await?;
    // The seller says nothing, so time reveals it.
    reviewed(client, &order, &cast.buyer.person.access).await
}

async fn disputed(client: &Client, cast: &Cast) -> Done {
    let product = listed(client, cast, 1, None).await?;
    let Some((order, shipment)) = bought(client, cast, cast.buyer.order(&[&product])).await? else { return Ok(()) };
    let booking = json!({"parcel": {"carrier": "hanjin"}});
    post(client, format!("/v1/shipments/{shipment}:book"), booking, &cast.seller.access).await?;
    if !comes_to(client, cast, &order, &["ORDER_STATUS_SHIPPING", "ORDER_STATUS_DELIVERED"]).await? {
        return Ok(());
    }
    let dispute = json!({"part": 1, "reasonCode": "DISPUTE_REASON_DAMAGED", "text": "it rained in"});
    post(client, format!("/v1/orders/{order}:dispute"), dispute, &cast.buyer.person.access).await?;
    let half = json!({"part": 1, "refund": {"currencyCode": "KRW", "units": "7000"}});
    post(client, format!("/v1/orders/{order}:resolve"), half, &cast.admin.access).await?;
    Ok(())
}

/// Pictures, carts and searches.
async fn browsed(client: &Client, cast: &Cast) -> Done {
    let mut pictures = Vec::new();
    for _ in 0..2 {
        static COLOUR: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
        let colour = COLOUR.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let upload = client.request(reqwest::Method::POST, "/v1/media").header("content-type", "image/png");
        let made = answered(upload.raw(picture(colour)).bearer(&cast.seller.access)).await?;
        pictures.extend(made["mediaId"].as_str().map(str::to_owned));
    }
    let product = listed(client, cast, 5, pictures.first().map(String::as_str)).await?;
    if let Some(second) = pictures.get(1) {
        answered(client.delete(format!("/v1/media/{second}")).bearer(&cast.seller.access)).await?;
    }
    let guest = answered(client.post("/v1/cart/items", json!({"productId": product, "quantity": 2}))).await?;
    let merge = json!({"guestToken": guest["guestToken"]});
    post(client, "/v1/cart:merge".into(), merge, &cast.buyer.person.access).await?;
    answered(client.get("/v1/search/products").query(&[("q", "lamp")])).await?;
    Ok(())
}
