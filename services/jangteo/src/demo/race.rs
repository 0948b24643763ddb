//! Everybody at once.

use super::shopper::{Answer, Person, Shop};
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use jangteo_core::{Code, Error, Result};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Password hashes are slow by design; so many are made at a time.
const SIGN_INS: usize = 8;
/// How long what was begun may take to come to its end, on a busy machine.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);

pub async fn run(shop: &Shop, buyers: usize) -> Result<()> {
    println!("{buyers} buyers sign up …");
    let people: Vec<Person> =
        stream::iter(0..buyers.max(1)).map(|_| shop.join()).buffered(SIGN_INS).try_collect().await?;
    let seller = shop.join().await?;
    let mut lost = 0;
    for (what, held) in [
        ("the last unit", last_unit(shop, &seller, &people).await?),
        ("ten adds at once", ten_adds(shop, &seller, &people[0]).await?),
        ("a double-clicked payment", double_click(shop, &seller, &people[0]).await?),
        ("one key a thousand times", one_key(shop, &seller, &people[0]).await?),
    ] {
        println!("{}  {what}", if held { "held" } else { "LOST" });
        lost += usize::from(!held);
    }
    match lost {
        0 => Ok(()),
        n => Err(Error::new(Code::DataLoss, "RACE_LOST", format!("{n} races were lost"))),
    }
}

fn order(product: &str, card: &str) -> Value {
    json!({
        "items": [{"productId": product, "quantity": 1}],
        "shippingOption": "SHIPPING_OPTION_MEET_UP",
        "source": {"paymentMethodId": card},
    })
}

async fn last_unit(shop: &Shop, seller: &Person, people: &[Person]) -> Result<bool> {
    let product = &shop.sell(seller, "The last unit", 1).await?;
    let cards: Vec<String> = stream::iter(people).map(|p| shop.card(p)).buffered(SIGN_INS).try_collect().await?;
    let clicks = people.iter().zip(&cards).enumerate().map(|(n, (person, card))| async move {
        let (body, key) = (order(product, card), format!("last-{product}-{n}"));
        shop.post("/v1/orders", &body, Some(person), Some(&key)).await
    });
    let answers = all(clicks).await?;
    report(&format!("{} buyers order the one unit of {product}", people.len()), &answers);
    let left = shop.get(&format!("/v1/products/{product}"), None).await?;
    println!("  afterwards: stock {}, status {}", left.body["stock"], left.body["status"]);
    let paid = answers.iter().filter(|a| a.body["status"] == "ORDER_STATUS_PAID").count();
    Ok(paid == 1 && answers.iter().all(|a| a.is_ok() || a.status < 500) && left.body["stock"] == 0)
}

async fn ten_adds(shop: &Shop, seller: &Person, buyer: &Person) -> Result<bool> {
    let product = &shop.sell(seller, "Something by the dozen", 100).await?;
    let add = &json!({"productId": product, "quantity": 1});
    let answers = all((0..10).map(|_| shop.post("/v1/cart/items", add, Some(buyer), None))).await?;
    report("ten adds to one cart at once", &answers);
    let cart = shop.get("/v1/cart", Some(buyer)).await?;
    let lines = cart.body["sellers"].as_array().into_iter().flatten().filter_map(|s| s["lines"].as_array()).flatten();
    let quantity: i64 = lines.filter(|l| l["productId"] == **product).filter_map(|l| l["quantity"].as_i64()).sum();
    println!("  afterwards: {quantity} in the cart");
    Ok(quantity == 10)
}

/// The same order twice, in the way of an impatient finger: two requests under one key, fifty times over. Both get one
/// answer, and money moves once for each order that is paid.
async fn double_click(shop: &Shop, seller: &Person, buyer: &Person) -> Result<bool> {
    let (product, card) = (shop.sell(seller, "Clicked twice", 100).await?, shop.card(buyer).await?);
    let before = money_moved(shop, buyer).await?;
    let body = &order(&product, &card);
    let clicks = (0..100).map(|n| {
        let key = format!("click-{product}-{}", n / 2);
        async move { shop.post("/v1/orders", body, Some(buyer), Some(&key)).await }
    });
    let answers = all(clicks).await?;
    report("fifty orders, each clicked twice at once", &answers);
    let told_two = |pair: &&[Answer]| pair.iter().all(Answer::is_decided) && pair[0].body != pair[1].body;
    let differ = answers.chunks(2).filter(told_two).count();
    let mut after = money_moved(shop, buyer).await?;
    for _ in 0..SETTLE_WITHIN.as_secs() {
        if after.0 == after.1 {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await; // an order may be between its charge and the news of it
        after = money_moved(shop, buyer).await?;
    }
    let (orders, charges) = (after.0 - before.0, after.1 - before.1);
    println!("  afterwards: {orders} paid orders, charged {charges} times; {differ} pairs were told two things");
    Ok(differ == 0 && orders > 0 && charges == orders)
}

async fn one_key(shop: &Shop, seller: &Person, buyer: &Person) -> Result<bool> {
    let (product, card) = (shop.sell(seller, "Asked for a thousand times", 2000).await?, shop.card(buyer).await?);
    let (body, key) = (&order(&product, &card), &format!("thousand-{product}"));
    let answers = all((0..1000).map(|_| shop.post("/v1/orders", body, Some(buyer), Some(key)))).await?;
    report("one order sent a thousand times under one key", &answers);
    let kinds: BTreeSet<_> = answers.iter().map(|a| a.body.to_string()).collect();
    let left = shop.get(&format!("/v1/products/{product}"), None).await?;
    println!("  afterwards: {} different answers, stock {}", kinds.len(), left.body["stock"]);
    Ok(kinds.len() == 1 && answers.iter().all(Answer::is_ok) && left.body["stock"] == 1999)
}

/// A person's paid orders, and how often the person was charged.
async fn money_moved(shop: &Shop, person: &Person) -> Result<(usize, usize)> {
    let orders = count(shop, person, "orders", "ORDER_STATUS_PAID").await?;
    Ok((orders, count(shop, person, "payments", "PAYMENT_STATUS_CAPTURED").await?))
}

/// So many of a person's orders or payments have the status, by following the pages.
async fn count(shop: &Shop, person: &Person, what: &str, status: &str) -> Result<usize> {
    let (mut found, mut token) = (0, String::new());
    loop {
        let page = shop.get(&format!("/v1/{what}?pageSize=100&pageToken={token}"), Some(person)).await?;
        found += page.body[what].as_array().into_iter().flatten().filter(|one| one["status"] == status).count();
        token = page.body["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return Ok(found);
        }
    }
}

async fn all(calls: impl Iterator<Item = impl Future<Output = Result<Answer>>>) -> Result<Vec<Answer>> {
    join_all(calls).await.into_iter().collect()
}

fn report(what: &str, answers: &[Answer]) {
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    answers.iter().for_each(|a| *outcomes.entry(a.outcome()).or_default() += 1);
    let mut times: Vec<Duration> = answers.iter().map(|a| a.took).collect();
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_millis();
    println!("\n{what}");
    outcomes.iter().for_each(|(outcome, n)| println!("  {n:>5}  {outcome}"));
    println!("  half within {} ms, all within {} ms", at(0.5), at(1.0));
    match answers.iter().map(|a| a.repeats).sum::<u32>() {
        0 => {}
        n => {
            println!("  {n} requests were sent again under their keys, as the market asked (busy, or not decided yet)")
        }
    }
}
