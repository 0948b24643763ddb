//! The things that paths name, newly made by people who may.

use serde_json::{Value, json};
use testkit::{Client, Reply, eventually};
use tokio::sync::OnceCell;

use crate::{
    descriptors::{body, creator},
    shopping::{Buyer, GOOD_CARD, book, card, key, offer, picture, place, shipment},
    world::{Person, SOON, login},
};

/// Where the owner of a thing of an order must be the one who sells; elsewhere the owner is the one who buys.
const OF_SELLERS: [&str; 3] = ["GetShippingLabel", "BookShipment", "RefundPayment"];

/// What is shown to whom pays with it.
const ASKS_THE_BUYER: &str = "4000000000003220";

/// The other side of everybody's trades, and what it sells.
pub struct Peer {
    buyer: Buyer,
    pub product: String,
    review: OnceCell<String>,
    media: OnceCell<String>,
}

impl Peer {
    pub async fn join(client: &Client) -> Peer {
        let buyer = Buyer::join(client).await;
        let product = offer(client, &buyer.person, "Plenty of them", 90_000).await;
        Peer { buyer, product, review: OnceCell::new(), media: OnceCell::new() }
    }

    /// The id of something of the owner's, for `method` to work on.
    pub async fn thing(&self, client: &Client, method: &str, variable: &str, owner: &Person, admin: &Person) -> String {
        match variable {
            "user_id" => owner.user_id.clone(),
            "session_id" => login(client, &owner.email).await.session_id,
            "order_id" => self.sold_to(client, owner).await.order,
            "payment_id" if OF_SELLERS.contains(&method) => {
                let product = offer(client, owner, "Sold and settled", 1).await;
                complete(client, owner, &self.buyer, &product).await.payment
            }
            "payment_id" => self.sold_to(client, owner).await.payment,
            "shipment_id" => self.shipment(client, method, owner).await,
            "review_id" => self.review.get_or_init(|| self.review(client)).await.clone(),
            "media_id" if method == "DeleteMedia" => uploaded(client, owner).await,
            "media_id" if ["GetMedia", "GetMediaContent"].contains(&method) => {
                self.media.get_or_init(|| uploaded(client, owner)).await.clone()
            }
            "media_id" => uploaded(client, owner).await,
            "notification_id" => welcome(client, owner).await,
            "device_id" => device(client, owner).await,
            "campaign_id" => campaign(client, owner, admin).await,
            "share_token" => self.shared_cart(client, owner).await,
            "token" if method.ends_with("SandboxCheckout") => self.checkout(client, owner).await,
            "token" => self.window(client, owner).await,
            "provider" => "sandbox".to_owned(),
            "carrier" => "cj".to_owned(),
            "product_id" if !method.ends_with("Wish") && !method.ends_with("CartItem") => {
                created(client, variable, owner).await
            }
            "product_id" => self.product.clone(),
            _ => created(client, variable, owner).await,
        }
    }

    /// What a body names: people have no products, cards or guests' carts to begin with.
    pub async fn named(&self, client: &Client, method: &str) -> Vec<(&'static str, Value)> {
        let mut named = vec![("product_id", json!(self.product))];
        if method == "MergeCart" {
            named.push(("guest_token", json!(self.guests_cart(client).await)));
        }
        named
    }

    async fn guests_cart(&self, client: &Client) -> String {
        let item = json!({"productId": self.product, "quantity": 1});
        client.post("/v1/cart/items", item).send().await.expect(200).str("guestToken").to_owned()
    }

    pub async fn add_to_cart(&self, client: &Client, person: &Person) {
        let item = json!({"productId": self.product, "quantity": 1});
        client.post("/v1/cart/items", item).bearer(&person.access).send().await.expect(200);
    }

    async fn shared_cart(&self, client: &Client, owner: &Person) -> String {
        self.add_to_cart(client, owner).await;
        let share = client.post("/v1/cart:share", json!({})).bearer(&owner.access);
        share.send().await.expect(200).str("shareToken").to_owned()
    }

    /// An order of the owner's, paid.
    async fn sold_to(&self, client: &Client, owner: &Person) -> Bought {
        let card = card(client, owner, GOOD_CARD).await;
        buy(client, owner, order(&self.product, &card)).await
    }

    /// The peer buys something of the owner's.
    async fn bought_from(&self, client: &Client, owner: &Person) -> Bought {
        let product = offer(client, owner, "Sold once", 1).await;
        buy(client, &self.buyer.person, self.buyer.order(&[&product])).await
    }

    async fn shipment(&self, client: &Client, method: &str, owner: &Person) -> String {
        if !OF_SELLERS.contains(&method) {
            return self.sold_to(client, owner).await.shipment;
        }
        let shipment = self.bought_from(client, owner).await.shipment;
        if method == "GetShippingLabel" {
            book(client, owner, &shipment).await;
        }
        shipment
    }

    /// The page on which the owner confirms a payment.
    async fn checkout(&self, client: &Client, owner: &Person) -> String {
        let card = card(client, owner, ASKS_THE_BUYER).await;
        confirmed_at(&place(client, owner, order(&self.product, &card)).await.expect(200))
    }

    /// The page that opens a provider's window for the owner.
    async fn window(&self, client: &Client, owner: &Person) -> String {
        let mut order = order(&self.product, "");
        order["source"] = json!({"easyPay": {"service": "inicis"}});
        confirmed_at(&place(client, owner, order).await.expect(200))
    }

    /// A review that everybody sees: both sides of a completed trade have written.
    async fn review(&self, client: &Client) -> String {
        let author = Buyer::join(client).await;
        let bought = complete(client, &self.buyer.person, &author, &self.product).await;
        let path = format!("/v1/orders/{}", bought.order);
        let mut ids = Vec::new();
        for who in [&author.person, &self.buyer.person] {
            let written = eventually(SOON, async || {
                let review = json!({"part": 1, "rating": 5, "text": "As it was said."});
                let reply = client.post(format!("{path}/reviews"), review).bearer(&who.access).send().await;
                if reply.status == 200 { Ok(reply) } else { Err(reply) }
            });
            ids.push(written.await.str("reviewId").to_owned());
        }
        let seen = async || client.get(format!("/v1/reviews/{}", ids[0])).send().await.status == 200;
        eventually(SOON, seen).await;
        ids.swap_remove(0)
    }
}

struct Bought {
    order: String,
    payment: String,
    shipment: String,
}

/// The token of the page to which the buyer of an order is sent.
fn confirmed_at(placed: &Reply) -> String {
    placed.str("/payment/redirectUrl").rsplit('/').next().expect("a token").to_owned()
}

async fn buy(client: &Client, buyer: &Person, order: Value) -> Bought {
    let paid = place(client, buyer, order).await.expect(200);
    assert_eq!(paid["status"], "ORDER_STATUS_PAID", "{paid:?}");
    let order = paid.str("orderId").to_owned();
    let shipment = shipment(client, buyer, &order, 1).await;
    Bought { order, payment: paid.str("/payment/paymentId").to_owned(), shipment }
}

/// A trade from the order to the seller's money, hand to hand.
async fn complete(client: &Client, seller: &Person, buyer: &Buyer, product: &str) -> Bought {
    let bought = buy(client, &buyer.person, order(product, &buyer.card)).await;
    let say = async |path: String, body: Value, who: &Person| {
        client.post(path, body).bearer(&who.access).send().await.expect(200)
    };
    let shipment = |verb: &str| format!("/v1/shipments/{}:{verb}", bought.shipment);
    let meeting = json!({"meetUp": {"place": "the station", "meetTime": "2030-01-01T10:00:00Z"}});
    say(shipment("book"), meeting, seller).await;
    let code = say(shipment("issueCode"), json!({}), &buyer.person).await;
    say(shipment("handOver"), json!({"code": code["code"]}), seller).await;
    buyer.until(client, &bought.order, "ORDER_STATUS_DELIVERED").await;
    say(format!("/v1/orders/{}:confirm", bought.order), json!({}), &buyer.person).await;
    buyer.closed(client, &bought.order).await;
    bought
}

fn order(product: &str, card: &str) -> Value {
    json!({
        "items": [{"productId": product, "quantity": 1}],
        "shippingOption": "SHIPPING_OPTION_MEET_UP",
        "source": {"paymentMethodId": card},
    })
}

async fn created(client: &Client, variable: &str, owner: &Person) -> String {
    let method = creator(variable);
    let route = method.route.as_ref().expect("a creator has a route");
    let request = client.post(route.path(""), body(&method.input, route, &mut |_| None));
    let made = request.bearer(&owner.access).send().await.expect(200);
    let field = method.output.get_field_by_name(variable).expect("a creator gives the id");
    made.str(field.json_name()).to_owned()
}

/// A picture that anybody may look at.
async fn uploaded(client: &Client, owner: &Person) -> String {
    let upload = client.request(reqwest::Method::POST, "/v1/media").header("content-type", "image/png");
    let made = upload.raw(picture(7)).bearer(&owner.access).send().await.expect(201);
    let path = format!("/v1/media/{}", made.str("mediaId"));
    eventually(SOON, async || client.get(&path).send().await.status == 200).await;
    made.str("mediaId").to_owned()
}

/// Everybody who joins is welcomed.
async fn welcome(client: &Client, owner: &Person) -> String {
    eventually(SOON, async || {
        let list = client.get("/v1/notifications").bearer(&owner.access).send().await.expect(200);
        list.list("notifications").first().and_then(|n| n["notificationId"].as_str().map(str::to_owned))
    })
    .await
}

async fn device(client: &Client, owner: &Person) -> String {
    let device =
        json!({"pushService": "PUSH_SERVICE_FCM", "token": format!("a-device-of-{}-{}", owner.user_id, key())});
    let made = client.post("/v1/notifications/devices", device).bearer(&owner.access).send().await.expect(200);
    made.str("deviceId").to_owned()
}

async fn campaign(client: &Client, owner: &Person, admin: &Person) -> String {
    let wording = json!({"title": "News", "body": "There are some."});
    let campaign = json!({
        "category": "CATEGORY_NOTICE", "users": {"userIds": [owner.user_id]},
        "variants": [{"name": "a", "ko": wording, "en": wording}],
    });
    let made = client.post("/v1/notifications:broadcast", campaign).bearer(&admin.access).key(key());
    made.send().await.expect(200).str("campaignId").to_owned()
}
