//! People who buy and sell: what a trade needs beside an account.

use std::sync::atomic::{AtomicU32, Ordering};

use flate2::{Compression, Crc, write::ZlibEncoder};
use serde_json::{Value, json};
use testkit::{Client, Reply, eventually};

use crate::world::{Person, SOON, join, lamp};

/// What the sandbox thinks of a card: see the table in `services/payment`.
pub const GOOD_CARD: &str = "4242424242424242";

/// A buyer with a card and an address.
#[derive(Debug, Clone)]
pub struct Buyer {
    pub person: Person,
    pub card: String,
    pub address: String,
}

impl Buyer {
    pub async fn join(client: &Client) -> Buyer {
        Buyer::with_card(client, GOOD_CARD).await
    }

    pub async fn with_card(client: &Client, number: &str) -> Buyer {
        let person = join(client).await;
        let profile = async || client.get("/v1/users/me").bearer(&person.access).send().await.status == 200;
        eventually(SOON, profile).await;
        let address = json!({
            "label": "home", "recipient": "Nari", "phoneNumber": "+821012345678", "postalCode": "04524",
            "line1": "1 Sejong-daero", "line2": "7F",
        });
        let made = client.post("/v1/users/me/addresses", address).bearer(&person.access).send().await.expect(200);
        let address = made.str("addressId").to_owned();
        let card = card(client, &person, number).await;
        Buyer { person, card, address }
    }

    /// An order of one of each, paid with the card, sent as a parcel.
    pub fn order(&self, products: &[&str]) -> Value {
        let items: Vec<_> = products.iter().map(|p| json!({"productId": p, "quantity": 1})).collect();
        json!({
            "items": items,
            "addressId": self.address,
            "shippingOption": "SHIPPING_OPTION_PARCEL",
            "source": {"paymentMethodId": self.card},
        })
    }

    pub async fn place(&self, client: &Client, order: Value) -> Reply {
        place(client, &self.person, order).await
    }

    pub async fn orders(&self, client: &Client, id: &str) -> Reply {
        client.get(format!("/v1/orders/{id}")).bearer(&self.person.access).send().await.expect(200)
    }

    /// Waits until no money of the order is in escrow and nothing follows.
    pub async fn closed(&self, client: &Client, order: &str) -> Reply {
        eventually(SOON, async || {
            let now = self.orders(client, order).await;
            if now["closed"] == true { Ok(now) } else { Err(now) }
        })
        .await
    }

    /// Waits until the order has come to `status`.
    pub async fn until(&self, client: &Client, order: &str, status: &str) -> Reply {
        eventually(SOON, async || {
            let now = self.orders(client, order).await;
            if now["status"] == status { Ok(now) } else { Err(now) }
        })
        .await
    }
}

/// The decision about an order. While there is none, the same request comes again under its key, as its docs say.
pub async fn place(client: &Client, buyer: &Person, order: Value) -> Reply {
    let key = key();
    eventually(SOON, async || {
        let reply = client.post("/v1/orders", order.clone()).bearer(&buyer.access).key(&key).send().await;
        let undecided = [503, 504].contains(&reply.status) || reply.reason() == Some("CONTENTION");
        if undecided { Err(reply) } else { Ok(reply) }
    })
    .await
}

pub async fn card(client: &Client, person: &Person, number: &str) -> String {
    let card = json!({"card": {"number": number, "expiryMonth": 12, "expiryYear": 2035}});
    let made = client.post("/v1/payments/methods", card).bearer(&person.access).send().await.expect(200);
    made.str("paymentMethodId").to_owned()
}

/// The shipment of a part of an order, as its buyer or its seller finds it.
pub async fn shipment(client: &Client, person: &Person, order: &str, part: i64) -> String {
    let list = client.get("/v1/shipments").query(&[("orderId", order)]).bearer(&person.access).send().await.expect(200);
    let found = list.list("shipments").iter().find(|s| s["part"] == part);
    found
        .and_then(|s| s["shipmentId"].as_str())
        .unwrap_or_else(|| panic!("no shipment of part {part}\n{list:?}"))
        .to_owned()
}

/// Has the sandbox's carrier bring it.
pub async fn book(client: &Client, seller: &Person, shipment: &str) -> Reply {
    let booking = json!({"parcel": {"carrier": "cj"}});
    let book = client.post(format!("/v1/shipments/{shipment}:book"), booking).bearer(&seller.access);
    book.key(key()).send().await.expect(200)
}

/// What somebody may spend, in won.
pub async fn balance(client: &Client, person: &Person) -> i64 {
    let wallet = client.get("/v1/wallet").bearer(&person.access).send().await.expect(200);
    won(&wallet, "/balance")
}

/// An amount of an answer, by its JSON pointer.
pub fn won(reply: &Reply, pointer: &str) -> i64 {
    let units = reply.json.pointer(&format!("{pointer}/units")).and_then(Value::as_str);
    assert!(reply.json.pointer(pointer).is_some(), "no amount {pointer}\n{reply:?}");
    units.unwrap_or("0").parse().expect("a number") // proto3 JSON leaves zeros out
}

/// A key that was not used before.
pub fn key() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("key-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Lists so many of a thing; gives its id.
pub async fn offer(client: &Client, seller: &Person, title: &str, stock: u32) -> String {
    let mut product = lamp();
    (product["title"], product["stock"]) = (json!(title), json!(stock));
    client.post("/v1/products", product).bearer(&seller.access).send().await.expect(200).str("productId").to_owned()
}

/// A picture of its own colour, as a camera would not make it.
pub fn picture(red: u8) -> Vec<u8> {
    const SIDE: u32 = 48;
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(data);
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(kind);
        png.extend(data);
        png.extend(crc.sum().to_be_bytes());
    };
    let size = [SIDE.to_be_bytes(), SIDE.to_be_bytes()].concat();
    chunk(b"IHDR", &[&size[..], &[8, 2, 0, 0, 0]].concat());
    let rows: Vec<u8> = (0..SIDE)
        .flat_map(|y| [0].into_iter().chain((0..SIDE).flat_map(move |x| [red, (x * 5) as u8, (y * 5) as u8])))
        .collect();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut zlib, &rows).expect("writing to memory");
    chunk(b"IDAT", &zlib.finish().expect("writing to memory"));
    chunk(b"IEND", &[]);
    png
}
