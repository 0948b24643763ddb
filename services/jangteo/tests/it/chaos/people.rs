//! Who trades while processes die, and what they were told.

use std::sync::Mutex;

use serde_json::{Value, json};
use testkit::{Client, Reply, Request, eventually};

use crate::{
    shopping::{Buyer, GOOD_CARD, card, key},
    world::{ADMIN, Person, SOON, join, join_as},
};

/// Cards of the sandbox: see `services/payment/src/provider/sandbox/cards.rs`.
pub const CARDS: [&str; 8] = [
    GOOD_CARD,
    "4000000000009995", // declined
    "4000000000003220", // confirmed on a page
    "4000000000000473", // the same, and the webhook comes three times
    "4000000000000440", // hangs, then went through
    "4000000000000457", // hangs, then declined
    "4000000000000465", // the webhook is late
    "4000000000000507", // authorised, and the capture is refused
];

pub struct Cast {
    pub seller: Person,
    pub buyer: Buyer,
    pub admin: Person,
    /// The buyer's, by the number on the card.
    cards: Vec<(&'static str, String)>,
    /// Orders that were answered, and the status that was told.
    told: Mutex<Vec<(String, String)>>,
}

/// The market does not answer: it has died, or somebody else has and took the answer along.
pub struct Gone;

impl Cast {
    pub async fn gather(client: &Client) -> Cast {
        let admin = join_as(client, ADMIN).await;
        let (seller, buyer) = (join(client).await, Buyer::join(client).await);
        let mut cards = Vec::new();
        for number in CARDS {
            cards.push((number, card(client, &buyer.person, number).await));
        }
        let device = json!({"pushService": "PUSH_SERVICE_FCM", "token": "a-device-of-the-buyer"});
        client.post("/v1/notifications/devices", device).bearer(&buyer.person.access).send().await.expect(200);
        let account = json!({"bank": "kb", "accountNumber": "110123456789", "holder": "Nari"});
        let put = client.request(reqwest::Method::PUT, "/v1/wallet/payout-account").json(account);
        put.bearer(&seller.access).send().await.expect(200);
        Cast { seller, buyer, admin, cards, told: Mutex::default() }
    }

    pub fn card(&self, number: &str) -> &str {
        &self.cards.iter().find(|(n, _)| *n == number).expect("one of the cards").1
    }

    fn tell(&self, order: &Reply) {
        let (id, status) = (order.str("orderId").to_owned(), order.str("status").to_owned());
        self.told.lock().expect("no holder panics").push((id, status));
    }

    /// Places an order; what was answered is remembered.
    pub async fn place(&self, client: &Client, order: Value) -> Result<Reply, Gone> {
        let request = client.post("/v1/orders", order).bearer(&self.buyer.person.access).key(key());
        let reply = answered(request).await?;
        if reply.status == 200 {
            self.tell(&reply);
        }
        Ok(reply)
    }

    /// Nothing that was answered is lost: every order is there, and none fell back.
    pub async fn nothing_is_forgotten(&self, client: &Client) {
        let told = self.told.lock().expect("no holder panics").clone();
        for (order, status) in told {
            let now = eventually(SOON, async || {
                let path = format!("/v1/orders/{order}");
                let reply = client.get(path).bearer(&self.buyer.person.access).send().await;
                if reply.status == 200 { Ok(reply) } else { Err(reply) }
            })
            .await;
            let fell_back = status != "ORDER_STATUS_RECEIVED" && now["status"] == "ORDER_STATUS_RECEIVED";
            assert!(!fell_back, "was {status}\n{now:?}");
        }
    }
}

/// The answer, unless it is one that a dying market gives.
pub async fn answered(request: Request) -> Result<Reply, Gone> {
    match request.try_send().await {
        Ok(reply) if ![499, 500, 502, 503, 504].contains(&reply.status) => Ok(reply),
        _ => Err(Gone),
    }
}
